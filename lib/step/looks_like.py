"""What unreadable text looks like, and what to declare so that it is read. Nothing is read by this guess."""

import re

import pandas as pd

UNREADABLE = "_unreadable"
SIGN = r"(?:[$€£¥₹₽₺₩₫₴]|zł|kr\.?|[A-Z]{3})"
NUMBER = r"[0-9][0-9.,'’ \u00a0\u202f]*"
MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
# In the order in which they are tried. A date before an amount: 01.02.2026 has no groups of thousands.
FORMS = [
    (r"[0-9]{1,2}([./-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})\b.*",
     "a date with the day or the month first: declare its pattern in a source system, such as dates: "
     '["%d{0}%m{0}%Y"] or ["%m{0}%d{0}%Y"] (%y for a year in two digits)'),
    (r"[0-9]{4}([./])[0-9]{1,2}\1[0-9]{1,2}\b.*",
     'a date with another separator: declare its pattern in a source system (dates: ["%Y{0}%m{0}%d"])'),
    (rf"(?i:.*\b{MONTH}\b.*[0-9].*|.*[0-9].*\b{MONTH}\b.*)",
     'a date with the name of a month: declare its pattern in a source system (dates: ["%d %b %Y"])'),
    (r"[+-]?[0-9]+,[0-9]{1,2}|[+-]?[0-9]{1,3}(?:[. '’\u00a0\u202f][0-9]{3})+,[0-9]+|[+-]?[0-9]+,[0-9]{4,}",
     'a decimal comma: declare decimal: "," in a source system, and the grouping character if there is one'),
    (r"[+-]?[0-9]{1,3}(?:[, '’\u00a0\u202f][0-9]{3})+(?:\.[0-9]+)?",
     "a number with separated thousands, unless the comma is a decimal one: declare grouping or decimal in a "
     "source system"),
    (rf"[+-]?{SIGN}\s*[+-]?{NUMBER}|[+-]?{NUMBER}\s*{SIGN}",
     "an amount with a currency sign: declare it in a source system (signs: […])"),
    (rf"{NUMBER}-", "a number with a trailing minus: export it with the minus in front"),
    (rf"\(\s*{NUMBER}\)", "a negative number in parentheses: export it with a minus in front"),
    (r"[+-]?[0-9](?:[.,][0-9]+)?[eE][+-]?[0-9]+", "a number that a spreadsheet rounded: format the column "
     "as a number with decimals, and export it again"),
    (r"[+-]?[0-9]*\.[0-9]+", "a number with more decimals than the contract allows"),
]
COMPILED = [(re.compile(form), hint) for form, hint in FORMS]


def looks_like(text: str) -> str:
    """Return a sentence on what unreadable text looks like, "" if nobody can tell."""
    for form, hint in COMPILED:
        if found := form.fullmatch(text.strip()):
            return f"It looks like {hint.format(found[1])}." if form.groups else f"It looks like {hint}."
    return ""


def with_hints(notes: str, unreadable: pd.Series) -> pd.Series:
    """Return an expectation's notes for each unreadable text, with what that text looks like."""
    hints = {text: looks_like(text) for text in unreadable.unique()}
    return unreadable.map(lambda text: f"{notes} {hints[text]}".rstrip())
