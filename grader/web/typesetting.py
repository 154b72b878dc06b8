"""Setting authors' texts for the browser: Markdown becomes HTML, and its formulas MathML, without any script."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from markdown_it import MarkdownIt

_SPACED = frozenset("=<>≤≥≠≈→∈")
_PLACE = re.compile(r"\{\{\s*([A-Za-z][A-Za-z0-9_]*)\s*\}\}")
_PARAGRAPH = re.compile(r"<p>(.*)</p>\s*", re.DOTALL)


@functools.cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    # raw HTML stays text; pictures would be fetched from somewhere, which neither page may do
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    reader.use(dollarmath_plugin, allow_space=False, allow_digits=True, double_inline=True, renderer=_rendered)
    return reader


def _rendered(tex: str, how: Mapping[str, Any]) -> str:
    return formula(tex, display=bool(how.get("display_mode")))


@functools.lru_cache(maxsize=4096)
def formula(tex: str, *, display: bool = False) -> str:
    """Return a TeX formula as MathML; one that cannot be read is shown as it is written."""
    from latex2mathml.converter import convert

    try:
        found: str = convert(tex.strip(), display="block" if display else "inline")
    except Exception:  # the library has no exception of its own: whatever it is, the TeX can still be read
        return f'<code class="tex">{html.escape(tex.strip())}</code>'
    return found


@functools.lru_cache(maxsize=4096)
def block(text: str) -> Markup:
    """Return an author's text as paragraphs of HTML."""
    return Markup(_markdown().render(text))  # raw HTML is off: what comes out is ours


@functools.lru_cache(maxsize=4096)
def line(text: str) -> Markup:
    """Return an author's text as HTML that fits in a line, such as a label: a sole paragraph loses its mark."""
    whole = _markdown().render(text).strip()
    match = _PARAGRAPH.fullmatch(whole)
    return Markup(match.group(1) if match and "<p>" not in match.group(1) else whole)


@functools.lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Return an author's text without any mark-up, for places that take none, such as the options of a select."""
    from xml.etree.ElementTree import ParseError, fromstring

    found = []
    for token in _markdown().parse(text):
        for child in token.children or ():
            if child.type == "math_inline":
                try:
                    found.append(_spoken(fromstring(formula(child.content))))  # our own MathML
                except ParseError:
                    found.append(child.content)
            elif child.type in ("softbreak", "hardbreak"):
                found.append(" ")
            else:
                found.append(child.content)
        if token.type in ("fence", "code_block"):
            found.append(token.content)
        if token.type == "inline":
            found.append(" ")
    return " ".join("".join(found).split())


def _spoken(node: Element) -> str:
    """Return MathML as a line of text: x_1, a^2, (1)/(n)."""
    parts = [_spoken(child) for child in node]
    tag = node.tag.rpartition("}")[2]
    if tag in ("msub", "munder") and len(parts) == 2:
        return f"{parts[0]}_{_grouped(parts[1])}"
    if tag in ("msup", "mover") and len(parts) == 2:
        return f"{parts[0]}^{_grouped(parts[1])}"
    if tag in ("msubsup", "munderover") and len(parts) == 3:
        return f"{parts[0]}_{_grouped(parts[1])}^{_grouped(parts[2])}"
    if tag == "mfrac" and len(parts) == 2:
        return f"({parts[0]})/({parts[1]})"
    if tag == "msqrt":
        return f"√({''.join(parts)})"
    if tag == "mtr":
        return ", ".join(parts) + "; "
    own = (node.text or "").strip()
    return f" {own} " if tag == "mo" and own in _SPACED else own + "".join(parts)


def _grouped(text: str) -> str:
    return text if len(text) == 1 else f"{{{text}}}"


def with_blanks(text: str, blanks: Mapping[str, Markup]) -> tuple[Markup, tuple[str, ...]]:
    """Return a cloze as HTML with its blanks in place, and the names of those that found none (inside a formula)."""
    seen: list[str] = []

    def put(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in blanks or name in seen:
            return match.group()
        seen.append(name)
        return str(blanks[name])

    filled = _PLACE.sub(put, str(block(text)))
    return Markup(filled), tuple(name for name in blanks if name not in seen)
