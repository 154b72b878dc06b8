"""A made-up class of 200 with known abilities: the statistics find what was planted."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.gradebook.quizzes import AnswerRecord, QuizBook
from grader.quiz.asking import items, view
from grader.quiz.loading import parse_bank
from grader.quiz.marking import mark
from grader.quiz.sitting import PRACTICE, record_of
from grader.quiz.statistics import ENOUGH, Given, first_tries, fisher, statistics, wilson

from .quiz_banks import BASE, written

CLASS = 200
#: difficulty (logit) by question: q1 is the easiest
LOGITS = (-2.0, -1.2, -0.5, 0.2, 0.9, 1.8)
BAD_KEY, USELESS = "bad-key", "useless"


def choice(name: str, key: str, difficulty: int = 3) -> dict:
    options = [
        {"id": one, "text": f"option {one} of {name}", "correct": one == key, "why": "It is so."} for one in "abcd"
    ]
    for option in options:
        if option["correct"]:
            del option["why"]
    return {**BASE, "id": name, "type": "choice", "difficulty": difficulty, "options": options}


def made_up_questions() -> list[dict]:
    """Return six questions of known difficulty, one with a wrong key, one that tells nothing, and a number."""
    questions = [choice(f"q{n}", "a") for n in range(1, 7)]
    questions.append(choice(BAD_KEY, "b"))  # the truth is a
    questions.append(choice(USELESS, "a"))
    questions.append({
        **BASE, "id": "count", "type": "numeric", "params": {"n": {"choice": [3, 5, 7]}},
        "variants": {"count": 3, "seed": 1}, "prompt": "Twice {{n}}?", "answer": {"value": "2*n", "exact": True},
        "wrong": [{"value": "n", "misconception": "counting/one-gate", "feedback": "Once."}],
    })  # fmt: skip
    return questions


def made_up_bank():
    bank, findings = parse_bank(written(made_up_questions()), Path("bank.yaml"))
    assert bank is not None, findings
    assert findings == []
    return bank


BANK = made_up_bank()


def response(question, item, ability: float, rng: random.Random):
    """Return what a learner of this ability answers, by a one-parameter model; the true answer may not be the key."""
    if question.id == USELESS:
        return rng.choice("abcd")
    if question.id == "count":
        knows = rng.random() < 1 / (1 + math.exp(-ability))
        return str(item.variant.values["n"] * (2 if knows else 1))
    logit = 0.0 if question.id == BAD_KEY else LOGITS[int(question.id[1:]) - 1]
    knows = rng.random() < 1 / (1 + math.exp(-1.5 * (ability - logit)))
    return "a" if knows else rng.choice("bcd")


def made_up_class(size: int, seed: int = 4) -> list[Given]:
    """Return the marked first tries of a class."""
    rng = random.Random(seed)
    found = []
    for n in range(size):
        ability = rng.gauss(0, 1)
        for item in items(BANK, n):
            said = response(item.question, item, ability, rng)
            got = mark(item, said)
            found.append(
                Given(
                    f"s{n:03}",
                    item.question.name,
                    item.question.meaning,
                    item.variant.number,
                    said,
                    got.score,
                    got.status.value,
                    got.note,
                    got.misconceptions,
                )
            )
    return found


@pytest.fixture(scope="module")
def found():
    return statistics(BANK, made_up_class(CLASS))


def of(found, name: str):
    return next(one for one in found.questions if one.question == f"bank/{name}")


def test_planted_bad_key_is_found_and_no_other(found):
    alarmed = [one.question for one in found.questions if any("key is probably wrong" in a for a in one.alerts)]
    assert alarmed == [f"bank/{BAD_KEY}"]
    assert "the strong choose `a`" in of(found, BAD_KEY).alerts[0]


def test_planted_useless_question_is_found_and_no_other(found):
    alarmed = [one.question for one in found.questions if any("tell learners apart" in a for a in one.alerts)]
    assert alarmed == [f"bank/{USELESS}"]
    assert abs(of(found, USELESS).rest.value) < 0.2


def test_order_of_difficulty_is_recovered(found):
    facilities = [of(found, f"q{n}").facility.value for n in range(1, 7)]
    assert facilities == sorted(facilities, reverse=True)
    assert facilities[0] > 0.8
    assert facilities[-1] < 0.25


def test_option_table_tells_what_draws_whom(found):
    rows = {row.id: row for row in of(found, BAD_KEY).options}
    assert rows["b"].key
    assert rows["a"].verdict == "draws the strong"
    assert rows["b"].verdict == "draws the weak"
    good = {row.id: row for row in of(found, "q4").options}
    assert good["a"].verdict == "works"
    assert sum(row.n for row in good.values()) == CLASS
    assert good["a"].rest > max(good[one].rest for one in "bcd")


def test_variants_and_misconceptions_are_counted(found):
    one = of(found, "count")
    assert sorted(one.variants) == [0, 1, 2]
    assert sum(n for n, _ in one.variants.values()) == CLASS
    wrong = one.notes["wrong:counting/one-gate"]
    assert found.misconceptions == {"counting/one-gate": (wrong, wrong)}


def test_alpha_agrees_with_the_textbook_formula(found):
    students = sorted({one.student for one in made_up_class(CLASS)})
    matrix = np.zeros((len(students), len(BANK.questions)))
    names = [question.name for question in BANK.questions]
    for one in made_up_class(CLASS):
        matrix[students.index(one.student), names.index(one.question)] = one.score
    k = matrix.shape[1]
    want = k / (k - 1) * (1 - matrix.var(axis=0, ddof=1).sum() / matrix.sum(axis=1).var(ddof=1))
    assert found.alpha.value == pytest.approx(want, rel=1e-9)
    assert found.alpha.low < found.alpha.value < found.alpha.high
    # without the question whose key is wrong, the others agree better
    assert of(found, BAD_KEY).alpha_without > found.alpha.value


def test_item_rest_leaves_the_question_itself_out():
    rng = random.Random(0)
    chance = [
        Given(f"s{n}", f"bank/q{q}", "", 0, "a", float(rng.random() < 0.5), "right") for n in range(150) for q in (1, 2)
    ]
    by = {(one.student, one.question): one.score for one in chance}
    a = np.array([by[f"s{n}", "bank/q1"] for n in range(150)])
    b = np.array([by[f"s{n}", "bank/q2"] for n in range(150)])
    # with the total in place of the rest, two coins would seem to agree at 0.7
    assert of(statistics(BANK, chance), "q1").rest.value == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)


def test_below_thirty_nothing_is_said():
    few = statistics(BANK, made_up_class(ENOUGH - 1))
    assert few.alpha is None
    assert few.mean is None
    for one in few.questions:
        assert one.facility is one.rest is one.discrimination is one.efficiency is None
        assert one.alerts == ()
        assert one.n == ENOUGH - 1
    assert statistics(BANK, made_up_class(ENOUGH)).questions[0].facility is not None


def test_nobody_and_answers_all_alike_are_no_crash():
    assert statistics(BANK, []).questions == ()
    alike = [Given(f"s{n}", "bank/q1", "", 0, "a", 1.0, "right") for n in range(40)]
    one = statistics(BANK, alike).questions[0]
    assert one.facility.value == 1.0
    assert one.rest is None
    assert one.alerts == ("all answer alike: it tells nobody apart",)


@pytest.mark.parametrize(("n", "low", "high"), [(20, -0.16, 0.66), (50, 0.02, 0.53), (100, 0.11, 0.47)])
def test_intervals_of_a_correlation_of_030(n, low, high):
    got = fisher(0.3, n)
    assert (round(got.low, 2), round(got.high, 2)) == (low, high)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_holds_its_share_and_stays_in_range(n, share):
    got = wilson(round(share * n), n)
    assert 0 <= got.low <= got.value + 1e-12
    assert got.value - 1e-12 <= got.high <= 1


def test_first_tries_are_read_from_the_gradebook(tmp_path):
    """First tries only, a finished sitting's gaps as wrong, older revisions and flash cards set aside."""
    drawn = items(BANK, 1)
    records = [record_of(item) for item in drawn]
    right, wrong = mark(drawn[0], _key(drawn[0])), 0.0

    def answer(position: int, attempt: int, score: float) -> AnswerRecord:
        return AnswerRecord(position, attempt, "x", "right" if score else "wrong", score, right.note, moment="m")

    with QuizBook.open(tmp_path / "book.db") as book:

        def sit(student: str, purpose: str = PRACTICE, own=records):
            return book.begin(
                student, "bank", purpose=purpose, seed="1", items=own, options={}, moment="m", resume=False
            ).id

        one = sit("s1")
        book.answer(one, answer(0, 1, wrong))
        book.answer(one, answer(0, 2, 1.0))
        book.finish(one, "m")
        again = sit("s1")
        book.answer(again, answer(0, 1, 1.0))
        cards = sit("s2", "cards")
        book.answer(cards, answer(0, 1, 1.0))
        from dataclasses import replace

        old = sit("s3", own=[replace(records[0], meaning="another")])
        book.answer(old, answer(0, 1, 1.0))
        tries, set_aside = first_tries(book, BANK)
    assert {one.student for one in tries} == {"s1"}
    assert set_aside == 1
    by = {one.question: one for one in tries}
    assert by[drawn[0].question.name].score == 0.0
    assert by[drawn[1].question.name].note == "unanswered"
    assert len(tries) == len(drawn)


def _key(item):
    from grader.quiz.asking import solution

    assert view(item).kind in ("option", "text")
    return solution(item).response


# --- a class that hands in files -------------------------------------------------------------------------------------


def test_two_hundred_response_files_tell_what_was_planted(tmp_path, monkeypatch, capfd):
    """Files of answers, marked by `grader quiz grade`, looked at by `grader quiz stats`: nothing is put in by hand."""
    from grader.cli.main import run
    from grader.quiz.offline import form_of, load_quiz

    from .conftest import STRANGE
    from .quiz_banks import course_with

    course = course_with(tmp_path / "course", written([choice("q1", "a")], "practice"), name="practice")
    (course.root / "solutions" / "quizzes").mkdir(parents=True)
    (course.root / "solutions" / "quizzes" / "bank.yaml").write_text(written(made_up_questions(), "bank"))
    for name in STRANGE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADER_COURSE", str(course.root))
    monkeypatch.chdir(tmp_path)

    def quiz(*arguments: str) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(["quiz", *arguments])
        out, err = capfd.readouterr()
        assert not ended.value.code, err
        return out

    # what a form asks hangs on the course's secret; of many, some let chance look like a wrong key
    course.state.mkdir(mode=0o700, exist_ok=True)
    (course.state / "secret").write_bytes(bytes(range(32)))
    (course.state / "secret").chmod(0o600)
    rng, chosen, folder = random.Random(20), load_quiz(course, "bank"), tmp_path / "answers"
    folder.mkdir()
    for n in range(CLASS):
        ability, form = rng.gauss(0, 1), form_of(course, chosen, f"s{n:03}")
        answers = [response(item.question, item, ability, rng) for item in form.items]
        saved = {**form.header(), "answers": answers, "saved": "2026-03-02T10:00:00Z"}
        (folder / f"s{n:03}.json").write_text(json.dumps(saved))
    told = quiz("grade", "bank", str(folder), "--tier", "0", "--json")
    assert len(told.splitlines()) >= CLASS

    found = json.loads(quiz("stats", "bank", "--json"))
    by = {one["question"].removeprefix("bank/"): one for one in found["questions"]}
    assert {one["n"] for one in by.values()} == {CLASS}
    for planted, words in ((BAD_KEY, "key is probably wrong"), (USELESS, "tell learners apart")):
        assert [name for name, one in by.items() if any(words in alert for alert in one["alerts"])] == [planted]
    shares = [by[f"q{n}"]["facility"]["value"] for n in range(1, 7)]
    assert shares == sorted(shares, reverse=True)
    page = quiz("stats", "bank")
    assert f"bank: {CLASS} learners, 9 questions asked" in page
    assert f"{BAD_KEY}: the key is probably wrong" in page
    # the hardest first, whatever their order in the bank
    rows = [line.split()[0] for line in page.splitlines() if line[:1] == "q" and line[1:2].isdigit()]
    assert rows == ["q6", "q5", "q4", "q3", "q2", "q1"]
