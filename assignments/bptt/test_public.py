"""The public suite of the BPTT assignment: run it as often as you like with `grader check`.

It holds no solution. What is right is found the slow way: sums written out unit by unit, and differences:
move one number a little, run forward again, look how far the loss moves. The hidden suite that decides on
points asks the same questions about more cases; the points here show roughly where you stand.

`student.f(...)` calls your function f, with copies of the arguments. `close(got, want)` asks for the same
shape and for max|got - want| <= 1e-4 * max(|got| + |want|).
"""

import math

import numpy as np
import pytest

from grader.checking import close, require

NUDGE = 1e-5


# --- The slow way ----------------------------------------------------------------------------------------


def slow_states(x, h0, W_xh, W_hh, b_h):
    """Return all states (B, T, H), computed unit by unit."""
    B, T, D = x.shape
    units = range(len(b_h))
    states = np.zeros((B, T, len(b_h)))
    for b in range(B):
        last = [float(value) for value in h0[b]]
        for t in range(T):
            now = []
            for i in units:
                total = b_h[i]
                total += math.fsum(W_xh[i, j] * x[b, t, j] for j in range(D))
                total += math.fsum(W_hh[i, j] * last[j] for j in units)
                now.append(math.tanh(total))
            states[b, t] = last = now
    return states


def slow_loss(logits, y, mask):
    """Return the mean of -log softmax over the positions that count, one position at a time."""
    terms = []
    for b, t in zip(*np.nonzero(mask), strict=True):
        shift = float(logits[b, t].max())
        total = math.fsum(math.exp(float(value) - shift) for value in logits[b, t])
        terms.append(shift + math.log(total) - float(logits[b, t, y[b, t]]))
    return math.fsum(terms) / len(terms)


def slow_gradient(loss, value):
    """Return the derivative of loss(array) by every entry of `value`, by central differences."""
    gradient = np.zeros(value.shape)
    for place in np.ndindex(*value.shape):
        moved = []
        for nudge in (NUDGE, -NUDGE):
            changed = value.copy()
            changed[place] += nudge
            moved.append(loss(changed))
        gradient[place] = (moved[0] - moved[1]) / (2 * NUDGE)
    return gradient


def draw(rng, B, T, D, H):
    """Return random inputs by name, and an upstream gradient dhs of the states."""
    shapes = {"x": (B, T, D), "h0": (B, H), "W_xh": (H, D), "W_hh": (H, H), "b_h": (H,)}
    inputs = {name: rng.uniform(-1, 1, shape) for name, shape in shapes.items()}
    return inputs, rng.uniform(-1, 1, (B, T, H))


def split(inputs):
    """Return (x, h0, params) as rnn_forward takes them."""
    return inputs["x"], inputs["h0"], {name: inputs[name] for name in ("W_xh", "W_hh", "b_h")}


def slow_backward(inputs, dhs, name):
    """Return the gradient of sum(dhs * hs) by inputs[name]."""
    return slow_gradient(lambda value: (dhs * slow_states(**{**inputs, name: value})).sum(), inputs[name])


# --- derivation ------------------------------------------------------------------------------------------


@pytest.mark.part("derivation")
@pytest.mark.points(4)
def test_through_tanh(student, rng):
    """through_tanh: dL/da from dL/dh."""
    a, dh = rng.uniform(-1.5, 1.5, (2, 4)), rng.uniform(-1, 1, (2, 4))
    want = slow_gradient(lambda value: (dh * np.tanh(value)).sum(), a)
    close(student.through_tanh(dh, np.tanh(a)), want)


@pytest.mark.part("derivation")
@pytest.mark.points(4)
def test_carry(student, rng):
    """carry: how sum(da * a_t) changes with each unit of h_{t-1}."""
    da, h_prev, W_hh = rng.uniform(-1, 1, (2, 3)), rng.uniform(-1, 1, (2, 3)), rng.uniform(-1, 1, (3, 3))
    want = slow_gradient(lambda value: (da * (value @ W_hh.T)).sum(), h_prev)
    close(student.carry(da, W_hh), want)


@pytest.mark.part("derivation")
@pytest.mark.points(4)
def test_local_dW_hh(student, rng):
    """local_dW_hh: how sum(da * a_t) changes with each weight of this step."""
    da, h_prev, W_hh = rng.uniform(-1, 1, (2, 4)), rng.uniform(-1, 1, (2, 4)), rng.uniform(-1, 1, (4, 4))
    want = slow_gradient(lambda value: (da * (h_prev @ value.T)).sum(), W_hh)
    close(student.local_dW_hh(da, h_prev), want)


@pytest.mark.part("derivation")
@pytest.mark.points(3)
def test_bias_term(student, rng):
    """bias_term: how sum(da * a_t) changes with each bias."""
    da = rng.uniform(-1, 1, (3, 4))
    close(student.bias_term(da), slow_gradient(lambda value: (da * value).sum(), np.zeros(4)))


@pytest.mark.part("derivation")
@pytest.mark.points(5)
def test_double_sum(student, rng):
    """dW_hh_double_sum: every loss, through every use of W_hh."""
    inputs, dhs = draw(rng, B=2, T=4, D=2, H=3)
    got = student.dW_hh_double_sum(dhs, slow_states(**inputs), inputs["h0"], inputs["W_hh"])
    close(got, slow_backward(inputs, dhs, "W_hh"))


# --- step ------------------------------------------------------------------------------------------------


@pytest.mark.part("step")
@pytest.mark.points(4)
def test_step_forward(student, rng):
    """rnn_step_forward: one step of three sequences."""
    inputs, _ = draw(rng, B=3, T=1, D=2, H=4)
    x, h0, params = split(inputs)
    h, _ = student.rnn_step_forward(x[:, 0], h0, params["W_xh"], params["W_hh"], params["b_h"])
    close(h, slow_states(**inputs)[:, 0])


@pytest.mark.part("step")
@pytest.mark.points(5)
@pytest.mark.parametrize("what", ["inputs", "parameters"])
def test_step_backward(student, rng, what):
    """rnn_step_backward: the gradients of the {what}."""
    inputs, dhs = draw(rng, B=3, T=1, D=2, H=4)
    x, h0, params = split(inputs)
    h, cache = student.rnn_step_forward(x[:, 0], h0, params["W_xh"], params["W_hh"], params["b_h"])
    close(h, slow_states(**inputs)[:, 0])
    dx, dh_prev, dW_xh, dW_hh, db_h = student.rnn_step_backward(dhs[:, 0], cache)
    if what == "inputs":
        close(dx, slow_backward(inputs, dhs, "x")[:, 0], name="dx")
        close(dh_prev, slow_backward(inputs, dhs, "h0"), name="dh_prev")
    else:
        close(dW_xh, slow_backward(inputs, dhs, "W_xh"), name="dW_xh")
        close(dW_hh, slow_backward(inputs, dhs, "W_hh"), name="dW_hh")
        close(db_h, slow_backward(inputs, dhs, "b_h"), name="db_h")


# --- sequence --------------------------------------------------------------------------------------------


@pytest.mark.part("sequence")
@pytest.mark.points(6)
def test_forward(student, rng):
    """rnn_forward: the states after every step."""
    inputs, _ = draw(rng, B=2, T=5, D=3, H=4)
    hs, _ = student.rnn_forward(*split(inputs))
    close(hs, slow_states(**inputs))


@pytest.mark.part("sequence")
@pytest.mark.points(7)
@pytest.mark.parametrize("what", ["inputs", "parameters"])
def test_backward(student, rng, what):
    """rnn_backward: the gradients of the {what}."""
    inputs, dhs = draw(rng, B=2, T=4, D=2, H=3)
    hs, cache = student.rnn_forward(*split(inputs))
    close(hs, slow_states(**inputs))
    gradients = student.rnn_backward(dhs, cache)
    for name in ("x", "h0") if what == "inputs" else ("W_xh", "W_hh", "b_h"):
        close(gradients[name], slow_backward(inputs, dhs, name), name=name)


@pytest.mark.part("sequence")
@pytest.mark.points(2)
def test_backward_keeps_dhs(student, rng):
    """rnn_backward leaves the dhs it was given as it was."""
    inputs, dhs = draw(rng, B=2, T=3, D=2, H=4)
    _, cache = student.rnn_forward(*split(inputs))
    gradients, after = student.returning_args("rnn_backward", dhs, cache)
    require(np.any(gradients["x"] != 0), "the gradient of x is zero everywhere")
    close(after[0], dhs, name="dhs after the call")


@pytest.mark.part("sequence")
@pytest.mark.points(4)
def test_backward_is_fast(student, rng):
    """rnn_backward takes no more than a moment at batch 8 with 48 units (differences would take seconds)."""
    inputs, dhs = draw(rng, B=8, T=24, D=48, H=48)
    inputs["W_hh"] /= 4
    _, cache = student.rnn_forward(*split(inputs))
    with student.limit(cpu_seconds=0.5):
        gradients = student.rnn_backward(dhs, cache)
    require(np.any(gradients["h0"] != 0), "the gradient of h0 is zero everywhere")


# --- loss ------------------------------------------------------------------------------------------------


def draw_loss(rng):
    """Return logits, classes and a mask that pads the ends of three sequences."""
    mask = np.arange(4) < np.array([[4], [1], [2]])
    return rng.uniform(-2, 2, (3, 4, 5)), rng.integers(5, size=(3, 4)), mask


@pytest.mark.part("loss")
@pytest.mark.points(4)
def test_loss(student, rng):
    """masked_xent: the loss."""
    logits, y, mask = draw_loss(rng)
    close(student.masked_xent(logits, y, mask)[0], slow_loss(logits, y, mask))


@pytest.mark.part("loss")
@pytest.mark.points(5)
def test_loss_gradient(student, rng):
    """masked_xent: the gradient."""
    logits, y, mask = draw_loss(rng)
    want = slow_gradient(lambda value: slow_loss(value, y, mask), logits)
    close(student.masked_xent(logits, y, mask)[1], want)


@pytest.mark.part("loss")
@pytest.mark.points(4)
def test_loss_of_padding(student, rng):
    """masked_xent: what stands at padding changes nothing, and its gradient is exactly zero."""
    logits, y, mask = draw_loss(rng)
    loss, dlogits = student.masked_xent(np.where(mask[..., None], logits, 1e4), y, mask)
    close(loss, slow_loss(logits, y, mask))
    require(np.all(dlogits[~mask] == 0), "the gradient is not exactly zero at padding")


@pytest.mark.part("loss")
@pytest.mark.points(3)
def test_loss_of_large_logits(student, rng):
    """masked_xent: logits near 1,000 neither overflow nor lose the loss."""
    logits, y, mask = draw_loss(rng)
    close(student.masked_xent(logits * 50 + 1000, y, mask)[0], slow_loss(logits * 50 + 1000, y, mask))


# --- jacobian --------------------------------------------------------------------------------------------


@pytest.mark.part("jacobian")
@pytest.mark.points(5)
def test_step_jacobian(student, rng):
    """step_jacobian: column j is what a nudge of unit j of the state before changes."""
    W_hh, before, rest = rng.uniform(-1, 1, (3, 3)), rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3)
    moved = [[np.tanh(W_hh @ (before + s * n) + rest) for s in (1, -1)] for n in NUDGE * np.eye(3)]
    want = np.stack([(up - down) / (2 * NUDGE) for up, down in moved], axis=1)
    close(student.step_jacobian(np.tanh(W_hh @ before + rest), W_hh), want)


@pytest.mark.part("jacobian")
@pytest.mark.points(5)
def test_jacobian_product(student, rng):
    """jacobian_product: from row 1 of hs to rows 1, 2 and 3."""
    W_hh, hs = rng.uniform(-1, 1, (4, 4)), rng.uniform(-0.9, 0.9, (5, 4))
    close(student.jacobian_product(hs, W_hh, 1, 1), np.eye(4), name="k = t")
    # inputs that make the network pass through these states
    rest = [np.arctanh(hs[t]) - W_hh @ hs[t - 1] for t in range(1, 5)]

    def later(h, t):
        for s in range(2, t + 1):
            h = np.tanh(W_hh @ h + rest[s - 1])
        return h

    for t in (3, 2):
        want = [slow_gradient(lambda h, i=i, t=t: later(h, t)[i], hs[1]) for i in range(4)]
        close(student.jacobian_product(hs, W_hh, 1, t), np.stack(want), name=f"t = {t}")


@pytest.mark.part("jacobian")
@pytest.mark.points(4)
def test_numerical_grad(student, rng):
    """numerical_grad: of a cubic function, by central differences with the eps that is given."""
    a, eps = rng.uniform(-1, 1, (2, 3)), 0.5

    def f(value):
        right = isinstance(value, np.ndarray) and value.shape == (2, 3)
        return float((value**3).sum()) if right else math.nan

    # ((a + e)^3 - (a - e)^3) / 2e is 3 a^2 + e^2 exactly
    close(student.numerical_grad(f, a, eps), 3 * a**2 + eps**2, name="eps = 0.5")
    close(student.numerical_grad(f, a), 3 * a**2, name="eps left out")


# --- truncation ------------------------------------------------------------------------------------------


@pytest.mark.part("truncation")
@pytest.mark.points(5)
def test_truncated(student, rng):
    """truncated_backward: losses of steps 3 and 5, whose gradients reach back as far as k allows."""
    inputs, dhs = draw(rng, B=2, T=7, D=3, H=4)
    dhs[:, [0, 1, 2, 4, 6]] = 0.0
    hs, cache = student.rnn_forward(*split(inputs))
    close(hs, slow_states(**inputs), name="hs")
    of_3, of_5 = dhs.copy(), dhs.copy()
    of_3[:, 5] = of_5[:, 3] = 0.0
    whole_3, whole_5 = slow_backward(inputs, of_3, "x"), slow_backward(inputs, of_5, "x")
    # k = 3: the loss of step 3 reaches the inputs of steps 3, 2, 1; that of step 5 those of steps 5, 4, 3
    whole_3[:, :1] = whole_5[:, :3] = 0.0
    cut = student.truncated_backward(dhs, cache, 3)["x"]
    close(cut, whole_3 + whole_5, name="k = 3")
    require(np.all(cut[:, 0] == 0), "k = 3: the gradient of x is not exactly zero in step 0")
    # k = 9: nothing is cut
    close(student.truncated_backward(dhs, cache, 9)["x"], slow_backward(inputs, dhs, "x"), name="k = 9")


@pytest.mark.part("truncation")
@pytest.mark.points(5)
def test_clip(student, rng):
    """clip_global_norm: [3, 4] and [12] have the common norm 13."""
    grads = {"a": np.array([3.0, 4.0]), "b": np.array([12.0])}
    clipped, norm = student.clip_global_norm(grads, 2.6)
    close(norm, 13.0, name="norm")
    close(clipped["a"], np.array([0.6, 0.8]), name="a")
    close(clipped["b"], np.array([2.4]), name="b")
    untouched, _ = student.clip_global_norm(grads, 20.0)
    close(untouched["a"], grads["a"], name="a below the limit")
