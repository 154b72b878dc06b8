"""The long short-term memory, forward and backward, worked out by hand with numpy.

Shapes: B sequences in a batch, T steps, D input features, H units. Arrays are batch first, weights are
(out, in). Steps are numbered t = 0 ... T-1; h_{-1} and c_{-1} are the arguments h0 and c0.

Parameters are a dict of twelve arrays, three for each of the gates i (input), f (forget) and o (output) and for
the candidate g: W_i (H, D), U_i (H, H), b_i (H,), and so on. Gradients of parameters come in the same form.
"""

import numpy as np

GATES = "ifgo"


def fuse(params, order=GATES):
    """Stack the parameters into W (4H, D), U (4H, H) and b (4H,), in the order of the letters (given)."""
    return tuple(np.concatenate([params[f"{kind}_{gate}"] for gate in order]) for kind in "WUb")


def unfuse(W, U, b, order=GATES):
    """Take what `fuse` stacked, or its gradients, apart again: a dict of twelve arrays (given)."""
    stacked = {"W": W, "U": U, "b": b}
    return {
        f"{kind}_{gate}": part
        for kind, whole in stacked.items()
        for gate, part in zip(order, np.split(whole, 4), strict=True)
    }


def sigmoid(z):
    """Return 1 / (1 + exp(-z)) for an array of any shape, finite however large z is.

    A helper for your own use: nothing but your own code calls it.
    """
    ### BEGIN SOLUTION
    small = np.exp(-np.abs(z))  # never overflows
    return np.where(z >= 0, 1.0, small) / (1.0 + small)
    ### END SOLUTION


def lstm_step_forward(x, h_prev, c_prev, params):
    """Run one step.

        i, f, o = sigmoid(x W' + h_prev U' + b), each with its own W, U, b;  g = tanh(x W_g' + h_prev U_g' + b_g)
        c = f * c_prev + i * g          h = o * tanh(c)          (' is the transpose, * is entry by entry)

    x: (B, D). h_prev, c_prev: (B, H). params: dict of the twelve arrays.
    Returns (h, c, cache): h and c of shape (B, H), and whatever lstm_step_backward needs.
    """
    ### BEGIN SOLUTION
    a = {gate: x @ params[f"W_{gate}"].T + h_prev @ params[f"U_{gate}"].T + params[f"b_{gate}"] for gate in GATES}
    i, f, o = sigmoid(a["i"]), sigmoid(a["f"]), sigmoid(a["o"])
    g = np.tanh(a["g"])
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return h, c, (x, h_prev, c_prev, i, f, g, o, c, params)
    ### END SOLUTION


def lstm_step_backward(dh, dc, cache):
    """Take the gradients of what a step put out back to everything that entered it.

    dh: dL/dh, shape (B, H). dc: what reaches c from later steps, shape (B, H); it does not contain what reaches
    c through the h of this step. cache: from lstm_step_forward.
    Returns (dx, dh_prev, dc_prev, grads): (B, D), (B, H), (B, H), and a dict with the gradients of the twelve
    parameters, each shaped like what it belongs to and summed over the batch.
    """
    ### BEGIN SOLUTION
    x, h_prev, c_prev, i, f, g, o, c, params = cache
    squashed = np.tanh(c)
    dc_total = dc + dh * o * (1.0 - squashed**2)
    da = {
        "i": dc_total * g * (i * (1.0 - i)),
        "f": dc_total * c_prev * (f * (1.0 - f)),
        "g": dc_total * i * (1.0 - g**2),
        "o": dh * squashed * (o * (1.0 - o)),
    }
    dx = sum(da[gate] @ params[f"W_{gate}"] for gate in GATES)
    dh_prev = sum(da[gate] @ params[f"U_{gate}"] for gate in GATES)
    dc_prev = dc_total * f
    grads = {}
    for gate in GATES:
        grads[f"W_{gate}"] = da[gate].T @ x
        grads[f"U_{gate}"] = da[gate].T @ h_prev
        grads[f"b_{gate}"] = da[gate].sum(axis=0)
    return dx, dh_prev, dc_prev, grads
    ### END SOLUTION


def lstm_forward(x, h0, c0, params):
    """Run the network over whole sequences.

    x: (B, T, D). h0, c0: states before the first step, (B, H). params: dict of the twelve arrays.
    Returns (hs, c_last, cache): hs of shape (B, T, H) with the h after each step, c_last of shape (B, H) with the
    c after the last step, and whatever lstm_backward and cell_gradient_path need.
    """
    ### BEGIN SOLUTION
    W, U, b = fuse(params)
    h, c = h0, c0
    steps, states = [], []
    for t in range(x.shape[1]):
        a = x[:, t] @ W.T + h @ U.T + b  # (B, 4H)
        a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        h_prev, c_prev = h, c
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        steps.append((h_prev, c_prev, i, f, g, o, c))
        states.append(h)
    hs = np.stack(states, axis=1)
    return hs, c, (x, steps, params)
    ### END SOLUTION


def lstm_backward(dhs, dc_last, cache):
    """Take the gradient of L = L_0 + ... + L_{T-1} + L_c back through time.

    dhs: the local gradients dL_t/dh_t, shape (B, T, H). dc_last: dL_c/dc_{T-1}, the gradient of a loss that
    looks at the last cell state, shape (B, H). cache: from lstm_forward.
    Returns (dx, dh0, dc0, grads): (B, T, D), (B, H), (B, H), and a dict with the gradients of the twelve
    parameters, summed over time and batch.
    """
    ### BEGIN SOLUTION
    x, steps, params = cache
    W, U, b = fuse(params)
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    dh_next = np.zeros_like(dc_last)  # what step t+1 sends to h_t
    dc_next = dc_last  # what step t+1 sends to c_t
    for t in reversed(range(len(steps))):
        h_prev, c_prev, i, f, g, o, c = steps[t]
        tanh_c = np.tanh(c)
        dh = dhs[:, t] + dh_next
        dc = dc_next + dh * o * (1.0 - tanh_c**2)
        da_i = dc * g * i * (1.0 - i)
        da_f = dc * c_prev * f * (1.0 - f)
        da_g = dc * i * (1.0 - g**2)
        da_o = dh * tanh_c * o * (1.0 - o)
        da = np.concatenate([da_i, da_f, da_g, da_o], axis=1)  # (B, 4H)
        dx[:, t] = da @ W
        dW += da.T @ x[:, t]
        dU += da.T @ h_prev
        db += da.sum(axis=0)
        dh_next = da @ U
        dc_next = dc * f
    return dx, dh_next, dc_next, unfuse(dW, dU, db)
    ### END SOLUTION


def forget_bias_init(params, value):
    """Return new parameters in which every forget gate starts with the bias `value`.

    params: dict of the twelve arrays. value: a number. Returns a new dict of twelve arrays: b_f is `value` in
    every entry, whatever it was before, and all others keep their values.
    """
    ### BEGIN SOLUTION
    return {**params, "b_f": np.full_like(params["b_f"], value)}
    ### END SOLUTION


def carousel(params):
    """Return new parameters with which c stays what it was, to within 1e-12 over 1,000 steps, whatever x is.

    params: dict of the twelve arrays, whatever their biases are. Returns a new dict of twelve arrays. Only what belongs
    to the input gate and to the forget gate may differ from params; the candidate and the output gate are as they were.
    """
    ### BEGIN SOLUTION
    kept = dict(params)
    for gate, logit in (("f", 50.0), ("i", -50.0)):
        for kind in "WU":
            kept[f"{kind}_{gate}"] = np.zeros_like(params[f"{kind}_{gate}"])
        kept[f"b_{gate}"] = np.full_like(params[f"b_{gate}"], logit)
    return kept
    ### END SOLUTION


def cell_gradient_path(cache, k, t):
    """Return the derivative of c_t by c_k along the direct path alone: through c, and never through an h.

    cache: from lstm_forward. k and t: step numbers, -1 <= k <= t < T; k = -1 means c0.
    Returns an array of shape (B, H): entry by entry, as no unit of c acts on another on this path. Ones for k = t.
    """
    ### BEGIN SOLUTION
    _, steps, _ = cache
    path = np.ones_like(steps[0][1])
    for step in range(k + 1, t + 1):
        path = path * steps[step][3]
    return path
    ### END SOLUTION
