"""What a run would do and why, without doing any of it: no byte of the source, the warehouse or the reports changes."""

from collections import Counter
from dataclasses import dataclass

from lib.clock import utc_now
from lib.ingest.deliveries import Delivery, check_source
from lib.runner.run import explain_changed_rules, find_changed_rules, look_at_source, why_run
from lib.steps import STEPS, Options, StepSpec
from lib.storage import audit, lookup

SKIPPED = {"known": "read before", "copy": "copies of others", "waiting": "not finished", "stray": "of no source"}


@dataclass(frozen=True)
class PlannedStep:
    """What a run would do in one step. `runs` is "yes", "no" or "if", which is when its input turns out to say something new."""

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


def make_plan(options: Options) -> Plan:
    """Return what a run with these options would do. Raises what the run would raise before it began."""
    if not (options.warehouse / "raw.db").exists():
        check_source(options.source)
    deliveries, warnings = look_at_source(
        options, lookup.known_deliveries(options.warehouse, read_only=True), options.now or utc_now())
    marks, changed = dict.fromkeys(STEPS, audit.Watermark()), dict.fromkeys(STEPS, "")
    if (options.warehouse / "audit.db").exists():
        with audit.open_audit_to_read(options.warehouse) as log:
            marks = {name: audit.read_watermark(log, name) for name in STEPS}
            changed = {name: find_changed_rules(log, spec) for name, spec in STEPS.items()}
    to_read = [delivery for delivery in deliveries if delivery.is_to_read]
    steps, changing, rebuilt = [], {}, set()  # tables that the steps before may change and because of what; steps that rebuild
    for spec in STEPS.values():
        if spec.name not in options.steps:
            steps.append(PlannedStep(spec, "no", "not among --steps", ()))
            continue
        why = why_run(options, spec, len(to_read), marks[spec.name], changed[spec.name], read_only=True)
        causes = {table: changing[table] for table in spec.inputs if table in changing}
        if spec.name == "raw":
            tables = tuple(table for table in spec.outputs if any(delivery.source == table for delivery in to_read))
            changing |= {table: " or ".join(delivery.name for delivery in to_read if delivery.source == table) for table in tables}
        else:
            tables = spec.outputs if why or causes else ()
            changing |= dict.fromkeys(tables, f"step {spec.name}")
        if changed[spec.name]:
            is_kept = bool(to_read) if spec.name == "raw" else options.no_rebuild and not options.full_refresh
            warnings += [explain_changed_rules(spec, changed[spec.name], False)] if is_kept else []
            rebuilt |= {f"step {spec.name}"} if spec.name != "raw" and not options.no_rebuild else set()
        if not why and rebuilt & set(causes.values()):
            why = f"{', '.join(sorted(rebuilt))}: builds the tables anew that it reads"
        because = " or ".join(dict.fromkeys(causes.values()))
        steps.append(PlannedStep(spec, "yes" if why else "if" if causes else "no",
                                 why or (f"something new comes from {because}" if causes else "nothing new"), tables))
    return Plan(options, deliveries, steps, warnings)


def describe(plan: Plan) -> list[str]:
    """Return a plan as lines for a terminal."""
    to_read = [delivery for delivery in plan.deliveries if delivery.is_to_read]
    size = sum(delivery.size for delivery in to_read)
    lines = [f"deliveries to read: {len(to_read)} of {len(plan.deliveries)} files in {plan.options.source}, {size:,} bytes"]
    width = max((len(delivery.name) for delivery in to_read), default=0)
    for delivery in to_read:
        snapshot = "  complete: keys missing from it are deleted" if delivery.source in plan.options.snapshot else ""
        lines.append(f"  {delivery.status:<8} {delivery.name:<{width}} {delivery.size:>13,} bytes{snapshot}")
    skipped = Counter(delivery.status for delivery in plan.deliveries if not delivery.is_to_read)
    for status, count in skipped.items():
        named = [f"{delivery.name} ({delivery.note})" for delivery in plan.deliveries if delivery.status == status and delivery.note]
        lines.append(f"  skipped  {count} {SKIPPED[status]}{': ' + ', '.join(named) if named else ''}")
    lines.append("steps")
    for number, step in enumerate(plan.steps, 1):
        does = {"yes": "runs: ", "if": "runs if ", "no": ""}[step.runs]
        lines.append(f"  {number}/{len(plan.steps)} {step.spec.name:<11}{does}{step.why}")
        if step.tables:
            lines.append(f"      {'':<11}writes {step.spec.writes}.db: {', '.join(step.tables)}")
    lines += [f"warning: {line}" for line in plan.warnings]
    return [*lines, "nothing was executed or written"]
