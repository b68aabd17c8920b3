"""The four steps of a run: their notebooks, layers, inputs and outputs, as data."""

from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = PROJECT / "notebooks"


@dataclass(frozen=True)
class StepSpec:
    """What a step reads and writes. `reads` is the layer its inputs are in; "source" is the folder of deliveries."""

    name: str
    notebook: str
    reads: str
    inputs: tuple[str, ...]
    writes: str
    timestamp: str  # the column of `writes` that says when a row was committed


STEPS: dict[str, StepSpec] = {spec.name: spec for spec in [
    StepSpec("raw", "1_raw.ipynb", "source", (), "raw", "ingestion_timestamp"),
    StepSpec("dimensions", "2_dimensions.ipynb", "raw", ("customers", "products"), "curated", "transformation_timestamp"),
    StepSpec("facts", "3_facts.ipynb", "raw", ("orders", "order_lines", "payments"), "curated", "transformation_timestamp"),
    StepSpec("gold", "4_gold.ipynb", "curated",
             ("dim_customers", "dim_products", "fact_orders", "fact_order_lines", "fact_payments"), "gold",
             "aggregation_timestamp"),
]}
