"""Oracles of the bank seq2seq: searches run, alignments enumerated, real layers and arrays counted."""

import itertools
import math

import numpy as np


def states_kept(S, H):
    """Run a bidirectional layer and count its outputs."""
    import torch

    with torch.no_grad():
        out, _ = torch.nn.GRU(3, H, bidirectional=True)(torch.zeros(S, 1, 3))
    return out.numel()


def model_shapes(B, S, T, H, V):
    """Run encoder, decoder and output layer."""
    import torch

    with torch.no_grad():
        encoder, decoder = (torch.nn.LSTM(4, H, batch_first=True) for _ in range(2))
        _, (h, c) = encoder(torch.zeros(B, S, 4))
        out, _ = decoder(torch.zeros(B, T, 4), (h, c))
        scores = torch.nn.Linear(H, V)(out)
    return {"h": list(h.shape), "out": list(out.shape), "scores": list(scores.shape)}


def right_on_average(p, T):
    """Go on step by step with what is still right, and count it."""
    alive, right = 1.0, 0.0
    for _ in range(T):
        alive -= alive * p / 100
        right += alive
    return right


def own_word(e, s):
    """Read the schedule off a line through its two ends."""
    return float(1.0 - np.interp(s, [0, 1000], [1.0, e]))


def _beam(p, q, r, width):
    first = {"A": p, "B": 1 - p}
    second = {"A": {"x": q, "y": (1 - q) / 2, "z": (1 - q) / 2}, "B": {"x": r, "y": 1 - r}}
    beam = sorted(first.items(), key=lambda one: -one[1])[:width]
    grown = [(a + b, math.log(size) + math.log(share)) for a, size in beam for b, share in second[a].items()]
    return math.exp(max(score for _, score in grown))


def beam_of_two(p, q, r):
    """Search the tree of sentences with a beam of two."""
    return _beam(p, q, r, 2)


def candidates(V, B, T):
    """Count what a search scores, hypotheses being numbers."""
    beam, scored = [0], 0
    for _ in range(T):
        grown = [one for one in beam for _ in range(V)]
        scored += len(grown)
        beam = grown[:B]
    return scored


def penalised(p, n, a):
    """Take the logarithm of the product, and of the penalty."""
    product = 1.0
    for _ in range(n):
        product *= p
    return math.log(product) * math.exp(-a * (math.log(5 + n) - math.log(6)))


def additive_score(W_s, W_h, v, s, h):
    """Sum the score unit by unit."""
    s, h, v = np.ravel(s), np.ravel(h), np.ravel(v)
    total = 0.0
    for k in range(len(v)):
        inside = sum(W_s[k][j] * s[j] for j in range(len(s))) + sum(W_h[k][j] * h[j] for j in range(len(h)))
        total += v[k] * math.tanh(inside)
    return total


def dot_context(a, b):
    """Weigh the two states by the exponentials of their scores."""
    s, states = np.array([a, b]), np.array([[2.0, 0.0], [0.0, 2.0]])
    sizes = np.exp(states @ s)
    return [((sizes[:, None] * states).sum(axis=0) / sizes.sum()).tolist()]


def attention_work(S, d):
    """Count the entries that are multiplied."""
    matrix, vector = np.zeros((d, d)).size, np.zeros(d).size
    additive, dot = matrix, 0
    for _ in range(S):
        additive += matrix
        additive += vector
        dot += vector
    return additive / dot


def hops(i, j):
    """Walk from state to state."""
    position, steps = i, 0
    while position != j:
        position, steps = position + 1, steps + 1
    return steps


def cache(L, d, T):
    """Keep a key and a value for each token in each layer, in bytes of one each."""
    kept = 0
    for _ in range(L):
        kept += sum(np.zeros((T, d), dtype=np.int8).nbytes for _ in ("keys", "values"))
    return kept


def lift(n, p):
    """Compare with the share of places that random lists cover."""
    chance = np.zeros(n)
    chance[:10] = 1
    return float(p / (100 * chance.mean()))


def _collapsed(frames):
    text, before = "", None
    for mark in frames:
        if mark != before and mark != "-":
            text += mark
        before = mark
    return text


def alignments(T, word):
    """Try all sequences of frames."""
    marks = sorted({*word, "-"})
    return sum(_collapsed(frames) == word for frames in itertools.product(marks, repeat=T))


def text_of_two(q):
    """Add up the sequences of two frames that read a."""
    share = {"-": q, "a": 1 - q}
    return sum(share[x] * share[y] for x in share for y in share if _collapsed(x + y) == "a")


def padding_share(a, b, c):
    """Fill a mask and take its mean."""
    mask = np.ones((3, max(a, b, c)))
    for row, length in zip(mask, (a, b, c), strict=True):
        row[:length] = 0
    return float(mask.mean())


def kernel(a, b, c):
    """Send an impulse through the recurrence."""
    x, out = 0.0, []
    for u in (1.0, 0.0, 0.0):
        x = a * x + b * u
        out.append(c * x)
    return [out]
