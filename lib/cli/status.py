"""`status`: the state of the warehouse."""

from typing import Any

import click

from lib.cli.options import KEEP, LIMITS, WHAT, WHERE, epilog, option, options_of
from lib.errors import DONE, FAILED, WARNED


@click.command(epilog=epilog(
    "status --json",
    "0 there is nothing to do, 1 there is, 2 wrong use or configuration, 4 only warnings, "
    "130 interrupted",
    "Give it the options of your runs: the command that it suggests then has them, too."))
@WHERE
@WHAT
@LIMITS
@KEEP
@option("--json", "as_json", is_flag=True, help="print the status as JSON")
def command(as_json: bool, **given: Any) -> int:
    """Say how things stand: last runs, watermarks, freshness, quarantine, warnings, and what to do next.

    Nothing is written.
    """
    import json

    from lib.clock import utc_now
    from lib.runner.console import put
    from lib.runner.status import describe, read_status

    status = read_status(options_of(given, needs_master=False), utc_now())
    put(json.dumps(status, indent=1, ensure_ascii=False) if as_json else "\n".join(describe(status)))
    if not status["is_well"]:
        return FAILED
    return WARNED if status["warnings"] else DONE
