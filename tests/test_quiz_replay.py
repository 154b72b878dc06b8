"""The replay corpus: what it covers, and that marking gives what the corpus says is right, quickly.

The same corpus goes through the terminal (test_cli_quiz), the server (test_web_server), a notebook
(test_quiz_notebook) and the practice page's script (test_web_marking); a practice page in Chromium is tried here.
"""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalog import Course
from grader.quiz.asking import item_of
from grader.quiz.kinds import type_names
from grader.quiz.loading import bank_ids, load_bank
from grader.quiz.marking import mark
from grader.quiz.model import Bank, Item
from grader.quiz.running import CodeBox

from .quiz_web import CHROMIUM_FLAGS, ROOT, chromium, replay_rows

Row = dict[str, Any]
#: seconds that one response may take to be marked, code apart
LONGEST = 0.5


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return replay_rows()


@pytest.fixture(scope="module")
def item() -> Callable[[Row], Item]:
    course = Course(ROOT, ROOT / ".grader")
    bank: Callable[[str], Bank] = functools.cache(functools.partial(load_bank, course))

    def of(row: Row) -> Item:
        bank_id, _, question = row["question"].partition("/")
        return item_of(bank(bank_id), question, row["variant"])

    return of


def test_corpus_covers_banks_types_and_outcomes(rows: list[Row], item: Callable[[Row], Item]) -> None:
    asked = [item(row).question for row in rows]
    assert len(rows) >= 650
    graded = {path.stem for path in (ROOT / "solutions" / "quizzes").glob("*.yaml")}
    assert {one.bank for one in asked} == set(bank_ids(Course(ROOT, ROOT / ".grader"))) - graded
    by_type = Counter(one.type for one in asked)
    assert set(by_type) == set(type_names())
    assert by_type["expression"] >= 170
    for name in type_names():
        seen = {row["status"] for row, one in zip(rows, asked, strict=True) if one.type == name}
        assert {"right", "partial", "wrong", "invalid"} <= seen, name
    same = Counter(json.dumps([row["question"], row["variant"], row["response"]]) for row in rows)
    assert [one for one, count in same.items() if count > 1] == []


def test_marking_gives_what_is_right(rows: list[Row], item: Callable[[Row], Item]) -> None:
    differ = []
    with CodeBox(0) as box:
        for row in rows:
            one = item(row)
            began = time.process_time()
            got = mark(one, row["response"], box)
            took = time.process_time() - began
            note = row.get("note", got.note)
            if (got.status.value, got.note) != (row["status"], note) or abs(got.score - row["score"]) > 1.1e-6:
                differ.append((row, got.status.value, got.score, got.note))
            if row["status"] == "invalid" and not got.feedback:
                differ.append((row, "no word to the learner"))
            if took > LONGEST and one.question.type != "code":
                differ.append((row, f"took {took:.2f} s"))
    assert differ == []


# --- the practice page, in a real browser -----------------------------------------------------------------------------

#: marks rows by the page's own script and key, and once more by filling in the page's forms and pressing Answer
PRESS = """
(sent) => {
  const rows = JSON.parse(sent);
  const data = JSON.parse(document.getElementById("data").textContent);
  const fill = (form, fields) => {
    form.reset();
    const blocks = form.querySelector("ol.blocks.used");
    if (blocks) {
      const all = new Map([...form.querySelectorAll("li[data-id]")].map((one) => [one.dataset.id, one]));
      for (const one of all.values()) one.querySelector("input").name = "out";
      for (const [, id] of fields) {
        if (!all.has(id)) return false;
        blocks.append(all.get(id));
        all.get(id).querySelector("input").name = "order";
      }
      return fields.length === new Set(fields.map(([, id]) => id)).size;
    }
    for (const [name, value] of fields) {
      const named = [...form.elements].filter((one) => one.name === name);
      const ticked = named.find((one) => ["radio", "checkbox"].includes(one.type) && one.value === value);
      if (ticked) { ticked.checked = true; continue; }
      if (named.length !== 1 || ["radio", "checkbox"].includes(named[0].type)) return false;
      named[0].value = value;
      if (named[0].value !== value) return false;
    }
    return true;
  };
  return rows.map(({ question, variant, response, fields }) => {
    const item = data[question][variant], mark = Marking.mark(item.type, response, item.key);
    const form = document.querySelector(`[data-question=${question}] form[data-variant="${variant}"]`);
    let pressed = null;
    if (fields && fill(form, fields)) {
      form.requestSubmit(form.querySelector("button.main"));
      const told = form.querySelector(".outcome");
      const share = /(\\d+) % of the point/.exec(told.textContent);
      pressed = [told.className.split(" ").at(-1), share && Number(share[1])];
    }
    return [[mark.status, mark.score, mark.note], pressed];
  });
}
"""


def test_practice_pages_in_a_browser_mark_the_same(
    rows: list[Row], item: Callable[[Row], Item], tmp_path: Path
) -> None:
    """One page of Chromium opens each bank's file and marks every row of a question that it carries."""
    pytest.importorskip("markdown_it", reason="the extra `web` is not installed")
    pytest.importorskip("jinja2", reason="the extra `web` is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if chromium() is None:
        pytest.skip("no Chromium is installed (name one in CHROMIUM)")
    from grader.quiz.asking import view
    from grader.web.keys import MARKED
    from grader.web.practice import VARIANTS, write_page

    from .quiz_web import fields_of

    sent: dict[str, list[tuple[Row, dict[str, Any]]]] = {}
    for row in rows:
        one = item(row)
        carried = [variant.number for variant in one.question.variants[:VARIANTS]]
        if one.question.type in MARKED and row["variant"] in carried:
            fields = fields_of(view(one), row["response"])
            told = {"variant": carried.index(row["variant"]), "response": row["response"], "fields": fields}
            sent.setdefault(one.question.bank, []).append((row, told))
    differ, marked, pressed = [], 0, 0
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_context(offline=True).new_page()
        for bank_id, ours in sent.items():
            bank = load_bank(Course(ROOT, ROOT / ".grader"), bank_id)
            write_page(bank, tmp_path / f"{bank_id}.html")
            page.goto((tmp_path / f"{bank_id}.html").as_uri())
            numbers = {question.name: f"q{n}" for n, question in enumerate(bank.questions, 1)}
            asked = [told | {"question": numbers[row["question"]]} for row, told in ours]
            for (row, _), (got, shown) in zip(ours, page.evaluate(PRESS, json.dumps(asked)), strict=True):
                marked += 1
                if (got[0], got[2]) != (row["status"], row.get("note", got[2])) or abs(got[1] - row["score"]) > 1.1e-6:
                    differ.append((row, got))
                if shown is not None:
                    pressed += 1
                    # a share is told in whole percents, and only where it is neither all nor nothing
                    share = row["score"] if shown[1] is None else shown[1] / 100
                    if shown[0] != row["status"] or abs(share - row["score"]) > 0.0051:
                        differ.append((row, "pressed", shown))
        browser.close()
    assert differ == []
    assert marked >= 500
    assert pressed >= 0.7 * marked
