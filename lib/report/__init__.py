"""What people open after a run: pages, charts, the catalog with its lineage, and the data docs. It reads what runs have left and
changes no table."""
