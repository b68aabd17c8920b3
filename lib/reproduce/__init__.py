"""Repeat past runs and check a whole warehouse: replay, verify, and the comparison of tables that both use.

This code works in a new folder of its own and changes nothing in the warehouse that it checks.
"""
