"""Which delivered name may mean which column: across `_`, case, slips and the order of words.

It only proposes. A file in which a column may be there under another name is refused: a person decides.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import cache, lru_cache

from lib.contract import SOURCES, Source

# Names are near if they share so much of what their words say: where each has a word that the other lacks,
# and where only one has.
NEAR, NEAR_IF_WITHIN = 0.6, 0.5
ALIKE = 0.85  # `custommer` and `customer` are
SLIP = 0.75  # there are few sources, so `ordres` may be orders
NO_SLIPS = {"county"}  # words of their own, although they are like another
SHORT = {"amt": "amount", "cust": "customer", "mail": "email", "nr": "number", "no": "number",
         "num": "number", "prod": "product", "qty": "quantity"}


def nearest(column: str, source: Source, delivered: Sequence[str]) -> str | None:
    """Return the delivered name that is most likely to mean a column of a source; None if none is near.

    A word says the less, the more columns of the contract have it: `id` alone makes `card_id` not near to
    `order_id`, but `total` makes `order_total` near to `total_amount`. The source's own name says nothing: in
    orders, `date` may be `order_date`. A name that fits another column of the source better is not near.
    """
    likeness, best = (0.0, 0.0), None
    for name in delivered:
        found = _likeness(column, name, source)
        if found[0] and found > likeness and found == max(
                _likeness(other, name, source) for other in source.column_names):
            likeness, best = found, name
    return best


def nearest_source(name: str, *, is_whole: bool = False) -> str | None:
    """Return the source that a file or folder most likely belongs to by its name, without its ending.

    The name may have other words, as `shop_orders` has, unless `is_whole`.
    """
    found = [word for word in _words(name) if not word.isdigit()]
    best: dict[str, float] = {}
    for source in SOURCES:
        wanted = _words(source)
        best[source] = _ratio("".join(wanted), "".join(found), ALIKE if is_whole else SLIP)
        if not is_whole and all(any(_ratio(word, other, SLIP) for other in found) for word in wanted):
            best[source] = max(best[source], 0.1 * len(wanted))  # order_lines rather than orders
    likely = max(best, key=best.__getitem__)
    return likely if best[likely] else None


def _likeness(column: str, name: str, source: Source) -> tuple[float, float]:
    """Return how much the words of two names have in common, 0 where they are not near; and how alike their
    letters are."""
    wanted, found = _words(column), _words(name)
    letters = _ratio("".join(wanted), "".join(found))
    own = _words(source.name)
    wanted, found = [[word for word in words if word not in own] for words in (wanted, found)]
    shared = [word for word in wanted if any(_ratio(word, other) for other in found)]
    is_within = len(shared) == min(len(wanted), len(found))
    share = _weight(shared) / (max(_weight(wanted), _weight(found)) or 1)
    return max(share if share >= (NEAR_IF_WITHIN if is_within else NEAR) else 0.0, letters), letters


@lru_cache(10_000)
def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name, in the singular: `CustomerIDs` has the words `customer` and `id`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    text = re.sub(r"\be[\W_]?mail", "email", apart, flags=re.IGNORECASE).lower()
    return tuple(SHORT.get(word) or re.sub(r"(?<=..[^su])s$", "", word)
                 for word in re.findall(r"[^\W_]+", text) if word != "of")


def _ratio(text: str, other: str, least: float = ALIKE) -> float:
    """Return how alike two texts are, from `least` to 1; 0 if they are not."""
    if text == other or NO_SLIPS & {text, other}:
        return float(text == other)
    matcher = SequenceMatcher(None, text, other, autojunk=False)
    is_alike = matcher.real_quick_ratio() >= least and matcher.quick_ratio() >= least
    return matcher.ratio() if is_alike and matcher.ratio() >= least else 0.0


def _weight(words: Iterable[str]) -> float:
    columns = _columns_by_word()
    return sum(1 / max(1, columns[word]) for word in words)


@cache
def _columns_by_word() -> Counter[str]:
    """Return how many columns of the contract have each word, but for the names of sources: those say what a
    column is about, however many have them."""
    names = {name for source in SOURCES.values() for name in source.column_names}
    of_sources = {word for source in SOURCES for word in _words(source)}
    return Counter(word for name in names for word in {*_words(name)} - of_sources)
