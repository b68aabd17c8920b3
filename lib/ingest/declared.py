"""Rows of a source out of a file in the form of a source system: columns of the contract, text as delivered.

A block of a system says where each column comes from. Where all rows of a key, or the number of a row within
its order, count, the whole table is held in memory; else it is read in batches.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lib.contract import SHOP, SOURCES, Column, Source
from lib.errors import PipelineError, closest
from lib.ingest.claims import first_lines, has_name, missing_columns
from lib.ingest.containers import Place, open_table
from lib.ingest.formats import plain_numbers
from lib.ingest.header import DELIMITERS, SOURCE_ROW, Header, normalise, read_header
from lib.ingest.reader import Batch, read_batches
from lib.ingest.records import LINE_END, REJECTED
from lib.ingest.text import FirstBlock, detect_encoding, read_first_block, text_chunks
from lib.systems import (
    DEFAULT,
    LINES,
    NAME_PARTS,
    NUMBER,
    NUMBERED,
    ONE_PER_KEY,
    PLACEHOLDER,
    Block,
    Cell,
    System,
    Text,
    column_of,
)

KEYS = {source.key for source in SOURCES.values()}
ORDER, TOTAL = "order_id", "total_amount"
OF_ROW = " of row"  # ends the name of a column that is to be added up; no column of the contract has a space
REASON = "why rejected"  # likewise, of rows in another currency
HALF_A_CENT = 0.005
WORDS = r"(?s)^(\S+)(?:\s+(.+))?$"  # of a name: the first, and the others
NAMED_LINES = 3  # of orders whose rows disagree
CELL_TEXT = 40  # characters shown of a value
_kept: dict[tuple[str, str, str, str], tuple[pd.DataFrame, pa.Table]] = {}


@dataclass(frozen=True)
class Opened:
    """A table of a file as the rows of one source: its header, and what reads its rows.

    `read(batch_rows, only)` yields batches of so many rows; with `only`, the name of a column, of just that
    column and `source_row`. `is_plain` tells that the file itself is CSV in the contract's form; `is_whole`
    that all of it is read, and not its first lines only.
    """

    header: Header
    read: Callable[..., Iterator[Batch]]
    is_plain: bool = False
    is_whole: bool = True
    describe: Callable[[], list[str]] = list  # what to report of the rows
    # The source's keys, and the orders that the file holds: of a system whose files hold them whole.
    find_held: Callable[[], tuple[pa.Array, pa.Array]] | None = None


def open_rows(path: Path, table: str, system: System, source: str, *, sha256: str = "",
              is_first_block: bool = False, may_lack: Collection[str] = ()) -> Opened:
    """Return a table of a file as rows of a source. `sha256` is of the file, whose table is then kept for its
    next source; with `is_first_block` only its first lines are read. `may_lack` are columns that a file in
    the contract's form may lack, although others must have them.

    Raises PipelineError if the file cannot be read, or lacks what its system needs.
    """
    place = open_table(path, table, system.decimal)
    if is_first_block:
        place = read_first_block(place)
    is_whole = not isinstance(place, FirstBlock) or place.is_all
    if system.name == DEFAULT:
        header = read_header(place, SOURCES[source], may_lack=may_lack)
        return Opened(header, partial(_read_default, place, header), isinstance(place, Path), is_whole)
    place, system, notes = _without_other_lines(place, system)
    header = _read_declared_header(place, system)
    header = replace(header, notes=(*notes, *header.notes))
    block = system.sources[source]
    _check_columns(place, system, block, source, header)
    found = [column.name for column in SOURCES[source].columns
             if column.name in block.columns or column.name in block.constants]
    notes = tuple(note for note in header.notes if not (system.delimiter and note.startswith("delimiter")))
    outward = replace(header, source=SOURCES[source], names=tuple(found), extra=(), delivered=tuple(found),
                      notes=notes if source == next(iter(system.sources)) else (),
                      absent=tuple(name for name in SOURCES[source].column_names if name not in found))
    if _is_split(block, system):
        identity = (str(path), table, sha256) if sha256 else None
        read_table = partial(_read_whole, place, header, system, identity)
        return Opened(outward, partial(_split, read_table, outward, system, source), is_whole=is_whole,
                      describe=partial(_describe_orders, read_table, system) if source == "orders" else
                      partial(_describe_shared_keys, read_table, system, source),
                      find_held=partial(_find_held, read_table, system, source) if system.complete else None)
    read = partial(_translate_batches, place, header, outward, system, source)
    return Opened(outward, read, is_whole=is_whole)


def _read_default(place: Place, header: Header, batch_rows: int = 200_000,
                  only: str | None = None) -> Iterator[Batch]:
    return read_batches(place, header, batch_rows, only=only)


def _is_split(block: Block, system: System) -> bool:
    """Return whether a row of the source depends on more than one row of the file."""
    texts = (text for cell in block.columns.values() for text in cell.texts)
    return (block.rows == ONE_PER_KEY or block.is_numbered
            or bool(system.fill_down or system.currency_column or system.complete)
            or any(NUMBER in text.placeholders for text in texts))


def _without_other_lines(place: Place, system: System) -> tuple[Place, System, tuple[str, ...]]:
    """Return the file with empty lines in place of comments, and without what begins with its footer; its
    system, and what to report. The text is UTF-8 then, whatever the system declares.
    """
    if not (system.footer or system.comment):
        return place, system, ()
    encoding, notes = detect_encoding(place, system.encoding)
    text = b"".join(text_chunks(place, encoding))
    lines, start = [], 0
    for end in [*(found.end() for found in LINE_END.finditer(text)), len(text)]:
        line = text[start:end]
        begins = line.lstrip(b'" \t')
        if system.footer and begins.startswith(system.footer.encode()):
            break
        is_comment = system.comment and begins.startswith(system.comment.encode())
        lines.append(b"\n" if is_comment else line)
        start = end
    of_file = place.path if isinstance(place, FirstBlock) else place
    return FirstBlock(of_file, b"".join(lines), is_all=True), replace(system, encoding=""), notes


def _read_declared_header(place: Place, system: System) -> Header:
    """Return the header of a file as delivered: the columns that its system names, under those names."""
    delivered = dict.fromkeys(chain(
        *(block.delivered for block in system.sources.values()), system.fill_down,
        filter(None, [system.currency_column])))
    lines = first_lines(place, system.encoding, system.delimiter)
    names = max(lines, key=lambda names: sum(has_name(name, names) for name in delivered), default=set())
    present = [one for name in delivered for one in _numbered(name, names) if normalise(one) in names]
    if not present:
        raise PipelineError(f"{place} has none of the columns that {_declared_in(system)} names, such as "
                            f"{next(iter(delivered))!r}. Correct the declaration or its `files`.")
    wanted = Source(system.name, tuple(Column(name, "text") for name in present), encoding=system.encoding)
    delimiters = (system.delimiter,) if system.delimiter else DELIMITERS
    return read_header(place, wanted, delimiters, system.header, is_declared=True)


def _numbered(name: str, names: set[str]) -> list[str]:
    """Return the columns that a name with <n> stands for, in the order of their numbers; else the name."""
    if NUMBERED not in name:
        return [name]
    return [name.replace(NUMBERED, str(number)) for number in _numbers_of(name, names)]


def _numbers_of(name: str, names: set[str]) -> list[int]:
    pattern = re.compile(re.escape(normalise(name)).replace(re.escape(normalise(NUMBERED)), "([0-9]+)"))
    return sorted({int(match[1]) for match in map(pattern.fullmatch, names) if match})


def _check_columns(place: Place, system: System, block: Block, source: str, header: Header) -> None:
    """Raise PipelineError if the header lacks a column without which there is no key or required column."""
    names = {*map(normalise, header.names)}
    if missing := missing_columns(block, source, names):
        shown = [f"{name!r}{closest(name, header.delivered)}" for name in missing]
        raise PipelineError(f"{place}: the header lacks {', '.join(shown)}, where {_declared_in(system)} "
                            f"finds {source}. Correct the file, or the declaration if the form has changed.")


def _declared_in(system: System) -> str:
    return f"data/contract/systems/{system.name}.yaml"


def _translate_batches(place: Place, header: Header, outward: Header, system: System, source: str,
                       batch_rows: int = 200_000, only: str | None = None) -> Iterator[Batch]:
    block = system.sources[source]
    for batch in read_batches(place, header, batch_rows):
        rows = _with_columns(batch.rows.to_pandas(), block.delivered, system)
        rows = rows[rows[block.when].notna()] if block.when else rows
        yield Batch(_as_rows(_cells(rows, block, system), rows[SOURCE_ROW], outward, only), batch.rejected)


def _split(read_table: Callable[[], tuple[pd.DataFrame, pa.Table]], outward: Header, system: System,
           source: str, batch_rows: int = 200_000, only: str | None = None) -> Iterator[Batch]:
    """Yield the rows of a source that depend on more than one row of the file."""
    whole, rejected = read_table()
    cells, lines, in_other_currency = _cells_of(whole, system, source)
    block = system.sources[source]
    if block.rows == ONE_PER_KEY:
        cells, lines = _one_per_key(cells, lines, SOURCES[source].key, block)
    table = _as_rows(cells, lines, outward, only)
    rejected = pa.concat_tables([rejected, in_other_currency])
    for start in range(0, max(1, table.num_rows), batch_rows):
        yield Batch(table.slice(start, batch_rows), rejected)
        rejected = REJECTED.empty_table()


def _cells_of(whole: pd.DataFrame, system: System,
              source: str) -> tuple[pd.DataFrame, pd.Series, pa.Table]:
    """Return the columns of a source for each row of a file that tells of it, their lines, and what is
    rejected."""
    block = system.sources[source]
    currency = filter(None, [system.currency_column])
    rows = _with_columns(whole, [*block.delivered, *currency], system)
    rows, others = _by_currency(rows, system, source)
    if block.when:
        rows, others = (part[part[block.when].notna()] for part in (rows, others))
    if block.is_numbered:
        return *_expand(rows, block, system), _as_rejected(others)
    cells = _cells(rows, block, system)
    if block.rows == ONE_PER_KEY and len(others):  # a key that has other rows is not lost, others are once
        key = SOURCES[source].key
        lost = _cells(others, block, system)[key].str.strip()
        others = others[~(lost.isin(cells[key].str.strip()) | lost.duplicated())]
    return cells, rows[SOURCE_ROW], _as_rejected(others)


def _find_held(read_table: Callable[[], tuple[pd.DataFrame, pa.Table]], system: System,
               source: str) -> tuple[pa.Array, pa.Array]:
    """Return the keys of a source's rows in a file, and the orders that the file holds."""
    whole, _ = read_table()
    cells, _, _ = _cells_of(whole, system, source)
    held = _cells_of(whole, system, "orders")[0] if "orders" in system.sources else cells
    return (pa.array(cells[SOURCES[source].key].dropna().unique(), pa.string()),
            pa.array(held[ORDER].dropna().unique(), pa.string()))


def _describe_orders(read_table: Callable[[], tuple[pd.DataFrame, pa.Table]], system: System) -> list[str]:
    """Return what to report of orders: rows that disagree, and totals that are not the sum of their parts."""
    block = system.sources["orders"]
    whole, _ = read_table()
    cells, lines, _ = _cells_of(whole, system, "orders")
    found = []
    if block.rows == ONE_PER_KEY:
        own = [name for name in cells if not name.endswith(OF_ROW)]
        found += _describe_disagreements(cells[own], lines, ORDER, "orders")
        cells, lines = _one_per_key(cells, lines, ORDER, block)
    if block.adds_up and TOTAL in cells:
        found += _describe_totals(whole, cells.set_axis(cells[ORDER].str.strip()), system)
    return found


def _describe_shared_keys(read_table: Callable[[], tuple[pd.DataFrame, pa.Table]], system: System,
                          source: str) -> list[str]:
    """Return what to report of keys whose rows are of different orders, as of payments with one number."""
    block, key = system.sources[source], SOURCES[source].key
    if block.rows != ONE_PER_KEY or ORDER not in block.columns:
        return []
    whole, _ = read_table()
    cells, lines, _ = _cells_of(whole, system, source)
    return _describe_disagreements(cells[[key, ORDER]], lines, key, source)


def _describe_totals(whole: pd.DataFrame, orders: pd.DataFrame, system: System) -> list[str]:
    """Return a line if orders have totals that are none of the sums that their block declares.

    A total may be off by half a cent; an order with an amount that cannot be read is left out.
    """
    block = system.sources["orders"]
    rows = _with_columns(whole, block.delivered, system)
    of_row = _cells(rows, block, system)[ORDER].str.strip()
    delivered = rows[[*block.delivered]].groupby(of_row, sort=False).first().reindex(orders.index)
    amounts = {name: _amounts(delivered[name], system) for name in delivered}
    amounts[LINES] = _sums_of_lines(whole, system).reindex(orders.index, fill_value=0.0)
    totals = _amounts(orders[TOTAL], system)
    ways = pd.DataFrame({number: sum(
        -amounts[part.removeprefix("-")] if part.startswith("-") else amounts[part] for part in way)
        for number, way in enumerate(block.adds_up)})
    differences = ways.rsub(totals, axis=0)
    nearest = differences.abs().min(axis=1)
    is_off = nearest > HALF_A_CENT
    if not is_off.any():
        return []
    first = nearest.index[is_off][0]
    return [f"in {int(is_off.sum()):,} of {len(orders):,} orders, the total is not the sum of "
            f"{' + '.join(block.adds_up[0])}, such as that of {first!r}: {totals[first]:,.2f} instead of "
            f"{ways.loc[first, 0]:,.2f}. All of them together differ by {nearest[is_off].sum():,.2f}"]


def _sums_of_lines(whole: pd.DataFrame, system: System) -> pd.Series:
    """Return what the lines of each order come to, by order."""
    if "order_lines" not in system.sources:
        return pd.Series(dtype="float64")
    cells, _, _ = _cells_of(whole, system, "order_lines")
    amounts = {name: _amounts(cells[name], system) for name in ("quantity", "unit_price")}
    discount = _amounts(cells["discount_amount"], system) if "discount_amount" in cells else 0.0
    net = (amounts["quantity"] * amounts["unit_price"]).round(2) - discount
    return net.groupby(cells[ORDER].str.strip(), sort=False).sum(min_count=1)


def _amounts(text: pd.Series, system: System) -> pd.Series:
    """Return text as numbers: zero where there is none, NaN where it cannot be read."""
    trimmed = text.str.strip()
    distinct = pd.Series(trimmed.dropna().unique(), dtype="str")
    plain = plain_numbers(distinct, system)
    numbers = dict(zip(distinct, pd.to_numeric(plain, errors="coerce"), strict=True))
    return trimmed.map(numbers).astype("float64").where(trimmed.notna(), 0.0)


def _read_whole(place: Place, header: Header, system: System,
                identity: tuple[str, str, str] | None) -> tuple[pd.DataFrame, pa.Table]:
    """Return all rows of a file with the columns that its system names, and its rejected lines.

    With the identity of the file, they are kept until another file is read: it is parsed once for all of its
    sources.
    """
    if identity is None:
        return _parse_whole(place, header, system)
    key = (*identity, system.name)
    found = _kept.get(key)
    if found is None:
        found = _parse_whole(place, header, system)
        forget()
        _kept[key] = found
    return found


def forget() -> None:
    """Let go of the table that was kept for the next source of its file."""
    _kept.clear()


def _parse_whole(place: Place, header: Header, system: System) -> tuple[pd.DataFrame, pa.Table]:
    wanted = [*header.source.column_names, SOURCE_ROW]
    parts, rejected = [], [REJECTED.empty_table()]
    for batch in read_batches(place, header):
        parts.append(batch.rows.select(wanted))
        rejected.append(batch.rejected)
    empty = pa.table({name: pa.array([], pa.string()) for name in wanted})
    rows = (pa.concat_tables(parts) if parts else empty).to_pandas()
    _check_currencies(place, rows, system)
    return _filled_down(rows, system.fill_down), pa.concat_tables(rejected)


def _check_currencies(place: Place, rows: pd.DataFrame, system: System) -> None:
    """Raise PipelineError if a file has several currencies and nothing says which one is the shop's."""
    if system.currency_column in rows and not (system.currency or SHOP.currency):
        found = sorted({*rows[system.currency_column].str.strip().str.upper().dropna()} - {""})
        if len(found) > 1:
            raise PipelineError(f"{place}: the amounts are in {' and '.join(found)}. Write the shop's "
                                "currency to data/contract/shop.yaml, such as `currency: EUR`: rows in "
                                "another one are then set aside.")


def _filled_down(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return rows with the value of the row above where these columns are empty.

    The first of the columns tells where an order begins: the others are filled down within one.
    """
    present = [name for name in columns if name in rows]
    if present:
        first, *others = present
        is_filled = rows[first].str.strip().replace("", None)
        rows = rows.assign(**{first: rows[first].where(is_filled.notna()).ffill()})
        for name in others:
            value = rows[name].where(rows[name].str.strip() != "")
            rows[name] = value.groupby(rows[first], sort=False).ffill()
    return rows


def _with_columns(rows: pd.DataFrame, names: Iterable[str], system: System) -> pd.DataFrame:
    """Return rows with these columns: missing text is null, and so is a column that is absent."""
    no_text = pd.Series(None, rows.index, dtype="str")
    return rows.assign(**{name: _or_missing(rows[name], system) if name in rows else no_text for name in names
                          if NUMBERED not in name or name in rows})


def _or_missing(text: pd.Series, system: System) -> pd.Series:
    trimmed = text.str.strip()
    return text.mask((trimmed == "") | trimmed.isin(system.missing)) if len(text) else text


def _cells(rows: pd.DataFrame, block: Block, system: System, number: pd.Series | None = None) -> pd.DataFrame:
    """Return the columns of the contract that a block fills, a row for each of its rows."""
    cells: dict[str, pd.Series] = {}
    if number is None and ORDER in block.columns:
        order = _first_of(rows, block.columns[ORDER])
        number = order.groupby(order.str.strip(), sort=False).cumcount().add(1).astype("str")
    nothing = pd.Series(None, rows.index, dtype="str")
    for name, cell in block.columns.items():
        cells[name] = reduce(pd.Series.fillna, (_text(rows, text, number) for text in cell.texts), nothing)
        if cell.sums:
            cells[name + OF_ROW] = reduce(_joined, [_text(rows, text, number) for text in cell.sums])
        if system.prefix and name in KEYS:
            cells[name] = system.prefix + cells[name].str.strip()
    constants = {name: pd.Series(value, rows.index, dtype="str") for name, value in block.constants.items()}
    for name, value in constants.items():
        cells[name] = cells[name].fillna(value) if name in cells else value
    return pd.DataFrame(cells, index=rows.index)


def _first_of(rows: pd.DataFrame, cell: Cell) -> pd.Series:
    return reduce(pd.Series.fillna, [_text(rows, text, None) for text in cell.texts])


def _joined(text: pd.Series, other: pd.Series) -> pd.Series:
    return (text + " + " + other).fillna(text).fillna(other)


def _text(rows: pd.DataFrame, text: Text, number: pd.Series | None) -> pd.Series:
    """Return a text with its placeholders filled, null where one of them has no value."""
    pieces = PLACEHOLDER.split(text.template)  # literal, placeholder, literal, …
    if len(pieces) == 3 and not (pieces[0] or pieces[2]):
        filled = _placeholder(rows, pieces[1], number)
    else:
        filled = pd.Series(pieces[0], rows.index, dtype="str")
        for placeholder, literal in zip(pieces[1::2], pieces[2::2], strict=True):
            filled = filled + _placeholder(rows, placeholder, number).str.strip() + literal
    return filled.where(rows[text.when].notna()) if text.when else filled


def _placeholder(rows: pd.DataFrame, placeholder: str, number: pd.Series | None) -> pd.Series:
    if placeholder == NUMBER:
        return number
    text = rows[column_of(placeholder)]
    part = next((part for part in NAME_PARTS if placeholder.endswith(part)), "")
    if part:
        return text.str.strip().str.extract(WORDS)[NAME_PARTS.index(part)]
    return text


def _expand(rows: pd.DataFrame, block: Block, system: System) -> tuple[pd.DataFrame, pd.Series]:
    """Return a row for each of the numbered columns that has a value, and their lines.

    If an order is there twice, its last row counts as a whole.
    """
    if ORDER in block.columns:
        order = _first_of(rows, block.columns[ORDER]).str.strip()
        rows = rows[~order.duplicated(keep="last") | order.isna()]
    patterns = [name for name in block.delivered if NUMBERED in name]
    names = {*map(normalise, rows.columns.drop(SOURCE_ROW))}
    parts, lines = [], []
    for number in sorted({number for pattern in patterns for number in _numbers_of(pattern, names)}):
        here = {pattern: pattern.replace(NUMBERED, str(number)) for pattern in patterns}
        renamed = rows.rename(columns={one: pattern for pattern, one in here.items()})
        numbered = _with_columns(renamed, patterns, system)
        part = numbered[numbered[patterns].notna().any(axis=1)]
        parts.append(_cells(part, block, system, pd.Series(str(number), part.index, dtype="str")))
        lines.append(part[SOURCE_ROW])
    if not parts:
        rows = _with_columns(rows.head(0), patterns, system)
        return _cells(rows, block, system, pd.Series(dtype="str")), rows[SOURCE_ROW]
    cells, all_lines = pd.concat(parts, ignore_index=True), pd.concat(lines, ignore_index=True)
    by_line = all_lines.argsort(kind="stable")
    return cells.iloc[by_line], all_lines.iloc[by_line]


def _one_per_key(cells: pd.DataFrame, lines: pd.Series, key: str,
                 block: Block) -> tuple[pd.DataFrame, pd.Series]:
    """Return one row for each key, with the first value of each column, and its first line.

    A row without a key names no customer and no product; an order without one stays, for the gate to refuse.
    """
    keys = cells[key].str.strip()
    alone = cells[keys.isna()] if key == ORDER else cells.head(0)
    groups = cells.groupby(keys, sort=False)
    first = groups.first().reset_index(drop=True)
    first[key] = groups[key].first().array
    for name, cell in block.columns.items():
        if cell.sums:
            sums = cells[name + OF_ROW].dropna().groupby(keys, sort=False).agg(" + ".join)
            first[name] = first[name].fillna(pd.Series(sums.reindex(groups[key].first().index).array))
    first_lines_of = lines.groupby(keys, sort=False).min().astype("int64")
    return (pd.concat([first, alone], ignore_index=True),
            pd.concat([first_lines_of, lines[alone.index]], ignore_index=True))


def _describe_disagreements(cells: pd.DataFrame, lines: pd.Series, key: str, what: str) -> list[str]:
    """Return a line for each column in which rows of one key have different values; `what` has the keys."""
    keys, found = cells[key].str.strip(), []
    for name in cells.columns.drop(key):
        values = cells[name].str.strip()
        counts = values.groupby(keys, sort=False).nunique()
        differing = counts.index[counts > 1]
        if len(differing):
            of_first = pd.DataFrame({"value": values, "line": lines})[keys == differing[0]].dropna()
            shown = [f"{row.value[:CELL_TEXT]!r} in line {row.line}"
                     for row in of_first.drop_duplicates("value").head(NAMED_LINES).itertuples()]
            found.append(f"in {len(differing):,} of {len(counts):,} {what}, rows disagree about {name}, such "
                         f"as those of {differing[0]!r}: {', '.join(shown)}. The first counts")
    return found


def _by_currency(rows: pd.DataFrame, system: System, source: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows in the shop's currency, or the one that the system declares; and, where the source has
    amounts, the others, with the reason why they are rejected as REASON."""
    name = system.currency_column
    has_amounts = any(column.type in ("money", "price") for column in SOURCES[source].columns)
    expected = system.currency or SHOP.currency
    if not (name and expected and has_amounts):
        return rows, rows.head(0)
    currency = rows[name].str.strip().str.upper()
    block = system.sources.get("orders")
    if block and ORDER in block.columns:  # often only the first row of an order names it
        order = _first_of(_with_columns(rows, block.delivered, system), block.columns[ORDER]).str.strip()
        currency = currency.fillna(currency.groupby(order, sort=False).transform("first"))
    is_other = currency.notna() & (currency != expected.upper())
    reasons = "the amounts are in " + currency[is_other] + f", and those of the shop in {expected}"
    return rows[~is_other], rows[is_other].assign(**{REASON: reasons})


def _as_rejected(others: pd.DataFrame) -> pa.Table:
    if others.empty:
        return REJECTED.empty_table()
    text = others.drop(columns=[SOURCE_ROW, REASON]).to_json(orient="records", lines=True, force_ascii=False)
    return pa.table([
        pa.array(others[SOURCE_ROW], pa.int64()), pa.array(text.rstrip("\n").split("\n"), pa.string()),
        pa.array(["currency"] * len(others), pa.string()), pa.array(others[REASON], pa.string())],
        schema=REJECTED)


def _as_rows(cells: pd.DataFrame, lines: pd.Series, outward: Header, only: str | None) -> pa.Table:
    """Return cells as a reader's rows: text, an empty field null; `source_row`; and the absent columns."""
    names = (only,) if only else (*outward.names, *outward.absent)
    arrays = [pa.array(cells[name], pa.string()) if name in cells else pa.nulls(len(cells), pa.string())
              for name in names]
    return pa.table([*arrays, pa.array(lines, pa.int64())], names=[*names, SOURCE_ROW])

