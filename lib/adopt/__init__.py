"""Propose how files that nobody has declared are to be read: a source system, and questions about it.

Nothing here decides: a person answers the questions and saves the declaration. Nothing here writes, except
that the saved declaration is written by `declaration`. No run imports it.
"""
