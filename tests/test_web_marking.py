"""The practice page marks as the package does: its script and Python are asked the same and answer the same."""

from __future__ import annotations

import functools
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="the extra `web` is not installed")
pytest.importorskip("markdown_it", reason="the extra `web` is not installed")

from grader.course.catalog import find_course
from grader.errors import QuizError
from grader.quiz.arithmetic import number, unknown
from grader.quiz.asking import item_of
from grader.quiz.carrying import carried
from grader.quiz.kinds import kind_of
from grader.quiz.loading import bank_ids, load_bank, parse_bank
from grader.quiz.marking import mark
from grader.quiz.model import Item
from grader.quiz.types import cloze
from grader.quiz.types.numeric import typed
from grader.web import typesetting
from grader.web.forms import STATIC
from grader.web.keys import MARKED, key_of
from grader.web.practice import practice_page

from .quiz_banks import item as made
from .quiz_banks import written
from .quiz_web import CHROMIUM_FLAGS, ROOT, chromium, replay_rows

NUMBERS = [
    "", "  ", "0", "-0", "12", "0.25", "0,25", ".25", "5.", "1.50", "007", "2.5e-3", "2.5*10^-3", "2x10^3",
    "10^-3", "1/4",
    "1/0", "25 %", "50\\%", "1,234", "1,234,567", "1,234.5", "98 816", "98_816", "−3", "--3", "1e", "1e5",
    "1e300", "1e301",
    "1e-301", "1e399", "1e401", "2·10³", "10⁻³", "−10^{3}", "٣", "１２", "$5$", "≈ 4", "=4", "\\frac{1}{2}",
    "abc", "1 2 3",
]  # fmt: skip
SHAPES = [
    "(2, 3)", "2x3", "2 3", "[2,3]", "torch.Size([2, 3])", "()", "(5,)", "(B, T, 2H)", "B×T×2*H", "(B,T,H+H)", "B T H",
    "(T,B,2H)", "(B, T, 2^1 H)", "(B,,T)", "(2.5, 3)", "(-1, 3)", "(a,b)", "(B,T,2\\cdot H)", "((B,T,H))",
    "(B, T/1, 2H)",
    "(8*4, 2)", "BT", "HB", "2 H", "(B, T, H2)", "{4, 2}", "(B,T,2HH/H)", "(B,T,1/(H-H))", "(B,T,(H+H)^1)", "(B,T,H^H)",
    "(B, T, \\mathrm{H}·2)", "(B,T,H^{2}/H*2)", "(B,T,2H", "(B, T, ²)", "(B,T,𝐻+H)", "(B, T, H'*2)", "(" * 60 + "B",
]  # fmt: skip
MATRICES = [
    "[[1, 2], [3, 4]]", "1 2; 3 4", [["1", "2"], ["3", "4"]], "np.array([[1,2],[3,4]])", [["1"], ["2", "3"]],
    [], [[]], "1",
    "abc", ["1", "2"], "1\n2", "\\begin{pmatrix}1 & 2 \\\\ 3 & 4\\end{pmatrix}", [["1", ""], ["3", "4"]],
    [["1/2", "x"]],
]  # fmt: skip
TERMS = [
    "cell",
    "the Cell",
    "cel",
    "cells",
    "celll",
    "ecll",
    "memory-cell",
    "memry cell",
    "cell.",
    "hidden",
    "context",
    "ß",
]
ODD = [None, True, 3, 2.5, {}, [], {"x": "y"}, ["a"], "a", [["a"]], {"a": 1}, "x" * 3000]


def responses(item: Item, draw: random.Random) -> Iterator[Any]:
    """Yield responses to an item: keys, recognised wrong answers, near misses, nonsense."""
    kind, spec = kind_of(item), item.question.spec
    first = kind.keys(item)[0]
    yield from kind.keys(item)
    yield from (expected.response for expected in kind.wrong_responses(item))
    yield from ODD
    match item.question.type:
        case "numeric":
            yield from NUMBERS
            yield from (first + "0", "-" + first, first + "e3", first + "%", first[:-1], f" {first} ")
        case "matrix":
            yield from MATRICES
            yield [list(row) for row in zip(*first, strict=True)]
            yield [["1"] * len(first[0])] * len(first)
        case "shape":
            yield from SHAPES
            yield from ({**first, name: text} for name in first for text in SHAPES)
        case "cloze":
            yield from ({**first, name: text} for name in first for text in [*TERMS, *NUMBERS])
            yield from carrying_responses(item, first)
        case "multi":
            ids = [option.id for option in spec.options]  # type: ignore[attr-defined]
            yield from ([one for n, one in enumerate(ids) if bits >> n & 1] for bits in range(1 << len(ids)))
        case "order":
            ids = [block.id for block in spec.blocks]  # type: ignore[attr-defined]
            yield from (draw.sample(ids, draw.randint(1, len(ids))) for _ in range(30))
        case "match":
            rights = sorted(set(first.values()))
            yield from ({left: draw.choice(rights) for left in first} for _ in range(20))


def carrying_responses(item: Item, first: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield numbers for a cloze's first blank with what follows from each, and with a near miss of that."""
    spec = item.question.spec
    assert isinstance(spec, cloze.Spec)
    for name, one in spec.fields.items():
        if not isinstance(one, cloze.NumberBlank) or one.ecf is None:
            continue
        values = item.variant.values
        earlier = unknown(str(one.ecf), values)
        right = {other: number(spec.fields[other].answer.value, values) for other in earlier}  # type: ignore[union-attr]
        for text in ("5", "7", "0", "-2", "1/3", "2.5", "1e3", "1e200", "3.0", "40", "5000", "-5000", "1e-200"):
            given = dict.fromkeys(earlier, text)
            follows = carried(one.ecf, values, {other: (Fraction(text), right[other]) for other in earlier})
            yield {**first, **given, name: "5" if follows is None else typed(follows)}
            if follows is not None and abs(follows) < 1e290:
                yield {**first, **given, name: typed(float(follows) * 1.5 + 1)}


def made_items() -> list[Item]:
    """Return items with the rules that the banks of the course may not have."""
    two = [{"id": "a", "text": "A", "correct": True}, {"id": "b", "text": "B", "correct": True}]
    wrong = [{"id": "c", "text": "C", "why": "No."}, {"id": "d", "text": "D", "why": "No.", "credit": 0.5}]
    found = [
        made(type="multi", scoring=scoring, options=two + [dict(one, credit=0.0) for one in wrong])
        for scoring in ("all-or-nothing", "each-answer", "net", "coverage")
    ]
    for rule in ({"rel": 0.02}, {"abs": 0.01}, {"within": [2.4, "2.5+0.1"]}, {"exact": True}):
        figures = {"sigfigs": {"min": 2, "max": 3, "penalty": 0.1}, "unit": "ms"}
        found.append(
            made(type="numeric", answer={"value": 2.5, **rule, **figures}, wrong=[{"value": 5, "credit": 0.25}])
        )
    found.append(made(type="numeric", answer={"value": "10**20+1", "exact": True}))
    found.append(made(type="numeric", answer={"value": "0.1+0.2", "exact": True, "unit": "%"}))
    fields = [
        {"id": "out", "label": "out", "answer": ["B", "T", "2*H"]},
        {"id": "c", "label": "c", "answer": ["2", "B", "H"]},
    ]
    for scoring in ("per-axis", "per-field", "all-or-nothing"):
        wrong_shape = [{"field": "out", "value": ["T", "B", "2*H"], "credit": 0.5}]
        found.append(made(type="shape", dims=["B", "T", "H"], fields=fields, scoring=scoring, wrong=wrong_shape))
    for scoring in ("per-cell", "all-or-nothing"):
        found.append(made(type="matrix", answer={"value": [[1, 2], [3, 4]], "abs": 0.05}, scoring=scoring))
        found.append(made(type="matrix", answer={"value": [[1, 2, 3]], "rel": 0.1}, scoring=scoring))
    blocks = [{"id": "a", "text": "1"}, {"id": "b", "text": "2"}, {"id": "c", "text": "3"}]
    found.append(made(type="order", blocks=blocks, scoring="all-or-nothing"))
    pairs = [["x", "left", "right"], ["y", "links", "rechts"], ["z", "more", "right"]]
    found.append(made(type="match", pairs=pairs, scoring="all-or-nothing"))
    term = {"type": "text", "accept": ["gradient clipping", "cell"], "reject": ["gradient flipping"], "typos": 2}
    number = {"type": "numeric", "answer": {"value": 3, "exact": True}, "weight": 2}
    for scoring in ("per-field", "all-or-nothing"):
        found.append(made(type="cloze", prompt="{{t}} {{n}}", fields={"t": term, "n": number}, scoring=scoring))
    return [*found, *carrying_items()]


def carrying_items() -> list[Item]:
    """Return clozes with errors that are carried forward: whole numbers, floats, chains and what cannot be computed."""
    found = []
    for rule, ecf, key in [
        ({"exact": True}, "4*a*(a+m)+2**a", "4*6*(6+m)+2**6"),
        ({"rel": 0.01}, "0.5*tanh(a/4)-sigmoid(-a)", "0.5*tanh(6/4)-sigmoid(-6)"),
        ({"abs": 0.01}, "max(log(a), 1, -a)", "log(6)"),
        ({"within": [2, 3]}, "sqrt(a)", "sqrt(6)"),
        ({"rel": 0.02}, "abs(1/(a-5))", 1.0),
        ({"exact": True}, "m**a", "m**6"),
    ]:
        first = {"type": "numeric", "answer": {"value": 6, "exact": True}, "wrong": [{"value": 5, "credit": 0.5}]}
        second = {"type": "numeric", "answer": {"value": key, **rule}, "ecf": ecf, "label": "then"}
        third = {"type": "numeric", "answer": {"value": f"2*({key})", "rel": 0.01}, "ecf": "2*b"}
        fields, params = {"a": first, "b": second, "c": third}, {"m": {"choice": [3]}}
        found.append(made(type="cloze", prompt="{{a}} {{b}} {{c}}", fields=fields, params=params))
    return found


@functools.cache
def asked() -> list[dict[str, Any]]:
    """Return everything that both are asked, with what Python says."""
    course, draw = find_course(ROOT), random.Random(7)
    items = made_items()
    for bank_id in bank_ids(course):
        bank = load_bank(course, bank_id)
        items += [Item(q, v) for q in bank.questions if q.type in MARKED for v in q.variants[:2]]
    found: list[dict[str, Any]] = []
    for item in items:
        key = key_of(item)
        for response in responses(item, draw):
            got = mark(item, response)
            found.append(
                {"name": item.name, "type": item.question.type, "key": key, "response": response}
                | {"want": [got.status.value, got.score, got.note, len(got.feedback), list(got.misconceptions)]}
            )
    return found


RUN = """
const marks = rows.map((row) => {
  const mark = Marking.mark(row.type, row.response, row.key);
  return [mark.status, mark.score, mark.note, mark.feedback.length, mark.held ?? []];
});
"""


def by_script(rows: list[dict[str, Any]], tmp_path: Path) -> list[Any]:
    """Return what the page's script says, in Node or in Chromium; skip where there is neither."""
    script = (STATIC / "marking.js").read_text()
    if (node := shutil.which("node")) is not None:
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        program = f"{script}\nconst rows = JSON.parse(require('fs').readFileSync('rows.json'));{RUN}"
        (tmp_path / "run.js").write_text(f"{program}\nconsole.log(JSON.stringify(marks));")
        done = subprocess.run([node, "run.js"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
        return list(json.loads(done.stdout))
    sync_api = pytest.importorskip("playwright.sync_api", reason="neither Node nor Playwright is installed")
    if chromium() is None:
        pytest.skip("neither Node nor Chromium is installed")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        told = browser.new_page().evaluate(f"(rows) => {{ {script}; {RUN}; return marks; }}", rows)
        browser.close()
    return list(told)


def differences(rows: list[dict[str, Any]], told: list[Any]) -> list[str]:
    found = []
    for row, got in zip(rows, told, strict=True):
        want = list(row["want"])
        # Python rounds halves to even, the script up: the sixth digit may differ by one
        near = abs(got[1] - want[1]) <= 1.1e-6
        if not near or got[:1] + got[2:] != want[:1] + want[2:]:
            found.append(f"{row['name']} {row['response']!r}: {want} but the page says {got}")
    return found


def test_the_page_marks_as_the_package(tmp_path: Path) -> None:
    rows = asked()
    assert len(rows) > 1500
    assert {row["want"][0] for row in rows} == {"right", "partial", "wrong", "invalid"}
    assert differences(rows, by_script(rows, tmp_path))[:20] == []


def test_the_page_marks_the_corpus_as_it_must_be(tmp_path: Path) -> None:
    bank = functools.cache(functools.partial(load_bank, find_course(ROOT)))
    keys: dict[str, Any] = {}
    rows = []
    for row in replay_rows():
        bank_id, _, question = row["question"].partition("/")
        item = item_of(bank(bank_id), question, row.get("variant", 0))
        if item.question.type in MARKED:
            key = keys[item.name] if item.name in keys else keys.setdefault(item.name, key_of(item))
            rows.append({"type": item.question.type, "key": key, "response": row["response"], "row": row})
    assert len(rows) > 50
    for got, sent in zip(by_script(rows, tmp_path), rows, strict=True):
        row = sent["row"]
        assert (got[0], got[2]) == (row["status"], row.get("note", got[2])), row
        assert got[1] == pytest.approx(row.get("score", got[1]), abs=1.1e-6), row


def test_a_difference_would_be_found(tmp_path: Path) -> None:
    """The comparison sees a script that is wrong in one rule."""
    rows = [row for row in asked() if row["type"] == "numeric"][:40]
    told = by_script(rows, tmp_path)
    told[0] = ["wrong", 0, "other", 0, []] if told[0][0] == "right" else ["right", 1, "key", 0, []]
    assert len(differences(rows, told)) == 1


# --- the page --------------------------------------------------------------------------------------------------------


def test_page_is_whole_and_fetches_nothing() -> None:
    bank = load_bank(find_course(ROOT), "foundations")
    page, count = practice_page(bank)
    assert count == len(bank.questions)
    assert page.count("<article") == count
    assert re.findall(r"""(?:src|href|action)=["'](?!#|data:)""", page) == []
    policy = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)[0]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "The key is inside this file" in page
    assert practice_page(bank)[0] == page  # the same bank makes the same file


def test_page_keeps_texts_from_ending_its_data() -> None:
    nasty = "</script><script>alert(1)</script> & <b>bold</b>"
    question = {
        "type": "choice", "prompt": nasty, "explain": nasty,
        "options": [{"id": "a", "text": nasty, "correct": True}, {"id": "b", "text": "b", "why": nasty}],
    }  # fmt: skip
    bank, _ = parse_bank(written([question]), Path("bank.yaml"))
    assert bank is not None
    page, _ = practice_page(bank)
    assert page.count("</script>") == 2
    assert "<b>bold" not in page


def test_a_graded_bank_has_no_page() -> None:
    bank, _ = parse_bank(
        written([{"type": "numeric", "answer": {"value": 1, "exact": True}}]), Path("b.yaml"), graded=True
    )
    assert bank is not None
    with pytest.raises(QuizError, match="carries its key"):
        practice_page(bank)
    with pytest.raises(QuizError, match="no question"):
        practice_page(load_bank(find_course(ROOT), "foundations"), tags=("nothing",))


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("plain", "plain"),
        ("$h_t$ and `code`", "h_t and code"),
        (r"$\frac{a}{b} \le x^2$", "(a)/(b) ≤ x^2"),
        (r"$W_{hh} h_{t-1}$", "W_{hh}h_{t−1}"),
        (r"$\sqrt{n}$, *stressed*", "√(n), stressed"),
        ("two\nlines", "two lines"),
    ],
)
def test_plain_texts(text: str, want: str) -> None:
    assert typesetting.plain(text) == want


def test_texts_are_set_without_raw_html_or_script_links() -> None:
    page = str(typesetting.block("<b>x</b> [l](javascript:alert(1)) ![i](http://a.test/i.png) $a<b$"))
    assert "&lt;b&gt;x" in page
    assert "javascript:" not in re.findall(r'href="([^"]*)"', page)
    assert "<img" not in page
    assert "<math" in page
    assert "&#x0003C;" in page or "&lt;" in page


def test_a_formula_that_cannot_be_read_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    typesetting.formula.cache_clear()

    def broken(*_: object, **__: object) -> str:
        raise ValueError

    monkeypatch.setattr("latex2mathml.converter.convert", broken)
    assert typesetting.formula(r"\odd<x>") == '<code class="tex">\\odd&lt;x&gt;</code>'
    typesetting.formula.cache_clear()


def test_every_formula_of_the_banks_becomes_mathml() -> None:
    from grader.quiz.asking import solution, view
    from grader.quiz.texts import formulas

    course, seen = find_course(ROOT), 0
    for bank_id in bank_ids(course):
        for question in load_bank(course, bank_id).questions:
            item = Item(question, question.variants[0])
            shown = view(item)
            texts = [shown.prompt, solution(item).explain, *(option.text for option in shown.options)]
            for tex in (tex for text in texts for tex in formulas(text)):
                seen += 1
                made_of = typesetting.formula(tex)
                assert made_of.startswith("<math"), (question.name, tex)
                assert "\\" not in re.sub(r"<[^>]+>", "", made_of), (question.name, tex)
    assert seen > 20


def test_a_blank_inside_a_formula_is_not_lost() -> None:
    from grader.web.forms import controls

    item = made(
        type="cloze", prompt="$x = {{n}}$ and {{m}}",
        fields={name: {"type": "numeric", "answer": {"value": 1, "exact": True}} for name in ("n", "m")},
    )  # fmt: skip
    page = str(controls(item, "q"))
    assert page.count('name="field.n"') == page.count('name="field.m"') == 1
