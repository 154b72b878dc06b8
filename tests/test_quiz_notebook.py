"""Quizzes in a notebook: it can be read and run by plain Jupyter, and what is handed in is read and never run."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.cli.main import run as run_command_line
from grader.course.catalog import Course
from grader.errors import CourseError
from grader.quiz.asking import item_of, items, solution, view
from grader.quiz.loading import load_bank
from grader.quiz.model import Item
from grader.quiz.notebook import (
    cell_ids,
    check,
    literal_of,
    mark_cells,
    mark_notebook,
    nbgrader_notebook,
    practice_notebook,
    response_of,
    secret_seed,
)
from grader.quiz.running import CodeBox

from .conftest import STRANGE, Told
from .quiz_web import key_fragments, replay_rows

ROOT = Path(__file__).resolve().parents[1]
BANK = "foundations"


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """This course, with a state of its own."""
    for name in STRANGE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADER_COURSE", str(ROOT))
    monkeypatch.setenv("GRADER_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return Course(ROOT, tmp_path / "state")


@pytest.fixture
def quiz(course: Course, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Run `grader quiz ...` in this process."""

    def run(*arguments: str | Path) -> Told:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line(["quiz", *map(str, arguments)])
        out, err = capfd.readouterr()
        return Told(int(ended.value.code or 0), out, err)

    return run


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def literal(item: Item, response: Any) -> Any:
    """Return a response as somebody writes it down: a text for an essay, everything else as it is."""
    return response["text"] if item.question.type == "free" else response


def answered(notebook: dict[str, Any], drawn: tuple[Item, ...]) -> dict[str, Any]:
    """Fill in the keys."""
    found = json.loads(json.dumps(notebook))
    cells = [cell for cell in found["cells"] if cell["id"].startswith("a-")]
    for number, (cell, item) in enumerate(zip(cells, drawn, strict=True), 1):
        assert source(cell).startswith(f"answer_{number} = ")
        cell["source"] = [f"answer_{number} = {literal(item, solution(item).response)!r}\n"]
    return found


# --- for practice -----------------------------------------------------------------------------------------------------


def test_notebook_asks_everything_and_nothing_is_answered(course: Course) -> None:
    bank = load_bank(course, BANK)
    drawn = items(bank, 3)
    whole = json.loads(practice_notebook(bank, drawn))
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in whole["cells"]]
    assert len(set(ids)) == len(ids) == 2 + 3 * len(drawn)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in ids)
    asked = [cell for cell in whole["cells"] if cell["id"].startswith("q-")]
    for cell, item in zip(asked, drawn, strict=True):
        shown = view(item)
        words = shown.prompt.split("{{")[0].strip().splitlines()[0]
        assert words in source(cell)
        for option in (*shown.options, *shown.left):
            assert f"`{option.id}`" in source(cell)
    text = json.dumps(whole, ensure_ascii=False)
    for item in drawn:
        assert [word for word in key_fragments(item) if word in text] == []
    for cell in whole["cells"]:
        if cell["cell_type"] == "code":
            ast.parse(source(cell))
        if cell["id"].startswith("a-"):
            item = drawn[[c["id"] for c in whole["cells"] if c["id"].startswith("a-")].index(cell["id"])]
            assert response_of(view(item), literal_of(source(cell))) is None


def test_format_is_that_of_jupyter(course: Course) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    bank = load_bank(course, BANK)
    drawn = items(bank, 1)
    for text in (practice_notebook(bank, drawn), nbgrader_notebook(bank, drawn)):
        nbformat.validate(nbformat.reads(text, as_version=4))


def test_check_marks_as_everything_else_does(course: Course) -> None:
    bank = load_bank(course, BANK)
    for item in items(bank, 5):
        told = check(
            item.question.name, item.variant.number, literal(item, solution(item).response), rev=item.question.rev
        )
        if item.question.type == "free":
            assert "Compare your text" in str(told)
        else:
            assert (told.mark.status, told.mark.score) == ("right", 1), item.name
            assert "✓ Right" in told._repr_markdown_()
    count = item_of(bank, "lstm-count", 0)
    wrong = (
        count.variant.values["n"] * (count.variant.values["n"] + count.variant.values["m"]) + count.variant.values["n"]
    )
    assert "one of four equal blocks" in str(check("foundations/lstm-count", 0, wrong))
    assert check("foundations/lstm-count", 0, ...).mark.status == "invalid"
    helped = check("foundations/lstm-count", 0, solution(count).response, hints=1)
    assert helped.mark.score == pytest.approx(0.9)
    assert "Hint: Count one block first" in str(helped)
    with pytest.raises(CourseError, match="has changed"):
        check("foundations/lstm-count", 0, 1, rev=99)
    with pytest.raises(CourseError, match="is graded"):
        check("exam1/gru-saves", 0, 1)


def test_what_python_writes_is_what_is_meant(course: Course) -> None:
    """Numbers, tuples and arrays stand for the texts that a form would send."""
    np = pytest.importorskip("numpy")
    bank = load_bank(course, BANK)
    shapes = item_of(bank, "bilstm-shapes", 0)
    key = solution(shapes).response
    given = {name: tuple(ast.literal_eval(text)) for name, text in key.items()}
    assert check("foundations/bilstm-shapes", 0, given).mark.score == 1
    matrix = item_of(bank, "step-jacobian", 0)
    rows = [[float(cell) for cell in row] for row in solution(matrix).response]
    assert check("foundations/step-jacobian", 0, rows).mark.score == 1
    assert check("foundations/step-jacobian", 0, np.array(rows)).mark.score == 1
    count = int(solution(item_of(bank, "lstm-count", 1)).response)
    assert check("foundations/lstm-count", 1, np.int64(count)).mark.score == 1
    assert check("foundations/clip-true", 0, {"direction", "small"}).mark.score == 1


def test_notebook_runs_in_plain_jupyter(course: Course) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    bank = load_bank(course, BANK)
    drawn = items(bank, 2)
    filled = answered(json.loads(practice_notebook(bank, drawn)), drawn)
    whole = nbformat.reads(json.dumps(filled), as_version=4)
    # a kernel is a process with our environment: course and state are found there
    nbclient.NotebookClient(
        whole, timeout=120, kernel_name="python3", resources={"metadata": {"path": os.getcwd()}}
    ).execute()
    told = [cell["outputs"][0]["data"]["text/plain"] for cell in whole["cells"] if cell["id"].startswith("m-")]
    assert len(told) == len(drawn)
    for item, text in zip(drawn, told, strict=True):
        assert ("Compare your text" if item.question.type == "free" else "✓ Right") in text, item.name


# --- the command ------------------------------------------------------------------------------------------------------


def test_command_draws_from_the_seed_and_overwrites_no_answers(quiz: Callable[..., Told]) -> None:
    told = quiz("notebook", BANK, "--tag", "lstm", "--n", "3", "--seed", "4")
    assert (told.code, told.out) == (0, "foundations.ipynb: 3 questions, for practice\n")
    first = Path("foundations.ipynb").read_text()
    again = quiz("notebook", BANK, "--tag", "lstm", "--n", "3", "--seed", "4")
    assert again.code == 1
    assert "there is a file of that name, perhaps with answers" in again.error
    assert quiz("notebook", BANK, "--tag", "lstm", "--n", "3", "--seed", "4", "--out", "b.ipynb").code == 0
    assert Path("b.ipynb").read_text() == first
    assert quiz("notebook", BANK, "--tag", "lstm", "--n", "3", "--seed", "5", "--force").code == 0
    assert Path("foundations.ipynb").read_text() != first


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("notebook", "foundation"), "Did you mean `foundations`?"),
        (("notebook", BANK, "--tag", "nothing"), "has these tags and levels"),
        (("notebook", BANK, "--n", "0"), "0 is not in the range"),
        (("notebook", "exam1"), "exam1 is graded, and this is for practice"),
    ],
)
def test_bad_input_is_one_line(quiz: Callable[..., Told], arguments: tuple[str, ...], told: str) -> None:
    found = quiz(*arguments)
    assert found.code in (1, 2)
    assert told in found.err
    assert "Traceback" not in found.err


# --- for nbgrader -----------------------------------------------------------------------------------------------------


def test_cells_are_those_of_nbgrader_and_hold_no_key(course: Course, quiz: Callable[..., Told]) -> None:
    assert quiz("notebook", "exam1", "--nbgrader", "--points", "2").code == 0
    whole = json.loads(Path("exam1.ipynb").read_text())
    bank = load_bank(course, "exam1")
    drawn = items(bank, secret_seed(course, bank, 0))
    told = [cell["metadata"]["nbgrader"] for cell in whole["cells"][1:]]
    assert len(told) == 3 * len(drawn)
    assert len({one["grade_id"] for one in told}) == len(told)
    for one in told:
        assert one["schema_version"] == 3
        assert re.fullmatch(r"[a-zA-Z0-9_\-]+", one["grade_id"])
        assert set(one) - {"points"} == {
            "schema_version",
            "grade_id",
            "grade",
            "locked",
            "solution",
            "task",
            "cell_type",
        }
        assert ("points" in one) == one["grade"]
    assert [one["points"] for one in told if one["grade"]] == [2.0] * len(drawn)
    assert [(a["grade_id"], m["grade_id"]) for a, m in zip(told[1::3], told[2::3], strict=True)] == list(
        map(cell_ids, drawn)
    )
    text = json.dumps(whole, ensure_ascii=False)
    for item in drawn:
        assert [word for word in [*key_fragments(item), "Because", "reference"] if word in text] == [], item.name
    # another course draws other numbers and orders, and nobody can work out how the blocks were shuffled
    assert [i.shuffle for i in items(bank, 0)] != [i.shuffle for i in drawn]


def handed_in(course: Course, change: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Return an exam1 notebook with every answer right, as a student hands it in."""
    bank = load_bank(course, "exam1")
    drawn = items(bank, secret_seed(course, bank, 0), tags=("lstm", "gru", "seq2seq"))
    whole = answered(json.loads(nbgrader_notebook(bank, drawn)), drawn)
    if change is not None:
        change(whole)
    return whole


def ids_of(course: Course) -> list[str]:
    """Return the ids of the cells that carry points, as the instructor's own notebook has them."""
    return [
        cell["metadata"]["nbgrader"]["grade_id"] for cell in handed_in(course)["cells"] if cell["id"].startswith("m-")
    ]


def test_right_answers_are_marked_by_cell(course: Course) -> None:
    with CodeBox(0) as box:
        found = mark_notebook(course, "exam1", handed_in(course), points={ids_of(course)[0]: 3.0}, box=box)
    assert list(found) == ids_of(course)
    for n, one in enumerate(found.values()):
        if one.item.question.type == "free":
            assert (one.mark.note, one.earned) == ("to-judge", None)
        else:
            assert (one.earned, one.possible) == ((3.0, 3.0) if n == 0 else (1.0, 1.0)), one.cell


def answer_cell(whole: dict[str, Any], question: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in whole["cells"] if c["id"].startswith(f"a-{question}--"))
    return found


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("answer_1 = ...", "unanswered"),
        ("", "unanswered"),
        ("# YOUR CODE HERE\nraise NotImplementedError()", "unanswered"),
        ("answer_1 = open('owned', 'w')", "unreadable"),
        ("__import__('os').system('touch owned')\nanswer_1 = 5", "unreadable"),
        ("answer_1 = (lambda: 5)()", "unreadable"),
        ("answer_1 = 0x" + "f" * 9000, "unreadable"),
        ("answer_1 = '\\ud800'", "unreadable"),
        ("answer_1 = " + "[" * 5000 + "]" * 5000, "unreadable"),
        ("answer_1 = 5 +", "unreadable"),
        ("score = 1", "unreadable"),
        ("answer_1 = '" + "9" * 300_000 + "'", "unreadable"),
        ("answer_1 = {'a': 1}", "unreadable"),
        ("answer_1 = b'5'", "unreadable"),
        ("import numpy", "unreadable"),
    ],
)  # fmt: skip
def test_answers_are_read_and_never_run(course: Course, text: str, note: str) -> None:
    whole = handed_in(course)
    answer_cell(whole, "gru-saves")["source"] = text
    cell = next(one for one in ids_of(course) if "gru-saves" in one)
    found = mark_notebook(course, "exam1", whole, cells=[cell])[cell]
    assert (found.earned, found.mark.note) == (0, note)
    assert not Path("owned").exists()


def test_forged_cells_give_and_take_nothing(course: Course) -> None:
    ids = ids_of(course)
    first = ids[0]
    assert "gru-saves" in " ".join(ids)

    def marks(change: Callable[[dict[str, Any]], None]) -> dict[str, float | None]:
        found = mark_notebook(course, "exam1", handed_in(course, change), cells=ids)
        assert list(found) == ids
        return {name: one.earned for name, one in found.items()}

    fair = marks(lambda whole: None)

    def delete(whole: dict[str, Any]) -> None:
        whole["cells"] = [
            c
            for c in whole["cells"]
            if c.get("metadata", {}).get("nbgrader", {}).get("grade_id") != first.replace("mark", "answer")
        ]

    assert marks(delete) == {**fair, first: 0.0}

    def reverse(whole: dict[str, Any]) -> None:
        whole["cells"].reverse()

    assert marks(reverse) == fair

    def more_points(whole: dict[str, Any]) -> None:
        for cell in whole["cells"]:
            own = cell["metadata"].get("nbgrader", {})
            own["points"] = 1000.0
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "score: 1000"}]

    assert marks(more_points) == fair

    def same_twice(whole: dict[str, Any]) -> None:
        whole["cells"] += [c for c in whole["cells"] if c["id"].startswith("a-")]

    assert marks(same_twice) == fair

    def different_twice(whole: dict[str, Any]) -> None:
        cell = json.loads(json.dumps(next(c for c in whole["cells"] if c["id"].startswith("a-"))))
        whole["cells"].append({**cell, "source": "answer_1 = 1"})

    assert marks(different_twice) == {**fair, first: 0.0}

    def easier(whole: dict[str, Any]) -> None:
        for cell in whole["cells"]:
            own = cell["metadata"].get("nbgrader", {})
            if "grade_id" in own:
                own["grade_id"] = re.sub(r"--v\d+", "--v0", own["grade_id"])

    worse = marks(easier)
    assert all((worse[name] or 0) <= (fair[name] or 0) for name in ids)

    def rubbish(whole: dict[str, Any]) -> None:
        own: list[Any] = [{"grade_id": 3}, {"grade_id": "mark-nothing--v9"}, [], None]
        odd = [{"cell_type": "code", "metadata": {"nbgrader": one}, "source": [1, None]} for one in own]
        whole["cells"] += [None, 3, "x", {}, {"cell_type": "code"}, {"cell_type": "code", "metadata": []}, *odd]

    assert marks(rubbish) == fair
    assert mark_notebook(course, "exam1", {"cells": "none"}, cells=ids)[first].earned == 0
    with pytest.raises(CourseError):
        mark_notebook(course, "exam1", handed_in(course), cells=["mark-nothing--v0"])
    with pytest.raises(CourseError, match="no cell of a quiz"):
        mark_notebook(course, "exam1", handed_in(course), cells=["cell-7"])


# --- the same marks as everywhere else --------------------------------------------------------------------------------


def test_replay_corpus_is_marked_the_same_in_a_notebook(course: Course) -> None:
    """Every response of the corpus, written down as a literal, gets the mark that it gets in any other way."""
    rows = replay_rows()
    banks: dict[str, Any] = {}
    wrong = []
    with CodeBox(0) as box:
        for row in rows:
            bank_id, _, question = row["question"].partition("/")
            bank = banks.get(bank_id) or banks.setdefault(bank_id, load_bank(course, bank_id))
            item = item_of(bank, question, row["variant"])
            response = row["response"]
            if item.question.type == "free" and isinstance(response, dict):
                continue  # nobody judges a text in a notebook that is handed in
            answer, cell = cell_ids(item)
            text = f"answer_1 = {response!r}"
            whole = {"cells": [{"cell_type": "code", "metadata": {"nbgrader": {"grade_id": answer}}, "source": text}]}
            got = mark_cells(bank, whole, cells=[cell], box=box)[cell].mark
            # what cannot be read cannot be asked again: it earns nothing
            expected = ("wrong", 0.0) if row["status"] == "invalid" else (row["status"], row["score"])
            if (got.status.value, pytest.approx(got.score)) != expected:
                wrong.append(
                    (row["question"], row["variant"], response, expected, got.status.value, got.score, got.note)
                )
            if row["status"] == "invalid" and got.note not in ("unanswered", "unreadable"):
                wrong.append((row["question"], response, got.note))
    assert wrong == []
    assert len(rows) > 100
