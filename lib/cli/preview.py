"""`preview`: what the rules as they are now would do to all of history."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lib.cli.options import FOLDER, LIMITS, NOW, REPORTS, epilog, option, options_of
from lib.errors import DIFFERENT, DONE, FAILED


@click.command(epilog=epilog(
    "preview --with-new",
    "0 nothing would become different, 1 a run would fail or an example fails, 2 wrong use or configuration, "
    "3 a run is going on, 10 something would become different, 130 interrupted",
    "Spark's tables are not read."))
@FOLDER
@REPORTS
@option("--source", type=Path, metavar="DIR", help="folder with the deliveries (default: data/source)")
@option("--with-new", is_flag=True,
        help="also read the deliveries that wait in the source folder, with the clock of this moment. "
             "Without it, the clock is that of the run that made gold: differences come from the rules")
@LIMITS
@NOW
@option("--json", "as_json", is_flag=True, help="print the preview as JSON")
def command(as_json: bool, with_new: bool, **given: Any) -> int:
    """Build curated and gold by the rules as they are now, beside the warehouse, and say what would change.

    Which rules have changed, which rows, columns and totals would become different, and what would be set
    aside or let in. The examples of the rules are tried, too. The warehouse, its log and the source folder
    stay as they are. The page is preview/index.html in the reports.
    """
    import json

    from lib.preview.build import make_preview
    from lib.preview.examples import try_examples
    from lib.preview.show import describe, write_preview
    from lib.report.examples import read_examples
    from lib.runner.console import put
    from lib.step.suites import check_suites
    from lib.storage.temporary import use_temporary_folder

    options = options_of(given)
    use_temporary_folder()
    check_suites(options.warehouse, read_only=True)
    examples = read_examples()
    with tempfile.TemporaryDirectory(prefix="preview-") as folder:
        preview = make_preview(options, Path(folder), with_new=with_new)
    tried = try_examples(examples)
    page, lines = write_preview(preview, tried, options.reports), describe(preview, tried)
    if as_json:
        shown = {"is_different": preview.is_different, "lines": lines, "page": str(page), **asdict(preview),
                 "examples": tried.number, "failed_examples": tried.failed}
        put(json.dumps(shown, indent=1, ensure_ascii=False))
    else:
        put("\n".join([*lines, f"page: {page}"]))
    if preview.error or tried.failed:
        return FAILED
    return DIFFERENT if preview.is_different else DONE
