"""From a file in the source folder to rows of text: which files are new, what their text is, what a record is, and the
archive of what was read. Nothing here knows what a column means."""
