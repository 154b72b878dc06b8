"""Marking, type by type: keys, recognised wrong answers, what is asked again, and what nobody foresaw."""

# ruff: noqa: E501  # tables of cases read best with one case a line

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.quiz.answers import Misread, read_axes, read_matrix, read_number, same_term
from grader.quiz.asking import item_of, items, view
from grader.quiz.kinds import kind_of
from grader.quiz.loading import load_bank, read_bank
from grader.quiz.marking import mark, with_hints
from grader.quiz.marks import graded
from grader.quiz.model import Bank, Item, Status
from grader.quiz.running import CodeBox

from . import quiz_banks as banks


@pytest.fixture(scope="module")
def real() -> Bank:
    bank, findings = read_bank(banks.ROOT / "quizzes" / "foundations.yaml")
    assert bank is not None
    assert [f for f in findings if f.severity == "error"] == []
    return bank


@pytest.fixture(scope="module")
def box() -> Iterator[CodeBox]:
    with CodeBox() as opened:
        yield opened


# --- what is typed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "digits"),
    [
        ("98816", 98816, 5),
        ("98 816", 98816, 5),
        ("98_816", 98816, 5),
        ("1,234,567", 1234567, 7),
        ("1,234.5", 1234.5, 5),
        ("0.25", 0.25, 2),
        ("0,25", 0.25, 2),
        (".25", 0.25, 2),
        ("0.250", 0.25, 3),
        ("-3", -3, 1),
        ("−3", -3, 1),
        ("+3", 3, 1),
        ("1/4", 0.25, 0),
        ("25%", 0.25, 2),
        ("25 %", 0.25, 2),
        ("2.5e-3", 0.0025, 2),
        ("2.5E-3", 0.0025, 2),
        ("2.5*10^-3", 0.0025, 2),
        ("2.5 × 10⁻³", 0.0025, 2),
        (r"2.5 \cdot 10^{-3}", 0.0025, 2),
        ("10^-3", 0.001, 1),
        ("= 7", 7, 1),
        ("≈0.5", 0.5, 1),
        ("$12$", 12, 2),
        ("0.00030", 0.0003, 2),
        (12, 12, 2),
        (0.5, 0.5, 1),
    ],
)
def test_numbers_are_read(text: Any, value: float, digits: int) -> None:
    got = read_number(text)
    assert got.real == pytest.approx(value, rel=1e-15)
    assert got.digits == digits


@pytest.mark.parametrize(
    "text",
    ["", " ", "four", "1.2.3", "1/0", "1e999999", "--3", "3-", "0x10", "nan", "inf", "1e", "1 + 1", "2^3", "1,2,3", "1//2",
     "9" * 300, "1,234", True, None, [], {}, "१२", "3 apples", "1e5000", "10^99999"],
)  # fmt: skip
def test_what_is_no_number_is_asked_again(text: Any) -> None:
    with pytest.raises(Misread):
        read_number(text)


def test_a_comma_that_may_mean_either_is_asked_about() -> None:
    with pytest.raises(Misread, match=r"Does 1,234 mean 1234 or 1\.234"):
        read_number("1,234")
    assert read_number("0,125").real == 0.125


def test_units() -> None:
    assert read_number("12.5 KB", "KB").real == 12.5
    assert read_number("12.5", "KB").real == 12.5
    assert read_number("12 %", "%").real == 12


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_every_float_is_read_back(value: float) -> None:
    value = value if abs(value) > 1e-299 else 0.0
    assert read_number(repr(value)).real == value


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("(32, 10, 32)", ["32", "10", "32"]),
        ("[32,10,32]", ["32", "10", "32"]),
        ("32 x 10 x 32", ["32", "10", "32"]),
        ("32×10×32", ["32", "10", "32"]),
        ("32 10 32", ["32", "10", "32"]),
        ("torch.Size([32, 10])", ["32", "10"]),
        ("(5,)", ["5"]),
        ("()", []),
        ("(B, T, 2*H)", ["B", "T", "2*H"]),
        ("2*H", ["2*H"]),
    ],
)
def test_shapes_are_read(text: str, axes: list[str]) -> None:
    assert read_axes(text) == axes


def test_matrices_are_read() -> None:
    for text in ("[[1, 2], [3, 4]]", "1 2; 3 4", "1 2\n3 4", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
                 "np.array([[1, 2], [3, 4]])", [["1", "2"], ["3", "4"]], [[1, 2], [3, 4]]):  # fmt: skip
        assert [[cell.real for cell in row] for row in read_matrix(text)] == [[1, 2], [3, 4]]
    for bad in ("", [], [[]], [["1"], ["1", "2"]], "x", 3, None, [["1", "?"]], [["1"] * 500]):
        with pytest.raises(Misread):
            read_matrix(bad)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("exploding gradients", "key"),
        ("Exploding gradients.", "key"),
        ("the exploding gradients", "key"),
        ("exploding-gradients", "key"),
        ("exploding gradeints", "typo"),
        ("explodng gradients", "typo"),
        ("imploding gradients", None),
        ("vanishing gradients", None),
        ("gradients", None),
    ],
)
def test_terms(text: str, found: str | None) -> None:
    assert same_term(text, ["exploding gradients"], ["vanishing gradients"]) == found


def test_a_slip_never_makes_another_term() -> None:
    assert same_term("unsupervised", ["supervised"], []) is None
    assert same_term("overfiting", ["overfitting"], ["underfitting"]) == "typo"
    assert same_term("GRU", ["LSTM"], []) is None
    assert same_term("LSTN", ["LSTM"], []) is None  # short words have no slips
    assert same_term("layer 12", ["layer 13"], []) is None
    assert same_term("encoder", ["decoder"], []) is None


# --- numeric --------------------------------------------------------------------------------------------------------


def numeric(**keys: Any) -> Item:
    return banks.item(type="numeric", **keys)


@pytest.mark.parametrize(
    ("rule", "near", "far"),
    [
        ({"rel": 0.02}, ["100", "98", "102", "1.02e2"], ["97.99", "102.01", "-100"]),
        ({"abs": 0.5}, ["99.5", "100.5"], ["99.49", "100.51"]),
        ({"within": [90, 110]}, ["90", "110"], ["89.9", "110.1"]),
        ({"exact": True}, ["100", "100.0", "1e2", "200/2"], ["100.0000001", "99"]),
    ],
)
def test_tolerances_hold_to_their_bounds(rule: dict[str, Any], near: list[str], far: list[str]) -> None:
    item = numeric(answer={"value": 100, **rule})
    assert [mark(item, text).status for text in near] == [Status.RIGHT] * len(near)
    assert [mark(item, text).status for text in far] == [Status.WRONG] * len(far)
    assert view(item).rule


def test_recognised_wrong_numbers_follow_the_variant(real: Bank) -> None:
    question = real.question("lstm-count")
    assert question is not None
    for variant in question.variants:
        item = Item(question, variant)
        n, m = variant.values["n"], variant.values["m"]
        right = mark(item, str(4 * (n * (n + m) + n)))
        assert (right.status, right.score, right.note) == (Status.RIGHT, 1, "key")
        one = mark(item, str(n * (n + m) + n))
        assert (one.status, one.misconception) == (Status.WRONG, "counting/one-gate")
        two = mark(item, str(4 * (n * (n + m) + 2 * n)))
        assert (two.status, two.score, two.misconception) == (Status.PARTIAL, 0.5, "counting/two-biases")
        assert mark(item, str(4 * (n * (n + m) + n) * 1000)).note == "times-1e3"
        assert mark(item, str(-4 * (n * (n + m) + n))).note == "sign"


def test_numbers_beyond_every_float_are_harmless() -> None:
    for key in (1e-3, 1e250, -7, 0.5):
        item = numeric(answer={"value": key, "rel": 0.1}, wrong=[{"value": 3}])
        for text in (
            "1e400",
            "1e299",
            "-1e299",
            "1e-299",
            "1e-400",
            "9" * 190,
            "1e200/1e-200",
            "0." + "0" * 190 + "1",
            "0",
        ):
            assert mark(item, text).status in (Status.WRONG, Status.INVALID), (key, text)
    exact = numeric(answer={"value": 0.25, "exact": True})
    assert mark(exact, "1e299").status is Status.WRONG
    formula = banks.item(
        type="expression", symbols={"x": {"real": [0.5, 1]}}, answer={"expr": "x", "test": "probe", "shape": []}
    )  # fmt: skip
    for text in (
        "9" * 30 + "e250 x",
        "x^1e250",
        "1e250^1e250 x",
        "x/1e-250",
        "exp(1e250 x)",
        "exp(exp(exp(exp(exp(9 x)))))",
    ):
        assert mark(formula, text).status in (Status.WRONG, Status.UNDECIDED, Status.INVALID), text


def test_digits_are_a_rule_of_their_own() -> None:
    item = numeric(answer={"value": "1/3", "rel": 0.1, "sigfigs": {"min": 2, "penalty": 0.2}})
    assert mark(item, "0.33").status is Status.RIGHT
    short = mark(item, "0.3")
    assert (short.status, short.score, short.note) == (Status.PARTIAL, 0.8, "sigfigs")
    assert mark(item, "1/3").status is Status.RIGHT
    assert "significant digits" in view(item).rule


def test_invalid_costs_nothing_and_a_broken_key_is_not_the_learners() -> None:
    item = numeric(answer={"value": 100, "exact": True})
    for response in (None, "", "many", [], {}, True):
        got = mark(item, response)
        assert (got.status, got.score, got.final) == (Status.INVALID, 0, False)
    broken = numeric(answer={"value": "1/n", "rel": 0.1}, params={"n": {"choice": [0]}})
    assert mark(broken, "3").status is Status.UNDECIDED


# --- shape ----------------------------------------------------------------------------------------------------------


def test_shapes_earn_by_axis_and_layouts_are_recognised(real: Bank) -> None:
    question = real.question("bilstm-shapes")
    assert question is not None
    item = Item(question, question.variants[0])
    B, T, H = (item.variant.values[name] for name in "BTH")
    key = {"out": f"({B}, {T}, {2 * H})", "h": f"({4}, {B}, {H})"}
    assert mark(item, key).status is Status.RIGHT
    assert mark(item, {"out": f"{B}x{T}x{2 * H}", "h": f"[4 , {B}, {H}]"}).status is Status.RIGHT
    swapped = mark(item, {**key, "out": f"({T}, {B}, {2 * H})"})
    assert (swapped.score, swapped.misconceptions) == (0.75, ("shapes/time-major",))
    third = mark(item, {**key, "h": f"(4, {B}, {H + 1})"})
    assert third.score == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert mark(item, {**key, "h": f"({B}, {H})"}).score == 0.5
    for bad in (
        {"out": key["out"]},
        {**key, "c": "()"},
        {**key, "h": "(4, B, H)"},
        {**key, "h": "(4, -1, 2)"},
        "x",
        [],
        5,
    ):
        assert mark(item, bad).status is Status.INVALID


def test_symbolic_shapes_are_compared_as_formulas() -> None:
    item = banks.item(
        type="shape", dims=["B", "T", "H"], fields=[{"id": "out", "label": "out", "answer": ["B", "T", "2*H"]}],
        wrong=[{"value": ["T", "B", "2*H"], "misconception": "shapes/time-major"}],
    )  # fmt: skip
    for text in ("(B, T, 2*H)", "(B,T,2H)", "B, T, H + H", "[B, T, H*2]"):
        assert mark(item, text).status is Status.RIGHT, text
    assert mark(item, "(T, B, 2H)").misconception == "shapes/time-major"
    assert mark(item, "(B, T, H)").score == pytest.approx(2 / 3, abs=1e-6)
    assert mark(item, "(B, T, 2K)").status is Status.INVALID


# --- choice, multi --------------------------------------------------------------------------------------------------

OPTIONS = [
    {"id": "a", "text": "A", "correct": True},
    {"id": "b", "text": "B", "correct": True},
    {"id": "c", "text": "C", "why": "No."},
    {"id": "d", "text": "D", "why": "Neither.", "misconception": "counting/one-gate"},
]


def test_options_are_shuffled_by_the_item_and_keep_their_ids() -> None:
    question = banks.question(type="choice", options=[{**OPTIONS[0]}, *OPTIONS[2:]])
    orders = {tuple(o.id for o in view(Item(question, question.variants[0], n)).options) for n in range(40)}
    assert len(orders) == 6
    fixed = banks.question(type="choice", options=[{**OPTIONS[0]}, *OPTIONS[2:]], shuffle=False)
    assert [o.id for o in view(Item(fixed, fixed.variants[0], 9)).options] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("scoring", "scores"),
    [
        ("all-or-nothing", {"ab": 1, "a": 0, "abc": 0, "cd": 0}),
        ("each-answer", {"ab": 1, "a": 0.75, "abc": 0.75, "ac": 0.5, "c": 0, "cd": 0, "abcd": 0}),
        ("net", {"ab": 1, "a": 0.5, "abc": 0.5, "ac": 0, "abcd": 0}),
        ("coverage", {"ab": 1, "a": 0.5, "abc": 2 / 3, "ac": 0.25, "abcd": 0.5}),
    ],
)
def test_four_ways_of_scoring(scoring: str, scores: dict[str, float]) -> None:
    item = banks.item(type="multi", options=OPTIONS, scoring=scoring)
    for chosen, score in scores.items():
        assert mark(item, list(chosen)).score == pytest.approx(score, abs=1e-6), chosen
        assert mark(item, list(chosen)[::-1]).score == pytest.approx(score, abs=1e-6)
    for bad in ([], ["e"], "ab", None, [1], {"a": True}):
        assert mark(item, bad).status is Status.INVALID
    assert mark(item, ["a", "d"]).misconceptions == ("counting/one-gate",)


# --- output ---------------------------------------------------------------------------------------------------------


def test_printed_numbers_count_by_value_unless_exact() -> None:
    keys = {"type": "output", "code": "print(0.25)", "answer": {"stdout": "0.25"}}
    item = banks.item(**keys)
    assert [mark(item, t).note for t in ("0.25", " 0.25 \n", "`0.25`", ".25", "0.250")] == ["key"] * 3 + [
        "same-numbers"
    ] * 2
    exact = banks.item(**{**keys, "answer": {"stdout": "0.25", "exact": True}})
    assert mark(exact, "0.250").score == 0.5
    assert mark(item, "0.5").status is Status.WRONG
    raises = banks.item(type="output", code="1/0", answer={"raises": "ZeroDivisionError"})
    for text in (
        "ZeroDivisionError",
        "zerodivisionerror",
        "raises a ZeroDivisionError",
        "It raises ZeroDivisionError.",
    ):
        assert mark(raises, text).status is Status.RIGHT, text
    assert mark(raises, "error").score == 0.5
    assert mark(raises, "ValueError").status is Status.WRONG


def test_lines_count_but_blanks_do_not() -> None:
    item = banks.item(type="output", code="print(1)\nprint('a b')", answer={"stdout": "1\na b"})
    assert mark(item, "1\na b\n\n").status is Status.RIGHT
    assert mark(item, "  1\n a  b").status is Status.RIGHT
    assert mark(item, "1\nab").status is not Status.INVALID
    assert mark(item, "a b\n1").status is Status.WRONG


# --- order, match ---------------------------------------------------------------------------------------------------


def brute_longest(given: list[str], before: dict[str, set[str]]) -> int:
    """Return the most that two orders share: `given`, and any right order of all blocks."""

    def common(a: list[str], b: tuple[str, ...]) -> int:
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, j in itertools.product(range(len(a)), range(len(b))):
            table[i + 1][j + 1] = table[i][j] + 1 if a[i] == b[j] else max(table[i][j + 1], table[i + 1][j])
        return table[-1][-1]

    right = [
        order for order in itertools.permutations(before)
        if all(not before[one] & set(order[n:]) for n, one in enumerate(order))
    ]  # fmt: skip
    return max(common(given, order) for order in right)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_order_credit_is_what_need_not_be_moved(data: st.DataObject) -> None:
    names = list("abcde")
    after = {
        name: data.draw(st.lists(st.sampled_from(names[:n]), unique=True)) if n else [] for n, name in enumerate(names)
    }
    blocks = [{"id": name, "text": name.upper(), "after": after[name]} for name in names]
    item = banks.item(type="order", blocks=blocks)
    given_ = data.draw(st.permutations(names))[: data.draw(st.integers(1, 5))]
    before = {name: set(after[name]) for name in names}
    for middle in names:
        for one in before.values():
            if middle in one:
                one |= before[middle]
    assert mark(item, given_).score == pytest.approx(brute_longest(given_, before) / 5, abs=1e-6)


def test_distractors_cost_and_say_why(real: Bank) -> None:
    item = banks.item(
        type="order",
        blocks=[
            {"id": "a", "text": "A"}, {"id": "b", "text": "B"}, {"id": "c", "text": "C"},
            {"id": "x", "text": "X", "distractor": True, "pairs": "b", "why": "Not X."},
        ],
    )  # fmt: skip
    assert mark(item, ["a", "b", "c"]).score == 1
    got = mark(item, ["a", "x", "c"])
    assert got.score == pytest.approx(1 / 3, abs=1e-6)
    assert "Not X." in got.feedback
    assert mark(item, ["c", "b", "a"]).score == pytest.approx(1 / 3, abs=1e-6)
    for bad in ([], ["a", "a"], ["z"], "abc", None, [["a"]]):
        assert mark(item, bad).status is Status.INVALID
    for shuffle in range(30):
        assert (
            mark(item, [b.id for b in view(Item(item.question, item.variant, shuffle)).options if b.id != "x"]).score
            < 1
        )
    steps = real.question("lstm-step-order")
    assert steps is not None
    both = [["a", "split", "gates", "cand", "cell", "out"], ["a", "split", "cand", "gates", "cell", "out"]]
    assert [mark(Item(steps, steps.variants[0]), order).score for order in both] == [1, 1]


def test_right_sides_tell_nothing_about_the_pairing(real: Bank) -> None:
    question = real.question("symptom-cause")
    assert question is not None
    item = Item(question, question.variants[0], 3)
    seen = view(item)
    key = kind_of(item).keys(item)[0]
    texts = {o.id: o.text for o in seen.options}
    assert {left.id for left in seen.left} == set(key)
    assert texts[key["nan"]] == "no clipping, and gradients explode"
    assert len(seen.options) == 5
    assert mark(item, key).score == 1
    wrong = {**key, "zero": key["nan"]}
    got = mark(item, wrong)
    assert (got.score, got.note) == (0.75, "missed:zero")
    assert any("loss near zero" in said for said in got.feedback)
    for bad in ({}, {"nan": key["nan"]}, {**key, "extra": "r1"}, {**key, "nan": "r99"}, {**key, "nan": 1}, []):
        assert mark(item, bad).status is Status.INVALID


# --- cloze, matrix, free --------------------------------------------------------------------------------------------


def test_blanks_stay_in_the_prompt_and_are_marked_apart(real: Bank) -> None:
    question = real.question("gates-cloze")
    assert question is not None
    item = Item(question, question.variants[0])
    seen = view(item)
    assert [field.id for field in seen.fields] == ["lstm", "gru", "cell", "own"]
    assert all(f"{{{{{field.id}}}}}" in seen.prompt for field in seen.fields)
    key = {"lstm": "3", "gru": "2", "cell": "cell", "own": "none"}
    assert mark(item, key).score == 1
    assert mark(item, {**key, "lstm": "4"}).score == pytest.approx(0.875)
    assert mark(item, {**key, "cell": "hidden"}).score == 0.75
    assert mark(item, {**key, "cell": "memory cel"}).score == 1
    assert mark(item, {**key, "gru": "two"}).status is Status.INVALID
    assert mark(item, {"lstm": "3"}).status is Status.INVALID


CELL = {"type": "numeric", "label": "the cell", "answer": {"value": "f*2", "abs": 0.01}, "wrong": [{"value": 2}]}
STATE = {
    "type": "numeric", "answer": {"value": "0.5*tanh(f*2)", "abs": 0.01, "sigfigs": {"min": 2, "penalty": 0.2}},
    "ecf": "0.5*tanh(c)", "wrong": [{"value": "tanh(2)", "credit": 0.25}],
}  # fmt: skip
TWO = {"type": "cloze", "prompt": "{{c}} {{h}}", "params": {"f": {"choice": [0.9]}}}


def test_an_error_is_carried_forward() -> None:
    """Wrong once and right from there on loses the one blank; tolerance, digits and recognised answers stay."""
    item = banks.item(**TWO, fields={"c": CELL, "h": STATE})
    assert "0.5*tanh" not in json.dumps(view(item).as_dict())
    assert "counts as right" in view(item).rule
    for cell, state, score, note in [
        ("1.8", "0.47", 1, "key"),
        ("2", "0.485", 0.5, "c=wrong:2,h=carried"),  # 0.5 tanh(2) = 0.482
        ("0.5", "0.23", 0.5, "c=other,h=carried"),  # 0.5 tanh(0.5) = 0.231
        ("0.5", "0.25", 0, "c=other,h=other"),
        ("0.5", "0.964", 0.125, "c=other,h=wrong:tanh(2)"),
        ("1.8", "0.5", 0.5, "c=key,h=other"),
        ("1.8", ".47", 1, "key"),
        ("7", "0.5", 0.5, "c=other,h=carried"),
    ]:
        got = mark(item, {"c": cell, "h": state})
        assert (got.score, got.note) == (pytest.approx(score), note), (cell, state)
    said = mark(item, {"c": "0.5", "h": "0.23"}).feedback
    assert "h: right, going by what you gave for the cell." in said
    short = mark(item, {"c": "1.8", "h": "0.5e0"})
    assert short.score < 1  # digits too few are no error to be carried
    assert mark(item, {"c": "1e300", "h": "0.5"}).note == "c=other,h=carried"
    pole = banks.item(**TWO, fields={"c": CELL, "h": {**STATE, "ecf": "0.473403006423*0.8/(c-1)"}})
    assert mark(pole, {"c": "1", "h": "0.3"}).note == "c=other,h=other"  # divides by zero: nothing follows


def test_a_rule_for_carried_errors_is_checked() -> None:
    """It names earlier numbers, uses plain arithmetic, and leads from right numbers to the key."""
    for ecf, said in [
        ("0.5*tanh(h)", "names h"),
        ("0.5*tanh(f)", "names no blank"),
        ("sum([c, 1])", "cannot be carried forward"),
        ("c if c > 1 else 0", "cannot be carried forward"),
        ("c // 2", "cannot be carried forward"),
        ("0.4*tanh(c)", "the key is"),
    ]:
        _, findings = banks.read({**TWO, "fields": {"c": CELL, "h": {**STATE, "ecf": ecf}}})
        if not findings:
            one = banks.question(**TWO, fields={"c": CELL, "h": {**STATE, "ecf": ecf}})
            assert any(said in text for _, _, text in kind_of(Item(one, one.variants[0])).lint(one)), ecf
        else:
            assert any(said in str(finding) for finding in findings), (ecf, [str(one) for one in findings])


def test_matrices_earn_by_cell_and_transposes_are_told() -> None:
    item = banks.item(type="matrix", answer={"value": [[1, 2], [3, 4]], "abs": 0.01})
    assert mark(item, [["1", "2"], ["3", "4"]]).score == 1
    assert mark(item, "1 2; 3 5").score == 0.75
    assert mark(item, "1 3; 2 4").note == "transposed"
    assert mark(item, "1 2 3; 4 5 6").status is Status.INVALID
    vector = banks.item(type="matrix", answer={"value": [["n", "2*n"]], "rel": 0.01}, params={"n": {"choice": [3]}})
    assert mark(vector, "3\n6").score == 1
    assert mark(vector, "[3, 6]").score == 1


def test_free_answers_wait_or_are_judged_by_the_rubric(real: Bank) -> None:
    question = real.question("forget-bias-why")
    assert question is not None
    item = Item(question, question.variants[0])
    assert mark(item, "Because.").status is Status.UNDECIDED
    judged = mark(item, {"text": "Because.", "points": {"gate": 1, "product": 1}})
    assert (judged.status, judged.score) == (Status.PARTIAL, 0.4)
    assert mark(item, {"text": "x", "points": {"gate": 5}}).status is Status.INVALID
    assert mark(item, {"text": "x", "points": {"other": 1}}).status is Status.INVALID
    assert mark(item, "word " * 500).status is Status.INVALID


# --- code -----------------------------------------------------------------------------------------------------------

HANGS = "def clip(grads, c):\n    while True:\n        pass\n"
LIES = """
import numpy as np

class Liar(np.ndarray):
    def __eq__(self, other): return np.True_
    def __sub__(self, other): return np.zeros(1)

def clip(grads, c):
    return [np.zeros_like(g).view(Liar) for g in grads]
"""


def test_code_is_run_in_the_box(real: Bank, box: CodeBox) -> None:
    question = real.question("clip-code")
    assert question is not None
    item = Item(question, question.variants[0])
    kind = kind_of(item)
    for source in kind.keys(item):
        assert mark(item, source, box).score == 1
    for expected in kind.wrong_responses(item):
        got = mark(item, expected.response, box)
        assert got.status in (Status.WRONG, Status.PARTIAL)
        if expected.misconception:
            assert got.misconceptions == (expected.misconception,)
    assert mark(item, "def clip(grads, c):\n    return grads\n", box).score == pytest.approx(2 / 3, abs=1e-6)
    assert mark(item, "def clip(grads, c):\n    raise ValueError\n", box).score == 0
    assert mark(item, "x = 1", box).score == 0
    assert mark(item, LIES, box).score < 0.5
    assert mark(item, kind.keys(item)[0]).note == "no-box"
    for bad in ("", view(item).starter, "def clip(", "\0", 5, None, "#" * 30_000):
        assert mark(item, bad, box).status is Status.INVALID


def test_code_that_hangs_costs_its_time_and_no_more(real: Bank, box: CodeBox) -> None:
    import time

    question = real.question("clip-code")
    assert question is not None
    started = time.monotonic()
    got = mark(Item(question, question.variants[0]), HANGS, box)
    assert got.status is Status.WRONG
    assert time.monotonic() - started < 60


# --- everything -----------------------------------------------------------------------------------------------------


def test_every_key_and_every_recognised_answer_of_the_real_bank(real: Bank) -> None:
    for question in real.questions:
        if question.type == "code":
            continue
        for variant in question.variants:
            item = Item(question, variant)
            kind = kind_of(item)
            for key in kind.keys(item):
                assert mark(item, key).score == 1, (item.name, key)
            for expected in kind.wrong_responses(item):
                got = mark(item, expected.response)
                assert got.status is expected.status, (item.name, expected, got)
                assert expected.misconception in (None, *got.misconceptions)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(JSON, st.integers(0, 10**6))
def test_no_response_breaks_the_marking(response: Any, seed: int) -> None:
    bank = load_bank(_course(), "foundations")
    for item in items(bank, seed, n=4):
        got = mark(item, response)
        assert 0 <= got.score <= 1
        assert (got.status is Status.RIGHT) == (got.score == 1)
        json.dumps(got.as_dict())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_response_of_the_right_form_breaks_the_marking(data: st.DataObject) -> None:
    bank = load_bank(_course(), "foundations")
    item = items(bank, data.draw(st.integers(0, 10**6)), n=1)[0]
    seen = view(item)
    text = st.text(alphabet="0123456789.,()[]xWhδ*^T -+eE/%", max_size=15)
    ids = st.sampled_from([o.id for o in seen.options] or ["x"])
    form = {
        "text": text,
        "option": ids,
        "options": st.lists(ids),
        "order": st.lists(ids, unique=True),
        "match": st.fixed_dictionaries({left.id: ids for left in seen.left}),
        "fields": st.fixed_dictionaries({f.id: text for f in seen.fields}),
        "matrix": st.lists(st.lists(text, min_size=2, max_size=2), min_size=2, max_size=2),
        "code": text,
        "essay": text,
    }[seen.kind]
    got = mark(item, data.draw(form))
    assert 0 <= got.score <= 1


def _course() -> Any:
    from grader.course.catalog import Course

    return Course(banks.ROOT, banks.ROOT / ".grader")


def test_hints_cost_and_never_turn_a_mark() -> None:
    item = banks.item(
        type="numeric",
        answer={"value": 5, "exact": True},
        hints=[{"text": "A", "cost": 0.3}, {"text": "B", "cost": 0.9}],
    )
    right = mark(item, "5")
    assert [with_hints(right, item, used).score for used in (0, 1, 2, 9)] == [1, 0.7, 0, 0]
    assert with_hints(right, item, 1).status is Status.RIGHT
    assert with_hints(mark(item, "4"), item, 2).score == 0
    assert with_hints(mark(item, "x"), item, 2).status is Status.INVALID


def test_scores_are_cut_and_named() -> None:
    assert [graded(s, "x").status for s in (-1, 0, 0.5, 1, 2)] == [
        Status.WRONG, Status.WRONG, Status.PARTIAL, Status.RIGHT, Status.RIGHT,
    ]  # fmt: skip


def test_what_cannot_be_read_is_quoted_as_it_was_written(real: Bank) -> None:
    question = next(q for q in real.questions if q.type == "expression" and "W_hh" in str(q.spec))
    item = item_of(real, question.id, question.variants[0].number, 0)
    told = mark(item, "W_hh delta delta").feedback[0]
    assert told.startswith("Cannot multiply (H, 1) by (H, 1)")
    assert "`W_hh delta delta`" in told
