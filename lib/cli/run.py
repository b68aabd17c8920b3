"""A run, which is what the command does without a verb."""

from typing import Any

from lib.cli.options import alerts_of, options_of


def run(log_format: str, quiet: bool, on_failure: str | None, notify: str | None, digest: bool,
        timings: bool, **given: Any) -> int:
    """Run the pipeline once and return the exit code."""
    from lib.runner.console import open_console
    from lib.runner.kernels import KernelQueue
    from lib.runner.once import run_once

    options = options_of(given)
    alerts = alerts_of(notify, digest, options)
    with open_console(log_format, quiet) as console:
        return run_once(options, console, on_failure, alerts, timings, KernelQueue())
