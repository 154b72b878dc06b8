"""What is typed at a terminal and the response that it stands for, in both directions."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from typing import Any

from grader.quiz.answers import Misread
from grader.quiz.model import Choice, Field, Response, View

LETTERS = string.ascii_lowercase
#: the line that ends an answer of several lines
END = "."

_PAIR = re.compile(r"(\d+)\s*(?:[-=:>]+\s*)?([a-z])(?![a-z])", re.IGNORECASE)


def takes_lines(view: View) -> bool:
    """Say whether an answer has several lines, ended by a line with a dot."""
    return view.kind in ("code", "essay") or view.type == "output"


def how(view: View) -> str:
    """Return in a sentence what is typed, empty where that goes without saying."""
    last = LETTERS[len(view.options) - 1] if view.options else "a"
    match view.kind:
        case "option":
            return f"Type a letter, a to {last}."
        case "options":
            return "Type the letters of all that hold, like: a c"
        case "order":
            return "Type the letters in order, like: c a b"
        case "match":
            return "Type number and letter of each pair, like: 1b 2a"
        case "matrix":
            return f"Type {view.shape[0]} rows of {view.shape[1]}, like: 1 2; 3 4" if view.shape else ""
    return f"Several lines are taken; end with a line that holds only a dot ({END})." if takes_lines(view) else ""


def response_of(view: View, lines: Sequence[str]) -> Response:
    """Return the response that was typed; raise Misread. Fields take a line each, everything else one or several."""
    whole = "\n".join(lines)
    match view.kind:
        case "option":
            return _one(view.options, whole)
        case "options" | "order":
            return _several(view.options, whole)
        case "match":
            return _pairs(view, whole)
        case "fields":
            return {field.id: _field(field, line) for field, line in zip(view.fields, lines, strict=True)}
    return whole


def lines_of(view: View, response: Response) -> list[str]:
    """Return what is typed to hand in a response; what no key press stands for becomes a line `!json ...`."""
    try:
        lines = _lines(view, response)
        if response_of(view, lines) == response and not any(line.startswith("!") or line == END for line in lines):
            return [*lines, END] if takes_lines(view) else lines
    except (Misread, KeyError, TypeError, ValueError, AttributeError, StopIteration):
        pass
    return [f"!json {json.dumps(response)}"]


def _lines(view: View, response: Any) -> list[str]:
    letters = {choice.id: letter for choice, letter in zip(view.options, LETTERS, strict=False)}
    match view.kind:
        case "option":
            return [letters[response]]
        case "options" | "order":
            return [" ".join(letters[one] for one in response)]
        case "match":
            numbers = {choice.id: n for n, choice in enumerate(view.left, 1)}
            return [" ".join(f"{numbers[left]}{letters[right]}" for left, right in response.items())]
        case "fields":
            return [_field_line(field, response[field.id]) for field in view.fields]
    text = str(response.strip() and response)
    return text.split("\n") if takes_lines(view) else [text]


def _field_line(field: Field, value: Any) -> str:
    if field.kind != "option":
        return str(value)
    return next(letter for choice, letter in zip(field.options, LETTERS, strict=False) if choice.id == value)


def _field(field: Field, line: str) -> str:
    return _one(field.options, line) if field.kind == "option" else line


def _one(options: Sequence[Choice], text: str) -> str:
    word = text.strip().strip("().")
    by_letter = dict(zip(LETTERS, options, strict=False))
    if word.lower() in by_letter:
        return by_letter[word.lower()].id
    if word in {choice.id for choice in options}:
        return word
    raise Misread(f"Type a letter from a to {LETTERS[len(options) - 1]}.")


def _several(options: Sequence[Choice], text: str) -> list[str]:
    words = [word for word in re.split(r"[\s,;>]+", text.strip()) if word]
    known = {choice.id for choice in options}
    if len(words) == 1 and words[0] not in known:
        words = list(words[0])  # acd is a c d
    return [_one(options, word) for word in words]


def _pairs(view: View, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = _PAIR.sub("", text).strip(" ,;\n\t")
    if rest:
        raise Misread("Type number and letter of each pair, like 1b 2a.")
    for number, letter in _PAIR.findall(text):
        at = int(number) - 1
        if not 0 <= at < len(view.left) or LETTERS.index(letter.lower()) >= len(view.options):
            raise Misread(f"There is no pair {number}{letter}.")
        if view.left[at].id in found:
            raise Misread(f"{number} has two letters.")
        found[view.left[at].id] = view.options[LETTERS.index(letter.lower())].id
    return found
