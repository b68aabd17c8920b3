"""`verify`: whether everything is still as it should be."""

import tempfile
from pathlib import Path

import click

from lib.cli.options import FOLDER, INTO, REPORTS, epilog, options_of
from lib.errors import DONE, FAILED


@click.command(epilog=epilog(
    "verify --warehouse /srv/warehouse",
    "0 all is well, 1 something is wrong, 2 wrong use or configuration, 3 a run is going on, 130 interrupted",
    "Spark's tables are not read: replay the last run instead."))
@FOLDER
@REPORTS
@INTO
def command(warehouse: Path, reports: Path, into: Path | None) -> int:
    """Check log, manifests, watermarks and counts, and compare every table with one full load.

    The full load of all deliveries is made in another folder and takes as long as a first run.
    """
    from lib.reproduce.verify import verify
    from lib.runner.console import put
    from lib.storage.temporary import use_temporary_folder

    options = options_of({"warehouse": warehouse, "reports": reports})
    use_temporary_folder()
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        return DONE if verify(options, (into or Path(temporary)).resolve(), put) else FAILED
