"""A correct solution in single precision: everything but the numerical gradient is float32 inside."""

import numpy as np

F = np.float32


def _f(*arrays):
    return [np.asarray(a, dtype=F) for a in arrays]


def through_tanh(dh, h):
    dh, h = _f(dh, h)
    return (F(1) - h * h) * dh


def carry(da, W_hh):
    da, W_hh = _f(da, W_hh)
    return (W_hh.T @ da[..., None])[..., 0]


def local_dW_hh(da, h_prev):
    da, h_prev = _f(da, h_prev)
    return (da[:, :, None] * h_prev[:, None, :]).sum(0)


def bias_term(da):
    return np.add.reduce(_f(da)[0])


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    local_dhs, hs, h0, W_hh = _f(local_dhs, hs, h0, W_hh)
    T = hs.shape[1]
    out = np.zeros_like(W_hh)
    for b in range(len(hs)):
        for t in range(T):
            g = local_dhs[b, t]
            for s in reversed(range(t + 1)):
                g = g * (1 - hs[b, s] ** 2)
                out += np.outer(g, hs[b, s - 1] if s > 0 else h0[b])
                g = g @ W_hh
    return out


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    x, h_prev, W_xh, W_hh, b_h = _f(x, h_prev, W_xh, W_hh, b_h)
    h = np.tanh(x @ W_xh.T + h_prev @ W_hh.T + b_h)
    return h, (x, h_prev, h, W_xh, W_hh)


def rnn_step_backward(dh, cache):
    x, h_prev, h, W_xh, W_hh = cache
    da = through_tanh(dh, h)
    return da @ W_xh, da @ W_hh, da.T @ x, da.T @ h_prev, da.sum(axis=0)


def rnn_forward(x, h0, params):
    hs, caches = [], []
    x, h = _f(x, h0)
    for t in range(x.shape[1]):
        h, c = rnn_step_forward(x[:, t], h, params["W_xh"], params["W_hh"], params["b_h"])
        hs += [h]
        caches += [c]
    return np.stack(hs, 1), tuple(caches)


def rnn_backward(dhs, cache):
    return truncated_backward(dhs, cache, len(cache))


def truncated_backward(dhs, cache, k):
    (dhs,) = _f(dhs)
    T = len(cache)
    # flow[j] is the gradient, with respect to the state now looked at, of the loss j steps later.
    flow = []
    dh0 = np.zeros_like(dhs[:, 0])
    dx, dWx, dWh, db = [None] * T, F(0), F(0), F(0)
    for t in range(T - 1, -1, -1):
        flow = [dhs[:, t], *flow][:k]
        total = np.sum(flow, axis=0, dtype=F)
        dx[t], _, a, b, c = rnn_step_backward(total, cache[t])
        dWx, dWh, db = dWx + a, dWh + b, db + c
        flow = [rnn_step_backward(g, cache[t])[1] for g in flow]
    for g in flow:
        dh0 = dh0 + g
    return {"x": np.stack(dx, 1), "h0": dh0, "W_xh": dWx, "W_hh": dWh, "b_h": db}


def masked_xent(logits, y, mask):
    (z,) = _f(logits)
    z = z - z.max(-1, keepdims=True)
    lse = np.log(np.exp(z).sum(-1, keepdims=True))
    logp = z - lse
    b, t = np.nonzero(mask)
    n = F(max(len(b), 1))
    grad = np.zeros_like(z)
    grad[b, t] = np.exp(logp[b, t])
    grad[b, t, y[b, t]] -= 1
    return -logp[b, t, y[b, t]].sum() / n, grad / n


def step_jacobian(h, W_hh):
    h, W_hh = _f(h, W_hh)
    return np.diag(1 - h * h) @ W_hh


def jacobian_product(hs, W_hh, k, t):
    J = np.eye(len(W_hh), dtype=F)
    for s in range(k + 1, t + 1):
        J = step_jacobian(hs[s], W_hh) @ J
    return J


def clip_global_norm(grads, max_norm):
    norm = F(0)
    for g in grads.values():
        norm += np.sum(_f(g)[0] ** 2)
    norm = np.sqrt(norm)
    scale = F(1) if norm <= max_norm else F(max_norm) / norm
    return {k: scale * _f(g)[0] for k, g in grads.items()}, norm


def numerical_grad(f, a, eps=1e-5):
    flat = a.astype(np.float64).ravel()
    out = []
    for i in range(flat.size):
        hi, lo = flat.copy(), flat.copy()
        hi[i] += eps
        lo[i] -= eps
        out.append((f(hi.reshape(a.shape)) - f(lo.reshape(a.shape))) / (2 * eps))
    return np.reshape(out, a.shape)
