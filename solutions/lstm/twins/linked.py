"""A correct solution: a chain of linked cells, followed back by recursion; results in Fortran order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

F = np.asfortranarray


def sigmoid(z):
    return np.exp(-np.logaddexp(0, -z))


@dataclass
class Cell:
    x: np.ndarray
    h_prev: np.ndarray
    c_prev: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c: np.ndarray
    params: dict
    before: Cell | None = None
    number: int = 0


def lstm_step_forward(x, h_prev, c_prev, params, before=None):
    def logit(k):
        return (params[f"W_{k}"] @ x.T + params[f"U_{k}"] @ h_prev.T + params[f"b_{k}"][:, None]).T

    i, f, o = map(sigmoid, map(logit, "ifo"))
    g = np.tanh(logit("g"))
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return F(h), F(c), Cell(x, h_prev, c_prev, i, f, g, o, c, params, before, before.number + 1 if before else 0)


def lstm_step_backward(dh, dc, cache):
    m = cache
    t = np.tanh(m.c)
    total = dc + dh * m.o / np.cosh(np.clip(m.c, -300, 300)) ** 2
    dz = {
        "i": total * m.g * m.i * (1 - m.i),
        "f": total * m.c_prev * m.f * (1 - m.f),
        "g": total * m.i * (1 - m.g) * (1 + m.g),
        "o": dh * t * m.o * (1 - m.o),
    }
    dx = sum(dz[k] @ m.params["W_" + k] for k in dz)
    dhp = sum(dz[k] @ m.params["U_" + k] for k in dz)
    grads = {}
    for k, v in dz.items():
        grads["W_" + k], grads["U_" + k], grads["b_" + k] = F(v.T @ m.x), F(v.T @ m.h_prev), v.sum(axis=0)
    return F(dx), F(dhp), F(total * m.f), grads


def lstm_forward(x, h0, c0, params):
    cell, h, c, out = None, h0, c0, []
    for xt in x.transpose(1, 0, 2):
        h, c, cell = lstm_step_forward(xt, h, c, params, cell)
        out.append(h)
    return F(np.stack(out, 1)), c, cell


def lstm_backward(dhs, dc_last, cache):
    def go(cell, dh, dc):
        dx, dh, dc, g = lstm_step_backward(dhs[:, cell.number] + dh, dc, cell)
        if cell.before is None:
            return [dx], dh, dc, g
        xs, h0, c0, G = go(cell.before, dh, dc)
        return [*xs, dx], h0, c0, {k: G[k] + g[k] for k in g}

    xs, h0, c0, G = go(cache, 0, dc_last)
    return np.stack(xs, 1), h0, c0, G


def forget_bias_init(params, value):
    return {k: F(np.full(v.shape, float(value)) if k == "b_f" else v) for k, v in params.items()}


def carousel(params):
    def new(name, v):
        kind, gate = name.split("_")
        if gate not in "if":
            return v.copy()
        return np.full(v.shape, {"i": -37.0, "f": 37.0}[gate]) if kind == "b" else np.zeros(v.shape)

    return {k: new(k, v) for k, v in params.items()}


def cell_gradient_path(cache, k, t):
    while cache.number > t and cache.before is not None:
        cache = cache.before

    def back(cell, n):
        if n == 0:
            return np.ones_like(cell.c) if cell is not None else None
        if n == 1:
            return cell.f.copy()
        return cell.f * back(cell.before, n - 1)

    return back(cache, t - k)
