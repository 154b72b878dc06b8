"""Checks that train have a budget of their own and no say in the diagnosis; figures show what a student's code did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Grader, TinyCourse

pytest.importorskip("matplotlib", reason="figures need matplotlib")

TRAINING = '''

@pytest.mark.part("run")
@pytest.mark.points(0)
@pytest.mark.training
@pytest.mark.kept("it trains")
def test_long_run(student, rng):
    """run over a long sequence takes its time."""
    with student.limit(cpu_seconds=60):
        xs = rng.normal(size=50)
        states = student.run(xs, 0.5, 0.5)
    observe("figure:states", states)
    require(abs(states[0] - 0.25 - 0.5 * xs[0]) < 1e-9, "the long run is wrong")
'''

DRAWING = '''"""Figures of the tiny assignment."""


def figures(observations):
    """Draw the states."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot(observations["states"])
    axes.set_title("states")
    return {"states": figure}
'''

SLOW = """

_run = run


def run(xs, h0, a):
    import time

    if len(xs) == 50:
        end = time.process_time() + 3
        while time.process_time() < end:
            pass
    return _run(xs, h0, a)
"""


@pytest.fixture
def trained(tiny: TinyCourse) -> TinyCourse:
    """The tiny course with a check that trains and a drawing."""
    suite = tiny.secret / "test_hidden.py"
    text = suite.read_text(encoding="utf-8")
    suite.write_text(text.replace("import close", "import close, observe, require") + TRAINING, encoding="utf-8")
    (tiny.secret / "figures.py").write_text(DRAWING, encoding="utf-8")
    return tiny


def checks_of(told: object) -> dict[str, dict[str, dict[str, object]]]:
    return {r["student"]: {c["id"]: c for c in r["checks"]} for r in told.objects}  # type: ignore[attr-defined]


def test_training_has_its_own_budget(trained: TinyCourse, inside: Grader, tmp_path: Path) -> None:
    """Three seconds are too much for an ordinary call, and fit where the assignment allows a training so much."""
    work = trained.hand_in(tmp_path / "subs", {"s001": trained.reference + SLOW})
    short = checks_of(inside("grade", "leaky", work, "--json"))["s001"]
    assert short["test_long_run"]["outcome"] == "timed out"
    trained.edit("assignment.yaml", "call_cpu_seconds: 2,", "call_cpu_seconds: 2, training_cpu_seconds: 10,")
    long = checks_of(inside("grade", "leaky", work, "--json"))["s001"]
    assert long["test_long_run"]["outcome"] == "passed"


def test_training_takes_no_part_in_the_diagnosis(trained: TinyCourse, inside: Grader, tmp_path: Path) -> None:
    """A mutant is told its hint although it fails the training too, which no hint explains."""
    work = trained.hand_in(tmp_path / "subs", {"s001": trained.mutant("starts_at_zero")})
    told = inside("grade", "leaky", work, "--json")
    found = checks_of(told)["s001"]
    assert found["test_long_run"]["outcome"] != "passed"
    assert found["test_long_run"]["hint"] is None
    assert trained.hint("starts_at_zero") in [c["hint"] for c in found.values()]


def test_verify_trains_only_whom_it_is_told_to(trained: TinyCourse, inside: Grader) -> None:
    """Without mutants that name it, a check that trains kills nothing: `all` finds that, `right` does not ask."""
    every = inside("verify", "leaky", "--seeds", "1", "--training", "all")
    assert every.code == 1
    assert "no mutant fails this check" in every.out
    right = inside("verify", "leaky", "--seeds", "1", "--training", "right")
    assert right.code == 0, right.out
    assert inside("verify", "leaky", "--seeds", "1", "--training", "none").code == 0


def test_verify_finds_a_twin_that_does_not_train(trained: TinyCourse, inside: Grader) -> None:
    twin = next((trained.secret / "twins").glob("*.py"))
    twin.write_text(
        twin.read_text(encoding="utf-8")
        + SLOW.replace("return _run(xs, h0, a)", "return 0 * _run(xs, h0, a)").replace("+ 3", "+ 0"),
        encoding="utf-8",
    )
    # zeros for every run: the other checks find it too, the training among them
    told = inside("verify", "leaky", "--seeds", "1", "--training", "right")
    assert "test_long_run" in told.out
    without = inside("verify", "leaky", "--seeds", "1", "--training", "none")
    assert "test_long_run" not in without.out


def test_figures_are_drawn_and_shown(trained: TinyCourse, inside: Grader, tmp_path: Path) -> None:
    work = trained.hand_in(tmp_path / "subs", {"s001": trained.reference, "s002": trained.stub})
    out = tmp_path / "pictures"
    told = inside("grade", "leaky", work, "--figures", out, "--feedback", tmp_path / "feedback")
    assert told.code == 0, told.err
    assert [p.name for p in out.iterdir()] == ["s001-states.svg"]
    image = (out / "s001-states.svg").read_text(encoding="utf-8")
    assert "<svg" in image
    assert "states" in image
    page = (tmp_path / "feedback" / "s001.md").read_text(encoding="utf-8")
    assert "![figure](../pictures/s001-states.svg)" in page
    assert "![figure]" not in (tmp_path / "feedback" / "s002.md").read_text(encoding="utf-8")
    again = inside("grade", "leaky", work, "--figures", out)
    assert "--fresh" in again.err


def test_values_that_cannot_be_drawn_cost_nobody_else(trained: TinyCourse, inside: Grader, tmp_path: Path) -> None:
    odd = (
        trained.reference
        + "\n\ndef run(xs, h0, a):\n    return np.array([[['x']]]) if len(xs) == 50 else np.zeros(5)\n"
    )
    work = trained.hand_in(tmp_path / "subs", {"s001": odd, "s002": trained.reference})
    told = inside("grade", "leaky", work, "--figures", tmp_path / "pictures", "--json")
    assert told.code == 0
    assert [json.loads(line)["student"] for line in told.out.splitlines()] == ["s001", "s002"]
    assert (tmp_path / "pictures" / "s002-states.svg").is_file()


def test_an_assignment_without_figures_says_so(tiny: TinyCourse, inside: Grader, tmp_path: Path) -> None:
    work = tiny.hand_in(tmp_path / "subs", {"s001": tiny.reference})
    told = inside("grade", "leaky", work, "--figures", tmp_path / "pictures")
    assert told.code == 1
    assert "has no figures" in told.error
