"""`import`: a warehouse of SQLite files for Spark."""

from pathlib import Path
from typing import Any

import click

from lib.cli.options import epilog, option, options_of


@click.command("import", epilog=epilog(
    "import data/warehouse --master spark://host:7077 --warehouse s3a://bucket/shop --audit audit",
    "0 done, 1 a table could not be brought over, 2 wrong use or configuration, 3 a run is going on, "
    "130 interrupted"))
@click.argument("folder", type=Path, metavar="DIR", help="the warehouse of SQLite files; it stays as it is")
@option("--master", required=True, metavar="URL", help="the cluster, such as spark://host:7077")
@option("--warehouse", metavar="DIR",
        help="where the tables will be, for all workers: an address such as file:///… or s3a://… (default: "
             "data/warehouse)")
@option("--audit", type=Path, metavar="DIR",
        help="new local folder for audit.db, for what is known about the layers, and for the archive "
             "(default: data/warehouse)")
def command(folder: Path, **given: Any) -> None:
    """Bring the warehouse in DIR over to Spark, and check every table by its digest.

    Its log, watermarks, manifests and archive come along.
    """
    options = options_of({**given, "engine": "spark"})
    from lib.runner.console import put
    from lib.spark.importer import import_warehouse

    import_warehouse(folder.resolve(), options.warehouse, options.tables, options.master, put)
