"""Writing a report's file whole or not at all."""

from __future__ import annotations

from pathlib import Path

from grader.course.files import write_whole
from grader.errors import CourseError, GraderError


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that a reader sees the old file or the new one; raise GraderError."""
    try:
        write_whole(path, text.encode("utf-8", "backslashreplace"))
    except CourseError as error:
        # Not the course is at fault here, but the place that was named for the report.
        raise GraderError(
            error.what, where=error.where, advice="Name a folder with room that you may write to."
        ) from error
