"""The environment is declared once, in pyproject.toml: the locks and conda's file follow it."""

import re
import tomllib
from itertools import chain

import pytest
from conftest import PROJECT
from ruamel.yaml import YAML

LOCKS = {  # and the extras that each one holds
    "requirements.txt": (),
    "requirements-browse.txt": ("browse",),
    "requirements-lab.txt": ("lab",),
    "requirements-test.txt": ("browse", "lab", "test"),
    "requirements-spark.txt": ("spark", "test"),
}


def pinned(lock: str) -> dict[str, list[str]]:
    """Return the versions that a lock pins, by package; several where they depend on the interpreter."""
    text = (PROJECT / lock).read_text()
    entries = re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", text)
    versions: dict[str, list[str]] = {}
    for name, version in entries:
        versions.setdefault(name, []).append(version)
    return versions


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_declared_dependency_at_the_declared_version(lock: str):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in LOCKS[lock]]
    for requirement in chain(project["dependencies"], *extras):
        name, _, version = requirement.partition("==")
        normalised = name.replace(".", "-")  # the lock writes names as PEP 503 does
        assert pinned(lock).get(normalised) == [version], requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_all_locks_pin_the_same_versions(lock: str):
    here, there = pinned(lock), pinned("requirements-test.txt")
    both = here.keys() & there.keys()
    assert both >= pinned("requirements.txt").keys()
    assert {name: here[name] for name in both} == {name: there[name] for name in both}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_of_the_lock_has_hashes_and_names_no_place(lock: str):
    text = (PROJECT / lock).read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", re.sub(r"(?m)^ *#.*\n", "", text))[1:]
    assert len(entries) == sum(map(len, pinned(lock).values())) > 50
    for entry in entries:
        hashes = r"[^\n]+ \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+$"
        assert re.match(hashes, entry), entry.partition("\n")[0]
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|://| @ ", text)


def test_conda_gets_the_declared_interpreter_and_installs_the_lock():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    environment = YAML(typ="safe").load(PROJECT / "environment.yml")
    python, pip, packages = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert python == f"python{project['requires-python']}"
    assert pip == "pip"
    assert packages == {"pip": ["--require-hashes", "-r requirements.txt"]}
