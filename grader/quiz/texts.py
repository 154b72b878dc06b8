"""Filling an author's text: parameters in {{...}}, and the bank's TeX macros."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from grader.quiz.arithmetic import ArithmeticProblem, Value, compute, parse, unknown

_PLACE = re.compile(r"\{\{([^{}]+)\}\}")
_FORMAT = re.compile(r"\.?\d*[,.]?\d*[efgd%]?")
_MATHS = re.compile(r"\$\$.+?\$\$|\$(?!\s)[^$]*?(?<!\s)\$", re.DOTALL)
_MACRO = re.compile(r"\\[a-zA-Z]+")
MACRO_DEPTH = 8


def plain_number(value: Value) -> str:
    """Return a number as people write it: whole numbers whole, others with at most six significant digits."""
    if isinstance(value, int | str):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(plain_number(one) for one in value) + "]"
    return f"{value:.6g}"


def fill(text: str, values: Mapping[str, Value], keep: Collection[str] = ()) -> str:
    """Return `text` with every {{expression}} or {{expression:format}} computed; raise ArithmeticProblem.

    Names in `keep` (the blanks of a cloze) stay as they are.
    """

    def one(match: re.Match[str]) -> str:
        inside = match.group(1).strip()
        if inside in keep:
            return match.group()
        expression, _, form = inside.partition(":")
        value = compute(expression.strip(), values)
        if not form:
            return plain_number(value)
        if not _FORMAT.fullmatch(form) or not isinstance(value, int | float):
            raise ArithmeticProblem(f"`{form}` is no format for {value!r}")
        try:
            return format(value, form)
        except ValueError:
            raise ArithmeticProblem(f"`{form}` is no format for {value!r}") from None

    return _PLACE.sub(one, text) if "{{" in text else text


def strange_places(text: str, known: Collection[str]) -> list[str]:
    """Return what is wrong with the {{...}} of a text, a sentence each."""
    found = []
    for inside in _PLACE.findall(text):
        expression = inside.strip().partition(":")[0].strip()
        if inside.strip() in known:
            continue
        try:
            parse(expression)
            strangers = unknown(expression, known)
        except ArithmeticProblem as problem:
            found.append(str(problem))
            continue
        found += [f"{{{{{inside.strip()}}}}} names `{name}`, which is no parameter" for name in sorted(strangers)]
    return found


def places_of(text: str) -> list[str]:
    """Return what stands in the {{...}} of a text, in order."""
    return [inside.strip() for inside in _PLACE.findall(text)]


def formulas(text: str) -> list[str]:
    """Return the TeX of a text's formulas, without the dollars."""
    return [match.strip("$") for match in _MATHS.findall(text)]


def expand(text: str, macros: Mapping[str, str]) -> str:
    r"""Return `text` with the bank's macros written out inside its formulas; `#1` takes the next {group}."""
    if not macros:
        return text
    return _MATHS.sub(lambda match: _written_out(match.group(), macros), text)


def _written_out(formula: str, macros: Mapping[str, str]) -> str:
    for _ in range(MACRO_DEPTH):
        before = formula
        for name, body in macros.items():
            pattern = re.compile(re.escape(name) + r"(?![a-zA-Z])" + (r"\s*\{([^{}]*)\}" if "#1" in body else ""))
            formula = pattern.sub(lambda match, body=body: _body(match, body), formula)  # type: ignore[misc]
        if formula == before:
            break
    return formula


def _body(match: re.Match[str], body: str) -> str:
    if "#1" in body:
        return body.replace("#1", match.group(1))
    following = match.string[match.end() : match.end() + 1]
    # \R x and \Rx are one thing; a body that ends in a command must not swallow the next letter
    return body + (" " if following.isalpha() and re.search(r"\\[a-zA-Z]+$", body) else "")


def commands(formula: str) -> list[str]:
    """Return the TeX commands of a formula."""
    return _MACRO.findall(formula)
