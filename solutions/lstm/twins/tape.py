"""A correct solution: a small reverse-mode tape that knows nothing of cells; backward replays what was recorded."""

import numpy as np


class Var:
    """An array, with the rules that send its gradient on."""

    def __init__(self, data, *sources):
        self.data = np.asarray(data)
        self.sources = sources  # pairs (Var, rule)
        self.grad = None

    def __add__(self, other):
        return Var(self.data + other.data, (self, lambda d: _fit(d, self)), (other, lambda d: _fit(d, other)))

    def __mul__(self, other):
        return Var(self.data * other.data, (self, lambda d: d * other.data), (other, lambda d: d * self.data))

    def times(self, weight):
        return Var(self.data @ weight.data.T, (self, lambda d: d @ weight.data), (weight, lambda d: d.T @ self.data))

    def tanh(self):
        out = np.tanh(self.data)
        return Var(out, (self, lambda d: d * (1 - out * out)))

    def sigmoid(self):
        z = self.data
        with np.errstate(over="ignore"):
            out = np.where(z < 0, np.exp(np.minimum(z, 0)) / (1 + np.exp(np.minimum(z, 0))), 1 / (1 + np.exp(-z)))
        return Var(out, (self, lambda d: d * (out - out * out)))


def _fit(d, var):
    return d.sum(axis=0) if d.ndim > var.data.ndim else d


def _replay(seeds, leaves):
    """Return the gradients of the leaves for seeds [(Var, gradient)]."""
    order, seen, stack = [], set(), [(var, False) for var, _ in seeds]
    while stack:
        var, finished = stack.pop()
        if finished:
            order.append(var)
        elif id(var) not in seen:
            seen.add(id(var))
            stack.append((var, True))
            stack += [(source, False) for source, _ in var.sources]
    for var in order:
        var.grad = np.zeros_like(var.data, dtype=float)
    for leaf in leaves:
        leaf.grad = np.zeros_like(leaf.data, dtype=float)
    for var, seed in seeds:
        var.grad = var.grad + seed
    for var in reversed(order):
        for source, rule in var.sources:
            source.grad = source.grad + rule(var.grad)
    return [leaf.grad for leaf in leaves]


class Record:
    """What one run has left: its leaves, and for each step h, c and the forget gate."""

    def __init__(self, xs, h0, c0, params):
        self.xs = [Var(x) for x in xs]
        self.h0, self.c0 = Var(h0), Var(c0)
        self.params = {name: Var(array) for name, array in params.items()}
        self.hs, self.cs, self.forget = [], [], []
        h, c = self.h0, self.c0
        for x in self.xs:
            i, f, g, o = (self._logit(gate, x, h) for gate in "ifgo")
            self.forget.append(f.sigmoid())
            c = self.forget[-1] * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            self.hs.append(h)
            self.cs.append(c)

    def _logit(self, gate, x, h):
        p = self.params
        return x.times(p["W_" + gate]) + h.times(p["U_" + gate]) + p["b_" + gate]

    def gradients(self, dhs, dc):
        leaves = [self.h0, self.c0, *self.xs, *self.params.values()]
        seeds = [(h, dhs[:, t]) for t, h in enumerate(self.hs)] + [(self.cs[-1], dc)]
        dh0, dc0, *rest = _replay(seeds, leaves)
        T = len(self.xs)
        return np.stack(rest[:T], axis=1), dh0, dc0, dict(zip(self.params, rest[T:], strict=True))


def lstm_step_forward(x, h_prev, c_prev, params):
    record = Record([x], h_prev, c_prev, params)
    return record.hs[0].data, record.cs[0].data, record


def lstm_step_backward(dh, dc, cache):
    dx, *rest = cache.gradients(dh[:, None], dc)
    return dx[:, 0], *rest


def lstm_forward(x, h0, c0, params):
    record = Record(x.transpose(1, 0, 2), h0, c0, params)
    return np.stack([h.data for h in record.hs], axis=1), record.cs[-1].data, record


def lstm_backward(dhs, dc_last, cache):
    return cache.gradients(dhs, dc_last)


def forget_bias_init(params, value):
    new = {name: array.copy() for name, array in params.items()}
    new["b_f"][...] = value
    return new


def carousel(params):
    new = {name: array.copy() for name, array in params.items()}
    for name in ("W_i", "W_f", "U_i", "U_f"):
        new[name] *= 0
    new["b_i"][:] = -800
    new["b_f"][:] = 800
    return new


def cell_gradient_path(cache, k, t):
    """Ask the tape: cut every h off, and send ones back from c_t to c_k."""
    cell = start = Var((cache.cs[k] if k >= 0 else cache.c0).data)
    for step in range(k + 1, t + 1):
        cell = Var(cache.forget[step].data) * cell
    return _replay([(cell, np.ones_like(cell.data))], [start])[0]
