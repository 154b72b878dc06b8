"""A text with blanks: each takes a number, a term or one of several options."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import answers, carrying, marks
from grader.quiz.answers import Misread
from grader.quiz.arithmetic import ArithmeticProblem, number, unknown
from grader.quiz.kinds import Fault
from grader.quiz.lab import CLOSE, Lab, far_apart
from grader.quiz.model import Expected, Item, Mark, Question, Response
from grader.quiz.model import Field as Blank
from grader.quiz.running import CodeBox
from grader.quiz.schema import Expr, Name, OracleSpec, QuestionSpec, Strict, Text, WrongSpec
from grader.quiz.texts import places_of, plain_number
from grader.quiz.types import choice, numeric

KIND = "fields"

LONGEST_TERM = 200
#: whole numbers up to here are facts that one knows, such as the number of gates; larger ones are computed
KNOWN_FACT = 12


class WrongTerm(WrongSpec):
    """A term that tells what went wrong."""

    text: Text


class TermBlank(Strict):
    """A blank for a word or two: the accepted terms, how many slips of the finger, what is never accepted."""

    type: Literal["text"]
    label: Text | None = None
    accept: Annotated[list[Text], Field(min_length=1)]
    reject: list[Text] = Field(default_factory=list)
    typos: Annotated[int, Field(ge=0, le=3)] | None = None
    wrong: list[WrongTerm] = Field(default_factory=list)
    weight: Annotated[float, Field(gt=0, le=10)] = 1.0


class NumberBlank(Strict):
    """A blank for a number, marked as a numeric question is.

    `ecf`, error carried forward, is the answer as it follows from earlier blanks, an expression in their names: who
    is wrong there, and right from there on, loses nothing here.
    """

    type: Literal["numeric"]
    label: Text | None = None
    answer: numeric.Answer
    ecf: Expr | None = None
    wrong: list[numeric.Wrong] = Field(default_factory=list)
    weight: Annotated[float, Field(gt=0, le=10)] = 1.0


class ChoiceBlank(Strict):
    """A blank for one of several options, marked as a choice question is."""

    type: Literal["choice"]
    label: Text | None = None
    options: Annotated[list[choice.Option], Field(min_length=2, max_length=8)]
    shuffle: bool = True
    weight: Annotated[float, Field(gt=0, le=10)] = 1.0


AnyBlank = Annotated[TermBlank | NumberBlank | ChoiceBlank, Field(discriminator="type")]


class Spec(QuestionSpec):
    """The keys of a cloze question. {{name}} in the prompt is the blank of that name."""

    type: Literal["cloze"]
    fields: Annotated[dict[Name, AnyBlank], Field(min_length=1, max_length=12)]
    scoring: Literal["per-field", "all-or-nothing"] = "per-field"
    oracle: OracleSpec | None = None

    @model_validator(mode="after")
    def _every_blank_stands(self) -> Self:
        places = places_of(self.prompt)
        for name in self.fields:
            if places.count(name) != 1:
                said = "stands nowhere" if name not in places else "stands twice"
                raise PydanticCustomError(
                    "field", f"the blank `{name}` {said} in the prompt: write {{{{{name}}}}} once"
                )
            if name in self.params:
                raise PydanticCustomError("field", f"`{name}` is a blank and a parameter")
        return self

    @model_validator(mode="after")
    def _earlier_blanks_are_carried(self) -> Self:
        earlier: set[str] = set()
        # any number stands for a parameter: its value is looked at with the variants
        stand_in = dict.fromkeys(self.params, 1)
        for name, one in self.fields.items():
            if not isinstance(one, NumberBlank):
                continue
            if one.ecf is not None:
                try:
                    carrying.tree(one.ecf, stand_in)
                    used = _blanks_in(one.ecf, self.params)
                except ArithmeticProblem as problem:
                    raise PydanticCustomError("field", "{what}", {"what": f"ecf of `{name}`: {problem}"}) from None
                if not used or used - earlier:
                    known = ", ".join(sorted(earlier)) or "none"
                    said = f"names {', '.join(sorted(used - earlier))}" if used else "names no blank"
                    raise PydanticCustomError(
                        "field", f"ecf of `{name}` {said}; numbers that are asked for before it: {known}"
                    )
            earlier.add(name)
        return self

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts, labels, options and feedback."""
        found = super().texts()
        for name, one in self.fields.items():
            if one.label:
                found.append((("fields", name, "label"), one.label))
            if isinstance(one, ChoiceBlank):
                found += [(("fields", name, *loc), text) for loc, text in choice.option_texts(one.options)]
            else:
                found += [
                    (("fields", name, "wrong", n, "feedback"), wrong.feedback)
                    for n, wrong in enumerate(one.wrong) if wrong.feedback
                ]  # fmt: skip
        return found


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def blanks(item: Item) -> tuple[str, ...]:
    """Return the names of the blanks: in the prompt they stay as {{name}}."""
    return tuple(_spec(item).fields)


def view(item: Item) -> Mapping[str, Any]:
    """Return the blanks in the order of the prompt; there {{name}} stays where the blank belongs."""
    spec = _spec(item)
    fields = []
    for name in places_of(spec.prompt):
        if name not in spec.fields:
            continue
        one = spec.fields[name]
        label = marks.shown(item, one.label) if one.label else name
        if isinstance(one, ChoiceBlank):
            fields.append(Blank(name, label, "option", "", choice.shown_options(item, one.options, one.shuffle)))
        else:
            hint = numeric.rule(one.answer, item.variant.values) if isinstance(one, NumberBlank) else ""
            fields.append(Blank(name, label, "text", hint))
    rule = "Fill in every blank."
    if any(isinstance(one, NumberBlank) and one.ecf is not None for one in spec.fields.values()):
        rule += " What follows from a wrong number of yours counts as right."
    return {"fields": tuple(fields), "rule": rule}


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark a mapping blank -> text or option id; every blank must have one."""
    spec = _spec(item)
    if not isinstance(response, dict):
        if len(spec.fields) > 1:
            raise Misread("Fill in every blank.")
        response = {next(iter(spec.fields)): response}
    if any(name not in spec.fields for name in response):
        raise Misread("There is no such blank.")
    found: dict[str, Mark] = {}
    for name, one in spec.fields.items():
        if name not in response:
            raise Misread(f"{one.label or name}: there is no answer yet.")
        try:
            found[name] = _blank(item, one, response[name])
            if isinstance(one, NumberBlank) and one.ecf is not None and found[name].note not in ("key", "sigfigs"):
                found[name] = _carried(item, name, one.ecf, response) or found[name]
        except Misread as problem:
            raise Misread(f"{one.label or name}: {problem}") from None
    weight = sum(one.weight for one in spec.fields.values())
    total = sum(found[name].score * one.weight for name, one in spec.fields.items()) / weight
    if spec.scoring == "all-or-nothing" and total < 1:
        total = 0.0
    feedback = [said for one in found.values() for said in one.feedback]
    right = sum(one.score == 1 for one in found.values())
    if 0 < right < len(found):
        feedback.append(f"{right} of {len(found)} blanks are right.")
    if len(found) == 1:
        note = next(iter(found.values())).note
    else:
        note = ",".join(f"{name}={one.note}" for name, one in found.items()) if total < 1 else "key"
    held = tuple(belief for one in found.values() for belief in one.misconceptions)
    evidence = {"fields": {name: one.score for name, one in found.items()}}
    return marks.graded(total, note, tuple(feedback), held, evidence)


def _blank(item: Item, one: TermBlank | NumberBlank | ChoiceBlank, given: Response) -> Mark:
    if isinstance(one, NumberBlank):
        return numeric.mark_number(item, given, one.answer, one.wrong)
    if isinstance(one, ChoiceBlank):
        return choice.mark_option(item, given, one.options)
    text = answers.text_of(given, LONGEST_TERM)
    # a recognised wrong term is never taken for a slip of the finger
    for wrong in one.wrong:
        if answers.plain_term(text) == answers.plain_term(wrong.text):
            return marks.recognised(item, wrong, marks.name_of(wrong))
    found = answers.same_term(text, one.accept, [*one.reject, *(wrong.text for wrong in one.wrong)], one.typos)
    if found == "typo":
        return marks.right("typo", f"Understood as “{one.accept[0]}”.")
    return marks.right() if found else marks.wrong()


def _carried(item: Item, name: str, ecf: Expr, response: Mapping[str, Any]) -> Mark | None:
    """Return the mark of a number that follows from those before it, or None where it does not."""
    values, fields = item.variant.values, _numbers(item)
    earlier = sorted(_blanks_in(ecf, values))
    given = {
        other: (
            answers.read_number(response[other], fields[other].answer.unit or "").value,
            number(fields[other].answer.value, values),
        )
        for other in earlier
    }
    follows = carrying.carried(ecf, values, given)
    rule = fields[name].answer
    own = answers.read_number(response[name], rule.unit or "").value
    if follows is None or not answers.near(own, follows, numeric.around(rule), values):
        return None
    said = " and ".join(fields[other].label or other for other in earlier)
    return marks.right("carried", f"{fields[name].label or name}: right, going by what you gave for {said}.")


def _blanks_in(ecf: Expr, values: Collection[str]) -> set[str]:
    return unknown(ecf, values) if isinstance(ecf, str) else set()


def _numbers(item: Item) -> dict[str, NumberBlank]:
    return {name: one for name, one in _spec(item).fields.items() if isinstance(one, NumberBlank)}


def _key(one: TermBlank | NumberBlank | ChoiceBlank, item: Item) -> str:
    if isinstance(one, NumberBlank):
        return numeric.typed(number(one.answer.value, item.variant.values))
    if isinstance(one, ChoiceBlank):
        return next(option.id for option in one.options if option.correct)
    return one.accept[0]


def keys(item: Item) -> Sequence[Response]:
    """Return what belongs in the blanks, once for every accepted term."""
    fields = _spec(item).fields
    first = _first(item)
    others = [
        {**first, name: term} for name, one in fields.items() if isinstance(one, TermBlank) for term in one.accept[1:]
    ]
    return [first, *others]


def _first(item: Item) -> dict[str, str]:
    return {name: _key(one, item) for name, one in _spec(item).fields.items()}


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the key with one blank wrong, for every recognised or rejected answer."""
    spec = _spec(item)
    first = _first(item)
    weight = sum(one.weight for one in spec.fields.values())
    found = []
    for name, one in spec.fields.items():
        wrong: list[tuple[str, float, str | None, tuple[str | int, ...]]]
        if isinstance(one, ChoiceBlank):
            wrong = [
                (o.id, o.credit, o.misconception, ("options", n)) for n, o in enumerate(one.options) if not o.correct
            ]
        elif isinstance(one, NumberBlank):
            wrong = [
                (numeric.typed(number(w.value, item.variant.values)), w.credit, w.misconception, ("wrong", n))
                for n, w in enumerate(one.wrong)
            ]
        else:
            wrong = [(w.text, w.credit, w.misconception, ("wrong", n)) for n, w in enumerate(one.wrong)]
            wrong += [(text, 0.0, None, ("reject", n)) for n, text in enumerate(one.reject)]
        for text, credit, misconception, loc in wrong:
            score = (weight - one.weight + credit * one.weight) / weight
            if spec.scoring == "all-or-nothing" and score < 1:
                score = 0.0
            where = ("fields", name, *loc)
            found.append(Expected({**first, name: text}, marks.status_of(score), score, misconception, where))
            if isinstance(one, NumberBlank) and loc[0] == "wrong":
                carried = _with_followers(item, {**first, name: text})
                if carried != found[-1].response:
                    found.append(Expected(carried, marks.status_of(score), score, misconception, where))
    return found


def _with_followers(item: Item, response: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response with every later number as it follows from those before it."""
    followed, values = dict(response), item.variant.values
    numbers, right = _numbers(item), _first(item)
    for name, one in numbers.items():
        if one.ecf is None:
            continue
        given = {
            other: (Fraction(followed[other]), number(numbers[other].answer.value, values))
            for other in _blanks_in(one.ecf, values)
        }
        if all(followed[other] == right[other] for other in given):
            continue
        follows = carrying.carried(one.ecf, values, given)
        if follows is not None:
            followed[name] = numeric.typed(follows)
    return followed


def answer(item: Item) -> str:
    """Return the prompt with the blanks filled in."""
    spec = _spec(item)
    text = marks.shown(item, spec.prompt, blanks(item))
    for name, one in spec.fields.items():
        if isinstance(one, NumberBlank):
            unit = f" {one.answer.unit}" if one.answer.unit else ""
            shown = plain_number(number(one.answer.value, item.variant.values)) + unit
        elif isinstance(one, ChoiceBlank):
            shown = next(marks.shown(item, option.text) for option in one.options if option.correct)
        else:
            shown = one.accept[0]
        text = text.replace(f"{{{{{name}}}}}", f"**{shown}**")
    return text


def whys(item: Item) -> Mapping[str, str]:
    """Return blank.option -> why."""
    return {
        f"{name}.{option.id}": marks.shown(item, option.why)
        for name, one in _spec(item).fields.items()
        if isinstance(one, ChoiceBlank)
        for option in one.options
        if option.why
    }


def lacks(question: Question) -> str | None:
    """Say what is missing for numbers that are computed to have a witness."""
    spec = question.spec
    assert isinstance(spec, Spec)
    if spec.oracle is not None:
        return None
    for name, one in spec.fields.items():
        if isinstance(one, NumberBlank):
            value = one.answer.value
            if not isinstance(value, int) or not 0 <= value <= KNOWN_FACT:
                return f"the blank `{name}` is computed, and there is no oracle that recomputes it"
    return None


def witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Compare every number with what the oracle computes: blank -> number, or a number for a single blank."""
    spec = _spec(item)
    if spec.oracle is None:
        return
    got = lab.compute(spec.oracle, item)
    numbers = {name: one for name, one in spec.fields.items() if isinstance(one, NumberBlank)}
    told = got if isinstance(got, dict) else {next(iter(numbers), ""): got}
    for name, one in numbers.items():
        key = number(one.answer.value, item.variant.values)
        where = ("fields", name, "answer", "value")
        if name not in told:
            yield where, "oracle-type", f"the oracle {spec.oracle.name} says nothing of the blank `{name}`"
        elif far_apart(told[name], key, spec.oracle.rel or CLOSE):
            said = f"key {key!r} but oracle computes {told[name]!r} {numeric.told(item)}"
            yield where, "oracle-mismatch", said


def lint(question: Question) -> Iterator[Fault]:
    """Yield what is wrong with the blanks."""
    spec = question.spec
    assert isinstance(spec, Spec)
    for name, one in spec.fields.items():
        if isinstance(one, NumberBlank):
            yield from numeric.lint_answer(one.answer, question, ("fields", name, "answer"))
            if one.ecf is not None:
                yield from _lint_carried(name, one, one.ecf, question)
        elif isinstance(one, ChoiceBlank):
            right = [option.id for option in one.options if option.correct]
            if len(right) != 1:
                yield ("fields", name, "options"), "options", "exactly one option is correct"
            yield from choice.lint_options(one.options, question, ("fields", name))
        else:
            for n, term in enumerate(one.reject):
                if answers.plain_term(term) in {answers.plain_term(t) for t in one.accept}:
                    yield ("fields", name, "reject", n), "wrong-is-key", "this term is accepted and rejected"


def _lint_carried(name: str, one: NumberBlank, ecf: Expr, question: Question) -> Iterator[Fault]:
    """Yield a rule for carried errors that does not lead from right numbers to the key."""
    where = ("fields", name, "ecf")
    for variant in question.variants:
        item = Item(question, variant)
        right = {other: number(blank.answer.value, variant.values) for other, blank in _numbers(item).items()}
        try:
            carrying.tree(ecf, variant.values)
        except ArithmeticProblem as problem:
            yield where, "expression", str(problem)
            return
        given = {other: (Fraction(right[other]), right[other]) for other in _blanks_in(ecf, variant.values)}
        follows = carrying.carried(ecf, variant.values, given)
        if follows is None or far_apart(follows, right[name], CLOSE):
            yield (
                where,
                "ecf-misses-key",
                f"from the right numbers before it follows {follows!r}, the key is {right[name]!r}",
            )
            return
