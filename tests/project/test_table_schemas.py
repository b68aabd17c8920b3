"""The contract is a set of Table Schemas: the frictionless command, an outside judge, accepts the sample."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

FRICTIONLESS = Path(sys.executable).parent / "frictionless"


def validate(file: Path, source: str) -> subprocess.CompletedProcess[str]:
    # From the project's folder: the command refuses paths that lead out of the one that it runs in.
    # A column that is not required may be absent, as one is that a shop has added: hence --schema-sync.
    schema = f"data/contract/{source}.yaml"
    command = [FRICTIONLESS, "validate", file.name, "--schema-sync", "--schema", schema]
    (file.parent / "data").exists() or (file.parent / "data").symlink_to(PROJECT / "data")
    return subprocess.run(command, cwd=file.parent, capture_output=True, text=True)


def copy(folder: Path, source: str, *changes: tuple[str, str]) -> Path:
    text = (PROJECT / "data" / "source" / f"{source}.csv").read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    path = folder / f"{source}.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("source", [path.stem for path in (PROJECT / "data" / "source").glob("*.csv")])
def test_the_sample_is_valid_by_the_contract_as_it_is(source: str, tmp_path: Path):
    done = validate(copy(tmp_path, source), source)
    assert done.returncode == 0, done.stdout


def test_a_file_that_breaks_the_contract_is_not_valid(tmp_path: Path):
    done = validate(copy(tmp_path, "orders", ("\n0000001,", "\n,"), ("2025-", "soon ")), "orders")
    assert done.returncode != 0
    assert "constraint" in done.stdout and "type-error" in done.stdout
