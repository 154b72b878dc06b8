"""Backpropagation through time for a tanh network, worked out by hand with numpy.

Shapes: B sequences in a batch, T steps, D input features, H units, O classes. Arrays are batch first,
weights are (out, in). Steps are numbered t = 0 ... T-1; h_t is hs[:, t]; h_{-1} is the argument h0.
"""

import numpy as np


def through_tanh(dh, h):
    """Return dL/da for h = tanh(a), given dL/dh.

    dh: gradient with respect to h, any shape. h: the output of tanh, same shape.
    Returns an array of that shape. Use h itself; a is not needed.
    """
    ### BEGIN SOLUTION
    return dh * (1.0 - h**2)
    ### END SOLUTION


def carry(da, W_hh):
    """Return what step t sends to step t-1: the part of dL/dh_{t-1} that passes through a_t.

    da: dL/da_t, shape (B, H). W_hh: shape (H, H), used forward as h_prev @ W_hh.T.
    Returns an array of shape (B, H).
    """
    ### BEGIN SOLUTION
    return da @ W_hh
    ### END SOLUTION


def local_dW_hh(da, h_prev):
    """Return the immediate partial of one step: dL/dW_hh through the a_t of this step alone.

    da: dL/da_t, shape (B, H). h_prev: h_{t-1}, shape (B, H), held constant.
    Returns an array of shape (H, H), summed over the batch.
    """
    ### BEGIN SOLUTION
    return da.T @ h_prev
    ### END SOLUTION


def bias_term(da):
    """Return dL/db_h through the a_t of one step.

    da: dL/da_t, shape (B, H). Returns an array of shape (H,), summed over the batch.
    """
    ### BEGIN SOLUTION
    return da.sum(axis=0)
    ### END SOLUTION


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    """Return dL/dW_hh as the double sum over the step t of a loss and the step k <= t of a use of W_hh.

    local_dhs: dL_t/dh_t, the gradient of the loss of step t alone, shape (B, T, H).
    hs: the states, shape (B, T, H). h0: the state before the first step, shape (B, H). W_hh: (H, H).
    Returns an array of shape (H, H), summed over the batch.
    """
    ### BEGIN SOLUTION
    total = np.zeros_like(W_hh)
    for t in range(hs.shape[1]):
        to_k = local_dhs[:, t]  # dL_t/dh_k, for k = t and then further and further back
        for k in range(t, -1, -1):
            to_a = to_k * (1.0 - hs[:, k] ** 2)
            before = hs[:, k - 1] if k > 0 else h0
            total += to_a.T @ before
            to_k = to_a @ W_hh
    return total
    ### END SOLUTION


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    """Run one step: h = tanh(x W_xh' + h_prev W_hh' + b_h), where ' is the transpose.

    x: (B, D). h_prev: (B, H). W_xh: (H, D). W_hh: (H, H). b_h: (H,).
    Returns (h, cache): h of shape (B, H), and whatever rnn_step_backward needs.
    """
    ### BEGIN SOLUTION
    h = np.tanh(x @ W_xh.T + h_prev @ W_hh.T + b_h)
    return h, (x, h_prev, h, W_xh, W_hh)
    ### END SOLUTION


def rnn_step_backward(dh, cache):
    """Take dL/dh of one step back to everything that entered the step.

    dh: dL/dh, shape (B, H). cache: from rnn_step_forward.
    Returns (dx, dh_prev, dW_xh, dW_hh, db_h), each shaped like what it belongs to.
    """
    ### BEGIN SOLUTION
    x, h_prev, h, W_xh, W_hh = cache
    da = dh * (1.0 - h**2)
    dx = da @ W_xh
    dh_prev = da @ W_hh
    dW_xh = da.T @ x
    dW_hh = da.T @ h_prev
    db_h = da.sum(axis=0)
    return dx, dh_prev, dW_xh, dW_hh, db_h
    ### END SOLUTION


def rnn_forward(x, h0, params):
    """Run the network over whole sequences.

    x: (B, T, D). h0: state before the first step, (B, H).
    params: dict with W_xh (H, D), W_hh (H, H), b_h (H,).
    Returns (hs, cache): hs of shape (B, T, H) with the state after each step, and whatever rnn_backward
    and truncated_backward need.
    """
    ### BEGIN SOLUTION
    W_xh, W_hh, b_h = params["W_xh"], params["W_hh"], params["b_h"]
    states = []
    h = h0
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ W_xh.T + h @ W_hh.T + b_h)
        states.append(h)
    hs = np.stack(states, axis=1)
    return hs, (x, h0, hs, params)
    ### END SOLUTION


def rnn_backward(dhs, cache):
    """Take the gradient of L = L_0 + ... + L_{T-1} back through time.

    dhs: the local gradients dL_t/dh_t, shape (B, T, H). cache: from rnn_forward.
    Returns a dict with the gradients of L: x (B, T, D), h0 (B, H), W_xh (H, D), W_hh (H, H), b_h (H,).
    """
    ### BEGIN SOLUTION
    x, h0, hs, params = cache
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    T = dhs.shape[1]
    dx = np.zeros_like(x)
    dW_xh, dW_hh, db_h = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(params["b_h"])
    dh_next = np.zeros_like(h0)  # what step t+1 sends to step t
    for t in reversed(range(T)):
        dh = dhs[:, t] + dh_next
        da = dh * (1.0 - hs[:, t] ** 2)
        h_prev = hs[:, t - 1] if t > 0 else h0
        dx[:, t] = da @ W_xh
        dW_xh += da.T @ x[:, t]
        dW_hh += da.T @ h_prev
        db_h += da.sum(axis=0)
        dh_next = da @ W_hh
    return {"x": dx, "h0": dh_next, "W_xh": dW_xh, "W_hh": dW_hh, "b_h": db_h}
    ### END SOLUTION


def masked_xent(logits, y, mask):
    """Return the cross-entropy, averaged over the positions that count, and its gradient.

    logits: (B, T, O). y: class numbers 0 ... O-1, int, (B, T). mask: bool, (B, T), True where a position
    counts. Returns (loss, dlogits): a number, and an array of shape (B, T, O) that is exactly zero at
    positions that do not count. If no position counts, the loss is 0 and dlogits is all zero.
    """
    ### BEGIN SOLUTION
    count = max(mask.sum(), 1)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    nll = -np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]
    loss = (nll * mask).sum() / count
    dlogits = np.exp(log_p) - np.eye(logits.shape[-1])[y]
    dlogits = dlogits * mask[..., None] / count
    return float(loss), dlogits
    ### END SOLUTION


def step_jacobian(h, W_hh):
    """Return the Jacobian of one step, dh_t/dh_{t-1}.

    h: h_t of one sequence, shape (H,). W_hh: (H, H).
    Returns J of shape (H, H): J[i, j] is the derivative of unit i of h_t by unit j of h_{t-1}.
    """
    ### BEGIN SOLUTION
    return (1.0 - h**2)[:, None] * W_hh
    ### END SOLUTION


def jacobian_product(hs, W_hh, k, t):
    """Return dh_t/dh_k, the product of the Jacobians of the steps between them.

    hs: the states of one sequence, shape (T, H). W_hh: (H, H). k and t are rows of hs, 0 <= k <= t < T.
    Returns an array of shape (H, H), laid out as in step_jacobian; the identity for k = t.
    """
    ### BEGIN SOLUTION
    product = np.eye(hs.shape[1])
    for step in range(t, k, -1):
        product = product @ ((1.0 - hs[step] ** 2)[:, None] * W_hh)
    return product
    ### END SOLUTION


def numerical_grad(f, a, eps=1e-5):
    """Return the central differences of f at a, entry by entry.

    f: takes an array of a's shape, returns a number. a: float64 array of any shape; it must hold the same
    values afterwards. eps: how far each entry is moved to either side.
    Returns a float64 array of a's shape.
    """
    ### BEGIN SOLUTION
    grad = np.zeros(a.shape)
    for index in np.ndindex(a.shape):
        up, down = a.copy(), a.copy()
        up[index] += eps
        down[index] -= eps
        grad[index] = (f(up) - f(down)) / (2 * eps)
    return grad
    ### END SOLUTION


def truncated_backward(dhs, cache, k):
    """Take gradients back as rnn_backward does, but each L_t through at most k steps: t, t-1, ..., t-k+1.

    dhs: the local gradients dL_t/dh_t, shape (B, T, H). cache: from rnn_forward. k: at least 1, may exceed T.
    In L_t the state h_{t-k} counts as a constant. h0 is an input of step 0: it gets the gradient of every
    L_t whose k steps include step 0. Returns a dict as rnn_backward does.
    """
    ### BEGIN SOLUTION
    x, h0, hs, params = cache
    grads = {"x": np.zeros_like(x), "h0": np.zeros_like(h0)}
    grads.update({name: np.zeros_like(params[name]) for name in ("W_xh", "W_hh", "b_h")})
    for t in range(dhs.shape[1]):
        first = max(t - k + 1, 0)
        dh = dhs[:, t]  # from L_t alone
        for s in range(t, first - 1, -1):
            da = dh * (1.0 - hs[:, s] ** 2)
            grads["x"][:, s] += da @ params["W_xh"]
            grads["W_xh"] += da.T @ x[:, s]
            grads["W_hh"] += da.T @ (hs[:, s - 1] if s > 0 else h0)
            grads["b_h"] += da.sum(axis=0)
            dh = da @ params["W_hh"]
        if first == 0:
            grads["h0"] += dh
    return grads
    ### END SOLUTION


def clip_global_norm(grads, max_norm):
    """Scale all gradients by one factor so that their common norm is at most max_norm.

    grads: dict of arrays. max_norm: above 0. The norm is the square root of the sum of the squares of all
    entries of all arrays. Returns (clipped, norm): a new dict with the same names, and the norm before
    clipping. Gradients whose norm is not above max_norm keep their values.
    """
    ### BEGIN SOLUTION
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    scale = max_norm / norm if norm > max_norm else 1.0
    return {name: g * scale for name, g in grads.items()}, float(norm)
    ### END SOLUTION
