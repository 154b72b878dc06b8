"""Oracles of the bank alignment: mixtures by hand, searches, real layers, labels that are counted one by one."""

import itertools
import math
from collections import Counter

import numpy as np


def context_of_three(a, b, k):
    """Mix the states with a softmax that is computed in logarithms."""
    scores = np.log([0.5, 0.3, 0.2]) + 7.0 + np.array([0.0, np.log(k), 0.0])
    logs = scores - np.logaddexp.reduce(scores)
    return [list(np.exp(logs) @ np.array([[a, 0.0], [0.0, b], [1.0, 1.0]]))]


def weight_of_second(a, b, c):
    """Find the weight by bisection."""
    low, high = 0.0, 1.0
    for _ in range(100):
        w = (low + high) / 2
        if (1 - w) * a + w * b < c:
            low = w
        else:
            high = w
    return low


def shortest_path(s, d):
    """Search breadth first."""
    steps = {0: 0}
    for place in range(1, d + 1):
        steps[place] = 1 + min(steps[place - jump] for jump in (1, s) if place - jump in steps)
    return steps[d]


def longest_source(H, V):
    """Lengthen the source while there are no more sources than states can be told apart."""
    words = 0
    while V ** (words + 1) <= 4**H:
        words += 1
    return words


def general_score(s, W, h):
    """Score one state against another."""
    return np.sum(s * (W @ h))


def additive_score(s, h, U, W, v):
    """Score one state against another by a small network."""
    return np.sum(v * np.tanh(W @ s + U @ h))


def additive_parameters(a, p, q):
    """Count the entries of the arrays."""
    return sum(np.zeros(shape).size for shape in ((a, p), (a, q), (a,)))


def saved(M, S, a):
    """Count the multiplications of both ways, product by product."""
    once = every = 0
    for step, _ in itertools.product(range(M), range(S)):
        every += np.zeros((a, a)).size
        once += np.zeros((a, a)).size if step == 0 else 0
    return every - once


def batched_shapes(B, S, M, D, A):
    """Compute additive scores for a batch and tell the shapes."""
    states, queries = np.ones((B, S, D)), np.ones((B, M, D))
    keys, asked = states @ np.ones((A, D)).T, queries @ np.ones((A, D)).T
    hidden = np.tanh(asked[:, :, None, :] + keys[:, None, :, :])
    return {"keys": list(keys.shape), "hidden": list(hidden.shape), "scores": list((hidden @ np.ones(A)).shape)}


def all_right(p, L):
    """Walk through the tokens: what is still right so far."""
    share = 1.0
    for _ in range(L):
        share -= share * (1 - p)
    return share


def token_accuracy(q, L):
    """Find the accuracy by bisection."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if all_right(middle, L) < q:
            low = middle
        else:
            high = middle
    return low


def ideal_map(k):
    """Turn a row of names round, move it on, and look up where each name came from."""
    names = ["x1", "x2", "x3", "x4"]
    turned = names[::-1]
    out = [turned[(t - k) % 4] for t in range(4)]
    return [[1.0 if name == wanted else 0.0 for name in names] for wanted in out]


def macro_f1(a, b, x, y):
    """Write out the labels and count for each tag."""
    gold = ["A"] * (a + x) + ["B"] * (b + y)
    said = ["A"] * a + ["B"] * x + ["B"] * b + ["A"] * y
    found = []
    for tag in "AB":
        hits = sum(g == s == tag for g, s in zip(gold, said, strict=True))
        precision, recall = hits / said.count(tag), hits / gold.count(tag)
        found.append(2 * precision * recall / (precision + recall))
    return sum(found) / 2


def tagger_shapes(B, T, H, K):
    """Run the tagger's layers and tell the shapes."""
    import torch

    layer, linear = torch.nn.LSTM(5, H, bidirectional=True, batch_first=True), torch.nn.Linear(2 * H, K)
    with torch.no_grad():
        out, _ = layer(torch.zeros(B, T, 5))
        scores = linear(out)
    return {"out": list(out.shape), "weight": list(linear.weight.shape), "scores": list(scores.shape)}


def brevity(c, r):
    """Score a corpus of equal words: its precisions are 1, so the penalty is what is left."""
    said, reference = ["w"] * c, ["w"] * r
    logs = 0.0
    for n in range(1, 5):
        ours = Counter(tuple(said[i : i + n]) for i in range(len(said) - n + 1))
        theirs = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
        logs += math.log(sum((ours & theirs).values()) / sum(ours.values())) / 4
    return math.exp(logs + min(0.0, (len(said) - len(reference)) / len(said)))


def bleu(p, b):
    """Take the mean of the logarithms."""
    return float(np.exp(np.mean(np.log(p)) + np.log(b)))


def weights_in_numbers(S, M):
    """Take softmaxes of equal scores and add up."""
    scores = np.full((M, S), 0.7)
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return {"count": scores.size, "total": round(float(weights.sum()), 9), "even": float(weights[0, 0])}
