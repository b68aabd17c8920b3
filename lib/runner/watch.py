"""Run the pipeline whenever deliveries arrive, from one process that has done the slow imports."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import papermill  # noqa: F401 - so that the first delivery does not wait for its import in lib.runner.notebooks
from watchfiles import Change, watch

import lib.runner.run  # noqa: F401 - likewise
from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.ingest.deliveries import UNFINISHED, list_files, looks_like_deliveries, may_be_delivery
from lib.runner import kernels
from lib.runner.console import Console
from lib.steps import SETTLED_SECONDS, STEPS

LOOK = 50  # milliseconds between two looks at what has changed
QUIET = 300  # milliseconds without a change, after which a burst of deliveries is over
LONGEST_BURST = 30  # seconds; what is still changing then is left for the next run


def watch_source(source: Path, run_now: Callable[[kernels.KernelQueue, float], bool],
                 console: Console) -> None:
    """Call `run_now` if there are deliveries, and again whenever some arrive.

    It gets a queue with a kernel for each step, which got ready in the meantime, and the age in seconds from
    which on a file counts as complete: the time without a change that the watch has seen, or the usual one if
    there was none. It returns whether it could run; if not, it is called again soon. The folder is also
    watched during a run.

    Raises PipelineError when the folder is removed or replaced, and KeyboardInterrupt when stopped.
    """
    kernels.warm_up()
    folder = _identity(source)
    is_due, is_told = any(may_be_delivery(source, _name(path, source)) for path in list_files(source)), False
    with ExitStack() as kept:
        waiting, since = None, time.monotonic()
        for changes in watch(source, watch_filter=partial(_matters, source), step=LOOK, debounce=LOOK,
                             rust_timeout=QUIET, yield_on_timeout=True):
            if _identity(source) != folder:
                raise PipelineError(f"the source folder {source} was removed or replaced. Start watch again.")
            if waiting is None:
                waiting = kept.enter_context(kernels.KernelQueue())
                waiting.start_ahead(len(STEPS))
            if changes and not is_due:
                is_due, since = True, time.monotonic()
            if is_due and (not changes or time.monotonic() - since > LONGEST_BURST):
                if run_now(waiting, SETTLED_SECONDS if changes else QUIET / 1000):
                    kept.close()
                    waiting, is_due, is_told = None, False, False
            elif not is_due and not is_told:
                console("waiting", source=str(source))
                is_told = True


def _name(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix()


def _matters(source: Path, change: Change, path: str) -> bool:
    """Return whether a change may be the arrival of a delivery, or of a folder with deliveries."""
    name = _name(Path(path), source)
    is_hidden = any(part.startswith(".") for part in name.split("/"))
    if change == Change.deleted or is_hidden or name.lower().endswith(UNFINISHED):
        return False
    if may_be_delivery(source, name):
        return True
    # What is in a folder that is moved in is not announced. The run reads it, or reports that it does not.
    is_source = name.partition("/")[0].lower() in SOURCES
    return Path(path).is_dir() and (is_source or bool(looks_like_deliveries(Path(path))))


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return which folder has this path, since another one may take its place; None when there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
