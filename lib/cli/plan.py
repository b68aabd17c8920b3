"""`plan`: what a run would do."""

from typing import Any

import click

from lib.cli.options import NOW, WHAT, WHERE, epilog, options_of
from lib.errors import DONE, FAILED


@click.command(epilog=epilog(
    "plan --snapshot orders",
    "0 done, 1 a file cannot be loaded, 2 wrong use or configuration, 130 interrupted"))
@WHERE
@WHAT
@NOW
def command(**given: Any) -> int:
    """Say what a run with these options would do and why. Nothing is executed or written."""
    from lib.runner.console import put
    from lib.runner.plan import describe, make_plan

    plan = make_plan(options_of(given, needs_master=False))
    put("\n".join(describe(plan)))
    return FAILED if plan.refused else DONE
