"""Sets aside what only IPython understands (magics, shell lines, help) in the source of one notebook cell.

A line that starts a statement with "%", "!" or "?", an assignment of a magic or of a shell line, and a
statement that ends in "?" are never Python; so it is enough to know where statements start, outside strings
and brackets. That is found by a scanner of linear cost: Python's own parser can be made to use much memory by
a hostile cell, and is asked last, and only about cells of ordinary size.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from dataclasses import dataclass

from grader.submissions.text import safe_text

#: Cell magics that run their body in the notebook's own namespace: the body stays.
_KEEP_BODY = frozenset({"time", "timeit", "capture"})
_MAX_PARSED = 200_000  # characters

_SUSPECT = re.compile(r"^[ \t\f]*[%!?]|=[ \t]*[%!]|\?[ \t]*$", re.MULTILINE)
_LEAD = re.compile(r"[ \t\f]*([%!?])")
_CELL_MAGIC = re.compile(r"%%([A-Za-z_]\w*|!)")
_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<quote>'''|\"\"\"|'|")
    | (?P<open>[\[({])
    | (?P<close>[\])}])
    | (?P<joined>\\\n)
    | (?P<newline>\n)
    | (?P<assign>(?<![=!<>+\-*/%&|^@:~])=[ \t]*(?=[%!]))
    | (?P<help>\?+[ \t]*(?=\n|\Z))
    """,
    re.VERBOSE,
)
_KINDS = {"%": "magic", "!": "shell line", "?": "help"}


@dataclass(frozen=True)
class Cleaned:
    """The source without IPython's own lines (None: the whole cell is set aside), and a note for each.

    A note is (line number from 1, or None for the whole cell; text). Line numbers of the source stay.
    """

    source: str | None
    notes: tuple[tuple[int | None, str], ...] = ()


def set_magics_aside(source: str) -> Cleaned:
    r"""Return the cell's source (lines end in "\n") with magics, shell lines and help set aside.

    At the margin such a line becomes a comment, inside a block `pass`, an assigned one `name = None`. A cell
    that is Python as it stands comes back unchanged. `%%time`, `%%timeit` and `%%capture` keep their body;
    any other cell magic sets the whole cell aside.
    """
    lines = source.split("\n")
    notes: list[tuple[int | None, str]] = []
    at = _first_line(lines, 0)
    if at is not None:
        _dedent(lines, at)
    while at is not None and (magic := _CELL_MAGIC.match(lines[at])):
        name = magic.group(1)
        if name not in _KEEP_BODY:
            return Cleaned(None, ((None, f"cell magic %%{safe_text(name, 30)}"),))
        notes.append((at + 1, f"magic {safe_text(lines[at], 60)}"))
        lines[at] = "# " + lines[at]
        at = _first_line(lines, at + 1)
    source = "\n".join(lines)
    if not _SUSPECT.search(source):
        return Cleaned(source, tuple(notes))
    lines, found = _replace(source)
    # The scanner knows strings as they were before Python 3.12; should it ever be wrong about a cell that is
    # plain Python, the parser's word stands.
    if found and len(source) <= _MAX_PARSED and _parses(source):
        return Cleaned(source, tuple(notes))
    return Cleaned("\n".join(lines), (*notes, *found))


def _first_line(lines: list[str], start: int) -> int | None:
    return next((number for number in range(start, len(lines)) if lines[number].strip()), None)


def _dedent(lines: list[str], first: int) -> None:
    # IPython runs a cell that is indented as a whole; Python does not.
    text = lines[first].lstrip(" \t")
    indentation = lines[first][: len(lines[first]) - len(text)]
    if indentation and not text.startswith("#"):
        for number, line in enumerate(lines):
            lines[number] = line.removeprefix(indentation)


def _parses(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _replace(source: str) -> tuple[list[str], list[tuple[int | None, str]]]:
    """Return the lines with IPython's own ones replaced, and the notes."""
    lines = source.split("\n")
    starts = [0]
    for text in lines[:-1]:
        starts.append(starts[-1] + len(text) + 1)
    notes: list[tuple[int | None, str]] = []

    def line_at(position: int) -> int:
        return bisect_right(starts, position) - 1

    def set_aside(first: int, last: int, instead: str, kind: str) -> None:
        notes.append((first + 1, f"{kind} {safe_text(lines[first].strip(), 60)}"))
        lines[first] = instead
        for number in range(first + 1, last + 1):
            lines[number] = ""

    def after(line: int) -> int:
        return starts[line + 1] if line + 1 < len(starts) else len(source)

    position = statement = depth = 0
    fresh = True  # at the start of a statement
    while position < len(source):
        if fresh:
            statement = line_at(position)
            if lead := _LEAD.match(source, position):
                last = _last_continued(lines, statement)
                set_aside(statement, last, _instead(lines[statement]), _KINDS[lead.group(1)])
                position = after(last)
                continue
            fresh = False
        token = _TOKEN.search(source, position)
        if token is None:
            break
        position = token.end()
        if token["quote"]:
            position = _end_of_string(source, token.end(), token["quote"])
        elif token["open"]:
            depth += 1
        elif token["close"]:
            depth = max(depth - 1, 0)
        elif token["newline"]:
            fresh = depth == 0
        elif token["assign"] and depth == 0:
            line = line_at(token.start())
            last = _last_continued(lines, line)
            kind = _KINDS[source[token.end()]]
            target = lines[line][: token.start() - starts[line]]
            if line == statement and "," not in target and target.lstrip()[:1] not in ("(", "[", "*"):
                set_aside(line, last, f"{target.rstrip()} = None", kind)
            else:
                set_aside(statement, last, _instead(lines[statement]), kind)
            position, fresh = after(last), True
        elif token["help"] and depth == 0:
            line = line_at(token.start())
            if line == statement:
                set_aside(line, line, _instead(lines[line]), "help")
    return lines, notes


def _instead(line: str) -> str:
    text = line.lstrip(" \t\f")
    # At the margin a comment, so that `from __future__` may follow; in a block there may be nothing else.
    return line[: len(line) - len(text)] + "pass" if text != line else "# " + line


def _last_continued(lines: list[str], line: int) -> int:
    while line + 1 < len(lines) and lines[line].endswith("\\"):
        line += 1
    return line


def _end_of_string(source: str, position: int, quote: str) -> int:
    """Return where the string whose body starts at `position` ends; an open one ends with its line."""
    ends = {"'": _ENDS_SINGLE, '"': _ENDS_DOUBLE, "'''": _ENDS_TRIPLE_SINGLE, '"""': _ENDS_TRIPLE_DOUBLE}[quote]
    while mark := ends.search(source, position):
        position = mark.end()
        if mark[0] == quote:
            return position
        if mark[0] == "\n":
            return position - 1
    return len(source)


_ENDS_SINGLE = re.compile(r"\\.|\n|'", re.DOTALL)
_ENDS_DOUBLE = re.compile(r'\\.|\n|"', re.DOTALL)
_ENDS_TRIPLE_SINGLE = re.compile(r"\\.|'''", re.DOTALL)
_ENDS_TRIPLE_DOUBLE = re.compile(r'\\.|"""', re.DOTALL)
