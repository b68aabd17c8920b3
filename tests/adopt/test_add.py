"""`add source` writes what a source needs, or nothing: the contract, suites, and cells that load it."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import PROJECT

from lib.adopt.add import add_source, save
from lib.contract import read_source
from lib.errors import UsageError

PARTS = ("data/contract", "gx/expectations", "notebooks", "docs")
LINES = ("parcel_id,order_id,sent_at,carrier,weight,fee,rate,box_number,phone,empty",
         "P1,0000001,2025-11-02T10:00:00,DHL,1.500,2.50,0.12345,0012,+49 30 1,",
         "P2,0000002,2025-11-03,UPS,2,3,1,0013,+49 30 2,", "P3,0000003,,DHL,0.25,-1.5,2,0014,+49 30 3,",
         "P4,0000004,2025-11-05,DHL,3,4.99,3,0015,+49 30 4,")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what `add` changes."""
    for part in PARTS:
        shutil.copytree(PROJECT / part, tmp_path / "project" / part)
    return tmp_path / "project"


@pytest.fixture
def parcels(tmp_path: Path) -> Path:
    return write(tmp_path, *LINES)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "parcels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def contents(project: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_the_contract_has_the_types_that_the_file_shows(project: Path, parcels: Path):
    save(add_source("parcels", "parcel_id", parcels, project))
    source = read_source(project / "data" / "contract" / "parcels.yaml")
    assert (source.key, source.meaning) == ("parcel_id", "A version of a parcel, as delivered.")
    assert {column.name: (column.type, column.optional) for column in source.columns} == {
        "parcel_id": ("text", False), "order_id": ("text", False), "sent_at": ("date", True),
        "carrier": ("category", True), "weight": ("number", True), "fee": ("money", True),
        "rate": ("price", True), "box_number": ("text", True), "phone": ("text", True),
        "empty": ("text", True)}
    assert all(column.meaning.endswith(".") for column in source.columns)


def test_the_cells_stand_before_the_results_and_load_what_the_suites_check(project: Path, parcels: Path):
    save(add_source("parcels", "parcel_id", parcels, project))
    cells = json.loads((project / "notebooks" / "3_facts.ipynb").read_text(encoding="utf-8"))["cells"]
    [place] = [number for number, cell in enumerate(cells) if cell["id"] == "parcels-text"]
    assert [cell["id"] for cell in cells[place + 1:place + 3]] == ["parcels-clean", "parcels-load"]
    assert cells[place + 3]["metadata"]["tags"] == ["result"]
    assert "".join(cells[place + 2]["source"]) == '''\
PARCELS = ["parcel_id", "order_id", "sent_at", "carrier", "weight", "fee", "rate", "box_number", "phone",
           "empty"]

for rows in step.changes("parcels", clean_parcels):
    kept = step.check("fact_parcels", rows)
    step.upsert("fact_parcels", kept[PARCELS], key="parcel_id", indexes=["order_id"])'''
    suite = json.loads((project / "gx" / "expectations" / "fact_parcels.json").read_text(encoding="utf-8"))
    assert [(one["kwargs"]["column"], one["meta"]["on_failure"]) for one in suite["expectations"]] == [
        ("parcel_id", "quarantine"), ("sent_at_unreadable", "quarantine"),
        ("weight_unreadable", "quarantine"), ("fee_unreadable", "quarantine"),
        ("rate_unreadable", "quarantine"), ("order_id", "quarantine"), ("sent_at_zoned", "warn")]


@pytest.mark.parametrize("name, key, lines, message", [
    ("Parcels", "parcel_id", LINES, "'Parcels' cannot name a source: write small letters"),
    ("orders", "parcel_id", LINES, "there is fact_orders already"),
    ("parcels", "parcelid", LINES, r"no column 'parcelid' \(did you mean parcel_id\?\)"),
    ("parcels", "carrier", LINES, "carrier is empty in some row, or the same in several"),
    ("parcels", "Parcel", ["Parcel,x", "1,2"], "'Parcel' cannot name a column of the contract"),
    ("parcels", "batch_id", ["batch_id,x", "1,2"], "'batch_id' cannot name a column of the contract"),
    ("parcels", "parcel_id", LINES[:1], "has no rows")])
def test_what_cannot_be_added_is_refused_and_nothing_is_written(
        name: str, key: str, lines: list[str], message: str, project: Path, tmp_path: Path):
    before, file = contents(project), write(tmp_path, *lines)
    with pytest.raises(UsageError, match=message):
        add_source(name, key, file, project)
    assert contents(project) == before


def test_a_file_that_is_there_is_not_written_over(project: Path, parcels: Path):
    (project / "gx" / "expectations" / "fact_parcels.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"gx/expectations/fact_parcels\.json exists already"):
        add_source("parcels", "parcel_id", parcels, project)


def test_nothing_is_written_if_one_file_cannot_be(project: Path, parcels: Path):
    before, addition = contents(project), add_source("parcels", "parcel_id", parcels, project)
    shutil.move(project / "docs", project / "elsewhere")
    with pytest.raises(OSError, match=r"docs/\.tables\.md\.partial"):
        save(addition)
    shutil.move(project / "elsewhere", project / "docs")
    assert contents(project) == before
