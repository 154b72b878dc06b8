"""What is wrong with a bank, and where: a line for each finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.errors import CourseError

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong (error) or doubtful (warning) at a place of a file; `code` is a stable word."""

    path: Path
    line: int
    column: int
    severity: str
    code: str
    message: str

    def __str__(self) -> str:
        message = " ".join(self.message.split())
        return f"{self.path}:{self.line}:{self.column}: {self.severity}[{self.code}] {message}"

    def as_dict(self) -> dict[str, object]:
        """Return the finding as JSON data."""
        return {
            "path": str(self.path),
            "line": self.line,
            "column": self.column,
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
        }


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are errors."""
    return [finding for finding in findings if finding.severity == ERROR]


def as_error(findings: list[Finding], advice: str) -> CourseError:
    """Return one CourseError for a list of findings: the first in full, the others counted."""
    first, more = findings[0], len(findings) - 1
    what = f"{first.message} [{first.code}]" + (f", and {more} more" if more else "")
    return CourseError(what, where=f"{first.path}:{first.line}:{first.column}", advice=advice)
