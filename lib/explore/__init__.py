"""Ways to look into the databases that change nothing: the query tool, read-only connections, and Datasette."""
