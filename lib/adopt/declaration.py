"""The text of a declaration in YAML, in which what a person must choose is marked and has no value yet."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lib.declarations import CHOOSE

PLAIN = re.compile(r"[A-Za-z_ÄÖÜäöüßÀ-ÿ][\w .À-ÿ/()-]*[\w.)]|[A-Za-z]")
WORDS = re.compile(r"true|false|yes|no|null|on|off|y|n", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """A value that a person must choose: each with what it would mean."""

    options: tuple[tuple[object, str], ...]


def write(declared: Mapping[str, object], heading: Sequence[str] = ()) -> str:
    """Return a declaration as YAML; empty properties are left out."""
    return "\n".join([*(f"# {line}" for line in heading), *_lines(declared, "")]) + "\n"


def decided(declared: Mapping[str, object]) -> dict[str, object]:
    """Return a declaration as it is if of every choice the first option is taken."""
    return {name: _first(value) for name, value in declared.items()}


def is_complete(declared: Mapping[str, object]) -> bool:
    """Return whether every choice has an option."""
    return all(bool(value.options) if isinstance(value, Choice)
               else not isinstance(value, Mapping) or is_complete(value) for value in declared.values())


def _first(value: object) -> object:
    if isinstance(value, Choice):
        return value.options[0][0] if value.options else ""
    return decided(value) if isinstance(value, Mapping) else value


def _lines(declared: Mapping[str, object], indent: str) -> Iterator[str]:
    for name, value in declared.items():
        if value in ("", (), [], {}, None) and not isinstance(value, Choice):
            continue
        key = f"{indent}{scalar(name)}:"
        if isinstance(value, Choice):
            yield key
            for option, meaning in value.options:
                yield f"{indent}  {CHOOSE}{_value(option, True)}" + (f"  # {meaning}" if meaning else "")
        elif isinstance(value, Mapping) and not _is_short(value):
            yield key
            yield from _lines(value, indent + "  ")
        else:
            yield f"{key} {_value(value)}"


def _is_short(value: Mapping) -> bool:
    return set(value) in ({"sum"}, {"when", "value"})


def _value(value: object, quoted: bool = False) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(name)}: {_value(item, True)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item, True) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False) if quoted else scalar(str(value))


def scalar(text: str) -> str:
    """Return a text as a scalar of YAML, in quotes where it needs them."""
    is_plain = PLAIN.fullmatch(text) and not WORDS.fullmatch(text) and " #" not in text
    return text if is_plain else json.dumps(text, ensure_ascii=False)
