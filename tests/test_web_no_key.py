"""What a server's pages and answers are made of: the same bytes whatever the key is.

Looking for keys in a page finds what was looked for. Here two banks are alike but for their keys; whoever takes
both sees the same pages and the same replies, so that nothing of a key can be in them, in whatever form.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")
pytest.importorskip("httpx2", reason="httpx2 is not installed")

from starlette.testclient import TestClient

from grader.gradebook.quizzes import QuizBook
from grader.quiz import asking, sitting
from grader.quiz.loading import parse_bank
from grader.quiz.model import Bank
from grader.quiz.sitting import Rules
from grader.web.access import Keys
from grader.web.desk import Desk
from grader.web.server import COOKIE, application

from .quiz_banks import written

SECRET = bytes(range(32))
LETTERS = [{"id": one, "text": f"Option {one}."} for one in "abcd"]


def options(*correct: str) -> list[dict[str, Any]]:
    return [one | ({"correct": True} if one["id"] in correct else {"why": "It is not so."}) for one in LETTERS]


#: question without its key, the keys of one bank and of the other
PAIRS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"type": "numeric"}, {"answer": {"value": 48173, "exact": True}}, {"answer": {"value": 90210, "exact": True}}),
    (
        {
            "type": "numeric",
            "params": {"n": {"choice": [3, 5, 7]}},
            "variants": {"count": 3, "seed": 1},
            "prompt": "{{n}}?",
        },
        {"answer": {"value": "2*n", "rel": 0.01}, "wrong": [{"value": "n", "feedback": "Once."}]},
        {"answer": {"value": "n**3", "rel": 0.01}},
    ),
    ({"type": "choice"}, {"options": options("a")}, {"options": options("d")}),
    ({"type": "multi"}, {"options": options("a", "b")}, {"options": options("c")}),
    (
        {"type": "expression", "symbols": {"n": {"int": [1, 9]}, "m": {"int": [1, 9]}}},
        {"answer": {"expr": "n*m + 17", "test": "polynomial"}},
        {"answer": {"expr": "(n+m)^3", "test": "polynomial"}},
    ),
    ({"type": "output", "code": "print(a_name)"}, {"answer": {"stdout": "43211"}}, {"answer": {"raises": "NameError"}}),
    (
        {"type": "shape", "dims": ["B", "T"]},
        {"fields": [{"id": "out", "label": "out", "answer": ["B", "T"]}]},
        {"fields": [{"id": "out", "label": "out", "answer": ["T", "B", "B"]}]},
    ),
    (
        {"type": "matrix"},
        {"answer": {"value": [[17, 2], [3, 48]], "abs": 0.5}},
        {"answer": {"value": [[91, 5], [0, 60]], "abs": 0.5}},
    ),
    (
        {"type": "cloze", "prompt": "It is {{x}}, and {{y}}, {{z}}."},
        {
            "fields": {
                "x": {"type": "numeric", "answer": {"value": 41, "exact": True}},
                "y": {"type": "text", "accept": ["forgetting"]},
                "z": {"type": "choice", "options": options("b")},
            }
        },
        {
            "fields": {
                "x": {"type": "numeric", "answer": {"value": 73, "exact": True}},
                "y": {"type": "text", "accept": ["clipping"]},
                "z": {"type": "choice", "options": options("c")},
            }
        },
    ),
    (
        {"type": "match"},
        {"pairs": [["p", "one", "first"], ["q", "two", "second"], ["r", "three", "third"]]},
        {"pairs": [["p", "one", "third"], ["q", "two", "first"], ["r", "three", "second"]]},
    ),
    (
        {"type": "free", "prompt": "Explain."},
        {"model": "The gate.", "rubric": [{"id": "g", "points": 1, "text": "Gate."}]},
        {"model": "The state.", "rubric": [{"id": "s", "points": 3, "text": "State."}]},
    ),
]
SAME = {"prompt": "What is asked?", "hints": [{"text": "Think of it.", "cost": 0.2}]}


def bank_of(which: int) -> Bank:
    made = [copy.deepcopy({**SAME, **pair[0], **pair[which]}) for pair in PAIRS]
    bank, findings = parse_bank(written(made), Path("bank.yaml"))
    assert bank is not None, [str(one) for one in findings]
    return bank


def everything_seen(book: QuizBook, bank: Bank, reveal: str) -> list[tuple[str, str]]:
    """Return all that one is sent who opens each question, answers wrongly in both banks, and looks again."""
    desk = Desk(bank, book, Keys(SECRET, bank.id), Rules(attempts=1, reveal=reveal), "graded")  # type: ignore[arg-type]
    client = TestClient(application(desk), base_url="http://quiz.test")
    client.cookies.set(COOKIE, desk.keys.cookie("s001"))
    drawn = asking.items(bank, 5)
    sitting.begin(book, {bank.id: bank}, bank.id, "s001", "5", list(drawn), rules=desk.rules, purpose="graded")
    token, seen = desk.keys.form_token(desk.keys.cookie("s001")), []
    for n in range(1, len(drawn) + 1):
        seen.append((drawn[n - 1].name, client.get(f"/question/{n}").text))
        if reveal == "end":
            sent = {"token": token, "attempt": "1", "json": WRONG[drawn[n - 1].question.type]}
            reply = client.post(f"/question/{n}", data=sent, headers={"accept": "application/json"})
            assert reply.status_code == 200, reply.text
            seen.append((f"{drawn[n - 1].name} answered", reply.text))
            seen.append((f"{drawn[n - 1].name} again", client.get(f"/question/{n}").text))
    for name in sorted(set(re.findall(r'(?:src|href)="(/[^"]+)"', "".join(text for _, text in seen)))):
        seen.append((name, client.get(name).text))
    return seen


#: a readable answer that is right in neither bank
WRONG = {
    "numeric": '"1"', "choice": '"b"', "multi": '["d"]', "expression": '"n"', "output": '"nothing"',
    "shape": '{"out": "(B,)"}', "matrix": "[[1, 1], [1, 1]]", "cloze": '{"x": "1", "y": "else", "z": "d"}',
    "free": '"Something."',
}  # fmt: skip


@pytest.mark.parametrize("reveal", ["now", "end"])
def test_pages_do_not_depend_on_the_key(tmp_path: Path, reveal: str) -> None:
    found = []
    for which in (1, 2):
        bank = bank_of(which)
        if reveal == "end":  # a pairing that is wrong in both: its ids are those of this bank
            match = next(one for one in asking.items(bank, 5) if one.question.type == "match")
            rights = {option.text: option.id for option in asking.view(match).options}
            WRONG["match"] = str({"p": rights["second"], "q": rights["third"], "r": rights["first"]}).replace("'", '"')
        with QuizBook.open(tmp_path / f"{which}.db") as book:
            found.append(everything_seen(book, bank, reveal))
    one, other = found
    assert [name for name, _ in one] == [name for name, _ in other]
    assert len(one) > len(PAIRS)
    drawn = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27,}")  # ids of sittings are drawn
    for (name, a), (_, b) in zip(one, other, strict=True):
        assert drawn.sub("", a) == drawn.sub("", b), name
