"""`adopt`: a declaration for files as they are."""

from pathlib import Path

import click

from lib.cli.options import epilog, option
from lib.errors import DONE, FAILED


@click.command(epilog=epilog(
    "adopt ~/Downloads/export --write my_shop",
    "0 nothing is left to answer, 1 questions are open or no table can be read, 2 wrong use or "
    "configuration, 130 interrupted"))
@click.argument("paths", nargs=-1, required=True, type=Path, metavar="PATH...",
                help="exports to look at: files, or folders with them")
@option("--write", metavar="NAME",
        help="save the declaration as data/contract/systems/NAME.yaml, which must not exist")
def command(paths: tuple[Path, ...], write: str | None) -> int:
    """Look at the files in PATH, and propose how to read them.

    Says what each file is, asks what it cannot know, and shows what would be loaded. Nothing is written
    without --write.
    """
    from lib.adopt.adopt import adopt, check_name, save
    from lib.runner.console import put

    path = check_name(write) if write is not None else None
    adoption = adopt([path.expanduser() for path in paths], write or "proposed")
    put("\n".join(adoption.lines))
    if adoption.text:
        put("\n" + "\n".join(save(adoption, path) if path else [
            "nothing was written: --write NAME saves the declaration"]))
    return FAILED if adoption.questions else DONE
