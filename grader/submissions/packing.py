"""Packs what a student hands in into one small zip, and says in a receipt what it was."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from grader.course.assignment import Assignment
from grader.errors import SubmissionError
from grader.submissions.discover import read_one
from grader.submissions.text import student_id

_OLDEST = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


@dataclass(frozen=True)
class Receipt:
    """What was packed: the zip, the files in it, the digest of the submission, and when (ISO 8601, UTC).

    `sha256` is that of the Submission which the grader reads back from the zip. `set_aside` says what of the
    student's folder was not packed.
    """

    path: Path
    files: tuple[str, ...]
    sha256: str
    when: str
    set_aside: tuple[str, ...] = ()


def pack(
    assignment: Assignment, path: Path, student: str | None, target_dir: Path, *, now: datetime | None = None
) -> Receipt:
    """Write `<assignment>-<student>.zip` ("submission" for no student) into `target_dir`; return its receipt.

    `path` is the student's folder or file, read by the rules of `read_one`; what it holds is packed as the
    grader takes it, a notebook without outputs. The same work gives the same bytes. An older zip of that name
    is replaced, at once or not at all. Raises SubmissionError where there is nothing to hand in or the zip
    cannot be written.
    """
    submission = read_one(assignment, path, student)
    if reason := submission.unreadable or submission.problem:
        raise SubmissionError(reason, where=path, advice="Nothing was packed")
    identity = student_id(student) if student else "submission"
    target = target_dir / f"{assignment.id}-{identity}.zip"
    content = _zipped(submission.files)
    try:
        _write_at_once(target, content)
    except OSError as error:
        raise SubmissionError(
            f"the zip cannot be written: {error.strerror}", where=target, advice="Choose another folder"
        ) from None
    if read_one(assignment, target).sha256 != submission.sha256:
        raise SubmissionError("the zip does not read back as what was packed", where=target, advice="Try again")
    return Receipt(
        path=target,
        files=tuple(name for name, _ in submission.files),
        sha256=submission.sha256,
        when=(now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        set_aside=submission.set_aside,
    )


def _zipped(files: tuple[tuple[str, bytes], ...]) -> bytes:
    buffer = io.BytesIO()
    # Stored, not deflated: the bytes do not depend on the version of zlib.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files):
            member = zipfile.ZipInfo(name, _OLDEST)
            member.create_system = 3
            member.external_attr = 0o100644 << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def _write_at_once(target: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".zip", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
