"""Variants: drawn the same everywhere, all different, within what the author asked; and the authors' arithmetic."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.quiz.arithmetic import ArithmeticProblem, compute, names, number
from grader.quiz.parameters import Stream, draw, options_of
from grader.quiz.schema import ParameterSpec
from grader.quiz.texts import expand, fill, formulas, plain_number, strange_places

from . import quiz_banks as banks

NUMERIC: dict[str, Any] = {"type": "numeric", "answer": {"value": "n*m", "exact": True}}


def variants(**keys: Any) -> list[dict[str, Any]]:
    return [dict(v.values) for v in banks.question(**{**NUMERIC, **keys}).variants]


def test_a_small_space_is_enumerated_without_repetition() -> None:
    params = {"n": {"choice": [64, 128, 256]}, "m": {"int": [16, 96], "step": 16}}
    got = variants(params=params, where="n != m", variants={"count": 100, "seed": 7})
    assert len(got) == 3 * 6 - 1  # 64 is the only size that both may have
    assert len({tuple(one.items()) for one in got}) == len(got)
    assert {one["m"] for one in got} == {16, 32, 48, 64, 80, 96}
    assert all(one["n"] != one["m"] for one in got)


def test_more_variants_begin_with_the_fewer() -> None:
    params = {"n": {"int": [2, 50]}, "m": {"int": [2, 50]}}
    few = variants(params=params, variants={"count": 4, "seed": 1})
    many = variants(params=params, variants={"count": 9, "seed": 1})
    assert many[:4] == few
    assert variants(params=params, variants={"count": 4, "seed": 2}) != few


def test_derived_values_follow_in_order() -> None:
    params = {"n": {"choice": [3]}, "m": {"derived": "n**2"}, "r": {"derived": "m/2"}}
    assert variants(params=params) == [{"n": 3, "m": 9, "r": 4.5}]


def test_reals_and_logspaces_are_short_numbers_in_their_range() -> None:
    params = {"n": {"real": [0.1, 0.9]}, "m": {"logspace": [1e-4, 1e-1], "num": 4}}
    for one in variants(params=params, variants={"count": 20}):
        assert 0.1 <= one["n"] <= 0.9
        assert len(f"{one['n']:g}".lstrip("0.")) <= 3
        assert one["m"] in (1e-4, 1e-3, 1e-2, 1e-1)


def test_a_step_of_reals_makes_exact_decimals() -> None:
    spec = ParameterSpec.model_validate({"real": [0.1, 0.5], "step": 0.1})
    assert options_of(spec) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_constraint_that_nothing_satisfies_is_told() -> None:
    _, findings = banks.read({**NUMERIC, "params": {"n": {"choice": [2]}, "m": {"choice": [3]}}, "where": "n > m"})
    assert [(f.code, f.message) for f in findings] == [("params", "no values of the parameters satisfy `where`")]


def test_the_same_in_another_process() -> None:
    program = (
        "from grader.quiz.parameters import Stream\n"
        "s = Stream('a seed')\nprint([s.below(1000) for _ in range(5)], s.shuffled(list(range(6))))"
    )
    got = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    stream = Stream("a seed")
    assert got == f"{[stream.below(1000) for _ in range(5)]} {stream.shuffled(list(range(6)))}"


def test_a_stream_is_even() -> None:
    stream = Stream("even")
    counts = [0] * 7
    for _ in range(7000):
        counts[stream.below(7)] += 1
    assert max(abs(count - 1000) for count in counts) < 150  # five standard deviations


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_every_drawing_keeps_its_promises(seed: int, count: int) -> None:
    params = {"n": {"int": [2, 40], "step": 2}, "m": {"choice": [3, 5, 7]}}
    question = banks.question(**NUMERIC, params=params, where="n > m", variants={"count": count, "seed": seed})
    drawn = draw(question.spec, question.name)
    assert [one.number for one in drawn] == list(range(count))
    for one in drawn:
        assert one.values["n"] % 2 == 0
        assert 2 <= one.values["n"] <= 40
        assert one.values["n"] > one.values["m"]


# --- arithmetic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4*(n*(n+m)+n)", 4 * (3 * 8 + 3)),
        ("n**2 - m // 2 % 3", 9 - 2),
        ("-n + +m", 2),
        ("1e-3 * n", 0.003),
        ("n if n > m else m", 5),
        ("not n > m and m == 5", True),
        ("[n, m, 7][2]", 7),
        ("sum([n, m])", 8),
        ("round(tanh(1), 4)", 0.7616),
        ("sigmoid(0)", 0.5),
        ("matmul([[1, 2], [3, 4]], [[0, 1], [1, 0]])", [[2, 1], [4, 3]]),
        ("softmax([0, 0])", [0.5, 0.5]),
        ("2 < n < 4", True),
        ("len('abc')", 3),
        ("pi", math.pi),
    ],
)
def test_arithmetic(text: str, value: Any) -> None:
    assert compute(text, {"n": 3, "m": 5}) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n^2", "write **"),
        ("k + 1", "no parameter `k`"),
        ("__import__('os')", "no function `__import__`"),
        ("n.real", "is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("[x for x in [1]]", "is not allowed"),
        ("open('x')", "no function `open`"),
        ("9**9**9**9", "power is too large"),
        ("(-1)**0.5", "not real"),
        ("1/0", "divides by zero"),
        ("exp(1000)", "too large"),
        ("'a' * 10**9", "arithmetic is for numbers"),
        ("[0] * 10**9", "arithmetic is for numbers"),
        ("range(10**9)", "too long"),
        ("n[0]", "cannot be computed"),
        ("f'{n}'", "is not allowed"),
        ("n +", "no expression"),
        ("1" * 500, "may have 400 characters"),
        ("(" * 90 + "1" + ")" * 90 + "+ k", "no parameter"),
        ("-" * 60 + "1", "nested too deeply"),
        ("sqrt(-1)", "cannot be computed"),
        ("x := 3", "no expression"),
        ("n is m", "is not allowed"),
        ("round(n=1)", "is not allowed"),
    ],
)
def test_arithmetic_refuses(text: str, words: str) -> None:
    with pytest.raises(ArithmeticProblem) as caught:
        compute(text, {"n": 3, "m": 5})
    assert words in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="nm0123456789+-*/().,[]<>=! eifols'_", max_size=30))
def test_any_text_is_computed_or_refused(text: str) -> None:
    try:
        compute(text, {"n": 3, "m": 5})
        names(text)
    except ArithmeticProblem as problem:
        told = str(problem)
    else:
        return
    assert told


def test_numbers_are_finite_and_no_truths() -> None:
    with pytest.raises(ArithmeticProblem, match="no number"):
        number("n > 1", {"n": 3})
    with pytest.raises(ArithmeticProblem, match="not finite"):
        number(math.inf, {})


# --- texts ----------------------------------------------------------------------------------------------------------


def test_places_are_filled_and_blanks_kept() -> None:
    values = {"n": 128, "x": 0.1234567}
    assert fill("$n = {{n}}$, {{ n * 2 }}, {{x:.2f}}, {{x}}, {{gap}}", values, ("gap",)) == (
        "$n = 128$, 256, 0.12, 0.123457, {{gap}}"
    )
    assert fill(r"\frac{1}{{{n}}}", values) == r"\frac{1}{128}"


def test_strange_places_are_told() -> None:
    assert strange_places("{{n}} {{gap}}", {"n", "gap"}) == []
    assert strange_places("W_{{hh}}", {"n"}) == ["{{hh}} names `hh`, which is no parameter"]
    assert "is not allowed" in strange_places("{{n.real}}", {"n"})[0]


def test_macros_are_written_out_in_formulas_only() -> None:
    macros = {r"\R": r"\mathbb{R}", r"\norm": r"\lVert #1 \rVert", r"\half": r"\frac12"}
    assert expand(r"$x \in \R^n$ and \R", macros) == r"$x \in \mathbb{R}^n$ and \R"
    assert expand(r"$\norm{W_x} + \Rho$", macros) == r"$\lVert W_x \rVert + \Rho$"
    assert expand("no formula, $5 and 6$", {}) == "no formula, $5 and 6$"
    assert formulas("$a$ and $$b$$") == ["a", "b"]


def test_numbers_are_written_as_people_do() -> None:
    assert [plain_number(v) for v in (98816, 0.1, 1 / 3, 1e-9, [1, 0.5])] == [
        "98816",
        "0.1",
        "0.333333",
        "1e-09",
        "[1, 0.5]",
    ]
