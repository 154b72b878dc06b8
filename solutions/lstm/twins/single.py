"""A correct solution in single precision that prints and warns: parts are small objects, gradients go as a tuple."""

import warnings
from collections import namedtuple

import numpy as np

F = np.float32
NAMES = ["W_i", "U_i", "b_i", "W_f", "U_f", "b_f", "W_g", "U_g", "b_g", "W_o", "U_o", "b_o"]
Step = namedtuple("Step", "gates tail")
Tail = namedtuple("Tail", "c_prev new_c")


class Gate:
    """One gate or the candidate at one step."""

    def __init__(self, weight, recurrent, bias, squash, slope):
        self.weight, self.recurrent, self.bias = weight, recurrent, bias
        self.squash, self.slope = squash, slope

    def __call__(self, x, h):
        self.x, self.h = x, h
        self.out = self.squash(x @ self.weight.T + h @ self.recurrent.T + self.bias)
        return self.out

    def back(self, d_out):
        d = d_out * self.slope(self.out)
        return d @ self.weight, d @ self.recurrent, (d.T @ self.x, d.T @ self.h, d.sum(0))


def logistic(z):
    # exp overflows to infinity far out, with a warning, and 1 / infinity is the right answer
    return F(1) / (F(1) + np.exp(-z))


def f32(a):
    return np.array(a, dtype=F)


def gates_of(params):
    out = []
    for letter in "ifgo":
        arrays = [f32(params[f"{kind}_{letter}"]) for kind in "WUb"]
        if letter == "g":
            out.append(Gate(*arrays, np.tanh, lambda y: F(1) - y * y))
        else:
            out.append(Gate(*arrays, logistic, lambda y: y * (F(1) - y)))
    return out


def lstm_step_forward(x, h_prev, c_prev, params):
    print("step", x.shape, "sum of inputs", float(np.sum(x)))
    warnings.warn("single precision ahead", stacklevel=1)
    x, h_prev, c_prev = f32(x), f32(h_prev), f32(c_prev)
    gates = gates_of(params)
    i, f, g, o = [gate(x, h_prev) for gate in gates]
    c = i * g + f * c_prev
    return np.tanh(c) * o, c, Step(gates, Tail(c_prev, c))


def lstm_step_backward(dh, dc, cache):
    dh, dc = f32(dh), f32(dc)
    i, f, g, o = cache.gates
    t = np.tanh(cache.tail.new_c)
    dc = dc + dh * o.out * (F(1) - t * t)
    parts = [i.back(dc * g.out), f.back(dc * cache.tail.c_prev), g.back(dc * i.out), o.back(dh * t)]
    flat = tuple(array for part in parts for array in part[2])
    return sum(p[0] for p in parts), sum(p[1] for p in parts), dc * f.out, flat


def lstm_forward(x, h0, c0, params):
    h, c, out, steps = h0, c0, [], []
    x, params = f32(x), {name: f32(value) for name, value in params.items()}
    for t in range(x.shape[1]):
        h, c, step = lstm_step_forward(x[:, t], h, c, params)
        out.append(h[:, None])
        steps.append(step)
    return np.concatenate(out, axis=1), c, steps


def lstm_backward(dhs, dc_last, cache):
    dh, dc, dx, total = 0, dc_last, [], None
    for t, step in reversed(list(enumerate(cache))):
        d, dh, dc, grads = lstm_step_backward(dhs[:, t] + dh, dc, step)
        dx.append(d)
        total = grads if total is None else tuple(a + b for a, b in zip(total, grads, strict=True))
    return np.stack(dx[::-1], axis=1), dh, dc, total


def forget_bias_init(params, value):
    out = {name: f32(array) for name, array in params.items()}
    out["b_f"] = np.full(out["b_f"].shape, F(value))
    return tuple(out[name] for name in NAMES)


def carousel(params):
    zero = {"W_i", "U_i", "W_f", "U_f"}
    out = {name: f32(array) * F(name not in zero) for name, array in params.items()}
    return out | {"b_f": np.full_like(out["b_f"], 60), "b_i": np.full_like(out["b_i"], -60), "note": "kept"}


def cell_gradient_path(cache, k, t):
    path = np.ones_like(cache[0].tail.new_c)
    while t > k:
        path = path * cache[t].gates[1].out
        t -= 1
    return path
