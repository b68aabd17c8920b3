"""Print the morning after the sample's last day. Print nothing for a folder that holds anything else.

    python data/morning.py SOURCE
"""

import filecmp
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from generate import LAST_DAY, generate


def morning_after(source: Path) -> str:
    """Return the morning after the sample's first day, or after both, as a time for `--now`.

    Returns "" if the folder does not hold exactly the files that `generate` writes.
    """
    with TemporaryDirectory() as written:
        for day in (1, 2):
            generate(Path(written), day=day)
            if is_same(source, Path(written)):
                return f"{LAST_DAY + day}T06:00"
    return ""


def is_same(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same files, apart from hidden ones."""
    names, others = ({path.name for path in folder.glob("[!.]*")} for folder in (one, other))
    return names == others and not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])


if __name__ == "__main__":
    if now := morning_after(Path(sys.argv[1])):
        print(f"{sys.argv[1]} holds the sample, so this run is as of the morning after its last day: "
              f"--now {now}", file=sys.stderr)
        print(now)
