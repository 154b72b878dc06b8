"""Oracles of the bank foundations: each computes a key another way than the bank's own expression does."""

import numpy as np


def count_lstm(n, m, biases):
    """Count the entries of the arrays of an LSTM layer, one array at a time."""
    total = 0
    for _gate in ("input", "forget", "candidate", "output"):
        total += np.zeros((n, m)).size + np.zeros((n, n)).size
        total += sum(np.zeros(n).size for _ in range(biases))
    return int(total)


def count_rnn(n, m):
    """Count the entries of the arrays of a vanilla layer with one bias."""
    return sum(array.size for array in (np.zeros((n, m)), np.zeros((n, n)), np.zeros(n)))


def shrink(r, T):
    """Multiply a number by r, T times."""
    size = 1.0
    for _ in range(T):
        size = size * r
    return size


def step_loss(W_hh, h_tm1, delta):
    """Weigh the state after a step by delta: its gradient by h_tm1 is delta sent back through the step."""
    return np.sum(delta * np.tanh(W_hh @ h_tm1))


def bilstm_shapes(B, T, H, D):
    """Run a bidirectional LSTM of two layers and tell the shapes of what it returns."""
    import torch

    layer = torch.nn.LSTM(D, H, num_layers=2, bidirectional=True, batch_first=True)
    out, (h, _) = layer(torch.zeros(B, T, D))
    return {"out": list(out.shape), "h": list(h.shape)}


def jacobian(W, h):
    """Differentiate one step h -> tanh(W h') numerically at the point whose new state is h."""
    W, a = np.array(W), np.arctanh(np.array(h))
    before = np.linalg.solve(W, a)
    columns = []
    for k in range(len(a)):
        moved = before.astype(complex)
        moved[k] += 1e-30j
        columns.append(np.imag(np.tanh(W @ moved)) / 1e-30)
    return np.stack(columns, axis=1)


def memory(b):
    """Find after how many steps the cell has fallen to 1/e: sum the kept shares of a forget gate at its bias."""
    keep = 1.0 / (1.0 + np.exp(-b))
    return {"keep": keep, "steps": float(sum(keep**k for k in range(100_000)))}
