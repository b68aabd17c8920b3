"""Rows of one file that share a key, on a cluster: the rules are those of lib.step.repeated_keys."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from lib.contract import Source
from lib.spark.sql import column, trim
from lib.step.raw_tables import TRIMMED
from lib.step.repeated_keys import Repeats

# Names with a space, which no delivered column's name has.
LAST_ROW, TIMES, CONTENT, LAST_CONTENT = "last row", "times delivered", "its content", "last content"
OTHERS, LAST_OTHERS = "its other columns", "last other columns"
DIFFERS, DIFFERS_ELSEWHERE = "it differs", "it differs elsewhere"


def find_repeats(rows: DataFrame, source: Source) -> DataFrame | None:
    """Return the rows of a file whose key a later row repeats, with the last row of that key in LAST_ROW and
    whether they differ from it (see lib.step.repeated_keys); None if there are none.

    Hashes of eight bytes tell whether any key may come twice.
    """
    keyed = rows.withColumn(TRIMMED, trim(source.key)).where(f"`{TRIMMED}` is not null")
    if keyed.select(sf.xxhash64(TRIMMED)).distinct().count() == keyed.count():
        return None
    others = [name for name in rows.columns if name not in (*source.column_names, "source_row")]
    keyed = keyed.withColumns({CONTENT: _trimmed(source.column_names), OTHERS: _trimmed(others)})
    last = keyed.groupBy(TRIMMED).agg(
        sf.count("*").alias(TIMES), sf.max("source_row").alias(LAST_ROW),
        sf.max_by(CONTENT, "source_row").alias(LAST_CONTENT),
        sf.max_by(OTHERS, "source_row").alias(LAST_OTHERS)).where(sf.col(TIMES) > 1)
    differs = ~sf.col(CONTENT).eqNullSafe(sf.col(LAST_CONTENT))
    elsewhere = ~differs & ~sf.col(OTHERS).eqNullSafe(sf.col(LAST_OTHERS))
    repeats = keyed.join(last, TRIMMED).where(sf.col("source_row") < sf.col(LAST_ROW))
    return repeats.withColumns({DIFFERS: differs, DIFFERS_ELSEWHERE: elsewhere}).select(
        *map(column, rows.columns), TRIMMED, LAST_ROW, DIFFERS, DIFFERS_ELSEWHERE)


def _trimmed(names: Sequence[str]) -> Column:
    return sf.array(*map(trim, names)) if names else sf.lit(0)


def summarize(repeats: DataFrame) -> tuple[int, Repeats]:
    """Return how many rows there are whose key a later row repeats, and what to report of them."""
    example = sf.struct(TRIMMED, "source_row", LAST_ROW)
    found = repeats.agg(
        sf.count("*"), sf.count_if(DIFFERS), sf.count_if(DIFFERS_ELSEWHERE),
        sf.coalesce(*(sf.min_by(example, sf.when(sf.col(name), sf.col("source_row")))
                      for name in (DIFFERS, DIFFERS_ELSEWHERE)))).first()
    return found[0], Repeats(found[1], found[2], *(found[3] or ()))
