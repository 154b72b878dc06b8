"""Opens folders and files that students control: no link is followed, nothing but a regular file is read."""

from __future__ import annotations

import errno
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from grader.submissions.limits import size_text

Kind = Literal["file", "folder", "link", "other"]

#: What is never looked at, and not worth a line: hidden names, caches, what macOS adds to a zip.
_SKIPPED = frozenset({"__pycache__", "__MACOSX"})

# Windows has neither flag; there the check by lstat before and fstat after is all there is.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_HAS_AT = os.open in os.supports_dir_fd and os.scandir in os.supports_fd


class Unreadable(Exception):
    """The machine could not read something; not the student's doing. Its text is the reason."""


class Refused(Exception):
    """What lies there is not taken (a link, a device, too large). Its text is the reason."""


@dataclass(frozen=True)
class Entry:
    """A name in a folder and what it is, links not followed."""

    name: str
    kind: Kind


def skipped(name: str) -> bool:
    """Say whether an entry of this name is passed over in silence."""
    return name.startswith(".") or name in _SKIPPED


def kind_of(path: Path) -> Kind:
    """Return what lies at `path`, links not followed; raises OSError or ValueError as os.lstat does."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


class Folder:
    """An open folder whose entries are reached from its descriptor: no swapped link leads away."""

    def __init__(self, path: Path, parent: Folder | None = None) -> None:
        """Open `path`, or the entry `path.name` of `parent`; raises Refused or Unreadable."""
        self.path = path
        self._fd: int | None = None
        where, dir_fd = _address(path, parent)
        try:
            if stat.S_ISLNK(os.stat(where, dir_fd=dir_fd, follow_symlinks=False).st_mode):
                raise Refused("a symbolic link, which is not followed")
            if _HAS_AT:
                flags = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK
                self._fd = os.open(where, flags, dir_fd=dir_fd)
        except OSError as error:
            raise _told(error) from error

    def entries(self) -> list[Entry]:
        """Return the entries sorted by name, without hidden ones and caches; raises Unreadable."""
        found = []
        try:
            with os.scandir(self.path if self._fd is None else self._fd) as listing:
                for entry in listing:
                    if skipped(entry.name):
                        continue
                    kind: Kind = "other"
                    if entry.is_symlink():
                        kind = "link"
                    elif entry.is_dir(follow_symlinks=False):
                        kind = "folder"
                    elif entry.is_file(follow_symlinks=False):
                        kind = "file"
                    found.append(Entry(entry.name, kind))
        except OSError as error:
            raise _told(error) from error
        return sorted(found, key=lambda entry: entry.name)

    def folder(self, name: str) -> Folder:
        """Open the folder `name` inside this one; raises Refused or Unreadable."""
        return Folder(self.path / name, self)

    def file(self, name: str, limit: int) -> OpenFile:
        """Open the regular file `name` of at most `limit` bytes; raises Refused or Unreadable."""
        return OpenFile(self.path / name, limit, self)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class OpenFile(io.RawIOBase):
    """A regular file opened for reading, with bounds.

    `size` is in bytes and `modified` a POSIX time. `widest` bounds what one call of read() may ask for, so
    that a parser that believes a lying length in the file cannot be made to fill the memory.
    """

    def __init__(self, path: Path, limit: int, parent: Folder | None = None, widest: int | None = None) -> None:
        """Open `path` (or its name in `parent`); raises Refused or Unreadable."""
        super().__init__()
        self._fd = -1
        self.widest = limit if widest is None else widest
        where, dir_fd = _address(path, parent)
        try:
            # Asked before it is opened: opening a device or a pipe can already do something.
            before = os.stat(where, dir_fd=dir_fd, follow_symlinks=False)
            _must_be_regular(before.st_mode)
            self._fd = os.open(where, os.O_RDONLY | _NO_LINK | _BINARY, dir_fd=dir_fd)
            status = os.fstat(self._fd)
        except OSError as error:
            self.close()
            raise _told(error) from error
        self.size, self.modified = status.st_size, status.st_mtime
        try:
            _must_be_regular(status.st_mode)
            if self.size > limit:
                raise Refused(f"{size_text(self.size)} large; at most {size_text(limit)} is taken")
        except Refused:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """Return the descriptor, for a test."""
        return self._fd

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes (all that is left when negative); raises Refused or Unreadable."""
        left = max(self.size - self.tell(), 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > self.widest:
            raise Refused(f"asks for a piece of {size_text(size)}")
        pieces = []
        try:
            while size > 0 and (piece := os.read(self._fd, size)):
                pieces.append(piece)
                size -= len(piece)
        except OSError as error:
            raise _told(error) from error
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a place in the file; raises OSError for a place before its start (as zipfile expects)."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def close(self) -> None:
        """Close the file."""
        if not self.closed and self._fd >= 0:
            os.close(self._fd)
        super().close()


def _address(path: Path, parent: Folder | None) -> tuple[str, int | None]:
    if parent is None or parent._fd is None:
        return str(path), None
    return path.name, parent._fd


def _must_be_regular(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise Refused("a symbolic link, which is not followed")
    if not stat.S_ISREG(mode):
        raise Refused("not a regular file")


def _told(error: OSError) -> Refused | Unreadable:
    # ELOOP, and ENOTDIR where a folder is asked: somebody put a link there after it was looked at.
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return Refused("a symbolic link, which is not followed")
    return Unreadable(error.strerror or type(error).__name__)
