"""How much of what a student hands in is ever read: sizes in bytes, counts, depths."""

from __future__ import annotations

MIB = 1024 * 1024

MAX_MODULE_BYTES = 2 * MIB  # a .py file, and the code of a notebook
MAX_NOTEBOOK_BYTES = 20 * MIB  # an .ipynb file as it comes, outputs and all
MAX_PROSE_BYTES = 1 * MIB  # markdown and raw cells of a notebook that are kept for a reader
MAX_NOTEBOOK_BRACKETS = 500_000  # "[" and "{": bounds the memory of a parsed notebook to about 200 MiB
MAX_CELLS = 2_000

MAX_ARCHIVE_BYTES = 100 * MIB  # an archive on disk; a larger one is refused unread
MAX_ARCHIVE_INDEX_BYTES = 4 * MIB  # the list of members at the end of a zip
MAX_UNPACKED_BYTES = 64 * MIB  # everything that one archive may unpack to
MAX_MEMBERS = 2_000  # members of an archive, or entries of a student's folder, that are looked at
MAX_DEPTH = 3  # folders above a file that is still taken
MAX_MEMBER_NAME = 1_000  # characters

MAX_STUDENT_ID = 128  # characters
MAX_NOTES = 20  # lines that say what was not taken, from one source
MAX_NOTE = 200  # characters of one such line
MAX_ROSTER_BYTES = 4 * MIB


def size_text(size: int) -> str:
    """Return a size in bytes as a reader says it: "900 bytes", "3.1 MiB"."""
    if size < 1024:
        return f"{size} bytes"
    if size < MIB:
        return f"{size / 1024:.1f} KiB"
    return f"{size / MIB:.1f} MiB"
