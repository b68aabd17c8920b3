"""Ways to look into the databases without changing them: the query tool, its files, and Datasette.

A run needs nothing from here.
"""
