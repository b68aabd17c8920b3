"""Rows of one file that share a key: the last one counts, and the others are duplicates or are set aside.

Rows that equal the last one in the columns of the contract, once trimmed, are only counted as duplicates.
Rows that differ raise a question, so they go to the quarantine; too many of them stop the step.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from lib.contract import Source
from lib.step.drift import NAMED_TEXT, ROUNDED
from lib.step.frames import trim
from lib.storage.lookup import REPEATED_KEY
from lib.storage.sql import quoted


@dataclass(frozen=True)
class Repeats:
    """How many rows of a file share a key with a later row and differ from the last one of that key."""

    differing: int  # in a column of the contract
    differing_elsewhere: int  # only in other columns
    key: str = ""  # of the first row that differs
    line: int = 0
    kept_line: int = 0  # the last line with that key

    def explain_too_many(self, filename: str, key: str, rows: int) -> str:
        """Return the error for a file with too many rows that differ."""
        rounded = (f" {self.key!r} looks like a number that a spreadsheet rounded: format the column as text "
                   "and export it again." if re.fullmatch(ROUNDED, self.key) else "")
        return (f"{filename}: {self.differing:,} of {rows:,} rows share {_a(key)} with another row and "
                f"differ: is {key} unique in this file? {self._example(key)}.{rounded} Nothing of it was "
                f"written. Make {key} unique and deliver the file again; or raise --quarantine-limit to load "
                "the last row of each key.")

    def warnings(self, filename: str, key: str) -> list[str]:
        """Return what to report of a file that is loaded all the same."""
        if self.differing:
            return [f"{filename}: rows that share {_a(key)} with a later row but differ from it: "
                    f"{self.differing:,}. {self._example(key)}. The last row of each key is loaded, the "
                    "others are in the quarantine. If they are different records, make the key unique and "
                    "deliver the file again."]
        if self.differing_elsewhere:
            return [f"{filename}: rows that share {_a(key)} with a later row but differ from it in columns "
                    f"that are not in the contract: {self.differing_elsewhere:,}. {self._example(key)}. The "
                    "last row of each key is loaded."]
        return []

    def _example(self, key: str) -> str:
        return f"Lines {self.line} and {self.kept_line} both have the {key} {self.key[:NAMED_TEXT]!r}"


def _a(key: str) -> str:
    return f"{'an' if key[0] in 'aeiou' else 'a'} {key}"


def may_repeat(work: duckdb.DuckDBPyConnection, batches: Iterable[pa.Table], key: str) -> bool:
    """Return whether a file may have a key twice. It never misses one, and is hardly ever wrong.

    It compares hashes of eight bytes, which takes a tenth of the time that comparing the keys takes.
    """
    hashes = [np.empty(0, np.uint64)]
    for rows in batches:
        work.register("incoming", pa.table({"key": trim(rows[key]).drop_null()}))
        hashes.append(work.execute("select hash(key) as hash from incoming").fetchnumpy()["hash"])
        work.unregister("incoming")
    ordered = np.sort(np.concatenate(hashes))
    return bool((ordered[1:] == ordered[:-1]).any())


def put_delivered_keys(work: duckdb.DuckDBPyConnection, batches: Iterable[pa.Table], key: str) -> None:
    """Fill the working table `delivered_keys(record_key, source_row)` with the trimmed keys of a file."""
    work.execute("create or replace table delivered_keys (record_key varchar, source_row bigint)")
    for rows in batches:
        work.register("incoming", pa.table({"key": trim(rows[key]), "source_row": rows["source_row"]}))
        work.execute("insert into delivered_keys select key, source_row from incoming where key is not null")
        work.unregister("incoming")


def find_repeats(work: duckdb.DuckDBPyConnection) -> bool:
    """Fill the working table `repeats` with the rows of `delivered_keys` that share a key with another row;
    return whether there are any. Rows without a key share none."""
    work.execute("""
        create or replace table repeats as
        select record_key, source_row, max(source_row) over (partition by record_key) as kept_row
        from delivered_keys
        where record_key in (select record_key from delivered_keys group by record_key having count(*) > 1)
        """)
    return work.execute("select count(*) from repeats").fetchall()[0][0] > 0


def compare_repeats(work: duckdb.DuckDBPyConnection, batches: Iterable[pa.Table],
                    source: Source) -> pd.DataFrame:
    """Return the rows of `repeats` but the last of each key; `batches` are all rows of the file.

    `kept_row` is the line of the last row, `differs` whether the row differs from it in a column of the
    contract, once trimmed, and `differs_elsewhere` whether it differs in another column.
    """
    work.execute("create or replace table contents (source_row bigint, content ubigint, others ubigint)")
    for rows in batches:
        others = [name for name in rows.column_names if name not in (*source.column_names, "source_row")]
        work.register("incoming", rows)
        found = work.sql("select i.* from incoming as i semi join repeats using (source_row)")
        columns = {name: trim(column) if name != "source_row" else column for name, column
                   in zip(rows.column_names, found.to_arrow_table().cast(rows.schema).columns, strict=True)}
        work.unregister("incoming")
        work.register("repeated", pa.table(columns))
        work.execute(f"insert into contents select source_row, hash({quoted(source.column_names)}), "
                     f"{f'hash({quoted(others)})' if others else 0} from repeated")
        work.unregister("repeated")
    return work.execute("""
        select r.record_key, r.source_row, r.kept_row, c.content <> kept.content as differs,
            c.content = kept.content and c.others <> kept.others as differs_elsewhere
        from repeats as r
        join contents as c on c.source_row = r.source_row
        join contents as kept on kept.source_row = r.kept_row
        where r.source_row < r.kept_row
        order by r.source_row
        """).df().set_index("source_row")


def summarize(repeats: pd.DataFrame) -> Repeats:
    """Return what to report of a file's repeated keys."""
    differing, elsewhere = repeats[repeats["differs"]], repeats[repeats["differs_elsewhere"]]
    first = pd.concat([differing, elsewhere]).head(1)
    example = [(row.record_key, int(line), int(row.kept_row)) for line, row in first.iterrows()]
    return Repeats(len(differing), len(elsewhere), *next(iter(example), ()))


def as_quarantined(rows: pd.DataFrame, repeats: pd.DataFrame, texts: list[str], key: str) -> pd.DataFrame:
    """Return rows that differ from the last row of their key as they are put into the quarantine."""
    about = repeats.loc[rows["source_row"]]
    return pd.DataFrame({
        "source_row": rows["source_row"].array, "raw_text": texts, "rule": REPEATED_KEY,
        "record_key": about["record_key"].array,
        "reason": [f"The row in line {line}, the last one of the file with this {key}, has other values and "
                   "is the one that counts." for line in about["kept_row"]]})
