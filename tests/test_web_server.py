"""The server of quizzes: who may come in, what an answer becomes, what a page never says."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")
pytest.importorskip("httpx2", reason="httpx2 is not installed")

from starlette.testclient import TestClient

from grader.errors import QuizError, SubmissionError
from grader.gradebook.quizzes import QuizBook
from grader.quiz import asking, sitting
from grader.quiz.kinds import kind_of
from grader.quiz.loading import load_bank, parse_bank
from grader.quiz.model import Bank
from grader.quiz.sitting import Rules
from grader.web.access import ALPHABET, Keys, tidy_code
from grader.web.desk import Boxes, Desk
from grader.web.server import COOKIE, application
from grader.web.serving import Plan, desk_of, write_codes

from .quiz_banks import course_with, written
from .quiz_web import ROOT, as_json, fields_of, hidden, key_fragments, replay_rows

SECRET = bytes(range(32))
ROSTER = {"s001": "Student One", "s002": "Student <Two>"}
QUESTIONS = [
    {"id": "count", "type": "numeric", "prompt": "How much is $6 \\cdot 7$?", "answer": {"value": 42, "exact": True},
     "wrong": [{"value": 13, "feedback": "That is the sum of both."}],
     "hints": [{"text": "Not the sum.", "cost": 0.25}, {"text": "Above forty.", "cost": 0.5}]},
    {"id": "pick", "type": "choice", "prompt": "Which?", "confidence": True,
     "options": [{"id": "yes", "text": "This.", "correct": True}, {"id": "no", "text": "That.", "why": "It is not."}]},
    {"id": "sort", "type": "order", "prompt": "Sort.",
     "blocks": [{"id": "a", "text": "first"}, {"id": "b", "text": "second"}, {"id": "c", "text": "third"},
                {"id": "x", "text": "never", "distractor": True, "why": "It is none."}]},
    {"id": "essay", "type": "free", "prompt": "Explain.", "model": "The gate stays open.",
     "rubric": [{"id": "gate", "points": 1, "text": "Names the gate."}, {"id": "open", "points": 3, "text": "Open."}]},
    {"id": "blanks", "type": "cloze", "prompt": "Two and two is {{four}}, says {{who}}.",
     "fields": {"four": {"type": "numeric", "answer": {"value": 4, "exact": True}},
                "who": {"type": "text", "accept": ["everybody"]}}},
]  # fmt: skip


def small_bank(questions: list[dict[str, Any]] | None = None) -> Bank:
    bank, findings = parse_bank(written(questions or QUESTIONS), Path("bank.yaml"))
    assert bank is not None, [str(one) for one in findings]
    return bank


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 2, 2, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Learner:
    """Somebody with a browser that runs no script: pages are read, forms are sent."""

    def __init__(self, client: TestClient, desk: Desk, student: str | None = None) -> None:
        self.client, self.desk = client, desk
        if student is None:
            client.post("/enter")
        else:
            client.post("/enter", data={"code": desk.keys.code(student)})
            self.begin()

    def begin(self) -> Any:
        page = self.client.get("/").text
        return self.client.post("/begin", data=hidden(page, "/begin"))

    def page(self, number: int) -> str:
        return html.unescape(self.client.get(f"/question/{number}").text)

    def send(self, number: int, fields: list[tuple[str, str]], act: str = "answer", **more: str) -> Any:
        """Press a button of a question's form as it is on the page now; return the page that follows."""
        before = hidden(self.client.get(f"/question/{number}").text, f"/question/{number}")
        kept = {name: before[name] for name in ("token", "attempt", "hints", "skips")} | more
        return self.post(number, [*kept.items(), *fields, ("act", act)])

    def post(self, number: int, fields: list[tuple[str, str]], **headers: str) -> Any:
        body: dict[str, list[str]] = {}
        for name, value in fields:
            body.setdefault(name, []).append(value)
        return self.client.post(f"/question/{number}", data=body, headers=headers)

    def sitting(self) -> sitting.Sitting:
        (student,) = {record.student for record in self.desk.book.sittings()}
        found = self.desk.latest(student)
        assert found is not None
        return found

    def number(self, question: str) -> int:
        """Return where a question stands in this learner's order, counted from 1."""
        names = [item.question.id for item in self.sitting().items if item]
        return names.index(question) + 1


@pytest.fixture
def book(tmp_path: Path) -> Iterator[QuizBook]:
    with QuizBook.open(tmp_path / "book.db") as opened:
        yield opened


@pytest.fixture
def open_desk(book: QuizBook) -> Callable[..., tuple[TestClient, Desk]]:
    def make(**more: Any) -> tuple[TestClient, Desk]:
        given: dict[str, Any] = {"bank": small_bank(), "rules": Rules(attempts=2), "purpose": "practice"} | more
        desk = Desk(book=book, keys=Keys(SECRET, given["bank"].id), **given)
        return TestClient(application(desk), base_url="http://quiz.test"), desk

    return make


@pytest.fixture
def learner(open_desk: Callable[..., tuple[TestClient, Desk]]) -> Learner:
    return Learner(*open_desk())


# --- coming in -------------------------------------------------------------------------------------------------------


def test_codes_are_their_own_and_stay(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    keys, other = Keys(SECRET, "bank"), Keys(SECRET, "other")
    codes = {keys.code(f"s{n:03}") for n in range(500)} | {other.code(f"s{n:03}") for n in range(500)}
    assert len(codes) == 1000
    assert keys.code("s001") == Keys(SECRET, "bank").code("s001")
    assert keys.code("s001") != Keys(bytes(32), "bank").code("s001")
    for code in codes:
        assert re.fullmatch(rf"([{ALPHABET}]{{4}}-){{2}}[{ALPHABET}]{{4}}", code)
    assert tidy_code(" 0o1-iLk ") == "00111K"


def test_only_a_code_of_the_roster_lets_in(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    client, desk = open_desk(roster=ROSTER)
    assert client.get("/question/1", follow_redirects=False).headers["location"] == "/"
    for code in ("", "AAAA-AAAA-AAAA", Keys(SECRET, "bank").code("s003"), "x" * 10_000):
        answer = client.post("/enter", data={"code": code})
        assert answer.status_code == 403
        assert COOKIE not in client.cookies
    typed = desk.keys.code("s002").lower().replace("-", " ")
    page = client.post("/enter", data={"code": typed})
    assert page.status_code == 200
    assert "Student &lt;Two&gt;" in page.text
    assert "Student <Two>" not in page.text


def test_codes_cannot_be_tried_out(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    client, desk = open_desk(roster=ROSTER)
    told = [client.post("/enter", data={"code": f"{n:012}"}).status_code for n in range(70)]
    assert told[:60] == [403] * 60
    assert told[60:] == [429] * 10
    assert client.post("/enter", data={"code": desk.keys.code("s001")}).status_code == 429


def test_a_cookie_cannot_be_made_up(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    client, desk = open_desk(roster=ROSTER)
    good = desk.keys.cookie("s001")
    assert desk.keys.student(good) == "s001"
    name, signature = good.split(".")
    other = desk.keys.cookie("s002")
    bad = ["", "x", ".", f"{name}.", f"{name}.{'0' * 64}", f"{other.split('.')[0]}.{signature}", f"{name}é.{signature}"]
    bad += [Keys(SECRET, "another").cookie("s001"), Keys(bytes(32), "bank").cookie("s001"), good + "0"]
    assert [desk.keys.student(one) for one in bad] == [None] * len(bad)
    client.cookies.set(COOKIE, desk.keys.cookie("s009"))  # signed, but no longer on the roster
    assert client.get("/question/1", follow_redirects=False).headers["location"] == "/"


def test_cookies_are_kept_from_scripts_and_other_sites(learner: Learner) -> None:
    fresh = TestClient(learner.client.app, base_url="https://quiz.test")
    set_cookie = fresh.post("/enter", follow_redirects=False).headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", "secure", "path=/"} <= {part.strip() for part in set_cookie.split(";")}


def test_forms_of_other_sites_are_refused(learner: Learner) -> None:
    page = learner.client.get("/question/1").text
    fields = [*hidden(page, "/question/1").items(), ("response", "1"), ("act", "answer")]
    without = [(name, value) for name, value in fields if name != "token"]
    assert learner.post(1, without).status_code == 403
    assert learner.post(1, [*without, ("token", "0" * 64)]).status_code == 403
    assert learner.post(1, fields, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert learner.post(1, fields, origin="http://evil.test").status_code == 403
    assert learner.client.post("/enter", headers={"origin": "http://evil.test"}).status_code == 403
    assert learner.sitting().score().counts == {"unanswered": 5}
    assert learner.post(1, fields, origin="http://quiz.test").status_code == 200


def test_every_response_forbids_scripts_of_others(learner: Learner) -> None:
    for path in ("/", "/question/1", "/nowhere", "/static/quiz.css", "/question/99", "/live"):
        headers = learner.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    page = learner.client.get("/question/1").text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"\son\w+=|style=", page) == []


def test_only_the_files_of_the_server_are_served(learner: Learner) -> None:
    for name in ("marking.js", "practice.js", "../server.py", "..%2fserver.py", "%2e%2e/server.py"):
        assert learner.client.get(f"/static/{name}").status_code == 404
    assert "Marking" not in learner.client.get("/static/quiz.js").text


def test_too_much_is_refused(learner: Learner) -> None:
    assert learner.post(1, [("response", "x" * 600_000)]).status_code == 413
    assert learner.post(1, [(f"f{n}", "x") for n in range(600)]).status_code == 400
    assert learner.client.post("/question/1", content=b"\xff\xfe=%ff").status_code in (400, 403)


# --- answering -------------------------------------------------------------------------------------------------------


def test_a_right_answer_ends_the_question(learner: Learner) -> None:
    number = learner.number("count")
    page = learner.send(number, [("response", " 42 ")]).text
    assert "Right" in page
    assert "The answer" in page
    assert learner.sitting().place(number - 1).state == "done"
    assert learner.sitting().score().earned == 1


def test_an_invalid_answer_costs_nothing_and_stays_on_the_page(learner: Learner) -> None:
    number = learner.number("count")
    page = learner.send(number, [("response", "<b>forty</b>")]).text
    assert "Not an answer yet" in page
    assert 'value="&lt;b&gt;forty&lt;/b&gt;"' in page
    assert "<b>forty" not in page
    assert learner.sitting().place(number - 1).answers == ()
    assert "There is no answer yet" in learner.send(number, []).text


def test_tries_are_counted_and_feedback_is_told(learner: Learner) -> None:
    number = learner.number("count")
    page = learner.send(number, [("response", "13")]).text
    assert "That is the sum of both." in page
    assert "1 try is left" in page
    assert "The answer" not in page
    page = learner.send(number, [("response", "41")]).text
    assert "The answer" in page
    late = learner.send(number, [("response", "42")], attempt="3")
    assert late.status_code == 409
    assert learner.sitting().score().earned == 0


def test_an_answer_sent_again_is_kept_once(learner: Learner) -> None:
    number = learner.number("count")
    before = hidden(learner.client.get(f"/question/{number}").text, f"/question/{number}")
    fields = [*before.items(), ("response", "13"), ("act", "answer")]
    replies = [learner.post(number, fields, accept="application/json").json() for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    again = [(name, "42" if name == "response" else value) for name, value in fields]
    assert learner.post(number, again, accept="application/json").json() == replies[0]
    assert [answer.response for answer in learner.sitting().place(number - 1).answers] == ["13"]


def test_hints_cost_once_and_stay(learner: Learner) -> None:
    number = learner.number("count")
    fields = hidden(learner.client.get(f"/question/{number}").text, f"/question/{number}")
    for _ in range(3):  # the connection was lost, and the browser sends it again
        page = learner.post(number, [*fields.items(), ("response", "4"), ("act", "hint")]).text
    assert "Not the sum." in page
    assert "Above forty." not in page
    assert 'value="4"' in page  # what was typed is still there
    assert "Not the sum." in learner.page(number)
    learner.send(number, [("response", "42")])
    assert learner.sitting().score().earned == 0.75


def test_an_order_is_moved_without_a_script(learner: Learner) -> None:
    number = learner.number("sort")

    def order(page: str) -> list[str]:
        return re.findall(r'name="order" value="(\w+)"', page)

    now = order(learner.page(number))
    assert sorted(now) == ["a", "b", "c", "x"]
    as_fields = lambda ids: [("order", one) for one in ids]  # noqa: E731
    page = learner.send(number, as_fields(now), act="out:x").text
    now = order(page)
    assert sorted(now) == ["a", "b", "c"]
    assert re.findall(r'name="out" value="(\w+)"', page) == ["x"]
    for mover, after in (("b", ""), ("a", ""), ("c", "b")):
        page = learner.send(number, as_fields(now), act="move", mover=mover, after=after).text
        now = order(page)
    assert now == ["a", "b", "c"]
    assert order(learner.send(number, as_fields(now), act="down:a").text) == ["b", "a", "c"]
    assert order(learner.send(number, as_fields(now), act="up:a").text) == now
    assert order(learner.send(number, as_fields(now), act="in:x").text) == [*now, "x"]
    assert learner.sitting().place(number - 1).answers == ()  # moving is no answer
    learner.send(number, as_fields(now))
    assert learner.sitting().score().earned == 1


def test_an_essay_is_judged_after_it_is_written(learner: Learner) -> None:
    number = learner.number("essay")
    assert "Names the gate" not in learner.page(number)
    page = learner.send(number, [("response", "An <i>open</i> gate.")]).text
    assert "The gate stays open." in page
    assert "An &lt;i&gt;open&lt;/i&gt; gate." in page
    points = [("response", "something better"), ("points.gate", "0"), ("points.open", "3")]
    learner.send(number, points)
    kept = learner.sitting().place(number - 1).answers[-1]
    assert kept.response == {"text": "An <i>open</i> gate.", "points": {"gate": 0.0, "open": 3.0}}
    assert kept.score == 0.75


def test_confidence_is_kept(learner: Learner) -> None:
    number = learner.number("pick")
    learner.send(number, [("response", "no"), ("confidence", "3")])
    learner.send(number, [("response", "yes"), ("confidence", "9")])
    assert [one.confidence for one in learner.sitting().place(number - 1).answers] == [3, None]


def test_what_is_put_off_comes_later(learner: Learner) -> None:
    page = learner.send(1, [], act="skip").text
    assert "Question 2 of 5" in page
    before = hidden(page, "/question/2")
    for _ in range(2):
        learner.post(2, [*before.items(), ("act", "skip")])
    assert [place.skips for place in learner.sitting().places()] == [1, 1, 0, 0, 0]


def test_the_end(learner: Learner) -> None:
    learner.send(learner.number("count"), [("response", "42")])
    page = html.unescape(learner.client.get("/finish").text)
    assert "4 questions have no answer yet" in page
    page = learner.client.post("/finish", data=hidden(page, "/finish")).text
    assert "1 of 5 points" in page
    assert learner.client.get("/result", headers={"accept": "application/json"}).json() == {
        "earned": 1.0,
        "possible": 5.0,
    }
    assert "The answer" in learner.page(learner.number("pick"))
    fields = [("token", hidden(learner.client.get("/").text, "/begin")["token"]), ("attempt", "1"), ("response", "yes")]
    assert learner.post(learner.number("pick"), fields).status_code == 409


def test_a_student_sits_as_often_as_is_allowed(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    client, desk = open_desk(roster=ROSTER, sittings=2)
    learner = Learner(client, desk, "s001")
    drawn = []
    for n in (1, 2):
        assert len(desk.records("s001")) == n
        drawn.append([item.name for item in learner.sitting().items if item])
        client.post("/finish", data=hidden(client.get("/finish").text, "/finish"))
        if n == 1:
            learner.begin()
    assert "Begin again" not in client.get("/").text
    token = hidden(client.get("/").text, "/leave")
    assert client.post("/begin", data=token).status_code == 409
    assert len(desk.records("s001")) == 2


def test_orders_differ_between_students_unless_all_are_alike(
    open_desk: Callable[..., tuple[TestClient, Desk]], tmp_path: Path
) -> None:
    def drawn(alike: bool, book: QuizBook) -> set[tuple[str, ...]]:
        bank = load_bank(course_of_root(), "foundations")
        desk = Desk(
            bank, book, Keys(SECRET, bank.id), Rules(), "practice", {f"s{n}": "" for n in range(6)}, alike=alike
        )
        return {tuple(f"{i.name}{i.shuffle}" for i in desk.begin(f"s{n}").items if i) for n in range(6)}

    for alike, want in ((False, 6), (True, 1)):
        with QuizBook.open(tmp_path / f"{alike}.db") as book:
            assert len(drawn(alike, book)) == want


def course_of_root() -> Any:
    from grader.course.catalog import find_course

    return find_course(ROOT)


def test_time_runs_out(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    clock = Clock()
    client, desk = open_desk(roster=ROSTER, rules=Rules(time_limit=600), clock=clock)
    learner = Learner(client, desk, "s001")
    number = learner.number("count")
    assert "Time left: 10 min 0 s" in learner.page(1)
    fields = [*hidden(client.get(f"/question/{number}").text, f"/question/{number}").items(), ("response", "42")]
    clock.now += timedelta(seconds=599)
    assert "Time left: 0 min 1 s" in learner.page(1)
    clock.now += timedelta(seconds=4)  # on its way when the bell rang
    assert learner.post(number, fields, accept="application/json").json()["status"] == "right"
    clock.now += timedelta(seconds=10)
    late = [*hidden(client.get(f"/question/{number}").text, f"/question/{number}").items(), ("response", "1")]
    other = number % 5 + 1
    assert learner.post(other, late, accept="application/json").status_code == 409
    assert client.get("/finish").url.path == "/result"


# --- what is not said ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reveal", ["end", "never"])
def test_nothing_is_told_before_its_time(open_desk: Callable[..., tuple[TestClient, Desk]], reveal: str) -> None:
    client, desk = open_desk(roster=ROSTER, rules=Rules(reveal=reveal), purpose="graded", sittings=1)
    learner = Learner(client, desk, "s001")
    for question, response in (("count", "13"), ("pick", "no")):
        number = learner.number(question)
        fields = [
            *hidden(client.get(f"/question/{number}").text, f"/question/{number}").items(),
            ("response", response),
        ]
        reply = learner.post(number, fields, accept="application/json").json()
        assert reply == {"position": number - 1, "attempt": 1, "tries_left": 0, "done": True, "status": "kept"}
        page = learner.page(number)
        assert "Your answer is kept" in page
        for said in ("Not right", "sum of both", "It is not", "The answer"):
            assert said not in page
    end = client.post("/finish", data=hidden(client.get("/finish").text, "/finish"))
    assert ("0 of 5 points" in end.text) == (reveal == "end")
    assert client.get("/result", headers={"accept": "application/json"}).json()["earned"] == (
        0.0 if reveal == "end" else None
    )
    assert ("sum of both" in learner.page(learner.number("count"))) == (reveal == "end")


def test_no_page_of_an_open_question_holds_its_key(book: QuizBook) -> None:
    bank = load_bank(course_of_root(), "foundations")
    desk = Desk(bank, book, Keys(SECRET, bank.id), Rules(attempts=2), "practice")
    client = TestClient(application(desk), base_url="http://quiz.test")
    learner = Learner(client, desk)
    looked = 0
    for number, item in enumerate(learner.sitting().items, 1):
        page = learner.page(number)
        assert item is not None
        for fragment in key_fragments(item):
            looked += 1
            assert fragment not in page, (item.name, fragment)
        for word in ("misconception", "correct", "evidence"):
            assert word not in page.lower().replace("correctly", ""), (item.name, word)
    assert looked > 20


def test_a_reply_never_carries_evidence(learner: Learner) -> None:
    number = learner.number("blanks")
    fields = [*hidden(learner.client.get(f"/question/{number}").text, f"/question/{number}").items()]
    fields += [("field.four", "5"), ("field.who", "everybody")]
    reply = learner.post(number, fields, accept="application/json").json()
    assert reply["status"] == "partial"
    assert "evidence" not in reply


# --- the same marks as everywhere ------------------------------------------------------------------------------------


def test_the_corpus_is_marked_as_everywhere(book: QuizBook) -> None:
    """Every row is sent the way a browser would send it, or as JSON where no form can say it."""
    course = course_of_root()
    banks: dict[str, Bank] = {}
    rows = replay_rows()
    items = []
    for row in rows:
        bank_id, _, question = row["question"].partition("/")
        if bank_id not in banks:
            banks[bank_id] = load_bank(course, bank_id)
        items.append(asking.item_of(banks[bank_id], question, row.get("variant", 0)))
    by_form = 0
    with_boxes = Boxes(1)
    try:
        for bank_id, bank in banks.items():
            ours = [n for n, item in enumerate(items) if item.question.bank == bank_id]
            desk = Desk(bank, book, Keys(SECRET, bank_id), Rules(), "practice", boxes=with_boxes)
            client = TestClient(application(desk), base_url="http://quiz.test")
            for start in range(0, len(ours), 40):  # each request reads the whole sitting: short ones are quicker
                mine = ours[start : start + 40]
                guest = f"guest-{bank_id}-{start}"
                client.cookies.set(COOKIE, desk.keys.cookie(guest))
                sitting.begin(
                    book, {bank_id: bank}, bank_id, guest, "0", [items[n] for n in mine], rules=Rules(),
                    purpose="practice",
                )  # fmt: skip
                token = desk.keys.form_token(desk.keys.cookie(guest))
                for place, n in enumerate(mine, 1):
                    row, fields = rows[n], fields_of(asking.view(items[n]), rows[n]["response"])
                    by_form += fields is not None
                    judged = isinstance(row["response"], dict) and "points" in row["response"]
                    if judged:  # the rubric is shown when the text is written, not before
                        text = {"token": token, "attempt": "1", "response": row["response"]["text"]}
                        client.post(f"/question/{place}", data=text)
                    sent: dict[str, list[str]] = {"token": [token], "attempt": ["2" if judged else "1"]}
                    for name, value in fields if fields is not None else [("json", as_json(row["response"]))]:
                        sent.setdefault(name, []).append(value)
                    got = client.post(f"/question/{place}", data=sent, headers={"accept": "application/json"}).json()
                    assert (got["status"], got["note"]) == (row["status"], row.get("note", got["note"])), row
                    assert got["score"] == pytest.approx(row.get("score", got["score"]), abs=1e-6), row
    finally:
        with_boxes.close()
    assert by_form > len(rows) * 0.8


def test_every_key_of_a_bank_is_right_by_form(book: QuizBook) -> None:
    bank = load_bank(course_of_root(), "foundations")
    desk = Desk(bank, book, Keys(SECRET, bank.id), Rules(), "practice")
    learner = Learner(TestClient(application(desk), base_url="http://quiz.test"), desk)
    sent = 0
    for number, item in enumerate(learner.sitting().items, 1):
        assert item is not None
        if item.question.type in ("code", "free"):
            continue
        fields = fields_of(asking.view(item), kind_of(item).keys(item)[0])
        assert fields is not None, item.name
        assert "outcome right" in learner.send(number, fields).text, item.name
        sent += 1
    assert learner.sitting().score().earned == sent


# --- the instructor --------------------------------------------------------------------------------------------------


def test_live_view_needs_the_token_and_shows_the_class(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    client, desk = open_desk(roster=ROSTER)
    learner = Learner(client, desk, "s001")
    learner.send(learner.number("count"), [("response", "13")])
    learner.send(learner.number("essay"), [("response", "<script>alert(1)</script>")])
    for path in ("/live", "/live?token=", "/live?token=wrong", f"/live?token={desk.keys.cookie('s001')}"):
        assert client.get(path).status_code == 403
    teacher = TestClient(client.app, base_url="http://quiz.test")
    page = teacher.get("/live", params={"token": desk.keys.live_token()})
    assert page.status_code == 200
    assert "token" not in str(page.url)
    assert "2 of 5" in page.text
    assert "not begun" in page.text
    assert "<script>alert" not in page.text
    seen = teacher.get("/live", headers={"accept": "application/json"}).json()
    assert [one["student"] for one in seen["sitters"]] == ["s001", "s002"]
    assert seen["sitters"][0]["cells"].count("wrong") == 1
    (tally,) = [one for one in seen["tallies"] if one["question"] == "bank/count"]
    assert tally["said"] == [["13", "wrong", 1]]
    assert client.get("/live").status_code == 403  # the student's browser did not become the teacher's


# --- starting --------------------------------------------------------------------------------------------------------


def test_plans(tmp_path: Path, book: QuizBook) -> None:
    course = course_with(tmp_path, written(QUESTIONS))
    roster = tmp_path / "class.csv"
    roster.write_text('id,name,email\ns001,"=1+1",a@b.test\ns002,Two,\n')
    practice = desk_of(course, Plan("bank"), book)
    assert (practice.rules.attempts, practice.rules.reveal, practice.sittings) == (3, "now", None)
    strict = desk_of(course, Plan("bank", graded=True, roster=roster, minutes=2), book)
    assert (strict.rules.attempts, strict.rules.reveal, strict.sittings, strict.purpose) == (1, "never", 1, "graded")
    assert strict.rules.time_limit == 120
    with pytest.raises(QuizError, match="must be known who answers"):
        desk_of(course, Plan("bank", graded=True), book)
    with pytest.raises(QuizError, match="no question of bank"):
        desk_of(course, Plan("bank", tags=("nothing",)), book)
    with pytest.raises(SubmissionError):
        desk_of(course, Plan("bank", roster=tmp_path / "none.csv"), book)
    from grader.submissions.roster import read_roster

    codes = tmp_path / "codes.csv"
    codes.write_text("old and readable by all")
    codes.chmod(0o644)
    write_codes(strict, read_roster(roster), codes)
    assert codes.stat().st_mode & 0o777 == 0o600
    lines = codes.read_text().splitlines()
    assert lines[0] == "id,name,email,code"
    assert lines[1].startswith("s001,'=1+1,")
    assert lines[2].endswith(strict.keys.code("s002"))


def test_a_changed_question_is_not_asked_any_more(open_desk: Callable[..., tuple[TestClient, Desk]]) -> None:
    client, desk = open_desk(roster=ROSTER)
    learner = Learner(client, desk, "s001")
    number = learner.number("count")
    changed = [{**QUESTIONS[0], "rev": 2, "answer": {"value": 43, "exact": True}}, *QUESTIONS[1:]]
    newer = Desk(small_bank(changed), desk.book, desk.keys, desk.rules, desk.purpose, ROSTER)
    after = TestClient(application(newer), base_url="http://quiz.test", cookies=dict(client.cookies))
    assert "has changed since" in after.get(f"/question/{number}").text
    assert "4 questions have no answer yet" in after.get("/finish").text


def test_broken_pages_tell_nothing(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.web.server.controls", lambda *_: 1 / 0)
    client = TestClient(learner.client.app, raise_server_exceptions=False, cookies=dict(learner.client.cookies))
    answer = client.get("/question/1")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "Something broke" in answer.text
    assert answer.headers["content-security-policy"]


def test_odd_requests_are_told_plainly(learner: Learner) -> None:
    for path, want in (("/question/0", 404), ("/question/6", 404), ("/question/x", 404), ("/nowhere", 404)):
        assert learner.client.get(path).status_code == want
    fields = hidden(learner.client.get("/question/1").text, "/question/1")
    for name, value in itertools.product(("attempt", "hints", "skips"), ("-1", "x", "9" * 400, "²")):
        act = {"attempt": "answer", "hints": "hint", "skips": "skip"}[name]
        given = fields | {name: value, "act": act, "response": "yes"}
        assert learner.post(1, list(given.items())).status_code < 500, (name, value)
    for text in ("{", "[" * 100_000, "nul", '"' + "x" * 3000 + '"', json.dumps({"a": [1, None]})):
        given = fields | {"json": text}
        assert learner.post(1, list(given.items()), accept="application/json").status_code < 500, text[:20]


def test_source_is_read_by_many_threads_at_once() -> None:
    """Without its lock this fails now and then with a SystemError, and a page with a 500."""
    import gc
    import inspect
    import threading
    import time

    from grader.quiz import syntax

    source, broken = inspect.getsource(inspect), []

    def read() -> None:
        for _ in range(8):
            try:
                syntax.module_of(source)
            except SystemError as error:
                broken.append(error)

    def pause(*_: object) -> None:
        time.sleep(0)  # the others come in while a tree is half built

    before = gc.get_threshold()
    gc.callbacks.append(pause)
    gc.set_threshold(50)
    try:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.callbacks.remove(pause)
        gc.set_threshold(*before)
    assert broken == []
