"""The pipeline. At this root are only the words that every part uses: the contract, the errors, the clock and
the steps. Each folder is one stage of the work; its `__init__` says what belongs in it and what does not."""
