"""`plan`: what a run would do."""

from typing import Any

import click

from lib.cli.options import NOW, WHAT, WHERE, epilog, options_of


@click.command(epilog=epilog(
    "plan --snapshot orders",
    "0 done, 1 a file cannot be used, 2 wrong use or configuration, 130 interrupted"))
@WHERE
@WHAT
@NOW
def command(**given: Any) -> None:
    """Say what a run with these options would do and why. Nothing is executed or written."""
    from lib.runner.console import put
    from lib.runner.plan import describe, make_plan

    put("\n".join(describe(make_plan(options_of(given, needs_master=False)))))
