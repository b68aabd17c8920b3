"""`query`: what is in the databases, and the answers to the questions that people ask every day."""

from pathlib import Path
from typing import Any

import click

from lib.cli.options import FOLDER, Option, epilog, one_of, option


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number of rows")
    return int(text)


class Command(click.Command):
    """The command with one more option for each parameter of the question that is asked."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before = zip(["", *args], args, strict=False)
        ctx.meta["asked"] = next((word.removeprefix("--ask=") for option, word in before
                                  if option == "--ask" or word.startswith("--ask=")), "")
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        asked = ctx.meta.get("asked", "")
        if not asked or asked.startswith("-"):
            return params
        from lib.explore.questions import question_named

        return params + [Option([f"--{name}"], metavar="VALUE", help=about)
                         for name, about in question_named(asked).parameters.items()]


@click.command(cls=Command, epilog=epilog(
    "query --ask sales_by_category --month 2025-12",
    "0 done, 1 a file cannot be used, 2 wrong use, such as a SELECT with a mistake, 130 interrupted"))
@click.argument("database", required=False, help="raw, curated, gold or audit; alone, it lists its tables")
@click.argument("table", required=False, help="show this table's rows, in order of its key")
@option("--sql", metavar="SELECT", help="show what this SELECT returns")
@option("--ask", metavar="[NAME]", is_flag=False, flag_value="",
        help="answer this question, with its parameters as options: --ask sales_by_category --month 2025-12. "
             "Without a name, it lists the questions")
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
def command(ask: str | None, **given: Any) -> int:
    """Show what is in the databases. They are opened for reading: nothing that is typed changes them.

    Without arguments, on a terminal, it asks what you want to see.
    """
    from lib.explore.query import Request, answer
    from lib.explore.questions import question_named

    question = question_named(ask) if ask else None
    values = {name: given.pop(name) or "" for name in question.parameters} if question else {}
    request = Request(**given, question=question, values=values, lists_questions=ask == "")
    if request.table and request.sql is not None:
        raise click.UsageError("a table or --sql, not both")
    if ask is not None and (request.database or request.sql is not None):
        raise click.UsageError("--ask, or a database with a table or --sql, not both: a question knows its "
                               "database")
    if request.sql is not None and not request.database:
        raise click.UsageError("--sql needs the name of a database: raw, curated, gold or audit")
    if request.export and request.format:
        raise click.UsageError("--format or --export, not both: the suffix of the file says what is written")
    if request.export and not request.database and not question:
        raise click.UsageError("--export needs the name of a database: raw, curated, gold or audit")
    is_csv = request.export.suffix == ".csv" if request.export else request.format == "csv"
    if request.excel and not is_csv:
        raise click.UsageError("--excel goes with --format csv, or with --export and a .csv file")
    return answer(request)
