"""The pages that people open after a run: index, run pages, notebook pages, catalog and data docs.

What is in this folder reads what runs have left and writes nothing but pages: it changes no table.
"""
