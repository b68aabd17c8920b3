"""The Spark engine. Nothing outside this package imports Spark, and nothing imports this package but where Spark was asked for."""
