"""A correct solution: one concatenated weight [W_xh | W_hh | b_h], and time-major arrays inside."""

import numpy as np


def through_tanh(dh, h):
    return dh - dh * h * h


def carry(da, W_hh):
    return np.dot(W_hh.T, da.T).T


def local_dW_hh(da, h_prev):
    return np.dot(da.transpose(), h_prev)


def bias_term(da):
    return np.ones(len(da)) @ da


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    upstream = local_dhs.swapaxes(0, 1)
    after = hs.swapaxes(0, 1)
    before = np.concatenate((h0[None], after[:-1]))
    steps = len(after)
    total = 0.0
    for source in range(steps):
        for loss in range(source, steps):
            signal = upstream[loss]
            for step in range(loss, source, -1):
                signal = through_tanh(signal, after[step]) @ W_hh
            total = total + through_tanh(signal, after[source]).T @ before[source]
    return total


def _join(W_xh, W_hh, b_h):
    return np.concatenate((W_xh, W_hh, b_h[:, None]), axis=1)


def _cell(z, W):
    return np.tanh(z @ W.T)


def _cell_back(dout, out, z, W):
    pre = dout * (1 - out) * (1 + out)
    return pre @ W, pre.T @ z


def _stack(x, h):
    return np.concatenate((x, h, np.ones((len(x), 1), dtype=x.dtype)), axis=1)


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    W = _join(W_xh, W_hh, b_h)
    z = _stack(x, h_prev)
    out = _cell(z, W)
    return out, {"z": z, "out": out, "W": W, "split": x.shape[1]}


def rnn_step_backward(dh, cache):
    d = cache["split"]
    dz, dW = _cell_back(dh, cache["out"], cache["z"], cache["W"])
    return dz[:, :d], dz[:, d:-1], dW[:, :d], dW[:, d:-1], dW[:, -1]


def rnn_forward(x, h0, params):
    W = _join(params["W_xh"], params["W_hh"], params["b_h"])
    zs, outs, state = [], [], h0
    for frame in np.moveaxis(x, 1, 0):
        zs.append(_stack(frame, state))
        state = _cell(zs[-1], W)
        outs.append(state)
    outs = np.array(outs)
    return outs.transpose(1, 0, 2), {"zs": zs, "outs": outs, "W": W, "split": x.shape[2]}


def rnn_backward(dhs, cache):
    d, W = cache["split"], cache["W"]
    upstream = dhs.transpose(1, 0, 2)
    later = np.zeros_like(upstream[0])
    dW = np.zeros_like(W)
    dxs = []
    for dout, out, z in zip(upstream[::-1], cache["outs"][::-1], cache["zs"][::-1], strict=True):
        dz, step_dW = _cell_back(dout + later, out, z, W)
        dW = dW + step_dW
        later = dz[:, d:-1]
        dxs.insert(0, dz[:, :d])
    return {
        "x": np.stack(dxs, axis=1),
        "h0": later,
        "W_xh": dW[:, :d],
        "W_hh": dW[:, d:-1],
        "b_h": dW[:, -1],
        "fused": dW,
    }


def masked_xent(logits, y, mask):
    flat, target, keep = logits.reshape(-1, logits.shape[-1]), y.ravel(), mask.ravel().astype(float)
    count = keep.sum()
    if count == 0:
        return 0.0, np.zeros_like(logits)
    top = flat.max(1)
    lse = top + np.log(np.exp(flat - top[:, None]).sum(1))
    rows = np.arange(len(flat))
    loss = ((lse - flat[rows, target]) * keep).sum() / count
    grad = np.exp(flat - lse[:, None])
    grad[rows, target] -= 1
    grad = grad * (keep / count)[:, None]
    return loss, grad.reshape(logits.shape)


def step_jacobian(h, W_hh):
    return W_hh * (1 - h * h)[:, None]


def jacobian_product(hs, W_hh, k, t):
    out = np.identity(W_hh.shape[0])
    while k < t:
        k += 1
        out = step_jacobian(hs[k], W_hh) @ out
    return out


def truncated_backward(dhs, cache, k):
    d, W, steps = cache["split"], cache["W"], dhs.shape[1]
    dW, dh0 = np.zeros_like(W), np.zeros_like(dhs[:, 0])
    dxs = [0.0] * steps
    for loss in range(steps):
        signal = dhs[:, loss]
        first = max(loss - k + 1, 0)
        for step in range(loss, first - 1, -1):
            dz, part = _cell_back(signal, cache["outs"][step], cache["zs"][step], W)
            dW = dW + part
            dxs[step] = dxs[step] + dz[:, :d]
            signal = dz[:, d:-1]
        if first == 0:
            dh0 = dh0 + signal
    return {"x": np.stack(dxs, axis=1), "h0": dh0, "W_xh": dW[:, :d], "W_hh": dW[:, d:-1], "b_h": dW[:, -1]}


def clip_global_norm(grads, max_norm):
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in grads.values()]))
    factor = min(1.0, max_norm / (norm + 1e-6))
    return {name: factor * g for name, g in grads.items()}, norm


def numerical_grad(f, a, eps=1e-5):
    out = np.zeros_like(a)
    work = a.copy()
    it = np.nditer(a, flags=["multi_index"])
    for _ in it:
        i = it.multi_index
        work[i] = a[i] + eps
        high = f(work)
        work[i] = a[i] - eps
        low = f(work)
        work[i] = a[i]
        out[i] = (high - low) / (2 * eps)
    return out
