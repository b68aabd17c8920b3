"""Plan a run: what it would do, and why. Planning changes no byte of source, warehouse or reports."""

from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from lib.clock import utc_now
from lib.errors import PipelineError
from lib.ingest.deliveries import Delivery, check_source, may_lack
from lib.runner.decide import (
    check_clock,
    explain_changed_rules,
    find_changed_rules,
    is_rebuild,
    look_at_source,
    why_run,
)
from lib.runner.found_files import SKIPPED, describe_files
from lib.step.suites import check_suites
from lib.steps import STEPS, Options, StepSpec
from lib.storage import audit, lookup
from lib.systems import system_named


@dataclass(frozen=True)
class PlannedStep:
    """What a run would do in a step. `runs` is "yes", "no" or "if" (earlier steps bring new rows)."""

    spec: StepSpec
    runs: str
    why: str
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    options: Options
    deliveries: list[Delivery]
    steps: list[PlannedStep]
    warnings: list[str]
    refused: dict[str, str]  # by delivery: why it could not be loaded, as far as its first block shows


def make_plan(options: Options) -> Plan:
    """Return what a run with these options would do. Raises what such a run would raise before it began."""
    if not (options.warehouse / "raw.db").exists():
        check_source(options.source)
    known = lookup.known_deliveries(options.warehouse, read_only=True)
    deliveries, warnings = look_at_source(options, known, options.now or utc_now())
    marks, changed, strange = _read_log(options)
    warnings = [*warnings, *filter(None, [strange])]
    to_read = [delivery for delivery in deliveries if delivery.is_to_read]
    refused = {delivery.name: error for delivery in to_read if (error := _foresee(options, delivery))}
    loadable = [delivery for delivery in to_read if delivery.name not in refused]
    if refused and options.all_or_nothing:
        loadable = []
    steps: list[PlannedStep] = []
    changing: dict[str, str] = {}  # the tables that earlier steps may change, and by what
    rebuilding: set[str] = set()  # the steps among these causes that rebuild their tables
    for spec in STEPS.values():
        if spec.name not in options.steps:
            steps.append(PlannedStep(spec, "no", "not among --steps", ()))
            continue
        why = why_run(options, spec, len(to_read), marks[spec.name], changed[spec.name], read_only=True)
        causes = [changing[table] for table in spec.inputs if table in changing]
        if not why and rebuilding.intersection(causes):
            why = f"{', '.join(sorted(rebuilding.intersection(causes)))} rebuilds tables that it reads"
        if spec.name == "raw":
            outputs = _find_causes(spec, loadable)
        else:
            outputs = dict.fromkeys(spec.outputs, f"step {spec.name}") if why or causes else {}
        steps.append(PlannedStep(spec, *_explain(why, causes), tuple(outputs)))
        changing |= outputs
        if changed[spec.name]:
            rebuilds = is_rebuild(options, spec, changed[spec.name])
            rebuilding |= {f"step {spec.name}"} if rebuilds else set()
            if not rebuilds and (spec.name != "raw" or to_read):
                warnings.append(explain_changed_rules(spec, changed[spec.name], False))
    if any(step.runs != "no" for step in steps):
        check_suites(options.warehouse, read_only=True)
    return Plan(options, deliveries, steps, warnings, refused)


def _foresee(options: Options, delivery: Delivery) -> str | None:
    """Return why a run could not load a delivery, as far as its first block shows."""
    # Here, not above: a plan without new deliveries should not wait for these.
    from lib.ingest.declared import open_rows
    from lib.step import raw_tables
    from lib.step.quarantine import NO_ROWS, is_too_much

    path, lines, bad = delivery.path(options.source), 0, []
    try:
        opened = open_rows(path, delivery.table, system_named(delivery.system), delivery.source,
                           is_first_block=True, may_lack=may_lack(delivery, options.source))
        raw_tables.check_columns(delivery, opened.header.names)
        for batch in opened.read():
            bad += [line for line in batch.rejected.to_pylist() if line["rule"] not in NO_ROWS]
            lines += batch.rows.num_rows
    except PipelineError as error:
        return str(error)
    lines += len(bad)
    if not is_too_much(len(bad), lines, options.quarantine_limit):
        return None
    of_all = "" if opened.is_whole else "first "
    return (f"{path}, line {bad[0]['source_row']}: {bad[0]['reason']}. {len(bad):,} of its {of_all}{lines:,} "
            f"rows cannot be loaded, more than {options.quarantine_limit:.0%}.")


def _read_log(options: Options) -> tuple[dict[str, audit.Watermark], dict[str, str], str]:
    """Return each step's watermark and changed rules, those of a first run when there is no log yet; and what
    is strange about the clock."""
    if not (options.warehouse / "audit.db").exists():
        return dict.fromkeys(STEPS, audit.Watermark()), dict.fromkeys(STEPS, ""), ""
    with audit.open_audit_to_read(options.warehouse) as log:
        return ({name: audit.read_watermark(log, name) for name in STEPS},
                {name: find_changed_rules(log, spec) for name, spec in STEPS.items()},
                check_clock(options, log, options.now or utc_now(), read_only=True))


def _find_causes(raw: StepSpec, to_read: list[Delivery]) -> dict[str, str]:
    """Return the tables of raw for which there are deliveries to read, and which these are."""
    causes = {}
    for table in raw.outputs:
        if names := [delivery.name for delivery in to_read if delivery.source == table]:
            causes[table] = " or ".join(names)
    return causes


def _explain(why: str, causes: list[str]) -> tuple[str, str]:
    """Return whether a step runs ("yes", "no" or "if") and why."""
    if why:
        return "yes", why
    if causes:
        return "if", f"{' or '.join(dict.fromkeys(causes))} brings new rows"
    return "no", "nothing new"


def describe(plan: Plan) -> list[str]:
    """Return a plan as lines for a terminal."""
    to_read = [delivery for delivery in plan.deliveries if delivery.is_to_read]
    size = sum({delivery.file or delivery.name: delivery.size for delivery in to_read}.values())
    count, in_all = (len({delivery.file or delivery.name for delivery in some})
                     for some in (to_read, plan.deliveries))
    lines = [f"deliveries to read: {count} of {in_all} files in {plan.options.source}, {size:,} bytes"]
    width = max((len(delivery.name) for delivery in to_read), default=0)
    for name, parts in groupby(to_read, attrgetter("name")):
        found = list(parts)
        is_snapshot = any(delivery.source in plan.options.snapshot for delivery in found)
        snapshot = "  complete: keys missing from it are deleted" if is_snapshot else ""
        sources = f"  {', '.join(delivery.source for delivery in found)}" if len(found) > 1 else ""
        lines.append(f"  {found[0].status:<8} {name:<{width}} {found[0].size:>13,} bytes{snapshot}{sources}")
        if error := plan.refused.get(name):
            lines.append(f"  {'':<8} cannot be loaded: {error}")
    skipped = Counter(delivery.status for delivery in plan.deliveries if not delivery.is_to_read)
    for status, count in skipped.items():
        lines.append(f"  skipped  {count} {SKIPPED[status]}")
        lines += [f"           {line}" for line in describe_files(
            delivery for delivery in plan.deliveries if delivery.status == status)]
    lines.append("steps")
    for number, step in enumerate(plan.steps, 1):
        does = {"yes": "runs: ", "if": "runs if ", "no": ""}[step.runs]
        lines.append(f"  {number}/{len(plan.steps)} {step.spec.name:<11}{does}{step.why}")
        if step.tables:
            lines.append(f"      {'':<11}writes {step.spec.writes}.db: {', '.join(step.tables)}")
    lines += [f"warning: {line}" for line in plan.warnings]
    return [*lines, "nothing was executed or written"]
