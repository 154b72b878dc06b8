"""Oracles of the bank gradients: losses to be differentiated, products taken step by step, searches."""

import numpy as np


def unrolled(T, B, n):
    """Walk through a sequence and count steps and kept numbers."""
    kept = [np.zeros((B, n)) for _ in range(T)]
    return {"depth": len(kept), "stored": int(np.stack(kept).size)}


def shared_weight(w, a, b):
    """Differentiate the last state by a complex step."""
    moved = complex(w, 1e-30)
    h = 0.0
    for x in (a, b, 1.0):
        h = moved * h + x
    return h.imag / 1e-30


def weighted_step(W_hh, h_tm1, delta):
    """Weigh the state after a step by delta."""
    return np.sum(delta * np.tanh(W_hh @ h_tm1))


def weighted_two_steps(W, h_0, delta):
    """Weigh the state after two steps by delta."""
    return np.sum(delta * np.tanh(W @ np.tanh(W @ h_0)))


def weighted_cell(f_t, i_t, g_t, c_tm1, delta):
    """Weigh the new cell by delta."""
    return np.sum(delta * (f_t * c_tm1 + i_t * g_t))


def bound(g, s, k):
    """Multiply the norms of k factors whose slopes and singular values are the largest allowed."""
    product = np.eye(2)
    for _ in range(k):
        product = np.diag([g, g]) @ np.diag([s, 0.5 * s]) @ product
    return float(np.linalg.svd(product)[1][0])


def cube(r, a):
    """Multiply the matrix with itself."""
    A = np.array([[r, a], [0.0, r]])
    return (A @ A @ A).tolist()


def turn(r, a):
    """Find the factor of a turn by applying it again and again."""
    A = np.array([[r, a], [0.0, r]])
    v = np.ones(2)
    size = 0.0
    for _ in range(500):
        v = A @ (A.T @ v)
        size = float(np.sqrt(v @ v))
        v = v / size
    return size


def norm_before(g, s, c):
    """Lengthen a gradient with the entry g until clipping leaves g * s of it."""
    low, high = float(g), 1000.0
    for _ in range(200):
        middle = (low + high) / 2
        flat = np.array([g, np.sqrt(middle**2 - g**2)])
        clipped = flat / max(1.0, np.linalg.norm(flat) / c)
        low, high = (middle, high) if clipped[0] > g * s else (low, middle)
    return (low + high) / 2


def window_for_delay(N):
    """Widen the window until a gradient arrives at the input N steps back, in a network that is run."""
    w, T = 0.5, N + 4
    for k in range(1, T + 1):
        reached, carry = np.zeros(T), 1.0
        for t in list(range(T - 1, -1, -1))[:k]:
            reached[t] += carry
            carry *= w
        if reached[T - 1 - N] != 0:
            return k
    return 0


def forget_share(b, T):
    """Multiply the gate T times, in logarithms."""
    return float(np.exp(-sum(np.log1p(np.exp(-float(b))) for _ in range(T))))


def forget_bias(s, T):
    """Search the bias by halving an interval."""
    low, high = -20.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        gate = 1.0 / (1.0 + np.exp(-middle))
        low, high = (middle, high) if gate**T < s else (low, middle)
    return (low + high) / 2


def rotated(s, T):
    """Send a vector back through slopes and a rotation."""
    angle = 0.7
    W = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    delta = np.array([0.6, 0.8])
    for _ in range(T):
        delta = W.T @ (s * delta)
    return float(np.sqrt(delta @ delta))


def relu_growth(p, T):
    """Run the network."""
    W = np.eye(3) + np.eye(3) * p / 100
    h = np.ones(3)
    for _ in range(T):
        h = np.maximum(W @ h, 0)
    return float(h[0])


def one_unit(w, x):
    """Run two steps of one unit, and move each thing by a complex step."""

    def second(weight, first, extra=0.0):
        return np.tanh(weight * first + extra)

    def loss(weight):
        return second(weight, np.tanh(weight * 0.5 + x))

    eps = 1e-30j
    h1 = float(np.tanh(w * 0.5 + x))
    return {
        "h1": h1,
        "h2": float(loss(w)),
        "last": second(w, h1, eps).imag / 1e-30,
        "back": second(w, h1 + eps).imag / 1e-30,
        "weight": loss(w + eps).imag / 1e-30,
    }
