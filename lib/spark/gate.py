"""The gate on Spark: the same suites, run by GX's Spark engine on a frame whose failing rows stay where they are."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from lib.spark.rows import Rows
from lib.step.gate import SAMPLE, Gate, open_context, stop
from lib.steps import PROJECT

GX = PROJECT / "gx"
CONFIGURATION = "great_expectations.yml"
SPARK = "type: spark\n    persist: false\n"  # what is checked is kept by who made it, and no longer than it is needed


class SparkGate(Gate):
    """The suites of a run, opened once per step; results go to the run's folder."""

    def __init__(self, folder: Path, batch_id: str, scratch: Path):
        self._scratch = scratch
        super().__init__(folder, batch_id)

    def check(self, suite: str, rows: Rows, describe_rows: Callable[[pd.DataFrame], list[str]]) -> DataFrame | None:
        """Run the checkpoint of `suite` on the rows and return what is to be quarantined; None when that is nothing.

        Returns the key of each refused row, `rule` and `reason` (the first rule it failed). Raises as on pandas frames.
        """
        refused, stops = [], []
        for outcome, tally in self._run(suite, rows.frame, rows.frame.count()):
            bad = self._failing_rows(suite, rows.frame, outcome)
            if tally.on_failure == "fail" or bad is None or not rows.key:
                stops.append((tally, describe_rows(bad.limit(SAMPLE).toPandas()) if bad is not None else []))
            else:
                refused.append(bad.select(rows.key, sf.lit(len(refused)).alias("rank"), sf.lit(tally.rule).alias("rule"),
                                          sf.lit(tally.notes).alias("reason")))
        stop(stops)
        if not refused:
            return None
        first = Window.partitionBy(rows.key).orderBy("rank")
        return reduce(DataFrame.unionAll, refused).withColumn("place", sf.row_number().over(first)).where("place = 1").select(
            rows.key, "rule", "reason")

    def _open_context(self, folder: Path) -> Any:
        """Return a context of the project whose data are Spark frames.

        Its configuration is the project's with the kind of data changed, in a folder of its own: GX takes that from a file, and the
        project's own may be read-only.
        """
        project = self._scratch / "gx"
        project.mkdir(exist_ok=True)
        for part in GX.iterdir():
            if part.name != CONFIGURATION and not (project / part.name).exists():
                (project / part.name).symlink_to(part)
        said = (GX / CONFIGURATION).read_text(encoding="utf-8")
        (project / CONFIGURATION).write_text(said.replace("type: pandas\n", SPARK), encoding="utf-8")
        return open_context(folder, project)

    def _failing_rows(self, suite: str, rows: DataFrame, outcome: Any) -> DataFrame | None:
        """Return the rows that fail an expectation; None when it is not about rows."""
        from great_expectations.core.result_format import ResultFormat
        from great_expectations.validator.metric_configuration import MetricConfiguration
        from great_expectations.validator.v1_validator import Validator

        expectation = outcome.expectation_config.to_domain_obj()
        metric = getattr(expectation, "map_metric", None)
        if metric is None:
            return None
        definition = self._context.validation_definitions.get(suite).data
        validator = Validator(definition, ResultFormat.BASIC, {"dataframe": rows})._wrapped_validator
        engine = validator.execution_engine
        needed = expectation.get_validation_dependencies(engine, {"result_format": "BASIC"})
        count = needed.metric_configurations[f"{metric}.unexpected_count"]
        condition, domain, _ = validator.get_metric(MetricConfiguration(
            f"{metric}.condition", count.metric_domain_kwargs, count.metric_value_kwargs))
        return engine.get_domain_records(domain).withColumn("_fails", condition).where("_fails").drop("_fails")
