"""Graded quizzes: blueprints drawn and refused, forms without a key, and files that come back marked once."""

# ruff: noqa: E501  # tables of cases read best with one case a line

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from grader.cli.main import run as run_command_line
from grader.course.catalog import Course
from grader.errors import CourseError, SandboxError
from grader.gradebook.quizzes import QuizBook
from grader.quiz import returned
from grader.quiz.asking import solution, view
from grader.quiz.blueprint import draw, load_blueprint
from grader.quiz.check import check_bank
from grader.quiz.kinds import kind_of
from grader.quiz.loading import bank_ids, load_bank
from grader.quiz.model import Item
from grader.quiz.offline import Form, Quiz, form_of, load_quiz
from grader.quiz.returned import current_results
from grader.quiz.running import CodeBox

from .conftest import STRANGE, Told
from .quiz_banks import course_with, written
from .quiz_web import key_fragments

ROOT = Path(__file__).resolve().parents[1]

COUNT: dict[str, Any] = {
    "type": "numeric", "prompt": "Twice {{n}}?", "params": {"n": {"choice": [3, 5, 7, 11, 13]}},
    "variants": {"count": 5, "seed": 1}, "answer": {"value": "2*n", "exact": True},
}  # fmt: skip
PICK: dict[str, Any] = {
    "type": "choice", "prompt": "Which gate?",
    "options": [{"id": "x", "text": "The first.", "correct": True}, {"id": "y", "text": "The second.", "why": "No gate of that kind exists here."}],
}  # fmt: skip
ORDER: dict[str, Any] = {
    "type": "order", "prompt": "Which order?",
    "blocks": [{"id": name, "text": f"Do {name}."} for name in ("kiwi", "fig", "plum", "pear", "lime")],
}  # fmt: skip
CODE: dict[str, Any] = {
    "type": "code", "prompt": "Write double.", "names": {"double": "number"}, "starter": "def double(x):\n    pass\n",
    "reference": "def double(x):\n    return 2 * x\n",
    "tests": "def test_double(student):\n    close(student.double(3.0), 6.0)\n\n\ndef test_zero(student):\n    close(student.double(0.0), 0.0)\n",
    "mutants": [{"replace": {"old": "2 * x", "new": "x * x"}}, {"replace": {"old": "2 * x", "new": "x + 2"}}],
}  # fmt: skip
TEXT: dict[str, Any] = {
    "type": "free", "prompt": "Why?", "model": "Because of the gate.", "grading": "instructor",
    "rubric": [{"id": "gate", "points": 1, "text": "Names the gate."}, {"id": "more", "points": 3, "text": "Says more."}],
}  # fmt: skip
EASY = [
    {"id": f"easy-{n}", **COUNT, "tags": ["lstm"], "level": "apply", "difficulty": 1, "minutes": 1} for n in range(4)
]
HARD = [
    {"id": f"hard-{n}", **COUNT, "tags": ["gru"], "level": "analyse", "difficulty": 5, "minutes": 4} for n in range(3)
]
OTHER = [
    {"id": "pick", **PICK, "tags": ["gates"], "difficulty": 2, "minutes": 1},
    {"id": "order", **ORDER, "tags": ["gates"], "difficulty": 3, "minutes": 2},
    {"id": "code", **CODE, "tags": ["numerics"], "difficulty": 3, "minutes": 5},
    {"id": "text", **TEXT, "tags": ["training"], "difficulty": 3, "minutes": 5},
]
BLUEPRINT: dict[str, Any] = {
    "schema": "quizblueprint/1", "id": "short", "title": "A short quiz", "bank": "final",
    "by": [{"tag": "lstm", "n": 2}, {"tag": "gru", "level": ["analyse"], "n": 1}, {"tag": "gates", "n": 1}],
}  # fmt: skip


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A course with a bank for practice, a graded one, and a blueprint."""
    made: Course = course_with(tmp_path / "course", written([{"id": "one", **COUNT}]), name="bank")
    secret = made.root / "solutions" / "quizzes"
    (secret / "blueprints").mkdir(parents=True)
    (secret / "final.yaml").write_text(written([*EASY, *HARD, *OTHER], "final"))
    lay(made, BLUEPRINT)
    for name in STRANGE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADER_COURSE", str(made.root))
    monkeypatch.chdir(tmp_path)
    return made


def lay(course: Course, blueprint: dict[str, Any]) -> Path:
    path = course.root / "solutions" / "quizzes" / "blueprints" / f"{blueprint['id']}.yaml"
    path.write_text(yaml.safe_dump(blueprint, sort_keys=False))
    return path


@pytest.fixture
def quiz(course: Course, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Run `grader quiz ...` in this process."""

    def run(*arguments: str | Path, sandbox: bool = False) -> Told:
        capfd.readouterr()
        # what is handed in here is ours: the sandbox has tests of its own
        plain = ["--tier", "0"] if arguments[0] == "grade" and not sandbox else []
        with pytest.raises(SystemExit) as ended:
            run_command_line(["quiz", *map(str, arguments), *plain])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err, err
        return Told(int(ended.value.code or 0), out, err)

    return run


def filled(form: Form, wrong: tuple[str, ...] = (), text: str = "It is the gate.") -> dict[str, Any]:
    """Return what a page saves: right answers, but for the questions named."""
    answers = []
    for item in form.items:
        key = solution(item).response
        if item.question.type == "free":
            answers.append(text)
        elif item.question.id in wrong:
            bad = kind_of(item).wrong_responses(item)
            answers.append(bad[0].response if bad else "12345")
        else:
            answers.append(key)
    return {**form.header(), "answers": answers, "saved": "2026-03-02T10:00:00Z"}


def hand_in(folder: Path, name: str, data: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def answers_of(course: Course) -> list[tuple[Any, ...]]:
    """Return everything that is kept of forms, with the moments left out."""
    with QuizBook.open(course.state / "gradebook.db") as book:
        return [
            (
                one.student,
                one.id,
                one.finished is not None,
                a.position,
                a.attempt,
                a.response,
                a.status,
                a.score,
                a.note,
            )
            for one in book.sittings(purpose="form")
            for a in book.answers(one.id)
        ]


# --- blueprints -------------------------------------------------------------------------------------------------------


def drawn(course: Course, blueprint: dict[str, Any], student: str = "s001") -> tuple[Item, ...]:
    lay(course, blueprint)
    return form_of(course, load_quiz(course, blueprint["id"]), student).items


def test_a_blueprint_is_kept_to_for_every_student(course: Course) -> None:
    rules = {**BLUEPRINT, "pick": 6, "difficulty": {"mean": 2.5, "within": 0.2}, "minutes": 14}
    seen = set()
    for n in range(40):
        items = drawn(course, rules, f"s{n:03}")
        questions = [item.question for item in items]
        assert len({q.id for q in questions}) == 6
        assert sum("lstm" in q.tags for q in questions) >= 2
        assert sum("gru" in q.tags for q in questions) >= 1
        assert sum("gates" in q.tags for q in questions) >= 1
        assert 2.3 <= sum(q.difficulty for q in questions) / 6 <= 2.7
        assert sum(q.minutes for q in questions) <= 14
        seen.add(tuple(item.name for item in items))
    assert len(seen) > 30


def test_drawing_is_exact_where_only_one_quiz_is_possible(course: Course) -> None:
    """Only the three hard ones reach that mean beside one of the gates."""
    rules = {**BLUEPRINT, "by": [{"tag": ["gru", "gates"], "n": 4}], "difficulty": {"mean": 4.5, "within": 0.0}}
    for n in range(10):
        assert {item.question.id for item in drawn(course, rules, f"s{n}")} == {"hard-0", "hard-1", "hard-2", "order"}


@pytest.mark.parametrize(
    ("change", "where", "told"),
    [
        ({"by": [{"tag": "lstm", "n": 5}]}, "by", "`tag lstm` asks for 5 and there are 4"),
        ({"by": [{"tag": "lstm", "level": "create", "n": 1}]}, "by", "`tag lstm, level create` asks for 1 and there are 0"),
        ({"by": [{"tag": "gates", "n": 2}, {"type": "choice", "n": 1}]}, "by", "ask for 3 and there are 2 between them"),
        ({"pick": 12}, "by", "ask for 12 and there are 11"),
        ({"difficulty": {"mean": 4, "within": 0.25}}, "difficulty", "nearest to 3.75..4.25 is 2.50, 1.25 off"),
        ({"minutes": 6.5}, "minutes", "takes 7 minutes, 0.5 above the limit"),
        ({"minutes": 7, "difficulty": {"mean": 2.5, "within": 0}}, "minutes", "with that difficulty the quickest quiz takes 8 minutes, 1 above the limit (7 with any difficulty)"),
        ({"difficulty": {"mean": 2.3, "within": 0.02}}, "difficulty", "2.28..2.32 is 2.25, 0.03 off"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_says_which_constraint_and_by_how_much(
    course: Course, quiz: Callable[..., Told], change: dict[str, Any], where: str, told: str
) -> None:
    path = lay(course, {**BLUEPRINT, **change})
    found = quiz("form", "short", "--student", "s001")
    assert found.code == 1
    assert told in found.error
    line = int(found.error.removeprefix(f"{path}:").split(":")[0])
    text = path.read_text().splitlines()
    above = next(one for one in reversed(text[:line]) if not one.startswith((" ", "-")))
    assert above.startswith(where)
    assert list(Path.cwd().glob("*-forms")) == []
    checked = quiz("check", "final")
    assert (checked.code, "error[infeasible]" in checked.out, told in checked.out) == (1, True, True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"minuts": 3}, "unknown key 'minuts', did you mean 'minutes'?"),
        ({"bank": "finale"}, "there is no bank 'finale'"),
        ({"by": [{"tag": "lstm"}]}, "the key 'n' is missing"),
        ({"by": [{"n": 1, "level": "aplpy"}]}, "the levels are remember"),
        ({"pick": 2}, "ask for 4 questions already"),
        ({"by": []}, "say what to draw"),
        ({"no_reuse": ["nothing"]}, "there is no other blueprint 'nothing'"),
        ({"no_reuse": ["short"]}, "there is no other blueprint 'short'"),
        ({"difficulty": {"mean": 9}}, "less than or equal to 5"),
        ({"schema": "quizblueprint/2"}, "quizblueprint/1"),
        ({"by": [{"n": 1} for _ in range(13)]}, "at most 12 items"),
        ({"by": [{"n": 3} for _ in range(12)]}, "too many lines to be solved exactly"),
    ],
)
def test_mistakes_in_a_blueprint_are_told_at_their_place(
    course: Course, quiz: Callable[..., Told], change: dict[str, Any], told: str
) -> None:
    path = lay(course, {**BLUEPRINT, **change})
    found = quiz("form", "short", "--student", "s001")
    assert found.code == 1
    assert told in found.error
    assert found.error.startswith(f"{path}:")


def test_another_quiz_reuses_nothing_of_the_first(course: Course) -> None:
    lay(course, {**BLUEPRINT, "by": [{"tag": "lstm", "n": 2}]})
    later = {**BLUEPRINT, "id": "later", "by": [{"tag": "lstm", "n": 2}], "no_reuse": ["short"]}
    for n in range(10):
        first = {item.question.id for item in form_of(course, load_quiz(course, "short"), f"s{n}").items}
        second = {item.question.id for item in drawn(course, later, f"s{n}")}
        assert not first & second
    with pytest.raises(CourseError, match=r"asks for 3 and there are 2 \(2 more are used up by short\)"):
        drawn(course, {**later, "by": [{"tag": "lstm", "n": 3}]})
    lay(course, {**BLUEPRINT, "no_reuse": ["later"]})
    with pytest.raises(CourseError, match="must not reuse"):
        drawn(course, later)


# --- the graded bank of this course -----------------------------------------------------------------------------------


@pytest.fixture
def real(tmp_path: Path) -> Course:
    return Course(ROOT, tmp_path / "state")


def test_graded_bank_is_proved(real: Course) -> None:
    with CodeBox() as box:
        report = check_bank(real, "exam1", box, strict=True)
    assert report.findings == ()
    bank = load_bank(real, "exam1")
    assert bank.graded
    assert len(bank.questions) >= 24
    assert len({tag for q in bank.questions for tag in q.tags}) >= 15
    assert sum(len(q.variants) > 1 for q in bank.questions) >= len(bank.questions) / 3
    prompts = {q.prompt: q.name for b in bank_ids(real) if b != "exam1" for q in load_bank(real, b).questions}
    assert [q.id for q in bank.questions if q.prompt in prompts] == []


def test_blueprints_of_this_course_can_be_drawn_for_a_class(real: Course) -> None:
    bank = load_bank(real, "exam1")
    for name in ("midterm", "retake"):
        blueprint = load_blueprint(real, name)
        quizzes = [draw(blueprint, bank, f"seed {n}") for n in range(25)]
        assert all(len(one) == blueprint.size for one in quizzes)
        assert len({frozenset(q.id for q in one) for one in quizzes}) > 15
        assert blueprint.minutes is not None
        assert all(sum(q.minutes for q in one) <= blueprint.minutes for one in quizzes)
    for n in range(10):
        first, second = (form_of(real, load_quiz(real, name), f"s{n}").items for name in ("midterm", "retake"))
        assert not {item.question.id for item in first} & {item.question.id for item in second}


def test_nothing_of_graded_quizzes_ships() -> None:
    import tomllib

    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert "solutions" not in json.dumps(told)
    assert (ROOT / "solutions" / "quizzes" / "exam1.yaml").is_file()


@pytest.mark.parametrize(
    "arguments", [("take", "final"), ("review", "--bank", "final"), ("page", "final"), ("notebook", "final")]
)
def test_practice_keeps_out_of_graded_banks(quiz: Callable[..., Told], arguments: tuple[str, ...]) -> None:
    told = quiz(*arguments)
    assert told.code == 1
    assert "final is graded" in told.error


# --- forms ------------------------------------------------------------------------------------------------------------


def test_forms_are_the_same_again_and_another_course_makes_others(
    course: Course, quiz: Callable[..., Told], tmp_path: Path
) -> None:
    arguments = ("form", "short", "--student", "s001", "--student", "s002", "--format", "json", "--format", "paper")
    assert quiz(*arguments, "--out", "a").code == 0
    assert quiz(*arguments, "--out", "b").code == 0
    names = sorted(path.name for path in Path("a").iterdir())
    assert names == ["short-s001.form.json", "short-s001.md", "short-s002.form.json", "short-s002.md"]
    assert all((Path("a") / name).read_bytes() == (Path("b") / name).read_bytes() for name in names)
    first, second = (json.loads((Path("a") / f"short-{who}.form.json").read_text()) for who in ("s001", "s002"))
    assert first["form"] != second["form"]
    shutil.rmtree(course.state)
    assert quiz(*arguments, "--out", "c").code == 0
    assert json.loads((Path("c") / "short-s001.form.json").read_text())["form"] != first["form"]


def test_forms_for_a_roster_carry_no_key(course: Course, quiz: Callable[..., Told]) -> None:
    pytest.importorskip("jinja2", reason="the extra `web` is not installed")
    Path("class.csv").write_text("id,name\ns001,Student One\ns002,Student Two\n")
    told = quiz("form", "final", "--roster", "class.csv", "--format", "page", "--format", "paper", "--format", "json")
    assert told.code == 0, told.err
    assert "2 students, 11 questions each, page and paper and json, without key" in told.out
    chosen = load_quiz(course, "final")
    for student in ("s001", "s002"):
        form = form_of(course, chosen, student)
        words = [word for item in form.items for word in key_fragments(item)]
        assert "No gate of that kind exists here." in words
        for ending in (".html", ".md", ".form.json"):
            text = (Path("final-forms") / f"final-{student}{ending}").read_text()
            assert student in text
            assert form.id in text
            for word in [*words, "Because it is so", "close(student", "return 2 * x", "Marking", "Says more"]:
                assert word not in text, (ending, word)
        told_items = json.loads((Path("final-forms") / f"final-{student}.form.json").read_text())["items"]
        # how blocks were shuffled would tell in which order the author wrote them down
        assert all(one.keys() == {"question", "rev", "variant"} for one in told_items)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("form", "short"), "name the class with --roster"),
        (("form", "shrot", "--student", "s1"), "Did you mean `short`?"),
        (("form", "short", "--student", "../s1"), "no student id"),
        (("form", "short", "--roster", "nothing.csv"), "nothing.csv"),
        (("grade", "shrot"), "Did you mean `short`?"),
        (("grade", "short", "nowhere/"), "there is no such file or folder"),
        (("grade", "short", "--rubric", "nothing.csv"), "nothing.csv"),
        (("grade", "short", "--roster", "nothing.csv"), "nothing.csv"),
    ],
)
def test_bad_input_is_one_line(quiz: Callable[..., Told], arguments: tuple[str, ...], told: str) -> None:
    found = quiz(*arguments)
    assert found.code in (1, 2)
    assert told in found.err
    assert len([line for line in found.err.splitlines() if line.startswith("Error")]) == 1


def test_a_course_without_room_for_one_student_writes_no_form(course: Course, quiz: Callable[..., Told]) -> None:
    Path("out").write_text("a file, not a folder")
    told = quiz("form", "short", "--student", "s001", "--format", "json", "--out", "out")
    assert told.code == 1
    assert told.error


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.fixture
def final(course: Course) -> Quiz:
    return load_quiz(course, "final")


def test_a_class_is_marked_once(course: Course, quiz: Callable[..., Told], final: Quiz) -> None:
    Path("class.csv").write_text("id,name\ns001,=One\ns002,Two\ns003,Three\n")
    hand_in(Path("in"), "s001.json", filled(form_of(course, final, "s001")))
    hand_in(
        Path("in/s002"), "final-s002.json", filled(form_of(course, final, "s002"), wrong=("pick", "easy-1", "code"))
    )
    told = quiz("grade", "final", "in", "--roster", "class.csv", "--csv", "marks.csv", "--feedback", "fb", sandbox=True)
    assert told.code == 3  # a text waits for a person
    assert "s001: 10 of 11 so far (1 to be judged)\n  text: needs marking\n" in told.out
    assert "s002: 7." in told.out
    assert "s003: not submitted" in told.out
    rows = list(csv.DictReader(io.StringIO(Path("marks.csv").read_text())))
    assert [(r["student"], r["name"], r["outcome"], r["earned"], r["so_far"]) for r in rows][0::2] == [
        ("s001", "'=One", "ungraded", "", "10"), ("s003", "Three", "not submitted", "", ""),
    ]  # fmt: skip
    assert (rows[1]["question:pick"], rows[1]["question:easy-1"], rows[1]["question:text"]) == ("0", "0", "")
    page = Path("fb/s002.md").read_text()
    assert "Two: **7." in page
    assert "wrong (0 of 1)" in page
    assert "Because it is so" not in page
    assert (
        "Because it is so"
        in (quiz("grade", "final", "--feedback", "fb2", "--solutions"), Path("fb2/s002.md").read_text())[1]
    )
    before = answers_of(course)
    again = quiz("grade", "final", "in", "--roster", "class.csv", "--json")
    assert [(o["student"], o.get("so_far")) for o in again.objects[:1]] == [("s001", 10)]
    assert answers_of(course) == before
    assert len(before) == 22


def test_statistics_know_what_was_graded(course: Course, quiz: Callable[..., Told], final: Quiz) -> None:
    for n in range(32):
        data = filled(form_of(course, final, f"s{n:03}"), wrong=("pick",) if n % 4 == 0 else ())
        data["answers"] = [
            a if i.question.id != "code" else None
            for a, i in zip(data["answers"], form_of(course, final, f"s{n:03}").items, strict=True)
        ]
        hand_in(Path("in"), f"s{n:03}.json", data)
    assert quiz("grade", "final", "in").code == 3
    told = json.loads(quiz("stats", "final", "--json").out)
    found = {one["question"]: one for one in told["questions"]}
    assert told["learners"] == 32
    assert found["final/pick"]["facility"]["value"] == pytest.approx(0.75)
    assert found["final/code"]["facility"]["value"] == 0
    assert found["final/code"]["notes"] == {"unanswered": 32}
    assert "final/text" not in found  # texts that wait do not count


def swap(data: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {**data, **change}


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "made-up": (lambda d: swap(d, form="0" * 32), "was not handed out to s001"),
    "another-name": (lambda d: swap(d, student="s002"), "was not handed out to s002"),
    "another-variant": (lambda d: swap(d, items=[{**d["items"][0], "variant": 1 - d["items"][0]["variant"]}, *d["items"][1:]]), "was not handed out"),
    "easier-question": (lambda d: swap(d, items=[d["items"][1]] * len(d["items"])), "was not handed out"),
    "fewer-questions": (lambda d: swap(d, items=d["items"][:1], answers=d["answers"][:1]), "was not handed out"),
    "fewer-answers": (lambda d: swap(d, answers=d["answers"][:-1]), "not one answer for each"),
    "another-quiz": (lambda d: swap(d, quiz="short"), "answers the quiz short"),
    "another-seed": (lambda d: swap(d, seed="abc"), "was not handed out"),
    "marks-of-its-own": (lambda d: swap(d, score=11), "keys that no form writes: score"),
    "no-form": (lambda d: {"answers": d["answers"]}, "no file of answers"),
    "no-student": (lambda d: {k: v for k, v in d.items() if k != "student"}, "does not say whose form"),
    "list": (lambda d: [d], "no file of answers"),
    "nothing": (lambda d: "", "ends too early"),
    "cut": (lambda d: json.dumps(d)[:-40], "it ends too early"),
    "no-json": (lambda d: "answers: 3\n", "it is no JSON"),
    "nan": (lambda d: json.dumps(swap(d, answers=[float("nan")] * len(d["answers"]))), "NaN is no JSON"),
    "twice": (lambda d: json.dumps(d)[:-1] + ', "student": "s002"}', "a key stands twice"),
    "deep": (lambda d: "[" * 100_000, "no JSON that can be read"),
    "nested": (lambda d: swap(d, answers=[[[[[[[[[[[[[[1]]]]]]]]]]]]]] * len(d["answers"])), "nested too deeply"),
    "long-number": (lambda d: json.dumps(d).replace('"saved": "', '"saved": ' + "9" * 6000 + ', "x": "'), "no JSON that can be read"),
    "half-character": (lambda d: json.dumps(swap(d, answers=["\ud800"] * len(d["answers"]))), "half of a character"),
    "huge": (lambda d: json.dumps(d) + " " * 5_000_000, "at most 3.8 MiB"),
    "strange-items": (lambda d: swap(d, items=[{**d["items"][0], "variant": True}, *d["items"][1:]]), "not as it was handed out"),
    "control": (lambda d: swap(d, quiz="\x1b[31mred\n"), "\\x1b[31mred\\n"),
}  # fmt: skip


def test_bad_files_are_told_in_a_line_each_and_the_others_are_marked(
    course: Course, quiz: Callable[..., Told], final: Quiz
) -> None:
    good = filled(form_of(course, final, "s001"))
    for name, (spoil, _) in BAD.items():
        hand_in(Path("in"), f"{name}.json", spoil(json.loads(json.dumps(good))))
    (Path("in") / "bytes.json").write_bytes(b"\xff\xfe\x00{")
    os.symlink("/etc/passwd", Path("in") / "link.json")
    os.mkfifo(Path("in") / "pipe.json")
    hand_in(Path("in"), "blank.json", form_of(course, final, "s005").as_dict())
    hand_in(Path("in"), "good.json", filled(form_of(course, final, "s009")))
    told = quiz("grade", "final", "in")
    assert told.code == 3
    lines = {line.split(":")[1].strip(): line for line in told.err.splitlines() if line.startswith("Not marked: ")}
    assert len(told.err.splitlines()) == len(BAD) + 4 == len(lines)
    for name, (_, reason) in BAD.items():
        assert reason in lines[f"in/{name}.json"], lines[f"in/{name}.json"]
    assert "no UTF-8" in lines["in/bytes.json"]
    assert "cannot be read" in lines["in/link.json"]
    assert "cannot be read" in lines["in/pipe.json"]
    assert "nobody has filled in" in lines["in/blank.json"]
    assert {row[0] for row in answers_of(course)} == {"s009"}


def test_files_of_others_and_several_files_of_one(course: Course, quiz: Callable[..., Told], final: Quiz) -> None:
    mine, theirs = (form_of(course, final, who) for who in ("s001", "s002"))
    hand_in(Path("in/s001"), "answers.json", filled(theirs))
    told = quiz("grade", "final", "in")
    assert "the form of s002 lies in the folder of s001" in told.err
    hand_in(Path("in/s001"), "answers.json", filled(mine))
    hand_in(Path("in/s001"), "copy.json", filled(mine))
    assert "Not marked" not in quiz("grade", "final", "in").err  # the same file twice is one
    hand_in(Path("in/s001"), "other.json", filled(mine, wrong=("pick",)))
    before = answers_of(course)
    told = quiz("grade", "final", "in")
    assert told.err.count("s001 handed in 2 different files") == 2
    (Path("in/s001/answers.json")).unlink()
    (Path("in/s001/copy.json")).unlink()
    told = quiz("grade", "final", "in")
    assert "was marked by another file before: --replace takes this one" in told.err
    assert answers_of(course) == before
    assert "s001: 9 of 11" in quiz("grade", "final", "in", "--replace").out
    now = answers_of(course)
    assert quiz("grade", "final", "in", "--replace").code == 3
    assert answers_of(course) == now
    assert now[: len(before)] == before  # what was marked first is kept


def test_bank_that_goes_on_marks_no_old_form(course: Course, quiz: Callable[..., Told], final: Quiz) -> None:
    hand_in(Path("in"), "s001.json", filled(form_of(course, final, "s001")))
    path = course.root / "solutions" / "quizzes" / "final.yaml"
    path.write_text(path.read_text().replace("id: pick\n", "id: pick\n  rev: 2\n"))
    told = quiz("grade", "final", "in")
    assert "it asks final/pick in rev 1, and the bank is at rev 2" in told.err
    assert answers_of(course) == []


def test_texts_are_judged_by_people(course: Course, quiz: Callable[..., Told], final: Quiz) -> None:
    data = filled(form_of(course, final, "s001"), text="It is the gate.\nAnd more.")
    position = next(n for n, item in enumerate(form_of(course, final, "s001").items) if item.question.id == "text")
    # points that a student gives to their own text are nobody's points
    data["answers"][position] = {"text": "It is the gate.", "points": {"gate": 1, "more": 3}}
    hand_in(Path("in"), "s001.json", data)
    assert quiz("grade", "final", "in", "--sheet", "sheet.csv").code == 3
    rows = list(csv.DictReader(io.StringIO(Path("sheet.csv").read_text())))
    assert [(r["student"], r["question"], r["point"], r["max"], r["points"]) for r in rows] == [
        ("s001", "text", "gate", "1", ""), ("s001", "text", "more", "3", ""),
    ]  # fmt: skip
    assert rows[0]["answer"] == "It is the gate."
    head = "student,question,point,points\n"

    def judge(*lines: str) -> Told:
        Path("back.csv").write_text(head + "".join(f"{line}\n" for line in lines))
        return quiz("grade", "final", "--rubric", "back.csv")

    for line, told in {
        "s002,text,gate,1": "back.csv:2: no form of s002 was marked",
        "s001,txet,gate,1": "back.csv:2: s001 was not asked txet",
        "s001,text,gat,1": "back.csv:2: text has no point gat. It has gate, more",
        "s001,text,gate,2": "back.csv:2: `gate` is worth at most 1",
        "s001,text,gate,x": "back.csv:2: `x` is no number of points",
        "s001,text,gate,nan": "back.csv:2: `nan` is no number",
        "s001,pick,score,2": "back.csv:2: `score` is worth at most 1",
    }.items():
        found = judge(line)
        assert (found.code, told in found.error) == (1, True), found.err
    assert "already" in judge("s001,text,gate,1", "s001,text,gate,0").error
    assert (
        "no column points"
        in (Path("back.csv").write_text("student,question,point\n"), quiz("grade", "final", "--rubric", "back.csv"))[
            1
        ].error
    )
    half = judge("s001,text,gate,1", "s001,text,more,")
    assert (half.code, "no points yet for more" in half.err) == (3, True)
    done = judge("s001,text,gate,1", "s001,text,more,1.5")
    assert done.code == 0, done.err
    assert "s001: 10.625 of 11\n" in done.out
    before = answers_of(course)
    assert before[0][2]  # finished
    assert judge("s001,text,gate,1", "s001,text,more,1.5").code == 0
    assert answers_of(course) == before
    # on second thoughts: the later mark counts, the earlier one is kept
    assert "s001: 11 of 11" in judge("s001,text,gate,1", "s001,text,more,3").out
    assert len(answers_of(course)) == len(before) + 1
    assert quiz("grade", "final", "in").code == 0


def test_what_cannot_be_read_earns_nothing_until_a_person_looks(
    course: Course, quiz: Callable[..., Told], final: Quiz
) -> None:
    form = form_of(course, final, "s001")
    data = filled(form)
    odd = {"easy-0": "twice it", "pick": "no-such-option", "code": "def double(x:\n", "order": ["kiwi", "kiwi"], "easy-1": "  ",
           "easy-2": {"a": [1]}, "hard-0": None, "text": "It is."}  # fmt: skip
    data["answers"] = [odd.get(item.question.id, a) for item, a in zip(form.items, data["answers"], strict=True)]
    hand_in(Path("in"), "s001.json", data)
    told = quiz("grade", "final", "in", "--sheet", "sheet.csv")
    assert "s001: 3 of 11 so far (1 to be judged, 5 could not be read)" in told.out
    asked = [r["question"] for r in csv.DictReader(io.StringIO(Path("sheet.csv").read_text())) if r["point"] == "score"]
    assert sorted(asked) == ["code", "easy-0", "easy-2", "order", "pick"]
    Path("back.csv").write_text("student;question;point;points\ns001;easy-0;score;0,5\n")
    assert (
        "s001: 3.5 of 11 so far (1 to be judged, 4 could not be read)"
        in quiz("grade", "final", "--rubric", "back.csv").out
    )


def test_code_that_the_machine_could_not_run_is_ungraded_and_marked_later(
    course: Course, quiz: Callable[..., Told], final: Quiz, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = filled(form_of(course, final, "s001"))
    hand_in(Path("in"), "s001.json", data)
    with monkeypatch.context() as broken:
        broken.setattr(CodeBox, "session", lambda *a, **k: (_ for _ in ()).throw(SandboxError("the sandbox is gone")))
        told = quiz("grade", "final", "in")
        assert told.code == 3
        assert "s001: 9 of 11 so far (1 to be judged, 1 ungraded)" in told.out
        assert "code: not marked yet (the sandbox is gone)" in told.out
        before = answers_of(course)
        quiz("grade", "final", "in")
        assert answers_of(course) == before
    told = quiz("grade", "final", "in")
    assert "s001: 10 of 11 so far (1 to be judged)" in told.out


def test_marking_that_is_broken_off_goes_on(
    course: Course, quiz: Callable[..., Told], final: Quiz, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for n in range(3):
        hand_in(Path("in"), f"s{n}.json", filled(form_of(course, final, f"s{n}"), wrong=("pick",)))
    calls = 0

    def dies(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 16:  # in the middle of the second student
            raise KeyboardInterrupt
        return whole(*arguments)

    whole = returned.mark
    with monkeypatch.context() as broken:
        broken.setattr(returned, "mark", dies)
        assert quiz("grade", "final", "in").code == 130
    assert 11 < len(answers_of(course)) < 22
    assert quiz("grade", "final", "in").code == 3
    undisturbed = quiz("grade", "final", "in", "--gradebook", tmp_path / "other.db")
    assert undisturbed.out == quiz("grade", "final").out
    assert len(answers_of(course)) == 33
    assert len({row[1] for row in answers_of(course)}) == 3


def test_blueprints_are_listed_and_their_bank_has_statistics(course: Course, quiz: Callable[..., Told]) -> None:
    assert "short  A short quiz (graded, drawn from final): 4 questions" in quiz("list").out
    told = [one for one in quiz("list", "--json").objects if one.get("blueprint")]
    assert told == [
        {"version": 1, "blueprint": "short", "bank": "final", "title": "A short quiz", "graded": True, "questions": 4}
    ]
    hand_in(Path("in"), "s001.json", filled(form_of(course, load_quiz(course, "short"), "s001")))
    assert quiz("grade", "short", "in").code == 0
    assert json.loads(quiz("stats", "short", "--json").out)["bank"] == "final"


def test_results_are_of_the_last_form_and_of_this_quiz_only(
    course: Course, quiz: Callable[..., Told], final: Quiz
) -> None:
    hand_in(Path("a"), "s001.json", filled(form_of(course, final, "s001")))
    hand_in(Path("b"), "s001.json", filled(form_of(course, load_quiz(course, "short"), "s001")))
    quiz("grade", "final", "a")
    assert "s001: 4 of 4" in quiz("grade", "short", "b").out
    with QuizBook.open(course.state / "gradebook.db") as book:
        (short,) = current_results(book, load_quiz(course, "short"))
        assert [place.item.question.id for place in short.places] == [
            item.question.id for item in form_of(course, load_quiz(course, "short"), "s001").items
        ]
        assert short.finished
    assert "s001: 10 of 11" in quiz("grade", "final").out


def test_a_blueprint_is_served_to_a_class_as_it_is_drawn_for_forms(course: Course, final: Quiz) -> None:
    """In the browser a student is asked what their form asks; another quiz on the same bank is another sitting."""
    pytest.importorskip("starlette", reason="the extra `web` is not installed")
    from grader.errors import QuizError
    from grader.quiz.statistics import first_tries
    from grader.web.serving import Plan, desk_of

    lay(course, {**BLUEPRINT, "id": "later", "no_reuse": ["short"], "by": [{"tag": ["lstm", "gru"], "n": 2}]})
    roster = Path("class.csv")
    roster.write_text("id,name\ns001,One\ns002,Two\n")
    with QuizBook.open(course.state / "gradebook.db") as book:
        with pytest.raises(QuizError, match="drawn by its blueprint"):
            desk_of(course, Plan("short", roster=roster, n=3), book)
        with pytest.raises(QuizError, match="must be known who answers"):
            desk_of(course, Plan("short"), book)
        desks = {name: desk_of(course, Plan(name, roster=roster, tier=0), book) for name in ("short", "later", "final")}
        for name, desk in desks.items():
            for student in ("s001", "s002"):
                sitting = desk.begin(student)
                asked = [item.name for item in sitting.items if item is not None]
                if name != "final":
                    assert asked == [item.name for item in form_of(course, load_quiz(course, name), student).items]
                assert desk.begin(student).id == sitting.id
                names = [one.question.id if one is not None else "" for one in sitting.items]
                at = next(n for n, name_ in enumerate(names) if name_.startswith(("easy", "hard")))
                item = sitting.items[at]
                assert item is not None
                sitting.answer(at, solution(item).response)
                sitting.finish()
            with pytest.raises(QuizError, match="may be taken once"):
                desk.begin("s001")
            desk.boxes.close()
        assert desks["short"].title == "A short quiz"
        given, _ = first_tries(book, load_bank(course, "final"))
        assert {one.student for one in given if one.score == 1} == {"s001", "s002"}
        assert len([one for one in given if one.score == 1]) >= 4  # of sittings under three names


# --- the page in a browser --------------------------------------------------------------------------------------------


def test_page_is_filled_in_by_a_student_saved_and_marked(tmp_path: Path, real: Course) -> None:
    """A whole form of the real midterm in Chromium, offline: a reload loses nothing, the saved file gets full marks."""
    pytest.importorskip("jinja2", reason="the extra `web` is not installed")
    play = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from grader.web.offline_page import form_page

    from .quiz_web import CHROMIUM_FLAGS, chromium

    if chromium() is None:
        pytest.skip("no Chromium is installed (name one in CHROMIUM)")
    chosen = load_quiz(real, "exam1")
    form = form_of(real, chosen, "s001", "Student One")
    path = tmp_path / "exam1-s001.html"
    path.write_text(form_page(form, "exam1-s001.json"))
    errors: list[str] = []
    with play.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        context = browser.new_context(accept_downloads=True, offline=True, viewport={"width": 900, "height": 900})
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        total = len(form.items)
        assert page.locator("#tally").inner_text() == f"0 of {total} answered"
        for n, item in enumerate(form.items):
            _fill(page.locator("form.question").nth(n), item)
            if n == total // 2:
                page.reload()
        assert page.locator("#tally").inner_text() == f"{total} of {total} answered, not saved in a file yet"
        if folder := os.environ.get("SHOTS"):
            page.screenshot(path=f"{folder}/form.png", full_page=True)
        faults = _axe(page)
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save my answers").click()
        assert saved.value.suggested_filename == "exam1-s001.json"
        (tmp_path / "in").mkdir()
        saved.value.save_as(tmp_path / "in" / "exam1-s001.json")
        assert "Hand in this file" in page.locator("#notice").inner_text()
        browser.close()
    assert errors == []
    assert faults == []
    with QuizBook.open(tmp_path / "book.db") as book, CodeBox() as box:
        collected = returned.collect(real, chosen, [tmp_path / "in"], book, box)
    assert collected.refused == ()
    (result,) = collected.results
    wrong = [(p.item.name, p.response, p.mark) for p in result.places if p.mark.score < 1 and not p.to_judge]
    assert wrong == []
    assert result.earned == total - 1


def _fill(sheet: Any, item: Item) -> None:
    shown, key = view(item), solution(item).response
    match shown.kind:
        case "option":
            sheet.locator(f"input[value='{key}']").check()
        case "options":
            for one in key:
                sheet.locator(f"input[value='{one}']").check()
        case "order":
            for block in shown.options:
                if block.id not in key:
                    sheet.locator(f"button[value='out:{block.id}']").click()
            for n, one in enumerate(key):
                sheet.locator("[name=mover]").select_option(one)
                sheet.locator("[name=after]").select_option("" if n == 0 else key[n - 1])
                sheet.locator("button[value=move]").click()
        case "match":
            for left, right in key.items():
                sheet.locator(f"[name='pair.{left}']").select_option(right)
        case "fields":
            for field in shown.fields:
                place = sheet.locator(f"[name='field.{field.id}']")
                place.select_option(key[field.id]) if field.kind == "option" else place.fill(str(key[field.id]))
        case "matrix":
            rows = key if isinstance(key, list) else json.loads(key)
            for i, row in enumerate(rows):
                for j, cell in enumerate(row):
                    sheet.locator(f"[name='cell.{i}.{j}']").fill(str(cell))
        case "essay":
            sheet.locator("[name=response]").fill("The whole sentence has to fit into one vector.")
        case _:
            sheet.locator("[name=response]").fill(str(key))


def _axe(page: Any) -> list[str]:
    try:
        import axe_playwright_python
    except ImportError:
        return []
    source = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    script = f"{source}; axe.run(document, {{resultTypes: ['violations']}}).then((r) => r.violations)"
    return [
        f"{one['impact']} {one['id']}: {one['help']} {one['nodes'][0]['html'][:100]}" for one in page.evaluate(script)
    ]
