"""The project's exceptions, the exit codes, and what to do about errors that are expected."""

import re
from collections.abc import Iterable
from pathlib import Path

# Exit codes of a command; an exception of ours names its own. WARNED is only for `status`, and
# DIFFERENT for `preview`.
DONE, FAILED, WARNED, DIFFERENT, INTERRUPTED = 0, 1, 4, 10, 130


class PipelineError(Exception):
    """An expected failure. Its message says in one or two lines what happened, where, and what to do next."""

    exit_code = 1


class UsageError(PipelineError):
    """The command, its options or the folders that they name are wrong; nothing was started."""

    exit_code = 2


class DeliveryError(PipelineError):
    """Deliveries cannot be loaded, and a person has to correct them; nothing else is wrong."""


class StepError(PipelineError):
    """Something is wrong that no delivery has caused, such as a full disk: the whole step fails."""


_DAMAGED = ("The file is damaged. Move it and its -wal file aside, put a copy in its place if you have one, "
            "and run with --full-refresh, which rebuilds what is missing.")
_MEMORY = ("Give the program more memory, or close others, and run again. If rows of a delivery are very "
           "long, shorten them.")
_FULL = "Free some space and run again: nothing is half written."
# By a part of SQLite's or the system's own message.
REMEDIES = {
    "not a database": _DAMAGED,
    "malformed": _DAMAGED,
    "is locked": "Another program holds a write lock: close it and run again.",
    "disk is full": _FULL,
    "No space left": _FULL,
    "readonly database": "Make the file and its folder writable and run again.",
    "Permission denied": "Correct the permissions and run again.",
    "Read-only file system": "Make it writable, or name another folder, and run again.",
    "unable to open": "Check that the file and its folder may be read and written, and run again.",
    "UNIQUE constraint failed": "The step writes this key more than once: correct the notebook's query. "
                                "Nothing was written.",
    "too many columns": "Remove the columns that are not in the contract from the deliveries and run again.",
    "Too many open files": "Raise their number, as with `ulimit -n 1024`, and run again.",
    "Out of Memory": _MEMORY,
    "MemoryError": _MEMORY,
    "can't start new thread": _MEMORY,
    "Cannot allocate memory": _MEMORY,
    "disk I/O": "Check that the disk works and has space, and that the file may be written; then run again.",
}


def remedy(error: object) -> str | None:
    """Return what to do about an error, judged by its message; None when nothing is known."""
    message = str(error)
    return next((advice for part, advice in REMEDIES.items() if part in message), None)


def explain(path: Path, message: str) -> StepError:
    """Return what to raise for an error of a database: the file, SQLite's own message, and what to do."""
    advice = remedy(message) or "Run again; if it fails again, see the traceback in the executed notebook."
    return StepError(f"{path.name}: {message} ({path}). {advice}")


def as_ours(error: Exception) -> PipelineError:
    """Return an error as a person should see it: one that nothing has explained says where it arose."""
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, MemoryError):
        return PipelineError(f"memory is full. {_MEMORY}")
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename} cannot be used: " if error.filename else ""
        return PipelineError(f"{where}{error.strerror}. {remedy(error) or 'Correct that and run again.'}")
    from traceback import extract_tb  # here, not above: only a defect needs it

    ours = str(Path(__file__).parent)
    where = [f"{frame.filename}, line {frame.lineno}" for frame in extract_tb(error.__traceback__)
             if frame.filename.startswith(ours)]
    advice = remedy(error) or "This was not expected: send this line to the maintainers of the program."
    return PipelineError(f"{type(error).__name__}: {first_line(error)} ({where[-1]}). {advice}")


def missing_layer(path: Path) -> PipelineError:
    """Return what to raise when a layer that a step or command reads does not exist."""
    return PipelineError(f"{path.name} is missing in {path.parent}. "
                         "Run all steps, with --full-refresh if the file was there before.")


def how_to_adopt(path: object) -> str:
    """Return the sentence with which an error about a file of unknown form ends."""
    from shlex import quote  # here, not above: only an error needs it

    return f"To read it as it is: python run_pipeline.py adopt {quote(str(path))}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type when it has no message."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def closest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the known name that is closest to `name`; empty when none is close."""
    import difflib  # here, not above: only an error needs it

    close = difflib.get_close_matches(name.partition("=")[0], known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


# What moves the cursor, changes colours or the direction of writing, or is half a character: not line ends.
_UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
                          "\ud800-\udfff]")


def printable(text: str) -> str:
    """Return text with control characters escaped as in JSON: names and values come from others' files."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
