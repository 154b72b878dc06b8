"""How a class is graded, whatever it handed in, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grader.checking.report import Report
from grader.grading.executors.local import Ready
from grader.quiz.returned import Result


@dataclass(frozen=True)
class Run:
    """Submissions graded at the same time, the sandbox (None: the strongest), and what is called on the way.

    `on_start` is told how many there are to grade and how many were graded before.
    """

    jobs: int
    tier: int | None = None
    on_start: Callable[[int, int], None] = lambda todo, skipped: None
    on_ready: Callable[[Ready], None] = lambda ready: None
    on_report: Callable[[Report | Result], None] = lambda report: None
