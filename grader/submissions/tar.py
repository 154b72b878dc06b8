"""Reads a tar archive as a stream, in bounded time and memory.

The standard library's tarfile is not used: it believes the length of an extended header (up to gigabytes) and
searches it with a regular expression of quadratic cost (CVE-2024-6232, in every Python before 3.11.10), and
its gzip reader walks a file name in the header byte by byte. Only what a submission needs is here: ustar, GNU
and pax headers, plain or gzip.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from grader.submissions.limits import MAX_MEMBERS
from grader.submissions.reading import OpenFile

_BLOCK = 512
_PIECE = 64 * 1024
_MAX_EXTENDED = 64 * 1024  # bytes of a pax or GNU long name header
_MAX_HEADERS = 5 * MAX_MEMBERS  # an honest member has four at the most: long name, long link, pax, its own
_FILE_TYPES = (b"0", b"\0", b"7")
_KINDS: dict[bytes, str] = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}


class DamagedArchive(Exception):
    """The bytes are no archive, or not a whole one."""


class UnpacksTooLarge(Exception):
    """The archive unpacks to more than may be read."""


@dataclass(frozen=True)
class TarMember:
    """A member: its name as written, what it is ("file", "folder", or words such as "a symbolic link")."""

    name: str
    kind: str
    size: int


class Unpacked:
    """The unpacked bytes of a tar or tar.gz file; raises UnpacksTooLarge after `limit` bytes."""

    def __init__(self, stream: OpenFile | BinaryIO, limit: int) -> None:
        """Start at the beginning of `stream`."""
        self._stream = stream
        self._left = limit
        head = stream.read(2)
        self._packed = head
        self._inflate = zlib.decompressobj(wbits=31) if head == b"\x1f\x8b" else None

    def read(self, size: int) -> bytes:
        """Read `size` bytes, fewer at the end; raises DamagedArchive or UnpacksTooLarge."""
        pieces = []
        while size > 0 and (piece := self._some(min(size, _PIECE))):
            pieces.append(piece)
            size -= len(piece)
        data = b"".join(pieces)
        self._left -= len(data)
        if self._left < 0:
            raise UnpacksTooLarge
        return data

    def skip(self, size: int) -> None:
        """Pass over `size` bytes; raises DamagedArchive where there are fewer."""
        while size > 0:
            piece = self.read(min(size, _PIECE))
            if not piece:
                raise DamagedArchive
            size -= len(piece)

    def finish(self) -> None:
        """Unpack the rest of a gzip file: its check sum stands at the end, and a cut is seen only there."""
        if self._inflate is not None:
            while self.read(_PIECE):
                pass

    def _some(self, size: int) -> bytes:
        if self._inflate is None:
            if self._packed:
                data, self._packed = self._packed[:size], self._packed[size:]
                return data
            return self._stream.read(size) or b""
        while not self._inflate.eof:
            packed = self._packed or self._stream.read(_PIECE) or b""
            try:
                data = self._inflate.decompress(packed, size)
            except zlib.error as error:
                raise DamagedArchive from error
            self._packed = self._inflate.unconsumed_tail
            if data:
                return data
            if not packed:
                raise DamagedArchive
        return b""


def walk(source: Unpacked, limit_for: Callable[[str], int | None]) -> Iterator[tuple[TarMember, bytes | None]]:
    """Yield each member, with its bytes where `limit_for(name)` gives a limit and the file keeps it.

    Raises DamagedArchive where the bytes are no tar archive or end too early, UnpacksTooLarge, and what the
    stream raises.
    """
    first = True
    common: dict[str, str] = {}
    own: dict[str, str] = {}
    headers = 0
    while header := source.read(_BLOCK):
        headers += 1
        if len(header) < _BLOCK or headers > _MAX_HEADERS:
            raise DamagedArchive
        if not header.strip(b"\0"):
            source.finish()
            return
        _check_sum(header)
        size = _number(header[124:136])
        kind = header[156:157]
        padding = -size % _BLOCK
        if kind in (b"x", b"g", b"L", b"K"):
            if size > _MAX_EXTENDED:
                raise DamagedArchive
            body = source.read(size)
            if len(body) < size:
                raise DamagedArchive
            source.skip(padding)
            if kind == b"g":
                common.update(_pax(body))
            elif kind == b"x":
                own.update(_pax(body))
            elif kind == b"L":
                own["path"] = _text(body)
            first = False
            continue
        extended = {**common, **own}
        own = {}
        name = extended.get("path") or _name(header)
        if "size" in extended:
            size = _decimal(extended["size"])
            padding = -size % _BLOCK
        what = "file"
        if any(key.startswith("GNU.sparse") for key in extended):
            what = "a sparse file"
        elif kind == b"5" or (kind == b"\0" and name.endswith("/")):
            what = "folder"
        elif kind not in _FILE_TYPES:
            what = _KINDS.get(kind, "of an unknown kind")
        if kind in (b"1", b"2", b"3", b"4", b"5", b"6"):  # these have a size of nothing
            size = padding = 0
        member = TarMember(name, what, size)
        limit = limit_for(name) if what == "file" else None
        content: bytes | None = None
        if limit is not None and size <= limit:
            content = source.read(size)
            if len(content) < size:
                raise DamagedArchive
            size = 0
        yield member, content
        source.skip(size)
        # Some programs leave out the padding of the very last member.
        source.read(padding)
        first = False
    if first:
        raise DamagedArchive


def _check_sum(header: bytes) -> None:
    said = _number(header[148:156])
    blanked = header[:148] + b" " * 8 + header[156:]
    # Old programs added the bytes up as signed numbers.
    if said != sum(blanked) and said != sum(byte - 256 if byte > 127 else byte for byte in blanked):
        raise DamagedArchive


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: base 256, for what octal digits cannot hold
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.split(b"\0")[0].strip() or b"0"
    if not all(byte in b"01234567" for byte in digits):
        raise DamagedArchive
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise DamagedArchive
    return int(text)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax(body: bytes) -> dict[str, str]:
    """Return the records "LENGTH KEY=VALUE\\n" of a pax header."""
    records = {}
    at = 0
    while at < len(body):
        blank = body.find(b" ", at, at + 8)
        if blank < 0:
            raise DamagedArchive
        length = _decimal(body[at:blank].decode("latin-1"))
        record = body[blank + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or at + length > len(body):
            raise DamagedArchive
        records[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        at += length
    return records
