"""A correct solution: [h, x] in one matrix, the cache holds inputs only, backward runs forward again, by recursion."""

import numpy as np


def joined(params):
    """Return {gate: (H, H + D + 1)}: recurrent weights, input weights and bias side by side."""
    return {
        gate: np.hstack([params["U_" + gate], params["W_" + gate], params["b_" + gate][:, None]]) for gate in "fiog"
    }


def logistic(z):
    return np.exp(-np.logaddexp(0, -z))


def look(M, x, h, c):
    """Return everything about one step."""
    z = np.hstack([h, x, np.ones((len(x), 1), dtype=x.dtype)])
    act = {gate: (np.tanh if gate == "g" else logistic)(z @ M[gate].T) for gate in M}
    new = act["f"] * c + act["i"] * act["g"]
    return z, act, new, act["o"] * np.tanh(new)


def apart(sums, H):
    out = {}
    for gate, m in sums.items():
        out["U_" + gate], out["W_" + gate], out["b_" + gate] = m[:, :H], m[:, H:-1], m[:, -1]
    return out


def lstm_step_forward(x, h_prev, c_prev, params):
    M = joined(params)
    _, _, c, h = look(M, x, h_prev, c_prev)
    return h, c, (x, h_prev, c_prev, M)


def one_back(dh, dc, x, h_prev, c_prev, M):
    z, act, c, _ = look(M, x, h_prev, c_prev)
    H = c.shape[1]
    toward = dc + dh * act["o"] / np.cosh(c) ** 2
    logits = {
        "f": toward * c_prev * act["f"] * (1 - act["f"]),
        "i": toward * act["g"] * act["i"] * (1 - act["i"]),
        "o": dh * np.tanh(c) * act["o"] * (1 - act["o"]),
        "g": toward * act["i"] * (1 - act["g"] ** 2),
    }
    dz = np.zeros_like(z)
    for gate, d in logits.items():
        dz += d @ M[gate]
    return dz[:, H:-1], dz[:, :H], toward * act["f"], {gate: d.T @ z for gate, d in logits.items()}


def lstm_step_backward(dh, dc, cache):
    dx, dh_prev, dc_prev, sums = one_back(dh, dc, *cache)
    return dx, dh_prev, dc_prev, apart(sums, dh.shape[1])


def lstm_forward(x, h0, c0, params):
    M = joined(params)
    hs = np.zeros((*x.shape[:2], h0.shape[1]))
    h, c = h0, c0
    for t in range(x.shape[1]):
        _, _, c, h = look(M, x[:, t], h, c)
        hs[:, t] = h
    return hs, c, (x, h0, c0, M)


def lstm_backward(dhs, dc_last, cache):
    x, h0, c0, M = cache
    dx = np.zeros(x.shape)
    total = {gate: np.zeros_like(m) for gate, m in M.items()}

    def descend(t, h, c):
        """Return what reaches (h, c) before step t; on the way back up gradients are added."""
        if t == x.shape[1]:
            return np.zeros_like(h), dc_last
        _, _, c_new, h_new = look(M, x[:, t], h, c)
        dh, dc = descend(t + 1, h_new, c_new)
        dx[:, t], dh, dc, sums = one_back(dh + dhs[:, t], dc, x[:, t], h, c, M)
        for gate in total:
            total[gate] += sums[gate]
        return dh, dc

    dh0, dc0 = descend(0, h0, c0)
    return dx, dh0, dc0, apart(total, h0.shape[1])


def forget_bias_init(params, value):
    return params | {"b_f": np.ones(params["b_f"].shape) * value}


def carousel(params):
    nothing = {name: np.zeros_like(params[name]) for name in ("W_f", "U_f", "W_i", "U_i")}
    high = np.full(params["b_f"].shape, 45.5)
    return params | nothing | {"b_f": high, "b_i": -high}


def cell_gradient_path(cache, k, t):
    x, h, c, M = cache
    gates = []
    for step in range(t + 1):
        _, act, c, h = look(M, x[:, step], h, c)
        gates.append(act["f"])
    # the product as a sum of logarithms
    return np.exp(sum((np.log(f) for f in gates[k + 1 :]), start=np.zeros_like(c)))
