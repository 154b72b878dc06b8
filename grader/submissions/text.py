"""Text that comes from outside made fit to show: one line, printable, bounded; and student ids made safe."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from grader.submissions.limits import MAX_NOTES, MAX_STUDENT_ID

# Controls (ANSI sequences start with one), format characters (bidi overrides, zero width), surrogates,
# private use, unassigned, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe_text(text: str, limit: int = 200) -> str:
    r"""Return `text` as one printable line of at most `limit` characters.

    What could move a cursor, reorder text or break a line is written as an escape ("\x1b", "\u202e");
    odd spaces become plain ones; what is cut off ends in "…".
    """
    shown: list[str] = []
    length = 0
    # Cut first: a hostile text of many megabytes costs no more than a short one.
    for character in text[: limit + 1]:
        category = unicodedata.category(character)
        if category in _UNPRINTABLE:
            character = character.encode("unicode_escape", "surrogatepass").decode("ascii")
        elif category == "Zs":
            character = " "
        shown.append(character)
        length += len(character)
        if length > limit:
            break
    if length <= limit and len(text) <= limit:
        return "".join(shown)
    while shown and length > limit - 1:
        length -= len(shown.pop())
    return "".join(shown) + "…" if limit > 0 else ""


def student_id(name: str) -> str:
    """Return the student id that the name of a folder or file stands for.

    The id is in Unicode normal form NFC and free of control, format (bidi) and separator characters, of
    slashes and backslashes, and no longer than 128 characters. A name that had to be changed for that gets
    eight digits of its SHA-256 at the end, so that two odd names never become one id.
    """
    whole = unicodedata.normalize("NFC", name).strip()
    clean = "".join("_" if character in "/\\" or not character.isprintable() else character for character in whole)
    if clean == whole and 0 < len(clean) <= MAX_STUDENT_ID and clean.strip("."):
        return clean
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean[: MAX_STUDENT_ID - 9].strip('. ') or 'student'}-{mark}"


def listed(lines: Sequence[str], limit: int = MAX_NOTES) -> tuple[str, ...]:
    """Return the first `limit` lines, and one that counts the others."""
    if len(lines) <= limit:
        return tuple(lines)
    return (*lines[:limit], f"and {len(lines) - limit} more")
