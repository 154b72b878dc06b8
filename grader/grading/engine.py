"""Grade a class: skip what is done, examine the rest, record each report as it comes."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.checking.report import Report
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.course.identity import Seed, draw_seed, public_fingerprint, suite_fingerprint
from grader.errors import CourseError
from grader.grading.executors.local import Examined, Host, Ready
from grader.submissions.submission import Submission

if TYPE_CHECKING:
    from grader.gradebook.store import Gradebook

PUBLIC_SEED = 20


@dataclass(frozen=True)
class Examination:
    """Which suite runs on what seed and where: everything that a report's numbers depend on.

    `suite` is "hidden" or "public"; `tier` None means the strongest sandbox of this machine.
    """

    assignment: Assignment
    suite: str
    fingerprint: str
    seed: Seed
    tier: int | None
    catalogue: Path | None
    record: bool = True

    def config(self, jobs: int) -> dict[str, Any]:
        """Return the configuration that an examiner host is started with."""
        assignment = self.assignment
        hidden = self.suite == "hidden"
        folder = assignment.secret if hidden else assignment.folder
        assert folder is not None
        return {
            "folder": str(assignment.folder),
            "secret": str(assignment.secret) if assignment.secret else None,
            "suite": str(folder / ("test_hidden.py" if hidden else "test_public.py")),
            "tier": self.tier,
            "seed": self.seed.value,
            "seed_id": self.seed.id,
            "fingerprint": self.fingerprint,
            "jobs": jobs,
            "record": self.record,
            "catalogue": str(self.catalogue) if self.catalogue else None,
            "about": {"assignment": assignment.id, "fingerprint": self.fingerprint, "seed_id": self.seed.id},
        }


def hidden_examination(
    course: Course, assignment: Assignment, *, tier: int | None = None, seed: int | None = None
) -> Examination:
    """Return how the hidden suite of an assignment runs in this course.

    Raise CourseError where the course is installed without its solutions.
    """
    if assignment.secret is None:
        raise CourseError(
            f"the hidden suite of {assignment.id} is not installed here",
            where=course.root,
            advice="Grading needs the course's solutions folder; students use `grader check`",
        )
    fingerprint = suite_fingerprint(assignment)
    drawn = draw_seed(course, assignment, fingerprint, seed)
    # another processor rounds differently, so its evidence is its own
    machine = f"{platform.machine()}-{_processor()}"
    name = f"{assignment.id}-{fingerprint[:16]}-{drawn.id}-{machine}.npz"
    return Examination(assignment, "hidden", fingerprint, drawn, tier, course.state / "cache" / name)


def _processor() -> str:
    """Return a short name for the kind of processor."""
    import hashlib

    text = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        text += next((line for line in lines if line.startswith("model name")), "")
        text += next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        pass  # not Linux: the processor's name must do
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def public_examination(assignment: Assignment, *, tier: int | None = 0, preview: bool = True) -> Examination:
    """Return how the public suite runs: fixed seed, the preview's hints."""
    return Examination(
        assignment,
        "public",
        public_fingerprint(assignment),
        Seed(PUBLIC_SEED, "public"),
        tier,
        assignment.folder / "preview.npz" if preview else None,
        record=False,
    )


def as_job(number: int, submission: Submission, **options: Any) -> dict[str, Any]:
    """Return the job that asks a host to examine a submission."""
    return {
        "number": number,
        "submission": {
            "student": submission.student,
            "name": submission.name,
            "sha256": submission.sha256,
            "chunks": [[chunk.label, chunk.source] for chunk in submission.chunks],
            "set_aside": list(submission.set_aside),
            "problem": submission.problem,
            "unreadable": submission.unreadable,
        },
        **options,
    }


@dataclass
class ClassResult:
    """What grading a class came to: reports in the order of the submissions, and how many were done before."""

    reports: list[Report] = field(default_factory=list)
    skipped: int = 0
    run: str = ""
    pictures: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # student -> what figures are drawn from
    ready: Ready | None = None


def grade_class(
    examination: Examination,
    submissions: Sequence[Submission],
    book: Gradebook,
    *,
    jobs: int,
    fresh: bool = False,
    seed_override: bool = False,
    on_start: Callable[[int, int], None] = lambda todo, skipped: None,
    on_ready: Callable[[Ready], None] = lambda ready: None,
    on_report: Callable[[Report], None] = lambda report: None,
    on_pictures: Callable[[Submission, Mapping[str, Any]], None] = lambda submission, pictures: None,
) -> ClassResult:
    """Grade what the gradebook does not hold yet and record each report in its own transaction.

    `on_pictures` gets what figures are drawn from before the report is recorded: what counts as done has its figures.
    What is recorded is safe: a run that is interrupted is continued by the next one. Raises SandboxError where
    no sandbox can be had and GradebookError where nothing can be recorded.
    """
    assignment = examination.assignment
    result = ClassResult(run=uuid.uuid4().hex)
    done = (
        set()
        if fresh
        else book.already_graded(
            assignment.id,
            examination.fingerprint,
            examination.seed.id,
            # a grade from an unprotected practice run does not stand in for a real one
            tier=1 if examination.tier is None else examination.tier,
        )
    )
    todo = {n: s for n, s in enumerate(submissions) if (s.student, s.sha256) not in done}
    result.skipped = len(submissions) - len(todo)
    on_start(len(todo), result.skipped)
    new: dict[int, Report] = {}
    if todo:
        with Host(examination.config(max(1, min(jobs, len(todo))))) as host:
            result.ready = host.ready
            on_ready(host.ready)
            for examined in host.run([as_job(n, s) for n, s in todo.items()]):
                submission = todo[examined.job]
                if examined.pictures:
                    on_pictures(submission, examined.pictures)
                book.record(submission, examined.report, result.run, fresh=fresh, seed_override=seed_override)
                new[examined.job] = examined.report
                if examined.pictures:
                    result.pictures[submission.student] = examined.pictures
                on_report(examined.report)
    for number, submission in enumerate(submissions):
        report = new.get(number) or _recorded(book, examination, submission)
        if report is not None:
            result.reports.append(report)
    return result


def _recorded(book: Gradebook, examination: Examination, submission: Submission) -> Report | None:
    """Return the report that counts for a student, where it is on just this submission, suite and seed."""
    for grading in book.history(submission.assignment, submission.student):
        report = grading.report
        if grading.is_current and (report.submission, report.fingerprint, report.seed_id) == (
            submission.sha256,
            examination.fingerprint,
            examination.seed.id,
        ):
            return report
    return None


def examine(examination: Examination, jobs: Iterable[Mapping[str, Any]], *, parallel: int = 1) -> list[Examined]:
    """Examine jobs without any gradebook and return the results in the order of their numbers."""
    with Host(examination.config(parallel)) as host:
        return sorted(host.run(list(jobs)), key=lambda e: e.job)
