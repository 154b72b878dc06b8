"""What is asked: drawing items from a bank, showing them without their key, and the solution afterwards."""

from __future__ import annotations

from collections.abc import Collection

from grader.course.spelling import suggestion
from grader.errors import CourseError
from grader.quiz.kinds import kind_of
from grader.quiz.marks import shown
from grader.quiz.model import Bank, Item, Solution, View
from grader.quiz.parameters import Stream
from grader.quiz.types import cloze


def items(
    bank: Bank, seed: int | str, *, tags: Collection[str] = (), levels: Collection[str] = (), n: int | None = None
) -> tuple[Item, ...]:
    """Return a drawing of a bank: its questions in a random order, each in one variant, the same for the same seed.

    `tags` and `levels` keep questions that have one of each; `n` keeps that many of them.
    """
    chosen = [
        question
        for question in bank.questions
        if (not tags or set(tags) & set(question.tags)) and (not levels or question.level in levels)
    ]
    stream = Stream(f"items\0{bank.id}\0{seed}")
    order = stream.shuffled(list(range(len(chosen))))[: len(chosen) if n is None else n]
    found = []
    for index in order:
        question = chosen[index]
        # a stream of its own, so that a question's variant does not hang on what is asked beside it
        own = Stream(f"item\0{question.name}\0{seed}")
        found.append(Item(question, question.variants[own.below(len(question.variants))], own.below(1 << 31)))
    return tuple(found)


def item_of(bank: Bank, question_id: str, variant: int, shuffle: int = 0) -> Item:
    """Return a recorded item again; raise CourseError where the bank no longer has the question or variant."""
    question = bank.question(question_id)
    if question is None:
        raise CourseError(
            f"the bank {bank.id} has no question `{question_id}`",
            where=bank.path,
            advice=suggestion(question_id, [q.id for q in bank.questions], "questions"),
        )
    found = next((one for one in question.variants if one.number == variant), None)
    if found is None:
        raise CourseError(
            f"the question {question.name} has no variant {variant}",
            where=bank.path,
            advice=f"It has {len(question.variants)}, numbered from 0.",
        )
    return Item(question, found, shuffle)


def view(item: Item) -> View:
    """Return what a learner may see of an item: never its key."""
    question, kind = item.question, kind_of(item)
    keep = cloze.blanks(item) if question.type == "cloze" else ()
    return View(
        bank=question.bank,
        question=question.id,
        rev=question.rev,
        variant=item.variant.number,
        type=question.type,
        kind=kind.KIND,
        prompt=shown(item, question.prompt, keep),
        hint_costs=tuple(hint.cost for hint in question.hints),
        confidence=question.confidence,
        minutes=question.minutes,
        tags=question.tags,
        level=question.level,
        difficulty=question.difficulty,
        **kind.view(item),
    )


def hint(item: Item, number: int) -> str:
    """Return the text of an item's hint, counted from 0; raise CourseError where there is none of that number."""
    hints = item.question.hints
    if not 0 <= number < len(hints):
        raise CourseError(f"{item.question.name} has no hint {number + 1}", advice=f"It has {len(hints)}.")
    return shown(item, hints[number].text)


def solution(item: Item) -> Solution:
    """Return what is shown once an item is done."""
    kind = kind_of(item)
    return Solution(
        answer=kind.answer(item),
        explain=shown(item, item.question.explain),
        whys=dict(kind.whys(item)),
        response=kind.keys(item)[0],
    )
