"""The texts of the example that `grader new assignment` lays; @ID@ and @TITLE@ are filled in."""

from __future__ import annotations

from typing import Final

#: Name (after "<id>/") -> the belief, and the section of the handout to read on.
MISCONCEPTIONS: Final[dict[str, tuple[str, str]]] = {
    "swaps-the-shares": ("The leak a is the share of the input, and 1 - a that of the state.", "step"),
    "keeps-everything": ("A leaky state is kept whole, and the input comes on top.", "step"),
    "takes-all-input": ("Only the state leaks; the input enters unscaled.", "step"),
    "starts-at-zero": ("A run always starts from zero, whatever state it is given.", "run"),
    "never-carries": ("Every step starts from the initial state.", "run"),
    "one-step-late": ("The state at time t does not yet hold the input at time t.", "run"),
    "last-state-only": ("A run returns its last state.", "run"),
    "writes-into-inputs": ("An array that was passed in may be used to work in.", "run"),
}

#: What goes to assignments/<id>/: name -> text.
HANDOUT: Final[dict[str, str]] = {
    "assignment.yaml": """\
schema: assignment/1
id: @ID@
title: @QUOTED_TITLE@
packages: [numpy]         # what can be imported where students' code runs
forbidden: []             # names whose use is flagged for a human; it costs no points
limits: {call_cpu_seconds: 2, call_wall_seconds: 10, cpu_seconds: 20, wall_seconds: 90, memory_mb: 1024}
parts:                    # a part's points are the sum of the points of its hidden checks
  - id: step
    title: One step
    points: 40
    names: {step: number}
  - id: run
    title: A whole run
    points: 60
    names: {run: array}
""",
    "README.md": """\
# @TITLE@

A leaky integrator is the smallest recurrent unit there is. Its state is one number. At every step it loses
a share of that state and takes in the same share of its input. You write one step, and then a run over a
whole sequence.

Fill in `@ID@.py` (or the notebook `@ID@.ipynb`, not both), and run `grader check` in this folder while you
work. Each function is graded by itself: a mistake in `step` costs nothing in `run`, unless your `run` calls
your `step`.

## step

`step(x, h, a)` returns the state after one step: the share `a` of the old state `h` and the share `1 - a`
of the input `x`, added up. All three are numbers, and `a` lies between 0 and 1. The result is a number.

*40 points.*

## run

`run(xs, h0, a)` starts from the state `h0` and takes the inputs `xs`, an array of shape `(T,)`, one by one.
It returns the `T` states after each input, as a float array of shape `(T,)`. The initial state is not among
them. `xs` must be left as it was.

*60 points.*

## How it is graded

The hidden checks draw their own numbers and allow a scaled error of 1e-4. They test what is written here
and nothing else.
""",
    "test_public.py": '''\
"""Public checks: run them with `grader check` as often as you like."""

import numpy as np
import pytest

from grader.checking import close


@pytest.mark.part("step")
@pytest.mark.points(40)
def test_half_way(student, rng):
    """step with a = 0.5 goes half way from the state to the input."""
    x, h = rng.normal(size=2)
    close(student.step(x, h, 0.5), np.mean([x, h]))


@pytest.mark.part("run")
@pytest.mark.points(30)
def test_settles(student, rng):
    """run settles at an input that stays the same."""
    x, h0 = rng.normal(size=2)
    states = student.run(np.full(200, x), h0, 0.6)
    close(states[-1:], np.array([x]))


@pytest.mark.part("run")
@pytest.mark.points(30)
def test_silence(student, rng):
    """run without input loses the same share of its state at every step."""
    h0 = 1 + rng.random()
    close(student.run(np.zeros(5), h0, 0.7), h0 * 0.7 ** np.arange(1, 6))
''',
}

#: What goes to solutions/<id>/: name -> text.
SOLUTION: Final[dict[str, str]] = {
    "@ID@.py": '''\
"""A leaky integrator, step by step."""

import numpy as np


def step(x, h, a):
    """Return the state after one step: the share a of the old state, the share 1 - a of the input.

    x: number, the input. h: number, the state before. a: number between 0 and 1. Returns a number.
    """
    ### BEGIN SOLUTION
    kept = a * h
    taken = (1 - a) * x
    return kept + taken
    ### END SOLUTION


def run(xs, h0, a):
    """Return the states after each input of a sequence, starting from h0.

    xs: array (T,), left as it was. h0: number. a: number between 0 and 1. Returns a float array (T,).
    """
    ### BEGIN SOLUTION
    states = np.empty(len(xs))
    h = h0
    for t, x in enumerate(xs):
        h = a * h + (1 - a) * x
        states[t] = h
    return states
    ### END SOLUTION
''',
    "test_hidden.py": '''\
"""Hidden checks of the leaky integrator. What they expect comes from closed forms, not from a recurrence."""

import numpy as np
import pytest

from grader.checking import close


def closed_form(xs, h0, a):
    """Return the states (T,) as weighted sums over all before: a**t h0 + (1 - a) sum_k a**(t - k) x_k."""
    times = np.arange(1, len(xs) + 1)
    gaps = times[:, None] - times[None, :]
    weights = np.where(gaps >= 0, (1 - a) * a ** np.abs(gaps), 0.0)
    return a**times * h0 + weights @ xs


@pytest.mark.part("step")
@pytest.mark.points(40)
def test_step(student, rng):
    """step weighs state and input."""
    x, h, a = 1 + rng.random(), -1 - rng.random(), 0.85
    close(student.step(x, h, a), np.average([h, x], weights=[a, 1 - a]))


@pytest.mark.part("run")
@pytest.mark.points(35)
def test_run(student, rng):
    """run returns the state after each input."""
    xs, h0 = rng.normal(size=7), 1 + rng.random()
    close(student.run(xs, h0, 0.6), closed_form(xs, h0, 0.6))


@pytest.mark.kept("it tells a wrong start from a wrong step.")
@pytest.mark.part("run")
@pytest.mark.points(10)
def test_run_from_rest(student, rng):
    """run is right when it starts from zero."""
    xs = rng.normal(size=5)
    close(student.run(xs, 0.0, 0.7), closed_form(xs, 0.0, 0.7))


@pytest.mark.part("run")
@pytest.mark.points(15)
def test_inputs_are_left(student, rng):
    """run leaves its inputs as they were."""
    xs = rng.normal(size=4)
    states, (after, *_) = student.returning_args("run", xs, 0.0, 0.4)
    close(after, xs)
    # Leaving the inputs alone is worth nothing without an answer.
    close(states, closed_form(xs, 0.0, 0.4))
''',
    "mutants.yaml": r"""schema: mutants/1
mutants:
  - id: swaps_the_shares
    misconception: @ID@/swaps-the-shares
    patch:
      - {find: "kept = a * h", replace: "kept = (1 - a) * h"}
      - {find: "taken = (1 - a) * x", replace: "taken = a * x"}
    caught_by: [test_step]
    hint: "State and input have changed places: which of them should count for more when a is close to 1?"

  - id: keeps_everything
    misconception: @ID@/keeps-everything
    patch:
      - {find: "kept = a * h", replace: "kept = h"}
    caught_by: [test_step]
    hint: "The old state enters whole. How much of it should be left after one step?"

  - id: takes_all_input
    misconception: @ID@/takes-all-input
    patch:
      - {find: "taken = (1 - a) * x", replace: "taken = x"}
    caught_by: [test_step]
    hint: "The input enters whole. With an input that stays the same, where would your state settle?"

  - id: starts_at_zero
    misconception: @ID@/starts-at-zero
    patch:
      - {find: "h = h0", replace: "h = 0.0"}
    caught_by: [test_run]
    hint: "Your run starts from zero. What is h0 for?"

  - id: never_carries
    misconception: @ID@/never-carries
    patch:
      - {find: "h = a * h + (1 - a) * x", replace: "h = a * h0 + (1 - a) * x"}
    caught_by: [test_run, test_run_from_rest]
    hint: "Every step of your run starts from h0. Which state should the second step start from?"

  - id: one_step_late
    misconception: @ID@/one-step-late
    patch:
      - find: "h = a * h + (1 - a) * x\n        states[t] = h"
        replace: "states[t] = h\n        h = a * h + (1 - a) * x"
    caught_by: [test_run, test_run_from_rest]
    hint: "Your states come one step late: the first one should already hold the first input."

  - id: writes_into_inputs
    misconception: @ID@/writes-into-inputs
    patch:
      - {find: "states = np.empty(len(xs))", replace: "states = xs"}
    caught_by: [test_inputs_are_left]
    hint: "After your run, xs holds the states: it was used as the array to work in."

  - id: last_state_only
    misconception: @ID@/last-state-only
    patch:
      - {find: "return states", replace: "return np.array([h])"}
    caught_by: [test_run]
    facts_only: true      # it shows as a wrong shape, which is said plainly
""",
    "twins/weights.py": '''\
"""Another right answer: a step is a move towards the input, a run a product with a matrix of weights."""

import numpy as np


def step(x, h, a):
    return h + (1 - a) * (x - h)


def run(xs, h0, a):
    series = np.concatenate(([h0], xs))
    share = np.full(len(series), 1 - a)
    share[0] = 1
    times = range(len(series))
    weights = np.array([[a ** (t - k) if t >= k else 0.0 for k in times] for t in times])
    return (weights @ (share * series))[1:]
''',
}
