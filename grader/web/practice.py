"""The practice page: a bank in one file that needs neither server nor network, and carries its key."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from markupsafe import Markup

from grader.errors import QuizError
from grader.quiz.asking import hint, solution, view
from grader.quiz.model import Bank, Item, Question
from grader.quiz.parameters import Stream
from grader.quiz.types import free
from grader.web import typesetting
from grader.web.forms import STATIC, controls, templates
from grader.web.keys import key_of

#: variants of a question that a page carries: enough to try again, and the file stays small
VARIANTS = 3
SCRIPTS = ("marking.js", "blocks.js", "responses.js", "practice.js")


def write_page(bank: Bank, path: Path, *, tags: Collection[str] = (), levels: Collection[str] = ()) -> tuple[int, int]:
    """Write a bank's practice page and return how many questions it has, and its size in bytes.

    Raises QuizError for a graded bank, and where no question has the tags and levels; OSError.
    """
    page, count = practice_page(bank, tags=tags, levels=levels)
    content = page.encode()
    path.write_bytes(content)
    return count, len(content)


def practice_page(bank: Bank, *, tags: Collection[str] = (), levels: Collection[str] = ()) -> tuple[str, int]:
    """Return a bank's practice page and how many questions it has; raise QuizError."""
    if bank.graded:
        raise QuizError(
            f"{bank.id} is graded, and a practice page carries its key",
            advice=f"Serve it instead: grader quiz serve {bank.id} --roster FILE",
        )
    questions = [
        question
        for question in bank.questions
        if (not tags or set(tags) & set(question.tags)) and (not levels or question.level in levels)
    ]
    if not questions:
        raise QuizError(
            f"no question of {bank.id} has these tags and levels", advice=f"Its tags: {', '.join(bank.tags)}"
        )
    asked = [[_item(item, f"q{n}-{k}") for k, item in enumerate(_items(q))] for n, q in enumerate(questions, 1)]
    data = {f"q{n}": [variant["data"] for variant in variants] for n, variants in enumerate(asked, 1)}
    style = (STATIC / "quiz.css").read_text(encoding="utf-8")
    script = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    # nothing but these two pieces may run or dress the page, and nothing may be fetched
    policy = (
        f"default-src 'none'; script-src '{hashed(script)}'; style-src '{hashed(style)}'; img-src data:; "
        "form-action 'none'; base-uri 'none'"
    )
    page = templates().get_template("practice.html").render(
        bank=bank, questions=questions, asked=asked, policy=policy, style=Markup(style), script=Markup(script),
        data=Markup(embedded(data)), marked=sum(bool(variants[0]["data"]["key"]) for variants in asked),
    )  # fmt: skip
    return page, len(questions)


def _items(question: Question) -> list[Item]:
    """Return a few variants of a question, their options shuffled, the same in every page."""
    stream = Stream(f"page\0{question.name}")
    return [Item(question, variant, stream.below(1 << 31)) for variant in question.variants[:VARIANTS]]


def _item(item: Item, uid: str) -> dict[str, Any]:
    """Return an item's form, and what the script needs to mark it and to explain."""
    shown, after = view(item), solution(item)
    whys = {name: str(typesetting.line(text)) for name, text in after.whys.items()}
    texts = {option.id: option.text for option in shown.options}
    texts |= {f"{field.id}.{option.id}": option.text for field in shown.fields for option in field.options}
    data = {
        "type": shown.type,
        "kind": shown.kind,
        "shape": list(shown.shape),
        "key": key_of(item),
        "answer": str(typesetting.block(after.answer)),
        "explain": str(typesetting.block(after.explain)),
        "whys": [[str(typesetting.line(texts[name])), why] for name, why in whys.items() if name in texts],
        "hints": [str(typesetting.line(hint(item, n))) for n in range(len(item.question.hints))],
        "costs": [one.cost for one in item.question.hints],
        "rubric": free.rubric(item) if shown.type == "free" else [],
    }
    return {"uid": uid, "form": controls(item, uid), "data": data}


def hashed(text: str) -> str:
    """Return what a content security policy calls a piece of script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded(data: Any) -> str:
    """Return JSON that ends no script element before its time."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
