"""What the pages say is so: transcript, inventory, examples, names, and the files that declare the environment."""

import json
import re
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from conftest import LAYERS, PROJECT, Shop
from documents import PAGES, README, blocks, codes, prose, rows_of_table
from ruamel.yaml import YAML
from terminal import seen

MADE_BY_RUNS = ("data/warehouse", "reports")


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True,
                            check=True)
    return [PROJECT / name for name in listed.stdout.split("\0") if name and (PROJECT / name).exists()]


# The README and what it shows

def without_what_varies(transcript: str) -> str:
    seconds = re.sub(r" +[\d.]+ s\b", " # s", transcript)
    return re.sub(r"report: .*/reports/", "report: …/reports/", seconds).strip()


def test_the_transcript_is_what_the_first_run_of_the_sample_prints(loaded: Shop):
    command, _, shown = blocks(README, "text")[0].partition("\n")
    assert command == "$ python run_pipeline.py"
    assert without_what_varies(shown) == without_what_varies(seen((loaded.folder / "terminal.txt").read_bytes().decode()))


def test_the_inventory_has_every_table_with_its_key_and_no_other(loaded: Shop):
    listed = {(codes(database)[0].removesuffix(".db"), table): codes(key)
              for database, tables, _, key, _ in rows_of_table(README, "database") for table in codes(tables)}
    there = {(layer, table): keys_of(loaded, layer, table) for layer in LAYERS for (table,) in loaded.query(
        layer, "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'")}
    later = {("curated", f"{table}_replaced"): ["row_id"] for _, table in there if table.startswith(("dim_", "fact_"))}
    assert listed == there | later


def keys_of(shop: Shop, layer: str, table: str) -> list[str]:
    """Return the columns of a table's unique constraint or, where it has none, of its primary key."""
    unique = shop.query(layer, f"select info.name from pragma_index_list('{table}') as list, pragma_index_info(list.name) as info "
                               "where list.\"unique\" order by info.seqno")
    primary = shop.query(layer, f"select name from pragma_table_info('{table}') where pk order by pk")
    return [name for (name,) in unique or primary]


SQL_BLOCKS = [block for page in PAGES.values() for block in blocks(page, "sql")]


@pytest.mark.parametrize("block", SQL_BLOCKS, ids=lambda block: block.partition("\n")[0].removeprefix("-- "))
def test_every_sql_example_runs(block: str, loaded: Shop):
    database = re.match(r"-- (\w+\.db): .+\n", block)[1]
    with closing(sqlite3.connect(f"file:{loaded.warehouse / database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(block).fetchall()
    assert rows or re.search("quarantine|FAILED", block), "an example that shows nothing on the sample"


def test_the_options_and_exit_codes_are_those_of_the_command():
    shown = subprocess.run([sys.executable, PROJECT / "run_pipeline.py", "--help"], capture_output=True, text=True, check=True,
                           env={"COLUMNS": "1000"}).stdout
    assert [codes(option)[0] for option, _ in rows_of_table(README, "option")] == re.findall(r"(?m)^  (--\w[\w-]*(?: \S+)?)", shown)
    assert [code for code, _ in rows_of_table(README, "exit code")] == re.findall(r"\d+", shown.partition("exit codes:")[2])


def test_great_expectations_writes_what_a_new_source_needs(tmp_path: Path):
    import shutil

    shutil.copytree(PROJECT / "gx", tmp_path / "gx")
    example = next(block for block in blocks(README, "python") if "add_dataframe_asset" in block)
    environment = {"GX_REPORTS": str(tmp_path / "results"), "GX_ANALYTICS_ENABLED": "false"}
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, env=environment, check=True, capture_output=True)
    for folder in ("expectations", "validation_definitions", "checkpoints"):
        for name in ("raw_shipments", "fact_shipments"):
            assert (tmp_path / "gx" / folder / f"{name}.json").exists()
    suite = json.loads((tmp_path / "gx" / "expectations" / "raw_shipments.json").read_text())
    assert suite["expectations"][0]["meta"] == {"on_failure": "quarantine"}
    assert "fact_shipments:" in (tmp_path / "gx" / "great_expectations.yml").read_text()


# Names

@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_module_that_a_page_names_exists(page: str):
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir()}
    for code in codes(prose(PAGES[page])):
        name = code.removeprefix("../shared/")
        if re.search(r"[<…*$ ]", name) or name.startswith(MADE_BY_RUNS):
            continue
        if name.partition("/")[0] in folders or re.fullmatch(r"\w+\.(py|toml|yml|ipynb)|Makefile|requirements\.txt", name):
            found = [folder / name for folder in (PROJECT, PROJECT / "lib", PROJECT / "notebooks", PROJECT / "gx")]
            assert any(path.exists() for path in found), f"{page} names {code}"
        if match := re.fullmatch(r"(lib(?:\.\w+){1,2})(?:\.\w+)?", name):
            path = PROJECT / match[1].replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists() or path.parent.with_suffix(".py").exists(), f"{page} names {code}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_of_a_page_exists(page: str):
    headings = re.findall(r"(?m)^#+ (.+)$", prose(PAGES[page]))
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page])):
        path, _, anchor = target.partition("#")
        assert not path or ((PROJECT / page).parent / path).exists(), f"{page} links to {target}"
        assert path or anchor in anchors, f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page: str):
    targets = re.findall(r"(?m)^([a-z]+):.*## ", (PROJECT / "Makefile").read_text())
    commands = [*codes(prose(PAGES[page])), *"\n".join(blocks(PAGES[page], "sh")).splitlines()]
    named = [match[1] for command in commands if (match := re.match(r"make ([a-z]+)", command))]
    assert set(named) <= set(targets)


# The environment, declared once

LOCKS = ("requirements.txt", "requirements-spark.txt")


def pinned(lock: str) -> dict[str, list[str]]:
    """Return the versions that a lock file pins, by package: more than one where they depend on the interpreter."""
    entries = re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", (PROJECT / lock).read_text())
    versions: dict[str, list[str]] = {}
    for name, version in entries:
        versions.setdefault(name, []).append(version)
    return versions


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_pins_every_declared_dependency_at_the_declared_version(lock: str):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = {extra for extra in project["optional-dependencies"] if extra != "spark" or "spark" in lock}
    declared = project["dependencies"] + [name for extra in extras for name in project["optional-dependencies"][extra]]
    for requirement in declared:
        name, _, version = requirement.partition("==")
        assert pinned(lock).get(name.replace(".", "-")) == [version], requirement  # the lock writes names as PEP 503 does


def test_both_locks_pin_the_same_versions():
    assert pinned("requirements.txt").items() <= pinned("requirements-spark.txt").items()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_of_the_lock_has_hashes_and_names_no_place(lock: str):
    text = (PROJECT / lock).read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", re.sub(r"(?m)^ *#.*\n", "", text))[1:]
    assert len(entries) == sum(map(len, pinned(lock).values())) > 50
    for entry in entries:
        assert re.match(r"[^\n]+ \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+$", entry), entry.partition("\n")[0]
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|://| @ ", text)


def test_conda_gets_the_declared_interpreter_and_installs_the_lock():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    environment = YAML(typ="safe").load(PROJECT / "environment.yml")
    python, pip, packages = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert python == f"python{project['requires-python']}"
    assert pip == "pip"
    assert packages == {"pip": ["--require-hashes", "-r requirements.txt"]}


# What is committed

def test_notebooks_are_committed_without_outputs():
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path.name


def test_what_is_committed_is_text_or_a_picture_and_names_no_place_on_somebodys_machine():
    place = re.compile(rb"/(?:home|Users|root|work)/|[\\]Users[\\]")
    for path in tracked_files():
        if path.suffix != ".png":
            content = path.read_bytes()
            found = b"NUL bytes" if b"\0" in content else (place.search(content) or [None])[0]
            assert not found, f"{path.relative_to(PROJECT)}: {found}"
