"""What a notebook calls: open a step, read what is new, check it, write it, publish it. One file for each
kind of step (raw, curated, gold) and one for each thing that a step has (gate, quarantine, writer, control
totals, …). No rule of the shop is here: rules are in the notebooks, limits of values in the suites
(`gx/expectations`). Nothing here knows how a run is executed, reported or printed.
"""
