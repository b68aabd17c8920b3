"""The command line: a run with its options, and one file per verb with the verb's options and one call.

What a verb does is in the other folders: nothing here reads a file or a table. A verb's file is imported only
when the verb is used, and imports what is slow only when it is called, so that `--help` answers at once.
"""
