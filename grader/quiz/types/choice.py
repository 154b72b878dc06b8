"""One of several options; every wrong one says why it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import marks
from grader.quiz.answers import Misread
from grader.quiz.kinds import Fault, lacks_nothing, no_witness
from grader.quiz.model import Choice, Expected, Item, Mark, Question, Response
from grader.quiz.parameters import Stream
from grader.quiz.running import CodeBox
from grader.quiz.schema import Fraction, MisconceptionId, QuestionSpec, Strict, Text, Word

KIND = "option"


class Option(Strict):
    """Something to choose; `why` is told to who chose it wrongly, and to everybody afterwards."""

    id: Word
    text: Text
    correct: bool = False
    why: Text | None = None
    misconception: MisconceptionId | None = None
    credit: Fraction = 0.0


class Spec(QuestionSpec):
    """The keys of a choice question. `shuffle: false` keeps the options in the order of the file."""

    type: Literal["choice"]
    options: Annotated[list[Option], Field(min_length=2, max_length=12)]
    shuffle: bool = True

    @model_validator(mode="after")
    def _one_right(self) -> Self:
        right = [option.id for option in self.options if option.correct]
        if len(right) != 1:
            said = f"{' and '.join(right)} are" if right else "none is"
            raise PydanticCustomError("options", f"exactly one option is correct: here {said}")
        return self

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and those of the options."""
        return [*super().texts(), *option_texts(self.options)]


def option_texts(options: Sequence[Option]) -> list[tuple[tuple[str | int, ...], str]]:
    """Return (place, text) of what options say."""
    return [
        (("options", n, key), text)
        for n, option in enumerate(options)
        for key, text in (("text", option.text), ("why", option.why))
        if text
    ]


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def shuffled(item: Item, count: int, salt: str = "options") -> list[int]:
    """Return 0..count-1 in the order in which this item shows them."""
    return Stream(f"{salt}\0{item.question.name}\0{item.variant.number}\0{item.shuffle}").shuffled(list(range(count)))


def shown_options(item: Item, options: Sequence[Option], mixed: bool) -> tuple[Choice, ...]:
    """Return the options as they are shown."""
    order = shuffled(item, len(options)) if mixed else range(len(options))
    return tuple(Choice(options[n].id, marks.shown(item, options[n].text)) for n in order)


def view(item: Item) -> Mapping[str, Any]:
    """Return the options."""
    spec = _spec(item)
    return {"options": shown_options(item, spec.options, spec.shuffle), "rule": "Choose one."}


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark the id of an option."""
    return mark_option(item, response, _spec(item).options)


def mark_option(item: Item, response: Response, options: Sequence[Option]) -> Mark:
    """Mark the id of one of these options; raise Misread."""
    if not isinstance(response, str) or not response.strip():
        raise Misread("Choose one of the options.")
    chosen = next((option for option in options if option.id == response.strip()), None)
    if chosen is None:
        raise Misread("There is no such option.")
    feedback = (marks.shown(item, chosen.why),) if chosen.why else ()
    if chosen.correct:
        return marks.right("key", *feedback, evidence={"option": chosen.id})
    held = (chosen.misconception,) if chosen.misconception else ()
    return marks.graded(chosen.credit, f"option:{chosen.id}", feedback, held, {"option": chosen.id})


def keys(item: Item) -> Sequence[Response]:
    """Return the correct option's id."""
    return [option.id for option in _spec(item).options if option.correct]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return every wrong option."""
    return [
        Expected(option.id, marks.status_of(option.credit), option.credit, option.misconception, ("options", n))
        for n, option in enumerate(_spec(item).options)
        if not option.correct
    ]


def answer(item: Item) -> str:
    """Return the text of the correct option."""
    return next(marks.shown(item, option.text) for option in _spec(item).options if option.correct)


def whys(item: Item) -> Mapping[str, str]:
    """Return option id -> why."""
    return {option.id: marks.shown(item, option.why) for option in _spec(item).options if option.why}


lacks = lacks_nothing
witness = no_witness


def lint(question: Question) -> Iterator[Fault]:
    """Yield what is wrong with the options."""
    spec = question.spec
    assert isinstance(spec, Spec)
    yield from lint_options(spec.options, question)


def lint_options(options: Sequence[Option], question: Question, loc: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """Yield ids that stand twice, wrong options without `why`, equal texts, and texts that lean on the others."""
    seen: dict[str, int] = {}
    for n, option in enumerate(options):
        if option.id in seen:
            yield (*loc, "options", n, "id"), "duplicate-id", f"option id '{option.id}' already used"
        seen[option.id] = n
        if not option.correct and option.why is None:
            yield (*loc, "options", n), "no-why", f"option '{option.id}' is wrong but does not say why"
        if option.correct and (option.credit or option.misconception):
            yield (
                (*loc, "options", n),
                "options",
                f"option '{option.id}' is correct: credit and misconception mean nothing",
            )
        plain = " ".join(option.text.lower().split())
        if any(
            phrase in plain for phrase in ("all of the above", "none of the above", "all of these", "none of these")
        ):
            yield (
                (*loc, "options", n, "text"),
                "above",
                "options are shuffled: `all` or `none of the above` has no meaning",
            )
    for variant in question.variants:
        item = Item(question, variant)
        texts: dict[str, int] = {}
        for n, option in enumerate(options):
            plain = " ".join(marks.shown(item, option.text).lower().split())
            number = _as_number(plain)
            if (known := texts.setdefault(number or plain, n)) != n:
                yield (
                    (*loc, "options", n, "text"), "equal-options",
                    f"options '{options[known].id}' and '{option.id}' say the same in variant {variant.number}",
                )  # fmt: skip
                return


def _as_number(text: str) -> str | None:
    from grader.quiz.answers import read_number

    try:
        return f"number {read_number(text).value}"
    except Misread:
        return None
