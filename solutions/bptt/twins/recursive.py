"""A correct solution: dataclasses for steps, recursion over time, results in Fortran order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

F = np.asfortranarray


@dataclass
class Step:
    x: np.ndarray
    before: np.ndarray
    after: np.ndarray
    W_xh: np.ndarray
    W_hh: np.ndarray

    @property
    def slope(self):
        return (1 - self.after) * (1 + self.after)


@dataclass
class Run:
    steps: list[Step] = field(default_factory=list)


def through_tanh(dh, h):
    return F(dh * (1 - h) * (1 + h))


def carry(da, W_hh):
    return F((W_hh.T @ da.T).T)


def local_dW_hh(da, h_prev):
    return F(da.T @ h_prev)


def bias_term(da):
    return np.add.reduce(da)


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    def rec(t, dh):
        if t < 0:
            return np.zeros_like(W_hh)
        da = through_tanh(local_dhs[:, t] + dh, hs[:, t])
        prev = hs[:, t - 1] if t else h0
        return local_dW_hh(da, prev) + rec(t - 1, carry(da, W_hh))

    return rec(hs.shape[1] - 1, 0)


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    after = np.tanh((W_xh @ x.T + W_hh @ h_prev.T + b_h[:, None]).T)
    return after, Step(x, h_prev, after, W_xh, W_hh)


def rnn_step_backward(dh, cache):
    da = dh * cache.slope
    return F(da @ cache.W_xh), F(da @ cache.W_hh), F(da.T @ cache.x), F(da.T @ cache.before), da.sum(axis=0)


def rnn_forward(x, h0, params):
    run = Run()

    def go(t, h):
        if t == x.shape[1]:
            return []
        h, step = rnn_step_forward(x[:, t], h, **params)
        run.steps.append(step)
        return [h, *go(t + 1, h)]

    return np.stack(go(0, h0), axis=1), run


def rnn_backward(dhs, cache):
    def go(t, dh):
        if t < 0:
            s = cache.steps[0]
            return [], dh, np.zeros_like(s.W_xh), np.zeros_like(s.W_hh), np.zeros(len(s.W_hh))
        dx, back, a, b, c = rnn_step_backward(dhs[:, t] + dh, cache.steps[t])
        dxs, dh0, A, B, C = go(t - 1, back)
        return [*dxs, dx], dh0, A + a, B + b, C + c

    dxs, *rest = go(len(cache.steps) - 1, np.zeros_like(dhs[:, 0]))
    return dict(zip(["x", "h0", "W_xh", "W_hh", "b_h"], [np.stack(dxs, 1), *rest], strict=True))


def masked_xent(logits, y, mask):
    count = np.count_nonzero(mask)
    out = np.zeros_like(logits)
    if not count:
        return 0, out
    z, c = logits[mask], y[mask]
    lse = np.logaddexp.reduce(z, axis=1)
    p = np.exp(z - lse[:, None])
    p[np.arange(count), c] -= 1
    out[mask] = p / count
    return np.mean(lse - z[np.arange(count), c]), F(out)


def step_jacobian(h, W_hh):
    return F((1 - h**2)[:, np.newaxis] * W_hh)


def jacobian_product(hs, W_hh, k, t):
    if k == t:
        return np.eye(len(W_hh))
    return step_jacobian(hs[t], W_hh) @ jacobian_product(hs, W_hh, k, t - 1)


def numerical_grad(f, a, eps=1e-5):
    g = np.zeros_like(a)
    it = np.nditer(a, flags=["multi_index"], op_flags=["readwrite"])
    while not it.finished:
        i = it.multi_index
        old = a[i]
        a[i] = old + eps
        plus = f(a)
        a[i] = old - eps
        minus = f(a)
        a[i] = old
        g[i] = (plus - minus) / (2 * eps)
        it.iternext()
    return g


def truncated_backward(dhs, cache, k):
    T = dhs.shape[1]
    s0 = cache.steps[0]
    g = {
        "x": np.zeros((*dhs.shape[:2], s0.x.shape[1]), order="F"),
        "h0": np.zeros_like(s0.before, dtype=float),
        "W_xh": np.zeros_like(s0.W_xh),
        "W_hh": np.zeros_like(s0.W_hh),
        "b_h": np.zeros(len(s0.W_hh)),
    }

    def walk(s, dh, left):
        if s < 0:
            g["h0"] += dh
            return
        if left == 0:
            return
        dx, back, a, b, c = rnn_step_backward(dh, cache.steps[s])
        g["x"][:, s] += dx
        g["W_xh"] += a
        g["W_hh"] += b
        g["b_h"] += c
        walk(s - 1, back, left - 1)

    for t in range(T):
        walk(t, dhs[:, t], k)
    return g


def clip_global_norm(grads, max_norm):
    norm = np.linalg.norm([np.linalg.norm(g) for g in grads.values()])
    if norm > max_norm:
        return {k: F(g * (max_norm / norm)) for k, g in grads.items()}, norm
    return dict(grads), norm
