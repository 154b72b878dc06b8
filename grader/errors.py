"""Every error that reaches a user, as a tree.

GraderError
├── CourseError        the course itself is wrong or missing something: an author must act
├── SubmissionError    a submission or a path to submissions cannot be read: the instructor must act
├── SandboxError       the sandbox could not be started or broke: the machine's fault, never a student's
├── GradebookError     the gradebook cannot be opened or written
└── QuizError          a sitting cannot go on as asked: it has ended, or no tries are left

A message is one line: what, where, what to do next. `str(error)` is printed as it is.
"""

from __future__ import annotations

from pathlib import Path


class GraderError(Exception):
    """An error that is told to the user in one line and is no bug.

    `what` says what is wrong, `where` names the file (and line) or the thing, `advice` the next step.
    """

    def __init__(self, what: str, *, where: str | Path | None = None, advice: str | None = None) -> None:
        self.what = what
        self.where = str(where) if where is not None else None
        self.advice = advice
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.advice:
            text = f"{text.rstrip('.')}. {self.advice}"
        return " ".join(text.split())


class CourseError(GraderError):
    """The course is not as it should be."""


class SubmissionError(GraderError):
    """A path holds no readable submission."""


class SandboxError(GraderError):
    """The sandbox failed; what was being graded stays ungraded."""


class GradebookError(GraderError):
    """The gradebook cannot be read or written."""


class QuizError(GraderError):
    """A sitting of a quiz cannot go on as asked."""
