"""A quiz form as Markdown to be printed: the questions of one student, room for the answers, and no key."""

from __future__ import annotations

import re
import string

from grader.quiz.asking import view
from grader.quiz.model import View
from grader.quiz.offline import Form
from grader.reports.text import markdown_text

_BLANK = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_RULE = "_" * 48


def paper(form: Form) -> str:
    """Return a form as Markdown; its id and seed stand on it, so that an answer sheet is never taken for another."""
    name = f" ({markdown_text(form.name)})" if form.name else ""
    lines = [
        f"# {form.quiz.title}",
        "",
        f"Student: **{markdown_text(form.student)}**{name}  ",
        f"Form: `{form.id}`  Seed: `{form.seed_id}`  Questions: {len(form.items)}",
        "",
    ]
    if form.quiz.about:
        lines += [form.quiz.about.strip(), ""]
    for number, item in enumerate(form.items, 1):
        lines += _question(number, view(item))
    return "\n".join(lines).rstrip() + "\n"


def _question(number: int, shown: View) -> list[str]:
    blanks = {field.id: n for n, field in enumerate(shown.fields, 1)}
    prompt = _BLANK.sub(lambda m: f"\\_\\_\\_\\_({blanks[m[1]]})" if m[1] in blanks else m[0], shown.prompt)
    lines = [f"## {number}", "", prompt.strip(), ""]
    for code in (shown.code, shown.starter):
        if code:
            lines += ["```python", code.rstrip("\n"), "```", ""]
    lines += [f"- `{symbol.id}`: {symbol.text}".rstrip(": ") for symbol in shown.symbols]
    lines += [""] if shown.symbols else []
    for n, choice in enumerate(shown.left, 1):
        lines.append(f"{n}. {choice.text}")
    lines += [""] if shown.left else []
    lines += _lettered(shown)
    if shown.rule:
        lines += [f"*{shown.rule}*", ""]
    return [*lines, *_room(shown), ""]


def _lettered(shown: View) -> list[str]:
    code = shown.kind == "order"
    lines = []
    for letter, choice in zip(string.ascii_lowercase, shown.options, strict=False):
        text = choice.text.strip()
        lines.append(
            f"- ({letter}) `{text}`" if code and "$" not in text and "`" not in text else f"- ({letter}) {text}"
        )
    return [*lines, ""] if lines else []


def _room(shown: View) -> list[str]:
    """Return where the answer is written."""
    match shown.kind:
        case "option":
            return [f"One letter: {'_' * 4}"]
        case "options":
            return [f"All letters that hold: {'_' * 16}"]
        case "order":
            return [f"The letters in order: {'_' * 24}"]
        case "match":
            return ["   ".join(f"{n}: ____" for n in range(1, len(shown.left) + 1))]
        case "fields":
            found = []
            for n, field in enumerate(shown.fields, 1):
                hint = f" ({field.hint})" if field.hint else ""
                offered = "".join(f"\n    - {option.text}" for option in field.options)
                found.append(f"- ({n}) {field.label}{hint}: {'_' * 20}{offered}")
            return found
        case "matrix":
            rows, columns = shown.shape
            return ["   ".join(["________"] * columns) + "  " for _ in range(rows)]
        case "code" | "essay":
            return [line for _ in range(12 if shown.kind == "code" else 8) for line in (_RULE, "")]
    unit = f" {shown.unit}" if shown.unit else ""
    return [f"Answer: {'_' * 24}{unit}"]
