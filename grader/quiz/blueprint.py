"""Blueprints: which questions of a bank make a quiz for a student, and which constraint fails where none can."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from grader.course.catalog import Course
from grader.course.spelling import suggestion
from grader.errors import CourseError
from grader.quiz.findings import Finding, as_error
from grader.quiz.loading import bank_paths, validated
from grader.quiz.model import LEVELS, Bank, Question
from grader.quiz.parameters import Stream
from grader.quiz.places import Places, read_places
from grader.quiz.schema import Slug, Strict, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Costs = NDArray[np.int32]

FOLDER = Path("solutions", "quizzes", "blueprints")
#: numbers in the table of what can still be filled; a blueprint that needs more has too many lines
LARGEST_TABLE = 40_000_000
#: no number of minutes: what cannot be filled takes longer than anything
NEVER = 1 << 29
#: minutes are counted in hundredths, so that sums are exact
MINUTE = 100
MOST_LINES = 12


class LineSpec(Strict):
    """So many questions that have one of these tags, levels and types; what is left out does not matter."""

    n: Annotated[int, Field(ge=1, le=200)]
    tag: Slug | list[Slug] | None = None
    level: str | list[str] | None = None
    type: str | list[str] | None = None


class DifficultySpec(Strict):
    """The mean of the authors' difficulties, and how far from it a quiz may lie."""

    mean: Annotated[float, Field(ge=1, le=5)]
    within: Annotated[float, Field(ge=0, le=4)] = 0.25


class BlueprintSpec(Strict):
    """The keys of a blueprint."""

    schema_: Literal["quizblueprint/1"] = Field(alias="schema")
    id: Slug
    title: Text
    about: Text | None = None
    bank: Slug
    pick: Annotated[int, Field(ge=1, le=200)] | None = None
    by: Annotated[list[LineSpec], Field(max_length=MOST_LINES)] = Field(default_factory=list)
    difficulty: DifficultySpec | None = None
    minutes: Annotated[float, Field(gt=0, le=1000)] | None = None
    no_reuse: list[Slug] = Field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """A line of a blueprint: `n` questions, each with one of the tags, levels and types; empty means any."""

    n: int
    tags: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def takes(self, question: Question) -> bool:
        """Say whether a question may be counted for this line."""
        return (
            (not self.tags or bool(set(self.tags) & set(question.tags)))
            and (not self.levels or question.level in self.levels)
            and (not self.types or question.type in self.types)
        )

    def __str__(self) -> str:
        parts = [("tag", self.tags), ("level", self.levels), ("type", self.types)]
        told = ", ".join(f"{name} {' or '.join(words)}" for name, words in parts if words)
        return told or "any question"


@dataclass(frozen=True)
class Blueprint:
    """A quiz drawn from a bank: `lines` are filled by different questions, each counted once."""

    id: str
    title: str
    about: str
    bank: str
    lines: tuple[Line, ...]
    difficulty: tuple[float, float] | None
    minutes: float | None
    no_reuse: tuple[str, ...]
    path: Path
    places: Places

    @property
    def size(self) -> int:
        """Return how many questions a quiz has."""
        return sum(line.n for line in self.lines)


# --- which there are, and reading one -------------------------------------------------------------------------------


def blueprint_paths(course: Course) -> dict[str, Path]:
    """Return blueprint id -> file: solutions/quizzes/blueprints/*.yaml."""
    return {path.stem: path for path in sorted((course.root / FOLDER).glob("[!._]*.yaml"))}


def load_blueprint(course: Course, quiz: str) -> Blueprint:
    """Return a blueprint that has no errors; raise CourseError (file:line:column) otherwise."""
    paths = blueprint_paths(course)
    if quiz not in paths:
        raise CourseError(f"there is no blueprint `{quiz}`", advice=suggestion(quiz, paths, "blueprints"))
    blueprint, findings = read_blueprint(paths[quiz], tuple(bank_paths(course)), tuple(paths))
    if blueprint is None or findings:
        raise as_error(findings, "Mend the blueprint.")
    return blueprint


def read_blueprint(
    path: Path, banks: Collection[str], blueprints: Collection[str]
) -> tuple[Blueprint | None, list[Finding]]:
    """Return a blueprint, None where it cannot be read, and what is wrong with it; raise CourseError for no YAML."""
    data, places, findings = read_places(path)
    spec, wrong = validated(BlueprintSpec, data, places)
    findings += wrong
    if spec is None:
        return None, sorted(findings)
    assert isinstance(spec, BlueprintSpec)
    asked = sum(line.n for line in spec.by)
    if spec.id != path.stem:
        findings.append(places.finding(("id",), "id", f"the id '{spec.id}' differs from the file's name '{path.stem}'"))
    if spec.bank not in banks:
        findings.append(
            places.finding(("bank",), "bank", f"there is no bank '{spec.bank}'; {_known(spec.bank, banks)}")
        )
    if spec.id in banks and spec.id != spec.bank:
        findings.append(places.finding(("id",), "id", f"'{spec.id}' is the id of a bank, and this draws from another"))
    for n, line in enumerate(spec.by):
        for level in _list(line.level):
            if level not in LEVELS:
                findings.append(places.finding(("by", n, "level"), "level", f"the levels are {', '.join(LEVELS)}"))
    for n, name in enumerate(spec.no_reuse):
        if name not in blueprints or name == spec.id:
            said = f"there is no other blueprint '{name}'; {_known(name, [b for b in blueprints if b != spec.id])}"
            findings.append(places.finding(("no_reuse", n), "no-reuse", said))
    if not asked and spec.pick is None:
        findings.append(places.finding((), "missing", "say what to draw: `by` with lines, or `pick`"))
    if spec.pick is not None and spec.pick < asked:
        findings.append(places.finding(("pick",), "pick", f"the lines of `by` ask for {asked} questions already"))
    lines = [Line(line.n, _list(line.tag), _list(line.level), _list(line.type)) for line in spec.by]
    if spec.pick is not None and spec.pick > asked:
        lines.append(Line(spec.pick - asked))
    rule = spec.difficulty
    band = None if rule is None else (rule.mean - rule.within, rule.mean + rule.within)
    blueprint = Blueprint(
        spec.id, spec.title, spec.about or "", spec.bank, tuple(lines), band, spec.minutes, tuple(spec.no_reuse), path,
        places,
    )  # fmt: skip
    return blueprint, sorted(findings)


def _known(word: str, known: Collection[str]) -> str:
    return suggestion(word, list(known), "ids")


def _list(value: str | list[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


# --- drawing ----------------------------------------------------------------------------------------------------------


def draw(blueprint: Blueprint, bank: Bank, seed: str, used: Collection[str] = ()) -> tuple[Question, ...]:
    """Return the questions of a quiz in the order in which they are asked, the same for the same seed.

    `used` holds ids of questions that must not come again. Every question is taken in a random order as long as the
    rest can still be filled, which a table over what is left says exactly. Raises CourseError with the constraint
    that fails, and by how much, where there is no such quiz.
    """
    stream = Stream(f"blueprint\0{blueprint.id}\0{seed}")
    there = [question for question in bank.questions if question.id not in used]
    order = [there[n] for n in stream.shuffled(list(range(len(there))))]
    tables = _tables(blueprint, order)
    low, high = _band(blueprint)
    limit = _limit(blueprint)
    wanted = tuple(line.n for line in blueprint.lines)
    if not _can(tables[0], wanted, low, high, limit):
        raise _infeasible(blueprint, bank, there, used, tables[0])
    chosen: list[Question] = []
    for n, question in enumerate(order):
        for k in stream.shuffled(list(range(len(wanted)))):
            if not wanted[k] or not blueprint.lines[k].takes(question):
                continue
            left = tuple(count - (j == k) for j, count in enumerate(wanted))
            spare = limit - _cost(question)
            rest = (low - question.difficulty, high - question.difficulty)
            if _can(tables[n + 1], left, *rest, spare):
                chosen.append(question)
                wanted, limit, (low, high) = left, spare, rest
                break
        if not any(wanted):
            break
    return tuple(chosen[n] for n in stream.shuffled(list(range(len(chosen)))))


def _cost(question: Question) -> int:
    return round(question.minutes * MINUTE)


def _limit(blueprint: Blueprint) -> int:
    return NEVER - 1 if blueprint.minutes is None else round(blueprint.minutes * MINUTE)


def _band(blueprint: Blueprint) -> tuple[int, int]:
    """Return the least and the largest sum of difficulties."""
    if blueprint.difficulty is None:
        return 0, 5 * blueprint.size
    low, high = blueprint.difficulty
    return math.ceil(low * blueprint.size - 1e-9), math.floor(high * blueprint.size + 1e-9)


def _tables(blueprint: Blueprint, order: Sequence[Question]) -> list[Costs]:
    """Return, for every n, the fewest minutes in which order[n:] fills (questions for each line, sum of difficulties).

    Each table has an axis for each line (0..n of it) and one for the sum.
    """
    import numpy as np

    shape = (*(line.n + 1 for line in blueprint.lines), 5 * blueprint.size + 1)
    if math.prod(shape) * (len(order) + 1) > LARGEST_TABLE:
        raise CourseError(
            "the blueprint has too many lines to be solved exactly",
            where=blueprint.path,
            advice="Join lines: a tag and a level may be lists.",
        )
    table = np.full(shape, NEVER, dtype=np.int32)
    table[(0,) * len(shape)] = 0
    tables = [table]
    for question in reversed(order):
        now = tables[-1].copy()
        for k, line in enumerate(blueprint.lines):
            if not line.takes(question):
                continue
            before: list[slice] = [slice(None)] * len(shape)
            after = list(before)
            before[k], after[k] = slice(None, -1), slice(1, None)
            before[-1], after[-1] = slice(None, -question.difficulty), slice(question.difficulty, None)
            more = np.minimum(tables[-1][tuple(before)] + _cost(question), NEVER)
            now[tuple(after)] = np.minimum(now[tuple(after)], more)
        tables.append(now)
    return tables[::-1]


def _can(table: Costs, wanted: tuple[int, ...], low: int, high: int, limit: int) -> bool:
    """Say whether what is wanted can be filled with a sum of difficulties in low..high, within the limit."""
    row = table[wanted][max(low, 0) : max(high + 1, 0)]
    return bool(row.size) and int(row.min()) <= limit


# --- saying why not ---------------------------------------------------------------------------------------------------


def _infeasible(
    blueprint: Blueprint, bank: Bank, there: Sequence[Question], used: Collection[str], table: Costs
) -> CourseError:
    """Return the error that names the constraint that fails, at its place in the blueprint."""
    loc, said = _why_not(blueprint, bank, there, used, table)
    finding = blueprint.places.finding(loc, "infeasible", said)
    where = f"{finding.path}:{finding.line}:{finding.column}"
    return CourseError(f"no quiz can be drawn: {said}", where=where, advice="Change the blueprint, or add questions.")


def _why_not(
    blueprint: Blueprint, bank: Bank, there: Sequence[Question], used: Collection[str], table: Costs
) -> tuple[tuple[str | int, ...], str]:
    gone = len(bank.questions) - len(there)
    spent = f" ({gone} more are used up by {', '.join(blueprint.no_reuse)})" if gone else ""
    row = table[tuple(line.n for line in blueprint.lines)]
    sums = [int(total) for total in (row < NEVER).nonzero()[0]]
    if not sums:
        return _unfilled(blueprint, there, spent)
    low, high = _band(blueprint)
    inside = [total for total in sums if low <= total <= high]
    if not inside:
        assert blueprint.difficulty is not None
        nearest = min(sums, key=lambda total: min(abs(total - low), abs(total - high)))
        mean, (least, most) = nearest / blueprint.size, blueprint.difficulty
        off = least - mean if mean < least else mean - most
        said = f"the mean difficulty nearest to {least:g}..{most:g} is {mean:.2f}, {off:.2f} off{spent}"
        if least <= mean <= most:
            said = f"no mean difficulty of {blueprint.size} questions lies in {least:g}..{most:g}"
        return ("difficulty",), said
    assert blueprint.minutes is not None
    quickest, banded = int(row.min()) / MINUTE, min(int(row[total]) for total in inside) / MINUTE
    if quickest > blueprint.minutes:
        said = f"the quickest quiz takes {quickest:g} minutes, {quickest - blueprint.minutes:g} above the limit{spent}"
    else:
        with_it = f"with that difficulty the quickest quiz takes {banded:g} minutes"
        said = f"{with_it}, {banded - blueprint.minutes:g} above the limit ({quickest:g} with any difficulty){spent}"
    return ("minutes",), said


def _unfilled(blueprint: Blueprint, there: Sequence[Question], spent: str) -> tuple[tuple[str | int, ...], str]:
    """Name the lines that cannot be filled: by Hall's theorem some of them ask for more than there is between them."""
    takes = [{q.id for q in there if line.takes(q)} for line in blueprint.lines]
    for size in range(1, len(takes) + 1):
        for some in itertools.combinations(range(len(takes)), size):
            have = len(set().union(*(takes[k] for k in some)))
            want = sum(blueprint.lines[k].n for k in some)
            if have < want:
                told = " and ".join(f"`{blueprint.lines[k]}`" for k in some)
                loc: tuple[str | int, ...] = ("by", some[0])
                between = "" if size == 1 else " between them"
                return loc, f"{told} ask{'s' if size == 1 else ''} for {want} and there are {have}{between}{spent}"
    raise AssertionError("every line can be filled")  # pragma: no cover  # Hall's theorem
