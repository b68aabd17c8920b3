"""What the names of deliveries say about their order: digits count as numbers."""

import re
from functools import cache

ENDINGS = re.compile(r"(\.[a-z]+)?(\.(gz|zip))?$")
# 20260131, also with a time; and 31012026, 01312026 or 310126, which do not grow from day to day.
YEAR_FIRST = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{4}|\d{6})?")
DAY_FIRST = re.compile(r"(0[1-9]|[12]\d|3[01])(0[1-9]|[12]\d|3[01])(19|20)?\d\d")
YEAR = re.compile(r"(19|20)\d\d")


@cache
def _split(name: str) -> tuple[str, ...]:
    """Return a name without its ending, split into text, digits, text and so on; case does not count."""
    return tuple(re.split(r"([0-9]+)", ENDINGS.sub("", name.lower())))


def natural_order(name: str) -> tuple:
    """Return the key by which deliveries are sorted: `orders`, `orders (2)`, `orders_2`, `orders_10`."""
    return tuple(int(part) if i % 2 else part for i, part in enumerate(_split(name))), name


def is_order_clear(first: str, second: str) -> bool:
    """Return whether two names leave no doubt which of the files is newer.

    They differ in one number, or in a date or time that begins with the year; or one of them is the other
    with a number in brackets, as browsers add it.
    """
    parts, others = _split(first), _split(second)
    if parts[::2] != others[::2]:
        short, long = sorted(("".join(parts), "".join(others)), key=len)
        return re.fullmatch(re.escape(short) + r" ?\([0-9]+\)", long) is not None
    pairs = list(zip(parts[1::2], others[1::2], strict=True))
    differing = [i for i, (number, other) in enumerate(pairs) if int(number) != int(other)]
    if len(differing) == 1:
        pair = pairs[differing[0]]
        is_date = {bool(YEAR_FIRST.fullmatch(number)) for number in pair}
        return len(is_date) == 1 and not all(map(DAY_FIRST.fullmatch, pair))
    return bool(differing) and _is_year_first(pairs[:differing[0] + 1])


def _is_year_first(pairs: list[tuple[str, str]]) -> bool:
    """Return whether the last of some numbers, the first that differs, is a year or follows one."""
    for i, pair in enumerate(pairs):
        if all(map(YEAR_FIRST.fullmatch, pair)):
            return True
        if all(map(YEAR.fullmatch, pair)):
            return all(int(month) <= 12 for later in pairs[i + 1:i + 2] for month in later)
    return False
