"""`add`: a source of the shop, with everything that it needs in the project."""

from pathlib import Path

import click

from lib.cli.options import epilog, option
from lib.errors import DONE


@click.command(epilog=epilog(
    "add source shipments --key shipment_id --from ~/shipments.csv",
    "0 done, 1 a file cannot be read or written, 2 wrong use or configuration, 130 interrupted"))
@click.argument("what", type=click.Choice(["source"]))
@click.argument("name", metavar="NAME")
@option("--key", required=True, metavar="COLUMN", help="the column that tells one row from another")
@option("--from", "file", required=True, type=Path, metavar="FILE",
        help="a file of the source, whose columns have the names that the contract shall have")
def command(what: str, name: str, key: str, file: Path) -> int:
    """Add a source NAME: its contract, suites, meanings, and the cells that load it as a fact table.

    Says what is left to do. Writes nothing if it cannot write all.
    """
    from lib.adopt.add import add_source, save
    from lib.runner.console import put

    addition = add_source(name, key, file.expanduser())
    save(addition)
    put("\n".join(addition.lines))
    return DONE
