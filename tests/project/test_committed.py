"""What is committed: notebooks without outputs, text and pictures, and no place on anyone's machine."""

import json
import re
import subprocess
from pathlib import Path

from conftest import PROJECT


def tracked_files() -> list[Path]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return [PROJECT / name for name in listed.split("\0") if name and (PROJECT / name).exists()]


def test_notebooks_are_committed_without_outputs():
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path.name


def test_what_is_committed_is_text_or_a_picture_and_names_no_place_on_anyones_machine():
    place = re.compile(rb"/(?:home|Users|root|work)/|[\\]Users[\\]")
    for path in tracked_files():
        if path.suffix != ".png":
            content = path.read_bytes()
            found = b"NUL bytes" if b"\0" in content else (place.search(content) or [None])[0]
            assert not found, f"{path.relative_to(PROJECT)}: {found}"
