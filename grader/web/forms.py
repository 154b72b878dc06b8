"""An item as a form: its controls as HTML, and what a learner filled in as a response."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from grader.quiz.asking import view as view_of
from grader.quiz.model import Item, Response, View
from grader.web import typesetting

if TYPE_CHECKING:
    from jinja2 import Environment

#: (name, value) pairs in the order of the form, as browsers send them
Sent = Sequence[tuple[str, str]]

#: scripts and style of the pages
STATIC = Path(__file__).parent / "static"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@functools.cache
def templates() -> Environment:
    """Return the pages' templates; every text that is put in is escaped unless it is ours."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("grader.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    found.filters.update(block=typesetting.block, line=typesetting.line, plain=typesetting.plain)
    found.globals.update(LETTERS=LETTERS)
    return found


def controls(item: Item, uid: str, given: Response = None) -> Markup:
    """Return prompt and controls of an item as HTML, filled with an earlier response.

    `uid` begins every id, so that several items may stand on one page. The key is nowhere in it.
    """
    shown = view_of(item)
    code = bool(getattr(item.question.spec, "code", False)) and shown.kind == "order"
    template = templates().get_template("item.html").module
    prompt = typesetting.block(shown.prompt)
    lost: tuple[str, ...] = ()
    if shown.type == "cloze":
        filled = given if isinstance(given, dict) else {}
        blanks = {f.id: Markup(template.blank(f, uid, filled.get(f.id, ""))) for f in shown.fields}  # type: ignore[attr-defined]
        prompt, lost = typesetting.with_blanks(shown.prompt, blanks)
    used, left_out = _order(shown, given)
    return Markup(  # an autoescaped template
        template.controls(  # type: ignore[attr-defined]
            view=shown, uid=uid, prompt=prompt, given=given, code=code, used=used, left_out=left_out,
            lost=[field for field in shown.fields if field.id in lost], cells=_cells(shown, given),
        )
    )  # fmt: skip


def _order(shown: View, given: Response) -> tuple[list[Any], list[Any]]:
    """Return the blocks that are used, in their order, and those that are left out."""
    if shown.kind != "order":
        return [], []
    known = {block.id: block for block in shown.options}
    if not isinstance(given, list):
        return list(shown.options), []
    used = [known[one] for one in dict.fromkeys(given) if one in known]
    return used, [block for block in shown.options if block not in used]


def _cells(shown: View, given: Response) -> list[list[str]]:
    if shown.kind != "matrix":
        return []
    rows, columns = shown.shape

    def cell(i: int, j: int) -> str:
        try:
            return str(given[i][j]) if isinstance(given, list) else ""
        except (IndexError, TypeError):
            return ""

    return [[cell(i, j) for j in range(columns)] for i in range(rows)]


def response_of(shown: View, sent: Sent) -> Response:
    """Return what a learner filled in as a response of the view's kind, None where nothing was."""
    first = dict(reversed(sent))
    match shown.kind:
        case "text" | "code" | "essay":
            text = first.get("response", "").replace("\r\n", "\n")
            points = {name[7:]: _number(value) for name, value in sent if name.startswith("points.") and value}
            if shown.kind == "essay" and points:
                return {"text": text, "points": points}
            return text if text.strip() else None
        case "option":
            return first.get("response")
        case "options":
            return [value for name, value in sent if name == "response"] or None
        case "order":
            return [value for name, value in sent if name == "order"] or None
        case "match":
            return _named(sent, "pair.")
        case "fields":
            return _named(sent, "field.")
        case "matrix":
            rows, columns = shown.shape
            cells = [[first.get(f"cell.{i}.{j}", "").strip() for j in range(columns)] for i in range(rows)]
            return cells if any(any(row) for row in cells) else None
    return None


def _named(sent: Sent, prefix: str) -> dict[str, str] | None:
    return {name.removeprefix(prefix): value for name, value in sent if name.startswith(prefix) and value} or None


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def moved(order: Sequence[str], every: Sequence[str], act: str, first: Mapping[str, str]) -> list[str]:
    """Return the order after one button was pressed: up:ID, down:ID, out:ID, in:ID, or move (MOVER after AFTER).

    What is not known changes nothing.
    """
    now = [one for one in dict.fromkeys(order) if one in every]
    what, _, name = act.partition(":")
    if what == "in" and name in every and name not in now:
        return [*now, name]
    if what == "move":
        name, after = first.get("mover", ""), first.get("after", "")
        if name not in now or name == after:
            return now
        now.remove(name)
        now.insert(now.index(after) + 1 if after in now else 0, name)
        return now
    if name not in now:
        return now
    at = now.index(name)
    if what == "out":
        now.remove(name)
    elif what in ("up", "down"):
        other = at + (1 if what == "down" else -1)
        if 0 <= other < len(now):
            now[at], now[other] = now[other], now[at]
    return now
