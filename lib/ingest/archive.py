"""The archive: a copy of every delivery that was read, so that any past run can be repeated.

A delivery is stored under its sha256, compressed with Zstandard (`zstd -d` reads it), and only once, even if
it was delivered again.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from lib.clock import days_before
from lib.errors import PipelineError, StepError, remedy
from lib.storage import lookup
from lib.storage.files import hash_file, sync

FOLDER = "archive"  # in the warehouse
BLOCK_BYTES = 1 << 20
READ = """
select content_sha256, max(ingestion_timestamp), min(batch_id) from deliveries group by content_sha256"""


def archived_path(warehouse: Path, sha256: str) -> Path:
    """Return where the archive stores a delivery with this content."""
    return warehouse / FOLDER / sha256[:2] / f"{sha256}.zst"


def keep(warehouse: Path, path: Path, sha256: str) -> bool:
    """Archive a delivery unless it is archived already; return whether its content still has that hash.

    A file with another content is not archived. A file in the archive is whole and on the disk. Raises
    StepError when it cannot be written.
    """
    import pyarrow as pa

    kept = archived_path(warehouse, sha256)
    if kept.exists():
        return hash_file(path) == sha256
    partial, content = kept.with_name(f".{kept.name}.partial"), hashlib.sha256()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as delivered, pa.CompressedOutputStream(partial, "zstd") as compressed:
            while block := delivered.read(BLOCK_BYTES):
                content.update(block)
                compressed.write(block)
        sync(partial)
        if content.hexdigest() != sha256:
            return False
        partial.replace(kept)
        sync(kept.parent)
    except OSError as error:
        raise StepError(f"{path.name} cannot be archived in {kept.parent} ({error.strerror or error}). "
                            f"{remedy(error) or 'Correct this and run again.'}") from error
    finally:
        with suppress(OSError):  # where it could not be written, it may not be looked for either
            partial.unlink(missing_ok=True)
    return True


def take_out(warehouse: Path, sha256: str, target: Path) -> None:
    """Write a delivery from the archive to a new file. Raises PipelineError if it is gone or was changed."""
    import pyarrow as pa

    kept, content = archived_path(warehouse, sha256), hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with pa.input_stream(kept, compression="zstd") as archived, target.open("xb") as file:
            while block := archived.read(BLOCK_BYTES):
                content.update(block)
                file.write(block)
    except FileNotFoundError as error:
        raise PipelineError(f"delivery {target.name} is not in the archive ({kept}): it was deleted, by "
                            "--keep-archive or by hand. Restore it from a backup.") from error
    except OSError as error:
        raise PipelineError(f"delivery {target.name} cannot be read from the archive ({kept}): {error}. "
                            "Restore it from a backup.") from error
    if content.hexdigest() != sha256:
        raise PipelineError(f"delivery {target.name} was changed in the archive ({kept}): its hash is not "
                            "its name. Restore it from a backup.")


def prune(warehouse: Path, days: int, now: str) -> list[str]:
    """Delete deliveries that were last read more than `days` before `now`; return a note about it."""
    limit = days_before(now, days)
    runs = []  # the first that read each deleted delivery
    for sha256, last, run in lookup.query(warehouse, "raw", "deliveries", READ):
        if last < limit and archived_path(warehouse, sha256).exists():
            archived_path(warehouse, sha256).unlink()
            runs.append(run)
    return [f"archive: {len(runs)} deliveries last read before {limit[:10]} were deleted; "
            f"runs from {min(runs)} on can no longer be replayed or verified"] if runs else []
