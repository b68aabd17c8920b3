"""The header again in the middle of a file, as when several exports were joined to one: it is no row."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import PipelineError
from lib.ingest.header import normalise
from lib.ingest.records import REJECTED, Parsed, Shape, line_ends, split_record

RULE, REASON = "repeated_header", "the header again, as in exports that were joined to one file: left out"
AROUND = ' \t"\ufeff'  # the second file of `cat` may begin with a byte-order mark


def set_headers_aside(parsed: Parsed, text: bytes, shape: Shape, first_line: int, path: Path) -> Parsed:
    """Return what was parsed of some text, with each row that repeats the header among the rejected lines.

    Raises PipelineError when the header of another table begins: below it, the fields mean something else.
    """
    _check_rejected(parsed, shape, path)
    # In a header, any column holds a name, also where the columns are in another order.
    cells = pc.ascii_lower(pc.utf8_trim(parsed.rows[shape.marker], characters=AROUND))
    is_name = pc.is_in(cells, value_set=_spellings(shape.names))
    if not pc.any(is_name).as_py():
        return parsed
    ends = line_ends(text[:parsed.bytes_used])
    repeated = {}
    for line in parsed.rows["source_row"].filter(is_name).to_pylist():
        start = int(ends[line - first_line - 1]) + 1 if line > first_line else 0
        cells, end = split_record(text, shape.delimiter, start)
        if _is_header(cells, shape, path, line):
            repeated[line] = text[start:end].decode()
    is_row = pc.invert(pc.is_in(parsed.rows["source_row"], value_set=pa.array(repeated, pa.int64())))
    headers = pa.table([pa.array(repeated, pa.int64()), pa.array(repeated.values(), pa.string()),
                        pa.array([RULE] * len(repeated), pa.string()),
                        pa.array([REASON] * len(repeated), pa.string())], schema=REJECTED)
    rejected = pa.concat_tables([parsed.rejected, headers]).sort_by("source_row")
    return replace(parsed, rows=parsed.rows.filter(is_row), rejected=rejected)


def _check_rejected(parsed: Parsed, shape: Shape, path: Path) -> None:
    """Raise PipelineError when a line that is no row is a header with more or fewer columns."""
    if parsed.rejected.num_rows:
        text = parsed.rejected["raw_text"]
        is_near = pc.match_substring(pc.ascii_lower(text), shape.marker)
        for row in parsed.rejected.filter(is_near).to_pylist():
            cells, _ = split_record(row["raw_text"].encode(), shape.delimiter)
            _is_header(cells, shape, path, row["source_row"])


def _is_header(cells: Sequence[str], shape: Shape, path: Path, line: int) -> bool:
    """Return whether a line is the file's header again; raise PipelineError if it is another one."""
    found = [normalise(cell.strip(AROUND)) or f"column_{position}"
             for position, cell in enumerate(cells, start=1)]
    names = [normalise(name) for name in shape.names]
    if found == names:
        return True
    if len({*found} & {*names}) * 2 > len(names) > 1:
        raise PipelineError(
            f"{path}, line {line}: another header begins here, and its columns are not those of the first "
            f"one: {', '.join(map(repr, cells))[:300]}. Deliver the tables as files of their own.")
    return False


def _spellings(names: Iterable[str]) -> pa.Array:
    return pa.array([name.replace("_", separator) for name in names for separator in "_ -"], pa.string())
