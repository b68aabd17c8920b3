"""Make one run as the command does: take the lock, run, print the end, call the hook, send alerts."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from lib.errors import DONE, FAILED, INTERRUPTED, as_ours, printable
from lib.ingest.deliveries import check_source
from lib.runner.console import Console
from lib.runner.kernels import KernelQueue
from lib.steps import Options
from lib.storage.audit import open_audit
from lib.storage.lock import LockTaken, run_lock

if TYPE_CHECKING:
    from lib.runner.alerts import Alerts
    from lib.runner.result import RunResult


def run_once(options: Options, console: Console, on_failure: str | None, alerts: "Alerts | None",
             timings: bool, waiting: KernelQueue) -> int:
    """Run the pipeline once and return the exit code; call the hook `on_failure` when the run failed, and
    send `alerts`.

    With `timings`, `console` also gets the seconds of each phase of each step. `waiting` may hold kernels
    that are ready.

    Raises PipelineError when the run could not begin, after calling the hook and sending alerts unless
    another run has the lock, and KeyboardInterrupt when it was stopped.
    """
    try:
        if not (options.warehouse / "raw.db").exists():
            check_source(options.source)
        with run_lock(options.warehouse), open_audit(options.warehouse) as log:
            # Here, not above: the import takes a second, and the lock may be taken already.
            from lib.runner.run import run

            result = run(options, log, console, waiting)
    except LockTaken:
        raise
    except KeyboardInterrupt:
        console("run_stopped", exit_code=INTERRUPTED)
        raise
    except Exception as unexplained:
        from lib.runner.failure import command

        error = as_ours(unexplained)
        console("run_refused", exit_code=error.exit_code, error=str(error))
        _call(on_failure, {"verdict": "failed", "error": str(error), "exit_code": error.exit_code,
                           "source": str(options.source), "warehouse": str(options.warehouse),
                           "command": command(options)})
        alert(alerts, options, None, str(error))
        raise error from unexplained
    from lib.runner.failure import last_lines, summary

    exit_code, table = FAILED if result.error else DONE, None
    if timings and any(step.record for step in result.steps):
        from lib.runner.timings import timings_table

        table = timings_table(asdict(result))
    console("run_ended", verdict=result.verdict, exit_code=exit_code, seconds=round(result.seconds, 3),
            error=result.error, report=str(options.reports / "index.html"), tables=result.tables(),
            warnings=result.warnings(), observed=result.observed(), timings=table)
    if result.error:
        print(printable("\n".join(last_lines(result, options))), file=sys.stderr, flush=True)
        _call(on_failure, summary(result, options, exit_code))
    alert(alerts, options, result)
    return exit_code


def alert(alerts: "Alerts | None", options: Options, result: "RunResult | None", error: str = "") -> None:
    """Send alerts after a run, or after the `error` for which it has no result. What goes wrong with them is
    a warning: the run is over.
    """
    if alerts:
        from lib.runner.alerts import send_alerts

        try:
            problems = send_alerts(alerts, options, result, error)
        except Exception as defect:  # its message could name an address
            problems = [f"alerts could not be sent ({type(defect).__name__}). The run is not affected"]
        for problem in problems:
            print(f"warning: {printable(problem)}", file=sys.stderr, flush=True)


def _call(hook: str | None, summary: dict) -> None:
    if hook:
        from lib.runner.hook import call_hook

        if problem := call_hook(hook, summary):
            print(f"warning: {problem}", file=sys.stderr, flush=True)
