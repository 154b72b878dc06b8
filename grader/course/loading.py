"""Reading `assignment.yaml` into an Assignment, with every mistake named by file, line and column."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from pathlib import Path

import yaml

from grader.course.assignment import Assignment, Limits, Part
from grader.course.marked_yaml import Entry, read_document
from grader.course.spelling import suggestion

SCHEMA = "assignment/1"
LEAVES = ("array", "number", "opaque", "any")
CLASS = "class"

_ID = re.compile(r"[a-z][a-z0-9_]*")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def is_id(text: str) -> bool:
    """Say whether a text may be the id of an assignment or part: [a-z][a-z0-9_]*, no Python keyword."""
    return _ID.fullmatch(text) is not None and not keyword.iskeyword(text)


def load_assignment(folder: Path, secret: Path | None) -> Assignment:
    """Return the assignment that `folder`/assignment.yaml describes; raise CourseError at file:line:column.

    `secret` is the folder with its reference and hidden suite, or None where they are not installed.
    """
    root = read_document(folder / "assignment.yaml")
    found = root.fields(("schema", "id", "title", "parts"), ("packages", "forbidden", "limits"))
    found["schema"].require_schema(SCHEMA)
    name = _id(found["id"])
    if name != folder.name:
        raise found["id"].error(
            f"the id `{name}` differs from the folder's name `{folder.name}`", "Make them the same."
        )
    return Assignment(
        id=name,
        title=found["title"].text(),
        module=f"{name}.py",
        packages=_packages(found["packages"]) if "packages" in found else (),
        forbidden=_forbidden(found["forbidden"]) if "forbidden" in found else (),
        limits=_limits(found["limits"]) if "limits" in found else Limits(),
        parts=_parts(found["parts"]),
        folder=folder,
        secret=secret,
    )


def _id(entry: Entry) -> str:
    text = entry.text()
    if not is_id(text):
        raise entry.error(
            f"{entry.name} `{text}` is no id", "Use lower-case letters, digits and _, starting with a letter."
        )
    return text


def _packages(entry: Entry) -> tuple[str, ...]:
    for word, item in entry.words():
        if not _DISTRIBUTION.fullmatch(word):
            raise item.error(f"`{word}` is no distribution name", "Name it as pip does, without a version.")
    return tuple(word for word, _ in entry.words())


def _forbidden(entry: Entry) -> tuple[str, ...]:
    for word, item in entry.words():
        if not all(step.isidentifier() for step in word.split(".")):
            raise item.error(f"`{word}` is no dotted Python name", "Write it like `numpy.linalg.inv`.")
    return tuple(word for word, _ in entry.words())


def _limits(entry: Entry) -> Limits:
    defaults = Limits()
    names = [field.name for field in dataclass_fields(Limits)]
    found = entry.fields((), names)
    values: dict[str, float] = {}
    for name, item in found.items():
        value = item.whole() if isinstance(getattr(defaults, name), int) else item.number()
        # A private /tmp is the one thing that an assignment may do without.
        if value < 0 or (value == 0 and name != "scratch_mb"):
            raise item.error(f"{item.name} must be above 0")
        values[name] = value
    return Limits(**values)  # type: ignore[arg-type]  # int fields were read as int above


def _parts(entry: Entry) -> tuple[Part, ...]:
    parts: list[Part] = []
    taken: dict[str, str] = {}  # name -> part that declares it
    for item in entry.items():
        found = item.fields(("id", "title", "points"), ("names",))
        part_id = _id(found["id"])
        if any(part.id == part_id for part in parts):
            raise found["id"].error(f"two parts have the id `{part_id}`")
        points = found["points"].number()
        if points <= 0:
            raise found["points"].error(f"{found['points'].name} must be above 0")
        names: dict[str, object] = {}
        for name, (key, spec) in (found["names"].mapping() if "names" in found else {}).items():
            if not name.isidentifier() or keyword.iskeyword(name):
                raise key.error(f"`{name}` is no Python name")
            if name in taken:
                raise key.error(f"`{name}` is declared already, in part `{taken[name]}`")
            taken[name] = part_id
            names[name] = CLASS if spec.node.value == CLASS else _spec(spec)
        parts.append(Part(part_id, found["title"].text(), points, names))
    if not taken:
        raise entry.error("no part declares a name", "Give at least one part `names`: what a student writes.")
    return tuple(parts)


def _spec(entry: Entry) -> str | tuple[object, ...] | Mapping[str, object]:
    """Return a return spec: a leaf, a tuple of specs, or a mapping of specs."""
    if isinstance(entry.node, yaml.SequenceNode):
        items = entry.items()
        if not items:
            raise entry.error(f"{entry.name} is an empty list", "List what the function returns.")
        return tuple(_spec(item) for item in items)
    if isinstance(entry.node, yaml.MappingNode):
        mapping = entry.mapping()
        if not mapping:
            raise entry.error(f"{entry.name} is an empty mapping", "Name the keys that the function returns.")
        return {key: _spec(value) for key, (_, value) in mapping.items()}
    text = entry.text()
    if text == CLASS:
        raise entry.error("`class` cannot stand inside a return spec", "Use `opaque` for an object.")
    if text not in LEAVES:
        raise entry.error(f"`{text}` is no return spec", suggestion(text, (*LEAVES, CLASS), "specs"))
    return text
