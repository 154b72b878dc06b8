"""A matrix or a vector of numbers, near enough by a rule, scored by cell or as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from grader.quiz import answers, marks
from grader.quiz.answers import Misread, Numeral
from grader.quiz.arithmetic import ArithmeticProblem, compute, number
from grader.quiz.kinds import Fault, lacks_oracle, no_whys
from grader.quiz.lab import CLOSE, Lab, far_apart
from grader.quiz.model import Expected, Item, Mark, Question, Response
from grader.quiz.running import CodeBox
from grader.quiz.schema import Expr, OracleSpec, QuestionSpec, Tolerance, WrongSpec
from grader.quiz.texts import plain_number
from grader.quiz.types.numeric import told, typed

KIND = "matrix"

Rows = Annotated[list[Annotated[list[Expr], Field(min_length=1)]], Field(min_length=1, max_length=12)]


class Answer(Tolerance):
    """The rows, cell by cell, or an expression that is worth a list of rows."""

    value: Rows | Expr


class Wrong(WrongSpec):
    """A matrix that tells what went wrong."""

    value: Rows | Expr


class Spec(QuestionSpec):
    """The keys of a matrix question."""

    type: Literal["matrix"]
    answer: Answer
    scoring: Literal["per-cell", "all-or-nothing"] = "per-cell"
    wrong: list[Wrong] = Field(default_factory=list)
    oracle: OracleSpec | None = None


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def rows_of(value: Any, item: Item) -> list[list[float]]:
    """Return the rows of a key; raise ArithmeticProblem."""
    values = item.variant.values
    if isinstance(value, list):
        rows = [[number(cell, values) for cell in row] for row in value]
    else:
        found = compute(value, values)
        if not isinstance(found, list) or not found:
            raise ArithmeticProblem(f"`{value}` is no matrix")
        rows = [[number(cell, values) for cell in (row if isinstance(row, list) else [row])] for row in found]
    if len({len(row) for row in rows}) != 1:
        raise ArithmeticProblem("the rows have different lengths")
    return rows


def view(item: Item) -> Mapping[str, Any]:
    """Return the size and the rule."""
    spec = _spec(item)
    rows = rows_of(spec.answer.value, item)
    words = answers.rule_in_words(spec.answer, item.variant.values)
    return {"shape": (len(rows), len(rows[0])), "rule": f"{words} It counts for every cell."}


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark the rows of a matrix; a column may be written as a row."""
    spec = _spec(item)
    given = answers.read_matrix(response)
    key = rows_of(spec.answer.value, item)
    size = (len(given), len(given[0]))
    asked = (len(key), len(key[0]))
    if size != asked and size == asked[::-1] and 1 in size:
        given = [list(row) for row in zip(*given, strict=True)]
    elif size != asked:
        raise Misread(f"Asked for are {asked[0]} rows of {asked[1]}; this has {size[0]} of {size[1]}.")
    near = _near(given, key, spec.answer, item)
    hits, cells = sum(map(sum, near)), asked[0] * asked[1]
    if hits == cells:
        return marks.right()
    for one in spec.wrong:
        wrong = rows_of(one.value, item)
        if (len(wrong), len(wrong[0])) == asked and all(map(all, _near(given, wrong, spec.answer, item))):
            return marks.recognised(item, one, marks.name_of(one))
    if asked[0] == asked[1] > 1 and all(
        map(all, _near([list(r) for r in zip(*given, strict=True)], key, spec.answer, item))
    ):
        return marks.wrong("transposed", "This is the transpose of what is asked for.")
    said = (f"{hits} of {cells} cells are right.",) if hits else ()
    score = hits / cells if spec.scoring == "per-cell" else 0.0
    return marks.graded(score, f"cells:{hits}/{cells}", said)


def _near(
    given: Sequence[Sequence[Numeral]], key: Sequence[Sequence[float]], rule: Tolerance, item: Item
) -> list[list[bool]]:
    return [
        [answers.near(cell.value, want, rule, item.variant.values) for cell, want in zip(row, wanted, strict=True)]
        for row, wanted in zip(given, key, strict=True)
    ]


def _typed(rows: Sequence[Sequence[float]]) -> list[list[str]]:
    return [[typed(cell) for cell in row] for row in rows]


def keys(item: Item) -> Sequence[Response]:
    """Return the rows, and the same as one text."""
    rows = _typed(rows_of(_spec(item).answer.value, item))
    return [rows, "[" + ", ".join("[" + ", ".join(row) + "]" for row in rows) + "]"]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the recognised wrong matrices."""
    return [
        Expected(
            _typed(rows_of(one.value, item)), marks.status_of(one.credit), one.credit, one.misconception, ("wrong", n)
        )
        for n, one in enumerate(_spec(item).wrong)
    ]


def answer(item: Item) -> str:
    """Return the rows in a formula."""
    rows = rows_of(_spec(item).answer.value, item)
    body = r" \\ ".join(" & ".join(plain_number(cell) for cell in row) for row in rows)
    return rf"$\begin{{pmatrix}} {body} \end{{pmatrix}}$"


whys = no_whys
lacks = lacks_oracle


def witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Compare the key with what the oracle computes."""
    spec = _spec(item)
    if spec.oracle is None:
        return
    got = lab.compute(spec.oracle, item)
    key = rows_of(spec.answer.value, item)
    if far_apart(got, key, spec.oracle.rel or CLOSE):
        shown = got.tolist() if hasattr(got, "tolist") else got
        yield ("answer", "value"), "oracle-mismatch", f"key {key} but oracle computes {shown} {told(item)}"


def lint(question: Question) -> Iterator[Fault]:
    """Yield keys that are no matrix, wrong ones of another size, and tolerances that swallow the key."""
    spec = question.spec
    assert isinstance(spec, Spec)
    for variant in question.variants:
        item = Item(question, variant)
        try:
            key = rows_of(spec.answer.value, item)
        except ArithmeticProblem as problem:
            yield ("answer", "value"), "expression", str(problem)
            return
        largest = max(abs(cell) for row in key for cell in row)
        if spec.answer.abs is not None and largest < 10 * spec.answer.abs:
            yield ("answer", "abs"), "tolerance", "the whole key is below ten times the tolerance: use rel"
            return
        if spec.answer.rel is not None and any(cell == 0 for row in key for cell in row):
            yield ("answer", "rel"), "tolerance", "a cell of 0 has no relative tolerance: use abs"
            return
        for n, one in enumerate(spec.wrong):
            try:
                wrong = rows_of(one.value, item)
            except ArithmeticProblem as problem:
                yield ("wrong", n, "value"), "expression", str(problem)
                return
            if (len(wrong), len(wrong[0])) != (len(key), len(key[0])):
                yield ("wrong", n, "value"), "shape", "this has another size than the key, so it is never recognised"
                return
