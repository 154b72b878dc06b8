"""Pairs to be found: what stands on the left belongs to something on the right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from grader.quiz import marks
from grader.quiz.answers import Misread
from grader.quiz.kinds import Fault, lacks_nothing, no_whys, no_witness
from grader.quiz.model import Choice, Expected, Item, Mark, Question, Response
from grader.quiz.parameters import Stream
from grader.quiz.running import CodeBox
from grader.quiz.schema import QuestionSpec, Text, WrongSpec
from grader.quiz.types.choice import shuffled

KIND = "match"


def _pair(value: Any) -> list[str]:
    if (
        not isinstance(value, list)
        or len(value) not in (2, 3)
        or not all(isinstance(one, str) and one.strip() for one in value)
    ):
        raise PydanticCustomError("pair", "a pair is [left, right], or [id, left, right]")
    return value


Pair = Annotated[list[str], PlainValidator(_pair, json_schema_input_type=list[str])]


class Wrong(WrongSpec):
    """A pairing that tells what went wrong; both are texts of the question."""

    left: Text
    right: Text


class Spec(QuestionSpec):
    """The keys of a match question. Two lefts may share a right; `extra` are rights that nothing belongs to."""

    type: Literal["match"]
    pairs: Annotated[list[Pair], Field(min_length=2, max_length=12)]
    extra: list[Text] = Field(default_factory=list, max_length=6)
    wrong: list[Wrong] = Field(default_factory=list)
    scoring: Literal["per-pair", "all-or-nothing"] = "per-pair"

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and both sides."""
        own: list[tuple[tuple[str | int, ...], str]] = []
        for n, pair in enumerate(self.pairs):
            own += [(("pairs", n, k), text) for k, text in enumerate(pair) if len(pair) == 2 or k]
        return [*super().texts(), *own, *((("extra", n), text) for n, text in enumerate(self.extra))]


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24] or "x"


def left_of(pair: Sequence[str]) -> tuple[str, str, str]:
    """Return (id, left text, right text) of a pair."""
    return (pair[0], pair[1], pair[2]) if len(pair) == 3 else (_slug(pair[0]), pair[0], pair[1])


def rights_of(spec: Spec, name: str) -> dict[str, str]:
    """Return right text -> its id, which tells nothing about the pairing."""
    texts = list(dict.fromkeys([*(left_of(pair)[2] for pair in spec.pairs), *spec.extra]))
    ranked = sorted(texts, key=lambda text: hashlib.sha256(f"{name}\0{text}".encode()).hexdigest())
    return {text: f"r{n}" for n, text in enumerate(ranked, 1)}


def view(item: Item) -> Mapping[str, Any]:
    """Return both sides, each in an order of its own."""
    spec = _spec(item)
    rights = rights_of(spec, item.question.name)
    listed = sorted(rights.items(), key=lambda one: int(one[1][1:]))
    mixed = Stream(f"rights\0{item.name}\0{item.shuffle}").shuffled(list(range(len(listed))))
    left = shuffled(item, len(spec.pairs), "lefts")
    more = " A right side may be used more than once, or not at all." if len(rights) != len(spec.pairs) else ""
    return {
        "left": tuple(Choice(left_of(spec.pairs[n])[0], marks.shown(item, left_of(spec.pairs[n])[1])) for n in left),
        "options": tuple(Choice(listed[n][1], marks.shown(item, listed[n][0])) for n in mixed),
        "rule": f"Find what belongs together.{more}",
    }


def _key(item: Item) -> dict[str, str]:
    spec = _spec(item)
    rights = rights_of(spec, item.question.name)
    return {left_of(pair)[0]: rights[left_of(pair)[2]] for pair in spec.pairs}


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark a mapping left id -> right id; every left must have one."""
    spec = _spec(item)
    key = _key(item)
    rights = rights_of(spec, item.question.name)
    if not isinstance(response, dict) or not all(isinstance(one, str) for one in response.values()):
        raise Misread("Give every left side something on the right.")
    if any(left not in key for left in response) or any(one not in rights.values() for one in response.values()):
        raise Misread("There is no such side.")
    if len(response) < len(key):
        raise Misread("Give every left side something on the right.")
    hits = sum(response[left] == right for left, right in key.items())
    score = hits / len(key) if spec.scoring == "per-pair" else float(hits == len(key))
    feedback: list[str] = []
    held: list[str] = []
    lefts = {left_of(pair)[1]: left_of(pair)[0] for pair in spec.pairs}
    for one in spec.wrong:
        if response.get(lefts.get(one.left, "")) == rights.get(one.right, "-"):
            feedback += [marks.shown(item, one.feedback)] if one.feedback else []
            held += [one.misconception] if one.misconception else []
    if 0 < hits < len(key):
        feedback.append(f"{hits} of {len(key)} pairs are right.")
    missed = "+".join(sorted(left for left in key if response[left] != key[left]))
    return marks.graded(
        score, "key" if hits == len(key) else f"missed:{missed}", tuple(feedback), tuple(held), {"pairs": response}
    )


def keys(item: Item) -> Sequence[Response]:
    """Return the pairing."""
    return [_key(item)]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the key with each recognised wrong pairing, and everything moved on by one."""
    spec = _spec(item)
    key = _key(item)
    rights = rights_of(spec, item.question.name)
    lefts = {left_of(pair)[1]: left_of(pair)[0] for pair in spec.pairs}
    found = []
    for n, one in enumerate(spec.wrong):
        if one.left in lefts and one.right in rights:
            response = {**key, lefts[one.left]: rights[one.right]}
            got = mark(item, response)
            found.append(Expected(response, got.status, got.score, one.misconception, ("wrong", n)))
    turned = dict(zip(key, [*list(key.values())[1:], next(iter(key.values()))], strict=True))
    got = mark(item, turned)
    return [*found, *([Expected(turned, got.status, got.score)] if got.score < 1 else [])]


def answer(item: Item) -> str:
    """Return the pairs, a line each."""
    pairs = [left_of(pair) for pair in _spec(item).pairs]
    return "\n".join(f"- {marks.shown(item, left)} — {marks.shown(item, right)}" for _, left, right in pairs)


whys = no_whys
lacks = lacks_nothing
witness = no_witness


def lint(question: Question) -> Iterator[Fault]:
    """Yield lefts that stand twice, and wrong pairings of what is not there or is right."""
    spec = question.spec
    assert isinstance(spec, Spec)
    seen: set[str] = set()
    for n, pair in enumerate(spec.pairs):
        name = left_of(pair)[0]
        if name in seen:
            yield ("pairs", n), "duplicate-id", f"two left sides have the id '{name}': write [id, left, right]"
        seen.add(name)
    pairs = {left_of(pair)[1]: left_of(pair)[2] for pair in spec.pairs}
    rights = [*pairs.values(), *spec.extra]
    for n, one in enumerate(spec.extra):
        if one in pairs.values():
            yield ("extra", n), "equal-options", "this stands on the right already"
    for n, wrong in enumerate(spec.wrong):
        if wrong.left not in pairs:
            yield ("wrong", n, "left"), "match", "nothing on the left says this"
        elif wrong.right not in rights:
            yield ("wrong", n, "right"), "match", "nothing on the right says this"
        elif pairs[wrong.left] == wrong.right:
            yield ("wrong", n), "wrong-is-key", "this pairing is the right one"
