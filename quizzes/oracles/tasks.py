"""Oracles of the bank tasks: arrays multiplied, recurrences stepped through, real layers run."""

import itertools
import math

import numpy as np


def _squash(a):
    """Give the sigmoid by another formula than the banks' own."""
    return 0.5 * (1 + np.tanh(np.asarray(a, dtype=float) / 2))


def vector_update(a, p, u):
    """Multiply the matrices, and squash by the exponential."""
    W, U = np.array([[1, 0, -0.5], [0.5, 1, 0]]), np.array([[a, -0.4], [0.6, 0.2]])
    sums = W @ [0.4, u, 0.2] + U @ [p, 0.5] + [0.1, -0.1]
    return [(1 - 2 / (np.exp(2 * sums) + 1)).tolist()]


def log_probability(p):
    """Add the logarithms, each from base 2."""
    return sum(math.log2(one) for one in p) * math.log(2)


def slopes_multiply(w, h):
    """Run the cell by inputs that lead through the given states, and move its first state by a complex step."""
    state = h[0] + 1e-30j
    for before, after in itertools.pairwise(h):
        state = np.tanh(w * state + (math.atanh(after) - w * before))
    return float(state.imag / 1e-30)


def factor_of_a_thousand(r):
    """Multiply until it is enough."""
    size, steps = 1.0, 0
    while 1e-3 <= size <= 1e3:
        size, steps = size * r, steps + 1
    return steps


def bound_or_value(a, b, k):
    """Send a signal through the steps."""
    signal = np.array([0.6, -0.8])
    for _ in range(k):
        signal = np.array([[0, a], [b, 0]]) @ signal
    return float(np.hypot(*signal))


def lstm_two_units(F, G):
    """Step an LSTM whose weights are zero and whose biases are the sums."""
    sums = {"i": [0, 2], "f": [F, 0], "o": [0, G]}
    i, f, o = (_squash(sums[name]) for name in "ifo")
    cell = f * [2, -1] + i * np.tanh([1, -1])
    return [cell.tolist(), (o * (1 - 2 / (np.exp(2 * cell) + 1))).tolist()]


def gru_two_units(Z, R):
    """Move the state towards the candidate."""
    h, r, z = np.array([0.8, -0.6]), np.array([0.5, R]), np.array([Z, 0.25])
    candidate = np.tanh(np.array([0.2, 0.1]) + np.array([[0, 1], [0.5, 0]]) @ (r * h))
    return [(h + z * (candidate - h)).tolist()]


def kept_after(b, T):
    """Step a state of 1 with candidates of 0."""
    z, h = float(_squash(b)), 1.0
    for _ in range(T):
        h = h - z * h
    return h


def candidate(W, U, x, h, r):
    """Sum each unit of the candidate term by term."""
    x, h, r = np.ravel(x), np.ravel(h), np.ravel(r)
    found = []
    for k in range(len(h)):
        total = sum(W[k][j] * x[j] for j in range(len(x)))
        total += sum(U[k][j] * r[j] * h[j] for j in range(len(h)))
        found.append([math.tanh(total)])
    return found


def blended(z, h, n, delta):
    """Weigh the blend of old state and candidate by delta."""
    return np.sum(delta * (h * (1 - z) + n * z))


def numbers_carried(L, B, H):
    """Run the real layer and count its states."""
    import torch

    with torch.no_grad():
        _, states = torch.nn.LSTM(3, H, num_layers=L)(torch.zeros(1, B, 3))
    return sum(state.numel() for state in states)


def task_shapes(B, T, D, H, K):
    """Run a layer and two heads over arrays of ones."""
    x, W, U, V = np.ones((B, T, D)), np.ones((D, H)), np.zeros((H, H)), np.ones((H, K))
    h, states = np.zeros((B, H)), []
    for t in range(T):
        h = np.tanh(x[:, t] @ W + h @ U)
        states.append(h)
    every = np.stack(states, axis=1)
    arrays = {"states": every, "last": h, "whole": h @ V, "each": every @ V}
    return {name: list(array.shape) for name, array in arrays.items()}


def pooled_state(a, b):
    """Average the rows that are real."""
    states = np.ma.masked_array([[a, 1], [0.5, b], [1, -2], [0, 0]], mask=[[0, 0]] * 3 + [[1, 1]])
    return [states.mean(axis=0).tolist()]


def how_many_losses(a, b, c):
    """Count the words of sentences."""
    return sum(1 for length in (a, b, c) for _word in range(length))


def sentence_with_end(p, q, e):
    """Add logarithms."""
    return math.exp(math.fsum(math.log(one) for one in (e, q, p)))


def score_shapes(B, S, T, H):
    """Compute scores and contexts of arrays of ones."""
    encoder, decoder = np.ones((B, S, H)), np.ones((B, T, H))
    one = np.einsum("bsh,bh->bs", encoder, decoder[:, 0])
    every = np.einsum("bth,bsh->bts", decoder, encoder)
    return {"one": list(one.shape), "all": list(every.shape), "context": list((every @ encoder).shape)}


def masked_weights(a, b):
    """Take the softmax with a score of minus infinity for what is padding."""
    scores = np.array([a, b, -np.inf])
    return [np.exp(scores - np.logaddexp.reduce(scores)).tolist()]


def context_of_three(a, b):
    """Weigh the states one by one."""
    total, context = 0.0, np.zeros(2)
    for score, state in ((a, (1, 0)), (b, (0, 1)), (0.0, (1, 1))):
        total += math.exp(score)
        context += math.exp(score) * np.array(state)
    return [(context / total).tolist()]


def self_attention_row(a, b):
    """Compute the layer's row with matrices."""
    q, K, V = np.array([a, b, 0, 0]), np.eye(4)[:2], 10 * np.eye(2)
    sizes = np.exp(K @ q / np.sqrt(len(q)))
    return [(sizes @ V / sizes.sum()).tolist()]


def one_batch_two_tasks(B, T, K, H):
    """Count the entries of arrays, the two directions joined."""
    states = np.concatenate([np.zeros((B, T, H)) for _direction in ("left", "right")], axis=-1)
    head = np.zeros((states.shape[-1], K))
    return {"whole": (states[:, 0] @ head).size, "each": (states @ head).size, "inputs": len(head)}
