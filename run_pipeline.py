#!/usr/bin/env python3
"""Carry the deliveries in a folder through raw, curated and gold. `--help` says how."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from lib.errors import PipelineError, closest
from lib.options import DONE, FAILED, INTERRUPTED, Parser

STEP_NAMES = ("raw", "dimensions", "facts", "gold")  # lib.steps has them too, but --help should not wait for imports
SOURCE_NAMES = ("customers", "products", "orders", "order_lines", "payments")
PROJECT = Path(__file__).resolve().parent
STOPPING = (signal.SIGINT, signal.SIGTERM)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options of the command line; exits with 2 for wrong ones."""
    parser = Parser(
        description="Read what is new in the source folder and carry it through raw, curated and gold.",
        epilog="exit codes: 0 done, 1 a step failed, 2 wrong use or configuration, 3 another run is going, 130 interrupted")
    parser.add_argument("--source", type=Path, default=PROJECT / "data/source", metavar="DIR",
                        help="folder with the deliveries, CSV files (default: data/source)")
    parser.add_argument("--warehouse", type=Path, default=PROJECT / "data/warehouse", metavar="DIR",
                        help="folder of raw.db, curated.db, gold.db and audit.db; made when missing (default: data/warehouse)")
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports", metavar="DIR",
                        help="folder for executed notebooks, data docs and pages (default: reports)")
    parser.add_argument("--full-refresh", action="store_true",
                        help="rebuild curated and gold from all of raw. Raw is kept (new deliveries are read as always): it is "
                             "what the others are rebuilt from. The audit history is never deleted")
    parser.add_argument("--steps", type=_names(STEP_NAMES), default=STEP_NAMES, metavar="STEP,…",
                        help=f"run only these, in their order (default: {','.join(STEP_NAMES)})")
    parser.add_argument("--snapshot", type=_names(SOURCE_NAMES), default=(), metavar="SOURCE,…",
                        help="the new deliveries of these sources are complete: keys missing from them are marked deleted in "
                             "curated and leave gold")
    parser.add_argument("--snapshot-limit", type=_share, default=0.2, metavar="SHARE",
                        help="refuse a snapshot that would delete more than this share of its source (default: 0.2)")
    parser.add_argument("--quarantine-limit", type=_share, default=0.1, metavar="SHARE",
                        help="fail the step when more than this share of a delivery's rows, and more than one, cannot be loaded "
                             "(default: 0.1)")
    parser.add_argument("--keep-runs", type=_positive, default=0, metavar="N",
                        help="keep the folders of the newest N runs in the reports and delete the others (default: all stay). The "
                             "audit log keeps every run")
    parser.add_argument("--timings", action="store_true", help="say at the end what each phase of each step took")
    return parser.parse_args(arguments)


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return a reader of comma separated names that offers the closest match for a wrong one."""
    def read(text: str) -> tuple[str, ...]:
        names = tuple(filter(None, (name.strip() for name in text.split(","))))
        for name in names or ("",):
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown name {name!r}{closest(name, known)}; known are {', '.join(known)}")
        return names
    return read


def _stop(*_: object) -> NoReturn:
    for signum in STOPPING:
        signal.signal(signum, signal.SIG_IGN)  # stopping is a matter of a second: once asked is enough
    raise KeyboardInterrupt


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share between 0 and 1")
    return share


def main(arguments: list[str]) -> int:
    """Run the pipeline and return the exit code."""
    given = parse_arguments(arguments)
    for signum in STOPPING:
        signal.signal(signum, _stop)
    try:
        return run(given)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped: what was published stays, the step that was going left nothing; run again to go on", file=sys.stderr)
        return INTERRUPTED


def say(line: str) -> None:
    """Print a line; a reader that has gone (`| head`) does not stop the run."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(given: argparse.Namespace) -> int:
    from lib.audit import open_audit
    from lib.deliveries import check_source
    from lib.lock import run_lock

    source, warehouse, reports = given.source.resolve(), given.warehouse.resolve(), given.reports.resolve()
    if not (warehouse / "raw.db").exists():
        check_source(source)
    with run_lock(warehouse), open_audit(warehouse) as log:
        from lib.run import Options, changes_table, run  # here, not above: it takes a second, and the lock may be taken

        options = Options(source, warehouse, reports, given.full_refresh, given.steps, given.snapshot, given.snapshot_limit,
                          given.quarantine_limit, given.keep_runs)
        result = run(options, log, say)
    say("")
    say(changes_table(result))
    for warning in result.warnings():
        say(f"warning: {warning}")
    if given.timings and any(step.record for step in result.steps):
        from lib.timings import timings_table

        say("")
        say(timings_table(asdict(result)))
        say("")
    say(f"{result.verdict} in {result.seconds:.1f} s; report: {reports / 'index.html'}")
    if result.error:
        print(f"error: {result.error}", file=sys.stderr)
    return FAILED if result.error else DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
