"""Look into the databases: `python -m lib.explore.query`. Without arguments it asks, with arguments it answers."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from lib.errors import DONE, INTERRUPTED, PipelineError
from lib.options import Parser
from lib.steps import PROJECT

FORMATS = ("table", "csv", "json", "md")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options of the command line; exits with 2 for wrong ones."""
    parser = Parser(
        prog="python -m lib.explore.query",
        description="Show what is in the databases. They are opened for reading: nothing that is typed here changes them. "
                    "Without arguments, on a terminal, it asks what you want to see.",
        epilog="exit codes: 0 done, 1 a file cannot be used, 2 wrong use, such as a SELECT with a mistake, 130 interrupted")
    parser.add_argument("database", nargs="?", metavar="DATABASE", help="raw, curated, gold or audit; alone, it lists its tables")
    parser.add_argument("table", nargs="?", metavar="TABLE", help="show this table's rows, in order of its key")
    parser.add_argument("--sql", metavar="SELECT", help="show what this SELECT returns")
    parser.add_argument("--limit", type=_count, metavar="N", help="show this many rows at most (default: all)")
    parser.add_argument("--format", choices=FORMATS, metavar="FORMAT",
                        help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} (default: table, which is paged on a terminal)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the rows to this new file, .csv or .parquet, instead")
    parser.add_argument("--as-of", metavar="BATCH_ID", help="show the databases as this run left them, made again from the archive")
    parser.add_argument("--warehouse", type=Path, default=PROJECT / "data/warehouse", metavar="DIR",
                        help="folder of the four databases (default: data/warehouse)")
    given = parser.parse_args(arguments)
    if given.table and given.sql is not None:
        parser.error("a table or --sql, not both")
    if given.sql is not None and not given.database:
        parser.error("--sql needs the name of a database: raw, curated, gold or audit")
    if given.export and given.format:
        parser.error("--format or --export, not both: the suffix of the file says what is written")
    if given.export and not given.table and given.sql is None:
        parser.error("--export needs a table or --sql")
    return given


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows")
    return int(text)


def main(arguments: list[str]) -> int:
    """Answer, or ask, and return the exit code."""
    given = parse_arguments(arguments)
    sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter shows a question mark
    try:
        if given.as_of:
            with made_again(given.warehouse, given.as_of) as given.warehouse:
                show(given)
        else:
            show(given)
        sys.stdout.flush()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    return DONE


@contextmanager
def made_again(warehouse: Path, batch_id: str) -> Iterator[Path]:
    """Yield a warehouse as a run left it. Raises PipelineError when it does not come out as it was."""
    import tempfile

    from lib.reproduce.replay import replay
    from lib.steps import Options

    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        if not replay(Options(warehouse=warehouse.resolve()), batch_id, Path(folder), said.append):
            raise PipelineError("\n".join([f"run {batch_id} cannot be shown as it was. Check out the code that ran then.", *said]))
        yield Path(folder) / "warehouse"


def show(given: argparse.Namespace) -> None:
    """Ask on a terminal, if nothing was asked for; else answer."""
    asked = given.database or given.format or given.limit is not None
    if not asked and sys.stdin.isatty() and sys.stdout.isatty():
        from lib.explore.menu import ask

        ask(given.warehouse)
    elif given.table or given.sql is not None:
        answer(given)
    else:
        overview(given)


def answer(given: argparse.Namespace) -> None:
    """Print, or export, a table's rows or those of a SELECT."""
    from lib.explore.export import export
    from lib.explore.readonly import Rows, find_table, open_database, select

    with open_database(given.warehouse, given.database) as database:
        table = find_table(database, given.table) if given.table else None
        sql, types = (table.sql, table.columns) if table else (given.sql, {})
        if given.export:
            print(f"{export(database, sql, types, given.export, given.limit):,} rows in {given.export}")
            return
        rows = select(database, sql)
        limited = Rows(rows.columns, islice(rows.rows, given.limit))
        write(limited, given.format, types)
        if given.format in (None, "table") and next(rows.rows, None) is not None:
            print(f"… the first {given.limit:,} rows; there are more")


def overview(given: argparse.Namespace) -> None:
    """Print the tables of one database, or of all that are there, and how many rows each has."""
    from lib.explore.readonly import DATABASES, Rows, count_rows, open_database

    there = [name for name in DATABASES if (given.warehouse / f"{name}.db").exists()]
    found = []
    for name in [given.database] if given.database else there or DATABASES[:1]:
        with open_database(given.warehouse, name) as database:
            found += [(name, table.name, count_rows(database, table)) for table in database.tables.values()]
    write(Rows(["database", "table", "rows"], islice(found, given.limit)), given.format, {})


def write(rows, format_: str | None, types: dict[str, str]) -> None:
    """Print rows in one of the formats."""
    from lib.explore import export, table

    if format_ == "csv":
        export.write_csv(rows, sys.stdout)
    elif format_ == "json":
        export.write_json(rows, sys.stdout)
    elif format_ == "md":
        export.write_markdown(rows, sys.stdout)
    else:
        table.show(rows, types)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
