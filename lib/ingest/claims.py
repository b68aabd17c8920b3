"""Which source system a table is from, and which sources it holds: by the patterns of names that systems
declare, else by the contract's own names, else by the header."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.ingest.containers import Place, list_tables, open_table
from lib.ingest.header import DELIMITERS, MAX_LINES_ABOVE, normalise, read_header
from lib.ingest.named import (
    Claim,
    Unclaimed,
    claim_by_pattern,
    is_table,
    patterns_of,
    source_named,
    source_of,
)
from lib.ingest.records import LINE_END, split_record
from lib.ingest.text import read_first_block, wide_encoding
from lib.systems import DEFAULT, NUMBERED, Block, System, systems

PEEK_BYTES = 64 << 10  # a header and what is above it


def claim(path: Path, name: str) -> list[Claim]:
    """Return what a file holds; `name` is its name in the source folder.

    The tables of an archive or workbook that nobody claims are left out as long as one is claimed. Raises
    Unclaimed, also for a file with a table that two systems claim, or PipelineError if it cannot be read.
    """
    tables = list_tables(path)
    if tables is None:
        return _claim_table(path, name, name, "")
    claims, left_out = [], []
    for table in tables:
        full_name = name if len(tables) == 1 else f"{name}/{table}"
        try:
            claims += _claim_table(path, name, full_name, table)
        except Unclaimed as error:
            if str(error):  # more than one system would read it: that must not go unnoticed
                raise Unclaimed(f"{table}: {error}") from error
            left_out.append(table)
    if not claims:
        raise Unclaimed(f"none of its tables is claimed ({'; '.join(left_out[:3])})" if left_out
                        else "it holds no table")
    # What is no table has an ending of its own, as the readme of an archive.
    tables_left = tuple(table for table in left_out if "." not in table or is_table(table))
    return [replace(one, left_out=tables_left) for one in claims]


def _claim_table(path: Path, file_name: str, name: str, table: str) -> list[Claim]:
    """Return what one table holds; `name` is what raw will call it."""
    named = claim_by_pattern([file_name, name, table])
    named = {name: sources for name, sources in named.items() if systems()[name].sheet in ("", table)}
    if len(named) > 1:
        raise Unclaimed(f"{' and '.join(named)} have patterns that match it. Make their `files` narrower")
    if named:
        [(system, sources)] = named.items()
        return [Claim(name, table, system, source) for source in sources]
    sheet = "_".join(table.lower().split())  # "Order Lines"
    by_contract = source_of(table) or source_named(table) or (sheet if sheet in SOURCES else None)
    by_contract = by_contract or source_of(file_name)
    place = open_table(path, table)
    is_default = by_contract and fits_contract(place, by_contract)
    fitting = {} if is_default else _claim_by_header(place, table)
    if len(fitting) > 1:
        raise Unclaimed(f"its header fits {' and '.join(fitting)}. Say with their `files` which it is")
    if fitting:
        [(system, sources)] = fitting.items()
        return [Claim(name, table, system, source) for source in sources]
    if by_contract:
        return [Claim(name, table, DEFAULT, by_contract)]
    raise Unclaimed("")


def fits_contract(place: Place, source: str) -> bool:
    """Return whether a table has the header of a source, as the contract names its columns."""
    try:
        read_header(read_first_block(place, PEEK_BYTES), SOURCES[source])
    except PipelineError:
        return False
    return True


def _claim_by_header(place: Place, table: str) -> dict[str, list[str]]:
    """Return the systems without patterns that have all that they need in one of the first lines."""
    candidates = {system.name: [source for source, block in system.sources.items()
                                if not patterns_of(system, block)]
                  for system in systems().values() if system.sheet in ("", table)}
    candidates = {name: sources for name, sources in candidates.items() if sources}
    forms = {(systems()[name].encoding, systems()[name].delimiter) for name in candidates}
    lines = {form: first_lines(place, *form) for form in forms}
    return {name: sources for name, sources in candidates.items() if any(
        fits(system, sources, line) for system in [systems()[name]]
        for line in lines[system.encoding, system.delimiter])}


def first_lines(place: Place, encoding: str = "", delimiter: str = "") -> list[set[str]]:
    """Return the cells of each of the first lines as normalised names, by each delimiter.

    `encoding` is that of files which are not UTF-8.
    """
    delimiters = (delimiter,) if delimiter else DELIMITERS
    content = read_first_block(place, PEEK_BYTES).content
    try:
        decoded = content.decode(wide_encoding(content) or "utf-8")
    except UnicodeError:
        decoded = content.decode(encoding or "cp1252", "replace")
    text, lines, start = decoded.removeprefix("\ufeff").encode(), [], 0
    while start < len(text) and len(lines) <= MAX_LINES_ABOVE * len(delimiters):
        lines += [{*map(normalise, split_record(text, one.encode(), start)[0])} for one in delimiters]
        end = LINE_END.search(text, start)
        start = end.end() if end else len(text)
    return lines


def fits(system: System, sources: Iterable[str], names: set[str]) -> bool:
    """Return whether normalised names of a header have all that some sources of a system need."""
    return all(has_name(name, names) for name in system.requires) and all(
        not missing_columns(system.sources[source], source, names) for source in sources)


def missing_columns(block: Block, source: str, names: set[str]) -> list[str]:
    """Return the delivered columns without which a block has no text for the key or a required column."""
    needed = [column.name for column in SOURCES[source].columns if not column.optional]
    missing = []
    for column in filter(block.columns.__contains__, needed):
        ways = [[name for name in text.columns if not has_name(name, names)]
                for text in (*block.columns[column].texts, *block.columns[column].sums)]
        if all(ways):
            missing += ways[0]
    return list(dict.fromkeys(missing))


def has_name(name: str, names: set[str]) -> bool:
    """Return whether a delivered column, or the first of some numbered ones, is among normalised names."""
    return normalise(name) in names or (
        NUMBERED in name and any(normalise(name.replace(NUMBERED, number)) in names for number in "01"))
