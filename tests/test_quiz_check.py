"""Proving banks: a wrong key, a wrong answer that is right, a bad text or a changed meaning is found, at its line."""

# ruff: noqa: E501  # tables of cases read best with one case a line

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.quiz.check import CheckReport, check_bank, freeze
from grader.quiz.loading import load_bank, parse_bank
from grader.quiz.lock import lock_path
from grader.quiz.running import CodeBox, OracleFailed

from . import quiz_banks as banks

ORACLES = """
import numpy as np

def count(n, m):
    return sum(np.zeros(shape).size for _ in range(4) for shape in ((n, m), (n, n), (n,)))

def total(n):
    return float(np.sum(np.arange(n + 1)))

def loss(W, x, d):
    return np.sum(d * np.tanh(W @ x))

def rough(W, x, d):
    return float(np.sum(d * np.maximum(W @ x, 0)))

def jac(w):
    return np.array([[w, 0.0], [0.0, 2 * w]])

def sizes(B, T):
    return {"out": list(np.zeros((B, T, 2)).shape)}

def broken(n):
    raise ValueError("no")

def same(n, m):
    return 4*(n*(n+m)+n)

def needs_torch(n):
    import torch
    return int(torch.zeros(n).numel())
"""

COUNT: dict[str, Any] = {
    "id": "count", "type": "numeric", "prompt": "$n={{n}}$, $m={{m}}$",
    "params": {"n": {"choice": [64, 128]}, "m": {"choice": [16, 32]}}, "answer": {"value": "4*(n*(n+m)+n)", "exact": True},
    "oracle": {"call": "made:count"},
}  # fmt: skip
CARRY: dict[str, Any] = {
    "id": "carry", "prompt": "What of the carry?", "type": "expression", "dims": ["H"],
    "symbols": {"x": {"shape": ["H"], "hidden": True}, "W": {"shape": ["H", "H"]}, "h": {"let": "tanh(W x)"}, "d": {"shape": ["H"]}},
    "answer": {"expr": "W^T (d .* (1 - h.^2))", "test": "probe", "shape": ["H"]},
    "oracle": {"gradient": "made:loss", "wrt": "x"},
}  # fmt: skip
POLY: dict[str, Any] = {
    "id": "poly", "prompt": "How many?", "type": "expression", "symbols": {"n": {"int": [1, 64]}, "m": {"int": [1, 64]}},
    "answer": {"expr": "4n(n+m+1)", "test": "polynomial"}, "oracle": {"call": "made:count"},
}  # fmt: skip
MATRIX: dict[str, Any] = {
    "id": "matrix", "type": "matrix", "params": {"w": {"choice": [0.5, 0.3]}}, "prompt": "w = {{w}}",
    "answer": {"value": [["w", 0], [0, "2*w"]], "abs": 0.001}, "oracle": {"call": "made:jac"},
}  # fmt: skip
SHAPE: dict[str, Any] = {
    "id": "shape", "prompt": "What of the shape?", "type": "shape", "dims": ["B", "T"], "fields": [{"id": "out", "label": "out", "answer": ["B", "T", 2]}],
    "oracle": {"call": "made:sizes"},
}  # fmt: skip
OUTPUT: dict[str, Any] = {
    "id": "output", "prompt": "What of the output?", "type": "output", "params": {"x": {"choice": [2, 3]}}, "code": "print({{x}} / 4)",
    "answer": {"stdout": "{{x/4}}"},
}  # fmt: skip
CLOZE: dict[str, Any] = {
    "id": "cloze", "type": "cloze", "prompt": "The sum up to 100 is {{sum}}.",
    "fields": {"sum": {"type": "numeric", "answer": {"value": 5050, "exact": True}}},
    "oracle": {"call": "made:total", "args": {"n": 100}},
}  # fmt: skip
CLOZE_OF_PARAMETERS: dict[str, Any] = {
    "id": "cloze-params", "type": "cloze", "prompt": "The sum up to {{n}} is {{sum}}.", "params": {"n": {"choice": [50, 100, 70]}},
    "fields": {"sum": {"type": "numeric", "answer": {"value": "n*(n+1)/2", "exact": True}}},
    "oracle": {"call": "made:total"},
}  # fmt: skip
CHOICE: dict[str, Any] = {
    "id": "choice", "prompt": "What of the choice?", "type": "choice",
    "options": [{"id": "a", "text": "Yes", "correct": True}, {"id": "b", "text": "No", "why": "It does."}],
}  # fmt: skip
CODE: dict[str, Any] = {
    "id": "code", "prompt": "What of the code?", "type": "code", "names": {"double": "number"}, "starter": "def double(x):\n    raise NotImplementedError\n",
    "reference": "def double(x):\n    return 2 * x\n",
    "tests": "def test_double(student):\n    close(student.double(3.5), 7.0)\n\n\ndef test_zero(student):\n    close(student.double(0.0), 0.0)\n",
    "mutants": [{"replace": {"old": "2 * x", "new": "x * x"}}, {"replace": {"old": "2 * x", "new": "x + 2"}}],
}  # fmt: skip
ALL = [COUNT, CARRY, POLY, MATRIX, SHAPE, OUTPUT, CLOZE, CHOICE, CODE]


@pytest.fixture(scope="module")
def box() -> Iterator[CodeBox]:
    with CodeBox() as opened:
        yield opened


def checked(tmp_path: Path, box: CodeBox, *questions: dict[str, Any], strict: bool = False) -> CheckReport:
    course = banks.course_with(tmp_path, banks.written(list(questions)), ORACLES)
    return check_bank(course, "bank", box, strict=strict)


def codes(report: CheckReport) -> list[str]:
    return [finding.code for finding in report.findings if finding.code != "not-frozen"]


def test_a_right_bank_is_sound_and_every_key_is_recomputed(tmp_path: Path, box: CodeBox) -> None:
    report = checked(tmp_path, box, *ALL)
    assert codes(report) == [], [str(f) for f in report.findings]
    assert report.sound
    assert report.questions == len(ALL)
    assert report.items == len(ALL) + 3 + 1 + 1
    assert report.witnessed == report.items - 1  # all but the choice
    assert report.guess == pytest.approx(0.5 / len(ALL))


def test_a_cloze_with_parameters_is_proved_in_every_variant(tmp_path: Path, box: CodeBox) -> None:
    report = checked(tmp_path, box, CLOZE_OF_PARAMETERS)
    assert codes(report) == [], [str(f) for f in report.findings]
    assert (report.items, report.witnessed) == (3, 3)
    hidden = checked(tmp_path, box, {**CLOZE_OF_PARAMETERS, "prompt": "The sum is {{sum}}."})
    assert codes(hidden) == ["unused"], [str(f) for f in hidden.findings]


@pytest.mark.parametrize(
    ("question", "change", "told"),
    [
        (COUNT, {"answer": {"value": "4*(n*(n+m)+2*n)", "exact": True}}, "but oracle computes"),
        (CARRY, {"answer": {**CARRY["answer"], "expr": "W (d .* (1 - h.^2))"}}, "at a random point the key is"),
        (CARRY, {"answer": {**CARRY["answer"], "expr": "W^T (d .* (1 - h.^3))"}}, "the gradient by the oracle"),
        (POLY, {"answer": {"expr": "4n(n+m)", "test": "polynomial"}}, "the key is"),
        (MATRIX, {"answer": {"value": [["w", 0], [0.001, "2*w"]], "abs": 0.001}}, "oracle computes [["),
        (SHAPE, {"fields": [{"id": "out", "label": "out", "answer": ["T", "B", 2]}]}, "but oracle computes"),
        (OUTPUT, {"answer": {"stdout": "{{x/2}}"}}, "but running the code prints"),
        (OUTPUT, {"answer": {"raises": "ValueError"}}, "key ValueError but running the code prints"),
        (OUTPUT, {"code": "print(1/({{x}}-{{x}}))"}, "raised ZeroDivisionError"),
        (CLOZE, {"oracle": {"call": "made:total", "args": {"n": 99}}}, "key 5050 but oracle computes 4950.0"),
    ],
)
def test_a_wrong_key_is_found(
    tmp_path: Path, box: CodeBox, question: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    report = checked(tmp_path, box, {**question, **change})
    assert codes(report) == ["oracle-mismatch"], [str(f) for f in report.findings]
    finding = next(f for f in report.findings if f.code == "oracle-mismatch")
    assert told in finding.message
    lines = (tmp_path / "quizzes" / "bank.yaml").read_text().splitlines()
    assert any(
        word in lines[finding.line - 1] for word in ("value", "expr", "answer", "stdout", "raises", "code", "- ")
    )
    assert not report.sound


def test_a_kink_is_differentiated_by_differences(tmp_path: Path, box: CodeBox) -> None:
    relu = {
        **CARRY,
        "symbols": {**CARRY["symbols"], "h": {"let": "W x"}},
        "oracle": {"gradient": "made:rough", "wrt": "x"},
    }
    relu["answer"] = {**CARRY["answer"], "expr": "W^T (d .* max(h, 0) ./ h)"}
    assert codes(checked(tmp_path, box, relu)) == []


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"oracle": {"call": "made:cuont"}}, "oracle-failed", "Did you mean `count`"),
        ({"oracle": {"call": "maid:count"}}, "oracle-failed", "Did you mean `made.py`"),
        ({"oracle": {"call": "made:broken"}}, "oracle-failed", "raised ValueError at made.py, line 23: no"),
        ({"oracle": {"call": "made:count", "args": {"n": "k"}}}, "oracle-failed", "no parameter `k`"),
        ({"oracle": {"call": "made:count", "args": {"q": "n"}}}, "oracle-failed", "TypeError"),
        ({"oracle": {"call": "made:same"}}, "same-words", "proves nothing"),
        ({"wrong": [{"value": "4*(n*(n+m)+n)"}]}, "wrong-is-key", "is marked right"),
        ({"wrong": [{"value": "4*n*(n+m+1) if n > 64 else 5"}]}, "wrong-is-key", "in variant"),
        ({"wrong": [{"value": "n"}, {"value": "n+0", "credit": 0.5}]}, "wrong-is-other", "must be partial but is marked wrong"),
        ({"wrong": [{"value": "n", "misconception": "counting/one-gat"}]}, "misconception", "did you mean 'counting/one-gate'"),
        ({"accept": ["12"]}, "accept-refused", "must be right but is marked wrong"),
        ({"reject": ["{{4*(n*(n+m)+n)}}"]}, "wrong-is-key", "is marked right"),
        ({"reject": ["a few"]}, "reject-invalid", "is marked invalid"),
        ({"answer": {"value": "n/k", "rel": 0.1}}, "expression", "no parameter `k`"),
        ({"answer": {"value": "n/300", "exact": True}}, "tolerance", "nobody can type"),
        ({"answer": {"value": "n/64", "abs": 0.5}}, "tolerance", "below ten times the tolerance"),
        ({"answer": {"value": "n", "within": [1, 2]}}, "key-outside", "lies outside"),
        ({"prompt": "Is it {{k}}?"}, "placeholder", "names `k`, which is no parameter"),
        ({"prompt": "Is it {{n:zz}}?"}, "placeholder", "is no format"),
        ({"prompt": "$n={{n}}$ and $m={{m}}"}, "dollar", "not closed"),
        ({"prompt": "$\\frac{{{n}}{{{m}}}$"}, "braces", "do not match"),
        ({"prompt": "$\\nope {{n}} {{m}}$"}, "tex-command", "\\nope is no TeX command"),
        ({"prompt": "![](x.png) {{n}} {{m}}"}, "alt-text", "cannot see it"),
        ({"prompt": "{{n}}"}, "unused", "no text shows the parameter m"),
        ({"answer": {"value": 7, "exact": True}, "oracle": {"call": "made:total", "args": {"n": 3}}, }, "same-key", "same in every"),
        ({"params": {"n": {"int": [0, 3]}, "m": {"choice": [16, 32]}}}, "degenerate", "n is"),
        ({"params": {"n": {"choice": [5, 6, 7, 8]}, "m": {"choice": [5, 6, 7, 8]}}, "variants": {"count": 16}}, "degenerate", "are equal"),
        ({"hints": [{"text": "a", "cost": 0.9}, {"text": "b", "cost": 0.9}]}, "hints", "cost more"),
    ],
)  # fmt: skip
def test_what_is_odd_about_a_number_is_found(
    tmp_path: Path, box: CodeBox, change: dict[str, Any], code: str, told: str
) -> None:
    report = checked(tmp_path, box, {**COUNT, **change})
    assert code in codes(report), [str(f) for f in report.findings]
    assert any(told in f.message for f in report.findings if f.code == code), [str(f) for f in report.findings]


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({**CHOICE, "options": [CHOICE["options"][0], {"id": "b", "text": "No"}]}, "no-why"),
        ({**CHOICE, "options": [CHOICE["options"][0], {"id": "a", "text": "No", "why": "x"}]}, "duplicate-id"),
        ({**CHOICE, "options": [CHOICE["options"][0], {"id": "b", "text": " yes ", "why": "x"}]}, "equal-options"),
        ({**CHOICE, "options": [{"id": "a", "text": "0.5", "correct": True}, {"id": "b", "text": "1/2", "why": "x"}]}, "equal-options"),
        ({**CHOICE, "options": [CHOICE["options"][0], {"id": "b", "text": "None of the above", "why": "x"}]}, "above"),
        ({**CHOICE, "options": [{**CHOICE["options"][0], "correct": False}, CHOICE["options"][1]]}, "options"),
        ({**CHOICE, "prompt": "Is it forget gate or what?", "options": [{"id": "a", "text": "forget gate", "correct": True}, CHOICE["options"][1]]}, "answer-in-stem"),
        ({**CHOICE, "tags": ["lsmt"]}, "tag"),
        ({**CODE, "mutants": [{"replace": {"old": "2 * x", "new": "x * 2"}}]}, "mutant-lives"),
        ({**CODE, "mutants": [{"replace": {"old": "3 * x", "new": "x"}}]}, "mutant"),
        ({**CODE, "mutants": [{"code": "def double(x:"}]}, "code"),
        ({**CODE, "reference": "def double(x):\n    return 2 * x + 1e-3\n"}, "oracle-mismatch"),
        ({**CODE, "tests": "def test_a(student):\n    nothing\n"}, "oracle-mismatch"),
        ({**CODE, "tests": "x = 1\n"}, "code"),
        ({**CODE, "tests": CODE["tests"] + "\n\ndef test_idle(student):\n    student.double(1.0)\n"}, "idle-test"),
        ({**CODE, "starter": "def double(x):\n    return x + x\n"}, "mutant-lives"),
        ({"id": "free", "type": "free", "model": "x", "rubric": [{"id": "a", "points": 1, "text": "x"}] * 2}, "duplicate-id"),
        ({"id": "match", "type": "match", "pairs": [["a", "x"], ["a", "y"]]}, "duplicate-id"),
        ({"id": "match", "type": "match", "pairs": [["a", "x"], ["b", "y"]], "wrong": [{"left": "a", "right": "x"}]}, "wrong-is-key"),
        ({"id": "match", "type": "match", "pairs": [["a", "x"], ["b", "y"]], "extra": ["y"]}, "equal-options"),
        ({"id": "order", "type": "order", "blocks": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}, {"id": "c", "text": "C", "distractor": True}]}, "no-why"),
        ({"id": "order", "type": "order", "blocks": [{"id": "a", "text": "A", "after": ["b"]}, {"id": "b", "text": "B", "after": ["a"]}]}, "blocks"),
        ({**SHAPE, "fields": [{"id": "out", "label": "out", "answer": ["B", "K"]}]}, "expression"),
        ({**CARRY, "answer": {**CARRY["answer"], "shape": ["H", "H"]}}, "shape"),
        ({**CARRY, "answer": {**CARRY["answer"], "expr": "W d d"}}, "expression"),
        ({**CARRY, "wrong": [{"expr": "(W^T) (d .* (1-h) .* (1+h))"}]}, "wrong-is-key"),
        ({**CARRY, "wrong": [{"expr": "d d"}]}, "wrong-invalid"),
        ({**CARRY, "reject": ["x"]}, "reject-invalid"),
        ({**OUTPUT, "code": "print({{x}}"}, "code"),
        ({**CLOZE, "prompt": "Nothing."}, "field"),
        ({**CLOZE, "explain": "So {{sum}} it is."}, "placeholder"),
        ({**MATRIX, "wrong": [{"value": [["w"]]}]}, "shape"),
    ],
)  # fmt: skip
def test_what_is_odd_about_other_types_is_found(
    tmp_path: Path, box: CodeBox, question: dict[str, Any], code: str
) -> None:
    course = banks.course_with(tmp_path, banks.written([question]), ORACLES)
    (tmp_path / "quizzes" / "tags.yaml").write_text("schema: quiztags/1\ntags: {lstm: The LSTM}\n")
    report = check_bank(course, "bank", box)
    assert code in codes(report), [str(f) for f in report.findings]


def test_strict_asks_for_witness_source_and_lock(tmp_path: Path, box: CodeBox) -> None:
    bare = {key: value for key, value in COUNT.items() if key != "oracle"}
    bare["source"] = []
    mild = checked(tmp_path, box, bare)
    assert mild.sound
    assert {f.code for f in mild.findings} == {"no-witness", "no-source", "not-frozen"}
    strict = checked(tmp_path, box, bare, strict=True)
    assert not strict.sound
    assert {f.code for f in strict.findings if f.severity == "error"} == {"no-witness", "no-source", "not-frozen"}
    large = {**CLOZE, "oracle": None}
    large.pop("oracle")
    assert "no-witness" in codes(checked(tmp_path, box, large))
    few = {**CODE, "mutants": CODE["mutants"][:1]}
    assert "no-witness" in codes(checked(tmp_path, box, few))


def test_an_oracle_that_needs_what_is_not_there_is_told(
    tmp_path: Path, box: CodeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grader.quiz import lab

    real = lab.importlib.util.find_spec
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    question = {**COUNT, "oracle": {"call": "made:needs_torch", "requires": ["torch"]}}
    assert codes(checked(tmp_path, box, question)) == ["not-run"]
    assert checked(tmp_path, box, question).sound
    assert not checked(tmp_path, box, question, strict=True).sound


def test_an_oracle_runs_in_the_box(tmp_path: Path, box: CodeBox) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    course = banks.course_with(
        tmp_path, banks.written([COUNT]), f"def count(n, m):\n    return len(open({str(secret)!r}).read())\n"
    )
    report = check_bank(course, "bank", box)
    assert codes(report) == ["oracle-failed"]
    with pytest.raises(OracleFailed, match=r"SystemExit"):
        box.printed("import os, sys\nsys.exit(3)")


def test_keys_in_one_place_and_keys_that_are_longest_show_over_the_bank(tmp_path: Path, box: CodeBox) -> None:
    def one(n: int) -> dict[str, Any]:
        options = [{"id": "k", "text": f"a long and careful statement {n}", "correct": True}]
        options += [{"id": i, "text": f"{i} {n}", "why": "No."} for i in "abc"]
        return {"id": f"c{n}", "type": "choice", "prompt": f"What of {n}?", "options": options}

    report = checked(tmp_path, box, *(one(n) for n in range(14)))
    assert set(codes(report)) == {"key-position", "longest-is-key"}
    assert report.sound
    few = checked(tmp_path, box, *(one(n) for n in range(5)))
    assert codes(few) == []
    twice = checked(tmp_path, box, one(1), {**one(1), "id": "again"})
    assert codes(twice) == ["same-prompt"]


# --- the lock -------------------------------------------------------------------------------------------------------


def frozen(tmp_path: Path, *questions: dict[str, Any]) -> Any:
    course = banks.course_with(tmp_path, banks.written(list(questions)), ORACLES)
    return course, freeze(load_bank(course, "bank"))


def test_a_changed_meaning_needs_a_new_rev(tmp_path: Path, box: CodeBox) -> None:
    course, (changed, found) = frozen(tmp_path, COUNT, CHOICE)
    assert changed
    assert found == []
    assert freeze(load_bank(course, "bank")) == (False, [])
    before = lock_path(tmp_path / "quizzes" / "bank.yaml").read_bytes()
    # another wording is free
    _, (changed, found) = frozen(tmp_path, {**COUNT, "prompt": "{{n}} by {{m}}?", "explain": "So."}, CHOICE)
    assert (changed, found) == (False, [])
    for change in (
        {"answer": {"value": "4*(n*(n+m)+2*n)", "exact": True}},
        {"answer": {"value": "4*(n*(n+m)+n)", "rel": 0.1}},
        {"params": {"n": {"choice": [64, 256]}, "m": {"choice": [16, 32]}}},
        {"variants": {"count": 6, "seed": 9}},
    ):
        course, (changed, found) = frozen(tmp_path, {**COUNT, **change}, CHOICE)
        assert not changed
        assert [f.code for f in found] == ["rev"], change
        assert "set `rev: 2`" in found[0].message
        assert lock_path(tmp_path / "quizzes" / "bank.yaml").read_bytes() == before
        assert "rev" in codes(check_bank(course, "bank", box))
    _, (changed, found) = frozen(
        tmp_path, {**COUNT, "rev": 2, "answer": {"value": "4*(n*(n+m)+2*n)", "exact": True}}, CHOICE
    )
    assert (changed, found) == (True, [])
    course, (_, found) = frozen(tmp_path, COUNT, CHOICE)  # and back again
    assert [f.message for f in found] == ["rev 1 is below the frozen rev 2"]


def test_the_frozen_variants_are_what_is_asked(tmp_path: Path) -> None:
    course, _ = frozen(tmp_path, {**COUNT, "variants": {"count": 2}})
    path = lock_path(tmp_path / "quizzes" / "bank.yaml")
    content = json.loads(path.read_text())
    assert [v["key"] for v in content["questions"]["count"]["variants"]] == [
        str(4 * (v["values"]["n"] * (v["values"]["n"] + v["values"]["m"]) + v["values"]["n"]))
        for v in content["questions"]["count"]["variants"]
    ]
    frozen_values = [dict(v.values) for v in load_bank(course, "bank").questions[0].variants]
    assert frozen_values == [v["values"] for v in content["questions"]["count"]["variants"]]
    # more variants keep those that were asked already
    course, (changed, found) = frozen(tmp_path, {**COUNT, "variants": {"count": 4}})
    assert (changed, found) == (True, [])
    assert [dict(v.values) for v in load_bank(course, "bank").questions[0].variants][:2] == frozen_values


def test_what_is_gone_is_remembered(tmp_path: Path, box: CodeBox) -> None:
    frozen(tmp_path, COUNT, CHOICE)
    course, _ = frozen(tmp_path, CHOICE)
    assert codes(check_bank(course, "bank", box)) == ["gone"]
    course, _ = frozen(tmp_path, {**CHOICE, "supersedes": "count"})
    assert codes(check_bank(course, "bank", box)) == []


def test_another_machines_last_digit_is_no_change(tmp_path: Path, box: CodeBox) -> None:
    tanh = {**COUNT, "answer": {"value": "tanh(n/100) + m", "rel": 0.01}, "oracle": None}
    tanh.pop("oracle")
    course, _ = frozen(tmp_path, tanh)
    path = lock_path(tmp_path / "quizzes" / "bank.yaml")
    content = json.loads(path.read_text())
    for variant in content["questions"]["count"]["variants"]:
        variant["key"] = repr(float(variant["key"]) * (1 + 1e-14))
    path.write_text(json.dumps(content))
    assert "rev" not in codes(check_bank(course, "bank", box))
    content["questions"]["count"]["variants"][0]["key"] = "17.5"
    path.write_text(json.dumps(content))
    assert "rev" in codes(check_bank(course, "bank", box))


def test_a_damaged_lock_is_told(tmp_path: Path, box: CodeBox) -> None:
    course, _ = frozen(tmp_path, COUNT)
    lock_path(tmp_path / "quizzes" / "bank.yaml").write_text("{")
    report = check_bank(course, "bank", box)
    assert "lock" in codes(report)
    assert not report.sound


# --- the commands ---------------------------------------------------------------------------------------------------


def run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grader", "--course", str(tmp_path), "quiz", *words],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}, timeout=300,
    )  # fmt: skip


def test_commands(tmp_path: Path) -> None:
    banks.course_with(tmp_path, banks.written([COUNT, {**CHOICE, "tags": []}]), ORACLES)
    listed = run(tmp_path, "list")
    assert listed.returncode == 1
    assert listed.stderr.startswith("Error: ")
    assert "`grader quiz check bank` lists them all" in listed.stderr
    wrong = run(tmp_path, "check")
    assert wrong.returncode == 1
    assert "error[too_short]" in wrong.stdout
    assert wrong.stdout.splitlines()[0].startswith(f"{tmp_path}/quizzes/bank.yaml:")
    banks.course_with(tmp_path, banks.written([COUNT, CHOICE]), ORACLES)
    good = run(tmp_path, "check", "bank", "--strict", "--freeze")
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.splitlines()[-1] == (
        "bank: 2 questions, 5 variants, 4 keys recomputed; guessing earns 25 %; no errors, no warnings"
    )
    as_json = json.loads(run(tmp_path, "check", "--json").stdout)
    assert (as_json["version"], as_json["sound"], as_json["findings"]) == (1, True, [])
    assert "2 questions, 5 variants (1 choice, 1 numeric)" in run(tmp_path, "list").stdout
    assert json.loads(run(tmp_path, "schema").stdout)["properties"]["questions"]
    unknown = run(tmp_path, "chekc")
    assert unknown.returncode == 2
    assert "Did you mean `check`?" in unknown.stderr
    missing = run(tmp_path, "check", "bnk")
    assert missing.returncode == 1
    assert "Did you mean `bank`" in missing.stderr


def test_every_command_has_an_example() -> None:
    import click

    from grader.cli.quiz import QUIZ_COMMANDS, quiz

    for name in QUIZ_COMMANDS:
        command = quiz.get_command(click.Context(quiz), name)
        assert command is not None
        assert command.help is not None
        assert "Example:" in command.help


def test_the_real_banks_are_sound(box: CodeBox) -> None:
    from grader.course.catalog import Course
    from grader.quiz.loading import bank_ids

    course = Course(banks.ROOT, banks.ROOT / ".grader")
    assert "foundations" in bank_ids(course)
    report = check_bank(course, "foundations", box, strict=True)
    assert report.findings == (), [str(f) for f in report.findings]
    bank, _ = parse_bank((banks.ROOT / "quizzes" / "foundations.yaml").read_text(), Path("foundations.yaml"))
    assert bank is not None
    assert {q.type for q in bank.questions} == {
        "choice", "cloze", "code", "expression", "free", "match", "matrix", "multi", "numeric", "order", "output", "shape",
    }  # fmt: skip
