"""The public suite of the session recommender: run it as often as you like with `grader check`.

It holds no solution. What is right is found the slow way: sorted lists, loops over events, losses of one position at
a time. The hidden suite that decides on points asks the same questions about more cases, and trains your model on a
shop of 5,000 items; the points here show roughly where you stand.

`student.f(...)` calls your function f, with copies of the arguments. `close(got, want)` asks for the same shape and
for max|got - want| <= 1e-4 * max(|got| + |want|).
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from grader.checking import close, require


def draw_sessions(rng, count, n_items, shortest=2, longest=6):
    """Return random sessions."""
    return [rng.integers(0, n_items, rng.integers(shortest, longest + 1)).tolist() for _ in range(count)]


def as_array(value):
    """Return tensors and lists as arrays."""
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)


def flat(rows):
    """Return the entries of all rows in one list."""
    return [entry for row in rows for entry in row]


# --- metrics ---------------------------------------------------------------------------------------------


@pytest.mark.part("metrics")
@pytest.mark.points(4)
def test_ranks(student, rng):
    """target_ranks of scores without ties."""
    scores, target = rng.permuted(np.tile(np.arange(9.0), (5, 1)), axis=1), np.array([3, 0, 8, 5, 1])
    want = [sorted(row, reverse=True).index(row[t]) + 1 for row, t in zip(scores.tolist(), target, strict=True)]
    close(np.asarray(student.target_ranks(scores, target), dtype=float), np.array(want, dtype=float))


@pytest.mark.part("metrics")
@pytest.mark.points(1)
@pytest.mark.parametrize(("ties", "want"), [("optimistic", 2.0), ("mid", 3.0), ("pessimistic", 4.0)])
def test_ranks_with_ties(student, ties, want):
    """target_ranks where two other items have the target's score: {ties}."""
    got = student.target_ranks(np.array([[0.4, 0.9, 0.4, 0.1, 0.4]]), np.array([2]), ties)
    close(np.asarray(got, dtype=float), np.array([want]))


@pytest.mark.part("metrics")
@pytest.mark.points(2)
def test_ranks_of_not_a_number(student):
    """target_ranks where scores are NaN."""
    scores = np.array([[0.4, np.nan, 0.7, np.nan], [0.3, np.nan, 0.1, 0.2]])
    close(np.asarray(student.target_ranks(scores, np.array([0, 1])), dtype=float), np.array([2.0, 4.0]))


@pytest.mark.part("metrics")
@pytest.mark.points(3)
def test_hit_and_mrr(student):
    """hit_at_k and mrr_at_k of targets at the ranks 1, 2, 3 and 4, with k = 3."""
    scores, target = np.tile([0.9, 0.7, 0.5, 0.3, 0.1], (4, 1)), np.array([0, 1, 2, 3])
    close(student.hit_at_k(scores, target, 3), 0.75)
    close(student.mrr_at_k(scores, target, 3), (1 + 1 / 2 + 1 / 3) / 4)


@pytest.mark.part("metrics")
@pytest.mark.points(3)
def test_leave_last_out(student):
    """leave_last_out of sessions of four, one, two and no items."""
    prefixes, targets = student.leave_last_out([[4, 2, 2, 7], [5], [1, 3], []])
    require([list(map(int, prefix)) for prefix in prefixes] == [[4, 2, 2], [1]], f"the prefixes are {prefixes}")
    require([int(target) for target in targets] == [7, 3], f"the targets are {targets}")


@pytest.mark.part("metrics")
@pytest.mark.points(5)
def test_evaluate(student, rng):
    """evaluate on seven sessions, three at a time: a scorer that gives the last item's neighbour the best score."""
    calls = []

    def score(prefixes):
        calls.append([list(map(int, prefix)) for prefix in prefixes])
        return np.array([[-((j - prefix[-1] - 1) % 9) for j in range(9)] for prefix in prefixes], dtype=float)

    sessions = [[1, 2], [4, 5, 6], [0, 3], [7, 8], [2, 8, 0], [5, 1], [3, 4]]
    close(student.evaluate(score, sessions, 1, batch_size=3), 5 / 7)
    require(sorted(flat(calls)) == sorted(s[:-1] for s in sessions), f"the scorer was called with {calls}")
    require(max(map(len, calls)) <= 3, f"the scorer was called with {max(map(len, calls))} prefixes at a time")


# --- baselines -------------------------------------------------------------------------------------------


@pytest.mark.part("baselines")
@pytest.mark.points(5)
def test_popularity(student, rng):
    """PopularityRec: the share of all events."""
    sessions = draw_sessions(rng, 6, 5)
    rec = student.PopularityRec(7)
    rec.method("fit", sessions, spec="opaque")
    events = flat(sessions)
    want = [events.count(j) / len(events) for j in range(7)]
    close(as_array(rec.method("scores", [[3], [6, 0]])), np.array([want, want]))


@pytest.mark.part("baselines")
@pytest.mark.points(7)
def test_markov(student):
    """MarkovRec: counts after the last item, plus shares."""
    rec = student.MarkovRec(5)
    rec.method("fit", [[0, 1, 0, 1], [2, 0, 3], [1]], spec="opaque")
    share = np.array([3, 3, 1, 1, 0]) / 8
    counts = np.array([[0, 2, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    close(as_array(rec.method("scores", [[4, 0], [1], [0, 3]])), counts + share)


# --- batches ---------------------------------------------------------------------------------------------


@pytest.mark.part("batches")
@pytest.mark.points(6)
def test_batches(student, rng):
    """make_batches: inputs, targets and mask of each session."""
    sessions = [*draw_sessions(rng, 9, 8), [5], []]
    rows = []
    for inp, tgt, mask in student.make_batches(sessions, 4, 8, 1):
        inp, tgt, mask = as_array(inp), as_array(tgt), as_array(mask)
        require(inp.shape == tgt.shape == mask.shape, f"the shapes are {inp.shape}, {tgt.shape}, {mask.shape}")
        require(mask.dtype == bool, f"the mask is of type {mask.dtype}")
        require(np.all(inp[~mask] == 8), "at padding inp does not hold pad")
        rows += [(inp[b][mask[b]].tolist(), tgt[b][mask[b]].tolist()) for b in range(len(inp))]
    require(sorted(rows) == sorted((s[:-1], s[1:]) for s in sessions if len(s) > 1), f"the rows are {sorted(rows)}")


@pytest.mark.part("batches")
@pytest.mark.points(6)
def test_batch_order(student):
    """make_batches: sizes, and an order that the seed draws."""
    sessions = [[j, j + 1] for j in range(30)]

    def order(seed):
        batches = [as_array(inp)[:, 0].tolist() for inp, *_ in student.make_batches(sessions, 8, 31, seed)]
        require([len(b) for b in batches] == [8, 8, 8, 6], f"the batches hold {[len(b) for b in batches]} sessions")
        return flat(batches)

    first, again, other = order(3), order(3), order(4)
    require(sorted(first) == list(range(30)), "not every session is in one batch")
    require(first == again, "the same seed gives two orders")
    require(first != other, "two seeds give the same order")


# --- model -----------------------------------------------------------------------------------------------


@pytest.mark.part("model")
@pytest.mark.points(5)
def test_scores_alone_or_together(student):
    """SessionModel: the scores of a prefix are the same alone and beside a longer one."""
    model = student.SessionModel(9, 4, 1)
    together = as_array(model.method("scores", [[3, 1], [0, 5, 2, 7]]))
    close(together[:1], as_array(model.method("scores", [[3, 1]])))
    require(together.shape == (2, 9), f"the scores have the shape {together.shape}")


@pytest.mark.part("model")
@pytest.mark.points(4)
def test_scores_depend_on_order(student):
    """SessionModel: two items exchanged give other scores."""
    model = student.SessionModel(9, 4, 1)
    one, two = as_array(model.method("scores", [[3, 1, 6], [1, 3, 6]]))
    require(np.abs(one - two).max() > 1e-6, "the order has no influence")


@pytest.mark.part("model")
@pytest.mark.points(5)
def test_features_are_those_of_every_prefix(student):
    """SessionModel: features at each position, times the output, are the scores of the prefix that ends there."""
    model, row = student.SessionModel(8, 5, 2), [4, 1, 7]
    model.method("eval", spec="opaque")
    inp = torch.tensor([row])
    features = as_array(model.method("features", inp, torch.ones(1, 3, dtype=torch.bool)))[0]
    weight, bias = (as_array(part) for part in model.method("output"))
    want = np.concatenate([as_array(model.method("scores", [row[: t + 1]])) for t in range(3)])
    close(features @ weight.T + bias, want)


@pytest.mark.part("model")
@pytest.mark.points(4)
def test_weights_come_from_the_seed(student):
    """SessionModel: equal seeds give equal scores, other seeds other ones."""
    one, two, other = (as_array(student.SessionModel(7, 4, s).method("scores", [[2, 5]])) for s in (6, 6, 7))
    close(two, one)
    require(np.abs(other - one).max() > 1e-6, "two seeds give the same scores")


# --- training --------------------------------------------------------------------------------------------


@pytest.mark.part("training")
@pytest.mark.points(10)
def test_loss(student, rng):
    """sampled_loss of three positions; one negative is the target of the second."""
    features, weight, bias = rng.normal(size=(3, 4)), rng.normal(size=(9, 4)), rng.normal(size=9)
    target, negatives, log_q = np.array([7, 2, 5]), np.array([0, 2, 3, 3]), np.log(np.arange(1, 10) / 45)
    losses = []
    for f, t in zip(features, target, strict=True):
        logit = [float(f @ weight[j]) + bias[j] - log_q[j] for j in range(9)]
        candidates = [t, *(j for j in negatives if j != t)]
        losses.append(math.log(math.fsum(math.exp(logit[j]) for j in candidates)) - logit[t])
    arguments = [torch.tensor(a) for a in (features, target, weight, bias, negatives, log_q)]
    close(student.sampled_loss(*arguments), math.fsum(losses) / 3)


@pytest.mark.part("training")
@pytest.mark.points(8)
def test_step(student, rng):
    """train_step: small steps on one batch make the loss of that batch fall, each time."""
    model = student.SessionModel(12, 6, 3)
    optimiser = model.method("sgd", 0.05, spec="opaque")
    inp, tgt = torch.tensor([[3, 1, 8], [5, 0, 12]]), torch.tensor([[1, 8, 4], [0, 2, 12]])
    negatives, log_q = torch.tensor([6, 7, 9, 10]), torch.full((12,), -math.log(12))
    losses = [student.train_step(model, optimiser, (inp, tgt, inp != 12), negatives, log_q) for _ in range(6)]
    require(all(b < a for a, b in pairwise(losses)), f"the losses are {losses}")


@pytest.mark.training
@pytest.mark.part("training")
@pytest.mark.points(12)
def test_fit_learns_a_ring(student):
    """fit, 40 epochs on a ring of ten items: the best item is the next one."""
    sessions = [[(start + t) % 10 for t in range(3 + start % 4)] for start in range(150)]
    with student.limit(cpu_seconds=30):
        model = student.fit(sessions, 10, 1, epochs=40)
    best = as_array(model.method("scores", [[j, (j + 1) % 10] for j in range(10)])).argmax(axis=1)
    right = sum(int(b) == (j + 2) % 10 for j, b in enumerate(best))
    require(right >= 9, f"the best item is the next one for {right} of 10 prefixes")


# --- recommend -------------------------------------------------------------------------------------------


@pytest.mark.part("recommend")
@pytest.mark.points(4)
def test_recommend(student):
    """recommend: the best items in order, excluded ones left out."""

    def score(prefixes):
        require([list(map(int, p)) for p in prefixes] == [[4, 0, 4]], f"the scorer was called with {prefixes}")
        return np.array([[0.1, 0.8, 0.3, np.nan, 0.6, 0.2]])

    got = [int(item) for item in student.recommend(score, [4, 0, 4], 3, exclude=[1])]
    require(got == [4, 2, 5], f"the items are {got}")


@pytest.mark.part("recommend")
@pytest.mark.points(4)
def test_recommend_when_few_are_left(student):
    """recommend: fewer items where fewer are left."""
    got = student.recommend(lambda prefixes: np.array([[0.1, 0.8, 0.3, 0.5]]), [2], 4, exclude=[1, 0])
    require([int(item) for item in got] == [3, 2], f"the items are {got}")
