"""What a program prints; the program is run when the bank is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import answers, marks
from grader.quiz.arithmetic import ArithmeticProblem
from grader.quiz.kinds import Fault, lacks_nothing, no_whys
from grader.quiz.lab import Lab
from grader.quiz.model import Expected, Item, Mark, Question, Response, Status
from grader.quiz.running import CodeBox, OracleFailed
from grader.quiz.schema import QuestionSpec, Strict, Text, WrongSpec
from grader.quiz.texts import fill
from grader.quiz.types.numeric import listed, told

KIND = "text"

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"[A-Za-z]+")


class Answer(Strict):
    """What is printed, or the name of the exception that ends the program. `exact` asks for each number as printed."""

    stdout: Text | None = None
    raises: Annotated[str, Field(pattern=r"^[A-Za-z]+$")] | None = None
    exact: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.stdout is None) == (self.raises is None):
            raise PydanticCustomError("answer", "an answer has exactly one of stdout and raises")
        return self


class Wrong(WrongSpec):
    """A print-out that tells what went wrong."""

    stdout: Text


class Spec(QuestionSpec):
    """The keys of an output question. {{...}} in the code and in what is printed are parameters."""

    type: Literal["output"]
    code: Text
    answer: Answer
    wrong: list[Wrong] = Field(default_factory=list)
    accept: list[Text] = Field(default_factory=list)
    reject: list[Text] = Field(default_factory=list)
    requires: list[Literal["numpy", "torch"]] = Field(default_factory=lambda: ["numpy"])  # type: ignore[arg-type]

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and the code."""
        return [*super().texts(), (("code",), self.code)]


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def view(item: Item) -> Mapping[str, Any]:
    """Return the program."""
    spec = _spec(item)
    exact = " Write numbers exactly as they are printed." if spec.answer.exact else ""
    return {
        "code": program(item),
        "rule": f"Write what the program prints, or the name of the exception that ends it.{exact}",
    }


def program(item: Item) -> str:
    """Return the program of an item's variant."""
    return fill(_spec(item).code, item.variant.values)


def tidy(text: str) -> str:
    """Return a print-out without what nobody can see: spaces at line ends, empty lines around, doubled blanks."""
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    return "\n".join(lines)


def _loosened(text: str) -> tuple[str, tuple[float, ...]]:
    """Return a print-out with its numbers taken out, and the numbers."""
    numbers = tuple(float(found) for found in _NUMBER.findall(text))
    return re.sub(r"\s+", "", _NUMBER.sub("#", text)), numbers


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark a print-out; numbers count by their value unless the answer is `exact`."""
    spec = _spec(item)
    given = tidy(answers.text_of(response)).strip("`").strip()
    if len(given) >= 2 and given[0] == given[-1] and given[0] in "'\"":
        given = given[1:-1]
    if spec.answer.raises is not None:
        return _raised(given, spec.answer.raises)
    want = tidy(fill(spec.answer.stdout or "", item.variant.values))
    if given == want:
        return marks.right()
    if _loosened(given) == _loosened(want):
        if not spec.answer.exact:
            return marks.right("same-numbers")
        return marks.graded(0.5, "format", ("The values are right, but they are printed otherwise.",))
    for one in spec.wrong:
        if _loosened(given) == _loosened(tidy(fill(one.stdout, item.variant.values))):
            return marks.recognised(item, one, marks.name_of(one))
    return marks.wrong()


def _raised(given: str, name: str) -> Mark:
    words = [word.lower() for word in _WORD.findall(given)]
    named = {word for word in words if word == name.lower() or word.endswith(("error", "exception", "interrupt"))}
    if named == {name.lower()} and len(words) <= 6:
        return marks.right()
    if named <= {"error", "exception"} and set(words) & {"error", "exception", "raises", "raised", "crashes"}:
        return marks.graded(0.5, "some-exception", ("It does raise; which exception?",))
    return marks.wrong()


def keys(item: Item) -> Sequence[Response]:
    """Return the print-out or the exception's name."""
    spec = _spec(item)
    return [spec.answer.raises or fill(spec.answer.stdout or "", item.variant.values)]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the recognised wrong print-outs, and accept and reject."""
    spec = _spec(item)
    found = [
        Expected(
            fill(one.stdout, item.variant.values),
            marks.status_of(one.credit),
            one.credit,
            one.misconception,
            ("wrong", n),
        )
        for n, one in enumerate(spec.wrong)
    ]
    lists = listed(spec.accept, spec.reject, item)
    if spec.answer.exact:  # the same numbers printed otherwise are refused with half the points
        lists = [
            Expected(e.response, mark(item, e.response).status, None, None, e.loc)
            if e.loc[0] == "reject" and mark(item, e.response).status is Status.PARTIAL else e
            for e in lists
        ]  # fmt: skip
    return [*found, *lists]


def answer(item: Item) -> str:
    """Return the print-out as code, or the exception."""
    spec = _spec(item)
    if spec.answer.raises:
        return f"It raises {spec.answer.raises}."
    return f"```\n{tidy(fill(spec.answer.stdout or '', item.variant.values))}\n```"


whys = no_whys
lacks = lacks_nothing


def witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Run the program and compare what it prints."""
    spec = _spec(item)
    packages = tuple(dict.fromkeys(["numpy", *spec.requires]))
    try:
        printed = tidy(lab.box.printed(program(item), packages))
    except OracleFailed as failure:
        if spec.answer.raises is not None and f"raised {spec.answer.raises}" in str(failure).replace(
            "it raised", "raised"
        ):
            return
        yield ("code",), "oracle-mismatch", f"running the code: {failure} {told(item)}"
        return
    if spec.answer.raises is not None:
        yield (
            ("answer",),
            "oracle-mismatch",
            f"key {spec.answer.raises} but running the code prints '{printed}' {told(item)}",
        )
        return
    try:
        want = tidy(fill(spec.answer.stdout or "", item.variant.values))
    except ArithmeticProblem as problem:
        yield ("answer", "stdout"), "expression", str(problem)
        return
    if printed != want:
        yield (
            ("answer", "stdout"),
            "oracle-mismatch",
            f"key '{want}' but running the code prints '{printed}' {told(item)}",
        )


def lint(question: Question) -> Iterator[Fault]:
    """Yield a program that is no Python in some variant."""
    for variant in question.variants:
        try:
            compile(program(Item(question, variant)), "question.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            said = error.msg if isinstance(error, SyntaxError) else str(error)
            yield ("code",), "code", f"the code is no Python: {said}"
            return
        except ArithmeticProblem as problem:
            yield ("code",), "expression", str(problem)
            return
