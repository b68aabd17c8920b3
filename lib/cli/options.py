"""Options that several verbs share: how their values are read and become the Options of a run."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lib.errors import closest, printable
from lib.spark.address import warehouse_address
from lib.steps import STEPS, Options

if TYPE_CHECKING:
    from lib.runner.alerts import Alerts


class Option(click.Option):
    """An option that never takes another option for its value, as click's would in `--source --quiet`."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        known = [name for other in ctx.command.params for name in other.opts]
        if isinstance(value, str) and value.partition("=")[0] in known:
            raise click.BadOptionUsage(self.opts[0], f"Option {self.opts[0]!r} requires an argument.", ctx)
        return super().process_value(ctx, value)


def option(*names: str, **how: Any) -> Callable:
    """Return an option as a decorator."""
    return click.option(*names, cls=Option, **how)


def epilog(example: str, exit_codes: str, *notes: str) -> str:
    """Return what a help text ends with."""
    example = f"\b\nExample:\n  python run_pipeline.py {example}"  # click does not wrap what follows \b
    return "\n\n".join([*notes, example, f"exit codes: {exit_codes}"])


def _group(*decorators: Callable) -> Callable:
    """Return one decorator that gives a command several options, in this order."""
    def decorate(function: Callable) -> Callable:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function
    return decorate


def one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    """Return a reader of a name that offers the closest match for a wrong one."""
    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"unknown name {text!r}{closest(text, known)}; known are {', '.join(known)}")
        return text
    return read


def some_of(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return a reader of comma-separated names that offers the closest match for a wrong one."""
    def read(text: str) -> tuple[str, ...]:
        names = [name.strip() for name in text.split(",")]
        return tuple(map(one_of(known), list(filter(None, names)) or [""]))
    return read


def _sources(text: str) -> tuple[str, ...]:
    from lib.contract import SOURCES  # here, not above: a wrong contract is an error of the command

    return some_of(tuple(SOURCES))(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a number of 1 or more")
    return int(text)


def _time(text: str) -> str:
    from lib.clock import EARLIEST, LATEST, read_time

    try:
        return text and read_time(text)
    except OverflowError as error:
        raise ValueError(f"{text!r} is not between {EARLIEST} and {LATEST} in UTC") from error
    except ValueError as error:
        raise ValueError(f"{text!r} is not an ISO 8601 time, such as 2026-01-31T06:00:00") from error


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"{text!r} is not a share between 0 and 1")
    return share


# What is left out has the default of lib.steps.Options, which the help texts repeat.
FOLDER = option("--warehouse", type=Path, default=Options.warehouse, metavar="DIR",
                help="folder of the four databases (default: data/warehouse)")
REPORTS = option("--reports", type=Path, default=Options.reports, metavar="DIR",
                 help="folder for executed notebooks, data docs and pages (default: reports)")
WHERE = _group(
    option("--source", type=Path, metavar="DIR",
           help="folder with the deliveries, CSV files (default: data/source)"),
    option("--warehouse", metavar="DIR",
           help="folder of raw.db, curated.db, gold.db and audit.db, created if it is missing (default: "
                "data/warehouse). With --engine spark: the address of the tables, such as file:///… or "
                "s3a://…, which all workers can reach"),
    REPORTS,
    option("--engine", type=one_of(("sqlite", "spark")), metavar="ENGINE",
           help="sqlite: everything on this machine; spark: on a cluster (default: sqlite)"),
    option("--master", metavar="URL",
           help="with --engine spark: the cluster, such as spark://host:7077"),
    option("--audit", type=Path, metavar="DIR",
           help="with --engine spark: local folder of audit.db, of what is known about the layers, and of "
                "the archive (default: data/warehouse)"))
WHAT = _group(
    option("--full-refresh", is_flag=True,
           help="rebuild curated and gold from all of raw. Raw is kept, since the others are rebuilt from it "
                "(new deliveries are read as always). The audit history is never deleted"),
    option("--no-rebuild", is_flag=True,
           help="only warn when a step's notebook, suites or contract changed since its tables were made, "
                "instead of rebuilding them and the tables that depend on them"),
    option("--steps", type=some_of(tuple(STEPS)), metavar="STEP,…",
           help=f"run only these steps, in their usual order (default: {','.join(STEPS)})"),
    option("--snapshot", type=_sources, metavar="SOURCE,…",
           help="the new deliveries of these sources are complete: keys missing from them are marked deleted "
                "in curated and leave gold"))
LIMITS = _group(
    option("--snapshot-limit", type=_share, metavar="SHARE",
           help="refuse a snapshot that would delete more than this share of its source (default: 0.2)"),
    option("--quarantine-limit", type=_share, metavar="SHARE",
           help="fail the step when more than this share of a delivery's rows, and more than one row, cannot "
                "be loaded (default: 0.1)"),
    option("--all-or-nothing", is_flag=True,
           help="load no delivery when one cannot be loaded; otherwise the run loads the others, names what "
                "is missing, and exits with 1"))
NOW = option("--now", type=_time, metavar="TIME",
             help="the run's clock, as an ISO 8601 time, in UTC unless it says otherwise: times in the "
                  "layers and days since an order count from it (default: the time when the run starts)")
KEEP = _group(
    option("--keep-runs", type=_positive, metavar="N",
           help="keep the folders of the N runs that were started last and delete the others (default: keep "
                "all). The audit log keeps every run"),
    option("--keep-archive", type=_positive, metavar="DAYS",
           help="delete deliveries from the archive that were last read more than this many days ago, and "
                "report which runs can then no longer be replayed (default: keep all)"))
RUN = _group(
    WHERE, WHAT, LIMITS, NOW, KEEP,
    option("--timings", is_flag=True, help="print at the end how long each phase of each step took"),
    option("--log-format", type=one_of(("text", "json")), default="text", metavar="FORMAT",
           help="text, or json: one object per event and line (default: text)"),
    option("--quiet", is_flag=True, help="print nothing but warnings and errors, both on stderr"),
    option("--on-failure", metavar="CMD",
           help="shell command that is called when a run fails, with a summary of the run as JSON on its "
                "standard input"),
    option("--notify", metavar="[FILE]", is_flag=False, flag_value="",
           help="send alerts to people: a failure, that it works again, new warnings, overdue sources. The "
                "addresses are in the environment variable PIPELINE_NOTIFY, or in FILE, one a line"),
    option("--digest", is_flag=True,
           help="with --notify: also send the figures of the report, once a day"))
INTO = option("--into", type=Path, metavar="DIR",
              help="new folder in which to rebuild, and to keep what was rebuilt (default: a temporary one)")


def options_of(given: dict[str, Any], needs_master: bool = True) -> Options:
    """Return the Options of a run from what the command line gave; None stands for what it left out.

    Raises click.UsageError for options that do not go with the engine, and for names that cannot be written
    into the log, and DeclarationError for a wrong declaration in data/contract: nothing has begun yet.
    """
    from lib.systems import systems  # here, not above, as for the sources

    systems()
    values = {name: value for name, value in given.items() if value is not None}
    audit, warehouse = values.pop("audit", None), values.pop("warehouse", Options.warehouse)
    if values.get("engine") == "spark":
        _check_spark(needs_master and not values.get("master"))
        values |= {"warehouse": audit or Options.warehouse, "tables": warehouse_address(str(warehouse))}
    else:
        for name, value in (("master", values.get("master")), ("audit", audit)):
            if value:
                raise click.UsageError(f"--{name} goes with --engine spark")
        if "://" in str(warehouse):
            raise click.UsageError("--warehouse is a folder; an address goes with --engine spark")
        values["warehouse"] = Path(warehouse)
    for name in ("source", "warehouse", "reports"):
        values[name] = values.get(name, getattr(Options, name)).resolve()
        if printable(str(values[name])) != str(values[name]):
            raise click.UsageError(f"the name of folder {values[name]} has characters that are not UTF-8 or "
                                   f"cannot be shown: rename it, or name another with --{name}")
    return Options(**values)


def alerts_of(notify: str | None, digest: bool, options: Options) -> "Alerts | None":
    """Return the alerts that the command line asks for; None if it asks for none.

    Raises click.UsageError for `--digest` alone, and UsageError for addresses that cannot be used.
    """
    if notify is None:
        if digest:
            raise click.UsageError("--digest goes with --notify")
        return None
    from lib.runner.addresses import read_addresses  # here, not above: most runs send no alerts
    from lib.runner.alerts import Alerts

    return Alerts(read_addresses(notify, options), digest)


def _check_spark(lacks_master: bool) -> None:
    if lacks_master:
        raise click.UsageError("--engine spark needs --master, such as spark://host:7077")
    if not find_spec("pyspark") or not find_spec("deltalake"):
        raise click.UsageError("--engine spark needs what is locked in requirements-spark.txt: "
                               "pip install -r requirements-spark.txt")
