"""Where results are kept: every attempt, every report, one transaction each."""

from __future__ import annotations

from grader.gradebook.store import Attempt, Gradebook, Grading

__all__ = ["Attempt", "Gradebook", "Grading"]
