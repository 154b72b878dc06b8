"""A correct solution: gates are a leading axis of length four, and the direct path is a sum of logarithms."""

import numpy as np

G = ["o", "i", "g", "f"]


def sigmoid(z):
    with np.errstate(over="ignore"):
        return np.where(z > 0, 1 / (1 + np.exp(-z)), 1 - 1 / (1 + np.exp(z)))


def cube(params):
    return tuple(np.stack([params[f"{k}_{g}"] for g in G]) for k in ("W", "U", "b"))


def lstm_step_forward(x, h_prev, c_prev, params):
    W, U, b = cube(params)
    z = np.matmul(x, W.transpose(0, 2, 1)) + np.matmul(h_prev, U.transpose(0, 2, 1)) + b[:, None]
    a = sigmoid(z)
    a[2] = np.tanh(z[2])
    o, i, g, f = a
    c = c_prev * f + i * g
    return o * np.tanh(c), c, {"x": x, "h": h_prev, "c": c_prev, "new": c, "a": a, "z": z, "W": W, "U": U}


def lstm_step_backward(dh, dc, cache):
    o, i, g, f = cache["a"]
    s = np.tanh(cache["new"])
    total = dc + dh * o * (1 - s * s)
    da = np.stack([dh * s, total * g, total * i, total * cache["c"]])
    slope = cache["a"] * (1 - cache["a"])
    slope[2] = 1 - g * g
    dz = da * slope
    dx = np.matmul(dz, cache["W"]).sum(0)
    dh_prev = np.matmul(dz, cache["U"]).sum(0)
    dW = np.matmul(dz.transpose(0, 2, 1), cache["x"])
    dU = np.matmul(dz.transpose(0, 2, 1), cache["h"])
    db = dz.sum(1)
    grads = {}
    for n, k in enumerate(G):
        grads.update({f"W_{k}": dW[n], f"U_{k}": dU[n], f"b_{k}": db[n]})
    grads["note"] = "also here"
    return dx, dh_prev, total * f, grads


class Run(list):
    start = None


def lstm_forward(x, h0, c0, params):
    run, hs = Run(), []
    run.start = c0
    h, c = h0, c0
    for t in range(x.shape[1]):
        h, c, k = lstm_step_forward(x[:, t, :], h, c, params)
        hs.append(h[:, None])
        run.append(k)
    return np.concatenate(hs, 1), c, run


def lstm_backward(dhs, dc_last, cache):
    T = len(cache)
    dx = [None] * T
    dh, dc = np.zeros_like(dc_last), dc_last.copy()
    total = {}
    t = T
    while t > 0:
        t -= 1
        dx[t], dh, dc, g = lstm_step_backward(dh + dhs[:, t], dc, cache[t])
        g.pop("note")
        for k, v in g.items():
            total[k] = total.get(k, 0) + v
    return np.stack(dx, axis=-2), dh, dc, total


def forget_bias_init(params, value):
    def fresh():
        for k, v in params.items():
            yield k, (np.zeros(v.shape) + value if k == "b_f" else v.astype(float))

    return dict(fresh())


def carousel(params):
    new = forget_bias_init(params, 200.0)
    new["b_i"] = np.full(new["b_f"].shape, -200.0)
    for gate in "if":
        for kind in "WU":
            new[f"{kind}_{gate}"] = np.zeros(params[f"{kind}_{gate}"].shape)
    return new


def cell_gradient_path(cache, k, t):
    # log of a sigmoid: exact also where f is tiny
    logs = [-np.logaddexp(0, -m["z"][3]) for m in cache[k + 1 : t + 1]]
    return np.exp(sum(logs, np.zeros_like(cache.start)))
