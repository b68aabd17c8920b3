"""Run whenever deliveries arrive, from one process that has done what is slow, until it is stopped."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import papermill  # noqa: F401 - here, although lib.runner.notebooks imports it late: the first delivery need not wait for it
from watchfiles import Change, watch

import lib.runner.run  # noqa: F401 - likewise
from lib.contract import SOURCES
from lib.errors import PipelineError
from lib.ingest.deliveries import SETTLED_SECONDS, UNFINISHED, list_files, source_of
from lib.runner import kernels
from lib.runner.console import Console
from lib.steps import STEPS

LOOK = 50  # milliseconds between two looks at what has changed
QUIET = 300  # milliseconds without a change after which a burst of deliveries is over
LONGEST_BURST = 30  # seconds; what is not finished then is left for the next run


def watch_source(source: Path, run_now: Callable[[kernels.KernelQueue, float], bool], console: Console) -> None:
    """Call `run_now` at once when there are deliveries, and whenever some arrive. It returns whether it could run; if not, it is
    called again soon.

    It is given a queue in which kernels for all steps got ready while nothing came, and how many seconds a file must be old that
    may be read: as long as the watcher has seen them rest, unless they did not. The folder is watched during a run, too.
    Raises PipelineError when the folder goes away, and KeyboardInterrupt when stopped.
    """
    kernels.warm_up()
    folder = _identity(source)
    has_news, is_said = any(source_of(_name(path, source)) for path in list_files(source)), False
    with ExitStack() as kept:
        waiting, since = None, time.monotonic()
        for changes in watch(source, watch_filter=lambda change, path: _matters(change, _name(Path(path), source)), step=LOOK,
                             debounce=LOOK, rust_timeout=QUIET, yield_on_timeout=True):
            if _identity(source) != folder:
                raise PipelineError(f"the source folder {source} has gone, or there is another in its place. Start the watch again.")
            if waiting is None:
                waiting = kept.enter_context(kernels.KernelQueue())
                waiting.start_ahead(len(STEPS))
            if changes and not has_news:
                has_news, since = True, time.monotonic()
            if has_news and (not changes or time.monotonic() - since > LONGEST_BURST):
                if run_now(waiting, SETTLED_SECONDS if changes else QUIET / 1000):
                    kept.close()
                    waiting, has_news, is_said = None, False, False
            elif not has_news and not is_said:
                console("waiting", source=str(source))
                is_said = True


def _name(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix()


def _matters(change: Change, name: str) -> bool:
    """Return whether a file of that name is a delivery that arrived, or a folder may hold some."""
    if change == Change.deleted or any(part.startswith(".") for part in name.split("/")) or name.lower().endswith(UNFINISHED):
        return False
    return source_of(name) is not None or name.lower() in SOURCES


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
