"""Reading and writing course files: UTF-8 text with one clear line when it fails, and whole or nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from grader.errors import CourseError


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a course file; raise CourseError when it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CourseError("the file is missing", where=path) from None
    except OSError as error:
        raise CourseError(f"the file cannot be read ({error.strerror})", where=path) from None


def read_text(path: Path) -> str:
    """Return a UTF-8 course file with `\\n` line ends and without byte order mark; raise CourseError."""
    return as_text(read_bytes(path), path)


def as_text(content: bytes, path: Path) -> str:
    """Return bytes as UTF-8 text with `\\n` line ends; raise CourseError naming the bad line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CourseError("the file is not UTF-8", where=f"{path}:{line}", advice="Save it as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a half; raise CourseError.

    A new file gets the permissions of any other new file; an existing one keeps its own.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            mode = path.stat().st_mode & 0o777
        except FileNotFoundError:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CourseError(
            f"the file cannot be written ({error.strerror})",
            where=path,
            advice="Check the folder's permissions.",
        ) from None
