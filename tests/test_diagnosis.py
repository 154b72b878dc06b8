"""Diagnosis by evidence: what counts as the same answer, the cover rule, comparisons, and real mutants of bptt."""

from __future__ import annotations

import ast
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grader.checking import evidence
from grader.checking.catalogue import from_bytes, to_bytes, write
from grader.checking.compare import CheckFailed, close, note, observe, require, scaled_error
from grader.checking.diagnosis import Evidence, Explanation, Fingerprint, explain, is_strong, same_answers
from grader.checking.evidence import agree, has_telling_number
from grader.checking.report import Report
from grader.course.catalog import Course
from grader.course.mutants import Mutant, apply_mutant, load_mutants
from grader.errors import CourseError
from grader.grading.engine import examine, hidden_examination

# --- the same answer -------------------------------------------------------------------------------------------------


def test_float64_answers_agree_within_a_millionth():
    """Two float64 computations agree up to 1e-6 of the scaled error, not beyond."""
    a = np.array([3.0, -4.0])
    for factor, same in ((0.0, True), (0.99, True), (1.02, False)):
        b = a + np.array([0.0, factor * 1e-6 * 8.0])
        assert agree(a, b) is same
        assert agree(b, a) is same


@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_float32_answers_agree_within_a_ten_thousandth(which):
    """Where either side is float32, 1e-4 is close enough, and no more."""
    a = np.array([3.0, -4.0])
    for factor, same in ((0.95, True), (1.05, False)):
        b = a + np.array([0.0, factor * 1e-4 * 8.0])
        x = a.astype(np.float32) if which != "second" else a
        y = b.astype(np.float32) if which != "first" else b
        assert agree(x, y) is same


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_agrees_with_nothing(strange):
    """NaN and infinity agree with nothing, themselves included, wherever they stand."""
    for value in (strange, np.array([1.0, strange]), [1.0, {"a": strange}], complex(strange, 0)):
        assert not agree(value, value)
        assert not agree(value, 1.0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(1), 0.0),
        ([1.0, 2.0], np.array([1.0, 2.0])),
        ([1.0, 2.0], [1.0, 2.0, 3.0]),
        ({"a": 1.0}, {"b": 1.0}),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0}),
        ({"a": 1.0}, [("a", 1.0)]),
        ("text", "another text"),
        (1.0, "1.0"),
        (None, 0.0),
        (None, False),
        (np.array(["a"]), np.array(["a"])),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_other_structure_is_another_answer(a, b):
    """Another shape, length, set of keys or kind is never the same answer."""
    assert not agree(a, b)
    assert not agree(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((1.0, 2.0), [1.0, 2.0]),
        (1, 1.0),
        (np.float64(0.5), 0.5),
        (np.array(0.5), 0.5),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.zeros(4), np.zeros(4)),
        (np.array([True, False]), np.array([True, False])),
        (None, None),
        ("text", "text"),
        ({"a": [1.0, None]}, {"a": (1.0, None)}),
        (1 + 2j, np.complex128(1 + 2j)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_the_same_answer_in_other_clothes(a, b):
    """A list is a tuple; numbers, numpy scalars and 0-d arrays are one kind."""
    assert agree(a, b)
    assert agree(b, a)


FINITE = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(arrays.arrays(np.float64, arrays.array_shapes(max_dims=3, max_side=4), elements=FINITE), st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_agreement_is_reflexive_and_does_not_depend_on_the_scale(values, scale):
    """An answer agrees with itself; multiplying both sides changes nothing."""
    assert agree(values, values.copy())
    shifted = values + 1e-2 * np.abs(values).max()
    assert agree(values, shifted) == agree(values * scale, shifted * scale)
    if values.any():
        assert not agree(values, shifted)


# --- the cover rule --------------------------------------------------------------------------------------------------


def saw(*values: float, strong: bool = True) -> Evidence:
    """Return the evidence of a check that looked at these numbers."""
    return Evidence([("got", np.array(values))], strong)


def mutant(name: str, failing: Mapping[str, Evidence], belief: str | None = None) -> Fingerprint:
    """Return a mutant's fingerprint."""
    return Fingerprint(name, belief or f"belief-{name}", f"hint of {name}", failing)


def told(explanations: list[Explanation]) -> list[tuple[str, tuple[str, ...]]]:
    """Return who was told for which checks."""
    return [(e.mutant, e.checks) for e in explanations]


def test_rule_1_the_same_observations_in_the_same_order():
    """Checks agree where names, number, order and values of what was looked at are the same."""
    first, second = ("a", np.array([2.0])), ("b", np.array([3.0]))
    full = Evidence([first, second], True)
    assert same_answers(full, Evidence([("a", np.array([2.0])), ("b", np.array([3.0]))], False))
    for other in ([first], [second, first], [("b", first[1]), ("a", second[1])], [first, ("b", np.array([3.1]))]):
        assert not same_answers(full, Evidence(other, True))
    assert not same_answers(Evidence([], True), Evidence([], True)), "who looked at nothing agrees with nobody"


def test_rule_2_every_check_that_the_mutant_fails():
    """A mutant is supported only where the submission fails, in the same way, all that the mutant fails."""
    one = mutant("one", {"x": saw(2), "y": saw(3)})
    assert told(explain({"x": saw(2), "y": saw(3)}, [one])) == [("one", ("x", "y"))]
    assert explain({"x": saw(2)}, [one]) == [], "y passed"
    assert explain({"x": saw(2), "y": saw(3.5)}, [one]) == [], "y failed in another way"
    assert explain({}, [one]) == []


def test_rule_3_strong_evidence():
    """At least one agreeing failure must be strong in the submission itself."""
    weak = {"x": saw(2, strong=False), "y": saw(3, strong=False)}
    one = mutant("one", {"x": saw(2), "y": saw(3)})
    assert explain(weak, [one]) == []
    assert told(explain({**weak, "y": saw(3)}, [one])) == [("one", ("x", "y"))]
    # the strength of another failure is no help
    assert explain({**weak, "z": saw(4)}, [one, mutant("two", {"z": saw(4)})]) == []


def test_rule_4_a_smaller_explanation_is_dropped():
    """Where one footprint lies inside another, the larger one says the same and more."""
    small, large = mutant("small", {"x": saw(2)}), mutant("large", {"x": saw(2), "y": saw(3)})
    for order in ([small, large], [large, small]):
        assert told(explain({"x": saw(2), "y": saw(3)}, order)) == [("large", ("x", "y"))]
    assert told(explain({"x": saw(2)}, [small, large])) == [("small", ("x",))]


def test_rule_4_overlapping_explanations_are_dropped():
    """Two that overlap without one holding the other cannot both be right: silence, even if a third is certain."""
    one, two = mutant("one", {"x": saw(2), "y": saw(3)}), mutant("two", {"y": saw(3), "z": saw(4)})
    third = mutant("third", {"w": saw(5)})
    failing = {"x": saw(2), "y": saw(3), "z": saw(4)}
    assert explain(failing, [one, two]) == []
    assert explain({**failing, "w": saw(5)}, [one, two, third]) == []


def test_rule_4_equal_footprints():
    """Two beliefs that answer the same are told apart by nothing: silence. One belief twice is told once."""
    failing = {"x": saw(2)}
    one, two = mutant("one", {"x": saw(2)}), mutant("two", {"x": saw(2)})
    assert explain(failing, [one, two]) == []
    again = mutant("again", {"x": saw(2)}, belief="belief-one")
    assert told(explain(failing, [one, again])) == [("one", ("x",))]
    assert explain(failing, [one, again, two]) == []


def test_rule_5_all_or_nothing():
    """Hints are shown only where together they explain every failing check."""
    one, two = mutant("one", {"x": saw(2)}), mutant("two", {"y": saw(3), "z": saw(4)})
    failing = {"x": saw(2), "y": saw(3), "z": saw(4)}
    assert told(explain(failing, [one, two])) == [("one", ("x",)), ("two", ("y", "z"))]
    assert explain({**failing, "w": saw(9)}, [one, two]) == []
    assert explain(failing, [one]) == []


def test_what_was_not_attempted_takes_no_part():
    """A half-written submission is told what is wrong with the written half; on its other half nothing is held."""
    one = mutant("one", {"x": saw(2), "y": saw(3)})
    assert told(explain({"x": saw(2)}, [one], frozenset({"y"}))) == [("one", ("x",))]
    assert explain({"x": saw(2), "z": saw(7)}, [one], frozenset({"y"})) == []
    nowhere = mutant("nowhere", {"y": saw(3)})
    assert explain({}, [nowhere], frozenset({"y"})) == []
    assert explain({"x": saw(2)}, [nowhere], frozenset({"y"})) == []


def test_the_hint_comes_with_its_belief():
    """An explanation carries what is told: the mutant, its belief and its hint."""
    (found,) = explain({"x": saw(2)}, [mutant("one", {"x": saw(2)})])
    assert (found.mutant, found.misconception, found.hint) == ("one", "belief-one", "hint of one")


CHECKS = [f"test_{name}" for name in "abcde"]
# few values, so that coincidences are frequent
FAILURES = st.dictionaries(st.sampled_from(CHECKS), st.builds(saw, st.integers(2, 4), strong=st.booleans()))
CATALOGUES = st.lists(
    st.tuples(FAILURES.filter(bool), st.sampled_from(["p", "q", "r"])), max_size=7
).map(lambda drawn: [mutant(f"m{n}", failing, belief) for n, (failing, belief) in enumerate(drawn)])  # fmt: skip


@given(FAILURES, CATALOGUES, st.frozensets(st.sampled_from(CHECKS), max_size=2))
@settings(max_examples=200, deadline=None)
def test_the_cover_rule_on_any_catalogue(failing, catalogue, absent):
    """Whatever the catalogue: what is told is supported, disjoint, certain, complete, and all that can be told."""
    failing = {check: found for check, found in failing.items() if check not in absent}
    found = explain(failing, catalogue, absent)

    # said again in sets: the largest supported footprints, told where no other belief and no other footprint competes
    supported = {}
    for one in catalogue:
        footprint = one.footprint - absent
        agrees = footprint <= failing.keys() and all(same_answers(failing[c], one.failing[c]) for c in footprint)
        if footprint and agrees and any(failing[c].strong for c in footprint):
            supported.setdefault(footprint, []).append(one)
    largest = {f for f in supported if not any(f < other for other in supported)}
    certain = {
        f
        for f in largest
        if len({one.misconception for one in supported[f]}) == 1 and not any(f & g for g in largest if g != f)
    }
    covered = frozenset().union(*certain)
    expected = certain if covered == failing.keys() else set()
    assert {frozenset(e.checks) for e in found} == expected
    assert len(found) == len(expected)
    for one in found:
        assert one.misconception == supported[frozenset(one.checks)][0].misconception
        assert set(one.checks) <= failing.keys(), "no hint points to a check that passed"


@given(FAILURES, CATALOGUES, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_catalogue_does_not_matter(failing, catalogue, random):
    """The same beliefs are told for the same checks in whatever order the mutants stand."""
    shuffled = list(catalogue)
    random.shuffle(shuffled)
    assert {(e.misconception, e.checks) for e in explain(failing, catalogue)} == {
        (e.misconception, e.checks) for e in explain(failing, shuffled)
    }


@given(st.lists(st.frozensets(st.sampled_from(CHECKS), min_size=1), min_size=2, max_size=6), st.data())
@settings(max_examples=60, deadline=None)
def test_a_true_mutant_that_is_missing_is_met_with_silence(footprints, data):
    """Where every mutant answers in its own way, removing the true one leaves nothing to tell; two bugs tell both."""
    catalogue = [
        mutant(f"m{n}", {check: saw(2 + n, 10 + CHECKS.index(check)) for check in footprint})
        for n, footprint in enumerate(footprints)
    ]
    true = data.draw(st.sampled_from(catalogue))
    others = [one for one in catalogue if one is not true]
    assert told(explain(true.failing, catalogue)) == [(true.mutant, tuple(sorted(true.footprint)))]
    assert explain(true.failing, others) == []
    other = data.draw(st.sampled_from(others))
    if not other.footprint & true.footprint:
        both = explain({**true.failing, **other.failing}, catalogue)
        assert {e.mutant for e in both} == {true.mutant, other.mutant}
        assert explain({**true.failing, **other.failing}, others) == []


# --- recording -------------------------------------------------------------------------------------------------------


@pytest.fixture
def record() -> evidence.Record:
    """Start the record of a check."""
    return evidence.begin()


def refused(got, want, **options) -> str:
    """Return the fact that a comparison fails with."""
    with pytest.raises(CheckFailed) as failure:
        close(got, want, **options)
    return failure.value.fact


ARRAY = np.array([[1.5, -2.5, 3.5]])


@pytest.mark.parametrize(
    ("got", "want", "words"),
    [
        (1.5, ARRAY, "a number was returned where an array"),
        (np.array(1.5), ARRAY, "a number was returned where an array"),
        (np.float64(1.5), ARRAY, "a number was returned where an array"),
        ([[1.5, -2.5, 3.5]], ARRAY, "a list of 1 was returned where an array is asked"),
        (((1.5, -2.5, 3.5),), ARRAY, "a tuple of 1 was returned where an array is asked"),
        (None, ARRAY, "None was returned where an array is asked"),
        ("1.5", ARRAY, "a string was returned where an array is asked"),
        ({"got": ARRAY}, ARRAY, "a dict of 1 was returned where an array is asked"),
        (True, 1.0, "a bool was returned where a number is asked"),
        (None, 1.0, "None was returned where a number is asked"),
        ([1.0], 1.0, "a list of 1 was returned where a number is asked"),
        (np.array([1.0]), 1.0, "wrong shape: (1,) where () is asked"),
        (ARRAY[0], ARRAY, "wrong shape: (3,) where (1, 3) is asked"),
        (ARRAY.T, ARRAY, "wrong shape: (3, 1) where (1, 3) is asked"),
        (np.broadcast_to(ARRAY, (2, 3)), ARRAY, "wrong shape: (2, 3)"),
        (np.zeros((0, 3)), ARRAY, "wrong shape: (0, 3)"),
        (ARRAY.astype(complex), ARRAY, "complex128 were returned where real numbers are asked"),
        (ARRAY > 0, ARRAY, "bool were returned where real numbers are asked"),
        (np.array([["a", "b", "c"]]), ARRAY, "were returned where real numbers are asked"),
        (ARRAY.astype(object), ARRAY, "object were returned where real numbers are asked"),
        (np.array([["2020", "2021", "2022"]], dtype="M8[Y]"), ARRAY, "where real numbers are asked"),
        (ARRAY * np.nan, ARRAY, "not finite: it holds NaN"),
        (np.array([[1.5, np.inf, 3.5]]), ARRAY, "not finite: it holds infinity"),
        (float("nan"), 1.0, "not finite: it holds NaN"),
        (-float("inf"), 1.0, "not finite: it holds infinity"),
        (0.0 * ARRAY, ARRAY, "all zeros were returned"),
        (-ARRAY, ARRAY, "right but for their sign"),
        (2.5 * ARRAY, ARRAY, "off by a constant factor of 2.5"),
        (0.999 * ARRAY, ARRAY, "off by a constant factor of 0.999"),
        (1.0004 * ARRAY, ARRAY, "of 3 values are wrong"),
        (np.arange(9.0).reshape(3, 3).T, np.arange(9.0).reshape(3, 3), "right but transposed"),
        (ARRAY + np.array([[0, 1, 0]]), ARRAY, "1 of 3 values are wrong"),
        (ARRAY**2, ARRAY, "the values are wrong"),
        (2.0, 1.0, "the values are wrong"),
    ],
)
def test_close_refuses_with_a_plain_fact(record, got, want, words):
    """What is no right answer is refused in words; only a finite, right-shaped one of these numbers is strong."""
    assert words in refused(got, want)
    assert record.judged
    right_shaped = isinstance(got, float | np.ndarray) and np.shape(got) == np.shape(want)
    finite = right_shaped and np.asarray(got).dtype.kind == "f" and bool(np.isfinite(got).all())
    assert record.strong is (finite and words != "all zeros were returned")


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (ARRAY, ARRAY),
        (ARRAY.astype(np.float32), ARRAY),
        (ARRAY.astype(np.float16), ARRAY),
        (np.asfortranarray(ARRAY), ARRAY),
        (np.array([[1, 2, 3]]), np.array([[1.0, 2.0, 3.0]])),
        (np.array([[1, 2, 3]], dtype=np.uint8), np.array([[1.0, 2.0, 3.0]])),
        (1, 1.0),
        (1.0, 1),
        (np.float32(0.5), 0.5),
        (np.array(0.5), 0.5),
        (0.5, np.float64(0.5)),
        (np.array([True, False]), np.array([True, False])),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.zeros(3), np.zeros(3)),
        (0.0, 0.0),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_close_takes_every_kind_of_right_answer(record, got, want):
    """Any float width, integers, 0-d arrays, numpy scalars and floats are right answers where their values are."""
    close(got, want)
    assert len(record.items) == 1
    assert record.margins == [(0.0, 1e-4)]
    assert not record.judged
    assert not record.strong


def test_close_reads_tensors(record):
    """A tensor is an array, also one that wants a gradient."""
    torch = pytest.importorskip("torch")
    close(torch.tensor([1.5, 2.5], requires_grad=True), np.array([1.5, 2.5]))
    close(np.array([1.5, 2.5]), torch.tensor([1.5, 2.5], dtype=torch.float64))
    assert "wrong shape: (2,) where (1, 2)" in refused(torch.tensor([1.5, 2.5]), torch.tensor([[1.5, 2.5]]))
    assert all(isinstance(value, np.ndarray) for _, value in record.items)


@pytest.mark.parametrize("tol", [1e-4, 1e-9, 0.02])
def test_close_holds_its_tolerance_on_both_sides(record, tol):
    """The scaled error decides: just inside passes, just outside fails, whatever the size of the numbers."""
    for size in (1e-8, 1.0, 1e8):
        want = size * np.array([1.0, -3.0])
        # max|got - want| / max(|got| + |want|) for a shift d of the larger entry is d / (2 * 3 - d)
        edge = 6 * tol / (1 + tol) * size
        close(want + np.array([0.0, 0.999 * edge]), want, tol)
        refused(want + np.array([0.0, 1.001 * edge]), want, tol=tol)
        error, used = record.margins[-1]
        assert used == tol
        assert error == pytest.approx(1.001 * tol, rel=1e-3)


def test_scale_is_a_floor_for_answers_near_zero(record):
    """Where the right answer may be zero, `scale` says how large an error counts; else any difference fails."""
    want, got = np.zeros(3), np.full(3, 1e-9)
    assert refused(got, want) == "the values are wrong"
    close(got, want, scale=1.0)
    refused(got, want, scale=1e-6)
    refused(np.full(3, 1e-3), want, scale=1.0)
    # a floor below the numbers' own size changes nothing
    assert scaled_error([1.0], [1.1], 1e-3) == scaled_error([1.0], [1.1])


def test_a_wrong_oracle_is_no_fault_of_the_student(record):
    """An expected value that is not finite is an error of the suite, never a failed check."""
    with pytest.raises(ValueError, match="expected value"):
        close(np.array([1.0]), np.array([np.nan]))
    # but a student's own NaN comes first
    assert "NaN" in refused(np.array([np.nan]), np.array([np.nan]))


@given(arrays.arrays(np.float64, (2, 3), elements=FINITE), st.floats(-1, 1).filter(lambda x: abs(x) > 1e-2))
@settings(max_examples=50, deadline=None)
def test_scaled_error_is_symmetric_and_scale_free(values, factor):
    """The error does not depend on which side is which, nor on a common factor."""
    other = values + 0.1
    assert scaled_error(values, other) == scaled_error(other, values)
    assert scaled_error(values * factor, other * factor) == pytest.approx(scaled_error(values, other), rel=1e-9)
    assert scaled_error(values, values) == 0.0
    assert scaled_error(np.array([np.nan]), np.array([1.0])) == float("inf")


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_zeros_and_ones_alone_are_weak(record, value):
    """A wrong answer of zeros and ones may come from anywhere: it earns no hint."""
    refused(np.full(3, value), np.array([0.2, 0.3, 0.4]))
    assert not record.strong
    refused(np.array([value, value, 0.7]), np.array([0.2, 0.3, 0.4]))
    assert record.strong


def test_what_is_right_makes_no_evidence_strong(record):
    """Only the entries that are wrong count: right ones beside wrong zeros are no evidence of a belief."""
    want = np.array([0.25, 0.5, 0.75])
    refused(np.array([0.25, 0.0, 0.75]), want)
    assert not record.strong


def test_strength_without_a_comparison_is_in_what_was_observed(record):
    """A check that fails by a requirement has the strength of what it observed; a comparison decides otherwise."""
    observe("h", np.array([0.0, 1.0]))
    with pytest.raises(CheckFailed, match="too large"):
        require(False, "too large")
    assert not is_strong(record.strong, record.judged, record.items)
    observe("h", [{"deep": np.array([0.3])}])
    assert is_strong(record.strong, record.judged, record.items)
    refused(np.zeros(2), np.array([0.5, 0.6]))
    assert not is_strong(record.strong, record.judged, record.items)
    close(np.array([0.5]), np.array([0.5]))
    assert is_strong(record.strong, record.judged, record.items), "a comparison that holds decides nothing"
    assert not has_telling_number([("a", "0.5"), ("b", None), ("c", True), ("d", float("nan"))])


def test_what_is_recorded_is_a_copy(record):
    """Evidence stays what it was when it was looked at; notes are kept in order."""
    values = np.array([1.0, 2.0])
    observe("h", values)
    values[:] = 7
    assert agree(record.items[0][1], np.array([1.0, 2.0]))
    note("first")
    note("second")
    assert record.notes == ["first", "second"]


def test_a_flood_of_evidence_is_bounded(record):
    """A student decides how much comes back: what has no room becomes NaN, which agrees with nothing."""
    for _ in range(20):
        observe("big", np.zeros(1 << 16))
    observe("long", "x" * 10_000)
    observe("many", list(range(100_000)))
    kept = [value for _, value in record.items if isinstance(value, np.ndarray)]
    assert 0 < len(kept) < 20
    assert sum(value.nbytes for value in kept) <= evidence.ROOM
    lost = [value for _, value in record.items if not isinstance(value, np.ndarray)]
    assert lost
    assert not any(agree(value, value) for value in lost)
    assert evidence.begin().room == evidence.ROOM


# --- the catalogue ---------------------------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(-1e300, 1e300),
    st.text(max_size=5),
    arrays.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        elements={"min_value": -(2.0**40), "max_value": 2.0**40} | {"allow_nan": False},
    ),
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
ITEMS = st.lists(st.tuples(st.text(min_size=1, max_size=5), VALUES), max_size=3)
PRINTS = st.builds(
    Fingerprint,
    st.text(min_size=1),
    st.text(min_size=1),
    st.text(),
    st.dictionaries(st.sampled_from(CHECKS), st.builds(Evidence, ITEMS, st.booleans())),
)


@given(st.lists(PRINTS, max_size=4), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
@settings(max_examples=60, deadline=None)
def test_catalogue_comes_back_as_it_went(fingerprints, about):
    """What is written is read back: ids, hints, checks, strength, and values with their dtype; the same bytes again."""
    content = to_bytes(fingerprints, about)
    back, said = from_bytes(content, Path("catalogue.npz"))
    assert said == about
    assert [(f.mutant, f.misconception, f.hint) for f in back] == [
        (f.mutant, f.misconception, f.hint) for f in fingerprints
    ]
    for before, after in zip(fingerprints, back, strict=True):
        assert before.footprint == after.footprint
        for check, found in before.failing.items():
            assert after.failing[check].strong == found.strong
            assert not found.items or same_answers(found, after.failing[check])
    assert to_bytes(back, said) == content


def test_catalogue_does_not_depend_on_the_clock(monkeypatch):
    """The same answers give the same bytes on another day, and in whatever order the checks ran."""
    one = [mutant("one", {"x": saw(2), "y": saw(3)})]
    content = to_bytes(one, {"seed": "a"})
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert to_bytes(one, {"seed": "a"}) == content
    assert to_bytes([mutant("one", {"y": saw(3), "x": saw(2)})], {"seed": "a"}) == content
    assert to_bytes(one, {"seed": "b"}) != content


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"not a zip at all" * 10,
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
    ],
    ids=["empty", "garbage", "half", "cut"],
)
def test_damaged_catalogue_is_an_error_of_the_course(damage, tmp_path):
    """A damaged file is named and says what to do; it is never half-believed."""
    content = to_bytes([mutant("one", {"x": saw(2)})], {})
    with pytest.raises(CourseError, match="Delete the file") as error:
        from_bytes(damage(content), tmp_path / "catalogue.npz")
    assert str(tmp_path / "catalogue.npz") in str(error.value)


def test_catalogue_never_unpickles(tmp_path):
    """An array of objects, which only pickle can read, is refused."""
    place = tmp_path / "catalogue.npz"
    hostile = np.array([print], dtype=object)
    np.savez(place, index=hostile, sizes=hostile, data=hostile)
    with pytest.raises(CourseError):
        from_bytes(place.read_bytes(), place)


def test_catalogue_is_written_whole(tmp_path):
    """Writing makes its folder, replaces what was there, and leaves no draft behind."""
    place = tmp_path / "cache" / "catalogue.npz"
    write(place, b"one")
    write(place, b"other")
    assert place.read_bytes() == b"other"
    assert list(place.parent.iterdir()) == [place]


# --- the real thing: bptt --------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]
EVERY = 1 if "UNROLLED_FULL" in os.environ else 10  # each mutant costs half a second

STYLE = """
import numpy as np

def _times(a, b):
    return np.einsum("ij,jk->ik", a, b)

def _power(a, n):
    return a * a if n == 2 else a**n

def _squash(a):
    return 2.0 / (1.0 + np.exp(-2.0 * a)) - 1.0
"""


class _Restyled(ast.NodeTransformer):
    """Write products, squares and tanh in another way, which rounds differently."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        own = {ast.MatMult: "_times", ast.Pow: "_power"}.get(type(node.op))
        return ast.Call(ast.Name(own, ast.Load()), [node.left, node.right], []) if own else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if node.attr == "T":
            return ast.Call(ast.Attribute(ast.Name("np", ast.Load()), "transpose", ast.Load()), [node.value], [])
        return ast.Name("_squash", ast.Load()) if node.attr == "tanh" else node


def restyled(source: str) -> str:
    """Return a program that computes the same in another style."""
    return STYLE + ast.unparse(ast.fix_missing_locations(_Restyled().visit(ast.parse(source))))


def function_of(one: Mutant, reference: str) -> str | None:
    """Return the one function of the reference that a mutant's patches lie in; None where they are in several."""
    found = set()
    for patch in one.patches:
        line = reference[: reference.index(patch.find)].count("\n") + 1
        line += len(patch.find) - len(patch.find.lstrip("\n"))
        for node in ast.parse(reference).body:
            if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0):
                found.add(node.name)
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Examined:
    """Reports on variations of the mutants of bptt, and the catalogue that they were held against."""

    catalogue: list[Fingerprint]
    restyled: dict[str, Report]
    doubles: dict[tuple[str, str], Report]
    belief: dict[str, str]


@pytest.fixture(scope="module")
def bptt(tmp_path_factory) -> Examined:
    """Examine mutants of bptt in another style, and pairs of mutants, in one go."""
    root = tmp_path_factory.mktemp("bptt")
    for name in ("assignments/bptt", "solutions/bptt"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "assignments" / "misconceptions.yaml", root / "assignments")
    listing = root / "solutions" / "bptt" / "mutants.yaml"
    listed = yaml.safe_load(listing.read_text(encoding="utf-8"))
    listed["mutants"] = listed["mutants"][::EVERY]
    listing.write_text(yaml.safe_dump(listed), encoding="utf-8")
    assignment = Course(root, root / "state").assignment("bptt")
    reference = (assignment.secret / assignment.module).read_text(encoding="utf-8")
    mutants = [m for m in load_mutants(assignment) if not m.facts_only]

    half = len(mutants) // 2
    pairs = [
        (one, other)
        for one, other in zip(mutants, mutants[half:] + mutants[:half], strict=True)
        if None not in (spots := (function_of(one, reference), function_of(other, reference))) and len(set(spots)) == 2
    ][: 20 if EVERY == 1 else 10]
    sources = {m.id: restyled(apply_mutant(m, reference)) for m in mutants}
    sources |= {
        (one.id, other.id): apply_mutant(replace(one, patches=one.patches + other.patches), reference)
        for one, other in pairs
    }
    examination = hidden_examination(Course(root, root / "state"), assignment, seed=11)
    jobs = [
        {"number": n, "submission": {"student": "s001", "chunks": [["bptt.py", source]]}}
        for n, source in enumerate(sources.values())
    ]
    reports = dict(zip(sources, (e.report for e in examine(examination, jobs, parallel=2)), strict=True))
    return Examined(
        from_bytes(examination.catalogue.read_bytes(), examination.catalogue)[0],
        {name: report for name, report in reports.items() if isinstance(name, str)},
        {name: report for name, report in reports.items() if isinstance(name, tuple)},
        {m.id: m.misconception for m in mutants},
    )


def test_a_mistake_in_another_style_is_told_as_itself(bptt):
    """Rewritten mutants are told their own belief, nearly all of them, and none is told another's."""
    own = 0
    for name, report in bptt.restyled.items():
        beliefs = {hint[1] for hint in report.diagnosis.hints}
        assert beliefs <= {bptt.belief[name]}, name
        own += bool(beliefs)
    assert len(bptt.restyled) >= 10
    assert own / len(bptt.restyled) >= 0.9, f"{own} of {len(bptt.restyled)}"


def test_two_mistakes_are_told_both_or_none(bptt):
    """Two bugs in different functions get both hints or silence, never one of them, never a third."""
    both = 0
    for (one, other), report in bptt.doubles.items():
        beliefs = {hint[1] for hint in report.diagnosis.hints}
        assert beliefs in (set(), {bptt.belief[one], bptt.belief[other]}), (one, other)
        both += bool(beliefs)
    assert len(bptt.doubles) >= 6
    assert both / len(bptt.doubles) >= 0.5, f"{both} of {len(bptt.doubles)}"


def test_without_the_true_mutant_there_is_silence(bptt):
    """Where a student's mistake is not in the catalogue, the hidden suite's evidence leads to no hint at all."""
    assert len(bptt.catalogue) >= 10
    for true in bptt.catalogue:
        assert {e.misconception for e in explain(true.failing, bptt.catalogue)} == {true.misconception}
        others = [one for one in bptt.catalogue if one is not true]
        assert {e.misconception for e in explain(true.failing, others)} <= {true.misconception}, true.mutant


def test_preview_tells_no_mutant_the_hint_of_another():
    """On the public inputs too, whoever answers as a mutant is told that mutant's belief, or nothing."""
    place = ROOT / "assignments" / "bptt" / "preview.npz"
    catalogue, _ = from_bytes(place.read_bytes(), place)
    told_own = 0
    for true in catalogue:
        beliefs = {e.misconception for e in explain(true.failing, catalogue)}
        assert beliefs <= {true.misconception}, true.mutant
        told_own += bool(beliefs)
    assert told_own / len(catalogue) > 0.9
