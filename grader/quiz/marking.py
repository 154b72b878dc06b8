"""Marking: a response of any form becomes a Mark; what cannot be read is asked again and costs nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grader.quiz import marks
from grader.quiz.answers import Misread
from grader.quiz.arithmetic import ArithmeticProblem
from grader.quiz.kinds import kind_of
from grader.quiz.mathematics.tree import Unreadable
from grader.quiz.model import Item, Mark, Response, Status

if TYPE_CHECKING:
    from grader.quiz.running import CodeBox


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Return the mark of a response, whatever JSON it is; `box` runs code questions.

    A key that cannot be computed is our mistake: the response is undecided, and its evidence says why.
    """
    try:
        if response is None:
            raise Misread("There is no answer yet.")
        return kind_of(item).mark(item, response, box)
    except Misread as problem:
        return marks.invalid("invalid", str(problem))
    except (ArithmeticProblem, Unreadable) as problem:
        return marks.undecided(
            "broken", "This question is broken; it will be marked later.", evidence={"problem": str(problem)}
        )


def with_hints(given: Mark, item: Item, used: int) -> Mark:
    """Return a mark less the cost of the first `used` hints; it never falls below 0, and an invalid one stays free."""
    cost = sum(hint.cost for hint in item.question.hints[: max(used, 0)])
    if not cost or given.status not in (Status.RIGHT, Status.PARTIAL):
        return given
    score = round(max(given.score - cost, 0.0), 6)
    # right with a hint is still right: what was answered and what it is worth are two things
    return replace(given, score=score, evidence={**given.evidence, "hints": used})
