"""A number: computed from the parameters, near enough by a rule that the learner is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field

from grader.quiz import answers, marks
from grader.quiz.arithmetic import ArithmeticProblem, number
from grader.quiz.kinds import Fault, lacks_oracle, no_whys
from grader.quiz.lab import CLOSE, Lab, far_apart
from grader.quiz.model import Expected, Item, Mark, Question, Response, Status
from grader.quiz.running import CodeBox
from grader.quiz.schema import Expr, OracleSpec, QuestionSpec, Strict, Text, Tolerance, WrongSpec
from grader.quiz.texts import plain_number

KIND = "text"


class SigFigs(Strict):
    """How many significant digits are asked for, and what it costs to give others."""

    min: Annotated[int, Field(ge=1, le=15)]
    max: Annotated[int, Field(ge=1, le=15)] | None = None
    penalty: Annotated[float, Field(ge=0, le=1)] = 0.1


class Answer(Tolerance):
    """The key, and how near is near enough."""

    value: Expr
    unit: Text | None = None
    sigfigs: SigFigs | None = None


class Wrong(WrongSpec):
    """A number that tells what went wrong; it is recognised by the rule of the answer."""

    value: Expr


class Spec(QuestionSpec):
    """The keys of a numeric question."""

    type: Literal["numeric"]
    answer: Answer
    wrong: list[Wrong] = Field(default_factory=list)
    accept: list[Any] = Field(default_factory=list)
    reject: list[Any] = Field(default_factory=list)
    oracle: OracleSpec | None = None


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def view(item: Item) -> Mapping[str, Any]:
    """Return the rule in words and the unit."""
    answer = _spec(item).answer
    return {"rule": rule(answer, item.variant.values), "unit": answer.unit or ""}


def rule(answer: Answer, values: Mapping[str, Any]) -> str:
    """Return the tolerance and the wanted digits in words."""
    words = answers.rule_in_words(answer, values, answer.unit or "")
    if answer.sigfigs is not None:
        low, high = answer.sigfigs.min, answer.sigfigs.max
        words += f" Give {low} to {high}" if high else f" Give at least {low}"
        words += " significant digits." if (high or low) > 1 else " significant digit."
    return words


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark a number: key, recognised wrong answers, digits."""
    spec = _spec(item)
    return mark_number(item, response, spec.answer, spec.wrong)


def mark_number(item: Item, response: Response, answer: Answer, wrong: Sequence[Wrong]) -> Mark:
    """Mark a number against an answer; raise Misread."""
    values = item.variant.values
    given = answers.read_number(response, answer.unit or "")
    evidence = {"value": given.real}
    key = number(answer.value, values)
    if answers.near(given.value, key, answer, values):
        figures = answer.sigfigs
        # an exact fraction has no digits to count
        if figures and given.digits and not figures.min <= given.digits <= (figures.max or 1000):
            asked = f"{figures.min} to {figures.max}" if figures.max else f"at least {figures.min}"
            said = f"The value is right, but it is given with {given.digits} significant digits; asked for are {asked}."
            return marks.graded(1 - figures.penalty, "sigfigs", (said,), (), evidence)
        return marks.right(evidence=evidence)
    for one in wrong:
        if answers.near(given.value, number(one.value, values), around(answer), values):
            return marks.recognised(item, one, marks.name_of(one), evidence)
    return marks.wrong(_remark(given.value, key), evidence=evidence)


def around(answer: Answer) -> Tolerance:
    """Return the rule by which another number than the key is recognised: the answer's own, or 1 % for a range."""
    return Tolerance(rel=0.01) if answer.within is not None else answer


def _remark(given: Fraction, key: float) -> str:
    """Return a note on numbers that are off by a sign or by a power of ten: statistics want to know."""
    if not key or not given:
        return "other"
    ratio = given / Fraction(key)  # exact: as a float it might not fit
    if abs(ratio + 1) < 1e-6:
        return "sign"
    powers = (-6, -3, -2, -1, 1, 2, 3, 6)
    return next((f"times-1e{n}" for n in powers if abs(ratio / Fraction(10) ** n - 1) < 1e-6), "other")


def typed(value: float) -> str:
    """Return a number as a careful learner would type it: all its digits."""
    return str(value) if isinstance(value, int) else repr(float(value))


def keys(item: Item) -> Sequence[Response]:
    """Return the key with all its digits."""
    spec = _spec(item)
    return [typed(number(spec.answer.value, item.variant.values))]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the recognised wrong numbers, and accept and reject."""
    spec = _spec(item)
    found = [
        Expected(typed(number(one.value, item.variant.values)), marks.status_of(one.credit), one.credit,
                 one.misconception, ("wrong", index))
        for index, one in enumerate(spec.wrong)
    ]  # fmt: skip
    return [*found, *listed(spec.accept, spec.reject, item)]


def listed(accept: Sequence[Any], reject: Sequence[Any], item: Item) -> list[Expected]:
    """Return accept and reject lists as expectations; texts have their parameters filled in."""

    def filled(one: Any) -> Any:
        return marks.shown(item, one) if isinstance(one, str) else one

    return [
        *(Expected(filled(one), Status.RIGHT, None, None, ("accept", n)) for n, one in enumerate(accept)),
        *(Expected(filled(one), Status.WRONG, None, None, ("reject", n)) for n, one in enumerate(reject)),
    ]


def answer(item: Item) -> str:
    """Return the key with its unit."""
    spec = _spec(item)
    value = number(spec.answer.value, item.variant.values)
    unit = f" {spec.answer.unit}" if spec.answer.unit else ""
    return f"{plain_number(value)}{unit}"


whys = no_whys
lacks = lacks_oracle


def witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Compare the key with what the oracle computes."""
    spec = _spec(item)
    if spec.oracle is None:
        return
    got = lab.compute(spec.oracle, item)
    key = number(spec.answer.value, item.variant.values)
    if far_apart(got, key, spec.oracle.rel or CLOSE):
        yield ("answer", "value"), "oracle-mismatch", f"key {key!r} but oracle computes {got!r} {told(item)}"


def told(item: Item) -> str:
    """Return the parameters of an item's variant, for messages."""
    values = ", ".join(f"{name}={plain_number(value)}" for name, value in item.variant.values.items())
    return f"(variant {item.variant.number}: {values})" if values else ""


def lint(question: Question) -> Iterator[Fault]:
    """Yield keys that swallow their own tolerance."""
    spec = question.spec
    assert isinstance(spec, Spec)
    yield from lint_answer(spec.answer, question, ("answer",))


def lint_answer(answer: Answer, question: Question, loc: tuple[str | int, ...]) -> Iterator[Fault]:
    """Yield what is wrong with a numeric answer in some variant."""
    for variant in question.variants:
        try:
            key = number(answer.value, variant.values)
            if answer.within is not None:
                low, high = (number(bound, variant.values) for bound in answer.within)
                if not low <= key <= high:
                    yield (*loc, "within"), "key-outside", f"the key {key!r} lies outside {low!r}..{high!r}"
                    return
        except ArithmeticProblem as problem:
            yield (*loc, "value"), "expression", str(problem)
            return
        if answer.abs is not None and abs(key) < 10 * answer.abs and key != 0:
            yield (
                (*loc, "abs"), "tolerance",
                f"the key {plain_number(key)} is below ten times the tolerance {plain_number(answer.abs)}: use rel",
            )  # fmt: skip
            return
        if answer.rel is not None and key == 0:
            yield (*loc, "rel"), "tolerance", "a key of 0 has no relative tolerance: use abs"
            return
        if answer.exact and isinstance(key, float) and abs(key - round(key, 6)) > 1e-12 * abs(key):
            yield (*loc, "exact"), "tolerance", f"nobody can type {key!r} exactly: use rel or abs"
            return
