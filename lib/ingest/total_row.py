"""A total below the rows, as a spreadsheet or a report writes it: it is no row, whatever it looks like."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """Yield a delivery's batches, with a total in its last row among the rejected lines.

    `read_column` reads one column of the delivery again, which only a row that may be a total needs.
    """
    held = None  # the last batch with rows
    for batch in batches:
        if not batch.rows.num_rows:
            yield batch
            continue
        if held:
            yield held
        held = batch
    if held:
        [last] = held.rows.slice(held.rows.num_rows - 1).to_pylist()
        rows = held.rows.slice(0, held.rows.num_rows - 1)
        reason = find_total(last, source, lambda name: add_up(read_column(name), name, last[SOURCE_ROW]),
                            lambda: rows[source.key].slice(0, KEYS_COMPARED).to_pylist())
        if reason:
            rejected = pa.concat_tables([held.rejected, rejected_total(last, reason)])
            held = Batch(rows, rejected)
        yield held


def find_total(last: Mapping[str, str | None], source: Source, sum_of: Callable[[str], Sum],
               some_keys: Callable[[], Iterable[str | None]]) -> str | None:
    """Return why the last row of a file is a total, None if it may be a row.

    `sum_of` adds up a column over the other rows, and `some_keys` returns keys of theirs. Both are asked only
    about a row that has a sign of a total beside its amount: an order may happen to be as large as all others
    together.
    """
    texts = {name: (last[name] or "").strip() for name in source.column_names}
    texts = {name: "" if text in source.missing else text for name, text in texts.items()}
    amounts = [column.name for column in source.columns if column.type in ("money", "price", "number")]
    others = [name for name in source.column_names[1:] if name not in amounts]
    required = [column.name for column in source.columns[1:] if not column.optional]
    says = next((texts[name] for name in (source.key, *others) if TOTAL_WORD.fullmatch(texts[name])), "")
    is_named = bool(says) and says == texts[source.key]
    is_hollow = 2 * sum(not texts[name] for name in others) >= len(others)
    lacks = not all(texts[name] for name in (source.key, *required) if name not in amounts)
    if is_named:
        rows_needed = 1
    elif is_hollow and (says or lacks):
        rows_needed = 2
    elif is_hollow and _form(texts[source.key]) not in set(map(_form, some_keys())):
        rows_needed = 5
    else:
        return None
    stated = {name: Decimal(texts[name]) for name in amounts if re.fullmatch(AMOUNT, texts[name])}
    sums = {name: sum_of(name) for name in stated}
    about = f"it says {says[:40]!r}" if says else "it looks like no other row"
    right = [name for name, amount in stated.items()
             if amount and amount == sums[name].total and sums[name].rows >= rows_needed]
    if right and (is_named or len(right) == sum(map(bool, stated.values()))):
        return (f"a total, no row: {about}, and its {right[0]} is the sum of the "
                f"{sums[right[0]].rows:,} other rows")
    if is_named and (is_hollow or required):  # a table of names, such as customers, may have such a key
        return f"a total, no row: {about}{_differences(stated, sums)}"
    return None


def _form(key: str | None) -> str:
    """Return the form of a key: the same for all of `A-1`, `B-22` and `C-333`."""
    return re.sub("[0-9]+", "9", re.sub(r"[^\W\d_]+", "a", (key or "").strip()))


def add_up(batches: Iterable[Batch], name: str, last_row: int) -> Sum:
    """Return the sum of a column of a delivery without its last row."""
    total, rows, unread = Decimal(0), 0, 0
    for batch in batches:
        column = batch.rows.filter(pc.less(batch.rows[SOURCE_ROW], last_row))[name]
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
