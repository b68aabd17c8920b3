"""The gate: runs a table's Great Expectations checkpoint on a batch and decides which rows may pass.

The expectations are in `gx/expectations`, a suite for each table, from which checkpoints are made in memory.
Each expectation tells what a failing row means in its
`meta.on_failure`: "fail" stops the step, "quarantine" sets the row aside, "warn" lets it pass and reports it.
"observe" only shows it in the results: it is no rule yet, and nothing follows from it.
An expectation about the whole table has no rows to quarantine: it stops the step unless it only warns.
`meta.only_failing` says that the rows are those of a query that returns nothing but failing rows: how many
there were to check is then not known, and not reported.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lib.errors import PipelineError, StepError, closest
from lib.step import progress
from lib.step.looks_like import UNREADABLE, looks_like, with_hints
from lib.step.suites import ON_FAILURE, count_rows, describe
from lib.steps import PROJECT

SAMPLE = 3
SEARCHED = 20  # failing rows among which the sample's different values are looked for
SAMPLE_TEXT = 100  # characters of a value
SOURCE = "batches"  # GX's name of what the frames come from
KEPT_RESULTS = 3  # in the data docs, of a suite in a run: so many that passed, and so many that failed


@dataclass
class Tally:
    """The results of one expectation, over all batches of a step."""

    suite: str
    rule: str
    on_failure: str
    notes: str
    checked: int = 0  # rows; 0 if that is not known
    failed: int = 0
    sample: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return self.on_failure if self.failed else "pass"

    def show(self, sample: Iterable[str]) -> None:
        """Add to the sample, which stays short."""
        self.sample = list(dict.fromkeys([*self.sample, *sample]))[:SAMPLE]

    def needs_rows(self, name_rows: "NameRows | None") -> bool:
        """Return whether the failing rows have to be found, rather than only counted."""
        return self.on_failure in ("fail", "quarantine") or (
            name_rows is not None and len(self.sample) < SAMPLE)


NameRows = Callable[[pd.DataFrame], list[str]]


class Gate:
    """The suites of a run, opened once per step; results go to the run's folder."""

    def __init__(self, folder: Path, batch_id: str):
        self._context = open_context(folder)
        self._checkpoints: dict[str, Any] = {}  # by suite
        self._folder, self._batch_id = folder, batch_id
        self.tallies: dict[str, Tally] = {}
        self.stopped: list[Tally] = []  # expectations for which a delivery was left out
        self._kept: Counter[tuple[str, bool]] = Counter()

    def check(self, suite: str, rows: pd.DataFrame, describe_rows: Callable[[pd.DataFrame], list[str]],
              name_rows: NameRows | None = None) -> pd.DataFrame:
        """Run the checkpoint of `suite` on the rows and return what is to be quarantined.

        Returns one line per refused row, with its index in `rows`, `rule` and `reason` (the first rule it
        failed, with what unreadable text looks like). Raises PipelineError when an expectation that means
        "fail" fails. The message names it, how many rows failed, a sample of values, and the first rows, one
        line each, as `describe_rows` returns them. The sample of any other expectation says where its rows
        are, as `name_rows` returns it.
        """
        rows = rows.rename_axis(index=None)  # with a named index, GX returns failing rows as dicts
        refused, stops = [], []
        for outcome, tally in self._run(suite, rows, len(rows)):
            text = unreadable_text(outcome)
            if not tally.needs_rows(name_rows) and text not in rows:
                tally.show(values_of(outcome))
                continue
            bad = self._failing_rows(suite, rows, outcome)
            if text in rows:
                values = rows.loc[bad, text]
                bad = values.index[values.isna()].tolist()
                tally.failed -= len(values) - len(bad)
                if not bad:
                    continue
            if tally.on_failure == "quarantine" and bad is None:
                tally.on_failure = "fail"  # there are no rows that could be set aside
            is_fail = tally.on_failure == "fail"
            tally.show(values_of(outcome) if is_fail or not bad or not name_rows else
                       named_values(outcome, rows.loc[bad[:SEARCHED]], name_rows))
            if is_fail:
                stops.append((tally, describe_rows(rows.loc[bad[:SAMPLE]]) if bad else []))
            elif tally.on_failure == "quarantine":
                refused.append(pd.DataFrame({"rule": tally.rule, "reason": tally.notes}, index=bad))
                if column := unreadable_column(outcome):
                    refused[-1]["reason"] = with_hints(tally.notes, rows.loc[bad, column])
        self.put_results()
        stop(stops)
        bad_rows = pd.concat(refused) if refused else pd.DataFrame({"rule": [], "reason": []}, dtype="str")
        return bad_rows[~bad_rows.index.duplicated()]

    def results(self) -> list[dict[str, Any]]:
        """Return the results of all expectations so far, ready for JSON."""
        return [asdict(tally) for tally in [*self.tallies.values(), *self.stopped]]

    def put_results(self) -> None:
        """Leave the results for the runner, who shows them if the step fails."""
        progress.put_gates(self._folder, self.results())

    def undo_delivery(self, before: dict[str, Tally]) -> None:
        """Go back to the tallies before a delivery that is left out, but keep what stopped it."""
        self.stopped += [tally for tally in self.tallies.values()
                         if tally.failed and tally.on_failure == "fail"]
        self.tallies = before
        self.put_results()

    def _run(self, suite: str, rows: Any, count: int) -> list[tuple[Any, Tally]]:
        """Run a suite's checkpoint on `count` rows; return what failed, with its tally."""
        result = self._validate(suite, rows)
        outcomes = [(outcome, self._count(suite, count, outcome))
                    for run in result.run_results.values() for outcome in run.results]
        self._drop_surplus(suite, result)
        return [(outcome, tally) for outcome, tally in outcomes if not outcome.success]

    def _validate(self, suite: str, rows: Any) -> Any:
        from great_expectations import RunIdentifier

        return self._checkpoint(suite).run(
            batch_parameters={"dataframe": rows}, run_id=RunIdentifier(run_name=self._batch_id))

    def _checkpoint(self, suite: str) -> Any:
        """Return a suite's checkpoint, which is made for its first batch."""
        if suite not in self._checkpoints:
            import great_expectations as gx

            if suite not in (known := [path.stem for path in _suite_files()]):
                raise StepError(f"there is no suite gx/expectations/{suite}.json{closest(suite, known)}. "
                                "Write it, or correct the name in the notebook.")
            if not self._context.data_sources.all():
                self._context.add_datasource(datasource=self._make_source([
                    {"name": name, "type": "dataframe", "batch_definitions": [{"name": "batch"}]}
                    for name in known]))
            data = self._context.data_sources.get(SOURCE).get_asset(suite).get_batch_definition("batch")
            definition = gx.ValidationDefinition(name=suite, data=data, suite=add_suite(self._context, suite))
            self._checkpoints[suite] = self._context.checkpoints.add(gx.Checkpoint(
                name=suite, result_format="BASIC",
                validation_definitions=[self._context.validation_definitions.add(definition)]))
        return self._checkpoints[suite]

    def _make_source(self, assets: list[dict[str, Any]]) -> Any:
        from great_expectations.datasource.fluent import PandasDatasource

        return PandasDatasource(name=SOURCE, assets=assets)

    def _data(self, suite: str) -> Any:
        """Return what makes batches of frames for a suite."""
        [definition] = self._checkpoint(suite).validation_definitions
        return definition.data

    def _drop_surplus(self, suite: str, result: Any) -> None:
        """Keep the results of a suite's first batches only: a large load's docs stay small."""
        for key, outcome in result.run_results.items():
            self._kept[suite, outcome.success] += 1
            if self._kept[suite, outcome.success] > KEPT_RESULTS:
                self._context.validation_results_store.remove_key(key)

    def _count(self, suite: str, count: int, outcome: Any) -> Tally:
        config = outcome.expectation_config
        rule = describe(config.type, config.kwargs)
        about = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
        identity = json.dumps([suite, config.type, about], sort_keys=True, default=str)
        tally = self.tallies.get(identity)
        if tally is None:
            on_failure = (config.meta or {}).get("on_failure")
            if on_failure not in ON_FAILURE:
                raise StepError(
                    f"gx/expectations/{suite}.json: meta.on_failure of {rule} is {on_failure!r}. "
                    f"Set it to one of {', '.join(ON_FAILURE)}.")
            notes = config.notes if isinstance(config.notes, str) else " ".join(config.notes or [])
            tally = self.tallies[identity] = Tally(suite, rule, on_failure, notes)
        tally.checked += 0 if (config.meta or {}).get("only_failing") else count
        if not outcome.success:
            found = outcome.result or {}
            if outcome.exception_info and not found:
                infos = [info for info in outcome.exception_info.values() if isinstance(info, dict)]
                messages = "; ".join({str(info.get("exception_message")).rstrip("."): None for info in infos})
                if tally.on_failure != "observe":
                    raise StepError(f"gate {suite}: {rule} could not be evaluated: {messages}. "
                                    f"Correct gx/expectations/{suite}.json or the notebook's columns.")
                tally.show([f"could not be evaluated: {messages}"])
            tally.failed += found.get("unexpected_count", count)
        return tally

    def _failing_rows(self, suite: str, rows: pd.DataFrame, outcome: Any) -> list | None:
        """Return the index of the rows that fail an expectation; None when it is not about rows."""
        batch = self._data(suite).get_batch({"dataframe": rows})
        detail = batch.validate(outcome.expectation_config.to_domain_obj(), result_format="COMPLETE")
        return detail.result.get("unexpected_index_list")


def values_of(outcome: Any) -> list[str]:
    """Return values that fail an expectation, as text; none for values that are missing."""
    found = outcome.result or {}
    values = found.get("partial_unexpected_list", [found.get("observed_value")])
    return [_clipped(repr(value)) for value in values if not _is_missing(value)]


def named_values(outcome: Any, rows: pd.DataFrame, name_rows: NameRows) -> list[str]:
    """Return a few of the rows that fail an expectation, each with another value, if it has any."""
    column = outcome.expectation_config.kwargs.get("column")
    if column is None:
        return name_rows(rows.head(SAMPLE))
    few = rows[~(rows[column].duplicated() & rows[column].notna())].head(SAMPLE)
    show = _with_hint if unreadable_column(outcome) else _clipped_value
    return [name if _is_missing(value) else f"{show(value)} ({name})"
            for value, name in zip(few[column].tolist(), name_rows(few), strict=True)]


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def unreadable_text(outcome: Any) -> str:
    """Return the column that has the unreadable text of a value that may not be null, or "".

    Such a text is refused already, for what it is. The value is not missing.
    """
    config = outcome.expectation_config
    is_required = config.type == "expect_column_values_to_not_be_null"
    return f"{config.kwargs['column']}_unreadable" if is_required else ""


def unreadable_column(outcome: Any) -> str:
    """Return the column of unreadable text that an expectation is about, or ""."""
    column = outcome.expectation_config.kwargs.get("column") or ""
    return column if column.endswith(UNREADABLE) else ""


def stop(stops: Iterable[tuple[Tally, list[str]]]) -> None:
    """Raise PipelineError for expectations that stop a step, each with its first failing rows."""
    lines = ["\n  ".join([_describe_failure(tally), *first_rows]) for tally, first_rows in stops]
    if lines:
        raise PipelineError("\n".join(lines))


def _describe_failure(tally: Tally) -> str:
    such_as = f", such as {', '.join(tally.sample)}" if tally.sample else ""
    rows = count_rows(tally.failed, tally.checked)
    return f"gate {tally.suite}: {tally.rule} failed on {rows}{such_as}. {tally.notes}"


def _with_hint(text: str) -> str:
    hint = looks_like(text).rstrip(".")
    return f"{_clipped_value(text)}, which {hint.removeprefix('It ')}" if hint else _clipped_value(text)


def _clipped_value(value: Any) -> str:
    return _clipped(repr(value))


def _clipped(text: str) -> str:
    return text if len(text) <= SAMPLE_TEXT else f"{text[:SAMPLE_TEXT]}…"


def open_context(folder: Path) -> Any:
    """Return GX's context, whose results and data docs go to a run's folder; the rest it keeps in memory."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    os.environ["GX_REPORTS"] = str(folder)
    import great_expectations  # here, as it takes seconds, which only what checks or renders should pay
    from great_expectations.execution_engine import pandas_execution_engine

    pandas_execution_engine.HASH_THRESHOLD = 0  # GX would hash every value, for longer than it checks it
    configuration = yaml.safe_load((PROJECT / "gx" / "great_expectations.yml").read_text(encoding="utf-8"))
    return great_expectations.get_context(mode="ephemeral", project_config=configuration)


def add_suites(context: Any) -> None:
    """Add all suites of the project to GX's context."""
    for path in _suite_files():
        add_suite(context, path.stem)


def add_suite(context: Any, name: str) -> Any:
    """Add a suite of the project to GX's context, and return it. GX gives ids to it and its expectations."""
    from great_expectations import ExpectationSuite

    suite = json.loads((PROJECT / "gx" / "expectations" / f"{name}.json").read_text(encoding="utf-8"))
    return context.suites.add(ExpectationSuite(name, suite["expectations"]))


def _suite_files() -> list[Path]:
    return sorted((PROJECT / "gx" / "expectations").glob("*.json"))
