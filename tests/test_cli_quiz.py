"""Quizzes at the keyboard: take, review, list and stats, in a pipe and in a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from grader.cli.main import run as run_command_line
from grader.cli.quiz_take import LEARNER, practice_path
from grader.course import catalog
from grader.errors import SandboxError
from grader.gradebook.quizzes import AnswerRecord, QuizBook
from grader.quiz import asking, keyboard
from grader.quiz.loading import load_bank
from grader.quiz.marking import mark
from grader.quiz.model import Item
from grader.quiz.running import CodeBox
from grader.quiz.sitting import Rules, begin, record_of
from grader.reports.quiz_dialogue import Dialogue
from grader.reports.quiz_text import maths, plain

from .conftest import STRANGE, Told, clean_environment, command
from .quiz_banks import course_with, written

ROOT = Path(__file__).resolve().parents[1]
ONE_GATE = "counting/one-gate"
QUESTIONS = [
    {
        "id": "count", "type": "numeric", "tags": ["lstm"], "prompt": r"An LSTM has $n = {{n}}$. How much is $2n$?",
        "params": {"n": {"choice": [3, 5, 7, 11]}}, "variants": {"count": 4, "seed": 1},
        "answer": {"value": "2*n", "exact": True},
        "wrong": [{"value": "n", "misconception": ONE_GATE, "feedback": "That is **one** $h_{t-1}$."}],
        "hints": [{"text": "Twice.", "cost": 0.25}],
    },
    {
        "id": "pick", "type": "choice", "tags": ["gru"], "level": "remember", "shuffle": False,
        "options": [
            {"id": "yes", "text": r"It is $\frac{a+b}{c}$.", "correct": True},
            {"id": "no", "text": "No.", "why": "It is.", "misconception": ONE_GATE},
        ],
    },
]  # fmt: skip


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one bank of two questions."""
    made = course_with(tmp_path / "course", written(QUESTIONS))
    for name in STRANGE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADER_COURSE", str(made.root))
    return made


@pytest.fixture
def quiz(course, monkeypatch, capfd) -> Callable[..., Told]:
    """Run `grader quiz ...` in this process, with lines on standard input."""

    def run(*arguments: str, typed: str = "") -> Told:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line(["quiz", *arguments])
        out, err = capfd.readouterr()
        return Told(int(ended.value.code or 0), out, err)

    return run


def kept(course) -> list[AnswerRecord]:
    """Return every answer of the learner, oldest sitting first."""
    with QuizBook.open(practice_path(course)) as book:
        return [a for answers in book.answers_of(student=LEARNER).values() for a in answers]


def numbers(course, seed: int) -> tuple[int, int]:
    """Return (position of the number question, its n) as this seed draws them."""
    drawn = asking.items(load_bank(course, "bank"), seed)
    at = next(n for n, item in enumerate(drawn) if item.question.id == "count")
    return at, drawn[at].variant.values["n"]


def lines(course, seed: int, count: str, pick: str) -> str:
    """Return what is typed to answer both questions in the order of the seed."""
    return "\n".join([count, pick] if numbers(course, seed)[0] == 0 else [pick, count]) + "\n"


# --- take -----------------------------------------------------------------------------------------------------------


def test_take_through_a_pipe_marks_and_tells_what_to_read(course, quiz):
    n = numbers(course, 1)[1]
    told = quiz("take", "bank", "--seed", "1", typed=lines(course, 1, str(n), "a"))
    assert told.code == 0, told.err
    assert f"An LSTM has n = {n}. How much is 2n?" in told.out
    assert "  a) It is (a+b)/c." in told.out
    assert "Right (1 of 1)." in told.out
    assert "Wrong (0 of 1).\nThat is one hₜ₋₁.\n" in told.out
    assert f"Answer: {2 * n}" in told.out
    assert "Score: 1 of 2 (50 %)\n1 right, 1 wrong." in told.out
    assert "Read next:\n  here. Your answers look like this belief: One." in told.out
    assert [a.status for a in sorted(kept(course), key=lambda a: a.score)] == ["wrong", "right"]


@pytest.mark.parametrize("slip", ["!json 3", "!json {", "!file", "!file /nowhere", "!note keep", "!help"])
def test_what_is_mistyped_when_asked_how_sure_costs_nothing(course, quiz, slip):
    path = course.root / "quizzes" / "bank.yaml"
    path.write_text(written([{**QUESTIONS[1], "confidence": True}]))
    told = quiz("take", "bank", "--seed", "1", typed=f"b\n{slip}\n3\n")
    assert told.code == 0, told.err
    assert [(a.response, a.confidence) for a in kept(course)] == [("no", 3)]


def test_code_that_could_not_be_run_is_put_off_and_costs_no_try(course, quiz, monkeypatch):
    double = {
        "id": "code", "type": "code", "names": {"double": "number"}, "starter": "def double(x):\n    pass\n",
        "reference": "def double(x):\n    return 2 * x\n",
        "tests": "def test_a(student):\n    close(student.double(3.0), 6.0)\n",
    }  # fmt: skip
    (course.root / "quizzes" / "bank.yaml").write_text(written([double]))
    real, broken = CodeBox.session, [True]

    def session(*arguments, **options):
        if broken.pop() if broken else False:
            raise SandboxError("the sandbox is gone")
        return real(*arguments, **options)

    monkeypatch.setattr(CodeBox, "session", session)
    answer = "def double(x):\n    return 2 * x\n.\n"
    told = quiz("take", "bank", typed=answer + answer)
    assert told.code == 0, told.err
    assert (
        "Not decided.\nThe tests could not be run.\n1 try left.\nPut off: it comes again after the others." in told.out
    )
    assert "Score: 1 of 1" in told.out


@pytest.mark.parametrize("slip", ["!json {", "!file /nowhere"])
def test_what_is_mistyped_at_a_card_costs_nothing(course, quiz, slip):
    told = quiz("take", "bank", "--cards", "--seed", "1", typed=f"{slip}\n\n3\n\n3\n")
    assert told.code == 0, told.err
    assert len(kept(course)) == 2


def test_same_seed_asks_the_same(course, quiz):
    first = quiz("take", "bank", "--seed", "5", typed=lines(course, 5, "1", "a"))
    again = quiz("take", "bank", "--seed", "5", typed=lines(course, 5, "1", "a"))
    assert first.out == again.out
    assert len(kept(course)) == 4


def test_end_of_the_pipe_keeps_everything_and_the_same_command_goes_on(course, quiz):
    whole = lines(course, 1, "1", "a").splitlines(keepends=True)
    first = quiz("take", "bank", "--seed", "1", typed=whole[0])
    assert first.code == 0
    assert "Kept: 1 of 2 done. Go on with: grader quiz take bank" in first.out
    assert len(kept(course)) == 1
    second = quiz("take", "bank", typed=whole[1])
    assert "Going on: 1 of 2 questions are done." in second.out
    assert "Score: 1 of 2" in second.out
    assert len(kept(course)) == 2


def test_quit_and_fresh(course, quiz):
    quiz("take", "bank", "--seed", "1", typed=lines(course, 1, "1", "a").splitlines()[0] + "\n!quit\nnot read\n")
    told = quiz("take", "bank", "--fresh", "--seed", "1", typed=lines(course, 1, "1", "a"))
    assert "Going on" not in told.out
    assert len(kept(course)) == 3


def test_other_options_begin_another_quiz(course, quiz):
    quiz("take", "bank", "--seed", "1", typed="")
    told = quiz("take", "bank", "--tag", "gru", typed="a\n")
    assert "is not finished; it is left as it is" in told.out
    assert "Score: 1 of 1" in told.out


def test_invalid_answers_are_asked_again_at_no_cost(course, quiz):
    n = numbers(course, 1)[1]
    told = quiz("take", "bank", "--tag", "lstm", "--seed", "1", typed=f"many\n\n!json [1\n{2 * n}\n")
    # the seed draws the same variant of a question whatever else is asked
    assert told.out.count("It costs nothing.") + told.out.count("it costs nothing.") == 3
    assert "Score: 1 of 1" in told.out
    assert [a.attempt for a in kept(course)] == [1]


def test_second_try(course, quiz):
    told = quiz("take", "bank", "--tag", "gru", "--attempts", "2", typed="b\na\n")
    assert "1 try left." in told.out
    assert "Score: 1 of 1" in told.out
    assert [(a.attempt, a.status) for a in kept(course)] == [(1, "wrong"), (2, "right")]


def test_hint_note_skip_and_help(course, quiz):
    n = numbers(course, 1)[1]
    typed = f"!help\n!hint\n!hint\n!note think of 2n\n!skip\n{2 * n}\n"
    told = quiz("take", "bank", "--tag", "lstm", "--seed", "1", typed=typed)
    assert "!note TEXT" in told.out
    assert "Hint 1 of 1 (costs 0.25 of the point): Twice." in told.out
    assert "There is no more hint." in told.out
    # it comes again: with the note and the hint that was paid for
    again = told.out.partition("Put off: it comes again after the others.")[2]
    assert "Your note: think of 2n" in again
    assert "Hint 1: Twice." in again
    assert "Right (0.75 of 1)." in again
    later = quiz("take", "bank", "--tag", "lstm", typed="")
    assert "Your note: think of 2n" in later.out


def test_skipped_twice_is_left(course, quiz):
    told = quiz("take", "bank", "--tag", "lstm", typed="!skip\n!skip\n")
    assert "Score: 0 of 1 (0 %)\n1 not answered." in told.out


def test_cards(course, quiz):
    told = quiz("take", "bank", "--cards", "--n", "1", "--tag", "gru", typed="\n9\n3\n")
    assert "Answer: It is (a+b)/c." in told.out
    assert "Type 1, 2, 3 or 4." in told.out
    assert [a.note for a in kept(course)] == ["card:good"]
    with QuizBook.open(practice_path(course)) as book:
        assert list(book.cards(LEARNER)) == ["gru/choice"]


def test_file_answers_and_free_text_is_judged(tmp_path, monkeypatch, capfd):
    free = {"id": "why", "type": "free", "model": "The gate.", "rubric": [{"id": "g", "points": 2, "text": "Gate."}]}
    made = course_with(tmp_path / "course", written([free]))
    (tmp_path / "mine.txt").write_text("The gate, I think.", encoding="utf-8")
    monkeypatch.setenv("GRADER_COURSE", str(made.root))
    typed = f"!file {tmp_path / 'missing.txt'}\n!file {tmp_path / 'mine.txt'}\n5\nx\n1\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(SystemExit):
        run_command_line(["quiz", "take", "bank"])
    out = capfd.readouterr().out
    assert "missing.txt cannot be read: No such file or directory." in out
    assert out.count("A number from 0 to 2 belongs here.") == 1
    assert "Partly right (0.5 of 1)." in out
    text, judged = kept(made)
    assert (text.response, text.status) == ("The gate, I think.", "undecided")
    assert judged.response == {"text": "The gate, I think.", "points": {"g": 1.0}}


def test_text_that_was_kept_is_judged_after_a_crash(tmp_path, monkeypatch, capfd):
    free = {"id": "why", "type": "free", "model": "The gate.", "rubric": [{"id": "g", "points": 2, "text": "Gate."}]}
    made = course_with(tmp_path / "course", written([free]))
    monkeypatch.setenv("GRADER_COURSE", str(made.root))
    for typed in ("first line\nsecond\n.\n", "y\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(SystemExit):
            run_command_line(["quiz", "take", "bank"])
    assert "Score: 1 of 1" in capfd.readouterr().out
    assert kept(made)[-1].response["text"] == "first line\nsecond"


# --- review, list ---------------------------------------------------------------------------------------------------


def test_review_asks_new_skills_then_nothing_until_they_are_due(course, quiz):
    assert quiz("review", "--due").out == "0 due, 2 new.\n"
    told = quiz("review", typed="a\n0\na\n")  # whichever comes first: a is no number
    assert "0 due, 2 new." in told.out
    assert "Score:" in told.out
    with QuizBook.open(practice_path(course)) as book:
        cards = book.cards(LEARNER)
    assert set(cards) == {"lstm/numeric", "gru/choice"}
    assert "The next skill is due in " in told.out
    later = quiz("review")
    assert later.out.startswith("Nothing is due. The next skill is due in ")


def test_review_goes_on_where_it_was(course, quiz):
    first = quiz("review", typed="")
    assert "Kept: 0 of 2 done. Go on with: grader quiz review" in first.out
    second = quiz("review", typed="")
    assert "Going on with the review that was not finished." in second.out
    asked = [line for line in first.out.splitlines() if line.startswith("1/2")]
    assert asked == [line for line in second.out.splitlines() if line.startswith("1/2")]


def test_list_shows_progress(course, quiz):
    assert "\n      " not in quiz("list").out
    quiz("take", "bank", "--seed", "1", typed=lines(course, 1, "1", "a"))
    quiz("take", "bank", "--seed", "2", typed="")
    told = quiz("list")
    assert "2 of 2 questions answered, 1 right the last time; best quiz 50 %; one goes on at 0 of 2" in told.out
    (one,) = quiz("list", "--json").objects
    assert one["progress"] == {"questions": 2, "answered": 2, "right": 1, "best": 0.5, "open": [0, 2], "due": 0}


def test_practice_of_an_installed_course_lies_in_the_state_folder(tmp_path, monkeypatch):
    made = course_with(tmp_path / "installed", written(QUESTIONS))
    monkeypatch.setattr(catalog, "PACKAGED", made.root.resolve())
    monkeypatch.delenv("GRADER_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = catalog.find_course(made.root)
    assert practice_path(found) == tmp_path / "state" / "unrolled" / "practice.db"


# --- stats ----------------------------------------------------------------------------------------------------------


def fill(course, learners: int) -> Path:
    """Write a class's sittings into the gradebook; a third of it chooses wrongly."""
    bank = load_bank(course, "bank")
    path = course.state / "gradebook.db"
    with QuizBook.open(path) as book:
        for n in range(learners):
            drawn = asking.items(bank, n)
            made = book.begin(
                f"s{n:03}", "bank", purpose="graded", seed=str(n), items=[record_of(i) for i in drawn], options={},
                moment="m", resume=False,
            )  # fmt: skip
            for position, item in enumerate(drawn):
                good = n % 3 > 0
                values = item.variant.values
                said = ("yes" if good else "no") if item.question.id == "pick" else str(values["n"] * (1 + good))
                got = mark(item, said)
                book.answer(
                    made.id,
                    AnswerRecord(
                        position, 1, said, got.status.value, got.score, got.note, got.misconceptions, moment="m"
                    ),
                )
    return path


def test_stats_of_a_class(course, quiz):
    fill(course, 36)
    told = quiz("stats", "bank")
    assert told.code == 0, told.err
    assert "bank: 36 learners, 2 questions asked" in told.out
    assert "0.67 [0.50, 0.80]" in told.out
    assert f"{ONE_GATE}: 12 learners, 24 answers. One." in told.out
    detail = quiz("stats", "bank", "--question", "pick")
    assert "yes (key)" in detail.out
    assert "24 (67 %)" in detail.out
    (data,) = quiz("stats", "bank", "--json").objects
    assert (data["version"], data["learners"]) == (1, 36)


def test_stats_of_a_few_say_that_it_is_not_enough(course, quiz):
    path = fill(course, 5)
    told = quiz("stats", "bank", "--gradebook", str(path))
    assert told.out.count("not enough data") == 4
    assert "[" not in told.out.partition("question ")[2].partition("Most common")[0]


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("take", "bnak"), "there is no bank `bnak`"),
        (("take", "bank", "--tag", "lsmt"), "bank has no tag `lsmt`"),
        (("take", "bank", "--level", "applied"), "bank has no level `applied`"),
        (("take", "bank", "--tag", "lstm", "--level", "remember"), "no question of bank has these tags and levels"),
        (("review", "--bank", "bnak"), "there is no bank `bnak`"),
        (("stats", "bank"), "nobody has answered anything yet"),
        (("stats", "bank", "--question", "cuont"), "bank has no question `cuont`"),
        (("stats", "bank", "--gradebook", "nowhere.db"), "nobody has answered anything yet"),
    ],
)
def test_bad_input_is_one_line(quiz, arguments, words):
    told = quiz(*arguments)
    assert told.code == 1
    assert words in told.error


def test_damaged_practice_is_one_line_and_is_left_alone(course, quiz):
    practice_path(course).parent.mkdir(parents=True, exist_ok=True)
    practice_path(course).write_bytes(b"SQLite? no" * 500)
    told = quiz("take", "bank", typed="")
    assert told.code == 1
    assert "practice.db: the gradebook is damaged" in told.error
    assert practice_path(course).read_bytes() == b"SQLite? no" * 500


@pytest.mark.parametrize(("missing", "arguments"), [("fsrs", ("review",)), ("pylatexenc", ("take", "bank"))])
def test_missing_package_is_one_line(quiz, monkeypatch, missing, arguments):
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    maths.cache_clear()
    if missing == "pylatexenc":
        from grader.reports import quiz_text

        quiz_text._converter.cache_clear()
        monkeypatch.setattr("grader.reports.quiz_text.plain", lambda text: maths(r"\alpha"))
        monkeypatch.setattr("grader.reports.quiz_terminal.plain", lambda text: maths(r"\alpha"))
    told = quiz(*arguments, typed="a\na\n1\n1\n")
    assert told.code == 1
    assert "unrolled[quiz]" in told.error
    assert missing in told.error


# --- the same marks as everywhere -----------------------------------------------------------------------------------


def typed_for(item: Item, response: Any, final: bool) -> list[str]:
    """Return the lines that hand in a response and, where it is not taken, leave the question for good."""
    seen = asking.view(item)
    text, points = response, None
    if item.question.type == "free" and isinstance(response, dict):
        text, points = response.get("text"), response.get("points")
    found = keyboard.lines_of(seen, text)
    if seen.confidence:
        found.append("")
    if not final:
        return [*found, "!skip"]
    if item.question.type == "free" and getattr(item.question.spec, "grading", "") == "self":
        found.append(f"!json {json.dumps({'points': points or {}})}")  # a text alone is judged afterwards
    return found


def test_replay_corpus_is_marked_the_same_at_the_keyboard(tmp_path):
    """Each row of the corpus, typed line by line, gets the outcome that the corpus asks for."""
    course = catalog.find_course(ROOT)
    corpus = yaml.load((ROOT / "tests" / "data" / "replay.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    banks = {name: load_bank(course, name) for name in {row["question"].partition("/")[0] for row in corpus}}
    assert len(corpus) > 100
    differ = []
    with QuizBook.open(tmp_path / "book.db") as book, CodeBox(0) as box, pytest.MonkeyPatch.context() as patch:
        for start in range(0, len(corpus), 15):  # a long sitting would be slow: each step reads all answers
            rows = corpus[start : start + 15]
            items = []
            for row in rows:
                bank_id, _, question = row["question"].partition("/")
                items.append(asking.item_of(banks[bank_id], question, row["variant"], row.get("shuffle", 0)))
            sitting = begin(
                book, banks, "corpus", "s", str(start), items, rules=Rules(), purpose="practice", resume=False
            )
            # what is skipped comes again at the end, in order
            first = [
                typed_for(i, row["response"], row["status"] != "invalid") for i, row in zip(items, rows, strict=True)
            ]
            again = [["!skip"] for row in rows if row["status"] == "invalid"]
            typed = "".join(line + "\n" for lines in [*first, *again] for line in lines)
            patch.setattr(sys, "stdin", io.StringIO(typed))
            assert Dialogue(Console(file=io.StringIO(), width=120), sitting, {}, box).run()
            assert sys.stdin.read() == ""  # every line was for the row that it was meant for
            for row, place in zip(rows, sitting.places(), strict=True):
                judged = isinstance(row["response"], dict) and "points" in row["response"]
                answer = place.answers[-1 if judged else 0] if place.answers else None
                got = ("invalid", 0.0) if answer is None else (answer.status, answer.score)
                note = row.get("note") if answer is not None else None
                if got != (row["status"], pytest.approx(row.get("score", got[1]), abs=1e-6)) or (
                    note and answer.note != note
                ):
                    differ.append((row, got, answer and answer.note))
    assert differ == []


# --- real processes -------------------------------------------------------------------------------------------------


def test_killed_in_the_middle_it_goes_on(course):
    env = clean_environment({"GRADER_COURSE": str(course.root)})
    argv = command("quiz", "take", "bank", "--seed", "1")
    first, second = lines(course, 1, "1", "a").splitlines()
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(first + "\n")
        run.stdin.flush()
        while not run.stdout.readline().startswith("2/2"):
            assert run.poll() is None
        run.send_signal(signal.SIGKILL)
    done = subprocess.run(argv, input=second + "\n", capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Going on: 1 of 2" in done.stdout
    assert "Score: 1 of 2" in done.stdout


def test_in_a_terminal_it_is_readable_and_ctrl_c_keeps_everything(course):
    env = clean_environment({"GRADER_COURSE": str(course.root), "TERM": "xterm-256color", "COLUMNS": "100"})
    main, sub = pty.openpty()
    argv = command("quiz", "take", "bank", "--tag", "gru", "--attempts", "2")
    with subprocess.Popen(argv, stdin=sub, stdout=sub, stderr=sub, env=env, start_new_session=True) as run:
        os.close(sub)
        try:
            seen = _read_until(main, "> ")
            assert "(a+b)/c" in seen
            assert "\x1b[" in seen  # it is a terminal, so there is colour
            os.write(main, b"b\n")
            assert "1 try left" in _read_until(main, "left.")
            run.send_signal(signal.SIGINT)
            tail = _read_until(main, "kept.")
            run.wait(30)
        finally:
            run.kill()  # whatever went wrong, nobody waits for it for ever
    os.close(main)
    assert run.returncode == 130
    assert "Interrupted. What was finished is kept." in tail
    assert "Traceback" not in seen + tail
    assert [a.response for a in kept(course)] == ["no"]


def _read_until(fd: int, words: str, seconds: float = 60) -> str:
    text, until = "", time.monotonic() + seconds
    while words not in text:
        ready, _, _ = select.select([fd], [], [], until - time.monotonic() if time.monotonic() < until else 0)
        assert ready, f"it never said {words!r}, but: {text}"
        try:
            text += os.read(fd, 4096).decode(errors="replace")
        except OSError:
            break
    return text


# --- mathematics on a line ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"\frac{a+b}{c}", "(a+b)/c"),
        (r"\frac{1}{2}", "1/2"),
        (r"x^{2n}", "x²ⁿ"),
        (r"x^{a/b}", "x^(a/b)"),
        (r"h_{t-1}", "hₜ₋₁"),
        (r"h_{t,i}", "h_(t,i)"),
        (r"W_{hh}^\top \delta", "Wₕₕᵀ δ"),
        (r"\sqrt{d_k}", "√dₖ"),
        (r"\sqrt{a + b}", "√(a + b)"),
        (r"\lVert W \rVert_2 \le 1", "‖W ‖₂ ≤ 1"),
        (r"\prod_{k=1}^{T} f_k", "∏ₖ₌₁ᵀ fₖ"),
        (r"\begin{pmatrix} 1 & -2 \\ 3 & 4 \end{pmatrix}", "[1 -2; 3 4]"),
        (r"\log p(y \mid x)", "log p(y | x)"),
        (r"\mathbb{R}^{n \times m}", "ℝ^(n × m)"),
        (r"\frac{\frac{a}{b}}{c}", "(a/b)/c"),
        (r"\{0, 1\}", "{0, 1}"),
    ],
)
def test_formulas(tex, shown):
    assert maths(tex) == shown


@pytest.mark.parametrize("tex", ["{", "x^", r"\frac{a}", "}{", "\\", r"\nosuch{x}", "{" * 50 + "}" * 50, "a^" * 40])
def test_broken_formulas_are_no_crash(tex):
    assert isinstance(maths(tex), str)


def test_code_is_left_as_it_is_and_stars_go():
    assert plain("**Bold** costs $x^2$, `a_{b} $c$`") == "Bold costs x², `a_{b} $c$`"
