"""A bank's YAML as plain data in which every key and value still knows its line and column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from grader.course.files import read_text
from grader.course.marked_yaml import FLAG, LOADER, NOTHING, REAL, TEXT, WHOLE, Entry, parse_document
from grader.errors import CourseError
from grader.quiz.findings import ERROR, Finding

Loc = tuple[str | int, ...]

#: What is left of \\nabla, \\neq and their like once YAML has read the \\n in them.
_TEX_AFTER_N = re.compile(r"\n(?:abla|eq|eg|u|ot|i|mid|exists|leq|geq|parallel|rightarrow|leftarrow|ewline)(?![a-z])")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\x85\u2028\u2029]")
_QUOTING = "Write backslashes in single quotes or under `|`: in double quotes YAML takes them for escapes."


class CoreLoader(LOADER):  # type: ignore[misc, valid-type]  # the C loader where there is one
    """Reads plain words by the core schema of YAML 1.2: `no` and `12:30` are texts, `1e-3` is a number."""


CoreLoader.yaml_implicit_resolvers = {}
CoreLoader.add_implicit_resolver(NOTHING, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
CoreLoader.add_implicit_resolver(FLAG, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
CoreLoader.add_implicit_resolver(WHOLE, re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789"))
CoreLoader.add_implicit_resolver(
    REAL,
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Places:
    """Where the keys and values of a file stand: path -> (line, column), counted from one.

    `base` is put before every path that is asked for: a question's places speak of that question.
    """

    path: Path
    values: dict[Loc, tuple[int, int]] = field(repr=False)
    keys: dict[Loc, tuple[int, int]] = field(repr=False)
    base: Loc = ()

    def below(self, loc: Loc) -> Places:
        """Return the places of a part of the file."""
        return Places(self.path, self.values, self.keys, (*self.base, *loc))

    def known(self, loc: Sequence[str | int]) -> Loc:
        """Return `loc` without the steps that are not in the file (a schema's own), whole, with the base."""
        found: Loc = self.base
        for step in loc:
            if (*found, step) in self.values:
                found = (*found, step)
        return found

    def finding(
        self, loc: Sequence[str | int], code: str, message: str, *, severity: str = ERROR, key: bool = False
    ) -> Finding:
        """Return a finding at a value, or at its key; at the nearest thing around it where there is none."""
        whole = self.known(loc)
        place = self.keys.get(whole) if key else None
        line, column = place or self.values.get(whole) or (1, 1)
        return Finding(self.path, line, column, severity, code, message)


def read_places(path: Path) -> tuple[Any, Places, list[Finding]]:
    """Return a YAML file as plain data, its places, and what is wrong with it as YAML; raise CourseError.

    Only what keeps the file from being read at all is raised; the rest (keys that stand twice, control
    characters in texts, keys that are no text) is found, all of it.
    """
    return parse_places(read_text(path), path)


def parse_places(text: str, path: Path) -> tuple[Any, Places, list[Finding]]:
    """Do as `read_places` with a text that has been read already."""
    try:
        root = parse_document(text, path, CoreLoader)
    except CourseError as error:
        if "escape character" in error.what:
            raise CourseError(error.what, where=error.where, advice=_QUOTING) from None
        raise
    reader = _Reader(Places(path, {}, {}))
    try:
        data = reader.value(root.node, ())
    except RecursionError:
        raise CourseError("the file is nested too deeply", where=path) from None
    return data, reader.places, reader.findings


class _Reader:
    def __init__(self, places: Places) -> None:
        self.places = places
        self.findings: list[Finding] = []

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.places.values[loc] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, loc)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self._add(mark, "yaml", "a key must be a single word")
                continue
            key = str(key_node.value)
            if key in found:
                first = self.places.keys[(*loc, key)][0]
                self._add(mark, "duplicate-key", f"`{key}` stands twice (first in line {first}): remove one of them")
                continue
            self.places.keys[(*loc, key)] = mark
            found[key] = self.value(value_node, (*loc, key))
        return found

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        value = str(node.value)
        mark = self.places.values[loc]
        if node.tag == TEXT:
            quoted = getattr(node, "style", None) == '"'
            bad = _CONTROL.search(value) or (_TEX_AFTER_N.search(value) if quoted else None)
            if bad is not None:
                name = {"\t": "a tab", "\n": "a line end"}.get(bad.group()[0], f"U+{ord(bad.group()[0]):04X}")
                what = f"the text holds a control character ({name})"
                self._add(mark, "control-character", f"{what}. {_QUOTING if quoted else 'Remove it.'}")
            return value
        if node.tag == NOTHING:
            return None
        if node.tag == FLAG:
            return value.lower() == "true"
        try:
            if node.tag == WHOLE:
                return int(value, 0) if value.startswith(("0o", "0x")) else int(value)
            if node.tag == REAL:
                return float(value.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf"))
        except ValueError:
            self._add(mark, "yaml", f"`{value[:40]}` is not a number that can be read")
            return None
        kind = Entry(self.places.path, node).kind
        self._add(mark, "yaml", f"{kind} cannot stand here: remove the tag")
        return None

    def _add(self, mark: tuple[int, int], code: str, message: str) -> None:
        self.findings.append(Finding(self.places.path, *mark, ERROR, code, message))
