"""Reads what counts in one student's folder: in itself, in <assignment>/, in an archive, or further down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from grader.course.assignment import Assignment
from grader.submissions.archive import read_archive
from grader.submissions.choosing import (
    Taken,
    archive_ending,
    asked_for,
    choose,
    is_candidate,
    other_archive_ending,
    shown_name,
    wanted,
)
from grader.submissions.limits import MAX_ARCHIVE_BYTES, MAX_DEPTH, MAX_MEMBERS
from grader.submissions.reading import Entry, Folder, OpenFile, Refused, Unreadable
from grader.submissions.text import listed, safe_text
from grader.submissions.whose import LOOSE_ENDINGS

_STAMP = "timestamp.txt"  # nbgrader's
LINK = "a symbolic link, which is not followed"


@dataclass(frozen=True)
class Content:
    """What lies in one student's folder."""

    taken: Taken
    received: float | None = None  # POSIX time of the newest file that was taken
    evident: bool = True
    stamped: str | None = None  # what nbgrader's timestamp.txt says


def content_of(assignment: Assignment, folder: Folder) -> Content:
    """Return what counts in a student's folder; raises Unreadable."""
    entries = folder.entries()
    inner = next((e for e in entries if e.kind == "folder" and e.name == assignment.id), None)
    if inner and not any(entry.name in wanted(assignment) for entry in entries):
        with folder.folder(inner.name) as own:
            content = _content_here(assignment, own)
            stamped = _timestamp(own) if content.taken.files else None
            notes = (note for note in content.taken.set_aside if not note.startswith(f"{_STAMP}:"))
            return replace(content, stamped=stamped, taken=replace(content.taken, set_aside=tuple(notes)))
    return _content_here(assignment, folder)


def _content_here(assignment: Assignment, folder: Folder) -> Content:
    names: list[str] = []
    notes: list[str] = []
    archives: list[str] = []
    others: list[str] = []
    closed: list[str] = []
    links = False
    for name, kind in _walk(folder, notes, closed):
        if kind == "file":
            names.append(name)
            if "/" not in name and archive_ending(name):
                archives.append(name)
            elif "/" not in name and (other_archive_ending(name) or name.lower().endswith(LOOSE_ENDINGS)):
                others.append(name)
        else:
            reason = LINK if kind == "link" else "not a regular file"
            notes.append(f"{shown_name(name)}: {reason}")
            links = links or is_candidate(assignment, name)
    choice = choose(assignment, names)
    if closed and not choice.taken:
        raise Unreadable(closed[0])
    notes += closed
    if choice.problem:
        return Content(Taken(set_aside=listed([*notes, *choice.set_aside]), problem=choice.problem))
    if not choice.taken and archives:
        rest = [note for note in choice.set_aside if not note.startswith(tuple(map(shown_name, archives)))]
        return _one_archive(assignment, folder, archives, notes + rest)
    if not choice.taken:
        problem = f"no {asked_for(assignment)} was handed in"
        if near := [note for note in notes if links and any(name in note for name in wanted(assignment))]:
            problem += f" ({near[0]})"
        elif others:
            problem += f"; found {safe_text(', '.join(others[:3]), 80)}"
        return Content(Taken(set_aside=listed([*notes, *choice.set_aside]), problem=problem), evident=links)
    files: dict[str, bytes] = {}
    times: list[float] = []
    bad: list[str] = []
    for official, name in choice.taken.items():
        try:
            content, modified = _read(folder, name, wanted(assignment)[official])
        except Refused as error:
            bad.append(f"{official}: {error}")
        else:
            files[official] = content
            times.append(modified)
    notes += choice.set_aside
    if not files:
        return Content(Taken(set_aside=listed(notes), problem=bad[0]))
    return Content(Taken(files, listed(bad + notes)), max(times))


def _walk(folder: Folder, notes: list[str], closed: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (path with "/", kind) of what lies in a student's folder, the shallowest first.

    `notes` gets a line for what is not entered, `closed` for a folder inside that the machine cannot read.
    """
    level: list[str] = [""]
    count = 0
    for depth in range(MAX_DEPTH + 1):
        deeper: list[str] = []
        for inside in level:
            for entry in _entries_at(folder, inside, notes, closed):
                count += 1
                if count > MAX_MEMBERS:
                    notes.append(f"only the first {MAX_MEMBERS} entries of the folder were looked at")
                    return
                name = f"{inside}{entry.name}"
                if entry.kind != "folder":
                    yield name, entry.kind
                elif depth < MAX_DEPTH:
                    deeper.append(f"{name}/")
        level = deeper


def _entries_at(folder: Folder, inside: str, notes: list[str], closed: list[str]) -> list[Entry]:
    try:
        with ExitStack() as stack:
            return _within(stack, folder, inside).entries()
    except Refused as error:
        notes.append(f"{shown_name(inside)}: {error}")
    except Unreadable as error:
        if not inside:
            raise
        closed.append(f"{shown_name(inside)}: {error}")
    return []


def _within(stack: ExitStack, folder: Folder, inside: str) -> Folder:
    """Open the folder at the path `inside` ("a/b/"), step by step, so that no link on the way is followed."""
    for part in inside.split("/"):
        if part:
            folder = stack.enter_context(folder.folder(part))
    return folder


def _read(folder: Folder, name: str, limit: int) -> tuple[bytes, float]:
    """Return the bytes and the POSIX time of the file at the path `name`; raises Refused or Unreadable."""
    inside, _, base = name.rpartition("/")
    with ExitStack() as stack:
        file = stack.enter_context(_within(stack, folder, inside).file(base, limit))
        content = file.read()
        if len(content) < file.size:
            raise Unreadable(f"{base} was changed while it was read")
        return content, file.modified


def _one_archive(assignment: Assignment, folder: Folder, archives: list[str], notes: list[str]) -> Content:
    if len(archives) > 1:
        # A student who packed twice, or handed in other archives too: the one with the assignment's name.
        own = [
            name
            for name in archives
            if name == assignment.id + str(archive_ending(name)) or name.startswith(f"{assignment.id}-")
        ]
        if len(own) != 1:
            several = safe_text(", ".join(archives[:3]), 80)
            problem = f"{len(archives)} archives were handed in ({several}); one is asked for"
            return Content(Taken(set_aside=listed(notes), problem=problem))
        notes = notes + [f"{shown_name(name)}: {own[0]} is taken instead" for name in archives if name != own[0]]
        archives = own
    taken, modified = unpacked(assignment, folder.path / archives[0], folder)
    return Content(replace(taken, set_aside=(*taken.set_aside, *listed(notes))), modified)


def unpacked(assignment: Assignment, path: Path, folder: Folder | None) -> tuple[Taken, float | None]:
    """Return what counts in the archive at `path` (or its name in `folder`), and the archive's POSIX time."""
    try:
        with OpenFile(path, MAX_ARCHIVE_BYTES, folder) as archive:
            return read_archive(assignment, archive), archive.modified
    except Unreadable as error:
        return Taken(unreadable=str(error)), None
    except Refused as error:
        return Taken(problem=f"the archive is not read: {error}"), None


def holds_work(assignment: Assignment, folder: Folder, *inside: str) -> bool:
    """Say whether a folder inside has the module, the notebook or an archive in it."""
    try:
        with ExitStack() as stack:
            entries = _within(stack, folder, "/".join(inside)).entries()
    except (Refused, Unreadable):
        return False
    return any(
        entry.kind == "file" and (entry.name in wanted(assignment) or archive_ending(entry.name) is not None)
        for entry in entries
    )


def _timestamp(folder: Folder) -> str | None:
    """Return the time in the timestamp.txt that nbgrader puts beside a submission, in ISO form."""
    try:
        text = _read(folder, _STAMP, 200)[0].decode("ascii").strip()
    except (Refused, Unreadable, UnicodeDecodeError):
        return None
    for form in ("%Y-%m-%d %H:%M:%S.%f UTC", "%Y-%m-%d %H:%M:%S UTC"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).isoformat(timespec="seconds")
        except ValueError:
            continue
    return None
