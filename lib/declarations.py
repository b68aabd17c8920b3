"""What people declare in YAML, read into frozen dataclasses: an error names file, line and remedy."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from itertools import takewhile
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml

from lib.errors import PipelineError, closest, first_line

Declared = TypeVar("Declared")
NULL = "tag:yaml.org,2002:null"
CHOOSE = "# choose: "  # in front of a value that a person may choose: the property has none until then
WORDS = {"true": True, "false": False}  # other scalars keep their spelling: `no` is a country


class DeclarationError(PipelineError):
    """A declaration is wrong; nothing was started."""

    exit_code = 2


def read_declaration(path: Path, kind: type[Declared], text: str | None = None, **more: Any) -> Declared:
    """Return what a YAML file declares as an instance of a dataclass; `more` are values of other fields.

    `text` is what is read in place of the whole file, with its lines where they are in the file.

    Text, numbers, lists, mappings and other dataclasses are read by the types of the fields. A field whose
    metadata has a `read` is read by that function of the node and its place. Raises DeclarationError, with
    the line and the closest property, for a property that the dataclass does not have, one that is missing,
    and a value of another type.
    """
    place = Place(path)
    return place.build(place.compose(text), kind, more)


class Place:
    """A file of declarations, which its errors name."""

    def __init__(self, path: Path):
        self.path = path

    def __str__(self) -> str:
        *_, start = (0, *(i - 1 for i, part in enumerate(self.path.parts) if part == "contract"),
                     *(i for i, part in enumerate(self.path.parts) if part in ("notebooks", "questions")))
        return "/".join(self.path.parts[start:]) if start else str(self.path)

    def compose(self, text: str | None = None) -> yaml.Node:
        """Return what the file, or a text from it, holds; nothing is an empty mapping. Raises
        DeclarationError."""
        try:
            text = self.read() if text is None else text
            return yaml.compose(text, Loader=yaml.CSafeLoader) or yaml.MappingNode("", [])
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
            problem = getattr(error, "problem", None) or first_line(error)
            raise DeclarationError(f"{self}, line {line + 1}: this is no YAML ({problem}). "
                                   "Correct it.") from error

    def read(self) -> str:
        """Return the file's text. Raises DeclarationError."""
        try:
            return self.path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise DeclarationError(f"{self} cannot be read ({error.strerror}). Restore it.") from error
        except UnicodeDecodeError as error:
            line = 1 + error.object.count(b"\n", 0, error.start)
            raise DeclarationError(f"{self}, line {line}: this is not UTF-8. Save it as UTF-8.") from error

    def find(self, *names: str) -> yaml.Node | None:
        """Return the node below which names lead: of the last name that is there; None if none is."""
        found, node = None, self.compose()
        for name in names:
            inside = {key.value: (key, value) for key, value in node.value} \
                if isinstance(node, yaml.MappingNode) else {}
            if name not in inside:
                break
            found, node = inside[name]
        return found

    def fail(self, node: yaml.Node | None, message: str) -> NoReturn:
        """Raise DeclarationError about a node."""
        raise DeclarationError(f"{self.at(node)}: {message}")

    def at(self, node: yaml.Node | None) -> str:
        """Return the file and the line of a node, for a message."""
        return f"{self}, line {node.start_mark.line + 1}" if node and node.start_mark else str(self)

    def items(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the nodes of a mapping's keys and values, by key."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, f"{what} must be a mapping (`name: value` lines). Correct it.")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.fail(key, f"{what} has a name that is no text. Correct it.")
            if key.value in found:
                self.fail(key, f"{what} has {key.value!r} twice. Keep one.")
            if isinstance(value, yaml.ScalarNode) and value.tag == NULL and not value.value:
                self._fail_without_value(key)
            found[key.value] = key, value
        return found

    def _fail_without_value(self, key: yaml.ScalarNode) -> NoReturn:
        """Raise DeclarationError about a property without a value: the lines below it may offer some."""
        below = self.path.read_text(encoding="utf-8").splitlines()[key.start_mark.line + 1:]
        choices = [line.strip().removeprefix(CHOOSE) for line in takewhile(
            lambda line: line.strip().startswith("#"), below) if line.strip().startswith(CHOOSE)]
        if choices:
            self.fail(key, f"{key.value!r} is not decided. Choose one of {' or '.join(choices)}: delete "
                           f"`{CHOOSE}` in front of it.")
        self.fail(key, f"{key.value!r} has no value. Write one, or delete the line.")

    def text(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, f"{what} must be a text. Correct it.")
        return node.value

    def texts(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        """Return a list of texts; a single text is a list of one."""
        if isinstance(node, yaml.ScalarNode):
            return (node.value,)
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, f"{what} must be a list of texts. Correct it.")
        return tuple(self.text(item, f"each of {what}") for item in node.value)

    def build(self, node: yaml.Node, kind: type[Declared], more: Mapping[str, Any]) -> Declared:
        """Return a dataclass that a mapping declares."""
        known = {field.metadata.get("name", field.name): field for field in fields(kind) if field.init
                 and field.name not in more}
        types, values = get_type_hints(kind), dict(more)
        for name, (key, value) in self.items(node, "a declaration").items():
            if name not in known:
                hint = closest(name, known) or f" (there are: {', '.join(known)})"
                self.fail(key, f"there is no property {name!r}{hint}. Correct it.")
            field = known[name]
            read = field.metadata.get("read")
            values[field.name] = (read(self, value) if read
                                  else self._value(value, types[field.name], repr(name)))
        for name, field in known.items():
            if field.name not in values and field.default is MISSING and field.default_factory is MISSING:
                self.fail(node, f"the property {name!r} is missing. Add it.")
        return kind(**values)

    def _value(self, node: yaml.Node, kind: Any, what: str) -> Any:
        if isinstance(kind, UnionType):
            kind = get_args(kind)[0]
        if get_origin(kind) is tuple:
            inner = get_args(kind)[0]
            if inner is str:
                return self.texts(node, what)
            if not isinstance(node, yaml.SequenceNode):
                self.fail(node, f"{what} must be a list. Correct it.")
            return tuple(self._value(item, inner, f"each of {what}") for item in node.value)
        if get_origin(kind) in (dict, Mapping):
            inner = get_args(kind)[1]
            return {name: self._value(value, inner, f"{name!r} in {what}")
                    for name, (_, value) in self.items(node, what).items()}
        if is_dataclass(kind):
            return self.build(node, kind, {})
        text = self.text(node, what)
        if kind is bool:
            if text not in WORDS:
                self.fail(node, f"{what} must be true or false, not {text!r}. Correct it.")
            return WORDS[text]
        if kind is int:
            if not text.isdecimal():
                self.fail(node, f"{what} must be a whole number, not {text!r}. Correct it.")
            return int(text)
        return text
