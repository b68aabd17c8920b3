"""The gate on Spark: GX's Spark engine runs the same suites, and failing rows stay on the cluster."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from lib.spark.rows import Rows
from lib.step.gate import (
    SAMPLE,
    SEARCHED,
    SOURCE,
    Gate,
    NameRows,
    named_values,
    stop,
    unreadable_column,
    unreadable_text,
    values_of,
)
from lib.step.looks_like import with_hints


class SparkGate(Gate):
    """The suites of a run, opened once per step; results go to the run's folder."""

    def check(self, suite: str, rows: Rows, describe_rows: Callable[[pd.DataFrame], list[str]],
              name_rows: NameRows | None = None) -> DataFrame | None:
        """Run the checkpoint of `suite` on the rows and return the rows to be quarantined; None without any.

        Returns their key, `rule` and `reason` (of the first rule that the row failed). Raises PipelineError
        as `Gate`.
        """
        refused, stops = [], []
        for outcome, tally in self._run(suite, rows.frame, rows.count()):
            text, name_rows = unreadable_text(outcome), name_rows if rows.key else None
            if not tally.needs_rows(name_rows) and text not in rows.frame.columns:
                tally.show(values_of(outcome))
                continue
            bad = self._failing_rows(suite, rows.frame, outcome)
            if text in rows.frame.columns:
                tally.failed -= bad.where(sf.col(text).isNotNull()).count()
                bad = bad.where(sf.col(text).isNull())
                if not tally.failed:
                    continue
            if tally.on_failure == "quarantine" and (bad is None or not rows.key):
                tally.on_failure = "fail"  # there are no rows that could be set aside
            is_fail = tally.on_failure == "fail"
            tally.show(values_of(outcome) if is_fail or bad is None or not name_rows else named_values(
                outcome, bad.orderBy(rows.key).limit(SEARCHED).toPandas(), name_rows))
            if is_fail:
                stops.append((tally, describe_rows(bad.limit(SAMPLE).toPandas()) if bad is not None else []))
            elif tally.on_failure == "quarantine":
                refused.append(bad.select(
                    rows.key, sf.lit(len(refused)).alias("rank"), sf.lit(tally.rule).alias("rule"),
                    _reason(tally.notes, unreadable_column(outcome)).alias("reason")))
        self.put_results()
        stop(stops)
        if not refused:
            return None
        first = Window.partitionBy(rows.key).orderBy("rank")
        ranked = reduce(DataFrame.unionAll, refused).withColumn("nth", sf.row_number().over(first))
        return ranked.where("nth = 1").select(rows.key, "rule", "reason")

    def _make_source(self, assets: list[dict[str, Any]]) -> Any:
        from great_expectations.datasource.fluent import SparkDatasource

        # The step itself persists the rows, for as long as it needs them.
        return SparkDatasource(name=SOURCE, assets=assets, persist=False)

    def _validate(self, suite: str, rows: DataFrame) -> Any:
        """Validate rows without the values that fail, and once more with them if something has failed.

        With values, GX runs a job for each expectation to look for some, also where none fails.
        """
        self._set_format(suite, {"result_format": "BASIC", "partial_unexpected_count": 0})
        result = super()._validate(suite, rows)
        if result.success:
            return result
        for key in result.run_results:
            self._context.validation_results_store.remove_key(key)
        self._set_format(suite, "BASIC")
        return super()._validate(suite, rows)

    def _set_format(self, suite: str, result_format: dict[str, Any] | str) -> None:
        checkpoint = self._checkpoint(suite)
        checkpoint.result_format = result_format
        checkpoint.save()

    def _failing_rows(self, suite: str, rows: DataFrame, outcome: Any) -> DataFrame | None:
        """Return the rows that fail an expectation; None when it is not about rows.

        A validation on Spark returns values, or rows that it has collected on the driver. The condition that
        the rows fail is a metric of the expectation.
        """
        from great_expectations.validator.metric_configuration import MetricConfiguration

        expectation = outcome.expectation_config.to_domain_obj()
        metric = getattr(expectation, "map_metric", None)
        if metric is None:
            return None
        batch = self._data(suite).build_batch_request({"dataframe": rows})
        validator = self._context.get_validator(batch_request=batch)
        engine = validator.execution_engine
        needed = expectation.get_validation_dependencies(engine, {"result_format": "BASIC"})
        count = needed.metric_configurations[f"{metric}.unexpected_count"]
        condition, domain, _ = validator.get_metric(MetricConfiguration(
            f"{metric}.condition", count.metric_domain_kwargs, count.metric_value_kwargs))
        marked = engine.get_domain_records(domain).withColumn("_fails", condition)
        return marked.where("_fails").drop("_fails")


def _reason(notes: str, unreadable: str) -> Column:
    """Return why a row is refused; `unreadable` is the column whose text cannot be read, "" for others."""
    if not unreadable:
        return sf.lit(notes)
    return sf.pandas_udf(lambda texts: with_hints(notes, texts), "string")(sf.col(unreadable))
