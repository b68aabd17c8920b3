"""The verbs of a step on a Spark cluster. Only this folder imports Spark, and it is imported only when a run
asks for Spark. Rules that both engines share belong in `step`.
"""
