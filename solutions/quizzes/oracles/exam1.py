"""Oracles of the graded bank exam1: each computes a key another way than the bank's own expression does."""

import numpy as np


def _block(n, m):
    return [np.zeros((n, m)), np.zeros((n, n)), np.zeros(n)]


def gru_saves(n, m):
    """Count the arrays of both layers and subtract."""
    lstm = sum(a.size for _ in ("input", "forget", "candidate", "output") for a in _block(n, m))
    gru = sum(a.size for _ in ("update", "reset", "candidate") for a in _block(n, m))
    return int(lstm - gru)


def stacked_total(m, n, L):
    """Count the arrays layer by layer, each reading what lies below it."""
    total, width = 0, m
    for _ in range(L):
        total += sum(a.size for _ in range(4) for a in _block(n, width))
        width = n
    return int(total)


def embed_to_logits(B, T, E, H, V):
    """Push a batch of numbers through arrays and tell the shapes."""
    emb = np.zeros((V, E))[np.zeros((B, T), dtype=int)]
    states = np.stack([np.zeros((B, E)) @ np.zeros((E, H)) for _ in range(T)], axis=1)
    return {"emb": list(emb.shape), "states": list(states.shape), "scores": list((states @ np.zeros((H, V))).shape)}


def decoder_shapes(B, S, T, H):
    """Compute weights and contexts of one batch."""
    source, target = np.zeros((B, S, H)), np.zeros((B, T, H))
    weights = np.einsum("bth,bsh->bts", target, source)
    return {"weights": list(weights.shape), "contexts": list((weights @ source).shape)}


def logistic_loss(A, before, g):
    """Weigh the state after a logistic step by g: its gradient by the state before is what goes back."""
    return np.sum(g / (1 + np.exp(-(A @ before))))


def bias_gradient(w, x, y):
    """Differentiate the loss by the bias with a complex step."""
    b, h = 1e-30j, 0.0
    for u in (x, 0.0, 1.0):
        h = w * h + u + b
    return float(np.imag(0.5 * (h - y) ** 2) / 1e-30)


def steps_until(r, d):
    """Multiply until it is small enough."""
    from fractions import Fraction

    size, count = Fraction(1), 0
    while size >= Fraction(1, 10**d):
        size, count = size * Fraction(str(r)), count + 1
    return count


def clipped_step(a, c):
    """Clip both gradients as one long vector."""
    grads = np.array([[a, 0.0], [0.0, round(8 * a / 6)]])
    return grads * min(1.0, c / np.linalg.norm(grads))


def leak_of_cell(f, T):
    """Step the cell."""
    cell = 1.0
    for _ in range(T):
        cell = f * cell
    return {"share": cell}


def cell_step(f, i, c, g):
    """Sum what is kept and what is written."""
    return float(np.dot(np.array([f, i]), np.array([c, g])))


def perplexity_of(a, b):
    """Exponentiate the mean surprise."""
    return float(np.exp(-np.mean(np.log([1 / a, 1 / b]))))


def pad_mean(u, v, k):
    """Take the mean over the positions of the mask."""
    losses, mask = np.full(k, 4.0), np.zeros(k, dtype=bool)
    losses[:2], mask[:2] = (u, v), True
    return float(losses[mask].mean())


def weights_of_two(s, x, y):
    """Weigh two values by a softmax."""
    weights = np.exp([s, 0.0])
    return float((weights / weights.sum()) @ np.array([x, y]))


def path_lengths(T):
    """Count steps along a chain, and pairs of positions."""
    steps = sum(1 for _ in range(1, T))
    return {"rnn": steps, "att": 1, "scores": sum(1 for _ in range(T) for _ in range(T))}


def cost_formula(n, m, T):
    """Count the entries of every matrix that meets a vector, step by step."""
    return int(sum(np.zeros((n, size)).size for _ in range(T) for _ in range(4) for size in (m, n)))
