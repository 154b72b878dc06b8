"""Decides by name alone which of the files that came are the submission; the rest is reported."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from grader.course.assignment import Assignment
from grader.submissions.limits import (
    MAX_DEPTH,
    MAX_MEMBER_NAME,
    MAX_MODULE_BYTES,
    MAX_NOTE,
    MAX_NOTEBOOK_BYTES,
)
from grader.submissions.reading import skipped
from grader.submissions.text import safe_text

_ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
_OTHER_ARCHIVE_ENDINGS = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst", ".tbz2", ".txz")


@dataclass(frozen=True)
class Taken:
    """What was taken out of a folder or an archive.

    `files` maps the official names (module, notebook) to bytes; `set_aside` holds a line for each thing that
    was not taken; `problem` says why there is nothing to grade, `unreadable` why the machine could not tell.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    set_aside: tuple[str, ...] = ()
    problem: str | None = None
    unreadable: str | None = None


@dataclass(frozen=True)
class Choice:
    """The paths that are taken, by official name, and why the others are not."""

    taken: dict[str, str]
    set_aside: tuple[str, ...] = ()
    problem: str | None = None


def wanted(assignment: Assignment) -> dict[str, int]:
    """Return the file names that count, in order of preference, with the bytes each may have."""
    return {assignment.module: MAX_MODULE_BYTES, assignment.notebook: MAX_NOTEBOOK_BYTES}


def asked_for(assignment: Assignment) -> str:
    """Return the names that count, for a sentence."""
    return f"{assignment.module} or {assignment.notebook}"


def archive_ending(name: str) -> str | None:
    """Return the ending of a kind of archive that is read (".zip", ".tar.gz"), or None."""
    return next((ending for ending in _ARCHIVE_ENDINGS if name.lower().endswith(ending)), None)


def other_archive_ending(name: str) -> str | None:
    """Return the ending of a kind of archive that is not read (".rar", ".7z"), or None."""
    if archive_ending(name):
        return None
    return next((ending for ending in _OTHER_ARCHIVE_ENDINGS if name.lower().endswith(ending)), None)


def refusal(name: str) -> str | None:
    """Return why a path inside an archive is refused for its name alone, or None.

    Nothing is ever written under such a name; it is refused because only an attack or a broken program makes
    one.
    """
    if not name:
        return "no name"
    if len(name) > MAX_MEMBER_NAME:
        return "the name is too long"
    if "\0" in name:
        return "a NUL in the name"
    path = name.replace("\\", "/")
    if path.startswith("/") or path[1:2] == ":":
        return "an absolute name"
    if ".." in path.split("/"):
        return "a name that leaves the archive"
    return None


def passed_over(name: str) -> bool:
    """Say whether a path lies in a hidden folder or a cache, or is hidden itself: not worth a line."""
    return any(skipped(part) for part in _parts(name))


def is_candidate(assignment: Assignment, name: str) -> bool:
    """Say whether a path inside a folder or archive has a name that counts and is not too deep or hidden."""
    *folders, base = _parts(name)
    return base in wanted(assignment) and len(folders) <= MAX_DEPTH and not passed_over(name)


def choose(assignment: Assignment, names: Sequence[str]) -> Choice:
    """Choose among the paths of regular files: the right name, the shallowest, one folder.

    `names` are relative paths with "/" (archives made on Windows may say "\\"). The module and the notebook
    are both returned when both lie in the same folder. Where equally shallow ones lie in several folders, the
    one in a folder called like the assignment wins; otherwise that is a problem, as are two of one path.
    """
    candidates = [name for name in names if is_candidate(assignment, name)]
    notes = [f"{shown_name(name)}: {_why_not(assignment, name)}" for name in names if _is_other(assignment, name)]
    if not candidates:
        return Choice({}, tuple(notes))
    depth = min(len(_parts(name)) for name in candidates)
    nearest = [name for name in candidates if len(_parts(name)) == depth]
    notes += [f"{shown_name(name)}: another one lies higher up" for name in candidates if name not in nearest]
    folders = sorted({_parts(name)[:-1] for name in nearest})
    if len(folders) > 1:
        own = [folder for folder in folders if folder and folder[-1] == assignment.id]
        if len(own) != 1:
            where = ", ".join(safe_text("/".join(folder), 40) for folder in folders[:3])
            return Choice(
                {},
                tuple(notes),
                f"{asked_for(assignment)} lies in {len(folders)} folders ({where}); one is asked for",
            )
        notes += [f"{shown_name(name)}: another one is taken" for name in nearest if _parts(name)[:-1] != own[0]]
        nearest = [name for name in nearest if _parts(name)[:-1] == own[0]]
    if len({_parts(name)[-1] for name in nearest}) < len(nearest):
        return Choice({}, tuple(notes), f"{_parts(nearest[0])[-1]} is there more than once")
    return Choice({_parts(name)[-1]: name for name in nearest}, tuple(notes))


def shown_name(name: str) -> str:
    """Return a path from outside for a line of text; where alphabets are mixed, odd letters are spelt out."""
    base = _parts(name)[-1]
    if any(_mixes_alphabets(piece) for piece in base.split(".")):
        head = name[: name.rindex(base)]
        name = head + base.encode("unicode_escape", "surrogatepass").decode("ascii")
    return safe_text(name, MAX_NOTE // 2)


def _mixes_alphabets(piece: str) -> bool:
    # "bptt" with a Cyrillic letter in it, or an accent as a character of its own, reads like something else.
    odd = [c for c in piece if not c.isascii() and not unicodedata.name(c, "?").startswith("LATIN ")]
    return any(unicodedata.combining(c) for c in odd) or (
        any(c.isalpha() for c in odd) and any(c.isascii() and c.isalpha() for c in piece)
    )


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    return parts or ("",)


def _is_other(assignment: Assignment, name: str) -> bool:
    return not is_candidate(assignment, name) and not passed_over(name)


def _why_not(assignment: Assignment, name: str) -> str:
    base = _parts(name)[-1]
    if base in wanted(assignment):
        return f"deeper than {MAX_DEPTH} folders"
    plain = unicodedata.normalize("NFKC", base).casefold()
    for official in wanted(assignment):
        if plain == official.casefold() or (not base.isascii() and len(plain) == len(official)):
            return f"the name must be exactly {official}"
    if archive_ending(base) or other_archive_ending(base):
        return "an archive inside is not opened"
    return "not asked for"
