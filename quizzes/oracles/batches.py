"""Oracles of the bank batches: real packing and clipping, positions counted, recurrences stepped through."""

import math

import numpy as np


def masked_loss(a, b):
    """Average the losses at real positions."""
    losses = np.ma.masked_array([[a, 0.6, 1.2], [b, 2.3, 2.3]], mask=[[0, 0, 0], [0, 1, 1]])
    return float(losses.mean())


def diluted(a, b, T):
    """Compare the mean of a padded row of ones and zeros with that of the ones."""
    mask = np.zeros((2, T))
    mask[0, :a] = mask[1, :b] = 1
    return float(mask.mean() / mask[mask > 0].mean())


def packed_steps(b, c):
    """Pack three real sequences."""
    import torch

    sequences = [torch.zeros(length, 1) for length in (5, b, c)]
    return [torch.nn.utils.rnn.pack_sequence(sequences).batch_sizes.tolist()]


def packed_shapes(a, b, D, H):
    """Pack, run and pad two sequences."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    packed = pack_padded_sequence(torch.zeros(2, a, D), [a, b], batch_first=True)
    with torch.no_grad():
        out, h = torch.nn.GRU(D, H, batch_first=True)(packed)
    padded, _ = pad_packed_sequence(out, batch_first=True)
    return {"data": list(packed.data.shape), "out": list(padded.shape), "h": list(h.shape)}


def carried_or_reset(a, k):
    """Run both."""
    carried = reset = 0.0
    for t in range(2 * k):
        if t == k:
            reset = 0.0
        carried, reset = a * carried + 1, a * reset + 1
    return carried - reset


def rotated(p, q, T):
    """Send a signal through the steps."""
    signal = np.array([1.0, 0.0])
    for _ in range(T):
        signal = np.array([[p, -q], [q, p]]) @ signal
    return float(np.hypot(*signal))


def default_entries(H):
    """Take the deviation of many numbers that lie evenly between the bounds."""
    return float(np.std((np.arange(200_000) + 0.5) / 100_000 - 1) / math.sqrt(H))


def penalised(theta, g, mu):
    """Add the penalty to a loss whose gradient is g."""
    return np.sum(g * theta) + mu * np.sum(theta * theta)


def decayed(w, g, r):
    """Differentiate loss and penalty numerically, and step."""
    moved = w + 1e-30j
    slope = (g * moved + 0.05 * moved**2).imag / 1e-30
    return float(w - r * slope)


def still_there(p, T):
    """Go on step by step with what is left."""
    left = 1.0
    for _ in range(T):
        left -= p * left
    return left


def kept(p, x):
    """Drop from many copies and look at one that was kept."""
    import torch

    passed = torch.nn.Dropout(p)(torch.full((500,), x, dtype=torch.float64))
    return float(passed[passed != 0][0])


def clipped(p, c):
    """Clip with PyTorch."""
    import torch

    first, second = torch.nn.Parameter(torch.zeros(2).double()), torch.nn.Parameter(torch.zeros(1).double())
    first.grad, second.grad = torch.tensor(p[:2]).double(), torch.tensor(p[2:]).double()
    torch.nn.utils.clip_grad_norm_([first, second], c)
    return [first.grad.tolist() + second.grad.tolist()]


def counting_a_stream(M, k, B):
    """Walk through the rows of a text, and count the steps between the ends of a chunk."""
    rows = np.arange(B * M).reshape(B, -1)
    chunks = [rows[:, start : start + k] for start in range(0, rows.shape[1], k)]
    return {"chunks": len(chunks), "reach": int(chunks[0][0, -1] - chunks[0][0, 0])}
