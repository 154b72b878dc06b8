"""The hidden suite of the BPTT assignment: small checks, each on its own random inputs.

What is right is never computed with a copy of the reference. Gradients are central differences, in float64,
of `own_states` or of a loss written here; values are brute force. All sizes of a case differ, weights are
random and not symmetric, biases and first states are not zero, masks are ragged.

A mistake is charged once. Where a student's forward pass is not the handout's, that costs the forward
checks; the backward checks then accept the gradient of the student's own forward pass (differences of it),
the standard recursion on the student's own states, or the right gradient all the same, and say so.

A check that kills no mutant that another check does not kill says in its mark `kept` why it stays. Checks of manners
(inputs kept, two calls, float32, cost) ask for a right answer too: otherwise a constant would pass them.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import pytest

from grader.checking import close, note, observe, require
from grader.sandbox.faults import StudentFault

TENSORS = ["x", "h0", "W_xh", "W_hh", "b_h"]
STEP_TENSORS = {"dx": "x", "dh_prev": "h0", "dW_xh": "W_xh", "dW_hh": "W_hh", "db_h": "b_h"}
PARAMS = ["W_xh", "W_hh", "b_h"]
NUDGE = 1e-5  # of the central differences
TOLERANCE = 1e-4
OWN_FORWARD = (
    "your forward pass is not the handout's, which its own checks charge; "
    "this check compared with the right gradient, with differences of your forward pass and with the recursion on "
    "your states"
)


# --- Cases and oracles -----------------------------------------------------------------------------------


def own_states(x, h0, W_xh, W_hh, b_h):
    """Return the states (..., B, T, H). Every argument may have a leading axis of variations."""
    states, h = [], h0
    for t in range(x.shape[-2]):
        h = np.tanh(x[..., t, :] @ np.swapaxes(W_xh, -1, -2) + h @ np.swapaxes(W_hh, -1, -2) + b_h[..., None, :])
        states.append(h)
    return np.stack(states, axis=-2)


@dataclass(frozen=True)
class Case:
    """Inputs of a run over sequences, with the upstream gradient of its states."""

    x: np.ndarray
    h0: np.ndarray
    W_xh: np.ndarray
    W_hh: np.ndarray
    b_h: np.ndarray
    dhs: np.ndarray

    @property
    def given(self):
        return {name: getattr(self, name) for name in TENSORS}

    @property
    def params(self):
        return {name: getattr(self, name) for name in PARAMS}

    @property
    def hs(self):
        return own_states(**self.given)

    def replace(self, **changes):
        return Case(**({f.name: getattr(self, f.name) for f in fields(self)} | changes))


def draw(rng, B, T, D, H):
    """Return a random case; weights shrink with large sizes so that 48 units neither saturate nor explode."""

    def uniform(*shape, width=1.0):
        return rng.uniform(-width, width, shape)

    return Case(
        x=uniform(B, T, D),
        h0=uniform(B, H),
        W_xh=uniform(H, D, width=min(1.0, 2.4 / math.sqrt(D))),
        W_hh=uniform(H, H, width=min(1.0, 2.4 / math.sqrt(H))),
        b_h=uniform(H),
        dhs=uniform(B, T, H),
    )


def differences(loss, given, name):
    """Return the central differences of loss by given[name]; loss takes a leading axis of nudges."""
    value = given[name]
    nudges = NUDGE * np.eye(value.size).reshape(value.size, *value.shape)
    rise = loss({**given, name: value + nudges}) - loss({**given, name: value - nudges})
    return (rise / (2 * NUDGE)).reshape(value.shape)


def upstream_loss(run, case, window=None):
    """Return the loss sum_t <dhs_t, h_t>; with a window, L_t sees the last `window` steps only.

    With a window each L_t has a run of its own, which starts from a constant unless it starts from h0.
    """
    fixed = run(**case.given)
    steps = case.dhs.shape[1]

    def loss(given):
        if window is None:
            return (case.dhs * run(**given)).sum(axis=(-3, -2, -1))
        total = 0.0
        for t in range(steps):
            first = max(t - window + 1, 0)
            entry = given["h0"] if first == 0 else fixed[:, first - 1]
            part = run(**{**given, "x": given["x"][..., first : t + 1, :], "h0": entry})
            total = total + (case.dhs[:, t] * part[..., -1, :]).sum(axis=(-2, -1))
        return total

    return loss


def one_by_one(loss):
    """Return a loss with a leading axis from one that takes plain inputs (a student's forward pass)."""

    def many(given, plain):
        count = next(len(v) for n, v in given.items() if v.ndim > plain[n].ndim)
        rows = [{n: v[i] if v.ndim > plain[n].ndim else v for n, v in given.items()} for i in range(count)]
        return np.array([loss(row) for row in rows])

    return many


def standard_recursion(case, hs, name, window=None):
    """Return the gradient that the tanh recursion gives on the states hs, whatever made them."""
    steps = hs.shape[1]
    out = {n: np.zeros(getattr(case, n).shape) for n in TENSORS}
    for t in range(steps):
        signal = case.dhs[:, t]
        first = 0 if window is None else max(t - window + 1, 0)
        for s in reversed(range(first, t + 1)):
            pre = signal * (1 - np.square(hs[:, s]))
            out["x"][:, s] += pre @ case.W_xh
            out["W_xh"] += np.einsum("bi,bj->ij", pre, case.x[:, s])
            out["W_hh"] += np.einsum("bi,bj->ij", pre, hs[:, s - 1] if s else case.h0)
            out["b_h"] += np.einsum("bi->i", pre)
            signal = pre @ case.W_hh
        out["h0"] += signal * (first == 0)
    return out[name]


def error(got, want):
    """Return the scaled error as `close` measures it; infinity where the two cannot be compared."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or not np.all(np.isfinite(got)):
        return math.inf
    scale = float(np.max(np.abs(got) + np.abs(want), initial=0.0))
    worst = float(np.max(np.abs(got - want), initial=0.0)) / scale if scale else 0.0
    return math.inf if math.isnan(worst) else worst


def is_plain(case, hs):
    """Tell whether a gradient is held against the handout's alone: the student's states are right, or fit nothing.

    A wrong shape of the states is charged to the forward checks, and only said here.
    """
    asked = case.hs.shape
    if hs.shape != asked:
        note(f"the forward pass returned states of shape {hs.shape} where {asked} is asked")
        return True
    return error(hs, case.hs) <= TOLERANCE


def nearest(run, case, hs, got, right, recursion, own):
    """Return what `got` is held against where the forward pass is wrong: the nearest of three gradients.

    `right` is the handout's, `recursion` the tanh recursion on the student's states, `own` the differences of the
    student's forward pass. These do not count where the forward pass ignores its input, or where they are all zero:
    otherwise a function that hands its argument back, or a constant, would be its own measure.
    """
    note(OWN_FORWARD)
    options = [right, recursion]
    if error(run(**{**case.given, "x": case.x + 0.5}), hs) > TOLERANCE and np.max(np.abs(own)) > 1e-6:
        options.append(own)
    return min(options, key=lambda want: error(got, want))


def fair_gradient(run, case, hs, got, name, window=None):
    """Return what `got` is held against: the right gradient, or where `hs` is wrong, what fits those states.

    `run` is the student's forward pass, `hs` what it answered on this case.
    """
    right = differences(upstream_loss(own_states, case, window), case.given, name)
    if is_plain(case, hs):
        return right
    many = one_by_one(upstream_loss(run, case, window))
    own = differences(lambda given: many(given, case.given), case.given, name)
    return nearest(run, case, hs, got, right, standard_recursion(case, hs, name, window), own)


def sequence_run(student):
    """Return the student's rnn_forward with the arguments of own_states."""

    def run(x, h0, **params):
        return student.rnn_forward(x, h0, params)[0]

    return run


def step_run(student):
    """Return the student's rnn_step_forward, as a run over sequences of one step."""

    def run(x, h0, W_xh, W_hh, b_h):
        return student.rnn_step_forward(x[:, 0], h0, W_xh, W_hh, b_h)[0][:, None]

    return run


def fair_states(student, case, got):
    """Return what rnn_forward should give: own_states, or the student's step repeated where that is wrong."""
    want = case.hs
    if error(got, want) <= TOLERANCE:
        return want
    try:
        first = step_run(student)(**case.given)
        other = step_run(student)(**{**case.given, "x": case.x + 0.5})
    except StudentFault:  # no step to repeat: then the handout's formula is the only measure
        return want
    if error(first[:, 0], want[:, 0]) <= TOLERANCE or error(first, other) <= TOLERANCE:
        return want
    note("your rnn_step_forward is not the handout's, which its own checks charge; this one repeated yours")
    states, h = [], case.h0
    for t in range(case.x.shape[1]):
        h = step_run(student)(case.x[:, t : t + 1], h, **case.params)[:, 0]
        states.append(h)
    return np.stack(states, axis=1)


def unchanged(name, before, after):
    """Demand that an argument holds after a call what it held before."""
    observe(f"{name} after the call", after)
    require(np.array_equal(np.asarray(after), before), f"the call changed the values of its argument {name}")


def shapes_kept(gradients, given):
    """Demand that every gradient has the shape of what it belongs to; both are dicts by name."""
    for name, value in given.items():
        got = gradients[name].shape
        require(got == value.shape, f"the gradient {name} has shape {got}; {value.shape} is asked")


def same_again(first, again):
    """Demand that a second call answered what the first did; both are dicts of gradients by name."""
    for name, value in first.items():
        close(again[name], value)


# --- Part derivation -------------------------------------------------------------------------------------


def slope_of_tanh(a):
    """Return the central differences of tanh at a."""
    return (np.tanh(a + NUDGE) - np.tanh(a - NUDGE)) / (2 * NUDGE)


@pytest.mark.kept("it is the plain case; the next check asks for a right answer too.")
@pytest.mark.part("derivation")
@pytest.mark.points(2.5)
def test_through_tanh(student, rng):
    """through_tanh takes a gradient back through tanh."""
    a, dh = rng.uniform(-1.5, 1.5, (3, 5)), rng.uniform(-1, 1, (3, 5))
    slope = slope_of_tanh(a)
    close(student.through_tanh(dh, np.tanh(a)), dh * slope)


@pytest.mark.part("derivation")
@pytest.mark.points(0.75)
def test_through_tanh_keeps_its_inputs(student, rng):
    """through_tanh works on arrays of any shape and leaves dh and h as they were."""
    a, dh = rng.uniform(-1.5, 1.5, (4, 1, 3)), rng.uniform(-1, 1, (4, 1, 3))
    slope = slope_of_tanh(a)
    h = np.tanh(a)
    got, after = student.returning_args("through_tanh", dh, h)
    close(got, dh * slope)
    unchanged("dh", dh, after[0])
    unchanged("h", h, after[1])


@pytest.mark.part("derivation")
@pytest.mark.points(0.5)
def test_through_tanh_of_saturated_units(student, rng):
    """through_tanh where some units are saturated: nothing goes back through an h of 1 or -1."""
    a, dh = rng.uniform(-1.5, 1.5, (2, 6)), rng.uniform(0.5, 1, (2, 6)) * rng.choice([-1, 1], (2, 6))
    a[0, 1], a[1, 4] = 40.0, -40.0
    slope = slope_of_tanh(a)
    close(student.through_tanh(dh, np.tanh(a)), dh * slope)


@pytest.mark.kept("it is the plain case; the checks of manners ask for it too.")
@pytest.mark.part("derivation")
@pytest.mark.points(2.5)
def test_carry(student, rng):
    """carry sends dL/da_t on to the state before."""
    da, h_prev, W_hh = rng.uniform(-1, 1, (4, 5)), rng.uniform(-1, 1, (4, 5)), rng.uniform(-1, 1, (5, 5))
    want = differences(lambda g: (da * (g["h"] @ W_hh.T)).sum(axis=(-2, -1)), {"h": h_prev}, "h")
    close(student.carry(da, W_hh), want)


@pytest.mark.kept("it is the plain case; the checks of manners ask for it too.")
@pytest.mark.part("derivation")
@pytest.mark.points(2.5)
def test_local_dW_hh(student, rng):
    """local_dW_hh is the immediate partial of one step."""
    da, h_prev, W_hh = rng.uniform(-1, 1, (3, 6)), rng.uniform(-1, 1, (3, 6)), rng.uniform(-1, 1, (6, 6))
    want = differences(lambda g: (da * (h_prev @ np.swapaxes(g["W"], -1, -2))).sum(axis=(-2, -1)), {"W": W_hh}, "W")
    close(student.local_dW_hh(da, h_prev), want)


@pytest.mark.kept("it is the plain case; the checks of manners ask for it too.")
@pytest.mark.part("derivation")
@pytest.mark.points(1.5)
def test_bias_term(student, rng):
    """bias_term is the gradient of one step's bias."""
    da, b_h = rng.uniform(-1, 1, (3, 5)), rng.uniform(-1, 1, 5)
    want = differences(lambda g: (da * g["b"][..., None, :]).sum(axis=(-2, -1)), {"b": b_h}, "b")
    close(student.bias_term(da), want)


def _piece(rng, name, B):
    """Return the arguments, by name, of a function of one step of the derivation, and what it should return."""
    da, h_prev, W_hh = rng.uniform(-1, 1, (B, 4)), rng.uniform(-1, 1, (B, 4)), rng.uniform(-1, 1, (4, 4))
    given = {"h": h_prev, "W": W_hh, "b": rng.uniform(-1, 1, 4)}

    def loss(g):  # linear in a, so that its gradient by a is da
        return (da * (g["h"] @ np.swapaxes(g["W"], -1, -2) + g["b"][..., None, :])).sum(axis=(-2, -1))

    if name == "carry":
        return {"da": da, "W_hh": W_hh}, differences(loss, given, "h")
    if name == "local_dW_hh":
        return {"da": da, "h_prev": h_prev}, differences(loss, given, "W")
    return {"da": da}, differences(loss, given, "b")


@pytest.mark.kept("an axis may be lost in each function.")
@pytest.mark.part("derivation")
@pytest.mark.points(0.25)
@pytest.mark.parametrize("name", ["carry", "local_dW_hh", "bias_term"])
def test_piece_of_one_sequence(student, rng, name):
    """{name} with a batch of one."""
    args, want = _piece(rng, name, B=1)
    close(getattr(student, name)(*args.values()), want)


@pytest.mark.kept("each function may write into what it is given.")
@pytest.mark.part("derivation")
@pytest.mark.points(0.25)
@pytest.mark.parametrize("name", ["carry", "local_dW_hh", "bias_term"])
def test_piece_keeps_its_inputs(student, rng, name):
    """{name} leaves its arguments as they were."""
    args, want = _piece(rng, name, B=3)
    got, after = student.returning_args(name, *args.values())
    close(got, want)
    for (argument, before), value in zip(args.items(), after, strict=True):
        unchanged(argument, before, value)


def compare_double_sum(student, case):
    """Hold the student's double sum against the differences of the whole loss by W_hh."""
    want = differences(upstream_loss(own_states, case), case.given, "W_hh")
    close(student.dW_hh_double_sum(case.dhs, case.hs, case.h0, case.W_hh), want)


@pytest.mark.kept("it is the plain case; the check of its inputs asks for it too.")
@pytest.mark.part("derivation")
@pytest.mark.points(3.5)
def test_double_sum(student, rng):
    """dW_hh_double_sum: every loss, through every earlier use of W_hh."""
    case = draw(rng, B=2, T=6, D=3, H=4)
    compare_double_sum(student, case)


@pytest.mark.kept("it gives points to a right inner sum.")
@pytest.mark.part("derivation")
@pytest.mark.points(2)
def test_double_sum_of_the_last_loss(student, rng):
    """dW_hh_double_sum where only the last step has a loss."""
    case = draw(rng, B=3, T=5, D=2, H=4)
    case.dhs[:, :-1] = 0.0
    compare_double_sum(student, case)


@pytest.mark.kept("it gives points to a right immediate partial.")
@pytest.mark.part("derivation")
@pytest.mark.points(2)
def test_double_sum_of_one_step(student, rng):
    """dW_hh_double_sum of sequences of one step."""
    case = draw(rng, B=4, T=1, D=2, H=5)
    compare_double_sum(student, case)


@pytest.mark.part("derivation")
@pytest.mark.points(0.25)
def test_double_sum_of_one_sequence(student, rng):
    """dW_hh_double_sum with a batch of one."""
    case = draw(rng, B=1, T=4, D=2, H=3)
    compare_double_sum(student, case)


@pytest.mark.part("derivation")
@pytest.mark.points(0.5)
def test_double_sum_keeps_its_inputs(student, rng):
    """dW_hh_double_sum leaves its arguments as they were, and answers the same again."""
    case = draw(rng, B=2, T=4, D=2, H=3)
    args = {"local_dhs": case.dhs, "hs": case.hs, "h0": case.h0, "W_hh": case.W_hh}
    got, after = student.returning_args("dW_hh_double_sum", *args.values())
    want = differences(upstream_loss(own_states, case), case.given, "W_hh")
    close(got, want)
    for (name, before), value in zip(args.items(), after, strict=True):
        unchanged(name, before, value)
    close(student.dW_hh_double_sum(*args.values()), want)


# --- Part step -------------------------------------------------------------------------------------------


@pytest.mark.part("step")
@pytest.mark.points(1)
def test_step_forward(student, rng):
    """rnn_step_forward on random inputs."""
    case = draw(rng, B=3, T=1, D=4, H=5)
    h, _ = student.rnn_step_forward(case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h)
    close(h, case.hs[:, 0])


@pytest.mark.kept("it gives points to each term that is right.")
@pytest.mark.part("step")
@pytest.mark.points(1)
@pytest.mark.parametrize("only", ["input", "state", "bias"])
def test_step_forward_of_one_term(student, rng, only):
    """rnn_step_forward where only the {only} is not zero."""
    case = draw(rng, B=2, T=1, D=6, H=4)
    source = {"input": "x", "state": "h0", "bias": "b_h"}[only]
    zeros = {name: np.zeros_like(getattr(case, name)) for name in ("x", "h0", "b_h") if name != source}
    case = case.replace(**zeros)
    h, _ = student.rnn_step_forward(case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h)
    close(h, case.hs[:, 0])


@pytest.mark.kept("dx and dh_prev are the plain case; other checks ask for them too.")
@pytest.mark.part("step")
@pytest.mark.points(1.5)
@pytest.mark.parametrize("name", list(STEP_TENSORS))
def test_step_backward(student, rng, name):
    """rnn_step_backward: {name}."""
    case = draw(rng, B=3, T=1, D=4, H=5)
    h, cache = student.rnn_step_forward(case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h)
    got = student.rnn_step_backward(case.dhs[:, 0], cache)[list(STEP_TENSORS).index(name)]
    close(got, _step_gradient(student, case, h, got, name))


def _step_gradient(student, case, h, got, name):
    shaped = got[:, None] if name == "dx" and got.ndim == 2 else got
    want = fair_gradient(step_run(student), case, h[:, None], shaped, STEP_TENSORS[name])
    return want[:, 0] if name == "dx" else want


@pytest.mark.part("step")
@pytest.mark.points(0.5)
def test_step_keeps_its_inputs(student, rng):
    """Both step functions leave their arguments as they were."""
    case = draw(rng, B=4, T=1, D=3, H=6)
    args = [case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h]
    (h, cache), after = student.returning_args("rnn_step_forward", *args)
    for name, before, value in zip(("x", "h_prev", *PARAMS), args, after, strict=True):
        unchanged(name, before, value)
    result, after = student.returning_args("rnn_step_backward", case.dhs[:, 0], cache)
    close(result[0], _step_gradient(student, case, h, result[0], "dx"))
    unchanged("dh", case.dhs[:, 0], after[0])


@pytest.mark.part("step")
@pytest.mark.points(0.5)
def test_step_backward_twice(student, rng):
    """rnn_step_backward called twice with one cache, after another step went forward."""
    case, other = draw(rng, B=2, T=1, D=5, H=3), draw(rng, B=2, T=1, D=5, H=3)
    h, cache = student.rnn_step_forward(case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h)
    student.rnn_step_forward(other.x[:, 0], other.h0, other.W_xh, other.W_hh, other.b_h)
    first = student.rnn_step_backward(case.dhs[:, 0], cache)
    student.rnn_step_backward(2.5 * case.dhs[:, 0], cache)
    again = student.rnn_step_backward(case.dhs[:, 0], cache)
    close(again[1], _step_gradient(student, case, h, again[1], "dh_prev"))
    same_again(dict(zip(STEP_TENSORS, first, strict=True)), dict(zip(STEP_TENSORS, again, strict=True)))


@pytest.mark.part("step")
@pytest.mark.points(0.5)
def test_step_of_one_sequence(student, rng):
    """Both step functions with a batch of one."""
    case = draw(rng, B=1, T=1, D=3, H=4)
    h, cache = student.rnn_step_forward(case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h)
    require(h.shape == (1, 4), f"h has shape {h.shape}; (1, 4) is asked")
    result = dict(zip(STEP_TENSORS, student.rnn_step_backward(case.dhs[:, 0], cache), strict=True))
    close(result["dh_prev"], _step_gradient(student, case, h, result["dh_prev"], "dh_prev"))
    given = {name: case.given[source] for name, source in STEP_TENSORS.items()}
    shapes_kept(result, {**given, "dx": case.x[:, 0]})


@pytest.mark.part("step")
@pytest.mark.points(0.5)
def test_step_backward_is_linear(student, rng):
    """rnn_step_backward: 1,000 times dh, or a billionth of it, gives as much of every gradient."""
    case = draw(rng, B=2, T=1, D=5, H=3)
    h, cache = student.rnn_step_forward(case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h)
    large = student.rnn_step_backward(1000 * case.dhs[:, 0], cache)
    close(large[0], _step_gradient(student, case.replace(dhs=1000 * case.dhs), h, large[0], "dx"))
    small = student.rnn_step_backward(1e-9 * case.dhs[:, 0], cache)
    same_again(
        {name: 1e-12 * value for name, value in zip(STEP_TENSORS, large, strict=True)},
        dict(zip(STEP_TENSORS, small, strict=True)),
    )


@pytest.mark.part("step")
@pytest.mark.points(0.5)
def test_step_backward_cost(student, rng):
    """rnn_step_backward at batch 8, 96 inputs and 96 units, within half a second."""
    case = draw(rng, B=8, T=1, D=96, H=96)
    h, cache = student.rnn_step_forward(case.x[:, 0], case.h0, case.W_xh, case.W_hh, case.b_h)
    with student.limit(cpu_seconds=0.5):
        got = student.rnn_step_backward(case.dhs[:, 0], cache)[1]
    close(*_some_columns(rng, step_run(student), case, h[:, None], got))


def _some_columns(rng, run, case, hs, dh0):
    """Return (got, want) of a few columns of dL/dh0, at a size where all of them would cost the examiner.

    A unit of h0 is nudged in all rows of the batch at once: rows do not see each other, so that a loss for
    each row tells the derivatives apart.
    """
    require(dh0.shape == case.h0.shape, f"wrong shape: {dh0.shape} where {case.h0.shape} is asked")
    columns = rng.choice(case.h0.shape[1], 4, replace=False)
    got = dh0[:, columns]

    def slopes(forward):
        out = []
        for nudge in NUDGE * np.eye(case.h0.shape[1])[columns]:
            up, down = (forward(**{**case.given, "h0": case.h0 + sign * nudge}) for sign in (1, -1))
            out.append((case.dhs * (up - down)).sum(axis=(-2, -1)) / (2 * NUDGE))
        return np.stack(out, axis=1)

    right = slopes(own_states)
    if is_plain(case, hs):
        return got, right
    return got, nearest(run, case, hs, got, right, standard_recursion(case, hs, "h0")[:, columns], slopes(run))


# --- Part sequence ---------------------------------------------------------------------------------------


@pytest.mark.kept("it is the plain case; the checks of manners ask for it too.")
@pytest.mark.part("sequence")
@pytest.mark.points(2.5)
def test_forward(student, rng):
    """rnn_forward: the state after every step."""
    case = draw(rng, B=3, T=7, D=4, H=5)
    got, _ = student.rnn_forward(case.x, case.h0, case.params)
    close(got, fair_states(student, case, got))


@pytest.mark.kept("it tells an ignored h0 from other mistakes.")
@pytest.mark.part("sequence")
@pytest.mark.points(2)
def test_forward_from_two_first_states(student, rng):
    """rnn_forward: what another h0 changes in the states."""
    case = draw(rng, B=2, T=5, D=3, H=6)
    other = case.replace(h0=rng.uniform(-1, 1, case.h0.shape))
    one, _ = student.rnn_forward(case.x, case.h0, case.params)
    two, _ = student.rnn_forward(other.x, other.h0, other.params)
    want = fair_states(student, other, two) - fair_states(student, case, one)
    require(np.max(np.abs(want)) > 1e-6, "the states do not depend on h0")
    require(one.shape == two.shape, "two calls with inputs of one shape returned states of two shapes")
    close(two - one, want)


@pytest.mark.kept("an axis may be lost at B = 1 or at T = 1 alone.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
@pytest.mark.parametrize(("B", "T"), [(1, 4), (3, 1)], ids=["B=1", "T=1"])
def test_forward_of_one(student, rng, B, T):
    """rnn_forward where the batch has {B} and the sequence {T} entries."""
    case = draw(rng, B=B, T=T, D=2, H=5)
    got, _ = student.rnn_forward(case.x, case.h0, case.params)
    close(got, fair_states(student, case, got))


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_forward_by_name(student, rng):
    """rnn_forward finds its parameters by name, whatever their order in the dict."""
    case = draw(rng, B=3, T=4, D=5, H=5)
    shuffled = {name: case.params[name] for name in ("W_hh", "W_xh", "b_h")}
    got, _ = student.rnn_forward(case.x, case.h0, shuffled)
    close(got, fair_states(student, case, got))


def _backward(student, case, name):
    """Return (got, want) of one gradient of rnn_backward."""
    hs, cache = student.rnn_forward(case.x, case.h0, case.params)
    got = student.rnn_backward(case.dhs, cache)[name]
    return got, fair_gradient(sequence_run(student), case, hs, got, name)


@pytest.mark.kept("each gradient has points of its own; the checks of manners ask for some.")
@pytest.mark.part("sequence")
@pytest.mark.points(1.5)
@pytest.mark.parametrize("name", TENSORS)
def test_backward(student, rng, name):
    """rnn_backward: the gradient by {name}."""
    got, want = _backward(student, draw(rng, B=2, T=5, D=3, H=4), name)
    close(got, want)


@pytest.mark.kept("it tells a carry that is wrong from a loss that is left out.")
@pytest.mark.part("sequence")
@pytest.mark.points(1.5)
@pytest.mark.parametrize("step", ["first", "last"])
def test_backward_of_one_loss(student, rng, step):
    """rnn_backward where only the {step} step has a loss: the gradient by x at every step."""
    case = draw(rng, B=2, T=6, D=3, H=4)
    at = 0 if step == "first" else -1
    dhs = np.zeros_like(case.dhs)
    dhs[:, at] = case.dhs[:, at]
    got, want = _backward(student, case.replace(dhs=dhs), "x")
    close(got, want)


@pytest.mark.kept("it gives points to what is right without any carry.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("name", ["h0", "W_hh"])
def test_backward_of_one_step(student, rng, name):
    """rnn_backward of sequences of one step: the gradient by {name}."""
    case = draw(rng, B=3, T=1, D=2, H=4)
    got, want = _backward(student, case, name)
    close(got, want)
    if name == "h0":
        _, cache = student.rnn_forward(case.x, case.h0, case.params)
        shapes_kept(student.rnn_backward(case.dhs, cache), case.given)


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_of_one_sequence(student, rng):
    """rnn_backward of a batch of one: the gradient by W_xh, and the shapes of all."""
    case = draw(rng, B=1, T=4, D=3, H=5)
    got, want = _backward(student, case, "W_xh")
    close(got, want)
    _, cache = student.rnn_forward(case.x, case.h0, case.params)
    shapes_kept(student.rnn_backward(case.dhs, cache), case.given)


@pytest.mark.part("sequence")
@pytest.mark.points(1.5)
def test_backward_is_linear(student, rng):
    """rnn_backward: 1,000 times the upstream gradient, or a billionth of it, gives as much of every gradient."""
    case = draw(rng, B=2, T=5, D=2, H=3)
    got, want = _backward(student, case.replace(dhs=1000 * case.dhs), "x")
    close(got, want)
    first, *others = (
        student.rnn_backward(factor * case.dhs, student.rnn_forward(case.x, case.h0, case.params)[1])
        for factor in (1.0, 1000.0, 1e-9)
    )
    for factor, again in zip((1000.0, 1e-9), others, strict=True):
        same_again({name: factor * first[name] for name in TENSORS}, again)


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_over_seventy_steps(student, rng):
    """rnn_backward: the gradient by h0 of a loss seventy steps later, where little of it is lost on the way."""
    case = draw(rng, B=2, T=70, D=3, H=4)
    dhs = np.zeros_like(case.dhs)
    dhs[:, -1] = case.dhs[:, -1]
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]  # keeps the length of what goes through it
    case = Case(0.003 * case.x, 0.1 * case.h0, case.W_xh, turn, 0.003 * case.b_h, dhs)
    hs, _ = student.rnn_forward(case.x, case.h0, case.params)
    if not is_plain(case, hs):  # a cell that is not the handout's may lose it all: then five steps will do
        case = case.replace(x=case.x[:, :5], dhs=dhs[:, -5:])
    got, want = _backward(student, case, "h0")
    close(got, want)


@pytest.mark.kept("writing into h0 also spoils what the cache holds of it.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_forward_keeps_its_inputs(student, rng):
    """rnn_forward leaves x, h0 and params as they were."""
    case = draw(rng, B=3, T=4, D=5, H=2)
    (got, _), after = student.returning_args("rnn_forward", case.x, case.h0, case.params)
    close(got, fair_states(student, case, got))
    unchanged("x", case.x, after[0])
    unchanged("h0", case.h0, after[1])
    for name in PARAMS:
        unchanged(f"params[{name!r}]", case.params[name], after[2][name])


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_keeps_its_inputs(student, rng):
    """rnn_backward leaves dhs as it was."""
    case = draw(rng, B=3, T=4, D=2, H=5)
    hs, cache = student.rnn_forward(case.x, case.h0, case.params)
    result, after = student.returning_args("rnn_backward", case.dhs, cache)
    close(result["x"], fair_gradient(sequence_run(student), case, hs, result["x"], "x"))
    unchanged("dhs", case.dhs, after[0])


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_twice(student, rng):
    """rnn_backward called twice with one cache, after another forward pass."""
    case, other = draw(rng, B=2, T=4, D=3, H=5), draw(rng, B=2, T=4, D=3, H=5)
    hs, cache = student.rnn_forward(case.x, case.h0, case.params)
    student.rnn_forward(other.x, other.h0, other.params)
    first = student.rnn_backward(case.dhs, cache)
    student.rnn_backward(1.5 - case.dhs, cache)
    again = student.rnn_backward(case.dhs, cache)
    close(again["h0"], fair_gradient(sequence_run(student), case, hs, again["h0"], "h0"))
    same_again({name: first[name] for name in TENSORS}, again)


@pytest.mark.kept("what refuses float32 forward cannot go backward either.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("what", ["forward", "backward"])
def test_float32(student, rng, what):
    """rnn_{what} on float32 inputs."""
    drawn = draw(rng, B=2, T=4, D=5, H=3)
    single = {f.name: getattr(drawn, f.name).astype(np.float32) for f in fields(drawn)}
    case = Case(**{name: value.astype(np.float64) for name, value in single.items()})
    hs, cache = student.rnn_forward(single["x"], single["h0"], {name: single[name] for name in PARAMS})
    if what == "forward":
        close(hs, fair_states(student, case, hs))
    else:
        got = student.rnn_backward(single["dhs"], cache)["h0"]
        close(got, fair_gradient(sequence_run(student), case, hs, got, "h0"))


@pytest.mark.part("sequence")
@pytest.mark.points(3.5)
def test_backward_cost(student, rng):
    """rnn_backward at batch 8, 48 inputs, 48 units and 24 steps, within half a second."""
    case = draw(rng, B=8, T=24, D=48, H=48)
    hs, cache = student.rnn_forward(case.x, case.h0, case.params)
    with student.limit(cpu_seconds=0.5):
        got = student.rnn_backward(case.dhs, cache)["h0"]
    close(*_some_columns(rng, sequence_run(student), case, hs, got))


# --- Part loss -------------------------------------------------------------------------------------------


def ragged(rng, B, T):
    """Return a mask (B, T) with padding at the ends; rows differ, and each has at least one position."""
    counts = 1 + (np.arange(B) + rng.integers(B)) % max(T - 1, 1)
    return np.arange(T) < counts[:, None]


def draw_loss(rng, B, T, O, width=2.0):  # noqa: E741 - O is the handout's name for the number of classes
    """Return random logits, classes and a ragged mask, for which the mean of the rows' means is another number."""
    mask = ragged(rng, B, T)
    while True:
        logits, y = rng.uniform(-width, width, (B, T, O)), rng.integers(O, size=(B, T))
        nll = np.logaddexp.reduce(logits, axis=-1) - np.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        rows, mean = (nll * mask).sum(axis=1) / mask.sum(axis=1), (nll * mask).sum() / mask.sum()
        # once in a thousand draws they agree to 1e-4; where all rows count alike they always do
        if np.ptp(mask.sum(axis=1)) == 0 or abs(rows.mean() - mean) > 1e-3 * mean:
            return logits, y, mask


def brute_loss(logits, y, mask):
    """Return the mean of -log softmax over the positions that count, one position after another."""
    terms = []
    for b, t in zip(*np.nonzero(mask), strict=True):
        scores = [float(s) for s in logits[b, t]]
        top = max(scores)
        terms.append(top + math.log(math.fsum(math.exp(s - top) for s in scores)) - scores[y[b, t]])
    return math.fsum(terms) / len(terms)


def loss_gradient(logits, y, mask):
    """Return the central differences of the mean loss by every logit."""
    rows, columns = np.indices(y.shape)

    def loss(given):
        z = given["logits"]
        nll = np.logaddexp.reduce(z, axis=-1) - z[..., rows, columns, y]
        return (nll * mask).sum(axis=(-2, -1)) / mask.sum()

    return differences(loss, {"logits": logits}, "logits")


@pytest.mark.kept("it is the plain case; other checks ask for the loss too.")
@pytest.mark.part("loss")
@pytest.mark.points(1.5)
def test_loss(student, rng):
    """masked_xent: the loss with a ragged mask."""
    logits, y, mask = draw_loss(rng, B=3, T=7, O=6)
    close(student.masked_xent(logits, y, mask)[0], brute_loss(logits, y, mask))


@pytest.mark.kept("it is the plain case; other checks ask for the gradient too.")
@pytest.mark.part("loss")
@pytest.mark.points(2)
def test_loss_gradient(student, rng):
    """masked_xent: the gradient with a ragged mask."""
    logits, y, mask = draw_loss(rng, B=3, T=5, O=4)
    close(student.masked_xent(logits, y, mask)[1], loss_gradient(logits, y, mask))


@pytest.mark.part("loss")
@pytest.mark.points(1)
def test_loss_with_holes(student, rng):
    """masked_xent where positions in the middle and at the beginning do not count."""
    logits, y, mask = draw_loss(rng, B=3, T=6, O=5)
    mask = mask[:, ::-1].copy()
    mask[0] = [True, False, True, True, False, True]
    loss, dlogits = student.masked_xent(logits, y, mask)
    close(loss, brute_loss(logits, y, mask))
    close(dlogits, loss_gradient(logits, y, mask))


@pytest.mark.part("loss")
@pytest.mark.points(0.5)
def test_loss_with_an_empty_sequence(student, rng):
    """masked_xent where nothing of one sequence counts: the others do."""
    logits, y, mask = draw_loss(rng, B=4, T=5, O=3)
    mask[rng.integers(4)] = False
    loss, dlogits = student.masked_xent(logits, y, mask)
    close(loss, brute_loss(logits, y, mask))
    close(dlogits, loss_gradient(logits, y, mask))


@pytest.mark.kept("it gives points to everything but the mask.")
@pytest.mark.part("loss")
@pytest.mark.points(1)
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_loss_without_padding(student, rng, what):
    """masked_xent where every position counts, of one sequence or of one step: the {what}."""
    B, T = (1, 3) if what == "loss" else (4, 1)
    logits, y, _ = draw_loss(rng, B=B, T=T, O=5)
    everything = np.ones((B, T), dtype=bool)
    loss, dlogits = student.masked_xent(logits, y, everything)
    if what == "loss":
        close(loss, brute_loss(logits, y, everything))
    else:
        close(dlogits, loss_gradient(logits, y, everything))


@pytest.mark.kept("an overflow spoils loss and gradient, but a floor only the loss.")
@pytest.mark.part("loss")
@pytest.mark.points(1)
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_loss_of_large_logits(student, rng, what):
    """masked_xent with logits near 1,000 and -1,000, in one position and in several: the {what}."""
    logits, y, mask = draw_loss(rng, B=4, T=5, O=3)
    logits[::2] *= 500.0
    logits[1::2] += rng.choice([-900.0, 900.0], (2, 5, 1))
    # one loss of 2,000: no probability of it is left in float64; the first class or the last far below another
    y[0, 0] = 2
    logits[0, 0, 1:], logits[2, 0, ::2] = (1000.0, -1000.0), (-1000.0, 1000.0)
    loss, dlogits = student.masked_xent(logits, y, mask)
    if what == "loss":
        close(loss, brute_loss(logits, y, mask))
    else:
        close(dlogits, loss_gradient(logits, y, mask))


@pytest.mark.kept("it tells a gradient without mask from a wrong normaliser.")
@pytest.mark.part("loss")
@pytest.mark.points(1.5)
def test_loss_gradient_at_the_padding(student, rng):
    """masked_xent: the gradient is exactly zero at padding, and only there."""
    logits, y, mask = draw_loss(rng, B=3, T=6, O=4)
    dlogits = student.masked_xent(logits, y, mask)[1]
    require(dlogits.shape == logits.shape, f"dlogits has shape {dlogits.shape}; {logits.shape} is asked")
    observe("gradient at padding", dlogits[~mask])
    require(np.all(dlogits[~mask] == 0), "the gradient is not exactly zero at positions that do not count")
    require(np.all(np.any(dlogits[mask] != 0, axis=-1)), "the gradient is zero at a position that counts")


@pytest.mark.kept("small logits would hide a mask that multiplies too late.")
@pytest.mark.part("loss")
@pytest.mark.points(1)
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_loss_ignores_the_padding(student, rng, what):
    """masked_xent where the padding holds huge logits: the {what} is that of the other positions."""
    logits, y, mask = draw_loss(rng, B=3, T=4, O=5)
    want = brute_loss(logits, y, mask) if what == "loss" else loss_gradient(logits, y, mask)
    logits[~mask] = rng.uniform(-1e6, 1e6, logits[~mask].shape)
    loss, dlogits = student.masked_xent(logits, y, mask)
    close(loss if what == "loss" else dlogits, want)


@pytest.mark.kept("it gives points to a right softmax with a wrong normaliser.")
@pytest.mark.part("loss")
@pytest.mark.points(1)
def test_loss_gradient_sums_to_zero(student, rng):
    """masked_xent: the gradient sums to zero over the classes of each position."""
    logits, y, mask = draw_loss(rng, B=2, T=6, O=7)
    dlogits = student.masked_xent(logits, y, mask)[1]
    require(dlogits.shape == logits.shape, f"dlogits has shape {dlogits.shape}; {logits.shape} is asked")
    largest = float(np.max(np.abs(dlogits[mask])))
    require(largest > 1e-6, "the gradient is zero everywhere")
    close(dlogits[mask].sum(axis=-1), np.zeros(mask.sum()), scale=largest)


@pytest.mark.part("loss")
@pytest.mark.points(1)
def test_loss_without_any_position(student, rng):
    """masked_xent where no position counts gives loss 0 and zero gradient; then an ordinary batch."""
    logits, y, mask = draw_loss(rng, B=2, T=5, O=3)
    loss, dlogits = student.masked_xent(logits, y, np.zeros_like(mask))
    observe("loss", loss)
    observe("gradient", dlogits)
    require(loss == 0, "the loss is not 0 where no position counts")
    require(dlogits.shape == logits.shape, f"dlogits has shape {dlogits.shape}; {logits.shape} is asked")
    require(np.all(dlogits == 0), "the gradient is not zero where no position counts")
    close(student.masked_xent(logits, y, mask)[0], brute_loss(logits, y, mask))


@pytest.mark.part("loss")
@pytest.mark.points(0.5)
def test_loss_keeps_its_inputs(student, rng):
    """masked_xent leaves logits, y and mask as they were, and answers the same again."""
    logits, y, mask = draw_loss(rng, B=3, T=4, O=6)
    (loss, _), after = student.returning_args("masked_xent", logits, y, mask)
    close(loss, brute_loss(logits, y, mask))
    unchanged("logits", logits, after[0])
    unchanged("y", y, after[1])
    unchanged("mask", mask, after[2])
    close(student.masked_xent(logits, y, mask)[0], loss)


@pytest.mark.part("loss")
@pytest.mark.points(1)
def test_loss_cost(student, rng):
    """masked_xent at batch 8, 60 steps and 45 classes, within half a second."""
    logits, y, mask = draw_loss(rng, B=8, T=60, O=45, width=4.0)
    with student.limit(cpu_seconds=0.5):
        loss, _ = student.masked_xent(logits, y, mask)
    close(loss, brute_loss(logits, y, mask))


# --- Part jacobian ---------------------------------------------------------------------------------------


def draw_states(rng, T, H):
    """Return the states (T, H) of one sequence, its W_hh, and what else entered each step."""
    W_hh, inputs = rng.uniform(-1, 1, (H, H)), rng.uniform(-1, 1, (T, H))
    return advance(rng.uniform(-1, 1, H), inputs, W_hh), W_hh, inputs


def advance(h, inputs, W_hh):
    """Return the states after h; h may have leading axes."""
    states = []
    for value in inputs:
        h = np.tanh(value + h @ W_hh.T)
        states.append(h)
    return np.stack(states) if states else np.empty((0, *h.shape))


def jacobian_of(hs, W_hh, inputs, k, t):
    """Return dh_t/dh_k by central differences: column j is what a nudge of unit j of h_k changes in h_t."""
    nudges = NUDGE * np.eye(hs.shape[1])
    between = inputs[k + 1 : t + 1]
    up, down = advance(hs[k] + nudges, between, W_hh)[-1], advance(hs[k] - nudges, between, W_hh)[-1]
    return ((up - down) / (2 * NUDGE)).T


@pytest.mark.kept("it is the plain case.")
@pytest.mark.part("jacobian")
@pytest.mark.points(2.5)
def test_step_jacobian(student, rng):
    """step_jacobian: the derivative of each unit of h_t by each unit of the state before."""
    hs, W_hh, inputs = draw_states(rng, T=2, H=5)
    close(student.step_jacobian(hs[1], W_hh), jacobian_of(hs, W_hh, inputs, 0, 1))


@pytest.mark.kept("the plain case has no unit at 0 or 1.")
@pytest.mark.part("jacobian")
@pytest.mark.points(1)
def test_step_jacobian_of_a_saturated_unit(student, rng):
    """step_jacobian where one unit is saturated and one is at zero."""
    W_hh = rng.uniform(-1, 1, (4, 4))
    h = np.array([0.0, 1.0, rng.uniform(0.3, 0.6), rng.uniform(-0.6, -0.3)])
    a = np.array([0.0, 40.0, *np.arctanh(h[2:])])
    slope = slope_of_tanh(a)
    want = np.array([[slope[i] * W_hh[i, j] for j in range(4)] for i in range(4)])
    close(student.step_jacobian(h, W_hh), want)


@pytest.mark.kept("it gives points to a right factor, whatever the product.")
@pytest.mark.part("jacobian")
@pytest.mark.points(1)
def test_jacobian_product_of_neighbours(student, rng):
    """jacobian_product from one step to the same step, and to the next."""
    hs, W_hh, inputs = draw_states(rng, T=6, H=4)
    k = int(rng.integers(1, 4))
    close(student.jacobian_product(hs, W_hh, k, k + 1), jacobian_of(hs, W_hh, inputs, k, k + 1))
    close(student.jacobian_product(hs, W_hh, k, k), np.eye(4))


@pytest.mark.kept("it is the plain case.")
@pytest.mark.part("jacobian")
@pytest.mark.points(3)
def test_jacobian_product(student, rng):
    """jacobian_product over three steps in the middle of a sequence."""
    hs, W_hh, inputs = draw_states(rng, T=7, H=5)
    close(student.jacobian_product(hs, W_hh, 2, 5), jacobian_of(hs, W_hh, inputs, 2, 5))


@pytest.mark.kept("row 0 and the last row are where an index runs out.")
@pytest.mark.part("jacobian")
@pytest.mark.points(2)
def test_jacobian_product_from_end_to_end(student, rng):
    """jacobian_product from the first row of hs to the last takes a gradient v back as backward does."""
    hs, W_hh, inputs = draw_states(rng, T=5, H=6)
    v = rng.uniform(-1, 1, 6)
    got = student.jacobian_product(hs, W_hh, 0, 4)
    require(got.shape == (6, 6), f"the product has shape {got.shape}; (6, 6) is asked")
    close(v @ got, v @ jacobian_of(hs, W_hh, inputs, 0, 4))


@pytest.mark.kept("each function may write into what it is given.")
@pytest.mark.part("jacobian")
@pytest.mark.points(0.25)
@pytest.mark.parametrize("name", ["step_jacobian", "jacobian_product"])
def test_jacobian_keeps_its_inputs(student, rng, name):
    """{name} leaves the states and W_hh as they were."""
    hs, W_hh, inputs = draw_states(rng, T=4, H=3)
    states, *rows = (hs[3],) if name == "step_jacobian" else (hs, 2, 3)
    got, after = student.returning_args(name, states, W_hh, *rows)
    close(got, jacobian_of(hs, W_hh, inputs, 2, 3))
    unchanged("h" if name == "step_jacobian" else "hs", states, after[0])
    unchanged("W_hh", W_hh, after[1])


def scalar_function(shape, formula):
    """Return f for numerical_grad: formula on arrays of the right shape, NaN on anything else."""

    def f(value):
        right = isinstance(value, np.ndarray) and value.shape == shape and value.dtype.kind in "fiu"
        return float(formula(value.astype(np.float64))) if right else math.nan

    return f


@pytest.mark.kept("a matrix shows what a vector hides, and the vector has points of its own.")
@pytest.mark.part("jacobian")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("shape", [(5,), (2, 3)], ids=["vector", "matrix"])
def test_numerical_grad(student, rng, shape):
    """numerical_grad of a smooth function of a {shape}."""
    a, w = rng.uniform(-1, 1, shape), rng.uniform(0.5, 2.0, shape)
    f = scalar_function(shape, lambda v: np.sin(w * v).sum() + np.prod(v + 2.0))
    close(student.numerical_grad(f, a), w * np.cos(w * a) + np.prod(a + 2.0) / (a + 2.0))


@pytest.mark.kept("a small eps is where one-sided differences look right.")
@pytest.mark.part("jacobian")
@pytest.mark.points(1)
def test_numerical_grad_of_a_strong_curve(student, rng):
    """numerical_grad where the function curves strongly: a difference to one side only would be far off."""
    a, slope = rng.uniform(-1, 1, 4), rng.uniform(0.5, 2.0, 4)
    f = scalar_function((4,), lambda v: (slope * v).sum() + 2e5 * ((v - a) ** 2).sum())
    close(student.numerical_grad(f, a), slope)


@pytest.mark.part("jacobian")
@pytest.mark.points(1)
def test_numerical_grad_uses_eps(student, rng):
    """numerical_grad moves each entry by the eps it is given."""
    a, w, eps = rng.uniform(1.5, 2.5, (3, 2)), rng.uniform(0.5, 2.0, (3, 2)), 0.5
    f = scalar_function((3, 2), lambda v: (w * v**3).sum())
    close(student.numerical_grad(f, a, eps), w * ((a + eps) ** 3 - (a - eps) ** 3) / (2 * eps))


@pytest.mark.part("jacobian")
@pytest.mark.points(1)
def test_numerical_grad_keeps_a(student, rng):
    """numerical_grad leaves a as it was, and moves one entry at a time."""
    a, w = rng.uniform(-1, 1, (2, 1, 3)), rng.uniform(-1, 1, (6, 6))
    f = scalar_function(a.shape, lambda v: v.ravel() @ w @ v.ravel())
    got, after = student.returning_args("numerical_grad", f, a)
    close(got, ((w + w.T) @ a.ravel()).reshape(a.shape))
    observe("a after the call", after[1])
    require(error(after[1], a) < 1e-9, "the call changed the values of its argument a")


# --- Part truncation -------------------------------------------------------------------------------------


def _truncated(student, case, k, name):
    """Return (got, want) of one gradient of truncated_backward."""
    hs, cache = student.rnn_forward(case.x, case.h0, case.params)
    got = student.truncated_backward(case.dhs, cache, k)[name]
    return got, fair_gradient(sequence_run(student), case, hs, got, name, window=k)


@pytest.mark.kept("each gradient has points of its own.")
@pytest.mark.part("truncation")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("name", TENSORS)
def test_truncated(student, rng, name):
    """truncated_backward with k = 2 and five steps: the gradient by {name}."""
    got, want = _truncated(student, draw(rng, B=2, T=5, D=3, H=4), 2, name)
    close(got, want)


@pytest.mark.kept("k = 1 and k = T are where a window that is off by one shows.")
@pytest.mark.part("truncation")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("k", [1, 4, 7], ids=["k=1", "k=T", "k=T+3"])
def test_truncated_at_the_ends(student, rng, k):
    """truncated_backward of four steps with k = {k}: the gradient by W_hh."""
    got, want = _truncated(student, draw(rng, B=3, T=4, D=2, H=5), k, "W_hh")
    close(got, want)


@pytest.mark.kept("windows as long as the sequence and longer ones are told apart.")
@pytest.mark.part("truncation")
@pytest.mark.points(0.25)
@pytest.mark.parametrize("k", [4, 7], ids=["k=T", "k=T+3"])
def test_truncated_reaches_h0(student, rng, k):
    """truncated_backward of four steps with k = {k}: the gradient by h0 is that of every loss."""
    got, want = _truncated(student, draw(rng, B=3, T=4, D=2, H=5), k, "h0")
    close(got, want)


@pytest.mark.kept("an axis may be lost at B = 1 or at T = 1 alone.")
@pytest.mark.part("truncation")
@pytest.mark.points(0.25)
@pytest.mark.parametrize(("B", "T"), [(1, 4), (3, 1)], ids=["B=1", "T=1"])
def test_truncated_of_one(student, rng, B, T):
    """truncated_backward with k = 2 where the batch has {B} and the sequence {T} entries."""
    case = draw(rng, B=B, T=T, D=2, H=5)
    got, want = _truncated(student, case, 2, "h0")
    close(got, want)
    _, cache = student.rnn_forward(case.x, case.h0, case.params)
    shapes_kept(student.truncated_backward(case.dhs, cache, 2), case.given)


@pytest.mark.kept("it alone asks for exact zeros beyond the cut.")
@pytest.mark.part("truncation")
@pytest.mark.points(0.75)
def test_truncated_reach(student, rng):
    """truncated_backward of one large loss: the gradient by x reaches k steps and is exactly zero before."""
    case, k, t = draw(rng, B=2, T=7, D=4, H=3), 3, 5
    dhs = np.zeros_like(case.dhs)
    dhs[:, t] = 1000 * case.dhs[:, t]
    got, want = _truncated(student, case.replace(dhs=dhs), k, "x")
    close(got, want)
    require(np.all(got[:, : t - k + 1] == 0), "the gradient is not exactly zero beyond the cut")


@pytest.mark.part("truncation")
@pytest.mark.points(0.5)
def test_truncated_keeps_its_inputs(student, rng):
    """truncated_backward leaves dhs and its cache as they were."""
    case = draw(rng, B=3, T=4, D=2, H=5)
    hs, cache = student.rnn_forward(case.x, case.h0, case.params)
    first, after = student.returning_args("truncated_backward", case.dhs, cache, 2)
    close(first["x"], fair_gradient(sequence_run(student), case, hs, first["x"], "x", window=2))
    unchanged("dhs", case.dhs, after[0])
    again = student.truncated_backward(case.dhs, cache, 2)
    same_again({name: first[name] for name in TENSORS}, again)


def draw_grads(rng):
    """Return gradients of several shapes whose norms differ much."""
    return {
        "W": 2.0 * rng.uniform(0.2, 1, (4, 3)) * rng.choice([-1, 1], (4, 3)),
        "U": rng.uniform(0.4, 1, (2, 5)) * rng.choice([-1, 1], (2, 5)),
        "b": 0.3 * rng.uniform(-1, 1, 6),
    }


def brute_norm(grads):
    """Return the norm over all entries of all arrays."""
    return math.sqrt(math.fsum(float(v) ** 2 for g in grads.values() for v in g.ravel()))


def clipped_by(student, grads, max_norm):
    """Return the student's (clipped, norm), with clipped as a dict of the right names."""
    clipped, norm = student.clip_global_norm(grads, max_norm)
    require(
        isinstance(clipped, dict) and set(clipped) >= set(grads),
        "the clipped gradients are no dict with the same names",
    )
    require(
        all(isinstance(clipped[name], np.ndarray) for name in grads),
        "an entry of the clipped gradients is no array",
    )
    return clipped, norm


@pytest.mark.part("truncation")
@pytest.mark.points(1)
def test_clip(student, rng):
    """clip_global_norm scales all gradients by one factor, where the norm is far above the limit or just above it."""
    grads = draw_grads(rng)
    norm = brute_norm(grads)
    for share in (0.1, 0.95):  # a tenth of the norm is below the largest entry, most of it is above every entry
        clipped, _ = clipped_by(student, grads, share * norm)
        for name in grads:
            close(clipped[name], share * grads[name])


@pytest.mark.kept("the norm has points of its own.")
@pytest.mark.part("truncation")
@pytest.mark.points(1)
def test_clip_norm(student, rng):
    """clip_global_norm returns the norm before clipping, whatever shapes there are."""
    grads = draw_grads(rng)
    close(clipped_by(student, grads, 1.25)[1], brute_norm(grads))
    grads["K"] = rng.uniform(-1, 1, (2, 1, 3))
    close(clipped_by(student, grads, 1.25)[1], brute_norm(grads))


@pytest.mark.part("truncation")
@pytest.mark.points(1)
def test_clip_of_small_gradients(student, rng):
    """clip_global_norm leaves gradients below the limit alone, zero gradients too."""
    grads = draw_grads(rng)
    norm = brute_norm(grads)
    clipped, got = clipped_by(student, grads, 1.5 * norm)
    for name in grads:
        close(clipped[name], grads[name])
    close(got, norm)
    zeros = {name: np.zeros_like(g) for name, g in grads.items()}
    clipped, got = clipped_by(student, zeros, 1.5)
    require(got == 0, "the norm of zero gradients is not 0")
    require(not any(clipped[name].any() for name in zeros), "zero gradients did not stay zero")


@pytest.mark.part("truncation")
@pytest.mark.points(0.75)
def test_clip_keeps_its_inputs(student, rng):
    """clip_global_norm leaves the gradients it was given as they were."""
    grads = draw_grads(rng)
    (_, got), after = student.returning_args("clip_global_norm", grads, 0.5)
    close(got, brute_norm(grads))
    for name in grads:
        unchanged(f"grads[{name!r}]", grads[name], after[0][name])
