"""Totals, as a spreadsheet or a report writes them: they are no rows, whatever they look like.

The key of a total that stands among the rows is a word for it. The last row may be a total in other ways.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from lib.contract import Source
from lib.ingest.header import SOURCE_ROW
from lib.ingest.reader import Batch
from lib.ingest.records import REJECTED

RULE = "total_row"
WORDS = (
    "(grand|sub|overall)?[ -]?totals?", "totaal", "totale[sn]?", "totali", "totalt", "totaux",
    "sum(me|ma|s)?", "gesamt(summe|betrag|ergebnis)?", "endsumme", "somme", "soma", "suma", "i alt",
    "yhteensä", "kokku", "razem", "celkem", "összesen", "ukupno", "toplam", "итого", "всего", "σύνολο",
    "合[计計]", "[总總][计計]")
# The word alone, or followed by a space or colon: `Total (20 orders)`. `TOTAL-17` is an id.
TOTAL_WORD = re.compile(rf"\W*({'|'.join(WORDS)})\W*(\s.*)?", re.IGNORECASE | re.DOTALL)
# For RE2 and Java, which finds all of these and a few others, quickly.
MAY_BE_TOTAL = rf"^\W*({'|'.join(WORDS)})(\W|$)"
AMOUNT = r"[+-]?([0-9]{1,20}(\.[0-9]{0,6})?|\.[0-9]{1,6})"
KEYS_COMPARED = 1000
EXACT = pa.decimal128(38, 6)


@dataclass(frozen=True)
class Sum:
    """The exact sum of a column, and how many rows it has, and how many without a readable amount."""

    total: Decimal
    rows: int
    unread: int


def set_total_aside(batches: Iterable[Batch], source: Source,
                    read_column: Callable[[str], Iterable[Batch]]) -> Iterator[Batch]:
    """Yield a delivery's batches, with its totals among the rejected lines.

    `read_column` reads one column of the delivery again, which only a last row that may be a total needs.
    """
    held = None  # the last batch with rows
    aside: list[int] = []  # the lines of totals among the rows
    for batch in batches:
        if not batch.rows.num_rows:
            yield batch
            continue
        if held:
            yield _set_named_aside(held, source, aside)
        held = batch
    if held:
        last_row = held.rows.slice(held.rows.num_rows - 1)
        above = Batch(held.rows.slice(0, held.rows.num_rows - 1), held.rejected)
        above, [last] = _set_named_aside(above, source, aside), last_row.to_pylist()
        reason = find_total(
            last, source, lambda name: add_up(read_column(name), name, last[SOURCE_ROW], aside),
            lambda: above.rows[source.key].slice(0, KEYS_COMPARED).to_pylist())
        if reason:
            yield Batch(above.rows, pa.concat_tables([above.rejected, rejected_total(last, reason)]))
        else:
            yield Batch(pa.concat_tables([above.rows, last_row]), above.rejected)


def _set_named_aside(batch: Batch, source: Source, aside: list[int]) -> Batch:
    """Return a batch with the rows whose key says that they are totals among the rejected lines, and add
    these lines to `aside`."""
    may_be = pc.match_substring_regex(batch.rows[source.key], MAY_BE_TOTAL, ignore_case=True)
    if not pc.any(may_be).as_py():
        return batch
    totals = name_totals(batch.rows.filter(may_be).to_pylist(), source)
    lines = pa.array([row[SOURCE_ROW] for row, _ in totals], pa.int64())
    aside += lines.to_pylist()
    is_row = pc.invert(pc.is_in(batch.rows[SOURCE_ROW], value_set=lines))
    rejected = pa.concat_tables([batch.rejected, *(rejected_total(*total) for total in totals)])
    return Batch(batch.rows.filter(is_row), rejected.sort_by(SOURCE_ROW))


def name_totals(rows: Iterable[Mapping[str, str | int | None]],
                source: Source) -> list[tuple[Mapping[str, str | int | None], str]]:
    """Return those of the rows that are totals by their key, wherever they stand, each with the reason."""
    looks = [(row, _look_at(row, source)) for row in rows]
    return [(row, f"a total, no row: {look.about}") for row, look in looks
            if look.is_named and look.is_no_row]


def find_total(last: Mapping[str, str | None], source: Source, sum_of: Callable[[str], Sum],
               some_keys: Callable[[], Iterable[str | None]]) -> str | None:
    """Return why the last row of a file is a total, None if it may be a row.

    `sum_of` adds up a column over the other rows, and `some_keys` returns keys of theirs. Both are asked only
    about a row that has a sign of a total beside its amount: an order may happen to be as large as all others
    together.
    """
    row = _look_at(last, source)
    if row.is_named:
        rows_needed = 1
    elif row.is_hollow and (row.says or row.lacks):
        rows_needed = 2
    elif row.is_hollow and _form(row.texts[source.key]) not in set(map(_form, some_keys())):
        rows_needed = 5
    else:
        return None
    stated = {name: Decimal(row.texts[name]) for name in row.amounts
              if re.fullmatch(AMOUNT, row.texts[name])}
    sums = {name: sum_of(name) for name in stated}
    right = [name for name, amount in stated.items()
             if amount and amount == sums[name].total and sums[name].rows >= rows_needed]
    if right and (row.is_named or len(right) == sum(map(bool, stated.values()))):
        return (f"a total, no row: {row.about}, and its {right[0]} is the sum of the "
                f"{sums[right[0]].rows:,} other rows")
    if row.is_named and row.is_no_row:
        return f"a total, no row: {row.about}{_differences(stated, sums)}"
    return None


@dataclass(frozen=True)
class _Row:
    """What a row looks like that may be a total."""

    texts: dict[str, str]  # trimmed, "" where nothing is
    amounts: list[str]  # the columns with amounts
    says: str  # a word for a total in its key or another column
    is_named: bool  # the word is its key
    is_hollow: bool  # hardly any other column has a value
    lacks: bool  # a column that no row may leave empty
    is_no_row: bool  # with a word as its key; a table of names, such as customers, may have such a key

    @property
    def about(self) -> str:
        return f"it says {self.says[:40]!r}" if self.says else "it looks like no other row"


def _look_at(row: Mapping[str, str | None], source: Source) -> _Row:
    texts = {name: (row[name] or "").strip() for name in source.column_names}
    texts = {name: "" if text in source.missing else text for name, text in texts.items()}
    amounts = [column.name for column in source.columns if column.type in ("money", "price", "number")]
    others = [name for name in source.column_names[1:] if name not in amounts]
    required = [column.name for column in source.columns[1:] if not column.optional]
    says = next((texts[name] for name in (source.key, *others) if TOTAL_WORD.fullmatch(texts[name])), "")
    is_hollow = 2 * sum(not texts[name] for name in others) >= len(others)
    return _Row(
        texts, amounts, says, is_named=bool(says) and says == texts[source.key], is_hollow=is_hollow,
        lacks=not all(texts[name] for name in (source.key, *required) if name not in amounts),
        is_no_row=is_hollow or bool(required))


def _form(key: str | None) -> str:
    """Return the form of a key: the same for all of `A-1`, `B-22` and `C-333`."""
    return re.sub("[0-9]+", "9", re.sub(r"[^\W\d_]+", "a", (key or "").strip()))


def add_up(batches: Iterable[Batch], name: str, last_row: int, aside: Sequence[int] = ()) -> Sum:
    """Return the sum of a column of a delivery without its last row and the lines that were set aside."""
    total, rows, unread, left_out = Decimal(0), 0, 0, pa.array(aside, pa.int64())
    for batch in batches:
        lines = batch.rows[SOURCE_ROW]
        is_row = pc.and_not(pc.less(lines, last_row), pc.is_in(lines, value_set=left_out))
        column = batch.rows.filter(is_row)[name]
        texts = pc.utf8_trim_whitespace(column.drop_null())
        amounts = texts.filter(pc.match_substring_regex(texts, f"^{AMOUNT}$"))
        total += pc.sum(amounts.cast(EXACT)).as_py() or 0
        rows, unread = rows + len(column), unread + len(texts) - len(amounts)
    return Sum(total, rows, unread)


def rejected_total(last: Mapping[str, str | int | None], reason: str) -> pa.Table:
    """Return a total row as a rejected line; its text is that of its fields."""
    fields = {name: value for name, value in last.items() if name != SOURCE_ROW}
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return pa.table([[last[SOURCE_ROW]], [text], [RULE], [reason]], schema=REJECTED)


def _differences(stated: Mapping[str, Decimal], sums: Mapping[str, Sum]) -> str:
    """Return how a total differs from the sums of the rows, which may mean that the file lacks some."""
    differences = [f"its {name} is {amount}, but the {sums[name].rows:,} other rows sum to "
                   f"{sums[name].total:.2f}" + (f" ({sums[name].unread:,} cannot be read)"
                                                          if sums[name].unread else "")
                   for name, amount in stated.items()]
    return f"; {'; '.join(differences)}: does the file lack rows?" if differences else ""
