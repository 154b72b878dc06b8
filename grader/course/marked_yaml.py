"""YAML in which every value knows its file, line and column, so that every error can name them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from grader.course.files import read_text
from grader.course.spelling import suggestion
from grader.errors import CourseError

# The C parser gives the same nodes and marks, an order of magnitude faster; a build may lack it.
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

TEXT = "tag:yaml.org,2002:str"
WHOLE = "tag:yaml.org,2002:int"
REAL = "tag:yaml.org,2002:float"
FLAG = "tag:yaml.org,2002:bool"
NOTHING = "tag:yaml.org,2002:null"

KINDS = {TEXT: "text", WHOLE: "a whole number", REAL: "a number", FLAG: "true or false", NOTHING: "nothing"}


@dataclass(frozen=True)
class Entry:
    """A value in a YAML file: its node, its file, and the name that messages call it by."""

    path: Path
    node: yaml.Node
    name: str = "the file"

    @property
    def where(self) -> str:
        """Return file:line:column, counted from one."""
        mark = self.node.start_mark
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}"

    @property
    def kind(self) -> str:
        """Return in words what the value is."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return KINDS.get(self.node.tag, f"a value of type {self.node.tag.rsplit(':', 1)[-1]}")

    def error(self, what: str, advice: str | None = None) -> CourseError:
        """Return a CourseError that points at this value."""
        return CourseError(what, where=self.where, advice=advice)

    def text(self, *, lines: bool = False) -> str:
        """Return non-empty text, of one line unless `lines`; raise CourseError."""
        if self.node.tag != TEXT or not isinstance(self.node, yaml.ScalarNode):
            scalar = isinstance(self.node, yaml.ScalarNode) and self.node.tag != NOTHING
            advice = "Put it in quotes." if scalar else None
            raise self.error(f"{self.name} must be text, not {self.kind}", advice)
        value = str(self.node.value)
        if not value.strip():
            raise self.error(f"{self.name} is empty")
        if not lines and any(ord(character) < 32 or character in "\x7f\x85\u2028\u2029" for character in value):
            raise self.error(f"{self.name} must be one line without control characters")
        return value

    def any_text(self) -> str:
        """Return text of any length, empty too; raise CourseError."""
        if self.node.tag == TEXT and isinstance(self.node, yaml.ScalarNode) and not self.node.value.strip():
            return str(self.node.value)
        return self.text(lines=True)

    def number(self) -> float:
        """Return a finite number; raise CourseError."""
        if self.node.tag not in (WHOLE, REAL):
            raise self.error(f"{self.name} must be a number, not {self.kind}")
        try:
            value = float(self._scalar())
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.error(f"{self.name} must be a finite number")
        return value

    def whole(self) -> int:
        """Return a whole number; raise CourseError."""
        if self.node.tag != WHOLE:
            raise self.error(f"{self.name} must be a whole number, not {self.kind}")
        return int(self._scalar())

    def flag(self) -> bool:
        """Return true or false; raise CourseError."""
        if self.node.tag != FLAG:
            raise self.error(f"{self.name} must be true or false, not {self.kind}")
        return bool(self._scalar())

    def _scalar(self) -> float:
        try:
            value = yaml.constructor.SafeConstructor().construct_object(self.node)
            return float(value) if self.node.tag == REAL else int(value)
        except (ValueError, OverflowError, yaml.YAMLError):
            raise self.error(f"{self.name} is not a number that can be read") from None

    def items(self) -> list[Entry]:
        """Return the values of a list; raise CourseError."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"{self.name} must be a list, not {self.kind}")
        return [Entry(self.path, node, f"{self.name}[{n}]") for n, node in enumerate(self.node.value)]

    def words(self, *, empty: bool = True) -> list[tuple[str, Entry]]:
        """Return the distinct one-line texts of a list, each with its place; raise CourseError."""
        found: dict[str, Entry] = {}
        for item in self.items():
            word = item.text()
            if word in found:
                raise item.error(f"{self.name} names `{word}` twice")
            found[word] = item
        if not found and not empty:
            raise self.error(f"{self.name} must not be empty")
        return list(found.items())

    def mapping(self) -> dict[str, tuple[Entry, Entry]]:
        """Return key -> (entry of the key, entry of the value) in order; raise CourseError.

        Unlike a plain YAML reader, this refuses a key that stands twice.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"{self.name} must be a mapping, not {self.kind}")
        found: dict[str, tuple[Entry, Entry]] = {}
        for key_node, value_node in self.node.value:
            key = Entry(self.path, key_node, f"a key of {self.name}")
            word = key.text()
            if word in found:
                first = found[word][0].node.start_mark.line + 1
                raise key.error(f"`{word}` stands twice (first in line {first})", "Remove one of them.")
            inner = word if self.name == "the file" else f"{self.name}.{word}"
            found[word] = (key, Entry(self.path, value_node, inner))
        return found

    def fields(self, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Entry]:
        """Return the values of a mapping with known keys; raise CourseError for unknown or missing ones."""
        known = (*required, *optional)
        mapping = self.mapping()
        for word, (key, _) in mapping.items():
            if word not in known:
                raise key.error(f"unknown key `{word}`", suggestion(word, known, "keys"))
        for word in required:
            if word not in mapping:
                raise self.error(f"the key `{word}` is missing", f"Known keys: {', '.join(known)}.")
        return {word: value for word, (_, value) in mapping.items()}

    def require_schema(self, wanted: str) -> None:
        """Raise CourseError unless this value is the schema name that this version reads."""
        found = self.text()
        if found != wanted:
            raise self.error(f"schema `{found}` cannot be read", f"This version reads `{wanted}`.")


def read_document(path: Path) -> Entry:
    """Return the single document of a YAML file as an Entry; raise CourseError.

    Aliases are refused: they save a little typing and make places in messages ambiguous.
    """
    return parse_document(read_text(path), path)


def parse_document(text: str, path: Path, loader: type = LOADER) -> Entry:
    """Return the single document in `text`, with `path` for messages; raise CourseError.

    `loader` is a PyYAML loader class: its resolvers decide what a plain word is.
    """
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise CourseError(f"this is not valid YAML: {reason}", where=where) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CourseError(f"this is not valid YAML: {reason}", where=path) from None
    if node is None:
        raise CourseError("the file is empty", where=f"{path}:1")
    seen: set[int] = set()
    todo: list[yaml.Node] = [node]
    while todo:
        current = todo.pop()
        if id(current) in seen:
            raise Entry(path, current).error("YAML aliases are not read here", "Write the value out.")
        seen.add(id(current))
        if isinstance(current, yaml.MappingNode):
            todo.extend(child for pair in current.value for child in pair)
        elif isinstance(current, yaml.SequenceNode):
            todo.extend(current.value)
    return Entry(path, node)
