"""The preview: the mutants' answers on the public inputs, shipped so that `grader check` can name a mistake."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from grader.checking.catalogue import from_bytes
from grader.checking.diagnosis import Fingerprint, same_answers
from grader.course.assignment import Assignment
from grader.course.building import Generated
from grader.course.reference import read_reference
from grader.course.stub import derive_stub
from grader.errors import CourseError
from grader.grading.engine import as_job, public_examination
from grader.grading.executors.local import Host
from grader.submissions.submission import Chunk, Submission


def make_preview(assignment: Assignment, *, jobs: int, tier: int | None = None) -> Generated:
    """Run every mutant through the public suite and return the preview file; raise CourseError."""
    place = assignment.folder / "preview.npz"
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        target = Path(folder) / "preview.npz"
        examination = replace(public_examination(assignment, tier=tier), catalogue=target, record=True)
        stub = derive_stub(read_reference(assignment), assignment.module)
        with Host(examination.config(jobs)) as host:
            # the stub fails everything, which makes the host record what the mutants answer
            submission = Submission("stub", assignment.id, (Chunk(assignment.module, stub),))
            list(host.run([as_job(0, submission)]))
        if not target.is_file():
            raise CourseError("the preview could not be made", where=place, advice="Run `grader verify` to see why")
        return Generated(place, target.read_bytes())


def same_preview(a: bytes, b: bytes, path: Path) -> bool:
    """Tell whether two previews say the same, up to the rounding of another processor."""
    try:
        (one, about), (other, about_other) = from_bytes(a, path), from_bytes(b, path)
    except CourseError:
        return False
    return about == about_other and len(one) == len(other) and all(_same(x, y) for x, y in zip(one, other, strict=True))


def _same(a: Fingerprint, b: Fingerprint) -> bool:
    return (
        (a.mutant, a.misconception, a.hint, a.footprint) == (b.mutant, b.misconception, b.hint, b.footprint)
        and all(a.failing[c].strong == b.failing[c].strong for c in a.failing)
        and all(same_answers(a.failing[c], b.failing[c]) for c in a.failing)
    )
