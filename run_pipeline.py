#!/usr/bin/env python3
"""Carry the deliveries in a folder through raw, curated and gold. `--help` says how."""

import argparse
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lib.errors import DONE, FAILED, INTERRUPTED, PipelineError, closest
from lib.options import Parser

if TYPE_CHECKING:
    from lib.steps import Options

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
    parser.add_argument("--warehouse", default=str(PROJECT / "data/warehouse"), metavar="DIR",
                        help="folder of raw.db, curated.db, gold.db and audit.db; made when missing (default: data/warehouse). On "
                             "Spark: where the tables are, such as file:///… or s3a://…, for all workers")
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports", metavar="DIR",
                        help="folder for executed notebooks, data docs and pages (default: reports)")
    parser.add_argument("--engine", choices=("sqlite", "spark"), default="sqlite", metavar="ENGINE",
                        help="sqlite: all on this machine; spark: on a cluster (default: sqlite)")
    parser.add_argument("--master", default="", metavar="URL", help="with --engine spark: the cluster, such as spark://host:7077")
    parser.add_argument("--audit", type=Path, metavar="DIR",
                        help="with --engine spark: local folder of audit.db, of what is known of the layers, and of the archive "
                             "(default: data/warehouse)")
    parser.add_argument("--full-refresh", action="store_true",
                        help="rebuild curated and gold from all of raw. Raw is kept (new deliveries are read as always): it is "
                             "what the others are rebuilt from. The audit history is never deleted")
    parser.add_argument("--no-rebuild", action="store_true",
                        help="only warn when a step's notebook, suites or contract changed since its tables were made, instead of "
                             "rebuilding them and those behind")
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
    parser.add_argument("--now", type=_time, default="", metavar="TIME",
                        help="the run's clock, ISO 8601, in UTC unless it says otherwise: times in the layers and days since an "
                             "order count from it (default: the time at its start)")
    parser.add_argument("--keep-runs", type=_positive, default=0, metavar="N",
                        help="keep the folders of the newest N runs in the reports and delete the others (default: all stay). The "
                             "audit log keeps every run")
    parser.add_argument("--keep-archive", type=_positive, default=0, metavar="DAYS",
                        help="delete deliveries from the archive that were last read more than so many days ago, and say which runs "
                             "can then no longer be replayed (default: all stay)")
    parser.add_argument("--timings", action="store_true", help="say at the end what each phase of each step took")
    others = parser.add_argument_group("instead of a run")
    instead = others.add_mutually_exclusive_group()
    instead.add_argument("--plan", action="store_true", help="say what a run would do and why; nothing is executed or written")
    instead.add_argument("--status", action="store_true",
                         help="say how things stand: last runs, watermarks, freshness, quarantine, what to do next")
    instead.add_argument("--watch", action="store_true", help="keep running: whenever deliveries arrive, until Ctrl-C")
    instead.add_argument("--replay", metavar="BATCH_ID",
                         help="make the warehouse again as this run left it, beside this one, and say whether every table is the same")
    instead.add_argument("--verify", action="store_true",
                         help="load all that was ever delivered at once, beside this warehouse, and compare; check log, manifests, "
                              "watermarks and counts")
    instead.add_argument("--import-from", type=Path, metavar="DIR",
                         help="with --engine spark: bring a warehouse of SQLite files over, with its log, watermarks and archive, and "
                              "check every table by its digest")
    others.add_argument("--into", type=Path, metavar="DIR",
                        help="with --replay or --verify: a new folder for what they make (default: a temporary one)")
    said = parser.add_argument_group("what is said")
    said.add_argument("--json", action="store_true", help="with --status: as JSON")
    said.add_argument("--log-format", choices=("text", "json"), default="text", metavar="FORMAT",
                      help="text, or json: one object per event and line (default: text)")
    said.add_argument("--quiet", action="store_true", help="say nothing but errors")
    said.add_argument("--on-failure", metavar="CMD", help="shell command that is called when a run fails, with a summary of it as "
                                                          "JSON on its standard input")
    given = parser.parse_args(arguments)
    if given.json and not given.status:
        parser.error("--json goes with --status; for a run it is --log-format json")
    if given.into and not (given.replay or given.verify):
        parser.error("--into goes with --replay and --verify; for a run it is --warehouse")
    _check_engine(parser, given)
    return given


def _check_engine(parser: Parser, given: argparse.Namespace) -> None:
    """Exit with 2 for options that do not go with the engine."""
    if given.engine == "sqlite":
        for name in ("master", "audit", "import-from"):
            if getattr(given, name.replace("-", "_")):
                parser.error(f"--{name} goes with --engine spark")
        if "://" in given.warehouse:
            parser.error("--warehouse is a folder; an address goes with --engine spark")
        return
    if given.replay or given.verify:
        parser.error("--replay makes everything again with sqlite, whose digests are the same: leave out --engine spark and name the "
                     "folder of --audit as --warehouse. --verify reads no tables of Spark's")
    if not (given.master or given.plan or given.status):
        parser.error("--engine spark needs --master, such as spark://host:7077")
    if not find_spec("pyspark") or not find_spec("deltalake"):
        parser.error("--engine spark needs what is locked in requirements-spark.txt: pip install -r requirements-spark.txt")


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


def _time(text: str) -> str:
    from lib.clock import read_time

    try:
        return text and read_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time, such as 2026-01-31T06:00:00") from error


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share between 0 and 1")
    return share


def main(arguments: list[str]) -> int:
    """Run the pipeline, or what was asked for instead, and return the exit code."""
    given = parse_arguments(arguments)
    for signum in STOPPING:
        signal.signal(signum, _stop)
    try:
        if given.plan:
            return plan(given)
        if given.status:
            return status(given)
        if given.import_from:
            return import_from(given)
        if given.replay or given.verify:
            return DONE if check_again(given) else FAILED
        return watch(given) if given.watch else run(given)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped: what was published stays, the step that was going left nothing; run again to go on", file=sys.stderr)
        return INTERRUPTED


def options_of(given: argparse.Namespace) -> "Options":
    from dataclasses import fields

    from lib.steps import Options

    values = {field.name: getattr(given, field.name) for field in fields(Options) if field.name in given}
    values |= {name: values[name].resolve() for name in ("source", "reports")}
    if given.engine == "spark":
        from lib.spark.address import warehouse_address

        folder = (given.audit or PROJECT / "data/warehouse").resolve()
        return Options(**values | {"warehouse": folder, "tables": warehouse_address(given.warehouse)})
    return Options(**values | {"warehouse": Path(given.warehouse).resolve()})


def run(given: argparse.Namespace) -> int:
    from lib.runner.console import open_console
    from lib.runner.kernels import KernelQueue
    from lib.runner.once import run_once

    with open_console(given.log_format, given.quiet) as console:
        return run_once(options_of(given), console, given.on_failure, given.timings, KernelQueue())


def plan(given: argparse.Namespace) -> int:
    from lib.runner.console import put
    from lib.runner.plan import describe, make_plan

    put("\n".join(describe(make_plan(options_of(given)))))
    return DONE


def status(given: argparse.Namespace) -> int:
    import json

    from lib.clock import utc_now
    from lib.runner.console import put
    from lib.runner.status import describe, read_status

    found = read_status(options_of(given), utc_now())
    put(json.dumps(found, indent=1, ensure_ascii=False) if given.json else "\n".join(describe(found)))
    return DONE if found["is_well"] else FAILED


def import_from(given: argparse.Namespace) -> int:
    from lib.runner.console import put
    from lib.spark.importer import import_warehouse

    options = options_of(given)
    import_warehouse(given.import_from.resolve(), options.warehouse, options.tables, options.master, put)
    return DONE


def check_again(given: argparse.Namespace) -> bool:
    import tempfile

    from lib.reproduce.replay import replay
    from lib.reproduce.verify import verify
    from lib.runner.console import put

    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        into = given.into.resolve() if given.into else Path(temporary)
        return replay(options_of(given), given.replay, into, put) if given.replay else verify(options_of(given), into, put)


def watch(given: argparse.Namespace) -> NoReturn:
    from dataclasses import replace

    from lib.ingest.deliveries import SETTLED_SECONDS
    from lib.runner.console import open_console
    from lib.runner.kernels import KernelQueue
    from lib.runner.once import run_once
    from lib.runner.watch import watch_source
    from lib.storage.lock import LockTaken

    options = options_of(given)
    with open_console(given.log_format, given.quiet) as console:
        def run_now(waiting: KernelQueue, settled_seconds: float) -> bool:
            try:
                settled = SETTLED_SECONDS if options.snapshot else settled_seconds  # half a snapshot would delete the other half
                run_once(replace(options, settled_seconds=settled), console, given.on_failure, given.timings, waiting)
            except LockTaken:
                return False
            except PipelineError as error:
                print(f"error: {error}", file=sys.stderr, flush=True)
            return True

        watch_source(options.source, run_now, console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
