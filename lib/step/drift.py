"""Drift: what is unusual about a delivery, compared with the last ones of its kind. It only warns."""

import re
from collections.abc import Sequence
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from lib.contract import SOURCES, Source
from lib.storage.layer import Layer
from lib.systems import ONE_PER_KEY, SHOP_CSV, System

HISTORY = 20  # deliveries to compare with
ENOUGH = 3  # of them before anything counts as usual
NAMED = 3  # new values named in a warning
NAMED_TEXT = 40  # characters of such a value
ROUNDED = r"\s*\d([.,]\d+)?[eE]\+\d+\s*"  # how spreadsheets write a long number: its last digits are lost
IDS = {source.key for source in SOURCES.values()}
KEPT_VALUES = 1000  # of one column of one delivery: a column with more is no category
# How often each column of each delivery was empty.
PROFILES = pa.schema([("source_filename", pa.string()), ("series", pa.string()), ("column_name", pa.string()),
                      ("rows", pa.int64()), ("empty", pa.int64()), ("batch_id", pa.string())])
# The values that category columns have had so far.
CATEGORIES = pa.schema([("source_name", pa.string()), ("column_name", pa.string()), ("value", pa.string()),
                        ("source_filename", pa.string()), ("batch_id", pa.string())])


class Profile:
    """What one delivery looks like: rows, empty cells per column, values of its category columns."""

    def __init__(self, source: Source, system: System = SHOP_CSV) -> None:
        self.source, self.system, self.rows = source, system, 0
        self.empty = dict.fromkeys(source.column_names, 0)
        self.values: dict[str, dict[str, int]] = {name: {} for name in source.categories}  # and first lines
        # By column of ids: how many look rounded, and the first of them with its line.
        self.rounded: dict[str, tuple[int, str, int]] = {}

    def add(self, rows: pa.Table) -> None:
        """Count a batch of rows as delivered."""
        self.rows += rows.num_rows
        for name in self.empty:
            self.empty[name] += rows[name].null_count
        for name in self.values:
            self.add_values(name, rows[name], rows["source_row"])
        for name in IDS & self.empty.keys():
            if pc.any(pc.match_substring(rows[name], "+")).as_py():
                rounded = rows.filter(pc.match_substring_regex(rows[name], f"^{ROUNDED}$"))
                if rounded.num_rows:
                    first = (0, rounded[name][0].as_py(), rounded["source_row"][0].as_py())
                    count, *first = self.rounded.get(name, first)
                    self.rounded[name] = (count + rounded.num_rows, *first)

    def series(self, filename: str) -> str:
        """Return the kind of the delivery. A file of another system may hold several sources."""
        of_file = series(filename)
        return of_file if self.system is SHOP_CSV else f"{of_file} {self.source.name}"

    @property
    def is_derived(self) -> bool:
        """Whether the rows are the customers or products that orders happen to name: any number is usual."""
        block = self.system.sources.get(self.source.name)
        return bool(block) and block.rows == ONE_PER_KEY and self.source.name in ("customers", "products")

    def add_values(self, name: str, delivered: pa.ChunkedArray, lines: pa.ChunkedArray) -> None:
        """Note values of a category column, each with the first line that has it; another spelling or other
        spaces make no other value."""
        values = self.values[name]
        if len(values) < KEPT_VALUES:
            upper = pc.utf8_upper(delivered)
            for text in filter(None, pc.unique(upper).to_pylist()):
                value = " ".join(text.split())
                if value and value not in values:
                    values[value] = lines[pc.index(upper, text).as_py()].as_py()


def series(filename: str) -> str:
    """Return the kind of a delivery: its name without numbers. A day's file is not a full export."""
    return re.sub(r"\d+", "#", filename)


def create_tables(raw: Layer) -> None:
    """Create the tables that remember what deliveries were like, when missing."""
    raw.create_table("profiles", PROFILES, serial="profile_id")
    raw.index("profiles", "series")
    raw.create_table("categories", CATEGORIES, serial="category_id")


def compare(raw: Layer, filename: str, profile: Profile, batch_id: str) -> list[str]:
    """Return what is unusual about a delivery, and remember the delivery for the next.

    A number is unusual by its modified z-score (Iglewicz and Hoaglin, "How to Detect and Handle Outliers",
    1993): more than 3.5 median absolute deviations, scaled by 0.6745, from the median of the last deliveries
    of the same series. Less than half the median (rows) or ten percentage points (empty cells) is never
    unusual.
    """
    findings = [*_rounded(filename, profile), *_volume(raw, filename, profile),
                *_categories(raw, filename, profile, batch_id)]
    names = list(profile.empty)
    raw.insert("profiles", pa.table({
        "source_filename": [filename] * len(names), "series": [profile.series(filename)] * len(names),
        "column_name": names, "rows": [profile.rows] * len(names), "empty": list(profile.empty.values()),
        "batch_id": [batch_id] * len(names),
    }, schema=PROFILES))
    return findings


def _rounded(filename: str, profile: Profile) -> list[str]:
    return [f"{filename}: {name} looks like a number that a spreadsheet rounded in {count:,} rows, such as "
            f"{value.strip()!r} (line {line}): different ids may have become one. Format the column as text, "
            "export it again, and deliver the file again."
            for name, (count, value, line) in sorted(profile.rounded.items())]


def _volume(raw: Layer, filename: str, profile: Profile) -> list[str]:
    past = raw.read("profiles", ["column_name", "rows", "empty"],
                    "where series = ? order by profile_id desc limit ?",
                    (profile.series(filename), HISTORY * len(profile.empty))).to_pylist()
    of_column: dict[str, list[dict]] = {name: [] for name in profile.empty}
    for entry in past:
        if entry["rows"] and entry["column_name"] in of_column:
            of_column[entry["column_name"]].append(entry)
    rows = [entry["rows"] for entry in of_column[profile.source.key]]
    if len(rows) < ENOUGH or profile.is_derived:
        return []
    findings = []
    if _is_unusual(profile.rows, rows, median(rows) / 2):
        findings.append(f"{filename}: {profile.rows:,} rows; the last {len(rows)} of its kind had "
                        f"{min(rows):,} to {max(rows):,}")
    for name, entries in of_column.items():
        shares = [entry["empty"] / entry["rows"] for entry in entries]
        share = profile.empty[name] / max(1, profile.rows)
        if profile.rows and len(shares) >= ENOUGH and _is_unusual(share, shares, 0.1):
            findings.append(f"{filename}: {name} is empty in {share:.0%} of the rows; in the last "
                            f"{len(shares)} of its kind in {min(shares):.0%} to {max(shares):.0%}")
    return findings


def _categories(raw: Layer, filename: str, profile: Profile, batch_id: str) -> list[str]:
    findings = []
    for column, values in profile.values.items():
        known = set(raw.read("categories", ["value"], "where source_name = ? and column_name = ?",
                             (profile.source.name, column))["value"].to_pylist())
        new = [value for value in values if value not in known]
        raw.insert("categories", pa.table({
            "source_name": [profile.source.name] * len(new), "column_name": [column] * len(new), "value": new,
            "source_filename": [filename] * len(new), "batch_id": [batch_id] * len(new)}, schema=CATEGORIES))
        if new and known:
            more = f" and {len(new) - NAMED} more" if len(new) > NAMED else ""
            named = ", ".join(f"{value[:NAMED_TEXT]!r} (line {values[value]})" for value in new[:NAMED])
            findings.append(f"{filename}: {column} has values never seen before: {named}{more}")
    return findings


def _is_unusual(value: float, past: Sequence[float], least: float) -> bool:
    middle = median(past)
    deviation = median(abs(entry - middle) for entry in past)
    return abs(value - middle) > max(least, 3.5 * deviation / 0.6745)
