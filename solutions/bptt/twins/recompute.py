"""A correct solution: the cache holds inputs only, backward runs the forward pass again; lists for tuples."""

import math

import numpy as np


def through_tanh(dh, h):
    # d tanh(a)/da = 1 / cosh(a)^2
    return dh / np.cosh(np.arctanh(h)) ** 2


def carry(da, W_hh):
    return np.stack([row @ W_hh for row in da])


def local_dW_hh(da, h_prev):
    return sum(np.outer(row, before) for row, before in zip(da, h_prev, strict=True))


def bias_term(da):
    return sum(da)


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    # The inner sum over later losses is a recursion: total_t = local_t + carry from t + 1.
    total = np.zeros_like(W_hh)
    behind = np.zeros_like(h0)
    for t in range(hs.shape[1] - 1, -1, -1):
        da = (local_dhs[:, t] + behind) * (1 - hs[:, t] ** 2)
        total = total + da.T @ (hs[:, t - 1] if t else h0)
        behind = da @ W_hh
    return total


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    given = [x.copy(), h_prev.copy(), W_xh.copy(), W_hh.copy(), b_h.copy()]
    return [np.tanh((W_xh @ x.T + W_hh @ h_prev.T).T + b_h), given]


def rnn_step_backward(dh, cache):
    x, h_prev, W_xh, W_hh, b_h = cache
    a = x @ W_xh.T + h_prev @ W_hh.T + b_h
    da = dh / np.cosh(a) ** 2
    return [da @ W_xh, da @ W_hh, da.T @ x, da.T @ h_prev, da.sum(0)]


def _run(x, h0, params):
    states = [h0]
    for t in range(x.shape[1]):
        states.append(rnn_step_forward(x[:, t], states[-1], **params)[0])
    return states


def rnn_forward(x, h0, params):
    return [np.stack(_run(x, h0, params)[1:], axis=1), (x, h0, params)]


def rnn_backward(dhs, cache):
    x, h0, params = cache
    states = _run(x, h0, params)
    lists = [[], [], [], []]
    later = 0 * h0
    for t in reversed(range(x.shape[1])):
        _, step = rnn_step_forward(x[:, t], states[t], **params)
        dx, later, *weights = rnn_step_backward(dhs[:, t] + later, step)
        for kept, value in zip(lists, [dx, *weights], strict=True):
            kept.append(value)
    dxs, dW_xh, dW_hh, db_h = lists
    # In the handout's order: x, h0, W_xh, W_hh, b_h.
    return [np.stack(dxs[::-1], axis=1), later, sum(dW_xh), sum(dW_hh), sum(db_h)]


def truncated_backward(dhs, cache, k):
    # One short sequence for each loss term, each with the full backward pass.
    x, h0, params = cache
    states = _run(x, h0, params)
    out = {"x": np.zeros_like(x), "h0": np.zeros_like(h0)}
    out |= {name: np.zeros_like(value) for name, value in params.items()}
    for t in range(x.shape[1]):
        start = max(0, t + 1 - k)
        upstream = np.zeros_like(dhs[:, start : t + 1])
        upstream[:, -1] = dhs[:, t]
        dx, dh0, dW_xh, dW_hh, db_h = rnn_backward(upstream, (x[:, start : t + 1], states[start], params))
        out["x"][:, start : t + 1] += dx
        out["h0"] += dh0 if start == 0 else 0
        out["W_xh"] += dW_xh
        out["W_hh"] += dW_hh
        out["b_h"] += db_h
    return out


def masked_xent(logits, y, mask):
    batch, steps, _ = logits.shape
    places = [(b, t) for b in range(batch) for t in range(steps) if mask[b, t]]
    loss, grad = 0.0, np.zeros_like(logits)
    for b, t in places:
        scores = logits[b, t]
        top = float(scores.max())
        weights = [math.exp(float(s) - top) for s in scores]
        z = math.fsum(weights)
        loss += (math.log(z) + top - float(scores[y[b, t]])) / len(places)
        for o, w in enumerate(weights):
            grad[b, t, o] = (w / z - (o == y[b, t])) / len(places)
    return [loss, grad]


def step_jacobian(h, W_hh):
    return np.array([[(1 - h[i] ** 2) * W_hh[i, j] for j in range(len(h))] for i in range(len(h))])


def jacobian_product(hs, W_hh, k, t):
    if t == k:
        return np.eye(W_hh.shape[0])
    return step_jacobian(hs[t], W_hh) @ jacobian_product(hs, W_hh, k, t - 1)


def clip_global_norm(grads, max_norm):
    norm = math.sqrt(math.fsum(float(v) ** 2 for g in grads.values() for v in g.ravel()))
    new = {name: g.copy() for name, g in grads.items()}
    if norm > max_norm:
        for g in new.values():
            g *= max_norm / norm
    return [new, norm]


def numerical_grad(f, a, eps=1e-5):
    grad = np.empty(a.shape)
    for index in np.ndindex(*a.shape):
        kept = a[index]
        a[index] = kept + eps
        up = f(a)
        a[index] = kept - eps
        down = f(a)
        a[index] = kept
        grad[index] = (up - down) / eps / 2
    return grad
