"""Numbers as a declared system writes them -> numbers as the contract reads them."""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext

import pandas as pd

from lib.systems import System

BLANKS = " \u00a0\u2009\u202f"  # what is written between a number and its sign, or its thousands
EXPRESSION = r"^--| [+/-] "  # made by a template, such as `{Total} + -{Refunded Amount}`
SMALLEST_QUOTIENT = Decimal("0.000001")  # a price of one unit has six decimals
DIGITS = 60  # so that only the last step rounds


def plain_numbers(text: pd.Series, system: System) -> pd.Series:
    """Return distinct texts as plain numbers such as -1234.5, null where one is no number of the system.

    A currency sign may stand before the number or behind it, with a minus before or behind a sign in front.
    The grouping character counts where it separates groups of three digits, and nowhere else: with `.` for
    groups, `1.5` is no number. Sums, differences and quotients of such numbers, as templates make them, are
    computed exactly: `$12.00 + -$3.00` is 9.00. A quotient is rounded half up to six decimals, and two minus
    signs in front cancel.
    """
    plain = _plain(text, system)
    left = text[plain.isna()]
    expressions = left[left.str.contains(EXPRESSION, na=False)]
    if len(expressions):
        operands = pd.Series(sorted({part for one in expressions for part in _operands(one)}), dtype="str")
        read = _plain(operands, system)
        numbers = {operand: Decimal(number) for operand, number in zip(operands, read, strict=True)
                   if not pd.isna(number)}
        plain[expressions.index] = [_compute(one, numbers) for one in expressions]
    return plain


def _plain(text: pd.Series, system: System) -> pd.Series:
    """Return numbers that are no expressions as plain ones, null where a text is none."""
    decimal, groups = re.escape(system.decimal), _alike(system.grouping)
    grouped = rf"[1-9][0-9]{{0,2}}(?:[{re.escape(groups)}][0-9]{{3}})+|" if groups else ""
    number = rf"(?:(?:{grouped}[0-9]+)(?:{decimal}[0-9]+)?|{decimal}[0-9]+)"
    signs, forms = sorted(system.signs, key=len, reverse=True), [f"[+-]?{number}"]
    if signs:
        sign = f"(?:{'|'.join(map(re.escape, signs))})"
        forms = [rf"[+-]?(?:{sign}[{BLANKS}]*)?{number}", rf"{sign}[{BLANKS}]*[+-]{number}",
                 rf"[+-]?{number}[{BLANKS}]*{sign}"]
    plain = text.where(text.str.fullmatch("|".join(forms), na=False))
    for character in [*signs, *groups]:
        plain = plain.str.replace(character, "", regex=False)
    if signs:
        plain = plain.str.strip(BLANKS)
        if plain.str.contains(f"[{BLANKS}]", na=False).any():  # a blank stood between minus, sign and number
            plain = plain.str.replace(f"[{BLANKS}]", "", regex=True)
    return plain if system.decimal == "." else plain.str.replace(system.decimal, ".", regex=False)


def _alike(grouping: str) -> str:
    """Return what is written for a grouping character: a blank may be one that does not break."""
    return BLANKS if grouping and grouping in BLANKS else grouping


def _terms(expression: str) -> list[tuple[str, str]]:
    """Return the terms of a sum, each a dividend and a divisor, which is "" where there is none."""
    terms = [term.partition(" / ") for term in expression.replace(" - ", " + -").split(" + ")]
    return [(_without_double_minus(dividend), _without_double_minus(divisor))
            for dividend, _, divisor in terms]


def _without_double_minus(operand: str) -> str:
    while operand.startswith("--"):
        operand = operand[2:]
    return operand


def _operands(expression: str) -> list[str]:
    return [operand for term in _terms(expression) for operand in term if operand]


def _compute(expression: str, numbers: Mapping[str, Decimal]) -> str | None:
    """Return the value of an expression, None where an operand is no number or an amount is divided by zero.

    Nothing divided by nothing is nothing: the price of the units of a line without any.
    """
    total = Decimal(0)
    with localcontext(prec=DIGITS):
        for dividend, divisor in _terms(expression):
            value = numbers.get(dividend)
            if value is None or (divisor and numbers.get(divisor) is None):
                return None
            if divisor and not numbers[divisor]:
                if value:
                    return None
            elif divisor:
                value = (value / numbers[divisor]).quantize(SMALLEST_QUOTIENT, ROUND_HALF_UP)
            total += value
    return f"{total:f}"
