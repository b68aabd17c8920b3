"""Which character is the decimal one in a column's numbers, and what else stands in them?"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.adopt.words import words

SIGN = r"([^\d\s.,'’()+-]{0,4})"
DIGITS = re.compile(rf"[+-]?\s*{SIGN}\s*([+-]?\d[\d.,'’\s]*|[+-]?[.,]\d+)\s*{SIGN}")
SPACES = " \u00a0\u202f"
ENOUGH = 0.98


@dataclass(frozen=True)
class Numbers:
    """What the numbers of a column are.

    decimals: how many values show that "." or "," is the decimal character.
    groupings: characters that show to be between thousands. either: values such as `1,000` that may be both.
    signs: what stands before or behind. is_whole: no value has decimals, as far as the values show.
    deciding: by decimal character, a value that shows it.
    """

    decimals: Counter
    groupings: Counter
    either: dict[str, str]
    signs: Counter
    is_whole: bool
    deciding: dict[str, str]


def find_numbers(values: Sequence[str]) -> Numbers | None:
    """Return what the numbers are, given different values; None if they are none."""
    found = [match for value in values if (match := DIGITS.fullmatch(value.strip()))]
    if not values or len(found) < ENOUGH * len(values):
        return None
    decimals, groupings, signs = Counter(), Counter(), Counter()
    either: dict[str, str] = {}
    deciding: dict[str, str] = {}
    for match in found:
        if not all(is_sign(text) for text in (match[1], match[3]) if text):
            return None
        signs.update(filter(None, [match[1], match[3]]))
        kind, characters = _read(match[2].strip())
        if kind == "decimal":
            decimals[characters[-1]] += 1
            deciding.setdefault(characters[-1], match[0])
        elif kind == "either":
            either.setdefault(characters[-1], match[0])
        elif kind == "odd":
            return None
        groupings.update(characters[:-1] if kind == "decimal" else characters if kind == "grouping" else ())
    is_whole = not decimals and not either
    return Numbers(decimals, groupings, either, signs, is_whole, deciding)


def is_sign(text: str) -> bool:
    """Return whether a text is the sign or code of a currency."""
    return text in words()["signs"] or text in words()["codes"] or unicodedata.category(text[0]) == "Sc"


def _read(number: str) -> tuple[str, tuple[str, ...]]:
    """Return whether a number shows its decimal character, and the characters between its digits."""
    parts = re.findall(rf"[.,'’{SPACES}]", number)
    if not parts:
        return "whole", ()
    *groups, last = re.split(rf"[.,'’{SPACES}]", number.lstrip("+-"))[1:]
    if len(set(parts)) > 1:
        is_well_formed = parts[-1] in ".," and len(set(parts[:-1])) == 1 and all(len(g) == 3 for g in groups)
        return ("decimal", (parts[0], parts[-1])) if is_well_formed else ("odd", ())
    if len(parts) > 1:
        return ("grouping", (parts[0],)) if all(len(g) == 3 for g in [*groups, last]) else ("odd", ())
    if parts[0] not in ".,":
        return ("grouping", (parts[0],)) if len(last) == 3 else ("odd", ())
    head = number.lstrip("+-").partition(parts[0])[0]
    if len(last) == 3 and 1 <= len(head) <= 3 and head[0] != "0":
        return "either", (parts[0],)
    return "decimal", (parts[0],)
