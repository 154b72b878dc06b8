"""What a student handed in, in memory: only whitelisted, size-limited text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Chunk:
    """A piece of source that is executed as one unit: a whole .py file, or one notebook cell.

    `label` is what a student recognises ("bptt.py", "cell 7"); line numbers in errors are relative to it.
    """

    label: str
    source: str


@dataclass(frozen=True)
class Submission:
    """One student's attempt at one assignment.

    `student` is the id as the folder or file names it. `chunks` are executed in order in one namespace; a
    chunk that fails does not hide the names of the others. `set_aside` lists, a line each, what was not
    taken and why. `received` is an ISO 8601 UTC time (of the newest file), or None when unknown.
    `problem` says why the submission cannot even be tried (unreadable notebook, no such file in the zip);
    then `chunks` is empty and the submission is graded with zero and that reason. `unreadable` says why the
    machine could not read what was handed in (no permission, a broken disk): not the student's doing, so the
    submission stays ungraded. `files` holds the module or the notebook under its official name, a notebook
    without outputs and metadata.
    """

    student: str
    assignment: str
    chunks: tuple[Chunk, ...]
    name: str = ""
    source: str = ""  # path it came from, for the instructor
    received: str | None = None
    set_aside: tuple[str, ...] = ()
    problem: str | None = None
    files: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)  # what was handed in, as taken
    unreadable: str | None = None

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of what was taken, independent of the student."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files):
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        if self.problem is not None:
            digest.update(f"\0problem\0{self.problem}".encode())
        return digest.hexdigest()
