"""The rows that a step read, counted per table by what happened to them."""

from dataclasses import dataclass

from lib.errors import StepError


@dataclass(frozen=True)
class Written:
    """How many rows of a batch were written: with a new key, and in place of a row that differed."""

    added: int
    changed: int


@dataclass
class Count:
    """Rows of one table in a step: read = added + changed + unchanged + quarantined + duplicates.

    Rows that were removed had not been read.
    """

    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    duplicates: int = 0
    removed: int = 0

    def add(self, written: Written, rows: int) -> None:
        """Count a batch of rows of which some were written; the others are unchanged."""
        self.added += written.added
        self.changed += written.changed
        self.unchanged += rows - written.added - written.changed

    def verify(self, table: str) -> None:
        """Raise StepError when a row was lost or counted twice."""
        if self.read != self.added + self.changed + self.unchanged + self.quarantined + self.duplicates:
            raise StepError(
                f"{table}: {self.read} rows were read but {self} does not add up. Nothing was written; "
                "this is a defect of the pipeline: report it with the run's folder.")
