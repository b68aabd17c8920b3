"""Does a file that is not UTF-8 look like a Western European language in cp1252, and what else could it be?

Nearly any bytes can be read as cp1252. What tells is the words with characters beyond ASCII: their letters,
capitals and signs. Nothing here decides how a file is read; it decides whether a person must say so.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

CELL_ENDS = re.compile(rb'[,;\t"\r\n]+')  # no vertical bar, which may be half a character in Shift-JIS
ENOUGH_WORDS = 20_000  # different ones: a file with more is judged by these
SHOWN_VALUES, SHOWN_TEXT = 2, 40
KEPT_VALUES = 500  # of each kind, to find the encoding by
# Text is not Western European if more than this share of its words, and at least so many, are odd.
MOST_ODD, LEAST_ODD = 0.1, 2
# The letters beyond ASCII that occur together in a word of one language.
ALPHABETS = [frozenset(letters) for letters in (
    "äöüßéàèôê",  # German
    "àâäçèéêëîïíñôöùûüÿœæ",  # French
    "áéíóúüñïçàèòêâô",  # Spanish, Catalan, Galician, Irish, Welsh
    "áâãàçéêíóôõúüöñ",  # Portuguese
    "àèéìíîòóùú",  # Italian, Gaelic
    "åäöéàüšžæø",  # Swedish, Finnish, Danish, Norwegian
    "áðéíóúýþæö",  # Icelandic
    "äöõüšž",  # Estonian
    "ëïéèêöüáóç",  # Dutch, Afrikaans, Albanian
    "ðýþçöüâîû",  # Turkish in cp1254, which differs in six letters: it is reported, but does not stop
)]
# Letters that stand for others in Hungarian, Romanian, Croatian, Turkish and Baltic files: shown first.
DOUBTFUL = re.compile("[õûãðþýæø]", re.IGNORECASE)
# Between words: spaces, digits and signs of ASCII, apostrophes within a word, dashes before a capital.
BETWEEN_WORDS = re.compile(r"(?:[\s\x00-@\[-`{-~\xad·]|(?<=\w)[’‘´](?=\w)|[–—](?=[A-ZÀ-Þ]))+")
BEFORE_A_WORD, BEHIND_A_WORD = "«»‹›“”‘’´„‚–—•…©®°§¿¡×±", "»«›‹”“’‘´–—•…©®™°ªº†€§×±"
UNIT = re.compile(r"[A-Za-zµ]{0,2}[²³]|µ[A-Za-z]{1,2}")  # m², µg
SMALL, CAPITAL = "[a-zß-öø-ÿšžœ]", "[À-ÖØ-ÞŠŽŒŸ]"
LATE_CAPITAL = re.compile(f"{SMALL}{CAPITAL}|[A-Z]{CAPITAL}{SMALL}")
# Older encodings of Western European text: likely if no word is odd in them.
OLDER = ("mac_roman", "cp850")
FOREIGN = ("cp1251", "koi8_r", "cp866", "cp1250", "iso8859_2", "cp1253", "cp1255", "cp1256", "cp1257",
           "cp874", "cp932", "euc_jp", "gb18030", "big5", "cp949")


@dataclass(frozen=True)
class Judgement:
    """How many different words have characters beyond ASCII, how many of them are odd, and some values."""

    words: int
    odd: int
    values: tuple[bytes, ...]  # as they are in the file, those that look wrong first

    @property
    def is_western(self) -> bool:
        return self.odd < LEAST_ODD or self.odd <= MOST_ODD * self.words

    def shown(self, encoding: str) -> str:
        """Return how some of the values read in an encoding."""
        texts = [value.decode(encoding, "replace").strip()[:SHOWN_TEXT] for value in self.values]
        return " and ".join(map(repr, texts[:SHOWN_VALUES]))


def judge(chunks: Iterable[bytes], encoding: str = "cp1252") -> Judgement:
    """Judge text as it reads in an encoding; a byte that the encoding does not have makes its word odd."""
    seen: dict[str, bool] = {}
    values: tuple[list[bytes], ...] = ([], [], [])  # with an odd word, with a doubtful letter, others
    for chunk in chunks:
        for value in CELL_ENDS.split(chunk):
            if value.isascii():
                continue
            text = value.decode(encoding, "replace")
            new = {word: _is_odd(word) for word in _words(text) if word not in seen}
            seen |= new
            kind = 0 if any(new.values()) else 1 if DOUBTFUL.search(text) else 2
            if new and len(values[kind]) < KEPT_VALUES:
                values[kind].append(value)
        if len(seen) >= ENOUGH_WORDS:
            break
    return Judgement(len(seen), sum(seen.values()), tuple(value for kind in values for value in kind))


def propose_encoding(values: Iterable[bytes]) -> str | None:
    """Return an encoding that the values are likely to be in, for a person to judge; None if none is."""
    from charset_normalizer import from_bytes  # here, not above: only a file that is refused needs it

    sample = b"\n".join(values)
    fitting = [encoding for encoding in OLDER if judge([sample], encoding).odd <= len(sample.split()) // 50]
    if fitting:  # most letters are small ones
        return min(fitting, key=lambda encoding: len(re.findall(CAPITAL, sample.decode(encoding))))
    guess = from_bytes(sample, cp_isolation=list(FOREIGN), threshold=0.5, enable_fallback=False).best()
    return guess.encoding if guess else None


def _words(text: str) -> list[str]:
    """Return the words with characters beyond ASCII, together with the signs that touch them."""
    found = (word.lstrip(BEFORE_A_WORD).rstrip(BEHIND_A_WORD) for word in BETWEEN_WORDS.split(text))
    return [word for word in found
            if not word.isascii() and (re.search(r"[^\W\d_]", word) or "\ufffd" in word)]


def _is_odd(word: str) -> bool:
    """Return whether no Western European language has a word with these characters beyond ASCII.

    It has a sign or a foreign letter, letters of several languages, a capital within the word, or no letter
    of ASCII at all.
    """
    if UNIT.fullmatch(word):
        return False
    beyond = {letter for letter in word.lower() if not letter.isascii()}
    has_ascii = len(word) == 1 or re.search("[A-Za-z]", word)
    is_of_one_language = any(beyond <= alphabet for alphabet in ALPHABETS)
    return not (has_ascii and is_of_one_language) or LATE_CAPITAL.search(word) is not None
