"""The pages of the documentation, and what stands in them: fenced blocks, tables, transcripts."""

import re

from conftest import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
DESIGN = (PROJECT / "docs" / "design.md").read_text(encoding="utf-8")
PAGES = {"README.md": README, "docs/design.md": DESIGN}


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, without their indentation."""
    found = re.findall(rf"(?ms)^( *)```{language}\n(.*?)^ *```$", page)
    return [re.sub(rf"(?m)^{indent}", "", text) for indent, text in found]


def rows_of_table(page: str, first_header: str) -> list[list[str]]:
    """Return the rows of the table whose first column is called so, cell by cell."""
    table = re.search(rf"(?m)^\| {re.escape(first_header)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def prose(page: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", page)


def shown(command: str) -> list[str]:
    """Return the lines that the README shows under a command."""
    [block] = [block for block in blocks(README, "text") if block.startswith(f"$ {command}\n")]
    return block.splitlines()[1:]
