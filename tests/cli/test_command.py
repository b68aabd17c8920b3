"""The command line: help that answers at once, verbs with options of their own, errors of one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import refused
from conftest import PROJECT, Shop

COMMAND = [sys.executable, str(PROJECT / "run_pipeline.py")]
VERBS = ("plan", "preview", "status", "adopt", "add", "watch", "replay", "verify", "import", "query",
         "browse")
SLOW = {"pandas", "numpy", "pyarrow", "sqlite3", "adbc_driver_sqlite", "duckdb", "papermill", "jinja2",
        "rich",
        "great_expectations", "watchfiles", "prompt_toolkit", "xlsxwriter", "pyspark", "datasette",
        "multiprocessing", "asyncio", "socket"}


def imported(*arguments: str) -> set[str]:
    """Return the modules that a command imports."""
    code = "import sys, lib.cli.main; lib.cli.main.main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    return set(run([sys.executable, "-c", code, *arguments]).stderr.split())


def run(command: list) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)


@pytest.mark.parametrize("verb", [(), *zip(VERBS)], ids=lambda verb: "".join(verb) or "run")
def test_help_imports_nothing_slow_and_no_other_verb(verb: tuple[str, ...]):
    modules = imported(*verb, "--help")
    assert not modules & SLOW
    own = {"lib.cli", "lib.cli.main", "lib.cli.options", "lib.cli.run",
           *(f"lib.cli.{'import_' if name == 'import' else name}" for name in verb)}
    assert {name for name in modules if name.startswith("lib.cli")} == own


def test_a_run_begins_without_the_libraries_of_its_steps():
    """They take longer to import than a run with nothing new takes."""
    done = run([sys.executable, "-c", "import sys, lib.runner.once; print(*sys.modules)"])
    assert not {"pandas", "numpy", "pyarrow", "duckdb", "great_expectations"} & set(done.stdout.split())


def test_help_lists_the_verbs_and_every_verb_shows_an_example_and_its_exit_codes():
    listed = run([*COMMAND, "-h"]).stdout
    assert re.findall(r"(?m)^  (\w+) +\w", listed.partition("Verbs")[2])[:len(VERBS)] == list(VERBS)
    assert "Raw is kept" in " ".join(listed.split())
    for verb in VERBS:
        shown = run([*COMMAND, verb, "--help"]).stdout
        assert f"  python run_pipeline.py {verb} " in shown
        assert re.search(r"(?s)exit codes: .*\b2\s+wrong\s+use", shown)


WRONG = [
    (["--stpes", "raw"], ["unknown option '--stpes' (did you mean --steps?)"]),
    (["--steps", "raw,dimension"], ["--steps", "'dimension' (did you mean dimensions?)", "raw, dimensions"]),
    (["--steps", "everything"], ["--steps", "'everything'", "raw, dimensions, facts, gold"]),
    (["--steps", ""], ["--steps", "unknown name ''"]),
    (["--snapshot", "order"], ["--snapshot", "'order' (did you mean orders?)", "payments"]),
    (["--snapshot-limit", "20"], ["--snapshot-limit", "'20'", "between 0 and 1"]),
    (["--keep-runs", "0"], ["--keep-runs", "'0'", "1 or more"]),
    (["--now", "soon"], ["--now", "'soon'", "ISO 8601"]),
    (["--source"], ["--source", "requires an argument"]),
    (["--source", "--quiet"], ["--source", "requires an argument"]),
    (["--quiet=yes"], ["--quiet", "does not take a value"]),
    (["--engine", "sprak"], ["--engine", "'sprak' (did you mean spark?)"]),
    (["--engine", "spark"], ["--engine spark needs --master"]),
    (["--master", "spark://host:7077"], ["--master goes with --engine spark"]),
    (["--audit", "."], ["--audit goes with --engine spark"]),
    (["--warehouse", "s3a://bucket/shop"], ["--warehouse is a folder", "--engine spark"]),
    (["--json"], ["--json goes with status", "--log-format json"]),
    (["--into", "x"], ["--into goes with replay and verify", "--warehouse"]),
    (["--plan"], ["--plan", "run_pipeline.py plan"]),
    (["--status", "--json"], ["--status", "run_pipeline.py status"]),
    (["--watch"], ["--watch", "run_pipeline.py watch"]),
    (["--replay", "20260106T051500.530114"], ["--replay", "run_pipeline.py replay BATCH_ID"]),
    (["--verify"], ["--verify", "run_pipeline.py verify"]),
    (["--import-from=data"], ["--import-from", "run_pipeline.py import DIR"]),
    (["pln"], ["unknown verb 'pln' (did you mean plan?)"]),
    (["plan"], ["--source stands before plan", "run_pipeline.py plan --source"]),
]


@pytest.mark.parametrize(("words", "named"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_wrong_command_line_is_one_line_with_the_closest_right_one(words: list, named: list,
                                                                     tmp_path: Path):
    done = run([*Shop(tmp_path).command(), *words])
    assert done.returncode == 2
    assert refused(done, *named, "--help").count("\n") == 0
    assert list(tmp_path.iterdir()) == []


OF_A_VERB = [
    (["plan", "--quiet"], ["unknown option '--quiet'"]),
    (["status", "--jsno"], ["unknown option '--jsno' (did you mean --json?)"]),
    (["replay"], ["missing argument 'BATCH_ID'"]),
    (["verify", "--engine", "spark"], ["unknown option '--engine'"]),
    (["import", "data"], ["missing option '--master'"]),
    (["browse", "--port", "high"], ["--port", "'high'"]),
]


@pytest.mark.parametrize(("words", "named"), OF_A_VERB, ids=[" ".join(words) for words, _ in OF_A_VERB])
def test_a_verb_has_only_the_options_that_mean_something_to_it(words: list[str], named: list[str]):
    done = run([*COMMAND, *words])
    assert done.returncode == 2
    assert refused(done, *named, "--help").count("\n") == 0


def test_the_options_of_a_run_are_in_the_command_that_status_suggests(tmp_path: Path):
    done = Shop(tmp_path).run("status", "--keep-runs", "90", "--snapshot", "orders", expect=1)
    assert done.stdout.rstrip().endswith("--snapshot orders --keep-runs 90")


def test_a_reader_that_has_seen_enough_help_is_no_error():
    with subprocess.Popen([*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as asked:
        asked.stdout.close()
        assert (asked.wait(20), asked.stderr.read()) == (0, "")
