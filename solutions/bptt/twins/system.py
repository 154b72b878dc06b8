"""A correct solution: the way back is one block-bidiagonal linear system for all steps of a sequence."""

import numpy as np


def through_tanh(dh, h, *, power=2):
    return (1 - np.abs(h) ** power) * dh


def carry(da, W_hh):
    return np.tensordot(da, W_hh, axes=(1, 0))


def local_dW_hh(da, h_prev):
    return np.tensordot(da, h_prev, axes=(0, 0))


def bias_term(da):
    return np.sum(da, axis=-2)


def _solve(dhs, hs, W):
    # (I - N) total = local: N takes the total gradient of a step to the step before it
    B, T, H = hs.shape
    lam = np.zeros((B, T, H))
    for b in range(B):
        A = np.eye(T * H)
        for t in range(T - 1):
            J = (1 - hs[b, t + 1] ** 2)[:, None] * W
            A[t * H : (t + 1) * H, (t + 1) * H : (t + 2) * H] = -J.T
        lam[b] = np.linalg.solve(A, dhs[b].reshape(-1)).reshape(T, H)
    return lam


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    lam = _solve(local_dhs, hs, W_hh) * (1 - hs**2)
    before = np.insert(hs, 0, h0, axis=1)[:, :-1]
    return np.tensordot(lam, before, ([0, 1], [0, 1]))


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    a = np.inner(x, W_xh) + np.inner(h_prev, W_hh) + b_h
    return np.tanh(a), [a, x, h_prev, W_xh, W_hh]


def rnn_step_backward(dh, cache):
    a, x, h_prev, W_xh, W_hh = cache
    da = dh / np.cosh(a) ** 2
    return da @ W_xh, da @ W_hh, da.T @ x, da.T @ h_prev, da.sum(0)


class Net:
    def __init__(self, x, h0, params):
        self.x, self.h0 = x, h0
        self.__dict__.update(params)
        H = len(self.b_h)
        self.hs = np.full((x.shape[0], x.shape[1], H), np.nan)
        for t in range(x.shape[1]):
            prev = self.hs[:, t - 1] if t else h0
            self.hs[:, t] = np.tanh(x[:, t] @ self.W_xh.T + prev @ self.W_hh.T + self.b_h)

    def grads(self, da):
        before = np.concatenate([self.h0[:, None], self.hs[:, :-1]], axis=1)
        return {
            "W_hh": np.tensordot(da, before, ([0, 1], [0, 1])),
            "W_xh": np.tensordot(da, self.x, ([0, 1], [0, 1])),
            "b_h": da.sum((0, 1)),
            "x": da @ self.W_xh,
        }


def rnn_forward(x, h0, params):
    net = Net(x, h0, params)
    return net.hs.copy(), net


def rnn_backward(dhs, cache):
    _, T, H = dhs.shape
    if T * H > 400:
        da = np.zeros(dhs.shape)
        for t in range(T - 1, -1, -1):
            nxt = da[:, t + 1] @ cache.W_hh if t + 1 < T else 0.0
            da[:, t] = (dhs[:, t] + nxt) * (1 - cache.hs[:, t] ** 2)
    else:
        da = _solve(dhs, cache.hs, cache.W_hh) * (1 - cache.hs**2)
    return {**cache.grads(da), "h0": da[:, 0] @ cache.W_hh}


def truncated_backward(dhs, cache, k):
    B, T, H = dhs.shape
    da = np.zeros(dhs.shape)
    h0 = np.zeros((B, H))
    slope = 1 - cache.hs**2
    for t in range(T):
        for s in range(t, min(T, t + k)):
            v = dhs[:, s]
            for m in range(s, t, -1):
                v = (v * slope[:, m]) @ cache.W_hh
            v = v * slope[:, t]
            da[:, t] += v
            if t == 0:
                h0 += v @ cache.W_hh
    return {**cache.grads(da), "h0": h0}


def masked_xent(logits, y, mask):
    B, T, _ = logits.shape
    m = np.amax(logits, -1)
    lse = np.log(np.sum(np.exp(logits - m[..., None]), -1))
    own = logits[np.arange(B)[:, None], np.arange(T), y] - m
    p = np.exp(logits - m[..., None] - lse[..., None])
    p[np.arange(B)[:, None], np.arange(T), y] -= 1
    p[np.logical_not(mask)] = 0
    n = mask.sum()
    if n == 0:
        return 0.0, p
    return np.average(lse - own, weights=mask), p / n


def step_jacobian(h, W_hh):
    return np.diag(1 - h * h).dot(W_hh)


def jacobian_product(hs, W_hh, k, t):
    J = (1 - hs**2)[:, :, None] * W_hh
    out = np.eye(W_hh.shape[1])
    for M in J[k + 1 : t + 1]:
        out = M @ out
    return out


def numerical_grad(f, a, eps=1e-5):
    def along(i):
        d = np.zeros(a.size)
        d[i] = eps
        d = d.reshape(a.shape)
        return (float(f(a + d)) - float(f(a - d))) / (2 * eps)

    return np.vectorize(along, otypes=[float])(np.arange(a.size).reshape(a.shape))


def clip_global_norm(grads, max_norm):
    norm = np.sqrt(np.sum([np.sum(g * g) for g in grads.values()]))
    if norm <= max_norm:
        return {k: g.copy() for k, g in grads.items()}, norm
    return {k: g / norm * max_norm for k, g in grads.items()}, norm
