"""Learners' formulas: what is equal is accepted in every spelling, what is nearly equal refused, nothing is run."""

from __future__ import annotations

import string
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.quiz.marking import mark
from grader.quiz.mathematics.parsing import Alphabet, parse
from grader.quiz.mathematics.polynomial import PRIME, difference, identical, residue
from grader.quiz.mathematics.probe import Declared, Space, Verdict, compare, value_of
from grader.quiz.mathematics.shapes import shape_of, words
from grader.quiz.mathematics.tokens import canonical, tokens
from grader.quiz.mathematics.tree import Unreadable
from grader.quiz.model import Item

from . import quiz_banks as banks

CORPUS = yaml.safe_load((Path(__file__).parent / "data" / "expressions.yaml").read_text(encoding="utf-8"))["settings"]
NM = Alphabet.of(["n", "m"])


def rows() -> Iterator[Any]:
    for setting in CORPUS:
        for outcome in ("right", "wrong", "invalid"):
            for text in setting[outcome]:
                yield pytest.param(setting["name"], text, outcome, id=f"{setting['name']}-{outcome}-{text[:40]!r}")


@pytest.fixture(scope="module")
def items() -> dict[str, Item]:
    found = {}
    for setting in CORPUS:
        answer = {"expr": setting["key"], "test": setting["test"]}
        answer |= {"shape": setting["shape"]} if setting["test"] == "probe" else {}
        keys = {"type": "expression", "symbols": setting["symbols"], "answer": answer, "dims": setting.get("dims", [])}
        found[setting["name"]] = banks.item(id=setting["name"], **keys)
    return found


@pytest.mark.parametrize(("setting", "text", "outcome"), list(rows()))
def test_corpus(items: dict[str, Item], setting: str, text: str, outcome: str) -> None:
    started = time.process_time()
    got = mark(items[setting], text)
    assert time.process_time() - started < 0.5
    assert got.status.value == outcome, (got.note, got.feedback)
    if outcome == "invalid":
        assert got.feedback
        assert got.score == 0


def test_corpus_is_large_and_covers_the_spellings() -> None:
    found = [text for setting in CORPUS for outcome in ("right", "wrong", "invalid") for text in setting[outcome]]
    assert len(found) >= 150
    everything = "\n".join(found)
    for spelling in (r"\frac", r"\cdot", r"^\top", r"\odot", "^T", "ᵀ", ".T", "²", "_{hh}", "_{t-1}", "ₜ₋₁", "⊙", "**"):
        assert spelling in everything


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "n" * 100_000,
        "n^" * 200,
        "-" * 400 + "n",
        "{" * 499,
        "1" * 499,
        "\\frac" * 90,
        "n'" * 240,
        "\\left(" * 80,
    ],
)
def test_long_and_deep_texts_are_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(Unreadable):
        identical(parse(text, NM), parse("n", NM), ["n", "m"], "seed")
    assert time.process_time() - started < 0.2


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=string.printable + "²ᵀ⊙·×∘−δσγ_{}^\\$√", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        node = parse(text, NM)
        identical(node, node, ["n", "m"], "seed")
    except Unreadable as problem:
        place, what = problem.start, problem.what
    else:
        return
    assert what
    assert 0 <= place <= len(text)


def test_positions_point_at_the_offending_piece() -> None:
    with pytest.raises(Unreadable) as caught:
        parse("4n(N+m)", NM)
    assert (
        caught.value.pointed("4n(N+m)") == "`N` is not one of the symbols here: did you mean `n`? (at character 4: `N`)"
    )


def polynomials() -> st.SearchStrategy[str]:
    atoms = st.sampled_from(["n", "m", "2", "3", "1", "0.5"])
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
            st.tuples(inner, st.sampled_from(["2", "3"])).map(lambda t: f"({t[0]}^{t[1]})"),
            inner.map(lambda one: f"(-{one})"),
        ),
        max_leaves=6,
    )


@settings(max_examples=150, deadline=None)
@given(polynomials(), polynomials())
def test_identity_agrees_with_sympy(a: str, b: str) -> None:
    sympy = pytest.importorskip("sympy")
    # texts are our own here; sympy is the independent judge
    left, right = (sympy.sympify(text.replace("^", "**").replace("0.5", "Rational(1,2)")) for text in (a, b))
    same = sympy.expand(left - right) == 0
    assert identical(parse(a, NM), parse(b, NM), ["n", "m"], "seed") is bool(same)


@settings(max_examples=100, deadline=None)
@given(polynomials(), st.integers(-20, 20), st.integers(-20, 20))
def test_residue_is_the_value(text: str, n: int, m: int) -> None:
    def value(node: Any) -> Fraction:
        kind = type(node).__name__
        if kind == "Number":
            return node.value
        if kind == "Symbol":
            return Fraction({"n": n, "m": m}[node.name])
        if kind == "Negative":
            return -value(node.inner)
        left, right = value(node.left), value(node.right)
        return (
            {"+": left + right, "-": left - right, "*": left * right}.get(node.op)
            if node.op != "^"
            else left ** int(right)
        )

    tree = parse(text, NM)
    exact = value(tree)
    modular = exact.numerator * pow(exact.denominator, -1, PRIME) % PRIME
    assert residue(tree, {"n": n % PRIME, "m": m % PRIME}) == modular


@pytest.mark.parametrize(
    ("learner", "told"),
    [
        ("4n(n+m)", "short by 4 n"),
        ("4n(n+m+1)+m", "too large by m"),
        ("4(nm+n)", "short by 4 n^2"),
        ("4n(n+m+1)-7", "short by 7"),
        ("4n(n+m+1)+2nm", "too large by 2 n m"),
        ("n^5", None),
    ],
)
def test_difference_is_told_as_a_monomial(learner: str, told: str | None) -> None:
    assert difference(parse(learner, NM), parse("4n(n+m+1)", NM), ["n", "m"], "seed") == told


@pytest.mark.parametrize(
    "spelling", ["h_{t-1}", "h_tm1", "hₜ₋₁", "h_{t - 1}", "h_{\\text{t-1}}", "\\mathbf{h}_{t-1}"]
)  # fmt: skip
def test_spellings_of_a_name(spelling: str) -> None:
    assert canonical(spelling) == "h_tm1"


def test_transposes_are_one_token() -> None:
    for text in ("W'", "W.T", "Wᵀ", "W⊤"):
        assert [token.kind for token in tokens(text)] == ["name", "T"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("delta delta", "cannot multiply (H, 1) by (H, 1): did you mean the elementwise product `.*`?"),
        ("W x", "cannot multiply (H, H) by (D, 1): the inner sizes differ"),
        ("delta + x", "cannot add (H, 1) and (D, 1)"),
        ("V delta", "cannot multiply (4 H, D) by (H, 1): the inner sizes differ"),
        ("delta ^ x", "an exponent must be a number, not (D, 1)"),
        ("V^2", "a tensor's power is a whole number"),
        ("trace(V)", "trace needs a square matrix, not (4 H, D)"),
    ],
)
def test_shape_errors_speak_in_symbols(text: str, told: str) -> None:
    space = tensors()
    if text == "V^2":  # not square: elementwise
        assert words(shape_of(parse(text, letters()), space.shapes())) == "(4 H, D)"
        return
    with pytest.raises(Unreadable) as caught:
        shape_of(parse(text, letters()), space.shapes())
    assert caught.value.what.startswith(told)


def letters() -> Alphabet:
    return Alphabet.of(["W", "V", "x", "delta", "s", "H", "D"])


def tensors() -> Space:
    return Space(
        (
            Declared("W", ("H", "H")),
            Declared("V", ("4*H", "D")),
            Declared("x", ("D",)),
            Declared("delta", ("H",)),
            Declared("s"),
        ),
        ("H", "D"),
        "tests",
    )


def test_points_have_dims_that_all_differ_and_are_the_same_again() -> None:
    import numpy as np

    for point, again in zip(tensors().points(), tensors().points(), strict=True):
        assert point["W"].shape[0] != point["x"].shape[0]
        assert point["V"].shape == (4 * point["W"].shape[0], point["x"].shape[0])
        assert all(np.array_equal(point[name], again[name]) for name in point)
        assert np.abs(point["W"]).min() >= 0.1


def test_dims_may_be_used_as_numbers() -> None:
    space, known = tensors(), letters()
    assert compare(parse("sum(delta)/H", known), parse("mean(delta)", known), space) is Verdict.EQUAL


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("delta + 1e11 delta - 1e11 delta", Verdict.UNDECIDED),
        ("0.33333333 delta", Verdict.UNDECIDED),
        ("log(delta) - log(delta) + delta/3", Verdict.UNDECIDED),
        ("0.33 delta", Verdict.DIFFERENT),
        ("delta/3 + 1e-30", Verdict.EQUAL),
    ],
)
def test_what_rounding_may_have_made_is_undecided_and_never_wrong(text: str, verdict: Verdict) -> None:
    key = "delta" if text.startswith("delta + 1e11") else "delta/3"
    assert compare(parse(text, letters()), parse(key, letters()), tensors()) is verdict


def test_tiny_values_are_compared_relatively() -> None:
    space, known = tensors(), letters()
    assert compare(parse("1e-30 delta", known), parse("2e-30 delta", known), space) is Verdict.DIFFERENT


def test_values_agree_with_numpy() -> None:
    import numpy as np

    known = letters()
    for point in tensors().points():
        W, x, d = point["W"], point["x"], point["delta"]
        cases = {
            "W^T tanh(W delta)": W.T @ np.tanh(W @ d),
            "sigmoid(delta) .* relu(delta)": 1 / (1 + np.exp(-d)) * np.maximum(d, 0),
            "outer(delta, x)": np.outer(d, x),
            "W^3 delta": W @ W @ W @ d,
            "softmax(delta)": np.exp(d) / np.exp(d).sum(),
            "diag(W)": np.diag(W).reshape(-1, 1),
            "norm(delta)": np.linalg.norm(d),
            "trace(W)": np.trace(W),
            "delta^T delta delta": (d * d).sum() * d,
            "max(delta, 0)": np.maximum(d, 0),
        }
        for text, want in cases.items():
            got = value_of(parse(text, known), point)
            assert np.allclose(got.reshape(np.shape(want)), want, rtol=1e-12), text
