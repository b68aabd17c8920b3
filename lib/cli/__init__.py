"""The command line: a run with its options, and one file per verb with the verb's options and one call.

The other folders do the work of a verb: nothing here reads a file or a table. A verb's file is imported only
when the verb is used, and makes slow imports only when it is called. So `--help` answers at once.
"""
