"""Oracles of the bank gates: real arrays counted, real layers run, recurrences stepped through."""

import math

import numpy as np


def window_or_recurrence(T, d, n):
    """Count the arrays of a dense layer over a whole window and of a vanilla recurrent layer."""
    dense = np.zeros((n, np.zeros((T, d)).ravel().size)).size + np.zeros(n).size
    rnn = sum(array.size for array in (np.zeros((n, d)), np.zeros((n, n)), np.zeros(n)))
    return {"dense": int(dense), "rnn": int(rnn)}


def recurrence_shapes(D, H, O):  # noqa: E741  # the names are those of the question
    """Tell the shapes of gradients by the matrices: outer products of what comes out and what goes in."""
    x, h, y = np.ones(D), np.ones(H), np.ones(O)
    return {
        "wxh": list(np.outer(h, x).shape),
        "whh": list(np.outer(h, h).shape),
        "why": list(np.outer(y, h).shape),
    }


def two_steps(w, u, b):
    """Step a cell of one unit through two inputs."""
    h = 0.0
    for x in (1.0, -1.0):
        a = w * h + u * x + b
        h = (math.exp(a) - math.exp(-a)) / (math.exp(a) + math.exp(-a))
    return h


def rnn_pytorch(m, n):
    """Count the parameters of the real layer."""
    import torch

    return sum(p.numel() for p in torch.nn.RNN(m, n).parameters())


def cell_and_state(f, i, o, c):
    """Step an LSTM by PyTorch's definition, its gates made from their logits."""

    def gate(share):
        logit = math.log(share) - math.log1p(-share)
        return 0.5 * (1 + math.tanh(logit / 2))

    cell = sum(share * content for share, content in ((gate(f), c), (gate(i), math.tanh(math.atanh(-0.5)))))
    return {"cell": cell, "state": gate(o) * (1 - 2 / (math.exp(2 * cell) + 1))}


def cell_after_many(f, i, T):
    """Step the cell T times."""
    c = 3.0
    for _ in range(T):
        c = f * c + i
    return c


def pytorch_forget_gate(b):
    """Run the real layer on a cell of 1 with all weights zero: what is left of it is the gate."""
    import torch

    layer = torch.nn.LSTM(2, 1).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0[1:2] = b
        layer.bias_hh_l0[1:2] = b
        start = (torch.zeros(1, 1, 1).double(), torch.ones(1, 1, 1).double())
        _, (_, c) = layer(torch.zeros(1, 1, 2).double(), start)
    return float(c)


def gru_step(z, r, h, x):
    """Move the state towards the candidate by the share z."""
    twice = 2 * (x + 1.5 * r * h)
    candidate = (math.exp(twice) - 1) / (math.exp(twice) + 1)
    return h - z * (h - candidate)


def count_gru(n, m):
    """Count the arrays of a GRU layer, block by block."""
    total = 0
    for _block in ("update", "reset", "candidate"):
        total += np.zeros((n, m)).size + np.zeros((n, n)).size + np.zeros(n).size
    return int(total)


def lstm_cost(n, m):
    """Count arrays, and the entries that one step multiplies."""
    blocks = [(np.zeros((n, m)), np.zeros((n, n)), np.zeros(n)) for _ in range(4)]
    macs = sum(w.size + u.size for w, u, _ in blocks)
    return {
        "params": sum(a.size for block in blocks for a in block),
        "macs": macs,
        "times": macs / np.zeros((n, n)).size,
    }


def encoder_weights(L, d):
    """Count the arrays of an encoder, layer by layer."""
    total = 0
    for _ in range(L):
        total += sum(np.zeros((d, d)).size for _ in ("query", "key", "value", "output"))
        total += np.zeros((4 * d, d)).size + np.zeros((d, 4 * d)).size
    return int(total)


def both_directions(D, H):
    """Count the parameters of the real network."""
    import torch

    return sum(p.numel() for p in torch.nn.LSTM(D, H, num_layers=2, bidirectional=True).parameters())


def classifier_shapes(B, T, H, K):
    """Run the classifier's layers and tell the shapes."""
    import torch

    layer = torch.nn.LSTM(7, H, num_layers=2, bidirectional=True, batch_first=True)
    with torch.no_grad():
        _, (h, _) = layer(torch.zeros(B, T, 7))
        joined = torch.cat([h[-2], h[-1]], dim=-1)
        logits = torch.nn.Linear(2 * H, K)(joined)
    return {"h": list(h.shape), "joined": list(joined.shape), "logits": list(logits.shape)}


def find_the_line(o, c):
    """Take the last line as it stands, and as it should be."""
    cell = np.full((1, 1), c)
    return {"printed": (o * cell).item(), "repaired": (o * np.sinh(cell) / np.cosh(cell)).item()}
