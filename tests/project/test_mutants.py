"""The tables of `make mutants` agree with the project: files, lines and tests that they name are there."""

import tomllib
from typing import Any

import pytest
from conftest import PROJECT

FOLDER = PROJECT / "tests" / "mutants"


def read(name: str) -> list[dict[str, Any]]:
    [entries] = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")).values()
    return entries


@pytest.mark.parametrize("promise", read("promises"), ids=lambda promise: promise["says"])
def test_a_promise_names_a_line_that_is_there_once_and_a_test_that_exists(promise: dict[str, str]):
    text = (PROJECT / promise["file"]).read_text(encoding="utf-8")
    assert text.count(promise["old"]) == 1 and promise["old"] != promise["new"]
    file, _, test = promise["test"].partition("::")
    assert f"def {test}(" in (PROJECT / file).read_text(encoding="utf-8")


def test_the_files_with_promises_and_the_tests_nearest_to_them_exist():
    for near in read("nearest"):
        assert all(list(PROJECT.glob(pattern)) for pattern in near["files"]), near
        assert all((PROJECT / test).is_file() for test in near["tests"]), near


def test_an_equivalent_slip_names_its_file_and_a_reason():
    for slip in read("equivalent"):
        text = "" if slip["file"] == "*" else (PROJECT / slip["file"]).read_text(encoding="utf-8")
        assert slip["file"] == "*" or slip["old"] in text, slip
        assert slip["reason"].endswith("."), slip
