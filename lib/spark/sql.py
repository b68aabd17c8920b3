"""The notebooks' SQL, translated from DuckDB's dialect to Spark's."""

from pyspark.sql import Column
from pyspark.sql import functions as sf
from sqlglot import exp, parse_one

from lib.storage.sql import SPACES


def column(name: str) -> Column:
    """Return the column with exactly this name; a name from a delivery's header may have dots and quotes."""
    return sf.col("`" + name.replace("`", "``") + "`")


def trim(name: str) -> Column:
    """Return a column's text without surrounding spaces, null where nothing is left."""
    text = sf.btrim(column(name), sf.lit(SPACES))
    return sf.when(text != "", text)


def in_spark(sql: str, dialect: str = "duckdb") -> str:
    """Return a query for Spark that means the same.

    A quotient is a double, as in DuckDB; Spark's quotient of decimals would be a decimal. A `hugeint` is a
    decimal without decimal places, which Spark has instead. `order by` without `limit` is left out: the rows
    are not stored in that order anyway.
    """
    query = parse_one(sql, read=dialect)
    for division in list(query.find_all(exp.Div)):
        division.this.replace(exp.cast(division.this.copy(), "double"))
    for type_ in query.find_all(exp.DataType):
        if type_.this == exp.DType.INT128:
            type_.replace(exp.DataType.build("decimal(38, 0)", dialect="spark"))
    if isinstance(query, exp.Query) and query.args.get("order") and not query.args.get("limit"):
        query.set("order", None)
    return query.sql(dialect="spark")
