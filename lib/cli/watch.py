"""`watch`: a run whenever deliveries arrive."""

import sys
from typing import TYPE_CHECKING, Any

import click

from lib.cli.options import RUN, alerts_of, epilog, options_of
from lib.errors import PipelineError, printable

if TYPE_CHECKING:
    from lib.runner.kernels import KernelQueue


@click.command(epilog=epilog(
    "watch --source /srv/deliveries",
    "1 the source folder has gone, 2 wrong use or configuration, 130 interrupted"))
@RUN
def command(log_format: str, quiet: bool, on_failure: str | None, notify: str | None, digest: bool,
            timings: bool, **given: Any) -> None:
    """Run at once, and again whenever deliveries arrive, until Ctrl-C.

    A run that fails is reported, and the watch goes on.
    """
    from dataclasses import replace

    from lib.runner.console import open_console
    from lib.runner.once import alert, run_once
    from lib.runner.watch import watch_source
    from lib.step.suites import check_suites
    from lib.steps import SETTLED_SECONDS
    from lib.storage.lock import LockTaken

    options = options_of(given)
    alerts = alerts_of(notify, digest, options)
    with open_console(log_format, quiet) as console:
        def run_now(kernels: "KernelQueue", settled_seconds: float) -> bool:
            """Run once and return True, or return False when another run holds the lock."""
            # Half a snapshot would delete the other half: wait as long as a run by hand would.
            settled = SETTLED_SECONDS if options.snapshot else settled_seconds
            try:
                run_once(replace(options, settled_seconds=settled), console, on_failure, alerts, timings,
                         kernels)
            except LockTaken:
                return False
            except PipelineError as error:
                print(f"error: {printable(str(error))}", file=sys.stderr, flush=True)
            return True

        try:
            check_suites(options.warehouse)  # every run does, but then a delivery waits for what this reads
            watch_source(options.source, run_now, console)
        except PipelineError as error:
            alert(alerts, options, None, str(error))
            raise
