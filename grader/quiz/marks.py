"""Building marks: the few ways in which a response can be judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grader.quiz.model import Item, Mark, Status
from grader.quiz.schema import WrongSpec
from grader.quiz.texts import expand, fill

SMALL = 1e-9

#: notes of undecided marks that are this machine's doing: code that could not be run; no learner pays for it
OURS = frozenset({"no-box", "ungraded"})


def shown(item: Item, text: str, keep: tuple[str, ...] = ()) -> str:
    """Return an author's text as the learner of this item sees it: parameters filled in, macros written out."""
    return expand(fill(text, item.variant.values, keep), item.question.macros)


def right(note: str = "key", *feedback: str, evidence: Mapping[str, Any] | None = None) -> Mark:
    """Return full marks."""
    return Mark(Status.RIGHT, 1.0, note, feedback, (), evidence or {})


def wrong(note: str = "other", *feedback: str, evidence: Mapping[str, Any] | None = None) -> Mark:
    """Return no marks."""
    return Mark(Status.WRONG, 0.0, note, feedback, (), evidence or {})


def invalid(note: str, *feedback: str) -> Mark:
    """Return what costs nothing and is asked again."""
    return Mark(Status.INVALID, 0.0, note, feedback)


def undecided(note: str, *feedback: str, evidence: Mapping[str, Any] | None = None) -> Mark:
    """Return what waits for a person."""
    return Mark(Status.UNDECIDED, 0.0, note, feedback, (), evidence or {})


def status_of(score: float) -> Status:
    """Return right, partial or wrong for a score in 0..1."""
    if score >= 1.0 - SMALL:
        return Status.RIGHT
    return Status.PARTIAL if score > SMALL else Status.WRONG


def graded(
    score: float,
    note: str,
    feedback: tuple[str, ...] = (),
    misconceptions: tuple[str, ...] = (),
    evidence: Mapping[str, Any] | None = None,
) -> Mark:
    """Return a mark with the status that its score means; scores outside 0..1 are cut."""
    score = min(max(score, 0.0), 1.0)
    status = status_of(score)
    score = {Status.RIGHT: 1.0, Status.WRONG: 0.0}.get(status, round(score, 6))
    return Mark(status, score, note, feedback, tuple(dict.fromkeys(misconceptions)), evidence or {})


def recognised(item: Item, one: WrongSpec, note: str, evidence: Mapping[str, Any] | None = None) -> Mark:
    """Return the mark of a recognised wrong answer: its credit, feedback and misconception."""
    feedback = (shown(item, one.feedback),) if one.feedback else ()
    held = (one.misconception,) if one.misconception else ()
    return graded(one.credit, note, feedback, held, evidence)


def name_of(one: WrongSpec) -> str:
    """Return the stable note of a recognised wrong answer: by its misconception, else by the answer itself."""
    own = next((getattr(one, key) for key in ("value", "expr", "text", "stdout") if hasattr(one, key)), "")
    return f"wrong:{one.misconception or ' '.join(str(own).split())[:40]}"
