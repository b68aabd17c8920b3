"""`browse`: databases and reports in a web browser."""

from pathlib import Path

import click

from lib.cli.options import FOLDER, REPORTS, epilog, option


@click.command(epilog=epilog("browse --port 8080", "0 ended by Ctrl-C, 2 wrong use or configuration"))
@FOLDER
@REPORTS
@option("--port", type=int, default=8001, metavar="N",
        help="where to listen; 0: any free port (default: 8001)")
def command(warehouse: Path, reports: Path, port: int) -> int:
    """Show databases, reports and data docs in a web browser, to this machine only, until Ctrl-C."""
    from lib.explore.browse import serve

    return serve(warehouse, reports, port)
