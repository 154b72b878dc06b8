"""Any number of several options, with four ways of scoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import marks
from grader.quiz.answers import Misread
from grader.quiz.kinds import Fault, lacks_nothing, no_witness
from grader.quiz.model import Expected, Item, Mark, Question, Response
from grader.quiz.running import CodeBox
from grader.quiz.schema import QuestionSpec
from grader.quiz.types.choice import Option, lint_options, option_texts, shown_options

KIND = "options"

_RULES = {
    "all-or-nothing": "Choose all that hold. Only the whole set earns points.",
    "each-answer": "Choose all that hold. Every option is a decision of its own.",
    "net": "Choose all that hold. A wrong choice takes away what a right one earns.",
    "coverage": "Choose all that hold. What you choose beside them lowers the score.",
}


class Spec(QuestionSpec):
    """The keys of a multi question; `scoring` is explained by the rule that learners see."""

    type: Literal["multi"]
    options: Annotated[list[Option], Field(min_length=2, max_length=12)]
    scoring: Literal["all-or-nothing", "each-answer", "net", "coverage"] = "each-answer"
    shuffle: bool = True

    @model_validator(mode="after")
    def _some_right(self) -> Self:
        if not any(option.correct for option in self.options):
            raise PydanticCustomError("options", "at least one option is correct: here none is")
        return self

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and those of the options."""
        return [*super().texts(), *option_texts(self.options)]


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def view(item: Item) -> Mapping[str, Any]:
    """Return the options and the rule of scoring."""
    spec = _spec(item)
    return {"options": shown_options(item, spec.options, spec.shuffle), "rule": _RULES[spec.scoring]}


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark a list of option ids; an empty list says that none holds, which is not the same as no answer."""
    spec = _spec(item)
    if not isinstance(response, list) or not all(isinstance(one, str) for one in response):
        raise Misread("Choose the options that hold.")
    chosen = {one.strip() for one in response}
    known = {option.id: option for option in spec.options}
    if not chosen:
        raise Misread("Choose at least one option.")
    if not chosen <= known.keys():
        raise Misread("There is no such option.")
    correct = {option.id for option in spec.options if option.correct}
    hits, extra = len(chosen & correct), len(chosen - correct)
    score = {
        "all-or-nothing": float(chosen == correct),
        "each-answer": (hits + len(known) - len(correct) - extra) / len(known),
        "net": (hits - extra) / len(correct),
        "coverage": hits / len(correct) * hits / len(chosen),
    }[spec.scoring]
    # someone who ticks everything, or nothing that holds, has decided nothing
    if spec.scoring == "each-answer" and (not hits or (len(chosen) == len(known) and extra)):
        score = 0.0
    wrongly = [option for option in spec.options if option.id in chosen and not option.correct]
    feedback = [marks.shown(item, option.why) for option in wrongly if option.why]
    missed = len(correct - chosen)
    if missed:
        feedback.append(f"{missed} more {'hold' if missed > 1 else 'holds'}." if hits else "None of these holds.")
    note = "key" if chosen == correct else "chosen:" + "+".join(sorted(chosen))
    held = tuple(option.misconception for option in wrongly if option.misconception)
    return marks.graded(score, note, tuple(feedback), held, {"chosen": sorted(chosen)})


def keys(item: Item) -> Sequence[Response]:
    """Return the ids of the correct options."""
    return [[option.id for option in _spec(item).options if option.correct]]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return, for every wrong option, the key with it chosen besides."""
    spec = _spec(item)
    key = [option.id for option in spec.options if option.correct]
    found = []
    for n, option in enumerate(spec.options):
        if option.correct:
            continue
        response = [*key, option.id]
        got = mark(item, response)
        found.append(Expected(response, got.status, got.score, option.misconception, ("options", n)))
    return found


def answer(item: Item) -> str:
    """Return the texts of the correct options."""
    return "; ".join(marks.shown(item, option.text) for option in _spec(item).options if option.correct)


def whys(item: Item) -> Mapping[str, str]:
    """Return option id -> why."""
    return {option.id: marks.shown(item, option.why) for option in _spec(item).options if option.why}


lacks = lacks_nothing
witness = no_witness


def lint(question: Question) -> Iterator[Fault]:
    """Yield what is wrong with the options."""
    spec = question.spec
    assert isinstance(spec, Spec)
    if all(option.correct for option in spec.options):
        yield ("options",), "options", "every option is correct: choosing all of them needs no thought"
    yield from lint_options(spec.options, question)
