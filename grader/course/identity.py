"""What tells one grading from another: fingerprints of a suite, the course's secret, and the seed."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import grader
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.course.files import read_bytes
from grader.course.reference import secret_folder
from grader.errors import CourseError

SECRET_BYTES = 32

#: How long an empty secret may be one that another process is just writing.
EMPTY_SECONDS = 2.0


@dataclass(frozen=True)
class Seed:
    """The seed of a grading run (64 bits, secret) and its id, which students' pages may carry.

    The id of a drawn seed tells nothing about it; that of a small number given by hand can be guessed.
    """

    value: int
    id: str


def suite_fingerprint(assignment: Assignment) -> str:
    """Return the hex SHA-256 of all that decides a grade; raise CourseError where a file is missing.

    It covers the hidden suite, assignment.yaml, the reference, the mutants, a conftest.py beside the suite,
    helper modules of the handout, and the versions of the grader, of numpy, and of torch if it is used.
    """
    secret = secret_folder(assignment)
    files = [
        ("test_hidden.py", read_bytes(secret / "test_hidden.py")),
        ("assignment.yaml", read_bytes(assignment.folder / "assignment.yaml")),
        ("reference", read_bytes(secret / assignment.module)),
    ]
    files += [(name, read_bytes(secret / name)) for name in ("mutants.yaml", "conftest.py") if (secret / name).exists()]
    files += [(f"handout/{path.name}", read_bytes(path)) for path in handout_modules(assignment)]
    packages = ["numpy", *(["torch"] if "torch" in assignment.packages else [])]
    versions = [("grader", grader.__version__), *((name, _version(name)) for name in packages)]
    return _digest([*files, *((f"version/{name}", version.encode()) for name, version in versions)])


def public_fingerprint(assignment: Assignment) -> str:
    """Return the hex SHA-256 of what a student's own check runs; raise CourseError where a file is missing.

    It covers the public suite, assignment.yaml and helper modules of the handout, but no versions: what an
    author's machine recorded for it must still be found on a student's.
    """
    files = [
        ("test_public.py", read_bytes(assignment.folder / "test_public.py")),
        ("assignment.yaml", read_bytes(assignment.folder / "assignment.yaml")),
    ]
    return _digest([*files, *((f"handout/{path.name}", read_bytes(path)) for path in handout_modules(assignment))])


def handout_modules(assignment: Assignment) -> list[Path]:
    """Return the Python files that a handout ships beside the stub and the public suite, sorted."""
    own = (assignment.module, "test_public.py")
    return sorted(path for path in assignment.folder.glob("[!.]*.py") if path.name not in own)


def course_secret(course: Course) -> bytes:
    """Return the course's 32 secret bytes, made on first use; raise CourseError.

    They lie in <state>/secret, which only its owner may read (mode 0600).
    Several processes may ask at once: all get the same bytes, and none sees a half-written file.
    """
    path = course.state / "secret"
    try:
        content = _read_secret(path)
        if content is None:
            course.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create_secret(path)
            content = _read_secret(path)
        deadline = time.monotonic() + EMPTY_SECONDS
        while content == b"" and time.monotonic() < deadline:
            time.sleep(0.01)
            content = _read_secret(path)
    except OSError as error:
        raise CourseError(
            f"the course's secret cannot be read or made ({error.strerror})",
            where=path,
            advice="Make the folder writable, or name another one in GRADER_STATE.",
        ) from None
    if content is None or len(content) != SECRET_BYTES:
        size = 0 if content is None else len(content)
        raise CourseError(
            f"the course's secret has {size} bytes where {SECRET_BYTES} are asked",
            where=path,
            advice="Restore it from a backup. If you delete it, a new one is made and all are graded anew.",
        )
    return content


def draw_seed(course: Course, assignment: Assignment, fingerprint: str, override: int | None = None) -> Seed:
    """Return the seed of a grading run: HMAC-SHA256 of the secret over assignment and fingerprint, 64 bits.

    It is the same for a whole class and after a crash. `override`, 0 to 2**64 - 1, is taken as it is, without
    touching the secret. Raises CourseError.
    """
    if override is None:
        message = f"{assignment.id}\0{fingerprint}".encode()
        value = int.from_bytes(hmac.digest(course_secret(course), message, "sha256")[:8], "big")
    elif 0 <= override < 2**64:
        value = override
    else:
        raise CourseError(f"the seed {override} is out of range", advice="Give a whole number from 0 to 2**64 - 1.")
    return Seed(value, hashlib.sha256(b"seed\0" + value.to_bytes(8, "big")).hexdigest()[:12])


def _digest(entries: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in entries:
        # Lengths keep one file's end from passing for another's beginning.
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def _read_secret(path: Path) -> bytes | None:
    """Return the secret's bytes, None where there is none; make a file that others may read private."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_mode & 0o077 and stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
            os.fchmod(stream.fileno(), 0o600)
        return stream.read(SECRET_BYTES + 1)


def _create_secret(path: Path) -> None:
    """Make the secret unless somebody else is faster; never replace one."""
    content = secrets.token_bytes(SECRET_BYTES)
    draft = path.with_name(f".secret.{secrets.token_hex(8)}")
    try:
        _write_new(draft, content)
        try:
            # A link appears whole or not at all, and fails if the name is taken.
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links: readers wait until the bytes are there
            with suppress(FileExistsError):
                _write_new(path, content)
    finally:
        draft.unlink(missing_ok=True)


def _write_new(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)  # whatever the umask
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
