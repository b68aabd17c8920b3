"""`query`: what is in the databases."""

from pathlib import Path
from typing import Any

import click

from lib.cli.options import FOLDER, epilog, one_of, option


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number of rows")
    return int(text)


@click.command(epilog=epilog(
    "query gold reporting_customer_stats --limit 20",
    "0 done, 1 a file cannot be used, 2 wrong use, such as a SELECT with a mistake, 130 interrupted"))
@click.argument("database", required=False, help="raw, curated, gold or audit; alone, it lists its tables")
@click.argument("table", required=False, help="show this table's rows, in order of its key")
@option("--sql", metavar="SELECT", help="show what this SELECT returns")
@option("--limit", type=_count, metavar="N", help="show this many rows at most (default: all)")
@option("--format", type=one_of(("table", "csv", "json", "md")), metavar="FORMAT",
        help="table, csv, json or md (default: table, which is paged on a terminal)")
@option("--export", type=Path, metavar="FILE",
        help="write the rows to this new file instead: .csv, .parquet or .xlsx. Without a table, an .xlsx "
             "file gets all tables that people read, a sheet each")
@option("--excel", is_flag=True,
        help="begin CSV with a byte-order mark, by which Excel reads letters such as ä as they are")
@option("--as-of", metavar="BATCH_ID",
        help="show the databases as this run left them, rebuilt from the archive")
@FOLDER
def command(**given: Any) -> int:
    """Show what is in the databases. They are opened for reading: nothing that is typed changes them.

    Without arguments, on a terminal, it asks what you want to see.
    """
    from lib.explore.query import Question, answer

    question = Question(**given)
    if question.table and question.sql is not None:
        raise click.UsageError("a table or --sql, not both")
    if question.sql is not None and not question.database:
        raise click.UsageError("--sql needs the name of a database: raw, curated, gold or audit")
    if question.export and question.format:
        raise click.UsageError("--format or --export, not both: the suffix of the file says what is written")
    if question.export and not question.database:
        raise click.UsageError("--export needs the name of a database: raw, curated, gold or audit")
    is_csv = question.export.suffix == ".csv" if question.export else question.format == "csv"
    if question.excel and not is_csv:
        raise click.UsageError("--excel goes with --format csv, or with --export and a .csv file")
    return answer(question)
