"""Finds submissions under the paths that an instructor names, whatever the layout, and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from grader.course.assignment import Assignment
from grader.errors import SubmissionError
from grader.submissions.choosing import Taken, archive_ending, asked_for, other_archive_ending, wanted
from grader.submissions.from_files import submission_from_files
from grader.submissions.reading import Folder, OpenFile, Refused, Unreadable, kind_of
from grader.submissions.roster import RosterEntry, missing, not_on_roster, read_roster
from grader.submissions.student_folder import LINK, content_of, holds_work, unpacked
from grader.submissions.submission import Submission
from grader.submissions.text import safe_text, student_id
from grader.submissions.whose import LOOSE_ENDINGS, file_id, folder_id, is_loose, is_test, stem_id

__all__ = [
    "RosterEntry",
    "missing",
    "not_on_roster",
    "read_one",
    "read_roster",
    "read_submissions",
    "safe_text",
    "submission_from_files",
]


@dataclass(frozen=True)
class _Found:
    """A submission, and whether there was anything at all that could be one."""

    submission: Submission
    evident: bool


def read_submissions(
    assignment: Assignment, paths: Sequence[Path], roster: Sequence[RosterEntry] | None = None
) -> list[Submission]:
    """Return the submissions under `paths`, sorted by student id, with the roster's names.

    A path is a class (a folder of students' folders, of files and archives named after students, or
    nbgrader's `submitted`), one student's folder, or one file. Where several paths are given, a folder that
    holds the module, the notebook or a single archive is one student's, and so are those beside it. A file
    or archive called "<assignment>-<student>.zip" belongs to that student. Hidden files and caches are passed
    over; no link is followed.

    A folder without a usable file gives a Submission with a `problem`, one that the machine cannot read a
    Submission that is `unreadable`. Raises SubmissionError where a path does not exist, nothing looks like a
    submission, one student has two, or it is unclear whether a folder is a student's or a class.
    """
    ids = frozenset(entry.id for entry in roster) if roster is not None else frozenset()
    found: list[_Found] = []
    several = len(paths) > 1
    # DIR/* by the shell: where one is a student's folder, those beside it are, whatever they hold.
    beside = {path.parent for path in paths if several and _looks_like_one_student(assignment, path, ids)}
    for path in paths:
        found += _read_path(assignment, path, several, path.parent in beside, ids)
    if not any(one.evident for one in found):
        raise _nothing(assignment, paths)
    submissions = sorted((one.submission for one in found), key=lambda one: (one.student, one.source))
    for one, other in pairwise(submissions):
        if one.student == other.student:
            raise SubmissionError(
                f"two submissions of {one.student}: {one.source} and {other.source}",
                advice="Leave one of them in place",
            )
    names = {entry.id: entry.name for entry in roster or ()}
    return [replace(one, name=names.get(one.student, "")) for one in submissions]


def read_one(assignment: Assignment, path: Path, student: str | None = None) -> Submission:
    """Return the submission in one student's folder, or in one file, notebook or archive.

    `student` is the id; by default it is told from the path. Raises SubmissionError where the path does not
    exist or is no kind of file that is read.
    """
    kind = _kind(path)
    if kind == "folder":
        try:
            with Folder(path) as folder:
                one = _student_folder(assignment, folder, folder_id(path)).submission
        except (Refused, Unreadable) as error:
            raise _closed(path, error) from None
    elif kind == "file" and is_loose(path.name):
        one = _loose(assignment, [path], None, file_id(assignment, path)).submission
    else:
        raise _unknown(path, kind)
    return one if student is None else replace(one, student=student_id(student))


def _read_path(assignment: Assignment, path: Path, several: bool, beside: bool, ids: frozenset[str]) -> list[_Found]:
    kind = _kind(path)
    if kind == "folder":
        name = folder_id(path)
        try:
            with Folder(path) as folder:
                if beside or _is_one_student(assignment, folder, name, several, ids):
                    return [_student_folder(assignment, folder, name)]
                # An empty one among several is somebody's all the same.
                return _read_class(assignment, folder) or [_student_folder(assignment, folder, name)]
        except (Refused, Unreadable) as error:
            if not several:
                raise _closed(path, error) from None
            # One of many: the rest of the class is graded all the same.
            return [_Found(_unreadable(assignment, name, path, str(error)), True)]
    if kind == "file" and (is_loose(path.name) or other_archive_ending(path.name)):
        return [_loose(assignment, [path], None, file_id(assignment, path))]
    if not several:
        raise _unknown(path, kind)
    # One of many, named by the shell: a student's link must not stop the class, a README is no submission.
    return [_link(assignment, path)] if kind == "link" else []


def _is_one_student(assignment: Assignment, folder: Folder, name: str, several: bool, ids: frozenset[str]) -> bool:
    """Say whether the folder that was named is one student's; False where it is a class."""
    if name in ids:
        return True
    entries = folder.entries()
    exact = [entry.name for entry in entries if entry.kind in ("file", "link") and entry.name in wanted(assignment)]
    loose = [
        entry.name
        for entry in entries
        if entry.kind == "file" and entry.name not in exact and is_loose(entry.name) and not is_test(entry.name)
    ]
    folders = [entry.name for entry in entries if entry.kind == "folder"]
    if exact:
        # The packed file lies beside the work it was made of.
        rivals = [other for other in loose if not other.startswith(f"{assignment.id}-")]
        rivals = [other for other in folders if holds_work(assignment, folder, other)] or (
            rivals if len(rivals) > 1 else []
        )
        if rivals and not several:
            others = safe_text(", ".join(rivals[:3]), 80)
            raise SubmissionError(
                f"{exact[0]} lies beside what looks like other submissions: {others}",
                where=_shown(folder.path),
                advice=f"For one student give {_shown(folder.path / exact[0])}; for a class move it away",
            )
        return True
    if assignment.id in folders and holds_work(assignment, folder, assignment.id):
        return True  # nbgrader's submitted/<student>
    if not several:
        return False
    if len(loose) == 1 and archive_ending(loose[0]) and stem_id(assignment, loose[0]) not in ids:
        return not any(holds_work(assignment, folder, other) for other in folders)
    return False


def _looks_like_one_student(assignment: Assignment, path: Path, ids: frozenset[str]) -> bool:
    if _kind(path) != "folder":
        return False
    try:
        with Folder(path) as folder:
            return _is_one_student(assignment, folder, folder_id(path), True, ids)
    except (Refused, Unreadable):
        return False


def _read_class(assignment: Assignment, folder: Folder) -> list[_Found]:
    found: list[_Found] = []
    nbgrader: set[str] = set()
    pairs: dict[str, list[Path]] = {}  # a student's .py and .ipynb lying side by side
    for entry in folder.entries():
        path = folder.path / entry.name
        if entry.kind == "folder":
            identity = student_id(entry.name)
            try:
                with folder.folder(entry.name) as own:
                    if any(inner.kind == "folder" and inner.name == assignment.id for inner in own.entries()):
                        nbgrader.add(identity)
                    found.append(_student_folder(assignment, own, identity))
            except Unreadable as error:
                found.append(_Found(_unreadable(assignment, identity, path, str(error)), True))
            except Refused:
                found.append(_link(assignment, path))
        elif entry.kind == "link":
            if is_loose(entry.name) or not path.suffix:
                found.append(_link(assignment, path))
        elif entry.kind == "file" and entry.name.lower().endswith(LOOSE_ENDINGS):
            if not is_test(entry.name):
                pairs.setdefault(stem_id(assignment, entry.name), []).append(path)
        elif entry.kind == "file" and (archive_ending(entry.name) or other_archive_ending(entry.name)):
            found.append(_loose(assignment, [path], folder, stem_id(assignment, entry.name)))
    for stem, files in pairs.items():
        if len({path.suffix.lower() for path in files}) == len(files):
            found.append(_loose(assignment, files, folder, stem))
        else:  # s001.py and bptt-s001.py: told as two submissions of one student
            found += [_loose(assignment, [path], folder, stem) for path in files]
    if nbgrader:
        # There a student who has a folder for other assignments only has not handed in this one.
        found = [one for one in found if one.evident or one.submission.student in nbgrader]
    return found


def _student_folder(assignment: Assignment, folder: Folder, identity: str) -> _Found:
    try:
        content = content_of(assignment, folder)
    except Unreadable as error:
        return _Found(_unreadable(assignment, identity, folder.path, str(error)), True)
    received = content.stamped or _iso(content.received)
    return _Found(_submission(assignment, identity, folder.path, content.taken, received), content.evident)


def _loose(assignment: Assignment, paths: Sequence[Path], folder: Folder | None, identity: str) -> _Found:
    """Return the submission in one file, or in a .py and an .ipynb that lie side by side."""
    files: dict[str, bytes] = {}
    times: list[float] = []
    problems: list[str] = []
    where = paths[0]
    if archive_ending(where.name):
        taken, modified = unpacked(assignment, where, folder)
        return _Found(_submission(assignment, identity, where, taken, _iso(modified)), True)
    if ending := other_archive_ending(where.name):
        taken = Taken(problem=f"a {ending} archive is not read; hand in {asked_for(assignment)}, or a .zip")
        return _Found(_submission(assignment, identity, where, taken, None), True)
    for path in paths:
        official = assignment.module if path.suffix.lower() == ".py" else assignment.notebook
        try:
            with OpenFile(path, wanted(assignment)[official], folder) as file:
                files[official] = file.read()
                times.append(file.modified)
        except Refused as error:
            problems.append(f"{official}: {error}")
        except Unreadable as error:
            return _Found(_unreadable(assignment, identity, path, str(error)), True)
    taken = Taken(files, tuple(problems)) if files else Taken(problem=problems[0])
    return _Found(_submission(assignment, identity, where, taken, _iso(max(times, default=None))), True)


def _link(assignment: Assignment, path: Path) -> _Found:
    identity = stem_id(assignment, path.name) if is_loose(path.name) else student_id(path.name)
    taken = Taken(problem=f"what was handed in is {LINK}")
    return _Found(_submission(assignment, identity, path, taken, None), True)


def _submission(assignment: Assignment, identity: str, path: Path, taken: Taken, received: str | None) -> Submission:
    if taken.unreadable is not None:
        return replace(_unreadable(assignment, identity, path, taken.unreadable), set_aside=taken.set_aside)
    return submission_from_files(
        assignment,
        identity,
        taken.files,
        source=_shown(path),
        received=received,
        set_aside=taken.set_aside,
        problem=taken.problem,
    )


def _unreadable(assignment: Assignment, identity: str, path: Path, reason: str) -> Submission:
    return Submission(
        student=identity,
        assignment=assignment.id,
        chunks=(),
        source=_shown(path),
        unreadable=f"{_shown(path)}: {reason}",
    )


def _iso(moment: float | None) -> str | None:
    if moment is None:
        return None
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a file may carry any number as its time
        return None


def _kind(path: Path) -> str:
    try:
        return kind_of(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise SubmissionError("there is no such file or folder", where=_shown(path), advice="Check the path") from None
    except OSError as error:
        raise SubmissionError(
            f"cannot be looked at: {error.strerror}", where=_shown(path), advice="Check its permissions"
        ) from None


def _closed(path: Path, error: Exception) -> SubmissionError:
    what = f"the folder cannot be read: {error}"
    return SubmissionError(what, where=_shown(path), advice="Check its permissions")


def _unknown(path: Path, kind: str) -> SubmissionError:
    if kind == "link":
        return SubmissionError(LINK, where=_shown(path), advice="Give the file or folder itself")
    if kind == "other":
        return SubmissionError("neither a file nor a folder", where=_shown(path))
    return SubmissionError(
        "not a kind of file that is read",
        where=_shown(path),
        advice="Give a .py, .ipynb, .zip, .tar, .tar.gz or .tgz",
    )


def _nothing(assignment: Assignment, paths: Sequence[Path]) -> SubmissionError:
    where = ", ".join(_shown(path) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
    return SubmissionError(
        f"nothing here looks like a submission of {assignment.id}",
        where=where or None,
        advice=(
            f"Understood are STUDENT/{assignment.module}, STUDENT/{assignment.notebook}, STUDENT.zip "
            f"(.tar.gz, .py, .ipynb), STUDENT/{assignment.id}/{assignment.module}, and one such file"
        ),
    )


def _shown(path: Path) -> str:
    return safe_text(str(path), 400)
