"""A sitting: drawn from a seed, resumed anywhere, charged for nothing invalid, and whole after kill -9."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.course.misconceptions import Misconception
from grader.errors import GradebookError, QuizError, SandboxError
from grader.gradebook.quizzes import AnswerRecord, CardRecord, ItemRecord, QuizBook, Rated
from grader.gradebook.store import Gradebook
from grader.quiz import asking, keyboard, reviewing, sitting
from grader.quiz.answers import Misread
from grader.quiz.loading import parse_bank
from grader.quiz.running import CodeBox
from grader.quiz.sitting import CARDS, GRADED, Rules, Sitting, start

from .quiz_banks import written

ONE_GATE = "counting/one-gate"
QUESTIONS = [
    {
        "id": "count", "type": "numeric", "tags": ["lstm"], "prompt": "Twice {{n}}?", "confidence": True,
        "params": {"n": {"choice": [3, 5, 7, 11]}}, "variants": {"count": 4, "seed": 1},
        "answer": {"value": "2*n", "exact": True},
        "wrong": [{"value": "n", "misconception": ONE_GATE, "feedback": "That is one of them."}],
        "hints": [{"text": "Take it {{n}} + {{n}}.", "cost": 0.25}, {"text": "It is even.", "cost": 0.1}],
    },
    {
        "id": "pick", "type": "choice", "tags": ["gru"], "level": "remember",
        "options": [
            {"id": "yes", "text": "Yes.", "correct": True},
            {"id": "no", "text": "No.", "why": "It is.", "misconception": ONE_GATE},
            {"id": "maybe", "text": "Perhaps.", "why": "It is."},
        ],
    },
    {
        "id": "why", "type": "free", "tags": ["gru"], "model": "Because of the gate.",
        "rubric": [{"id": "gate", "points": 1, "text": "The gate."}, {"id": "more", "points": 3, "text": "More."}],
    },
]  # fmt: skip


def bank_of(questions=QUESTIONS):
    bank, findings = parse_bank(written(questions), Path("bank.yaml"))
    assert bank is not None, [str(one) for one in findings]
    return bank


BANK = bank_of()


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def on(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def book(tmp_path):
    with QuizBook.open(tmp_path / "practice.db") as opened:
        yield opened


def at(one: Sitting, question: str) -> int:
    return next(n for n, item in enumerate(one.record.items) if item.question == f"bank/{question}")


def twice(one: Sitting) -> str:
    item = one.items[at(one, "count")]
    return str(2 * item.variant.values["n"])


# --- drawing and resuming -------------------------------------------------------------------------------------------


def test_what_is_asked_follows_from_the_seed(book):
    first = [start(book, BANK, f"s{n}", 7).record.items for n in range(3)]
    assert first[0] == first[1] == first[2]
    assert len({tuple(start(book, BANK, "s", seed, resume=False).record.items) for seed in range(20)}) > 5


def test_rules_choose_questions_and_nothing_left_is_told(book):
    only = start(book, BANK, "s", 1, rules=Rules(tags=("gru",), levels=("remember",)))
    assert [item.question for item in only.record.items] == ["bank/pick"]
    assert len(start(book, BANK, "t", 1, rules=Rules(n=2))) == 2
    with pytest.raises(QuizError, match="no question of bank"):
        start(book, BANK, "u", 1, rules=Rules(tags=("nothing",)))


def test_open_sitting_is_taken_up_with_its_own_seed(book):
    one = start(book, BANK, "s", 1)
    one.answer(at(one, "pick"), "yes")
    again = start(book, BANK, "s", 2)
    assert again.id == one.id
    assert again.record.seed == "1"
    assert again.place(at(one, "pick")).state == "done"
    again.finish()
    assert start(book, BANK, "s", 2).id != one.id


def test_reopened_by_id_it_is_the_same(book):
    one = start(book, BANK, "s", 1)
    same = sitting.reopen(book, one.id, {"bank": BANK}.get)
    assert same.items == one.items
    assert [same.view(n) for n in range(3)] == [one.view(n) for n in range(3)]
    with pytest.raises(QuizError, match="no sitting"):
        sitting.reopen(book, "none", {"bank": BANK}.get)


def test_question_that_means_something_else_now_lapses(book):
    one = start(book, BANK, "s", 1)
    one.answer(at(one, "pick"), "yes")
    changed = [{**QUESTIONS[0], "rev": 2, "answer": {"value": "3*n", "exact": True}}, *QUESTIONS[1:]]
    again = sitting.reopen(book, one.id, {"bank": bank_of(changed)}.get)
    assert again.place(at(one, "count")).state == "lapsed"
    with pytest.raises(QuizError, match="has changed"):
        again.answer(at(one, "count"), "6")
    assert again.current() == at(one, "why")
    again.answer(at(one, "why"), "the gate")
    again.answer(at(one, "why"), {"points": {"gate": 1, "more": 3}})
    assert (again.score().earned, again.score().possible) == (2, 2)


# --- answers --------------------------------------------------------------------------------------------------------


def test_right_wrong_and_score(book):
    one = start(book, BANK, "s", 1)
    assert one.answer(at(one, "count"), twice(one)).mark.status == "right"
    reply = one.answer(at(one, "pick"), "no")
    assert (reply.mark.status, reply.mark.misconceptions, reply.done) == ("wrong", (ONE_GATE,), True)
    score = one.score()
    assert (score.earned, score.possible) == (1, 3)
    assert score.counts == {"right": 1, "wrong": 1, "unanswered": 1}
    assert score.by_tag == {"lstm": (1, 1), "gru": (0, 2)}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    response=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    )
)
def test_invalid_answers_change_nothing(book, response):
    one = start(book, BANK, "fuzz", 1, resume=False)
    position = at(one, "pick")
    reply = one.answer(position, response)
    if reply.mark.status == "invalid":
        assert book.answers(one.id) == []
        assert one.place(position).tries_left == 1
        assert one.answer(position, "yes").mark.status == "right"
    else:
        assert [answer.response for answer in book.answers(one.id)] == [response]


def test_answer_sent_twice_is_kept_once(book):
    one = start(book, BANK, "s", 1, rules=Rules(attempts=3))
    position = at(one, "pick")
    first = one.answer(position, "no", attempt=1)
    second = one.answer(position, "yes", attempt=1)
    assert (first.new, second.new) == (True, False)
    assert second.mark == first.mark
    assert len(book.answers(one.id)) == 1
    with pytest.raises(QuizError):
        one.answer(position, "yes", attempt=3)  # the second is missing
    assert one.answer(position, "yes", attempt=2).mark.status == "right"
    one.finish()
    assert one.answer(position, "no", attempt=2).mark.status == "right"  # a reply that was lost is asked for again


def test_no_more_tries_than_the_rules_give(book):
    one = start(book, BANK, "s", 1, rules=Rules(attempts=2))
    position = at(one, "pick")
    assert one.answer(position, "no").tries_left == 1
    assert one.answer(position, "maybe").done
    with pytest.raises(QuizError, match="is done"):
        one.answer(position, "yes")
    assert one.score().earned == 0


def test_many_at_once_keep_one_answer_each(tmp_path):
    """Ten threads send the same answer and ten begin the same sitting: one of each is kept."""
    with QuizBook.open(tmp_path / "b.db") as book:
        ids: set[str] = set()
        kept: list[bool] = []

        def send(response: str) -> None:
            one = start(book, BANK, "s", 1)
            ids.add(one.id)
            kept.append(one.answer(at(one, "pick"), response, attempt=1).new)

        threads = [threading.Thread(target=send, args=(word,)) for word in ["yes", "no"] * 5]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == 1
        assert sorted(kept) == [False] * 9 + [True]
        assert len(book.answers(ids.pop())) == 1


def test_hints_cost_and_are_kept_before_they_are_told(book):
    one = start(book, BANK, "s", 1)
    position = at(one, "count")
    n = one.items[position].variant.values["n"]
    assert one.hint(position) == f"Take it {n} + {n}."
    again = sitting.reopen(book, one.id, {"bank": BANK}.get)
    assert again.hints_given(position) == (f"Take it {n} + {n}.",)
    again.hint(position)
    with pytest.raises(QuizError, match="no more hint"):
        again.hint(position)
    reply = again.answer(position, twice(again))
    assert (reply.mark.status, reply.mark.score) == ("right", 0.65)
    with pytest.raises(QuizError):
        again.hint(position)


def test_put_off_comes_last_and_then_is_left(book):
    one = start(book, BANK, "s", 1)
    order = []
    one.skip(0)
    while (position := one.current()) is not None:
        order.append(position)
        one.skip(position)
    assert order == [1, 2, 0, 1, 2]
    assert [place.state for place in one.places()] == ["skipped"] * 3
    assert one.score().possible == 3


def test_text_is_judged_by_its_writer_after_it_is_kept(book):
    one = start(book, BANK, "s", 1)
    position = at(one, "why")
    # judging before the model answer was seen is no judgement
    first = one.answer(position, {"text": "all right", "points": {"gate": 1, "more": 3}})
    assert first.mark.status == "undecided"
    assert one.place(position).state == "judge"
    assert one.solution(position).answer.startswith("Because of the gate.")
    with pytest.raises(QuizError, match="judge it"):
        one.answer(position, "a better text, now that I know")
    assert one.answer(position, {"points": {"gate": 2}}).mark.status == "invalid"
    judged = one.answer(position, {"text": "another text", "points": {"gate": 1, "more": 0}})
    assert (judged.mark.score, judged.done) == (0.25, True)
    assert book.answers(one.id)[-1].response == {"text": "all right", "points": {"gate": 1, "more": 0}}
    assert one.score().counts["partial"] == 1


def test_undecided_answers_wait_and_cost_nothing(book):
    one = start(book, BANK, "s", 1, purpose=GRADED, rules=Rules(reveal="never"))
    one.answer(at(one, "why"), "the gate")
    assert one.place(at(one, "why")).state == "done"
    assert one.score().possible == 2
    assert one.score().counts["undecided"] == 1


def test_code_that_this_machine_could_not_run_uses_up_no_try(book, monkeypatch):
    double = {
        "id": "code", "type": "code", "names": {"double": "number"}, "starter": "def double(x):\n    pass\n",
        "reference": "def double(x):\n    return 2 * x\n",
        "tests": "def test_double(student):\n    close(student.double(3.0), 6.0)\n",
    }  # fmt: skip
    bank = bank_of([double])
    one = start(book, bank, "s", 1, purpose=GRADED, rules=Rules(attempts=1))
    lost = one.answer(0, "def double(x):\n    return x\n")
    assert (lost.mark.status, lost.mark.note, lost.done, lost.tries_left) == ("undecided", "no-box", False, 1)
    assert one.place(0).state == "open"
    assert one.score().possible == 0

    class Broken:
        def session(self, *arguments, **options):
            raise SandboxError("the sandbox is gone")

    again = one.answer(0, "def double(x):\n    return x\n", box=Broken())
    assert (again.mark.note, again.done) == ("ungraded", False)
    with CodeBox(0) as box:
        last = one.answer(0, "def double(x):\n    return x\n", box=box)
    assert (last.mark.status, last.done, one.place(0).state) == ("wrong", True, "done")
    assert (one.score().earned, one.score().possible) == (0, 1)
    with pytest.raises(QuizError):
        one.answer(0, double["reference"])


def test_graded_replies_tell_no_mark_and_no_solution(book):
    one = start(book, BANK, "s", 1, purpose=GRADED, rules=Rules(reveal="never"))
    told = one.answer(at(one, "pick"), "no").as_dict()
    assert told == {"position": at(one, "pick"), "attempt": 1, "tries_left": 0, "done": True, "status": "kept"}
    assert one.answer(at(one, "count"), "many").as_dict()["status"] == "invalid"
    one.finish()
    with pytest.raises(QuizError, match="not shown"):
        one.solution(at(one, "pick"))
    late = start(book, BANK, "t", 1, purpose=GRADED, rules=Rules(reveal="end"))
    with pytest.raises(QuizError):
        late.solution(at(late, "pick"))
    late.finish()
    assert late.solution(at(late, "pick")).answer == "Yes."


def test_no_reply_holds_evidence_and_no_view_a_key(book):
    one = start(book, BANK, "s", 1)
    for n in range(3):
        seen = json.dumps(one.view(n).as_dict())
        assert "Because of the gate" not in seen
        assert "correct" not in seen
    assert "evidence" not in one.answer(at(one, "count"), "1").as_dict()


def test_solution_waits_for_the_answer(book):
    one = start(book, BANK, "s", 1)
    with pytest.raises(QuizError):
        one.solution(at(one, "count"))
    one.answer(at(one, "count"), "1")
    assert one.solution(at(one, "count")).answer


def test_time_is_up(book, clock):
    one = start(book, BANK, "s", 1, rules=Rules(time_limit=60), clock=clock)
    clock.on(seconds=61)
    one.answer(at(one, "pick"), "yes")  # it was on its way
    assert one.seconds_left == 0
    clock.on(seconds=60)
    with pytest.raises(QuizError, match="ended"):
        one.answer(at(one, "count"), "1")
    assert one.finished
    assert book.sitting(one.id).finished == "2026-01-05T12:01:00+00:00"


def test_seconds_are_counted_from_when_it_was_shown(book, clock):
    one = start(book, BANK, "s", 1, clock=clock)
    one.show(at(one, "pick"))
    clock.on(seconds=42)
    one.answer(at(one, "pick"), "yes", confidence=3)
    kept = book.answers(one.id)[0]
    assert (kept.seconds, kept.confidence) == (42, 3)


def test_reading_names_the_most_frequent_belief(book):
    one = start(book, BANK, "s", 1)
    one.answer(at(one, "pick"), "no")
    one.answer(at(one, "count"), str(one.items[at(one, "count")].variant.values["n"]))
    known = {ONE_GATE: Misconception(ONE_GATE, "One.", "lstm, gates")}
    assert [(r.read, r.count) for r in one.reading(known)] == [("lstm, gates", 2)]
    assert one.reading({}) == ()


def test_flash_cards_are_judged_by_the_learner(book):
    one = start(book, BANK, "s", 1, purpose=CARDS)
    assert one.solution(0).explain
    assert one.judge_card(0, 4).mark.note == "card:easy"
    assert not one.judge_card(0, 1).new
    with pytest.raises(QuizError):
        one.judge_card(1, 5)
    assert one.score().earned == 1


def test_notes_belong_to_the_question(book):
    one = start(book, BANK, "s", 1)
    one.note(at(one, "pick"), "read §2")
    one.note(at(one, "pick"), "done\x00")
    assert book.notes("s") == {"bank/pick": ("read §2", "done\x00")}
    assert book.notes("t") == {}


# --- the gradebook --------------------------------------------------------------------------------------------------


def test_gradebook_from_before_there_were_quizzes_gets_their_tables(tmp_path):
    path = tmp_path / "old.db"
    Gradebook.open(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO students (student, name) VALUES ('s001', 'kept')")
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            if name.startswith("quiz_"):
                raw.execute(f"DROP TABLE {name}")
    raw.close()
    with QuizBook.open(path) as book:
        assert start(book, BANK, "s001", 1).record.student == "s001"
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM students WHERE student = 's001'").fetchone() == ("kept",)
        assert raw.execute("SELECT value FROM gradebook_meta WHERE key = 'schema'").fetchone() == ("1",)
    raw.close()


def test_store_refuses_what_cannot_be(book):
    with pytest.raises(GradebookError, match="no sitting"):
        book.answer("none", AnswerRecord(0, 1, "x", "right", 1.0, "key"))
    made = book.begin("s", "bank", purpose="practice", seed="1", items=[], options={}, moment="m")
    with pytest.raises(ValueError, match="nan"):
        book.answer(made.id, AnswerRecord(0, 1, "x", "right", float("nan"), "key"))
    assert book.finish(made.id, "a") == book.finish(made.id, "b") == "a"
    with pytest.raises(GradebookError, match="ended"):
        book.answer(made.id, AnswerRecord(0, 1, "x", "right", 1.0, "key"))


def test_answer_and_card_are_one_transaction(book):
    made = book.begin("s", "bank", purpose="review", seed="1", items=[], options={}, moment="m")
    given = AnswerRecord(0, 1, ["a", {"b": None}], "right", 1.0, "key", moment="m")
    card = CardRecord("lstm/numeric", {"state": 1}, "2026-01-06")
    assert book.answer(made.id, given, Rated(3, card)) == (given, True)
    # sent again, neither the answer nor the card moves
    assert book.answer(made.id, given, Rated(1, replace(card, due="2030-01-01"))) == (given, False)
    assert book.cards("s") == {"lstm/numeric": card}
    assert book.answers(made.id) == [given]


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path):
    """A process answers and says so, and is killed in the middle; what it said is there, and the sitting goes on."""
    path = tmp_path / "killed.db"
    script = textwrap.dedent(
        """
        import sys
        from grader.gradebook.quizzes import AnswerRecord, ItemRecord, QuizBook
        book = QuizBook.open(sys.argv[1])
        items = [ItemRecord(f"bank/q{n}", 1, "m", "c", 0) for n in range(100000)]
        made = book.begin("s", "bank", purpose="practice", seed="1", items=items[:1], options={}, moment="m")
        print(made.id, flush=True)
        n = len(book.answers(made.id))
        while True:
            book.answer(made.id, AnswerRecord(n, 1, n, "right", 1.0, "key", moment="m"))
            print(n, flush=True)
            n += 1
        """
    )
    told: list[int] = []
    for _ in range(2):
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=env
        ) as run:
            assert run.stdout is not None
            sitting_id = run.stdout.readline().strip()
            told += [int(run.stdout.readline()) for _ in range(15)]
            run.send_signal(signal.SIGKILL)
            told += [int(line) for line in run.stdout.read().split("\n")[:-1]]
    with QuizBook.open(path) as book:
        kept = [answer.position for answer in book.answers(sitting_id)]
        assert len(book.sittings(student="s")) == 1
    assert kept == sorted(set(kept))
    assert set(told) <= set(kept)
    assert len(kept) - len(set(told)) <= 2  # kept, but killed before it was said


# --- the keyboard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_every_key_of_the_model_bank_can_be_typed(seed):
    from grader.course.catalog import find_course
    from grader.quiz.loading import load_bank

    bank = load_bank(find_course(Path(__file__).resolve().parents[1]), "foundations")
    for item in asking.items(bank, seed):
        seen = asking.view(item)
        key = asking.solution(item).response
        lines = keyboard.lines_of(seen, key)
        if item.question.type == "free":
            continue
        if lines[0].startswith("!json"):
            assert seen.kind == "matrix"
            assert json.loads(lines[0].removeprefix("!json ")) == key
        else:
            typed = lines[:-1] if keyboard.takes_lines(seen) else lines
            assert keyboard.response_of(seen, typed) == key


def test_letters_numbers_and_pairs():
    options = tuple(asking.view(asking.items(BANK, 1, levels=("remember",))[0]).options)
    base = asking.view(asking.items(BANK, 1, levels=("remember",))[0])
    ids = [one.id for one in options]
    assert keyboard.response_of(base, ["B)"]) == ids[1]
    assert keyboard.response_of(base, ["yes"]) == "yes"
    several = replace(base, kind="options")
    assert keyboard.response_of(several, ["ca"]) == keyboard.response_of(several, ["c, a"]) == [ids[2], ids[0]]
    pairs = replace(base, kind="match", left=options[:2])
    assert keyboard.response_of(pairs, ["1b 2-a"]) == {ids[0]: ids[1], ids[1]: ids[0]}
    for bad in ("1z", "3a", "1a 1b", "hello"):
        with pytest.raises(Misread):
            keyboard.response_of(pairs, [bad])
    with pytest.raises(Misread):
        keyboard.response_of(base, ["d"])


# --- spaced repetition ----------------------------------------------------------------------------------------------


def answered(status="right", score=1.0, **more) -> AnswerRecord:
    return AnswerRecord(0, 1, "x", status, score, "key", **more)


@pytest.mark.parametrize(
    ("answer", "rating"),
    [
        (answered(), reviewing.GOOD),
        (answered(seconds=10), reviewing.EASY),
        (answered(seconds=10, confidence=1), reviewing.HARD),
        (answered(seconds=10, confidence=2), reviewing.GOOD),
        (answered(seconds=10, hints=1), reviewing.HARD),
        (answered(seconds=600), reviewing.HARD),
        (answered("partial", 0.5), reviewing.HARD),
        (answered("partial", 0.3), reviewing.AGAIN),
        (answered("wrong", 0.0, confidence=3), reviewing.AGAIN),
        (answered("undecided", 0.0), None),
    ],
)
def test_rating_follows_from_answer_hints_confidence_and_time(answer, rating):
    question = BANK.question("count")
    assert question.minutes == 1.0
    assert reviewing.rating_of(answer, question) == rating


def test_skill_comes_again_later_after_each_success_and_soon_after_failure(clock):
    card, gaps = None, []
    for _ in range(4):
        card = reviewing.rated(card, "lstm/numeric", reviewing.GOOD, clock()).card
        due = datetime.fromisoformat(card.due)
        gaps.append(due - clock())
        clock.now = due
    assert gaps == sorted(gaps)
    assert gaps[-1] > timedelta(days=3)
    failed = reviewing.rated(card, "lstm/numeric", reviewing.AGAIN, clock()).card
    assert datetime.fromisoformat(failed.due) - clock() < timedelta(hours=1)


def test_reviews_ask_unseen_variants_then_the_one_seen_longest_ago(clock):
    skill = "lstm/numeric"
    seen: dict[tuple[str, int], str] = {}
    cards = {skill: CardRecord(skill, {}, "2026-01-01T00:00:00+00:00")}
    asked = []
    for day in range(6):
        (one,) = reviewing.due_now([BANK], cards, seen, (), clock(), seed=day, n=1)
        asked.append(one.item.variant.number)
        seen["bank/count", one.item.variant.number] = f"2026-01-0{day + 1}"
    assert sorted(asked[:4]) == [0, 1, 2, 3]
    assert asked[4:] == asked[:2]


def test_due_before_new_and_failed_before_other_new(clock):
    cards = {"gru/choice": CardRecord("gru/choice", {}, "2026-01-05T11:00:00+00:00")}
    due = reviewing.due_now([BANK], cards, {}, {"gru/free"}, clock(), seed=1)
    assert [(one.skill, one.new) for one in due] == [("gru/choice", False), ("gru/free", True), ("lstm/numeric", True)]
    later = {"gru/choice": CardRecord("gru/choice", {}, "2026-01-05T13:00:00+00:00")}
    assert [one.skill for one in reviewing.due_now([BANK], later, {}, (), clock(), seed=1, new=0)] == []
    assert len(reviewing.due_now([BANK], cards, {}, (), clock(), seed=1, n=2)) == 2


def test_records_name_what_was_asked(book):
    one = start(book, BANK, "s", 1)
    item = one.items[0]
    question = item.question
    assert one.record.items[0] == ItemRecord(
        question.name, question.rev, question.meaning, question.content, item.variant.number, item.shuffle
    )
