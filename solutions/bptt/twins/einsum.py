"""A correct solution: the loop keeps only da_t; every parameter gradient is one einsum after it."""

import numpy as np


def through_tanh(dh, h):
    return np.multiply(dh, 1 - np.square(h))


def carry(da, W_hh):
    return np.einsum("bi,ij->bj", da, W_hh)


def local_dW_hh(da, h_prev):
    return np.einsum("bi,bj->ij", da, h_prev)


def bias_term(da):
    return np.einsum("bi->i", da)


def _shifted(hs, h0):
    before = np.roll(hs, 1, axis=1)
    before[:, 0] = h0
    return before


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    # Explicit Jacobians J[b, t] = dh_t/dh_{t-1} and explicit products of them.
    batch, steps, size = hs.shape
    gate = 1 - hs**2
    J = np.einsum("bti,ij->btij", gate, W_hh)
    before = _shifted(hs, h0)
    total = np.zeros((size, size))
    for t in range(steps):
        product = np.broadcast_to(np.eye(size), (batch, size, size))
        for k in range(t, -1, -1):
            total += np.einsum("bi,bij,bj,bm->jm", local_dhs[:, t], product, gate[:, k], before[:, k])
            product = np.einsum("bij,bjm->bim", product, J[:, k])
    return total


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    h = np.tanh(np.einsum("bd,hd->bh", x, W_xh) + np.einsum("bj,hj->bh", h_prev, W_hh) + b_h[None, :])
    return [h, [x, h_prev, h, W_xh, W_hh]]


def rnn_step_backward(dh, cache):
    x, h_prev, h, W_xh, W_hh = cache
    da = through_tanh(dh, h)
    return [
        np.einsum("bh,hd->bd", da, W_xh),
        carry(da, W_hh),
        np.einsum("bh,bd->hd", da, x),
        local_dW_hh(da, h_prev),
        bias_term(da),
    ]


def rnn_forward(x, h0, params):
    from_input = np.einsum("btd,hd->bth", x, params["W_xh"]) + params["b_h"]
    hs = np.zeros_like(from_input)
    for t in range(x.shape[1]):
        before = h0 if t == 0 else hs[:, t - 1]
        hs[:, t] = np.tanh(from_input[:, t] + np.einsum("bj,hj->bh", before, params["W_hh"]))
    return [hs, [x, h0, hs, params]]


def _gather(das, x, hs, h0, params):
    return {
        "b_h": np.einsum("bth->h", das),
        "W_hh": np.einsum("bth,btj->hj", das, _shifted(hs, h0)),
        "W_xh": np.einsum("bth,btd->hd", das, x),
        "x": np.einsum("bth,hd->btd", das, params["W_xh"]),
    }


def rnn_backward(dhs, cache):
    x, h0, hs, params = cache
    gates = 1 - hs * hs
    das = dhs * gates
    for t in range(dhs.shape[1] - 2, -1, -1):
        das[:, t] += gates[:, t] * carry(das[:, t + 1], params["W_hh"])
    return {**_gather(das, x, hs, h0, params), "h0": carry(das[:, 0], params["W_hh"])}


def truncated_backward(dhs, cache, k):
    # age 0 holds every loss's gradient at its own step, age j the part that has come j steps back.
    x, h0, hs, params = cache
    steps = dhs.shape[1]
    gates = 1 - hs * hs
    young = dhs * gates
    das = young.copy()
    dh0 = carry(young[:, 0], params["W_hh"])
    for _ in range(1, min(k, steps)):
        older = np.zeros_like(young)
        older[:, :-1] = np.einsum("bth,hj->btj", young[:, 1:], params["W_hh"]) * gates[:, :-1]
        das += older
        dh0 = dh0 + carry(older[:, 0], params["W_hh"])
        young = older
    return {**_gather(das, x, hs, h0, params), "h0": dh0}


def masked_xent(logits, y, mask):
    onehot = np.eye(logits.shape[-1])[y]
    shifted = logits - np.amax(logits, axis=2, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=2, keepdims=True)
    nll = np.log(np.exp(shifted).sum(axis=2)) - np.einsum("bto,bto->bt", shifted, onehot)
    n = max(1, np.count_nonzero(mask))
    loss = np.where(mask, nll, 0.0).sum() / n
    return float(loss), np.where(mask[:, :, None], (p - onehot) / n, 0.0)


def step_jacobian(h, W_hh):
    return np.einsum("i,ij->ij", 1 - h**2, W_hh)


def jacobian_product(hs, W_hh, k, t):
    if k == t:
        return np.eye(len(W_hh))
    factors = [step_jacobian(hs[s], W_hh) for s in range(t, k, -1)]
    return factors[0] if len(factors) == 1 else np.linalg.multi_dot(factors)


def clip_global_norm(grads, max_norm):
    norm = np.sqrt(sum(np.einsum("i,i->", g.ravel(), g.ravel()) for g in grads.values()))
    if norm <= max_norm:
        return dict(grads), float(norm)
    return {name: g / norm * max_norm for name, g in grads.items()}, float(norm)


def numerical_grad(f, a, eps=1e-5):
    units = np.eye(a.size).reshape(a.size, *a.shape)
    return np.array([(f(a + eps * e) - f(a - eps * e)) / (2 * eps) for e in units]).reshape(a.shape)
