"""Text that others wrote, made safe to show: printable, cut to size, and escaped for Markdown."""

from __future__ import annotations

import re
from itertools import zip_longest

from grader.submissions.text import safe_text

_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_MARKDOWN = re.compile(r"[\\`*_\[\]{}~|$#]")
_AT_LINE_START = re.compile(r"[-+=]|\d+(?=[.)])")
_LINK = re.compile(r"(?i)://|\bwww\.")


def printable(text: str, limit: int = 200) -> str:
    """Return `text` as one printable line of at most `limit` characters, without spaces at its ends.

    Controls, ANSI sequences, line breaks and bidirectional marks are written as escapes.
    """
    return safe_text(text.strip(), limit).strip()


def printable_lines(text: str, limit: int = 4000, lines: int = 60) -> list[str]:
    """Return the lines of `text`, each printable; at most `limit` characters and `lines` lines in all.

    The middle is left out rather than the end, where an error message has its point. Tabs become spaces.
    """
    if len(text) > limit:
        text = f"{text[: limit // 2]}\n… {len(text) - limit} characters left out …\n{text[-(limit // 2) :]}"
    # Only these end a line: str.splitlines would also break at form feeds and at U+2028.
    found = re.split(r"\r\n|\r|\n", text.rstrip())
    if len(found) > lines:
        half = lines // 2
        found = [*found[:half], f"… {len(found) - 2 * half} lines left out …", *found[-half:]]
    return [safe_text(line.expandtabs(4), limit).rstrip() for line in found] if text.strip() else []


def markdown_text(text: str, limit: int = 400) -> str:
    """Return `text` as one line of Markdown that shows exactly `printable(text, limit)` and does nothing
    else.

    No emphasis, link, image, HTML, table cell, heading, list, quotation or formula can come of it, wherever
    the line stands.
    """
    return _escaped(printable(text, limit), at_line_start=True)


def markdown_prose(text: str, limit: int = 2000) -> str:
    """Return an author's text as one line of Markdown: `code spans` stay, all else is shown as written."""
    line = printable(" ".join(text.split()), limit)
    pieces: list[str] = []
    end = 0
    for span in _CODE_SPAN.finditer(line):
        pieces.append(_escaped(line[end : span.start()], at_line_start=end == 0))
        pieces.append(span[0].replace("|", "\\|"))  # a bar would end a table cell even here
        end = span.end()
    pieces.append(_escaped(line[end:], at_line_start=end == 0))
    return "".join(pieces)


def _escaped(line: str, *, at_line_start: bool) -> str:
    line = _MARKDOWN.sub(r"\\\g<0>", line)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # GitHub makes links of bare addresses: an escape inside keeps them text.
    line = _LINK.sub(lambda found: found[0][:-1] + "\\" + found[0][-1], line)
    if at_line_start and (start := _AT_LINE_START.match(line)):
        digits = start[0] if start[0].isdigit() else ""
        line = f"{digits}\\{line[len(digits) :]}"
    return line


def points(value: float) -> str:
    """Return points for people: at most two decimals, none that are zero; 72.5, 100, 0."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def counted(count: int, noun: str) -> str:
    """Return "1 check", "2 checks"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(words: list[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def in_order(student: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Return a sort key that puts s2 before s10, whatever the case; different ids have different keys."""
    pieces = re.split(r"([0-9]{1,18})", student)
    pairs = zip_longest(pieces[::2], pieces[1::2], fillvalue="")
    return tuple((words.casefold(), int(number or 0)) for words, number in pairs), student
