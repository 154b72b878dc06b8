"""What comes out of grading one submission: the Report and its check results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a check ended. All but PASSED earn nothing; UNGRADED is not the student's doing."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not attempted"
    RAISED = "raised"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    UNGRADED = "ungraded"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    `facts` are plain statements that a student may read ("wrong shape: (3, 4) where (3, 5) is asked");
    `hint` is earned by evidence (see diagnosis). `detail`, `location` and `output` (what the student's code
    printed) are for the instructor only.
    """

    id: str
    part: str
    title: str
    outcome: Outcome
    points: float
    earned: float
    facts: tuple[str, ...] = ()
    hint: str | None = None
    misconception: str | None = None
    mutant: str | None = None
    detail: str = ""
    location: str = ""
    output: str = ""


@dataclass(frozen=True)
class PartResult:
    """What one part earned."""

    id: str
    title: str
    earned: float
    possible: float


@dataclass(frozen=True)
class Diagnosis:
    """Misconceptions that together explain every failing check.

    `hints` holds (mutant id, misconception id, hint, ids of the checks it explains).
    """

    hints: tuple[tuple[str, str, str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Report:
    """The whole result of grading one submission of one assignment.

    `outcome` is "graded", "ungraded" (at least one check is) or "not submitted". `tier` is the sandbox tier
    that ran the code. `seed_id` is the public hash of the seed; `cpu_seconds` is what the student's code
    used; `peak_mb` its peak resident memory. `flags` are for a human to look at (a forbidden name was
    used); they never change a score.
    """

    assignment: str
    student: str
    name: str
    submission: str  # sha256
    checks: tuple[CheckResult, ...]
    parts: tuple[PartResult, ...]
    outcome: str
    earned: float
    possible: float
    tier: int
    seed_id: str
    fingerprint: str
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    set_aside: tuple[str, ...] = ()
    problem: str | None = None
    flags: tuple[str, ...] = ()
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    reason: str | None = None  # why it is ungraded, in a line


def as_dict(report: Report) -> dict[str, object]:
    """Return a report as plain JSON-able data, instructor-only fields included."""
    return asdict(report)


def from_dict(data: Mapping[str, Any]) -> Report:
    """Rebuild a report from `as_dict`."""
    fields = dict(data)
    fields["checks"] = tuple(
        CheckResult(**{**c, "outcome": Outcome(c["outcome"]), "facts": tuple(c["facts"])}) for c in data["checks"]
    )
    fields["parts"] = tuple(PartResult(**p) for p in data["parts"])
    hints = data["diagnosis"]["hints"]
    fields["diagnosis"] = Diagnosis(tuple((m, b, h, tuple(c)) for m, b, h, c in hints))
    fields["set_aside"] = tuple(data["set_aside"])
    fields["flags"] = tuple(data["flags"])
    return Report(**fields)
