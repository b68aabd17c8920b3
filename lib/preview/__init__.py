"""What a changed rule would do: build curated and gold beside the warehouse, and compare before and after.

Nothing here writes into the warehouse, its log or the source folder. What is built is deleted at the end.
"""
