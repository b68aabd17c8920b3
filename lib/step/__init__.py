"""What a notebook calls: open a step, read what is new, check it, write it, publish it. The rules themselves are in the
notebooks and suites."""
