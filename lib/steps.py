"""The four steps of a run as data (their notebooks, layers, inputs and outputs), and the options of a run."""

from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = PROJECT / "notebooks"
SUITES = PROJECT / "gx" / "expectations"
SETTLED_SECONDS = 1.0  # a file that was changed more recently may still be growing


@dataclass(frozen=True)
class StepSpec:
    """What a step reads and writes. `reads` is the layer of its inputs, or "source" for the deliveries."""

    name: str
    notebook: str
    reads: str
    inputs: tuple[str, ...]
    writes: str
    outputs: tuple[str, ...]
    timestamp: str  # the column of `writes` that says when a row was committed


STEPS: dict[str, StepSpec] = {spec.name: spec for spec in [
    StepSpec("raw", "1_raw.ipynb", "source", (),
             "raw", ("customers", "products", "orders", "order_lines", "payments"), "ingestion_timestamp"),
    StepSpec("dimensions", "2_dimensions.ipynb", "raw", ("customers", "products"),
             "curated", ("dim_customers", "dim_products"), "transformation_timestamp"),
    StepSpec("facts", "3_facts.ipynb", "raw", ("orders", "order_lines", "payments"),
             "curated", ("fact_orders", "fact_order_lines", "fact_payments"), "transformation_timestamp"),
    StepSpec("gold", "4_gold.ipynb",
             "curated", ("dim_customers", "dim_products", "fact_orders", "fact_order_lines", "fact_payments"),
             "gold", ("reporting_sales_wide", "sales_summary_daily", "reporting_customer_stats"),
             "aggregation_timestamp"),
]}

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
