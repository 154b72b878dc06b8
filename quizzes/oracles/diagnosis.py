"""Oracles of the bank diagnosis: real layers run, searches and simulations instead of formulas."""

import itertools
import math

import numpy as np


def step_shapes(B, D, H):
    """Run a step with arrays of ones."""
    W, x, U, h = np.ones((4 * H, D)), np.ones((B, D)), np.ones((4 * H, H)), np.zeros((B, H))
    sums = x @ W.T + h @ U.T
    i, f, g, o = (sums[:, n * H : (n + 1) * H] for n in range(4))
    cell = f * np.zeros((B, H)) + i * np.tanh(g)
    return {"weight": list(W.shape), "sums": list(sums.shape), "forget": list(f.shape), "cell": list((o * cell).shape)}


def forgot_batch_first(B, T, D, H):
    """Run the real layer."""
    import torch

    with torch.no_grad():
        out, h = torch.nn.GRU(D, H)(torch.zeros(B, T, D))
    return {"out": list(out.shape), "h": list(h.shape)}


def factor_per_step(g, k):
    """Average the logarithms of the steps of a line between the two norms."""
    line = np.linspace(math.log(0.5), math.log(g), k + 1)
    return float(np.exp(np.diff(line).mean()))


def _halved(go, low, high):
    """Return where a falling function crosses a half, by bisection."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if go(middle) > 0.5 else (low, middle)
    return (low + high) / 2


def half_life(f):
    """Search for the time after which half is left."""
    return _halved(lambda steps: f**steps, 0.0, 1000.0)


def slope_of_a_gate(g):
    """Differentiate the sigmoid numerically where its value is g."""
    a = math.log(g) - math.log(1 - g)
    up, down = (1 / (1 + math.exp(-(a + d))) for d in (1e-5, -1e-5))
    return (up - down) / 2e-5


def hidden_by_the_mean(s, a, x):
    """Count the right answers among 100,000."""
    short = round(100_000 * s)
    right = short * a + (100_000 - short) * x
    return (right - short * a) / (100_000 - short)


def uncertain(n, p):
    """Take the deviation of the number of hits from the binomial distribution."""
    weights = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    mean = sum(w * k for k, w in enumerate(weights)) / n
    return math.sqrt(sum(w * (k / n - mean) ** 2 for k, w in enumerate(weights)))


def equal_budget(a, b, c, s, M):
    """Add one learning rate after another as long as there is time, a training at a time."""
    left = M
    for rates in itertools.count():
        for minutes in (a, b, c):
            for _seed in range(s):
                left -= minutes
        if left < 0:
            return rates
    return 0


def best_step(M):
    """Search for the step on a logarithmic scale, in thirds."""

    def off(log_step):
        step = math.exp(log_step)
        return 6e-8 * M / step + step * step

    low, high = math.log(1e-7), 0.0
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if off(left) < off(right) else (left, high)
    return math.exp((low + high) / 2)


def ablation_table(a, b, l):  # noqa: E741  # the names are those of the question
    """Subtract the full model's row from a table."""
    table = np.array([[l, a], [0.9, b], [0.6, 0.8]])
    return (table[1:] - table[0]).T.tolist()


def spread_of_seeds(s, t, n):
    """Build samples that have the deviations, and take the error of a mean over all pairs of draws."""
    ends = [-1.0, 1.0]
    pairs = np.array([s * x - t * y for x in ends for y in ends])
    return float(np.std(pairs) / math.sqrt(n))


def untrained(K):
    """Take the cross-entropy of equal scores."""
    return float(np.logaddexp.reduce(np.zeros(K)))


def scaled_error(a, b, c):
    """Compare two arrays."""
    one, two = np.array([a, c]), np.array([b, c])
    return float(np.max(np.abs(one - two)) / np.max(np.abs(one) + np.abs(two)))


def perplexity(p, q):
    """Take the inverse of the geometric mean of the real words' probabilities."""
    words = np.ma.masked_array([[p, q, 0.5], [0.1, 1.0, 1.0]], mask=[[0, 0, 0], [0, 1, 1]]).compressed()
    return float(1 / np.prod(words) ** (1 / len(words)))


def keeping_and_learning(f, T):
    """Run a cell of 1 forward and a gradient of 1 back, and differentiate the gate numerically."""
    cell = slope = 1.0
    for _ in range(T):
        cell, slope = cell * f, slope - (1 - f) * slope
    return {"left": cell, "back": slope, "slope": slope_of_a_gate(f)}


def what_is_left(f):
    """Let a cell forget until less than a tenth is left."""
    cell, steps = 1.0, 0
    while cell >= 0.1:
        cell, steps = f * cell, steps + 1
    return {"step": steps}
