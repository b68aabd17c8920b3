"""Prefetch: make the next item while the caller is busy with the previous one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items. A thread makes each while the caller works on the previous one.

    This pays where making an item releases the interpreter lock, as reading files, databases and Arrow data
    does.
    """
    end = object()
    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, items, end)
        while (item := following.result()) is not end:
            following = maker.submit(next, items, end)
            yield item
