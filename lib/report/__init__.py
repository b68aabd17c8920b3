"""The pages that people open after a run: index, run pages, notebook pages, catalog and data docs.

This folder reads what runs have left and writes only pages. It changes no table.
"""
