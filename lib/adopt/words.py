"""What columns, files and values are called in exports: words.yaml, and how well a name fits."""

import re
import unicodedata
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lib.contract import SOURCES
from lib.ingest.near import nearest

ALIKE = 0.88  # `Bestellnumer` is Bestellnummer
NEAR, WITHIN = 0.6, 0.65  # the scores of names that are near a column's, or have all words of one
SHORTEST = 4  # shorter names must be whole: `item` says nothing within `item weight`


@cache
def words() -> dict[str, Any]:
    """Return what words.yaml holds."""
    text = Path(__file__).with_name("words.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.CBaseLoader)  # all of it is text: `no` is a name


def split(name: str) -> tuple[str, ...]:
    """Return the words of a name, without case and accents: `InvoiceNo.` has the words `invoice` and `no`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    plain = unicodedata.normalize("NFKD", apart.replace("ß", "ss")).lower()
    text = re.sub(r"\be[\W_]?mail", "email", "".join(c for c in plain if not unicodedata.combining(c)))
    return tuple(re.findall(r"[^\W_]+", text))


def squeeze(name: str) -> str:
    """Return a name without all that does not count in it."""
    return "".join(split(name))


@cache
def _known(column: str, own: str) -> tuple[tuple[str, ...], ...]:
    names = [column, *words()["columns"].get(column, ()), *words()["own"].get(own, {}).get(column, ())]
    return tuple(dict.fromkeys(split(name) for name in names))


@cache
def likeness(name: str, column: str, source: str, is_only: bool = False) -> float:
    """Return how likely a delivered name means a column of a source, from 0 to 1.

    `is_only` says that the file holds nothing but this source: `Date` then is its date.
    """
    from difflib import SequenceMatcher

    own, best = split(name), 0.0
    if not own:
        return 0.0
    for place, known in enumerate(_known(column, source if is_only else "")):
        text, found = "".join(known), "".join(own)
        if text == found:
            return 1 - 0.002 * place
        if len(text) > SHORTEST and len(found) > SHORTEST:
            ratio = SequenceMatcher(None, text, found, autojunk=False).ratio()
            best = max(best, 0.8 * ratio if ratio >= ALIKE else 0.0)
            if set(known) <= set(own) and len(known) > 1:
                best = max(best, WITHIN)
            elif known[0] in own and len(known) == 1 and len(own) == 2:
                best = max(best, WITHIN - 0.15)
    if best < NEAR and source in SOURCES and nearest(column, SOURCES[source], [name]):
        best = NEAR
    return best


def file_likeness(stem: str, source: str) -> float:
    """Return how likely a file of this name holds a source: the share of its letters that say so."""
    own = [word for word in split(stem) if not word.isdigit()]
    text = "".join(own)
    found = [name for name in map(split, words()["files"][source])
             if "".join(name) == text or _has(own, name)]
    return max((len("".join(name)) / max(1, len(text)) for name in found), default=0.0)


def _has(own: list[str], name: tuple[str, ...]) -> bool:
    return any(tuple(own[start:start + len(name)]) == name for start in range(len(own)))


def meaning(column: str, value: str) -> str:
    """Return the value of the reports that a delivered value means, "" if it is not known."""
    text = squeeze(value)
    for known, names in words()["values"].get(column, {}).items():
        if text in {squeeze(known), *map(squeeze, names)}:
            return known
    return ""


def likely_timezones(names: Collection[str]) -> list[str]:
    """Return the time zones of which the names of columns speak, the likeliest first."""
    own = {squeeze(name) for name in names}
    count = {zone: len(own & set(map(squeeze, known))) for zone, known in words()["timezones"].items()}
    return [zone for zone in sorted(count, key=lambda zone: -count[zone]) if count[zone]]
