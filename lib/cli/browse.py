"""`browse`: databases and reports in a web browser."""

from pathlib import Path

import click

from lib.cli.options import FOLDER, REPORTS, epilog, option


@click.command(epilog=epilog(
    "browse --port 8080", "0 ended by Ctrl-C, 1 a database cannot be read, 2 wrong use or configuration"))
@FOLDER
@REPORTS
@option("--port", type=int, default=8001, metavar="N",
        help="where to listen; 0: any free port (default: 8001)")
def command(warehouse: Path, reports: Path, port: int) -> int:
    """Open databases, reports and data docs in your web browser, until Ctrl-C.

    Only the address that it prints opens them.
    """
    from lib.explore.browse import serve

    return serve(warehouse, reports, port)
