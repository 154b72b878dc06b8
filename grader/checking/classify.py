"""Decide what an exception in a check means: the student's mistake, or ours."""

from __future__ import annotations

from dataclasses import dataclass

from grader.checking.compare import CheckFailed
from grader.checking.report import Outcome
from grader.errors import GraderError
from grader.sandbox.faults import StudentFault, StudentRaised

DETAIL = 4000
GIANT = 1 << 30  # bytes of an array that no suite makes of right answers

_KINDS = {
    "failed": Outcome.FAILED,
    "not attempted": Outcome.NOT_ATTEMPTED,
    "raised": Outcome.RAISED,
    "timed out": Outcome.TIMED_OUT,
    "out of memory": Outcome.OUT_OF_MEMORY,
}


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check, what the student may read, and what the instructor may read besides."""

    outcome: Outcome
    facts: tuple[str, ...] = ()
    detail: str = ""


def classify(error: BaseException | None, *, answered: bool) -> Verdict:
    """Return the verdict on the exception that ended a check.

    `answered` tells whether a value of the student had arrived before. The reference passes every check (that is
    proved by `grader verify`), so a check that breaks after such a value breaks because of it; one that breaks
    before is our mistake and stays ungraded.
    """
    if error is None:
        return Verdict(Outcome.PASSED)
    if isinstance(error, StudentFault):
        detail = error.detail
        if isinstance(error, StudentRaised) and error.type_name:
            detail = f"{error.type_name}: {error.message}"
        return Verdict(_KINDS.get(error.kind, Outcome.FAILED), (error.fact,), detail[:DETAIL])
    if isinstance(error, CheckFailed):
        return Verdict(Outcome.FAILED, (error.fact,), error.detail[:DETAIL])
    if isinstance(error, AssertionError):
        return Verdict(Outcome.FAILED, (), str(error)[:DETAIL])
    words = f"{type(error).__name__}: {error}"[:DETAIL]
    if answered and isinstance(error, MemoryError) and getattr(error, "_total_size", 0) >= GIANT:
        # not the machine: numpy was asked for an array that only a strange answer can have led to
        return Verdict(Outcome.FAILED, ("the check could not work with what was returned",), words)
    ours = isinstance(error, GraderError | MemoryError | OSError) or not isinstance(error, Exception)
    if ours or not answered or type(error).__module__.startswith("_pytest"):
        return Verdict(Outcome.UNGRADED, (), words)
    return Verdict(Outcome.FAILED, ("the check could not work with what was returned",), words)
