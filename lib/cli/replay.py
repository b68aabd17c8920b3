"""`replay`: the warehouse as a past run left it."""

import tempfile
from pathlib import Path

import click

from lib.cli.options import FOLDER, INTO, epilog, options_of
from lib.errors import DONE, FAILED


@click.command(epilog=epilog(
    "replay 20260106T051500.530114 --into /tmp/replayed",
    "0 every table is the same, 1 a table differs or a file cannot be used, 2 wrong use or configuration, "
    "130 interrupted",
    "For runs on Spark, --warehouse is the folder that they had as --audit: everything is rebuilt on this "
    "machine, with the same digests."))
@click.argument("batch_id", help="the run, as in audit.db and in the name of its folder in the reports")
@FOLDER
@INTO
def command(batch_id: str, warehouse: Path, into: Path | None) -> int:
    """Rebuild in another folder the warehouse that the run BATCH_ID left, and compare every table."""
    from lib.reproduce.replay import replay
    from lib.runner.console import put
    from lib.storage.temporary import use_temporary_folder

    options = options_of({"warehouse": warehouse})
    use_temporary_folder()
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        return DONE if replay(options, batch_id, (into or Path(temporary)).resolve(), put) else FAILED
