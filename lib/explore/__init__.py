"""Ways to look into the databases without changing them: the query tool, its files, the questions that people
ask, what the notebook of the business report calls, and Datasette.

A run needs nothing from here, except that the report's notebook does.
"""
