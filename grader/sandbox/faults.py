"""What can go wrong on the student's side of a call, as exceptions that end the running check."""

from __future__ import annotations


class StudentFault(Exception):
    """The student's code did something that fails the running check.

    `kind` is an outcome of a check ("failed", "not attempted", "raised", "timed out", "out of memory"); `fact`
    is a plain statement that the student may read; `detail` is for the instructor only.
    """

    def __init__(self, kind: str, fact: str, detail: str = "") -> None:
        self.kind = kind
        self.fact = fact
        self.detail = detail
        super().__init__(fact)


class StudentRaised(StudentFault):
    """The student's function raised; `type_name` is the exception's class name, `message` its cut text."""

    def __init__(self, kind: str, fact: str, *, type_name: str, message: str, line: int, label: str) -> None:
        super().__init__(kind, fact, message)
        self.type_name = type_name
        self.message = message
        self.line = line
        self.label = label


class WorkerEnded(StudentFault):
    """The worker is gone (it exited, crashed, broke the protocol or was stopped); the next call gets a new one."""
