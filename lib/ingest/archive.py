"""The archive: every delivery that was read, by its content, so that any past run can be made again.

A delivery lies under its sha256, compressed with Zstandard (`zstd -d` reads it), once, however often it was delivered.
"""

import hashlib
from pathlib import Path

from lib.clock import days_before
from lib.errors import PipelineError, remedy
from lib.storage import lookup
from lib.storage.files import hash_file, sync

FOLDER = "archive"  # in the warehouse
BLOCK_BYTES = 1 << 20


def place(warehouse: Path, sha256: str) -> Path:
    """Return where a delivery of that content lies."""
    return warehouse / FOLDER / sha256[:2] / f"{sha256}.zst"


def keep(warehouse: Path, path: Path, sha256: str) -> bool:
    """Archive a delivery, unless its content is there, and return whether it is still the content of that hash.

    What has another content is not kept. The archived file appears when it is whole and on the disk. Raises PipelineError
    when it cannot be written.
    """
    import pyarrow as pa

    kept = place(warehouse, sha256)
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
        raise PipelineError(f"{path.name} cannot be archived in {kept.parent} ({error.strerror or error}). "
                            f"{remedy(error) or 'Correct that and run again.'}") from error
    finally:
        partial.unlink(missing_ok=True)
    return True


def take_out(warehouse: Path, sha256: str, target: Path) -> None:
    """Write a delivery from the archive to a new file. Raises PipelineError when it is not there, or no more what it was."""
    import pyarrow as pa

    kept, content = place(warehouse, sha256), hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with pa.input_stream(kept, compression="zstd") as archived, target.open("xb") as file:
            while block := archived.read(BLOCK_BYTES):
                content.update(block)
                file.write(block)
    except FileNotFoundError as error:
        raise PipelineError(f"delivery {target.name} is not in the archive ({kept}): it was deleted, by --keep-archive or by "
                            "hand. Put it back from a backup.") from error
    except OSError as error:
        raise PipelineError(f"delivery {target.name} cannot be read from the archive ({kept}): {error}. Put it back from a "
                            "backup.") from error
    if content.hexdigest() != sha256:
        raise PipelineError(f"delivery {target.name} was changed in the archive: {kept} does not hold what its name says. Put it "
                            "back from a backup.")


def prune(warehouse: Path, days: int, now: str) -> list[str]:
    """Delete the deliveries that were last read more than so many days before `now`, and say what that makes impossible."""
    limit = days_before(now, days)
    read = lookup.query(warehouse, "raw", "deliveries", "select content_sha256, max(ingestion_timestamp), min(batch_id) from deliveries "
                    "group by content_sha256")
    runs = []
    for sha256, last, run in read:
        if last < limit and place(warehouse, sha256).exists():
            place(warehouse, sha256).unlink()
            runs.append(run)
    return [f"archive: {len(runs)} deliveries last read before {limit[:10]} were deleted: no run from {min(runs)} on can be replayed "
            "or verified any more"] if runs else []
