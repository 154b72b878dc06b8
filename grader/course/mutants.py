"""Mutants: the reference with one realistic misconception patched in, and the hint it earns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from types import CodeType

from grader.course.assignment import Assignment
from grader.course.loading import is_id
from grader.course.marked_yaml import Entry, read_document
from grader.course.misconceptions import Misconception
from grader.course.reference import secret_folder
from grader.course.spelling import nearest, suggestion
from grader.errors import CourseError

SCHEMA = "mutants/1"

_CHECK = re.compile(r"test\w*(?:\[.+\])?")


@dataclass(frozen=True)
class Patch:
    """Text to find in the reference (once, or `all` occurrences) and what stands there in the mutant."""

    find: str
    replace: str
    all: bool = False
    where: str = field(default="", compare=False)  # file:line:column of the patch, for messages


@dataclass(frozen=True)
class Mutant:
    """A misconception as code.

    `caught_by` are checks that it must fail; `hint` is what a student is told who gives the same answers, and
    is "" where `facts_only` (the mistake shows as an exception, NaN or a wrong shape, so that no hint can be
    earned); `loses_only` are the part or check ids that it may lose points in (empty: any).
    """

    id: str
    misconception: str
    hint: str
    caught_by: tuple[str, ...]
    facts_only: bool
    loses_only: tuple[str, ...]
    patches: tuple[Patch, ...]
    where: str = field(default="", compare=False)  # file:line:column of the mutant, for messages


def load_mutants(assignment: Assignment) -> tuple[Mutant, ...]:
    """Return the mutants of an assignment in file order; raise CourseError at file:line:column.

    Whether their misconceptions exist is asked by `check_misconceptions`.
    """
    root = read_document(secret_folder(assignment) / "mutants.yaml")
    found = root.fields(("schema", "mutants"))
    found["schema"].require_schema(SCHEMA)
    mutants: dict[str, Mutant] = {}
    for item in found["mutants"].items():
        mutant = _mutant(item, assignment)
        if mutant.id in mutants:
            raise item.error(f"two mutants have the id `{mutant.id}`")
        mutants[mutant.id] = mutant
    return tuple(mutants.values())


def check_misconceptions(mutants: Iterable[Mutant], misconceptions: Mapping[str, Misconception]) -> None:
    """Raise CourseError at the first mutant whose misconception is not in misconceptions.yaml."""
    for mutant in mutants:
        if mutant.misconception not in misconceptions:
            near = nearest(mutant.misconception, misconceptions)
            advice = f"Did you mean `{near}`?" if near else "Add it to assignments/misconceptions.yaml."
            raise CourseError(
                f"mutant `{mutant.id}` names the misconception `{mutant.misconception}`, which nobody knows",
                where=mutant.where,
                advice=advice,
            )


def apply_mutant(mutant: Mutant, reference: str) -> str:
    """Return the reference with all patches of a mutant applied; raise CourseError.

    Every `find` is looked up in the reference as it is, so that the order of patches does not matter: it must
    occur exactly once, or at least once with `all: true`. What comes out must compile and must differ from
    the reference in more than comments.
    """
    spans: list[tuple[int, int, Patch]] = []
    for patch in mutant.patches:
        starts = _occurrences(patch.find, reference, apart=patch.all)
        if not starts or (len(starts) > 1 and not patch.all):
            times = "does not occur" if not starts else f"occurs {len(starts)} times"
            advice = "Copy it from the reference, indentation included." if not starts else None
            raise CourseError(
                f"mutant `{mutant.id}`: the text to find {times} in the reference: {_short(patch.find)}",
                where=patch.where,
                advice=advice or "Make it longer, or say `all: true` to replace every one.",
            )
        spans.extend((start, start + len(patch.find), patch) for start in starts)
    spans.sort(key=lambda span: span[:2])
    for (_, end, _), (start, _, patch) in pairwise(spans):
        if start < end:
            raise CourseError(f"mutant `{mutant.id}`: two patches overlap", where=patch.where)
    pieces: list[str] = []
    position = 0
    for start, end, patch in spans:
        pieces += [reference[position:start], patch.replace]
        position = end
    text = "".join([*pieces, reference[position:]])
    try:
        code = compile(text, f"{mutant.id}.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        at = f" (line {line}: {getattr(error, 'msg', error)})" if line else ""
        raise CourseError(f"mutant `{mutant.id}` does not compile{at}", where=mutant.where) from None
    if _meaning(code) == _reference_meaning(reference):
        raise CourseError(f"mutant `{mutant.id}` changes nothing but comments or spaces", where=mutant.where)
    return text


def _mutant(entry: Entry, assignment: Assignment) -> Mutant:
    found = entry.fields(("id", "misconception", "patch", "caught_by"), ("hint", "facts_only", "loses_only"))
    name = found["id"].text()
    if not is_id(name):
        raise found["id"].error(
            f"the id `{name}` is not allowed", "Use lower-case letters, digits and _, starting with a letter."
        )
    facts_only = found["facts_only"].flag() if "facts_only" in found else False
    if "hint" not in found and not facts_only:
        raise entry.error(f"mutant `{name}` has no hint", "Give it one, or say `facts_only: true`.")
    checks = found["caught_by"].words(empty=False)
    for word, item in checks:
        if not _CHECK.fullmatch(word):
            raise item.error(f"`{word}` is no name of a check", "Write it like `test_carry` or `test_carry[W_hh]`.")
    spared = found["loses_only"].words(empty=False) if "loses_only" in found else []
    parts = [part.id for part in assignment.parts]
    for word, item in spared:
        if word not in parts and not _CHECK.fullmatch(word):
            raise item.error(f"`{word}` is neither a part nor a check", suggestion(word, parts, "parts"))
    patches = tuple(_patch(item) for item in found["patch"].items())
    if not patches:
        raise found["patch"].error(f"mutant `{name}` has no patch")
    return Mutant(
        id=name,
        misconception=found["misconception"].text(),
        hint=" ".join(found["hint"].text(lines=True).split()) if "hint" in found else "",
        caught_by=tuple(word for word, _ in checks),
        facts_only=facts_only,
        loses_only=tuple(word for word, _ in spared),
        patches=patches,
        where=entry.where,
    )


def _patch(entry: Entry) -> Patch:
    found = entry.fields(("find", "replace"), ("all",))
    find = found["find"].text(lines=True)
    replace = found["replace"].any_text()
    if find == replace:
        raise entry.error("the patch replaces a text by itself")
    return Patch(find, replace, found["all"].flag() if "all" in found else False, entry.where)


def _occurrences(find: str, text: str, *, apart: bool) -> list[int]:
    """Return where `find` starts in `text`: every place, or only places that do not overlap (`apart`)."""
    starts: list[int] = []
    start = text.find(find)
    while start >= 0:
        starts.append(start)
        start = text.find(find, start + (len(find) if apart else 1))
    return starts


def _short(text: str) -> str:
    lines = text.strip().splitlines()
    first = lines[0] if len(lines[0]) <= 60 else lines[0][:57] + "..."
    return f"`{first}`" + (f" (and {len(lines) - 1} more lines)" if len(lines) > 1 else "")


def _meaning(code: CodeType) -> tuple[object, ...]:
    """Return what compiled code does, without the places it came from (much faster than comparing trees)."""
    constants = [_meaning(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (code.co_name, arguments, names, code.co_code, code.co_exceptiontable, *constants)


@lru_cache(maxsize=8)
def _reference_meaning(reference: str) -> tuple[object, ...]:
    return _meaning(compile(reference, "reference", "exec", dont_inherit=True))
