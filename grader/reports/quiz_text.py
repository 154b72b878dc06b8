r"""Texts of quizzes for a terminal: $TeX$ as Unicode, Markdown as plain words.

Signs and accents are pylatexenc's; fractions, scripts, roots and matrices are written here, because on one line they
need brackets that TeX does not: \frac{a+b}{c} is (a+b)/c, and x^{2n} is not x^2n.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylatexenc.latex2text import LatexNodes2Text  # type: ignore[import-untyped]  # it has no types

_MATHS = re.compile(r"\$\$(.+?)\$\$|\$(?!\s)((?:[^$\\]|\\.)*?)(?<!\s)\$", re.DOTALL)
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_UP = dict(zip("0123456789+-=()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True)) | {
    "T": "ᵀ",
    "⊤": "ᵀ",
    "−": "⁻",
}
_DOWN = dict(zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)) | {"−": "₋"}
#: signs that want room on both sides
_SPACED = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "ll": "≪", "gg": "≫", "approx": "≈",
    "equiv": "≡", "sim": "∼", "propto": "∝", "in": "∈", "notin": "∉", "to": "→", "rightarrow": "→",
    "leftarrow": "←", "Rightarrow": "⇒", "mapsto": "↦", "cdot": "·", "times": "×", "odot": "⊙", "otimes": "⊗",
    "pm": "±", "mid": "|", "colon": ":",
}  # fmt: skip
_GLUED = {"|": "‖", "lVert": "‖", "rVert": "‖", "Vert": "‖", "lvert": "|", "rvert": "|", "vert": "|", "top": "⊤"}
_NAMES = frozenset(
    ["log", "exp", "ln", "tanh", "sinh", "cosh", "sin", "cos", "tan", "max", "min", "arg", "lim", "sup", "inf", "det"]
)
_WIDE = {"widehat": "hat", "widetilde": "tilde"}
_LEFT_OUT = re.compile(r"\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big|displaystyle|nolimits|limits)(?![a-zA-Z])\s*\.?")
_ATOM = re.compile(r"√?[\w.⁰-₟′]+|[^\W_]+\([^()]*\)|\([^()]*\)")
DEPTH = 12


def readable(text: str, inside: Callable[[str], str] = str) -> str:
    """Return a text with every formula as Unicode; `inside` may quote what a formula became. Code stays as it is."""

    def formula(match: re.Match[str]) -> str:
        return inside(maths(match.group(1) or match.group(2)))

    parts = _CODE.split(text)
    return "".join(part if n % 2 else _MATHS.sub(formula, part) for n, part in enumerate(parts))


def plain(text: str) -> str:
    """Return a Markdown text with formulas as plain lines: no stars around words, no escapes."""
    parts = _CODE.split(readable(text))
    for n in range(0, len(parts), 2):
        parts[n] = re.sub(r"\*\*(\S(?:.*?\S)?)\*\*", r"\1", parts[n], flags=re.DOTALL)
    return "".join(parts).strip()


def for_markdown(text: str) -> str:
    """Return a text whose formulas are Unicode and mean nothing to Markdown."""
    return readable(text, lambda formula: re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", formula))


@functools.lru_cache(maxsize=2048)
def maths(tex: str) -> str:
    """Return a formula on one line of Unicode; one that cannot be read is returned as it is."""
    try:
        return " ".join(_maths(tex, 0).split())
    except (ValueError, RecursionError):
        return tex


def _maths(tex: str, depth: int) -> str:
    if depth > DEPTH:
        raise ValueError("too deep")
    text = _LEFT_OUT.sub("", tex)
    text = re.sub(r"\\(?:quad|qquad)(?![a-zA-Z])", "  ", text)
    text = re.sub(r"\\begin\{([a-zA-Z]*)\*?\}(.*?)\\end\{\1\*?\}", lambda m: _table(m, depth), text, flags=re.DOTALL)
    text = re.sub(r"\\([a-zA-Z]+|\|)[ \t]*", _sign, text)
    text = _groups(text, depth)
    return _converter().latex_to_text(f"${text}$") if "\\" in text or "{" in text else text


def _sign(match: re.Match[str]) -> str:
    name, following = match.group(1), match.string[match.end() : match.end() + 1]
    if name in _SPACED:
        return f" {_SPACED[name]} "
    if name in _NAMES:
        return name + (" " if following.isalnum() or following == "\\" else "")
    if name in _WIDE:
        return f"\\{_WIDE[name]}"
    # pylatexenc takes the blanks after a sign away, as TeX does; before another sign they are wanted here
    if name in _GLUED:
        room = "" if name.startswith("l") else match.group()[len(name) + 1 :]
        return _GLUED[name] + room
    return f"\\{name}{{}} " if match.group().endswith(" ") and following in "=+-<>≤≥" else match.group()


def _table(match: re.Match[str], depth: int) -> str:
    rows = [row for row in re.split(r"\\\\", match.group(2)) if row.strip()]
    cells = [[" ".join(_maths(cell, depth + 1).split()) for cell in row.split("&")] for row in rows]
    if match.group(1) == "cases":
        return "; ".join(", ".join(row) for row in cells)
    return "[" + "; ".join("  ".join(row) for row in cells) + "]"


def _groups(text: str, depth: int) -> str:
    """Write fractions, roots and scripts with what they hold."""
    out: list[str] = []
    at = 0
    while at < len(text):
        found = re.compile(r"\\[dt]?frac(?![a-zA-Z])|\\sqrt(?![a-zA-Z])|(?<!\\)[\^_]|\\.").search(text, at)
        if found is None:
            out.append(text[at:])
            break
        out.append(text[at : found.start()])
        at = found.end()
        word = found.group()
        if word.endswith("frac"):
            top, at = _argument(text, at)
            bottom, at = _argument(text, at)
            out.append(f"{_bracketed(_part(top, depth))}/{_bracketed(_part(bottom, depth))}")
        elif word == "\\sqrt":
            root, at = _argument(text, at)
            out.append(f"√{_bracketed(_part(root, depth))}")
        elif word in "^_":
            script, at = _argument(text, at)
            # a letter as a script must not become part of the command before it
            apart = "{}" if re.search(r"\\[a-zA-Z]+\s*$", "".join(out)) else ""
            out.append(apart + _script(word, _part(script, depth)))
        else:
            out.append(word)
    return "".join(out)


def _part(tex: str, depth: int) -> str:
    return " ".join(_maths(tex, depth + 1).split())


def _argument(text: str, at: int) -> tuple[str, int]:
    """Return the next group, command or character, and where it ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    if at >= len(text):
        return "", at
    if text[at] == "\\":
        command = re.compile(r"\\(?:[a-zA-Z]+|.)(?:\{[^{}]*\})*").match(text, at)
        return (command.group(), command.end()) if command else ("", at + 1)
    if text[at] != "{":
        return text[at], at + 1
    level = 0
    for end in range(at, len(text)):
        if text[end] in "{}" and text[end - 1 : end] != "\\":
            level += 1 if text[end] == "{" else -1
        if level == 0:
            return text[at + 1 : end], end + 1
    raise ValueError("a brace is left open")


def _script(sign: str, inner: str) -> str:
    letters = _UP if sign == "^" else _DOWN
    tight = inner.replace(" ", "")
    if tight and all(letter in letters for letter in tight):
        return "".join(letters[letter] for letter in tight)
    return f"{sign}{inner}" if _ATOM.fullmatch(inner) or len(inner) < 2 else f"{sign}({inner})"


def _bracketed(inner: str) -> str:
    return inner if len(inner) < 2 or _ATOM.fullmatch(inner) else f"({inner})"


@functools.cache
def _converter() -> LatexNodes2Text:
    from pylatexenc.latex2text import LatexNodes2Text

    return LatexNodes2Text(math_mode="text", strict_latex_spaces=True)
