"""A text that people judge by a rubric: the learner, a peer or the instructor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from grader.quiz import answers, marks
from grader.quiz.answers import Misread
from grader.quiz.kinds import Fault, lacks_nothing, no_whys, no_witness
from grader.quiz.model import Expected, Item, Mark, Question, Response, Status
from grader.quiz.running import CodeBox
from grader.quiz.schema import QuestionSpec, Strict, Text, Word

KIND = "essay"

LONGEST = 20_000


class Point(Strict):
    """Something that a good answer says."""

    id: Word
    points: Annotated[float, Field(gt=0, le=100)]
    text: Text


class Spec(QuestionSpec):
    """The keys of a free question: what earns points, and an answer that earns all of them."""

    type: Literal["free"]
    rubric: Annotated[list[Point], Field(min_length=1, max_length=12)]
    model: Text
    grading: Literal["self", "peer", "instructor"] = "self"
    words: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts, the model answer and the rubric."""
        own = [(("rubric", n, "text"), point.text) for n, point in enumerate(self.rubric)]
        return [*super().texts(), (("model",), self.model), *own]


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def view(item: Item) -> Mapping[str, Any]:
    """Return how it will be judged."""
    spec = _spec(item)
    who = {
        "self": "You judge your answer yourself, by the model answer and the rubric shown afterwards.",
        "peer": "Another learner judges your answer by a rubric.",
        "instructor": "An instructor judges your answer by a rubric.",
    }[spec.grading]
    size = f" Write {spec.words[0]} to {spec.words[1]} words." if spec.words else ""
    return {"rule": who + size}


def rubric(item: Item) -> list[dict[str, Any]]:
    """Return the rubric as JSON data (id, points, text), to be shown once the answer is written."""
    return [{"id": p.id, "points": p.points, "text": marks.shown(item, p.text)} for p in _spec(item).rubric]


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Take a text as undecided, or {"text": ..., "points": {rubric id: points}} from someone who has judged it."""
    spec = _spec(item)
    given = response if isinstance(response, dict) else {"text": response}
    text = answers.text_of(given.get("text"), LONGEST)
    if spec.words and not isinstance(response, dict):
        count = len(text.split())
        if count > 2 * spec.words[1]:
            raise Misread(f"This has {count} words; at most {spec.words[1]} are asked for.")
    if "points" not in given:
        return marks.undecided("to-judge")
    earned = given["points"]
    known = {point.id: point.points for point in spec.rubric}
    if not isinstance(earned, dict) or not earned.keys() <= known.keys():
        raise Misread("Judge the answer by the points of the rubric.")
    total = 0.0
    for name, points in earned.items():
        if isinstance(points, bool):
            points = known[name] if points else 0
        if not isinstance(points, int | float) or not 0 <= points <= known[name]:
            raise Misread(f"`{name}` is worth from 0 to {known[name]:g} points.")
        total += points
    missed = sorted(name for name in known if not earned.get(name))
    note = "judged" if not missed else f"missed:{'+'.join(missed)}"
    return marks.graded(total / sum(known.values()), note, (), (), {"points": earned, "by": spec.grading})


def keys(item: Item) -> Sequence[Response]:
    """Return the model answer with all points."""
    spec = _spec(item)
    return [{"text": marks.shown(item, spec.model), "points": {point.id: point.points for point in spec.rubric}}]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return a judged answer without points, and one that nobody has judged."""
    nothing = {point.id: 0 for point in _spec(item).rubric}
    return [
        Expected({"text": "something else", "points": nothing}, Status.WRONG, 0.0),
        Expected("something else", Status.UNDECIDED, 0.0),
    ]


def answer(item: Item) -> str:
    """Return the model answer and the rubric."""
    points = "\n".join(f"- {point['text']} ({point['points']:g})" for point in rubric(item))
    return f"{marks.shown(item, _spec(item).model)}\n\n{points}"


whys = no_whys
lacks = lacks_nothing
witness = no_witness


def lint(question: Question) -> Iterator[Fault]:
    """Yield rubric ids that stand twice, and sizes that go the wrong way."""
    spec = question.spec
    assert isinstance(spec, Spec)
    ids = [point.id for point in spec.rubric]
    for n, one in enumerate(ids):
        if one in ids[:n]:
            yield ("rubric", n, "id"), "duplicate-id", f"rubric id '{one}' already used"
    if spec.words and spec.words[0] > spec.words[1]:
        yield ("words",), "words", "the smaller number of words comes first"
