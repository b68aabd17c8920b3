"""The pages of the documentation, and what is in them: fenced blocks, tables, transcripts."""

import re

from conftest import PROJECT

PATHS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
PAGES = {path.relative_to(PROJECT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}
README = PAGES["README.md"]
ALL_PAGES = "\n\n".join(PAGES.values())


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, without their indentation."""
    found = re.findall(rf"(?ms)^( *)```{language}\n(.*?)^ *```$", page)
    return [re.sub(rf"(?m)^{indent}", "", text) for indent, text in found]


def rows_of_table(page: str, first_header: str) -> list[list[str]]:
    """Return the rows of the table whose first column has this header, cell by cell."""
    table = re.search(rf"(?m)^\| {re.escape(first_header)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def prose(page: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", page)


def shown(command: str) -> list[str]:
    """Return the lines that a page shows under a command. Only one page may show it."""
    [block] = [block for block in blocks(ALL_PAGES, "text") if block.startswith(f"$ {command}\n")]
    return block.splitlines()[1:]
