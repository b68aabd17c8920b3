"""The parameters of a step: their names, types and defaults, and which of them do not count as rules."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lib.errors import UsageError
from lib.steps import SETTLED_SECONDS

# What tunes the machine, says where things are or which run it is: it changes no row, so a new default
# rebuilds nothing.
NO_RULE = frozenset({"source", "warehouse", "reports", "engine", "master", "audit", "batch_id", "now",
                     "full_refresh", "batch_rows", "settled_seconds", "all_or_nothing"})


@dataclass(frozen=True)
class Parameters:
    """The parameters that a step takes from its notebook, which says beside each what it means."""

    source: str = "../data/source"
    warehouse: str = "../data/warehouse"
    reports: str = "../reports"
    engine: str = "sqlite"
    master: str = ""
    audit: str = ""
    batch_id: str = ""
    now: str = ""
    full_refresh: bool = False
    batch_rows: int = 200_000
    quarantine_limit: float = 0.1
    snapshot: str = ""
    snapshot_limit: float = 0.2
    settled_seconds: float = SETTLED_SECONDS
    all_or_nothing: bool = False
    as_of: str = ""

    @property
    def folder(self) -> Path:
        """The folder of the four SQLite files. On Spark the rows are at the address `warehouse`."""
        return Path(self.audit or self.warehouse).resolve()

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The sources whose new deliveries are complete."""
        return tuple(filter(None, self.snapshot.split(",")))


def read_parameters(namespace: Mapping[str, Any]) -> Parameters:
    """Return the parameters that a notebook's namespace holds, by name; others keep their defaults.

    Raises UsageError for a value of another type.
    """
    values = {field.name: namespace[field.name] for field in fields(Parameters) if field.name in namespace}
    for field in fields(Parameters):
        value = values.get(field.name, field.default)
        is_whole = field.type is float and type(value) is int  # 1 will do for 1.0
        if type(value) is not field.type and not is_whole:
            raise UsageError(f"parameter {field.name} is {value!r}, which is {type(value).__name__}, not "
                             f"{field.type.__name__}. Correct it in the notebook's parameters cell.")
    return Parameters(**values)
