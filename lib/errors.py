"""The project's exceptions: failures that are expected, and what to do about them."""

from collections.abc import Iterable
from pathlib import Path

DONE, FAILED, INTERRUPTED = 0, 1, 130  # exit codes; those of errors are theirs


class PipelineError(Exception):
    """An expected failure: one or two lines that say what, where and what to do next."""

    exit_code = 1


class UsageError(PipelineError):
    """The command, its options or the folders they name are wrong, so that nothing was begun."""

    exit_code = 2


REMEDIES = {
    "not a database": "The file is damaged. Move it and its -wal file aside and put a copy in its place if there is one, then "
                      "run with --full-refresh, which builds what is missing.",
    "malformed": "The file is damaged. Move it and its -wal file aside and put a copy in its place if there is one, then "
                 "run with --full-refresh, which builds what is missing.",
    "is locked": "Another program holds a write lock: close it and run again.",
    "disk is full": "Free some space and run again: nothing is half written.",
    "No space left": "Free some space and run again: nothing is half written.",
    "readonly database": "Make the file and its folder writable and run again.",
    "Permission denied": "Correct the permissions and run again.",
    "Read-only file system": "Make it writable, or name another folder, and run again.",
    "unable to open": "Check that the file and its folder may be read and written, and run again.",
    "UNIQUE constraint failed": "The step writes this key more than once: correct the notebook's query. Nothing was written.",
    "too many columns": "Take the columns that the contract does not name out of the deliveries, and run again.",
    "disk I/O": "Check that the disk works and has space, and that the file may be written; then run again.",
}


def remedy(error: object) -> str | None:
    """Return what to do about an error of a file, by its words; None when nothing is known."""
    text = str(error)
    return next((advice for words, advice in REMEDIES.items() if words in text), None)


def explain(path: Path, words: str) -> PipelineError:
    """Return what to raise for an error of a database: its file, SQLite's own words, what to do."""
    advice = remedy(words) or "Run again; if it stays, look at the traceback in the executed notebook."
    return PipelineError(f"{path.name}: {words} ({path}). {advice}")


def missing_layer(path: Path) -> PipelineError:
    """Return what to raise for a layer that is to be read and is not there."""
    return PipelineError(f"{path.name} is missing in {path.parent}. Run all steps, with --full-refresh if it was there before.")


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, its kind when it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def closest(name: str, known: Iterable[str]) -> str:
    """Return the question, in brackets, whether the closest of the known names was meant; empty when none is close."""
    import difflib  # here, not above: only an error needs it

    close = difflib.get_close_matches(name.partition("=")[0], known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
