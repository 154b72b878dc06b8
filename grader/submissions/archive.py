"""Takes the one file that counts out of a zip or tar archive, into memory, not to the disk."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from typing import IO, cast

from grader.course.assignment import Assignment
from grader.submissions.choosing import (
    Choice,
    Taken,
    asked_for,
    choose,
    is_candidate,
    passed_over,
    refusal,
    shown_name,
    wanted,
)
from grader.submissions.limits import (
    MAX_ARCHIVE_INDEX_BYTES,
    MAX_MEMBERS,
    MAX_UNPACKED_BYTES,
    size_text,
)
from grader.submissions.reading import OpenFile, Refused, Unreadable
from grader.submissions.tar import DamagedArchive, Unpacked, UnpacksTooLarge, walk
from grader.submissions.text import listed

_PIECE = 64 * 1024
_INDEX_LIMIT = size_text(MAX_ARCHIVE_INDEX_BYTES)
_DAMAGED = "the archive is damaged, or not what its name says"
# All that zipfile was seen to raise on damaged input; what the disk raises comes as Unreadable.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    OSError,
)


def read_archive(assignment: Assignment, archive: OpenFile) -> Taken:
    """Return what counts in an open zip, tar or tar.gz file; nothing is raised for a damaged or hostile one.

    Only the module and the notebook, regular files, not deeper than three folders, are unpacked (the
    shallowest), and the bytes are counted as they come, whatever the headers say. Everything else is named in
    `set_aside`: links, devices, encrypted members, names that leave the archive, archives inside.
    """
    try:
        head = archive.read(4)
        archive.seek(0)
        if head[:2] == b"PK":
            return _read_zip(assignment, archive)
        return _read_tar(assignment, archive)
    except Unreadable as error:
        return Taken(unreadable=str(error))
    except Refused:
        return Taken(problem=f"the archive is not read: its list of members is over {_INDEX_LIMIT}")


def _read_zip(assignment: Assignment, archive: OpenFile) -> Taken:
    archive.widest = MAX_ARCHIVE_INDEX_BYTES
    try:
        with zipfile.ZipFile(cast(IO[bytes], archive)) as opened:
            members = opened.infolist()
            notes, plain = _sift_zip(members[:MAX_MEMBERS])
            choice = choose(assignment, [member.orig_filename for member in plain])
            by_name = {member.orig_filename: member for member in plain}
            files = {
                official: _unzip(opened, by_name[name], wanted(assignment)[official])
                for official, name in choice.taken.items()
            }
            return _taken(assignment, files, choice, notes, len(members))
    except _ZIP_ERRORS:
        return Taken(problem=_DAMAGED)


def _sift_zip(members: list[zipfile.ZipInfo]) -> tuple[list[str], list[zipfile.ZipInfo]]:
    """Return notes on what is no plain file, and the plain files."""
    notes: list[str] = []
    plain: list[zipfile.ZipInfo] = []
    for member in members:
        name = member.orig_filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if reason := refusal(name):
            notes.append(f"{shown_name(name)}: refused, {reason}")
        elif passed_over(name) or name.endswith(("/", "\\")) or kind == stat.S_IFDIR:
            continue
        elif kind == stat.S_IFLNK:
            notes.append(f"{shown_name(name)}: a symbolic link, which is not followed")
        elif kind not in (0, stat.S_IFREG):
            notes.append(f"{shown_name(name)}: not a regular file")
        else:
            plain.append(member)
    return notes, plain


def _unzip(opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes | str:
    """Return the bytes of a member, or why it is not taken."""
    if member.flag_bits & 0x1:
        return "is encrypted"
    # The other methods unpack a few bytes into many megabytes at once.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in an unusual way; make an ordinary zip"
    if member.file_size > limit:
        return f"is {size_text(member.file_size)} large; at most {size_text(limit)} is taken"
    pieces: list[bytes] = []
    left = limit
    with opened.open(member) as stream:
        while piece := stream.read(_PIECE):
            left -= len(piece)
            if left < 0:
                return f"unpacks to more than {size_text(limit)}"
            pieces.append(piece)
    content = b"".join(pieces)
    return content if len(content) == member.file_size else "is not as large as the archive says"


def _read_tar(assignment: Assignment, archive: OpenFile) -> Taken:
    notes: list[str] = []
    contents: dict[str, bytes | None] = {}
    names: list[str] = []
    limits = wanted(assignment)

    def limit_for(name: str) -> int | None:
        if refusal(name) or not is_candidate(assignment, name):
            return None
        return limits[name.replace("\\", "/").rsplit("/", 1)[-1]]

    count = 0
    try:
        for member, content in walk(Unpacked(archive, MAX_UNPACKED_BYTES), limit_for):
            count += 1
            if count > MAX_MEMBERS:
                break
            if reason := refusal(member.name):
                notes.append(f"{shown_name(member.name)}: refused, {reason}")
            elif passed_over(member.name):
                continue
            elif member.kind == "file":
                names.append(member.name)
                contents[member.name] = content
            elif member.kind != "folder":
                notes.append(f"{shown_name(member.name)}: {member.kind}, which is not taken")
    except UnpacksTooLarge:
        return Taken(
            set_aside=listed(notes),
            problem=f"the archive unpacks to more than {size_text(MAX_UNPACKED_BYTES)}",
        )
    except DamagedArchive:
        return Taken(set_aside=listed(notes), problem=_DAMAGED)
    choice = choose(assignment, names)
    files: dict[str, bytes | str] = {}
    for official, name in choice.taken.items():
        found = contents[name]
        files[official] = f"is larger than {size_text(limits[official])}" if found is None else found
    return _taken(assignment, files, choice, notes, count)


def _taken(
    assignment: Assignment, files: dict[str, bytes | str], choice: Choice, notes: list[str], members: int
) -> Taken:
    """Sum up: `files` holds bytes, or in words why a file is not taken."""
    good = {name: content for name, content in files.items() if isinstance(content, bytes)}
    bad = [f"{name} in the archive {reason}" for name, reason in files.items() if isinstance(reason, str)]
    notes = notes + list(choice.set_aside)
    if members > MAX_MEMBERS:
        notes.insert(0, f"only the first {MAX_MEMBERS} members of the archive were looked at")
    if good:
        return Taken(good, listed(bad + notes))
    if bad or choice.problem:
        return Taken({}, listed(notes), choice.problem or bad[0])
    near = next((note for note in notes if any(name in note for name in wanted(assignment))), None)
    return Taken({}, listed(notes), f"no {asked_for(assignment)} in the archive" + (f" ({near})" if near else ""))
