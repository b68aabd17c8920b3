"""The four steps of a run as data (their notebooks, layers, inputs and outputs), and the options of a run.

What a step reads and writes is what its notebook says: the tables that its cells name in `step.changes`,
`step.changed`, `step.load` and `step.upsert`. The raw step writes the sources of the contract.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.errors import UsageError, closest

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = PROJECT / "notebooks"
SUITES = PROJECT / "gx" / "expectations"
SETTLED_SECONDS = 1.0  # a file that was changed more recently may still be growing
# The verbs with which a cell reads a table, by the layer of the table, and with which it writes one. Where a
# call of each has the name of the table: the position, and the keyword.
READING = {"raw": {"changes": (0, "source")}, "curated": {"changed": (1, "table"), "load": (1, "table")}}
WRITING = {"upsert": (0, "table")}


@dataclass(frozen=True)
class StepSpec:
    """What a step reads and writes. `reads` is the layer of its inputs, or "source" for the deliveries.

    `inputs` and `outputs` are looked up when they are first needed. That raises UsageError for a notebook
    that cannot be read, or that reads what no step writes, and DeclarationError for a wrong contract.
    """

    name: str
    notebook: str
    reads: str
    writes: str
    timestamp: str  # the column of `writes` that says when a row was committed

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The tables that it reads, in the order in which earlier steps write them."""
        if self.reads == "source":
            return ()
        named = _named_tables(self.notebook, READING[self.reads])
        known = [table for step in STEPS.values() if step.writes == self.reads for table in step.outputs]
        for table in named:
            if table not in known:
                where = "data/contract declares" if self.reads == "raw" else f"is in {self.reads}.db"
                raise UsageError(f"notebooks/{self.notebook} reads {table!r}, and no such table {where}"
                                 f"{closest(table, known)}. Correct the name, or add the table.")
        return tuple(table for table in known if table in named)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The tables that it writes, in the order in which its notebook does."""
        if self.reads != "source":
            return tuple(_named_tables(self.notebook, WRITING))
        from lib.contract import SOURCES  # here, not above: to list options, nobody has to read the contract

        return tuple(SOURCES)


STEPS: dict[str, StepSpec] = {spec.name: spec for spec in [
    StepSpec("raw", "1_raw.ipynb", "source", "raw", "ingestion_timestamp"),
    StepSpec("dimensions", "2_dimensions.ipynb", "raw", "curated", "transformation_timestamp"),
    StepSpec("facts", "3_facts.ipynb", "raw", "curated", "transformation_timestamp"),
    StepSpec("gold", "4_gold.ipynb", "curated", "gold", "aggregation_timestamp"),
]}

LAYERS = tuple(dict.fromkeys(step.writes for step in STEPS.values()))
SERIAL = "row_id"  # the column that numbers the rows of a table of raw or curated, in the order of writing
# The columns of each layer that tell the place of a row: its number, where it is from, which run wrote it.
# All other columns are its content.
PLACE: dict[str, tuple[str, ...]] = {
    "raw": (SERIAL, "batch_id", "source_system", "source_filename", "source_row", "ingestion_timestamp"),
    "curated": (SERIAL, "batch_id", "process_name", "transformation_timestamp"),
    "gold": ("batch_id", "aggregation_timestamp")}


@dataclass(frozen=True)
class Options:
    """What a run is asked to do. Paths are absolute."""

    source: Path = PROJECT / "data" / "source"
    warehouse: Path = PROJECT / "data" / "warehouse"  # the folder of audit.db and the layers' files
    reports: Path = PROJECT / "reports"
    engine: str = "sqlite"
    master: str = ""  # the address of the Spark cluster
    tables: str = ""  # the address of Spark's tables; the layers' files then hold no rows of theirs
    full_refresh: bool = False
    steps: tuple[str, ...] = tuple(STEPS)
    snapshot: tuple[str, ...] = ()
    snapshot_limit: float = 0.2
    quarantine_limit: float = 0.1
    all_or_nothing: bool = False  # whether one delivery that cannot be loaded keeps the others out
    now: str = ""  # the time of the run; empty: the time at its start
    as_of: str = ""  # the day up to which gold counts; empty: the day of the run, in the shop
    no_rebuild: bool = False
    keep_runs: int = 0  # how many runs' folders stay in the reports; 0: all
    keep_archive: int = 0  # for how many days a delivery stays in the archive; 0: for ever
    settled_seconds: float = SETTLED_SECONDS  # less when a watch has seen that no file changes


def _named_tables(notebook: str, verbs: dict[str, tuple[int, str]]) -> list[str]:
    """Return the tables that a notebook's cells name in calls of these verbs of `step`, each one once."""
    found: dict[str, None] = {}
    for cell, text in _code_cells(notebook):
        if not any(f"step.{verb}" in text for verb in verbs):
            continue  # to parse all cells takes longer
        where = f"notebooks/{notebook}, cell {cell}"
        try:
            calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        except (SyntaxError, ValueError) as error:
            raise UsageError(f"{where} is no Python ({error}). Correct it: it names tables.") from error
        for call in calls:
            match call.func:
                case ast.Attribute(value=ast.Name(id="step"), attr=verb) if verb in verbs:
                    found[_named_table(call, *verbs[verb], f"{where}: step.{verb}")] = None
    return list(found)


def _named_table(call: ast.Call, position: int, keyword: str, where: str) -> str:
    given = [*call.args[position:position + 1], *(one.value for one in call.keywords if one.arg == keyword)]
    match given:
        case [ast.Constant(value=str(table))]:
            return table
    raise UsageError(f"{where} must have the name of its table as a text in quotes, so that every command "
                     "knows which tables there are. Correct it.")


def _code_cells(notebook: str) -> Iterator[tuple[str, str]]:
    """Yield the id and the text of each code cell."""
    try:
        cells = json.loads((NOTEBOOKS / notebook).read_bytes())["cells"]
        code = [(str(cell.get("id", number)), "".join(cell["source"])) for number, cell in enumerate(cells)
                if cell["cell_type"] == "code"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"notebooks/{notebook} is no notebook ({type(error).__name__}: {error}). "
                         "Correct it, or restore it from git.") from error
    yield from code
