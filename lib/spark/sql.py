"""The notebooks' SQL, which is DuckDB's, as Spark writes it."""

from pyspark.sql import Column
from pyspark.sql import functions as sf
from sqlglot import exp, parse_one


def column(name: str) -> Column:
    """Return the column of this very name, which may hold dots and quotes where a delivery's header does."""
    return sf.col("`" + name.replace("`", "``") + "`")


def in_spark(sql: str, dialect: str = "duckdb") -> str:
    """Return a query for Spark that means the same.

    A quotient is a double, as it is in DuckDB: Spark's of decimals is a decimal. The order of a result is left out where
    nothing is cut off by it: rows are stored in an order of their own.
    """
    query = parse_one(sql, read=dialect)
    for division in list(query.find_all(exp.Div)):
        division.this.replace(exp.cast(division.this.copy(), "double"))
    if isinstance(query, exp.Query) and query.args.get("order") and not query.args.get("limit"):
        query.set("order", None)
    return query.sql(dialect="spark")
