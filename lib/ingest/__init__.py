"""From a file in the source folder to rows of text: which files are new, how their text is decoded, where a
record begins and ends, and the archive of what was read. Nothing here knows what a column means."""
