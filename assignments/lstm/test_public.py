"""The public suite of the LSTM assignment: run it as often as you like with `grader check`.

It holds no solution. What is right is found the slow way: the cell written out unit by unit, and differences: move
one number a little, run forward again, look how far the loss moves. The hidden suite that decides on points asks the
same questions about more cases; the points here show roughly where you stand.

`student.f(...)` calls your function f, with copies of the arguments. `close(got, want)` asks for the same shape and
for max|got - want| <= 1e-4 * max(|got| + |want|), or for a tolerance that is given.
"""

import math

import numpy as np
import pytest

from grader.checking import close, require

NUDGE = 1e-5
PARAMS = [f"{kind}_{gate}" for gate in "ifgo" for kind in "WUb"]


# --- The slow way ----------------------------------------------------------------------------------------


def slow_run(x, h0, c0, **params):
    """Return (hs, c_last), worked out one sequence, one step and one unit after another."""
    B, T, D = x.shape
    units = range(h0.shape[1])
    hs, cells = np.zeros((B, T, h0.shape[1])), c0.copy()
    for b in range(B):
        last = h0[b]
        for t in range(T):
            for unit in units:

                def logit(gate, unit=unit, b=b, t=t, last=last):
                    total = params[f"b_{gate}"][unit]
                    total += math.fsum(params[f"W_{gate}"][unit, j] * x[b, t, j] for j in range(D))
                    return total + math.fsum(params[f"U_{gate}"][unit, j] * last[j] for j in units)

                share = {gate: 1 / (1 + math.exp(-logit(gate))) for gate in "ifo"}
                cells[b, unit] = share["f"] * cells[b, unit] + share["i"] * math.tanh(logit("g"))
                hs[b, t, unit] = share["o"] * math.tanh(cells[b, unit])
            last = hs[b, t]
    return hs, cells


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


def slow_backward(inputs, dhs, dc_last, name):
    """Return the gradient of sum(dhs * hs) + sum(dc_last * c_last) by inputs[name]."""

    def loss(value):
        hs, c_last = slow_run(**{**inputs, name: value})
        return (dhs * hs).sum() + (dc_last * c_last).sum()

    return slow_gradient(loss, inputs[name])


def draw(rng, B, T, D, H):
    """Return random inputs by name, and upstream gradients dhs and dc_last."""
    shapes = {"x": (B, T, D), "h0": (B, H), "c0": (B, H)}
    shapes |= {name: {"W": (H, D), "U": (H, H), "b": (H,)}[name[0]] for name in PARAMS}
    inputs = {name: rng.uniform(-1, 1, shape) for name, shape in shapes.items()}
    return inputs, rng.uniform(-1, 1, (B, T, H)), rng.uniform(-1, 1, (B, H))


def split(inputs, one_step=False):
    """Return (x, h0, c0, params) as lstm_forward takes them, or as lstm_step_forward does."""
    x = inputs["x"][:, 0] if one_step else inputs["x"]
    return x, inputs["h0"], inputs["c0"], {name: inputs[name] for name in PARAMS}


# --- step_forward ----------------------------------------------------------------------------------------


@pytest.mark.part("step_forward")
@pytest.mark.points(7)
@pytest.mark.parametrize("what", ["c", "h"])
def test_step(student, rng, what):
    """lstm_step_forward: {what} of three sequences."""
    inputs, _, _ = draw(rng, B=3, T=1, D=2, H=4)
    hs, c_last = slow_run(**inputs)
    h, c, _ = student.lstm_step_forward(*split(inputs, one_step=True))
    if what == "c":
        close(c, c_last)
    else:
        close(h, hs[:, 0])


@pytest.mark.part("step_forward")
@pytest.mark.points(3)
def test_step_keeps_what_it_should(student, rng):
    """lstm_step_forward with f = 1 and i = 0: c is c_prev."""
    inputs, _, _ = draw(rng, B=2, T=1, D=3, H=4)
    inputs["b_f"], inputs["b_i"] = np.full(4, 40.0), np.full(4, -40.0)
    _, c, _ = student.lstm_step_forward(*split(inputs, one_step=True))
    close(c, inputs["c0"])


@pytest.mark.part("step_forward")
@pytest.mark.points(3)
def test_step_of_huge_logits(student, rng):
    """lstm_step_forward with biases of 800 and -800 in the three gates: nothing overflows."""
    inputs, _, _ = draw(rng, B=2, T=1, D=3, H=2)
    inputs["b_i"], inputs["b_f"] = np.array([800.0, -800.0]), np.array([-800.0, 800.0])
    written, kept = np.tanh(split(inputs, True)[0] @ inputs["W_g"].T + inputs["h0"] @ inputs["U_g"].T), inputs["c0"]
    written = np.tanh(np.arctanh(written) + inputs["b_g"])
    _, c, _ = student.lstm_step_forward(*split(inputs, one_step=True))
    close(c, np.stack([written[:, 0], kept[:, 1]], axis=1))


@pytest.mark.part("step_forward")
@pytest.mark.points(2)
def test_step_keeps_its_inputs(student, rng):
    """lstm_step_forward leaves x, h_prev and c_prev as they were."""
    inputs, _, _ = draw(rng, B=2, T=1, D=3, H=4)
    args = split(inputs, one_step=True)
    (_, c, _), after = student.returning_args("lstm_step_forward", *args)
    require(np.any(c != 0), "c is zero everywhere")
    for name, before, value in zip(("x", "h_prev", "c_prev"), args, after, strict=False):
        close(value, before, 0.0, name=f"{name} after the call")


# --- step_backward ---------------------------------------------------------------------------------------


@pytest.mark.part("step_backward")
@pytest.mark.points(4)
@pytest.mark.parametrize("what", ["dx", "dh_prev", "dc_prev"])
def test_step_backward(student, rng, what):
    """lstm_step_backward: {what}."""
    inputs, dhs, dc_last = draw(rng, B=2, T=1, D=3, H=4)
    _, c, cache = student.lstm_step_forward(*split(inputs, one_step=True))
    close(c, slow_run(**inputs)[1], name="c")
    result = student.lstm_step_backward(dhs[:, 0], dc_last, cache)
    at = ["dx", "dh_prev", "dc_prev"].index(what)
    want = slow_backward(inputs, dhs, dc_last, ["x", "h0", "c0"][at])
    close(result[at], want[:, 0] if what == "dx" else want)


@pytest.mark.part("step_backward")
@pytest.mark.points(3.5)
@pytest.mark.parametrize("gate", list("ifgo"))
def test_step_backward_grads(student, rng, gate):
    """lstm_step_backward: the gradients of the three parameters of {gate}."""
    inputs, dhs, dc_last = draw(rng, B=2, T=1, D=2, H=3)
    _, c, cache = student.lstm_step_forward(*split(inputs, one_step=True))
    close(c, slow_run(**inputs)[1], name="c")
    grads = student.lstm_step_backward(dhs[:, 0], dc_last, cache)[3]
    for kind in "bWU":
        name = f"{kind}_{gate}"
        close(grads[name], slow_backward(inputs, dhs, dc_last, name), name=name)


# --- sequence --------------------------------------------------------------------------------------------


@pytest.mark.part("sequence")
@pytest.mark.points(5)
def test_forward(student, rng):
    """lstm_forward: h after every step, and c after the last."""
    inputs, _, _ = draw(rng, B=2, T=4, D=3, H=5)
    hs, c_last, _ = student.lstm_forward(*split(inputs))
    want_hs, want_c = slow_run(**inputs)
    close(hs, want_hs, name="hs")
    close(c_last, want_c, name="c_last")


@pytest.mark.part("sequence")
@pytest.mark.points(3)
@pytest.mark.parametrize("name", ["x", "h0", "c0"])
def test_backward(student, rng, name):
    """lstm_backward: the gradient of {name}."""
    inputs, dhs, dc_last = draw(rng, B=2, T=4, D=3, H=2)
    hs, _, cache = student.lstm_forward(*split(inputs))
    close(hs, slow_run(**inputs)[0], name="hs")
    dx, dh0, dc0, _ = student.lstm_backward(dhs, dc_last, cache)
    close({"x": dx, "h0": dh0, "c0": dc0}[name], slow_backward(inputs, dhs, dc_last, name))


@pytest.mark.part("sequence")
@pytest.mark.points(2)
@pytest.mark.parametrize("gate", list("ifgo"))
def test_backward_grads(student, rng, gate):
    """lstm_backward: the gradients of the three parameters of {gate}."""
    inputs, dhs, dc_last = draw(rng, B=2, T=3, D=1, H=2)
    hs, _, cache = student.lstm_forward(*split(inputs))
    close(hs, slow_run(**inputs)[0], name="hs")
    grads = student.lstm_backward(dhs, dc_last, cache)[3]
    for kind in "bWU":
        name = f"{kind}_{gate}"
        close(grads[name], slow_backward(inputs, dhs, dc_last, name), name=name)


@pytest.mark.part("sequence")
@pytest.mark.points(4)
def test_backward_of_the_last_cell(student, rng):
    """lstm_backward where only dc_last is not zero: the gradient of c0."""
    inputs, dhs, dc_last = draw(rng, B=3, T=3, D=2, H=4)
    hs, _, cache = student.lstm_forward(*split(inputs))
    close(hs, slow_run(**inputs)[0], name="hs")
    dc0 = student.lstm_backward(np.zeros_like(dhs), dc_last, cache)[2]
    close(dc0, slow_backward(inputs, np.zeros_like(dhs), dc_last, "c0"))


@pytest.mark.part("sequence")
@pytest.mark.points(2)
def test_backward_keeps_its_inputs(student, rng):
    """lstm_backward leaves dhs and dc_last as they were."""
    inputs, dhs, dc_last = draw(rng, B=2, T=3, D=2, H=4)
    _, _, cache = student.lstm_forward(*split(inputs))
    result, after = student.returning_args("lstm_backward", dhs, dc_last, cache)
    require(np.any(result[0] != 0), "the gradient of x is zero everywhere")
    close(after[0], dhs, 0.0, name="dhs after the call")
    close(after[1], dc_last, 0.0, name="dc_last after the call")


@pytest.mark.part("sequence")
@pytest.mark.points(6)
def test_backward_is_fast(student, rng):
    """lstm_backward takes no more than a moment at batch 8 with 40 units (differences would take minutes)."""
    inputs, dhs, dc_last = draw(rng, B=8, T=24, D=40, H=40)
    for name in PARAMS:
        inputs[name] /= 4
    _, _, cache = student.lstm_forward(*split(inputs))
    with student.limit(cpu_seconds=0.5):
        result = student.lstm_backward(dhs, dc_last, cache)
    require(np.any(result[1] != 0), "the gradient of h0 is zero everywhere")


# --- memory ----------------------------------------------------------------------------------------------


@pytest.mark.part("memory")
@pytest.mark.points(6)
def test_path(student, rng):
    """cell_gradient_path: how far c_3 moves with c_1, where no gate looks at h and so no other way is open."""
    inputs, _, _ = draw(rng, B=2, T=5, D=3, H=4)
    for gate in "ifgo":
        inputs[f"U_{gate}"] = np.zeros((4, 4))
    _, _, cache = student.lstm_forward(*split(inputs))

    def later(cell):
        return slow_run(**{**inputs, "x": inputs["x"][:, 2:4], "c0": cell})[1]

    middle = slow_run(**{**inputs, "x": inputs["x"][:, :2]})[1]
    close(student.cell_gradient_path(cache, 1, 3), (later(middle + NUDGE) - later(middle - NUDGE)) / (2 * NUDGE))


@pytest.mark.part("memory")
@pytest.mark.points(5)
def test_forget_bias(student, rng):
    """forget_bias_init: all entries of b_f, and nothing else."""
    inputs, _, _ = draw(rng, B=1, T=1, D=2, H=3)
    params = split(inputs)[3]
    got = student.forget_bias_init(params, 1.0)
    close(got["b_f"], np.ones(3), name="b_f")
    for name in PARAMS:
        if name != "b_f":
            close(got[name], params[name], name=name)


@pytest.mark.part("memory")
@pytest.mark.points(7)
def test_carousel(student, rng):
    """carousel and lstm_forward: c after 1,000 steps is c0, to within 1e-12."""
    inputs, _, _ = draw(rng, B=2, T=1000, D=3, H=4)
    x, h0, _, params = split(inputs)
    c0 = rng.integers(-8, 9, (2, 4)) / 8  # numbers that float32 holds as well
    _, c_last, _ = student.lstm_forward(x, h0, c0, student.carousel(params))
    close(c_last, c0, 1e-12)
