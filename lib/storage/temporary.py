"""The folder of a process's temporary files: nothing stays in it, even if the process is killed."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from lib.errors import PipelineError

PREFIX = "medallion-"
SPOOL = "PIPELINE_SPOOL"  # names the folder of lib.storage.spool, in the environment; only a run sets it
JVM = "PIPELINE_JVM"  # names the file of lib.spark.jvm; likewise
LAST = -200  # after multiprocessing has deleted its own folder, which is in this one


@cache
def use_temporary_folder() -> Path:
    """Make a folder, put all of this process's temporary files there from now on, and return it.

    It is deleted when the process ends. Raises PipelineError when no temporary folder can be written.
    """
    try:
        new = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}"))  # not yet locked, so under another name
        lock = os.open(new, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = new.rename(new.with_name(new.name.removeprefix("new-")))
    except OSError as error:
        raise PipelineError(f"no folder for temporary files can be written ({error.strerror}). Name one with "
                            "the environment variable TMPDIR, and run again.") from error
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=LAST)
    tempfile.tempdir = str(folder)
    return folder


def clear_temporary_folders() -> None:
    """Delete what killed processes left; as long as a process lives, it has a lock on its folder."""
    found: list[Path] = []
    with suppress(OSError):
        found += Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    for folder in found:
        with suppress(OSError):  # another user's, or one that is in use
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)
