"""Break the project on purpose, a small slip at a time, and tell which slips no test notices: `make mutants`.

Each slip is made in a copy of the checkout, in which the tests nearest to the file run (nearest.toml). A slip
that no test notices survives: write the assertion that is missing, or list the slip in equivalent.toml with
the reason why it changes nothing that anybody could see. promises.toml has a slip for each promise of the
README, and the one test that must notice it.
"""

import argparse
import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mutate import Mutant, as_mutant, mutants_of

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
KILLED = PROJECT / "reports" / "mutants.jsonl"  # what earlier runs have noticed: not tried again
SEED = "0"
MOST_SURVIVE = 0.1  # unexplained
LONGEST = 900  # seconds for one mutant's tests
QUICKLY = ["-x", "--hypothesis-seed=0"]

Trial = tuple[Mutant, tuple[str, ...]]  # a mutant and the tests nearest to it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--each", type=int, default=8, help="at most so many mutants of each file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("files", nargs="*", help="only these files")
    given = parser.parse_args()
    trials, places = find_trials(given.each, given.files)
    promised = read_promises(given.files)
    listed = read_table("equivalent")
    explained = {mutant for mutant, _ in trials if any(is_described(mutant, slip) for slip in listed)}
    killed = read_killed()
    to_try = [trial for trial in promised + trials if key(trial) not in killed and trial[0] not in explained]
    known = len(promised) + len(trials) - len(explained) - len(to_try)
    print(f"{len(trials)} of {places} mutants, {len(promised)} slips of promises; {len(explained)} are "
          f"listed as equivalent, an earlier run has noticed {known}", flush=True)
    survivors = try_all(to_try, given.workers)
    broken = [mutant for mutant, _ in promised if mutant in survivors]
    for mutant in survivors:
        print(f"survived: {mutant}")
    tried = len(trials) - len(explained)
    share = (len(survivors) - len(broken)) / max(1, tried)
    print(f"mutants: {tried} tried, {len(survivors) - len(broken)} survived ({share:.1%}), "
          f"{len(explained)} equivalent; promises: {len(promised)} slips, {len(broken)} not noticed")
    return int(share > MOST_SURVIVE or bool(broken))


def read_table(name: str) -> list[dict[str, Any]]:
    """Return the entries of one of the tables in this folder."""
    [entries] = tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8")).values()
    return entries


def find_trials(each: int, only: Sequence[str]) -> tuple[list[Trial], int]:
    """Return a sample of the mutants of every file with promises, and how many there could be."""
    trials, places = [], 0
    for near in read_table("nearest"):
        for path in sorted(path for pattern in near["files"] for path in PROJECT.glob(pattern)):
            file = path.relative_to(PROJECT).as_posix()
            if path.name != "__init__.py" and (not only or file in only):
                found, in_all = mutants_of(PROJECT, file, each, SEED)
                trials += [(mutant, tuple(near["tests"])) for mutant in found]
                places += in_all
    return trials, places


def read_promises(only: Sequence[str]) -> list[Trial]:
    """Return the slip that breaks each promise, with the test that must notice it."""
    trials = []
    for promise in read_table("promises"):
        if only and promise["file"] not in only:
            continue
        text = (PROJECT / promise["file"]).read_text(encoding="utf-8")
        if text.count(promise["old"]) != 1:
            sys.exit(f"promises.toml: {promise['old']!r} is not in {promise['file']} once: {promise['says']}")
        content = text.replace(promise["old"], promise["new"])
        trials.append((as_mutant(promise["file"], text, content), (promise["test"],)))
    return trials


def is_described(mutant: Mutant, slip: dict[str, str]) -> bool:
    """Return whether a line of equivalent.toml is about a mutant."""
    return slip["file"] in (mutant.file, "*") and slip["old"] in mutant.old and slip["new"] in mutant.new


def key(trial: Trial) -> str:
    """Return what identifies a trial: the mutant, its tests, and what they contain."""
    mutant, tests = trial
    files = [(PROJECT / test.partition("::")[0]).read_text(encoding="utf-8") for test in tests]
    return hashlib.sha256("\0".join([mutant.file, mutant.content, *tests, *files]).encode()).hexdigest()


def read_killed() -> set[str]:
    return set(KILLED.read_text().split()) if KILLED.exists() else set()


def try_all(trials: Sequence[Trial], workers: int) -> list[Mutant]:
    """Try the trials in copies of the checkout, and return the mutants that no test notices."""
    survivors, began = [], time.monotonic()
    KILLED.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, KILLED.open("a") as killed:
        context = multiprocessing.get_context("spawn")
        copies = context.SimpleQueue()
        for number in range(workers):
            copies.put(copy_checkout(Path(folder) / str(number)))
        with context.Pool(workers, get_ready, (copies,)) as pool:
            check_tests(pool, {test for _, tests in trials for test in tests})
            for number, (trial, code) in enumerate(zip(trials, pool.imap(try_one, trials), strict=True), 1):
                minutes = (time.monotonic() - began) / 60
                verdict = "noticed " if code else "SURVIVED"
                print(f"{number}/{len(trials)} {minutes:4.0f} min  {verdict} {trial[0]}", flush=True)
                if code:
                    print(key(trial), file=killed, flush=True)
                else:
                    survivors.append(trial[0])
    return survivors


def check_tests(pool: Any, tests: set[str]) -> None:
    """Stop when a test fails without a mutant: it would notice them all."""
    for test, code in zip(tests, pool.imap(run_tests, [(test,) for test in tests]), strict=True):
        if code:
            sys.exit(f"{test} fails without a mutant, or runs no test: exit code {code}")


def copy_checkout(target: Path) -> Path:
    """Copy the files that git knows or would know."""
    listed = ["git", "-C", PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in names:
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target / name)
    return target


def get_ready(copies) -> None:
    """Prepare a worker: its copy of the checkout, and packages that take seconds to import."""
    os.chdir(copies.get())
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    import great_expectations  # noqa: F401
    import hypothesis  # noqa: F401
    import nbformat  # noqa: F401
    import pytest  # noqa: F401
    from tqdm import tqdm

    tqdm.get_lock()  # which each fork would make anew, and leave behind


def try_one(trial: Trial) -> int:
    """Put a mutant in its place, run its tests, and put the file back; return pytest's exit code."""
    mutant, tests = trial
    path = Path(mutant.file)
    content = path.read_bytes()
    try:
        path.write_text(mutant.content, encoding="utf-8")
        return run_tests(tests)
    finally:
        path.write_bytes(content)


def run_tests(tests: Sequence[str]) -> int:
    """Run pytest in a fork of this process, which has imported what is slow; kill it if it never ends."""
    child = os.fork()
    if not child:
        code = 99
        try:
            os.setsid()
            output = os.open("tests.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            import pytest

            # The one test of a promise may need whole runs; of a file, those tests would take too long.
            several = [] if any("::" in test for test in tests) else ["-m", "not whole_run"]
            code = int(pytest.main([*QUICKLY, *several, *tests]))
        finally:
            os._exit(code)
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


if __name__ == "__main__":
    sys.exit(main())
