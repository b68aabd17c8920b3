"""The verbs of a step on a Spark cluster. Only this folder imports Spark, and it is loaded by name when Spark is asked for."""
