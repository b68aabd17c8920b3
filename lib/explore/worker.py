"""A process that answers SELECTs of `browse`, and that ends when one takes too long or too much memory.

SQLite looks at the clock between two steps only, and one step may take hours: `trim`, `like`, `glob`, `instr`
and `replace` need time that grows with the square of a text. No limit on the length of texts helps: a line of
a delivery may be long enough. So an alarm ends the process in the middle of a step.

`lib.explore.limited` starts it. It imports nothing of the project, so it starts at once.
"""

import pickle
import resource
import signal
import sqlite3
import sys
import time
from contextlib import suppress

LONGEST_ROW = 144 << 20  # earlier releases quarantined lines of up to 128 MB
MEMORY = 300 << 20  # of SQLite: one such row, and a copy of it
TEMPORARY_FILE = 1 << 30  # what SQLite sorts and has no memory for
ANSWER = 16 << 20
CELL = 200  # bytes of an answer that a cell takes besides its text: each costs time on a page
SHOWN = 50_000  # bytes of one text: a hundred such rows are one answer
INSTEAD = "ask for fewer rows or columns, or use `run_pipeline.py query`, which has no such limits"
GRACE = 1.0  # seconds between SQLite's own time limit and the alarm
STEPS_BETWEEN_LOOKS = 1000  # at the clock


def main() -> None:
    """Answer what comes in, until nothing more does."""
    with suppress(ValueError):  # then the system's own limit is lower
        resource.setrlimit(resource.RLIMIT_FSIZE, (TEMPORARY_FILE, TEMPORARY_FILE))
    connections: dict[str, sqlite3.Connection] = {}
    while True:
        try:
            uri, sql, parameters, most, seconds = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
        try:
            if uri not in connections:
                connections[uri] = _connect(uri)
            answer = _select(connections[uri], sql, parameters, most, seconds)
        except MemoryError:
            return  # which gives it back
        except Exception as error:
            answer = _plain(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute("pragma query_only = 1")
    connection.execute(f"pragma hard_heap_limit = {MEMORY}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_ROW)
    connection.text_factory = _shown
    return connection


def _plain(error: Exception) -> Exception:
    """Return an error that Datasette shows as a mistake in the SELECT."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_WRITE:  # nothing else is written
        return sqlite3.OperationalError(f"it needs more than {TEMPORARY_FILE >> 20} MB of temporary files")
    if isinstance(error, sqlite3.DataError | sqlite3.Warning):
        return sqlite3.OperationalError(str(error))
    return error


def _shown(text: bytes) -> str:
    """Return a text, and of a very long one its beginning."""
    if len(text) <= SHOWN:
        return text.decode("utf-8", "replace")
    return (text[:SHOWN].decode("utf-8", "ignore")
            + f"… (this is the beginning of {len(text):,} bytes; `run_pipeline.py query` has them all)")


def _select(connection: sqlite3.Connection, sql: str, parameters: object, most: int | None,
            seconds: float) -> tuple[list[str], list[tuple]]:
    """Return the names of the columns, and the rows: all of them, or at most so many."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
    cursor = connection.execute(sql, parameters)
    rows: list[tuple] = []
    left = ANSWER
    while len(rows) != most and (row := cursor.fetchone()):
        rows.append(row)
        left -= sum(CELL + (len(value) if isinstance(value, str | bytes) else 0) for value in row)
        if left < 0:
            raise sqlite3.OperationalError(f"the answer is longer than {ANSWER >> 20} MB; {INSTEAD}")
    cursor.close()
    return [name for name, *_ in cursor.description or ()], rows


if __name__ == "__main__":
    main()
