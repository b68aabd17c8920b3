"""The address of a warehouse of the Spark engine."""

from pathlib import Path
from urllib.parse import urlsplit

from lib.errors import UsageError


def warehouse_address(warehouse: str) -> str:
    """Return the address of a warehouse, given as an address or as the path of a local folder.

    Raises UsageError for an address with credentials, without repeating them.
    """
    if "://" not in warehouse:
        return Path(warehouse).resolve().as_uri()
    address = urlsplit(warehouse)
    if "@" in address.netloc or address.query:
        raise UsageError(f"--warehouse {address.scheme}://… holds credentials, which notebooks and reports "
                         "would show. Put them into the environment or the cluster's configuration.")
    return warehouse.rstrip("/")
