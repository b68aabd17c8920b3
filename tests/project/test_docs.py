"""What the pages of the documentation say is so: transcripts, commands, options, tables, examples, names."""

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import LAYERS, PROJECT, Shop
from documents import ALL_PAGES, PAGES, README, blocks, codes, prose, rows_of_table
from terminal import run_on_terminal, seen

from lib.cli.main import main
from lib.contract import CONTRACT, SOURCES, Column, read_source
from lib.explore import questions
from lib.explore.report import open_report
from lib.systems import Block, System, read_system

MADE_BY_RUNS = ("data/warehouse", "reports")
NAMED_IN = ("", "lib", "tests", "notebooks", "gx")  # folders whose files a page may name without them
WIDTH = 110
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", "reports", "warehouse", "__pycache__", "tests")


# Transcripts and examples

def without_what_varies(transcript: str) -> str:
    seconds = re.sub(r" +[\d.]+ s\b", " # s", transcript)
    times = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", seconds)
    return re.sub(r"report: .*/reports/", "report: …/reports/", times).strip()


def test_the_transcript_is_what_the_first_run_of_the_sample_prints(loaded: Shop):
    command, _, shown = blocks(README, "text")[0].split("\n", 2)
    assert command == "$ make run"
    printed = seen((loaded.folder / "terminal.txt").read_bytes().decode())
    assert without_what_varies(shown) == without_what_varies(printed)


def test_a_rule_is_changed_as_the_readme_shows(used: Shop, tmp_path: Path):
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=NOT_COPIED)
    old, new = re.search(r"change `([^`]+)` to\s+`([^`]+)`", README).groups()
    notebook = project / re.search(r"Open `(notebooks/\w+\.ipynb)`", README)[1]
    code = notebook.read_text(encoding="utf-8")
    assert code.count(old) == 1
    notebook.write_text(code.replace(old, new), encoding="utf-8")
    [query] = [block for block in blocks(README, "sql") if "in each tier" in block]
    then, before = re.search(r"(\d+) customers are now `PLATINUM` instead of (\d+)", README).groups()
    assert dict(used.query("gold", query))["PLATINUM"] == int(before)
    printed = run_on_terminal([sys.executable, project / "run_pipeline.py", *used.command()[2:]])
    command, _, shown = blocks(README, "text")[1].split("\n", 2)
    assert command == "$ make run"
    assert without_what_varies(shown) == without_what_varies(seen(printed))
    assert dict(used.query("gold", query))["PLATINUM"] == int(then)


SQL_BLOCKS = [block for page in PAGES.values() for block in blocks(page, "sql") if "-- title:" not in block]


@pytest.mark.parametrize("block", SQL_BLOCKS, ids=lambda block: block.partition("\n")[0].removeprefix("-- "))
def test_every_sql_example_runs(block: str, loaded: Shop):
    database = re.match(r"-- (\w+\.db): .+\n", block)[1]
    with closing(sqlite3.connect(f"file:{loaded.warehouse / database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(block).fetchall()
    assert rows or re.search("quarantine|FAILED", block), "an example that shows nothing on the sample"


def test_a_question_that_is_written_as_the_page_says_is_asked_everywhere(
        loaded: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    [example] = [block for block in blocks(ALL_PAGES, "sql") if "-- title:" in block]
    shutil.copytree(questions.QUESTIONS, tmp_path / "questions")
    (tmp_path / "questions" / "returns_by_day.sql").write_text(example, encoding="utf-8")
    monkeypatch.setattr(questions, "QUESTIONS", tmp_path / "questions")
    questions.questions.cache_clear()
    try:
        assert main(["query", "--warehouse", str(loaded.warehouse), "--ask", "returns_by_day",
                     "--month", "2025-12", "--format", "csv"]) == 0
    finally:
        questions.questions.cache_clear()
    assert re.search(r"^2025-12-\d\d,\d+\.\d+$", capsys.readouterr().out, re.MULTILINE)


def test_the_cell_of_the_report_on_the_page_shows_a_table(loaded: Shop):
    [example] = [block for block in blocks(ALL_PAGES, "python") if "report.ask(" in block]
    shown = eval(example, {"report": open_report(str(loaded.warehouse))})
    assert "<th title='" in shown.data and "Returned amount" in shown.data


def test_the_git_filter_commits_notebooks_without_outputs_and_with_their_cell_ids(tmp_path: Path):
    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks")
    git("init", "--quiet")
    git("add", "notebooks")
    git("commit", "--quiet", "--message", "Notebooks")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    [example] = [block for block in blocks(ALL_PAGES, "sh") if "nbstripout --install" in block]
    subprocess.run(["sh", "-ec", example], cwd=tmp_path, check=True, capture_output=True)
    output = {"output_type": "stream", "name": "stdout", "text": ["shown\n"]}
    for path in (tmp_path / "notebooks").glob("*.ipynb"):
        book = json.loads(path.read_text(encoding="utf-8"))
        book["metadata"]["language_info"] |= {"version": "3.11.0", "file_extension": ".py"}
        [*_, cell] = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
        cell |= {"execution_count": 7, "outputs": [output]}
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    git("add", "notebooks")
    assert git("diff", "--cached", "--stat") == ""


# Commands

@cache
def help_of(verb: str) -> str:
    """Return the help text of a verb; "run" is the command without one."""
    command = [sys.executable, PROJECT / "run_pipeline.py", *([] if verb == "run" else [verb]), "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "1000"}).stdout


@cache
def verbs() -> tuple[str, ...]:
    section = re.search(r"(?m)^Verbs.*\n((?:  .*\n)+)", help_of("run"))[1]
    return "run", *re.findall(r"(?m)^  (\w+)", section)


@cache
def options_of(verb: str) -> list[str]:
    """Return the options of a verb as its help shows them, with what they take."""
    return sorted(re.findall(r"(?m)^  (--\w[\w-]*(?: \S+)?)", help_of(verb)))


def listed_options(verb: str) -> list[str]:
    """Return the options of a verb as the pages list them, with what they take."""
    if verb in ("query", "browse"):
        return sorted(codes(option)[0] for option, _ in rows_of_table(ALL_PAGES, f"option of `{verb}`"))
    rows = rows_of_table(ALL_PAGES, "option")
    return sorted(codes(option)[0] for option, of, _ in rows if verb in of.split(", "))


def test_the_pages_list_every_verb():
    commands = [codes(command)[0].split() for command, _ in rows_of_table(ALL_PAGES, "command")]
    assert [words[2] if len(words) > 2 else "run" for words in commands] == list(verbs())


def test_the_pages_list_every_option_of_every_verb():
    assert {verb: listed_options(verb) for verb in verbs()} == {verb: options_of(verb) for verb in verbs()}


def test_the_pages_list_every_exit_code():
    listed = {code for code, _ in rows_of_table(ALL_PAGES, "exit code")}
    assert exit_codes_of("run") | exit_codes_of("status") | exit_codes_of("preview") == listed
    for verb in verbs():
        assert exit_codes_of(verb) <= listed, verb


def exit_codes_of(verb: str) -> set[str]:
    return set(re.findall(r"\b\d+\b", help_of(verb).partition("exit codes:")[2]))


def commands_of(page: str) -> list[list[str]]:
    """Return the words after `run_pipeline.py` of every command on a page, in its blocks and in its prose."""
    lines = [line for language in ("sh", "text", "ini", "crontab") for block in blocks(page, language)
             for line in block.replace("\\\n", " ").splitlines() if "…" not in line]
    found = [re.search(r"\bpython run_pipeline\.py\b(.*)", line) for line in [*lines, *codes(prose(page))]]
    return [shlex.split(match[1], comments=True) for match in found if match]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_has_a_verb_and_options_that_exist(page: str):
    for words in commands_of(PAGES[page]):
        verb = words[0] if words and not words[0].startswith("-") else "run"
        assert verb in verbs(), f"{page}: {words}"
        known = {"--help", *(option.partition(" ")[0] for option in options_of(verb))}
        asked = [name for option, name in pairwise(words) if option == "--ask" and not name.startswith("-")]
        known |= {f"--{name}" for question in asked for name in questions.question_named(question).parameters}
        assert {word for word in words if word.startswith("--")} <= known, f"{page}: {words}"


# Tables

def test_the_inventory_has_every_table_with_its_key_and_no_other(loaded: Shop):
    rows = rows_of_table(ALL_PAGES, "database")
    listed = {(codes(database)[0].removesuffix(".db"), table): codes(key)
              for database, tables, _, key, _ in rows for table in codes(tables)}
    names = "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'"
    there = {(layer, table): keys_of(loaded, layer, table)
             for layer in LAYERS for (table,) in loaded.query(layer, names)}
    of_curated = [table for _, table in there if table.startswith(("dim_", "fact_"))]
    assert listed == there | {("curated", f"{table}_replaced"): ["row_id"] for table in of_curated}


def keys_of(shop: Shop, layer: str, table: str) -> list[str]:
    """Return the columns of a table's unique constraint or, where it has none, of its primary key."""
    unique = shop.query(layer, f"""
        select info.name from pragma_index_list('{table}') as list, pragma_index_info(list.name) as info
        where list."unique" order by info.seqno""")
    primary = shop.query(layer, f"select name from pragma_table_info('{table}') where pk order by pk")
    return [name for (name,) in unique or primary]


def test_the_columns_of_your_files_are_those_of_the_contract():
    rows = rows_of_table(PAGES["docs/your-files.md"], "source")
    listed = {codes(source)[0]: codes(columns) for source, columns in rows}
    for name, columns in listed.items():  # a shop may have added columns without listing them
        assert columns == list(map(declared, SOURCES[name].columns))[:len(columns)]
    assert listed.keys() == SOURCES.keys()


def example(language: str, part: str, page: str = ALL_PAGES) -> str:
    """Return the one block of a language that has this text in it."""
    [found] = [block for block in blocks(page, language) if part in block]
    return found


def test_an_encoding_and_a_marker_are_declared_as_the_page_shows(tmp_path: Path):
    page, path = PAGES["docs/your-files.md"], tmp_path / "customers.yaml"
    [marker] = [code for code in codes(page) if code.startswith("missingValues: ")]
    encoding, *_ = example("yaml", "encoding: cp1251\nfields:", page).splitlines()
    contract = (CONTRACT / "customers.yaml").read_text(encoding="utf-8")
    changed = contract.replace('missingValues: [""]', f"{marker}\n{encoding}")
    path.write_text(changed, encoding="utf-8")
    assert (read_source(path).missing, read_source(path).encoding) == (("NULL",), "cp1251")


def declared(column: Column) -> str:
    type_ = "" if column.type == "text" else f":{column.type}"
    return f"{column.name}{type_}{'?' * column.optional}"


YOUR_FILES = PAGES["docs/your-files.md"]


def test_the_exports_of_your_files_are_those_that_are_declared():
    listed = {codes(name)[0] for name, *_ in rows_of_table(YOUR_FILES, "export")}
    assert listed == {path.stem for path in (PROJECT / "data" / "contract" / "systems").glob("*.yaml")}


def test_your_files_lists_every_property_of_a_system_and_of_a_block():
    def named(header: str) -> set[str]:
        return {codes(name)[0] for table in re.findall(rf"(?s)\| {header} \|.*?\n\n", YOUR_FILES)
                for name, *_ in rows_of_table(table, header)}

    assert named("property") == {field.name for field in fields(System)} - {"name"}
    assert named("property of a block") == {field.name for field in fields(Block)}


def test_your_files_shows_the_declaration_with_which_the_tests_load_a_german_spreadsheet():
    declared = (PROJECT / "tests" / "systems" / "excel_de.yaml").read_text(encoding="utf-8")
    assert declared in blocks(YOUR_FILES, "yaml")


LEAST = """\
sources:
  orders:
    columns: {order_id: Name, order_date: Date}
  order_lines:
    columns: {order_line_id: "{Name}/{n}", order_id: Name, product_id: SKU, quantity: Qty, unit_price: Price}
"""


@pytest.mark.parametrize("example", [
    example for header in ("property", "property of a block", "where it comes from")
    for table in re.findall(rf"(?s)\| {header} \|.*?\n\n", YOUR_FILES)
    for _, *_, cell in rows_of_table(table, header) for example in codes(cell)])
def test_every_example_of_a_property_is_a_declaration(example: str, tmp_path: Path):
    def add(declared: dict, more: dict) -> None:
        for name, value in more.items():
            declared[name] = {**declared.get(name, {}), **value} if isinstance(value, dict) else value

    declared, more = yaml.safe_load(LEAST), yaml.safe_load(example)
    [name] = more
    orders, lines = declared["sources"].values()
    if name in {field.name for field in fields(System)} | {"files"} and name != "sources":
        add(declared, more)
    elif name in {field.name for field in fields(Block)}:
        add(orders, more)
    elif name in SOURCES["orders"].column_names:
        orders["rows"] = "one per key"
        add(orders["columns"], more)
    elif name in SOURCES["order_lines"].column_names:
        add(lines["columns"], more)
    else:  # of customers or payments
        source, key = ("customers", "customer_id") if name.endswith("_name") else ("payments", "payment_id")
        needed = {key: "Id", "order_id": "Name"} if source == "payments" else {key: "Id"}
        declared["sources"][source] = {"columns": {**needed, **more}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(declared, allow_unicode=True), encoding="utf-8")
    assert read_system(path)


def test_the_export_that_your_files_shows_comes_to_the_figures_that_it_says(tmp_path: Path):
    [export] = blocks(YOUR_FILES, "csv")
    [figures] = re.findall(r"this export is one day with (.*?)\. When", YOUR_FILES, re.DOTALL)
    shop = Shop(tmp_path)
    shop.deliver("orders_export_1.csv", *export.splitlines())
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=NOT_COPIED)
    [contract] = [block for block in blocks(YOUR_FILES, "yaml") if block.startswith("timezone:")]
    (project / "data" / "contract" / "shop.yaml").write_text(contract, encoding="utf-8")
    command = [sys.executable, project / "run_pipeline.py", *shop.command()[2:]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    [(day, *found)] = shop.query(
        "gold", "select order_date, orders, total_sales, payments_received from sales_summary_daily")
    lines = shop.counts("gold", "reporting_sales_wide")
    assert re.findall(r"\d[\d.]*\d|\d", figures) == [
        str(found[0]), str(lines[0]), *(f"{one:.2f}" for one in found[1:])]
    assert day == "2026-03-05"  # in New York; it is the next day in UTC


# Form

@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_a_page_begins_with_whom_it_is_for(page: str):
    assert re.match(r"# .+\n\nFor (anyone|the next) ", PAGES[page])


@pytest.mark.parametrize("page", PAGES)
def test_lines_fit_the_width_except_tables_and_what_a_command_prints(page: str):
    text = PAGES[page]
    for block in blocks(text, "text"):
        for line in block.splitlines():
            text = text.replace(line, "")
    assert [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith("|")] == []


# Names

@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_module_that_a_page_names_exists(page: str):
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir()}
    for name in codes(prose(PAGES[page])):
        if re.search(r"[<…*$ ]", name) or name.startswith(MADE_BY_RUNS):
            continue
        is_file = re.fullmatch(r"\w+\.(py|toml|yml|ipynb)|Makefile|requirements[\w-]*\.txt", name)
        if is_file or name.partition("/")[0] in folders:
            assert any((PROJECT / folder / name).exists() for folder in NAMED_IN), f"{page} names {name}"
        if match := re.fullmatch(r"(lib(?:\.\w+){1,2})(?:\.\w+)?", name):
            path = PROJECT / match[1].replace(".", "/")
            modules = [path.with_suffix(".py"), path.parent.with_suffix(".py")]  # or a name in a module
            assert path.is_dir() or any(module.exists() for module in modules), f"{page} names {name}"


def targets_of(page: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page]))


def anchors_of(page: str) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_of_a_page_leads_somewhere(page: str):
    for target in targets_of(page):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            file = (PROJECT / page).parent / path if path else PROJECT / page
            assert file.exists(), f"{page} links to {target}"
            text = file.read_text(encoding="utf-8") if anchor else ""
            assert not anchor or anchor in anchors_of(text), f"{page} links to {target}"


def test_every_page_and_picture_is_linked_from_another_page():
    linked = {((PROJECT / page).parent / target.partition("#")[0]).resolve()
              for page in PAGES for target in targets_of(page)}
    docs = PROJECT / "docs"
    assert {PROJECT / "CONTRIBUTING.md", *docs.glob("*.md"), *(docs / "pictures").iterdir()} <= linked


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page: str):
    targets = re.findall(r"(?m)^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text())
    commands = [*codes(prose(PAGES[page])), *"\n".join(blocks(PAGES[page], "sh")).splitlines()]
    named = [match[1] for command in commands if (match := re.match(r"make ([a-z-]+)", command))]
    assert set(named) <= set(targets)
