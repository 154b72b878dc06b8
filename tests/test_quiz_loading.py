"""Reading banks: what is understood, and what every mistake is answered with, at which line and column."""

# ruff: noqa: E501  # tables of cases read best with one case a line

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grader.errors import CourseError
from grader.quiz.asking import item_of, items, solution, view
from grader.quiz.kinds import type_names, type_of
from grader.quiz.loading import bank_ids, json_schema, load_bank, load_tags, parse_bank, read_bank
from grader.quiz.places import parse_places

from . import quiz_banks as banks

HEAD = """\
schema: quizbank/1
id: bank
title: A bank
questions:
"""
GOOD = """\
- id: one
  type: numeric
  tags: [lstm]
  level: apply
  difficulty: 2
  prompt: How many?
  explain: So many.
  answer: {value: 4, exact: true}
"""


def found(text: str) -> list[str]:
    _, findings = parse_bank(text, Path("bank.yaml"))
    return [str(finding) for finding in findings]


def test_a_bank_is_read() -> None:
    bank, findings = parse_bank(HEAD + GOOD, Path("bank.yaml"))
    assert findings == []
    assert bank is not None
    question = bank.questions[0]
    assert (question.name, question.rev, question.type, question.tags) == ("bank/one", 1, "numeric", ("lstm",))
    assert bank.question("one") is question
    assert bank.question("two") is None
    assert bank.tags == ("lstm",)


def test_words_mean_what_they_say() -> None:
    data, _, findings = parse_places(
        "a: no\nb: 12:30\nc: 1e-3\nd: on\ne: 0o17\nf: ~\ng: .inf\nh: 010\n", Path("x.yaml")
    )
    assert findings == []
    assert data == {"a": "no", "b": "12:30", "c": 0.001, "d": "on", "e": 15, "f": None, "g": float("inf"), "h": 10}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("difficulty: 2", "difficulty: hard", "bank.yaml:9:15: error[int_type]"),
        ("difficulty: 2", "difficulty: 6", "bank.yaml:9:15: error[less_than_equal]"),
        ("exact: true", "rell: 0.1", "bank.yaml:12:22: error[extra_forbidden] unknown key 'rell', did you mean 'rel'?"),
        ("  level: apply", "  levle: apply", "bank.yaml:8:3: error[extra_forbidden] unknown key 'levle', did you mean 'level'?"),
        ("  level: apply\n", "", "bank.yaml:5:3: error[missing] the key 'level' is missing"),
        ("level: apply", "level: applied", "bank.yaml:8:10: error[literal_error] one of remember, understand, apply"),
        ("type: numeric", "type: numerik", "bank.yaml:6:9: error[type] there is no type 'numerik', did you mean 'numeric'?"),
        ("  type: numeric\n", "", "bank.yaml:5:3: error[missing] the key 'type' is missing"),
        ("exact: true", "exact: true, rel: 0.1", "bank.yaml:12:11: error[tolerance] give exactly one of exact, rel, abs"),
        (", exact: true", "", "bank.yaml:12:11: error[tolerance] give exactly one of exact, rel, abs and within: this has none"),
        ("value: 4", 'value: "4^n"', "bank.yaml:12:19: error[expression] `^` is no power here: write **"),
        ("tags: [lstm]", "tags: []", "bank.yaml:7:9: error[too_short]"),
        ("tags: [lstm]", "tags: [LSTM]", "bank.yaml:7:10: error[id] an id is lower-case letters"),
        ("  level: apply", "  level: apply\n  level: apply", "bank.yaml:9:3: error[duplicate-key] `level` stands twice (first in line 8)"),
        ("prompt: How many?", r'prompt: "the $\tanh$ of"', "bank.yaml:10:11: error[control-character] the text holds a control character (a tab)"),
        ("prompt: How many?", r'prompt: "by $\beta$"', "bank.yaml:10:11: error[control-character] the text holds a control character (U+0008)"),
        ("prompt: How many?", r'prompt: "by $\nabla$"', "bank.yaml:10:11: error[control-character] the text holds a control character (a line end)"),
        ("prompt: How many?", r'prompt: "by $\rho$"', "bank.yaml:10:11: error[control-character]"),
        ("prompt: How many?", r'prompt: "by $\frac12$"', "bank.yaml:10:11: error[control-character]"),
        ("prompt: How many?", "prompt: ''", "bank.yaml:10:11: error[string_too_short]"),
        ("prompt: How many?", "prompt: 5", "bank.yaml:10:11: error[string_type]"),
        ("answer:", "oracle: {call: nowhere}\n  answer:", "bank.yaml:12:18: error[oracle] name an oracle like"),
        ("answer:", "source: [PX05]\n  answer:", "bank.yaml:12:12: error[source] name document and item"),
        ("answer:", "wrong: [{value: 5, misconception: Bad}]\n  answer:", "bank.yaml:12:37: error[misconception]"),
        ("answer:", "params: {n: {choice: [1], int: [1, 2]}}\n  answer:", "bank.yaml:12:15: error[parameter] a parameter has exactly one"),
        ("answer:", "params: {n: {int: [1, 2], digits: 1}}\n  answer:", "bank.yaml:12:15: error[parameter] `digits` means nothing beside `int`"),
        ("answer:", "params: {n: {int: [5, 2]}}\n  answer:", "bank.yaml:12:15: error[parameter] the lower bound must be below"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(old: str, new: str, told: str) -> None:
    text = HEAD + GOOD
    assert old in text
    lines = found(text.replace(old, new, 1))
    assert len(lines) == 1, lines
    assert lines[0].startswith(told), lines


def test_all_mistakes_are_told_at_once() -> None:
    text = HEAD + GOOD.replace("difficulty: 2", "difficulty: 9").replace("value: 4", "valu: 4")
    text += GOOD.replace("level: apply", "level: no")  # also the same id
    assert [line.split("[")[1].split("]")[0] for line in found(text)] == [
        "less_than_equal", "extra_forbidden", "duplicate-id", "literal_error",
    ]  # fmt: skip


def test_a_duplicate_id_names_the_first_line() -> None:
    assert found(HEAD + GOOD + GOOD) == ["bank.yaml:13:7: error[duplicate-id] id 'one' already used at line 5"]


def test_keys_beginning_with_x_are_free() -> None:
    assert found(HEAD + GOOD + "  x-note: anything\n") == []


def test_the_good_questions_of_a_bad_file_are_read() -> None:
    bank, findings = parse_bank(HEAD + GOOD + GOOD.replace("one", "two").replace("apply", "aply"), Path("bank.yaml"))
    assert bank is not None
    assert [question.id for question in bank.questions] == ["one"]
    assert len(findings) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "bank.yaml:1: the file is empty"),
        ("a: [", "this is not valid YAML"),
        ('prompt: "\\sigma"', "Write backslashes in single quotes"),
        ("a: &x 1\nb: *x", "YAML aliases are not read here"),
        ("- 1", None),
        ("schema: quizbank/2\nid: bank\ntitle: x\nquestions: [1]", None),
    ],
)
def test_what_is_no_bank_is_told_in_one_line(text: str, told: str | None) -> None:
    if told is None:
        bank, findings = parse_bank(text, Path("bank.yaml"))
        assert bank is None
        assert findings
        return
    with pytest.raises(CourseError) as caught:
        parse_bank(text, Path("bank.yaml"))
    assert told in str(caught.value)


def test_the_id_is_the_name_of_the_file() -> None:
    assert found((HEAD + GOOD).replace("id: bank", "id: bunk"))[0].endswith(
        "error[id] the id 'bunk' differs from the file's name 'bank'"
    )


def test_banks_of_a_course(tmp_path: Path) -> None:
    course = banks.course_with(tmp_path, HEAD + GOOD)
    (tmp_path / "solutions" / "quizzes").mkdir(parents=True)
    (tmp_path / "solutions" / "quizzes" / "exam.yaml").write_text((HEAD + GOOD).replace("id: bank", "id: exam"))
    (tmp_path / "quizzes" / "tags.yaml").write_text("schema: quiztags/1\ntags: {lstm: The LSTM}\n")
    assert bank_ids(course) == ("bank", "exam")
    assert not load_bank(course, "bank").graded
    assert load_bank(course, "exam").graded
    assert load_tags(course) == {"lstm": "The LSTM"}
    with pytest.raises(CourseError, match="Did you mean `bank`"):
        load_bank(course, "bnak")
    (tmp_path / "quizzes" / "bank.yaml").write_text(HEAD + GOOD.replace("apply", "x") + GOOD)
    with pytest.raises(CourseError, match="and 1 more"):
        load_bank(course, "bank")


def test_items_are_the_same_for_the_same_seed() -> None:
    bank = load_real()
    first, again, other = items(bank, 1), items(bank, 1), items(bank, 2)
    assert [one.name for one in first] == [one.name for one in again]
    assert [one.name for one in first] != [one.name for one in other]
    assert len({one.question.id for one in first}) == len(bank.questions)
    chosen = items(bank, 1, tags=["gates"], levels=["remember", "understand"])
    assert {"gates"} <= set.intersection(*(set(one.question.tags) for one in chosen))
    assert len(items(bank, 1, n=3)) == 3
    one = first[0]
    assert item_of(bank, one.question.id, one.variant.number, one.shuffle).name == one.name
    with pytest.raises(CourseError, match="no variant 99"):
        item_of(bank, one.question.id, 99)
    with pytest.raises(CourseError, match="no question"):
        item_of(bank, "nothing", 0)


def load_real() -> Any:
    bank, _ = read_bank(banks.ROOT / "quizzes" / "foundations.yaml")
    assert bank is not None
    return bank


def test_views_are_plain_data_without_a_key() -> None:
    import json

    bank = load_real()
    for question in bank.questions:
        for variant in question.variants:
            item = item_of(bank, question.id, variant.number, 5)
            seen = json.dumps(view(item).as_dict(), ensure_ascii=False)
            assert "{{" not in seen or question.type == "cloze"
            assert r"\R" not in seen.replace(r"\\R", r"\R").replace(r"\Right", "")
            told = solution(item)
            assert told.explain
            for why in told.whys.values():
                assert why not in seen
            assert told.explain not in seen
            for word in ("correct", "misconception", "credit", "distractor", "accept", "oracle"):
                assert f'"{word}"' not in seen
            if question.type in ("numeric", "expression", "code", "matrix"):
                key = told.response if isinstance(told.response, str) else json.dumps(told.response)
                assert key not in seen, question.id


def test_every_file_of_the_folder_is_a_type_with_all_that_a_type_needs() -> None:
    assert set(type_names()) == {
        "choice", "cloze", "code", "expression", "free", "match", "matrix", "multi", "numeric", "order", "output", "shape",
    }  # fmt: skip
    for name in type_names():
        kind = type_of(name)
        for member in (
            "Spec",
            "KIND",
            "view",
            "mark",
            "keys",
            "wrong_responses",
            "answer",
            "whys",
            "lacks",
            "witness",
            "lint",
        ):
            assert hasattr(kind, member), (name, member)


def test_a_thirteenth_type_is_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from grader.quiz import kinds, types

    source = (banks.ROOT / "grader" / "quiz" / "types" / "choice.py").read_text()
    (tmp_path / "picture.py").write_text(source.replace('Literal["choice"]', 'Literal["picture"]'))
    monkeypatch.setattr(types, "__path__", [*types.__path__, str(tmp_path)])
    kinds.type_names.cache_clear()
    try:
        options = [{"id": "a", "text": "A", "correct": True}, {"id": "b", "text": "B", "why": "No."}]
        assert banks.question(type="picture", options=options).type == "picture"
    finally:
        kinds.type_names.cache_clear()
        kinds.type_of.cache_clear()


def test_the_json_schema_knows_every_type_and_every_key() -> None:
    schema = json_schema()
    items_ = schema["properties"]["questions"]["items"]
    assert set(items_["discriminator"]["mapping"]) == set(type_names())
    data = yaml.safe_load((banks.ROOT / "quizzes" / "foundations.yaml").read_text(encoding="utf-8"))
    assert set(schema["required"]) <= set(data) <= set(schema["properties"])
    for question in data["questions"]:
        model = schema["$defs"][items_["discriminator"]["mapping"][question["type"]].rsplit("/", 1)[-1]]
        assert set(model["required"]) <= set(question) <= set(model["properties"])
        assert model["additionalProperties"] is False
