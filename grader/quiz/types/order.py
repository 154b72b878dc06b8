"""Blocks to be put in order: a line or a partial order, with blocks that do not belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import marks
from grader.quiz.answers import Misread
from grader.quiz.kinds import Fault, lacks_nothing, no_witness
from grader.quiz.model import Choice, Expected, Item, Mark, Question, Response
from grader.quiz.running import CodeBox
from grader.quiz.schema import MisconceptionId, QuestionSpec, Strict, Text, Word
from grader.quiz.types.choice import shuffled

KIND = "order"

MOST = 14  # blocks: the longest part in a right order is searched for exactly


class Block(Strict):
    """A block; `after` names blocks that must come before it. A distractor belongs nowhere, and says why."""

    id: Word
    text: Text
    after: list[Word] | None = None
    distractor: bool = False
    pairs: Word | None = None
    why: Text | None = None
    misconception: MisconceptionId | None = None


class Spec(QuestionSpec):
    """The keys of an order question. Where no block says `after`, the order of the file is the only one."""

    type: Literal["order"]
    blocks: Annotated[list[Block], Field(min_length=2, max_length=MOST)]
    scoring: Literal["longest", "all-or-nothing"] = "longest"
    code: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        ids = [block.id for block in self.blocks]
        kept = [block.id for block in self.blocks if not block.distractor]
        if len(set(ids)) < len(ids):
            twice = next(one for one in ids if ids.count(one) > 1)
            raise PydanticCustomError("duplicate-id", f"block id '{twice}' is used twice")
        if len(kept) < 2:
            raise PydanticCustomError("blocks", "at least two blocks must belong")
        for block in self.blocks:
            for other in [*(block.after or ()), *([block.pairs] if block.pairs else [])]:
                if other not in kept:
                    raise PydanticCustomError(
                        "blocks", f"block '{block.id}' names '{other}', which is no block that belongs"
                    )
            if block.distractor and block.after:
                raise PydanticCustomError("blocks", f"block '{block.id}' belongs nowhere, so `after` means nothing")
        if closure(self) is None:
            raise PydanticCustomError("blocks", "the `after` of the blocks go round in a circle")
        return self

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and those of the blocks."""
        own = [
            (("blocks", n, key), text)
            for n, block in enumerate(self.blocks)
            for key, text in (("text", block.text), ("why", block.why))
            if text
        ]
        return [*super().texts(), *own]


def closure(spec: Spec) -> dict[str, set[str]] | None:
    """Return block -> all that must come before it; None where that is a circle."""
    kept = [block for block in spec.blocks if not block.distractor]
    if all(block.after is None for block in kept):
        return {block.id: {other.id for other in kept[:n]} for n, block in enumerate(kept)}
    before = {block.id: set(block.after or ()) for block in kept}
    for middle in before:
        for one in before.values():
            if middle in one:
                one |= before[middle]
    return None if any(name in one for name, one in before.items()) else before


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def view(item: Item) -> Mapping[str, Any]:
    """Return the blocks in an order that is not a right one."""
    spec = _spec(item)
    for salt in range(20):
        order = shuffled(item, len(spec.blocks), f"blocks{salt}")
        if mark(item, [spec.blocks[n].id for n in order if not spec.blocks[n].distractor]).score < 1:
            break
    blocks = tuple(Choice(spec.blocks[n].id, marks.shown(item, spec.blocks[n].text)) for n in order)
    extra = sum(block.distractor for block in spec.blocks)
    some = f" {extra} of them {'do' if extra > 1 else 'does'} not belong: leave them out." if extra else ""
    return {"options": blocks, "rule": f"Put the blocks in order.{some}"}


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark a list of block ids: the most of them that stand in a right order, less those that do not belong."""
    spec = _spec(item)
    known = {block.id: block for block in spec.blocks}
    if not isinstance(response, list) or not all(isinstance(one, str) for one in response) or not response:
        raise Misread("Put the blocks in order.")
    given = [one.strip() for one in response]
    if any(one not in known for one in given):
        raise Misread("There is no such block.")
    if len(set(given)) < len(given):
        raise Misread("Every block is used once at most.")
    before = closure(spec)
    assert before is not None
    own = [one for one in given if one in before]
    strange = [known[one] for one in given if known[one].distractor]
    longest = _longest(own, before)
    score = max(longest - len(strange), 0) / len(before)
    if spec.scoring == "all-or-nothing" and score < 1:
        score = 0.0
    feedback = [marks.shown(item, block.why) for block in strange if block.why]
    missing = len(before) - len(own)
    if missing and longest == len(own) and not strange:
        feedback.append(
            f"What is there stands in a right order, but {missing} more {'belong' if missing > 1 else 'belongs'} to it."
        )
    elif longest < len(own):
        feedback.append(f"{longest} of your {len(own)} blocks stand in a right order.")
    note = "key" if score == 1 else f"order:{longest}/{len(before)}" + (f"+{len(strange)}" if strange else "")
    held = tuple(block.misconception for block in strange if block.misconception)
    return marks.graded(score, note, tuple(feedback), held, {"order": given})


def _longest(given: Sequence[str], before: Mapping[str, set[str]]) -> int:
    """Return the size of the largest part of `given` in which nothing stands before what must precede it.

    Such a part can be completed to a right order of all blocks, so it is what need not be moved.
    """
    clashes = [
        sum(1 << j for j, later in enumerate(given) if j > i and later in before[one]) for i, one in enumerate(given)
    ]
    best = 0
    for chosen in range(1 << len(given)):
        if chosen.bit_count() > best and not any(chosen >> i & 1 and chosen & clashes[i] for i in range(len(given))):
            best = chosen.bit_count()
    return best


def _one_order(spec: Spec) -> list[str]:
    before = closure(spec)
    assert before is not None
    placed: list[str] = []
    while len(placed) < len(before):
        placed.append(
            next(b.id for b in spec.blocks if b.id in before and b.id not in placed and before[b.id] <= set(placed))
        )
    return placed


def keys(item: Item) -> Sequence[Response]:
    """Return a right order, and for a partial order another one where there is one."""
    spec = _spec(item)
    first = _one_order(spec)
    before = closure(spec)
    assert before is not None
    for n in range(len(first) - 1):
        if first[n] not in before[first[n + 1]]:
            return [first, [*first[:n], first[n + 1], first[n], *first[n + 2 :]]]
    return [first]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the key with each distractor in the place of its pair (or at the end), and the key backwards."""
    spec = _spec(item)
    first = _one_order(spec)
    found = []
    for n, block in enumerate(spec.blocks):
        if block.distractor:
            response = [block.id if one == block.pairs else one for one in first]
            response += [] if block.pairs else [block.id]
            got = mark(item, response)
            found.append(Expected(response, got.status, got.score, block.misconception, ("blocks", n)))
    backwards = first[::-1]
    got = mark(item, backwards)
    return [*found, Expected(backwards, got.status, got.score)]


def answer(item: Item) -> str:
    """Return the blocks in a right order, a line each."""
    spec = _spec(item)
    texts = {block.id: marks.shown(item, block.text) for block in spec.blocks}
    lines = [texts[one] for one in _one_order(spec)]
    return "```\n" + "\n".join(lines) + "\n```" if spec.code else "\n".join(f"{n}. {t}" for n, t in enumerate(lines, 1))


def whys(item: Item) -> Mapping[str, str]:
    """Return block id -> why."""
    return {block.id: marks.shown(item, block.why) for block in _spec(item).blocks if block.why}


lacks = lacks_nothing
witness = no_witness


def lint(question: Question) -> Iterator[Fault]:
    """Yield distractors that say no why, and a key that its own marking refuses."""
    spec = question.spec
    assert isinstance(spec, Spec)
    for n, block in enumerate(spec.blocks):
        if block.distractor and block.why is None:
            yield ("blocks", n), "no-why", f"block '{block.id}' does not belong but does not say why"
    texts = [" ".join(block.text.split()) for block in spec.blocks]
    for n, text in enumerate(texts):
        if text in texts[:n]:
            yield ("blocks", n, "text"), "equal-options", "two blocks say the same"
