"""Oracles of the bank memory: sums walked term by term, losses moved by a complex step, counts made by counting."""

import numpy as np

TINY = 1e-30


def pairs(T):
    """Count the pairs of a loss and a use of the weight that is not after it."""
    return sum(1 for t in range(T) for _ in range(t + 1))


def all_losses(w, a, b):
    """Differentiate the sum of the states by a complex step."""
    h, total = 0.0, 0.0
    for x in (a, b, 0.0):
        h = complex(w, TINY) * h + x
        total = total + h
    return total.imag / TINY


def derivative_shapes(H, D):
    """Build the derivatives of one step as arrays, entry by entry, and tell their shapes."""
    rng = np.random.default_rng(0)
    W, x, h = rng.normal(size=(H, D)), rng.normal(size=D), np.zeros(H)
    jacobian = np.stack([np.tanh(W @ x + h + e) for e in np.eye(H)], axis=1)
    direct = np.stack([[(1 - np.tanh(W @ x) ** 2) * unit * value for value in x] for unit in np.eye(H)])
    direct = np.moveaxis(direct, -1, 0)
    grad = np.tensordot(np.ones(H), direct, axes=1)
    return {"jac": list(jacobian.shape), "dir": list(direct.shape), "grad": list(grad.shape)}


def two_jacobians(p, q):
    """Send unit vectors through the linearised steps, one after the other."""
    W = [[1.0, 2.0], [0.0, 1.0]]
    columns = []
    for start in ([1.0, 0.0], [0.0, 1.0]):
        v = start
        for state in ((p, 0.0), (0.0, q)):
            v = [(1 - state[i] ** 2) * sum(W[i][j] * v[j] for j in range(2)) for i in range(2)]
        columns.append(v)
    return [[columns[j][i] for j in range(2)] for i in range(2)]


def argument_of_slope(p):
    """Find the argument by bisection."""
    low, high = 0.0, 20.0
    for _ in range(200):
        middle = (low + high) / 2
        if 1 - np.tanh(middle) ** 2 > p:
            low = middle
        else:
            high = middle
    return float(low)


def at_rest(w, h, T):
    """Run the cell from its resting point with a moved start."""
    b = np.arctanh(h) - w * h
    state = complex(h, TINY)
    for _ in range(T):
        state = np.tanh(w * state + b)
    return float(state.imag / TINY)


def whole_derivative(u, c, o):
    """Move the cell and see how much the next one moves."""
    before = complex(c, TINY)
    gate = 1 / (1 + np.exp(-u * o * np.tanh(before)))
    return float((gate * before).imag / TINY)


def gated_output(a, c, delta):
    """Weigh the state by delta."""
    return np.sum(delta * np.tanh(c) / (1 + np.exp(-a)))


def difference_error(a, e):
    """Take the difference and compare it with the derivative."""
    return abs(((a + e) ** 3 - (a - e) ** 3) / (2 * e) - 3 * a**2)


def leak(a, T):
    """Let the cell run."""
    keep, write = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(a))
    c = 0.0
    for _ in range(T):
        c = keep * c + write * 1.0
    return float(c)


def count_gru(n, m):
    """Count the entries of the arrays of a GRU layer."""
    return sum(np.zeros(shape).size for _ in range(3) for shape in ((n, m), (n, n), (n,)))


def largest_gru(n, m):
    """Try one size after the other."""
    room = sum(np.zeros(shape).size for _ in range(4) for shape in ((n, m), (n, n), (n,)))
    units = 1
    while count_gru(units + 1, m) <= room:
        units += 1
    return units


def share_inside(k, d):
    """Look at each position of a chunk in the middle of a stream."""
    chunk = range(3 * k, 4 * k)
    return sum(1 for t in chunk if (t - d) in chunk) / k


def pooled(n, k, a, b):
    """Lay the answers of both groups side by side and take the mean."""
    near, far = np.zeros(n), np.zeros(k)
    near[: round(n * a)], far[: round(k * b)] = 1, 1
    return float(np.concatenate([near, far]).mean())


def two_symbols_known(S, K):
    """Take the mean cross-entropy of equal logits, except for two answers that stand out."""
    logits = np.zeros((K, S))
    logits[[0, 1], [0, 1]] = 200.0
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-logs[np.arange(K), np.arange(K) % S].mean())


def bits(S, K):
    """Ask how often the number of sequences can be halved."""
    return float(-np.sum([np.log2(np.full(S, 1 / S)) @ np.full(S, 1 / S) for _ in range(K)]))


def decades(b, T):
    """Multiply gate by gate, counting powers of ten."""
    gate, size = 1 / (1 + np.exp(-b)), 1.0
    for _ in range(T):
        size = size * gate
    return float(-np.log10(size))


def profile(w, s):
    """Move each state in turn and see how much the loss moves."""
    row = []
    for moved in range(1, 5):
        h, loss = 0.3, 0.0
        for t in range(1, 5):
            h = w * h + 0.1 * t
            if t == moved:
                h = h + 1j * TINY
            loss = loss + (s * h if t == 2 else h if t == 4 else 0.0)
        row.append(complex(loss).imag / TINY)
    return [row]


def copy_numbers(S, K, N):
    """Build a sample, look where its symbols come back, and let all guesses be tried."""
    symbols = [f"s{n}" for n in range(K)]
    x = [*symbols, *["blank"] * N, "go", *["blank"] * (K - 1)]
    y = [None] * (len(x) - K) + symbols
    return {"length": len(x), "way": y.index("s0") - x.index("s0"), "chance": sum(guess == 0 for guess in range(S)) / S}
