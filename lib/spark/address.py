"""Where the tables of the Spark engine are: a warehouse's address."""

from pathlib import Path
from urllib.parse import urlsplit

from lib.errors import UsageError


def warehouse_address(warehouse: str) -> str:
    """Return the address of a warehouse that is named by it, or by the path of a local folder.

    Raises UsageError for one that holds credentials, without repeating them.
    """
    if "://" not in warehouse:
        return Path(warehouse).resolve().as_uri()
    address = urlsplit(warehouse)
    if "@" in address.netloc or address.query:
        raise UsageError(f"--warehouse {address.scheme}://… holds credentials, which notebooks and reports would show. Leave them to "
                       "the environment or the cluster's configuration.")
    return warehouse.rstrip("/")
