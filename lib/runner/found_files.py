"""What a person should know about the files in the source folder, in a few lines however many there are."""

from collections.abc import Iterable

from lib.ingest.deliveries import Delivery

SKIPPED = {"known": "already read", "copy": "copies of others", "waiting": "not finished",
           "stray": "of no source"}
NAMED = 3  # files that are named of those with one reason
REASONS = 5  # that are given for the files of one status
LISTED = 20  # files of one status that are in a run's record and on its pages, if they are not to be read


def describe_files(deliveries: Iterable[Delivery]) -> list[str]:
    """Return a line for each file with a note; a few lines if many have the same one or are left alike."""
    by_status: dict[str, dict[str, list[str]]] = {}
    for delivery in deliveries:
        if delivery.note:
            by_status.setdefault(delivery.status, {}).setdefault(delivery.note, []).append(delivery.name)
    return [line for status, by_note in by_status.items() for line in _describe_status(status, by_note)]


def _describe_status(status: str, by_note: dict[str, list[str]]) -> list[str]:
    lines, rest = [], 0
    for note, names in by_note.items():
        new = [f"{name}: {note}" for name in names]
        if len(names) > NAMED:
            new = [f"{len(names):,} files, such as {', '.join(names[:NAMED])}: {note}"]
        is_listed = len(lines) + len(new) <= REASONS or status not in SKIPPED
        lines += new if is_listed else []
        rest += 0 if is_listed else len(names)
    return [*lines, f"{rest:,} more files are {SKIPPED[status]}"] if rest else lines


def list_few(deliveries: Iterable[Delivery]) -> tuple[list[Delivery], int]:
    """Return the files to read and a few of each other status, and how many others there are."""
    listed, skipped, count = [], 0, dict.fromkeys(SKIPPED, 0)
    for delivery in deliveries:
        if not delivery.is_to_read:
            count[delivery.status] += 1
            if count[delivery.status] > LISTED:
                skipped += 1
                continue
        listed.append(delivery)
    return listed, skipped
