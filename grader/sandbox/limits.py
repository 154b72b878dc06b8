"""Count what a submission uses against what it may use."""

from __future__ import annotations

from dataclasses import dataclass, field

from grader.course.assignment import Limits


@dataclass
class Meter:
    """What one submission has used so far, over all its workers.

    Times in seconds, `peak_mb` in MiB. The student's clocks run only while the examiner waits for an answer.
    """

    limits: Limits
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_mb: float = 0.0
    printed: int = 0
    callbacks: int = 0
    callback_seconds: float = 0.0
    workers: int = 0
    endings: list[str] = field(default_factory=list)

    @property
    def exhausted(self) -> str | None:
        """Return which limit on the whole submission is used up, in words, or None."""
        if self.cpu_seconds >= self.limits.cpu_seconds:
            return f"its {self.limits.cpu_seconds:g} CPU seconds"
        if self.wall_seconds >= self.limits.wall_seconds:
            return f"its {self.limits.wall_seconds:g} seconds"
        return None
