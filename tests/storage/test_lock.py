"""The run lock: one run at a time in a warehouse, and who holds it."""

import os
from pathlib import Path

import pytest

from lib.errors import PipelineError
from lib.storage.lock import LockTaken, lock_holder, run_lock


def test_a_second_run_is_refused_at_once_and_names_the_first(tmp_path: Path):
    with run_lock(tmp_path / "a" / "new folder"):
        with (pytest.raises(LockTaken, match=rf"process {os.getpid()}\).*new folder") as refused,
              run_lock(tmp_path / "a" / "new folder")):
            pass
        assert refused.value.exit_code == 3
        assert lock_holder(tmp_path / "a" / "new folder") == os.getpid()
    assert lock_holder(tmp_path / "a" / "new folder") is None
    with run_lock(tmp_path / "a" / "new folder"):
        pass


@pytest.mark.parametrize("left", ["", "no number", str(2**22 + 1)])  # the last one is beyond all processes
def test_what_a_killed_run_left_in_the_lock_holds_nobody_up(tmp_path: Path, left: str):
    (tmp_path / ".lock").write_text(left)
    assert lock_holder(tmp_path) is None
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    assert (tmp_path / ".lock").read_text() == ""


def test_a_run_of_another_user_holds_the_lock_too(tmp_path: Path, monkeypatch):
    def refuse(process: int, signal: int) -> None:
        assert signal == 0  # which only asks
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    (tmp_path / ".lock").write_text("4711")
    assert lock_holder(tmp_path) == 4711


def test_a_warehouse_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (pytest.raises(PipelineError, match=r"file/shop.*cannot be written \(.+\).*--warehouse"),
          run_lock(tmp_path / "file" / "shop")):
        pass
