"""A whole quiz in a real Chromium, by keyboard alone, through a reload, a lost connection and a killed server.

`SHOTS=FOLDER` in the environment keeps pictures of the pages, for people to look at.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")
pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright import sync_api

from grader.course.catalog import find_course
from grader.gradebook.quizzes import QuizBook
from grader.quiz import asking, sitting
from grader.quiz.kinds import kind_of
from grader.quiz.loading import load_bank
from grader.quiz.model import Item
from grader.web.practice import write_page

from .quiz_web import CHROMIUM_FLAGS, ROOT, Served, chromium, key_fragments, served

BANK = "foundations"
MOST_TABS = 120

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed (name one in CHROMIUM)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


def axe() -> str | None:
    """Return the source of axe-core, None where it is not installed."""
    try:
        import axe_playwright_python
    except ImportError:
        return None
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


class Keyboard:
    """Somebody at a page who has no mouse."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        self.axe = axe()
        page.set_default_timeout(60_000)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def active(self) -> dict[str, Any]:
        script = """() => { const e = document.activeElement; return {
            id: e.id, name: e.name ?? "", value: e.value ?? "", text: e.textContent ?? "", tag: e.tagName,
            checked: e.checked ?? false}; }"""
        found: dict[str, Any] = self.page.evaluate(script)
        return found

    def tab_to(self, **want: str) -> dict[str, Any]:
        """Press Tab until the focus is on what is wanted; fail where it never gets there."""
        for _ in range(MOST_TABS):
            now = self.active()
            if all(now[name] == value for name, value in want.items()):
                return now
            self.press("Tab")
        raise AssertionError(f"Tab never reaches {want} on {self.page.url}")

    def select(self, name: str, value: str) -> None:
        """Choose in a select with the arrow keys."""
        self.tab_to(name=name, tag="SELECT")
        self.press("Home")
        for _ in range(30):
            if self.active()["value"] == value:
                return
            self.press("ArrowDown")
        raise AssertionError(f"{name} offers no {value}")

    def fill(self, item: Item, response: Any) -> None:
        """Fill in the form of an item; the focus stays inside it."""
        view = asking.view(item)
        match view.kind:
            case "text" | "code" | "essay":
                self.tab_to(name="response")
                self.press("Control+a")
                self.page.keyboard.insert_text(str(response))
            case "option":
                self.tab_to(name="response")
                self.press("Space")
                for _ in range(12):
                    if self.active()["value"] == response:
                        break
                    self.press("ArrowDown")
                assert self.active()["checked"]
            case "options":
                for one in [option.id for option in view.options if option.id in response]:
                    self.tab_to(name="response", value=one)
                    self.press("Space")
            case "order":
                for block in view.options:
                    if block.id not in response:
                        self.tab_to(value=f"out:{block.id}")
                        self.press("Enter")
                        assert self.active()["value"] == f"in:{block.id}"  # the focus does not get lost
                for place, one in enumerate(response):
                    self.page.locator("#heading").evaluate("e => e.focus()")
                    self.tab_to(value=f"up:{one}")
                    while (at := self.order().index(one)) > place:
                        self.press("Enter")
                        assert self.order().index(one) == at - 1
                        assert self.active()["value"] == f"up:{one}"
                assert self.order() == response
            case "match" | "fields":
                prefix = "pair." if view.kind == "match" else "field."
                selects = {field.id for field in view.fields if field.kind == "option"}
                names = [one.id for one in view.left] or [field.id for field in view.fields]
                for name in names:
                    if view.kind == "match" or name in selects:
                        self.select(prefix + name, response[name])
                    else:
                        self.tab_to(name=prefix + name)
                        self.page.keyboard.insert_text(response[name])
            case "matrix":
                for i, row in enumerate(response):
                    for j, cell in enumerate(row):
                        self.tab_to(name=f"cell.{i}.{j}")
                        self.page.keyboard.insert_text(cell)

    def order(self) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all("[name=order]", "all => all.map((e) => e.value)")
        return found

    def send(self) -> None:
        """Go to the button and press it."""
        self.tab_to(tag="BUTTON", value="answer", text="Answer")
        self.press("Enter")

    def look(self, name: str) -> None:
        """Have axe-core look at the page, and keep a picture if somebody wants one."""
        if folder := os.environ.get("SHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)
        if self.axe is None:
            return
        script = f"{self.axe}; axe.run(document, {{resultTypes: ['violations']}}).then((r) => r.violations)"
        for one in self.page.evaluate(script):
            where = [node["html"][:100] for node in one["nodes"][:3]]
            self.faults.append(f"{name}: {one['impact']} {one['id']}: {one['help']} {where}")


def answers_for(items: list[Item]) -> list[Any]:
    """Return what is answered: every third question wrongly where a wrong answer is known, the others rightly."""
    found = []
    for n, item in enumerate(items):
        kind = kind_of(item)
        response = kind.keys(item)[0]
        if n % 3 == 1 and item.question.type != "free":
            wrong = [one.response for one in kind.wrong_responses(item) if one.status in ("wrong", "partial")]
            response = next((one for one in wrong if isinstance(one, type(response))), response)
        found.append(response)
    return found


def in_the_terminal(folder: Path, seed: str, items: list[Item], answers: list[Any]) -> float:
    """Return the score of the same answers to the same questions, given to `grader quiz take`."""
    typed = []
    for item, response in zip(items, answers, strict=True):
        if item.question.type == "free":
            typed += [json.dumps(response["text"]), json.dumps({"points": response["points"]})]
        else:
            typed.append(json.dumps(response))
        if item.question.confidence:
            typed.append("")  # how sure one is: not told
    environment = {**os.environ, "GRADER_STATE": str(folder), "GRADER_COURSE": str(ROOT)}
    argv = [sys.executable, "-m", "grader", "quiz", "take", BANK, "--seed", seed]
    lines = "".join(f"!json {line}\n" if line else "\n" for line in typed)
    done = subprocess.run(argv, input=lines, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with QuizBook.open(folder / "practice.db") as book:
        (record,) = book.sittings(bank=BANK)
        assert record.seed == seed
        bank = load_bank(find_course(ROOT), BANK)
        score = sitting.Sitting(book, record, {BANK: bank}).score()
    return score.earned


def kept(server: Served) -> list[tuple[int, int, str]]:
    """Return position, try and status of all that is on disk."""
    with sqlite3.connect(server.folder / "state" / "gradebook.db") as book:
        return book.execute("SELECT position, attempt, status FROM quiz_answers ORDER BY id").fetchall()


def test_a_quiz_by_keyboard_through_every_mishap(browser: Any, tmp_path: Path) -> None:
    roster, codes = tmp_path / "class.csv", tmp_path / "codes.csv"
    roster.write_text("id,name\ns001,Student One\n")
    arguments = [
        BANK, "--roster", str(roster), "--codes", str(codes), "--attempts", "1", "--reveal", "end", "--minutes", "120",
    ]  # fmt: skip
    with served(tmp_path, *arguments) as server:
        code = next(csv.DictReader(codes.open()))["code"]
        context = browser.new_context(viewport={"width": 900, "height": 900})
        page = context.new_page()
        traffic: list[str] = []
        errors: list[str] = []
        page.on("response", lambda response: traffic.append(_body(response)))
        page.on("pageerror", lambda error: errors.append(str(error)))
        hand = Keyboard(page)

        page.goto(server.url)
        hand.look("front")
        hand.tab_to(name="code")
        page.keyboard.insert_text(code)
        hand.press("Enter")
        page.get_by_role("button", name="Begin").wait_for()
        hand.tab_to(tag="BUTTON", text="Begin")
        hand.press("Enter")
        page.wait_for_url("**/question/1")
        page.locator("header .who", has_text="Student One").wait_for()  # without a reload

        with QuizBook.open(tmp_path / "state" / "gradebook.db") as book:
            (record,) = book.sittings()
        bank = load_bank(find_course(ROOT), BANK)
        items = [item for record_ in record.items if (item := sitting.item_again(bank, record_)) is not None]
        assert len(items) == len(bank.questions)
        answers = answers_for(items)
        reloaded_at, killed_at = len(items) // 3, 2 * len(items) // 3

        for n, (item, response) in enumerate(zip(items, answers, strict=True)):
            page.wait_for_url(f"**/question/{n + 1}")
            page.locator("h1", has_text=f"Question {n + 1} of").wait_for()
            hand.look(f"{n + 1:02}-{item.question.type}")
            text = response["text"] if item.question.type == "free" else response
            hand.fill(item, text)
            if n == reloaded_at:
                page.reload()  # half-way through an answer: what was filled in is still there
                assert asking.view(item).question in page.locator("form.question").get_attribute("data-draft")
            if n == killed_at:
                server.kill()
                hand.send()
                page.locator("#notice", has_text="connection is lost").wait_for()
                hand.look("lost")
                assert len(kept(server)) == n
                server.start()
            else:
                hand.send()
            if n + 1 < len(items):
                page.wait_for_url(f"**/question/{n + 2}")
                # what is read first is the new question
                page.wait_for_function("document.activeElement.id === 'heading'")
        page.wait_for_url("**/finish")
        assert [(position, attempt) for position, attempt, _ in kept(server)] == [(n, 1) for n in range(len(items))]

        fragments = {item.name: key_fragments(item) for item in items}
        assert sum(map(len, fragments.values())) > 20
        for body in traffic:
            assert "Marking" not in body
            for name, words in fragments.items():
                assert [one for one in words if one in body] == [], name
        assert len(traffic) > 2 * len(items)

        hand.look("finish")
        hand.tab_to(tag="BUTTON", text="Finish")
        hand.press("Enter")
        page.wait_for_url("**/result")
        hand.look("result")
        told = page.locator(".score").inner_text()
        page.goto(f"{server.url}/question/1")
        hand.look("afterwards")

        teacher = browser.new_context().new_page()
        teacher.goto(server.live)
        assert "finished" in teacher.locator("#sitters").inner_text()
        watching = Keyboard(teacher)
        watching.look("live")
        context.close()
        assert server.stop() in (0, 130)

    with QuizBook.open(tmp_path / "state" / "gradebook.db") as book:
        (record,) = book.sittings()
        assert record.finished is not None
        score = sitting.Sitting(book, record, {BANK: bank}).score()
    # a text is judged when its model answer may be seen, which was after the end: in the terminal it was at once
    waiting = [n for n, item in enumerate(items) if item.question.type == "free"]
    judged = sum(1.0 for _ in waiting)
    assert score.earned == pytest.approx(in_the_terminal(tmp_path / "terminal", record.seed, items, answers) - judged)
    assert 0 < score.earned < score.possible
    assert told.startswith(f"{round(score.earned, 2):g} of {score.possible:g} points")
    assert hand.faults + watching.faults == []
    assert errors == []


def _body(response: Any) -> str:
    try:
        return str(response.text()) + json.dumps(response.headers)
    except Exception:  # a redirect or an aborted request has no body
        return ""


def test_drafts_survive_a_reload_and_tries_are_shown(browser: Any, tmp_path: Path) -> None:
    with served(tmp_path, BANK, "--attempts", "2", "--no-shuffle", "--tag", "lstm") as server:
        page = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
        hand = Keyboard(page)
        page.goto(server.url)
        hand.tab_to(tag="BUTTON", text="Begin")
        hand.press("Enter")
        page.wait_for_url("**/question/1")
        with QuizBook.open(tmp_path / "state" / "practice.db") as book:
            (record,) = book.sittings()
        bank = load_bank(find_course(ROOT), BANK)
        seen = set()
        for n, kept_item in enumerate(record.items, 1):
            item = sitting.item_again(bank, kept_item)
            assert item is not None
            if item.question.type in ("code", "free"):
                continue
            page.goto(f"{server.url}/question/{n}")
            response = kind_of(item).keys(item)[0]
            hand.fill(item, response)
            before = page.evaluate("[...new FormData(document.querySelector('form.question'))].join('|')")
            page.reload()
            after = page.evaluate("[...new FormData(document.querySelector('form.question'))].join('|')")
            # the two selects of an order are tools, not part of the answer
            tools = re.compile(r"(?:mover|after),[^|]*\|?")
            assert tools.sub("", after) == tools.sub("", before), item.name
            hand.send()
            page.locator("#outcome").wait_for()
            assert hand.active()["id"] == "outcome"  # the outcome is what is read next
            assert "Right" in page.locator("#outcome").inner_text(), item.name
            hand.look(f"right-{item.question.type}")
            seen.add(item.question.type)
        assert {"numeric", "order", "cloze", "shape"} <= seen
        assert hand.faults == []


def test_the_practice_page_works_from_a_file(browser: Any, tmp_path: Path) -> None:
    bank = load_bank(find_course(ROOT), BANK)
    path = tmp_path / "page.html"
    write_page(bank, path)
    context = browser.new_context(viewport={"width": 900, "height": 900}, offline=True)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    hand = Keyboard(page)
    page.goto(path.as_uri())
    hand.look("practice")
    articles = page.locator("article")
    for n, question in enumerate(bank.questions):
        article = articles.nth(n)
        if question.type not in ("choice", "multi", "cloze", "match", "matrix", "numeric", "order", "shape"):
            continue
        first = Item(question, question.variants[0])
        article.locator("h2").evaluate("e => e.focus()")
        hand.send()
        outcome = article.locator("form:visible .outcome")
        if question.type != "order":  # blocks lie in some order from the beginning
            assert "Not an answer yet" in outcome.inner_text(), question.name
        article.locator("h2").evaluate("e => e.focus()")
        shown = asking.view(first)
        response = kind_of(first).keys(first)[0]
        _fill_at(hand, article, shown, response)
        article.locator("form:visible button.main").press("Enter")
        assert "Right" in outcome.inner_text(), question.name
        assert hand.page.evaluate("document.activeElement.classList.contains('outcome')")
    hand.look("practice-done")
    assert "points of" in page.locator("#tally").inner_text()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
    assert hand.faults == []


def _fill_at(hand: Keyboard, article: Any, view: Any, response: Any) -> None:
    """Fill in one of the many forms of the practice page."""
    form = article.locator("form:visible")
    match view.kind:
        case "text":
            form.locator("[name=response]").fill(response)
        case "option" | "options":
            for one in [response] if isinstance(response, str) else response:
                form.locator(f"[name=response][value='{one}']").press("Space")
        case "order":
            for block in view.options:
                if block.id not in response:
                    form.locator(f"[value='out:{block.id}']").press("Enter")
            for n, one in enumerate(response):
                form.locator("[name=mover]").select_option(one)
                form.locator("[name=after]").select_option(response[n - 1] if n else "")
                form.locator("button[value=move]").press("Enter")
        case "match" | "fields":
            prefix = "pair." if view.kind == "match" else "field."
            for name, value in response.items():
                field = form.locator(f"[name='{prefix}{name}']")
                if field.evaluate("e => e.tagName") == "SELECT":
                    field.select_option(value)
                else:
                    field.fill(value)
        case "matrix":
            for i, row in enumerate(response):
                for j, cell in enumerate(row):
                    form.locator(f"[name='cell.{i}.{j}']").fill(cell)


def test_the_server_works_without_a_script(browser: Any, tmp_path: Path) -> None:
    with served(tmp_path, BANK, "--attempts", "1", "--no-shuffle") as server:
        page = browser.new_context(java_script_enabled=False).new_page()
        page.set_default_timeout(60_000)
        page.goto(server.url)
        page.get_by_role("button", name="Begin").press("Enter")
        page.wait_for_url("**/question/1")
        with QuizBook.open(tmp_path / "state" / "practice.db") as book:
            (record,) = book.sittings()
        bank = load_bank(find_course(ROOT), BANK)
        right = 0
        for n, one in enumerate(record.items, 1):
            item = sitting.item_again(bank, one)
            assert item is not None
            if item.question.type in ("code", "free", "expression", "output"):
                continue
            page.goto(f"{server.url}/question/{n}")
            view, response = asking.view(item), kind_of(item).keys(item)[0]
            main = page.locator("main")
            if view.kind == "order":
                for block in view.options:
                    if block.id not in response:
                        page.locator(f"[value='out:{block.id}']").press("Enter")
                        page.locator(f".out [value='{block.id}']").wait_for(state="attached")
                for place, block_id in enumerate(response):
                    page.locator("[name=mover]").select_option(block_id)
                    page.locator("[name=after]").select_option(response[place - 1] if place else "")
                    page.locator("button[value=move]").press("Enter")
                    page.wait_for_load_state()
            else:
                _fill_at(Keyboard(page), main, view, response)
            page.locator("button.main").press("Enter")
            page.locator("#outcome").wait_for()
            assert "Right" in page.locator("#outcome").inner_text(), item.name
            right += 1
        assert right >= 8
