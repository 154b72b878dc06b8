"""What comes next: metrics, baselines, batches, a session model and its training, and recommendation.

Items are numbered 0 ... n_items-1. A session is a list of items in the order in which they were visited; a prefix is
the beginning of a session. Shapes: N prefixes, I = n_items, B sessions in a batch, T steps, P positions that count,
S sampled negatives, d features.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn


class World:
    """A made-up shop to practise on (given). The hidden suite draws another one, with the same rules.

    The items are divided into categories, each category into blocks, one for each taste. A visitor has one taste,
    which nobody sees. From step to step the category stays, moves to one of two related categories, returns to the
    last different category, or is drawn anew. The item is from the block of the visitor's taste most of the time.
    """

    def __init__(self, seed, categories=50, tastes=4, block=25):
        rng = np.random.default_rng(seed)
        self.n_items = categories * tastes * block
        self.items = rng.permutation(self.n_items).reshape(categories, tastes, block)
        self.related = np.stack([rng.choice(np.delete(np.arange(categories), c), 2, False) for c in range(categories)])
        share = np.arange(1, block + 1) ** -0.3
        self.share = share / share.sum()

    def sessions(self, count, seed, shortest=5, longest=20):
        """Return `count` sessions, lists of item numbers of random lengths from `shortest` to `longest`."""
        rng = np.random.default_rng(seed)
        categories, tastes, block = self.items.shape
        out = []
        for _ in range(count):
            taste, now, before, session = rng.integers(tastes), rng.integers(categories), None, []
            for _ in range(rng.integers(shortest, longest + 1)):
                other = rng.choice(np.delete(np.arange(tastes), taste)) if rng.random() > 0.85 else taste
                session.append(int(self.items[now, other, rng.choice(block, p=self.share)]))
                luck, to = rng.random(), rng.integers(categories)
                if luck < 0.45:
                    to = now
                elif luck < 0.70:
                    to = self.related[now, rng.integers(2)]
                elif luck < 0.90 and before is not None:
                    to = before
                if to != now:
                    now, before = to, now
            out.append(session)
        return out


def target_ranks(scores, target, ties="mid"):
    """Return the rank of each target among all items; 1 is best.

    scores: array (N, I), higher is better; NaN counts as lower than every number. target: integers (N,).
    ties: where other items have exactly the target's score, "optimistic" ranks the target before all of them,
    "pessimistic" behind all of them, "mid" half-way between these two ranks (it may be 3.5).
    Returns an array of floats (N,).
    """
    ### BEGIN SOLUTION
    scores = np.where(np.isnan(scores), -np.inf, scores)
    own = scores[np.arange(len(target)), target][:, None]
    greater = (scores > own).sum(axis=1)
    equal = (scores == own).sum(axis=1) - 1  # other items than the target
    weight = {"optimistic": 0.0, "mid": 0.5, "pessimistic": 1.0}[ties]
    return 1.0 + greater + weight * equal
    ### END SOLUTION


def hit_at_k(scores, target, k, ties="mid"):
    """Return the share of targets whose rank (as in target_ranks) is at most k.

    scores: (N, I). target: (N,). k: at least 1. Returns a number from 0 to 1.
    """
    ### BEGIN SOLUTION
    ranks = target_ranks(scores, target, ties)
    return float((ranks <= k).mean())
    ### END SOLUTION


def mrr_at_k(scores, target, k, ties="mid"):
    """Return the mean over all targets of 1/rank, where a rank above k counts as 0.

    scores: (N, I). target: (N,). k: at least 1. Returns a number from 0 to 1.
    """
    ### BEGIN SOLUTION
    ranks = target_ranks(scores, target, ties)
    gains = np.where(ranks <= k, 1.0 / ranks, 0.0)
    return float(gains.mean())
    ### END SOLUTION


def leave_last_out(sessions):
    """Split each session into all items but the last, and the last.

    sessions: list of lists of items. Sessions of fewer than two items are left out; the order is kept.
    Returns (prefixes, targets): a list of lists, and a list of items.
    """
    ### BEGIN SOLUTION
    long_enough = [session for session in sessions if len(session) >= 2]
    prefixes = [session[:-1] for session in long_enough]
    targets = [session[-1] for session in long_enough]
    return prefixes, targets
    ### END SOLUTION


def evaluate(score, sessions, k, batch_size=256):
    """Return Hit@k (ties "mid") of a scoring function on whole sessions, leaving the last item of each out.

    score: a function that takes a list of at most batch_size prefixes and returns an array (N, I).
    sessions: list of lists. Each target weighs the same. Returns a number from 0 to 1.
    """
    ### BEGIN SOLUTION
    prefixes, targets = leave_last_out(sessions)
    hits = 0.0
    for start in range(0, len(prefixes), batch_size):
        chunk = prefixes[start : start + batch_size]
        got = np.asarray(score(chunk))
        hits += hit_at_k(got, np.array(targets[start : start + batch_size]), k) * len(chunk)
    return hits / len(prefixes)
    ### END SOLUTION


class PopularityRec:
    """Recommends what is visited most: the score of an item is its share of all events of the training sessions."""

    def __init__(self, n_items):
        self.n_items = n_items

    def fit(self, sessions):
        """Count the events of the sessions; a second call starts anew. Returns self."""
        ### BEGIN SOLUTION
        events = [item for session in sessions for item in session]
        self.share = np.bincount(events, minlength=self.n_items) / len(events)
        return self
        ### END SOLUTION

    def scores(self, prefixes):
        """Return the scores (N, n_items), the same for every prefix."""
        ### BEGIN SOLUTION
        return np.tile(self.share, (len(prefixes), 1))
        ### END SOLUTION


class MarkovRec:
    """Recommends what most often came right after the last item of the prefix.

    The score of j after a prefix that ends in i: the number of times that j came right after i in one training
    session, plus j's share of all events (which is below 1 and orders what was never seen after i).
    """

    def __init__(self, n_items):
        self.n_items = n_items

    def fit(self, sessions):
        """Count pairs of neighbours and events; a second call starts anew. Returns self."""
        ### BEGIN SOLUTION
        self.follows = np.zeros((self.n_items, self.n_items), dtype=np.float32)
        for session in sessions:
            for before, after in pairwise(session):
                self.follows[before, after] += 1
        events = [item for session in sessions for item in session]
        self.share = np.bincount(events, minlength=self.n_items) / len(events)
        return self
        ### END SOLUTION

    def scores(self, prefixes):
        """Return the scores (N, n_items). Prefixes hold at least one item."""
        ### BEGIN SOLUTION
        last = [prefix[-1] for prefix in prefixes]
        return self.follows[last] + self.share
        ### END SOLUTION


def make_batches(sessions, batch_size, pad, seed):
    """Cut sessions into batches of inputs and of the items that come next.

    sessions: list of lists; those of fewer than two items are left out, every other one is in exactly one batch.
    batch_size: sessions in a batch; the last batch may hold fewer. pad: the number that fills rows up.
    seed: draws the order of the sessions; the same seed gives the same batches.
    Returns a list of (inp, tgt, mask), each (B, T): integers, integers, bool (True where a position counts), all
    tensors (or arrays, which train_step then has to convert).
    A session x_0 ... x_n has the inputs x_0 ... x_{n-1} and the targets x_1 ... x_n at the positions that count.
    """
    ### BEGIN SOLUTION
    usable = [session for session in sessions if len(session) >= 2]
    order = np.random.default_rng(seed).permutation(len(usable))
    batches = []
    for start in range(0, len(usable), batch_size):
        chosen = [usable[i] for i in order[start : start + batch_size]]
        steps = max(len(session) for session in chosen) - 1
        inp = torch.full((len(chosen), steps), pad)
        tgt = torch.full((len(chosen), steps), pad)
        mask = torch.zeros((len(chosen), steps), dtype=torch.bool)
        for row, session in enumerate(chosen):
            count = len(session) - 1
            inp[row, :count] = torch.tensor(session[:-1])
            tgt[row, :count] = torch.tensor(session[1:])
            mask[row, :count] = True
        batches.append((inp, tgt, mask))
    return batches
    ### END SOLUTION


class SessionModel(nn.Module):
    """A recurrent network that reads a session item by item and scores every item as the next one."""

    def __init__(self, n_items, d=64, seed=0):
        """Make the layers and draw their weights from `seed` alone: equal seeds give equal weights.

        n_items: number of items; the number n_items itself stands for padding. d: number of features.
        """
        super().__init__()
        self.n_items = n_items
        ### BEGIN SOLUTION
        self.embedding = nn.Embedding(n_items + 1, d)
        self.rnn = nn.LSTM(d, d, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(n_items))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.embedding.weight.normal_(0.0, 0.2, generator=generator)
            for weight in self.rnn.parameters():
                weight.uniform_(-(d**-0.5), d**-0.5, generator=generator)
        ### END SOLUTION

    def features(self, inp, mask):
        """Return what the model knows after each input: a tensor (B, T, d).

        inp: tensor of integers (B, T), n_items where there is padding. mask: bool tensor (B, T).
        Row b, position t depends on the items of row b up to and including t, on all of them and on nothing else.
        At padding the values are free.
        """
        ### BEGIN SOLUTION
        states, _ = self.rnn(self.embedding(inp))
        return states
        ### END SOLUTION

    def output(self):
        """Return (weight, bias), tensors (n_items, d) and (n_items,): score j is features . weight[j] + bias[j]."""
        ### BEGIN SOLUTION
        return self.embedding.weight[: self.n_items], self.bias
        ### END SOLUTION

    def scores(self, prefixes):
        """Return the scores (N, n_items) of the item that follows each prefix, without gradient.

        prefixes: list of lists of items, of any lengths from 1. A prefix has the same scores whatever it is called
        together with and whatever was called before.
        """
        ### BEGIN SOLUTION
        lengths = [len(prefix) for prefix in prefixes]
        steps = max(lengths)
        inp = torch.tensor([list(p) + [self.n_items] * (steps - len(p)) for p in prefixes])
        mask = inp != self.n_items
        with torch.no_grad():
            states = self.features(inp, mask)
            last = states[torch.arange(len(prefixes)), torch.tensor(lengths) - 1]
            weight, bias = self.output()
            return last @ weight.T + bias
        ### END SOLUTION

    def sgd(self, lr):
        """Return the plain optimiser that the checks of train_step use (given)."""
        return torch.optim.SGD(self.parameters(), lr=lr)

    def export_weights(self):
        """Return {name: array} of all weights (given; override it if your weights are stored in another way)."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.state_dict().items()}

    def import_weights(self, weights):
        """Take over what export_weights returned (given)."""
        self.load_state_dict({name: torch.as_tensor(np.asarray(value)) for name, value in weights.items()})


def sampled_loss(features, target, weight, bias, negatives, log_q):
    """Return the sampled softmax loss with the logQ correction, averaged over the positions.

    features: (P, d). target: items (P,). weight: (I, d). bias: (I,). negatives: items (S,), drawn with replacement
    from a distribution q and shared by all positions. log_q: (I,), log q(j) of every item. All tensors.
    The logit of item j at a position is features . weight[j] + bias[j] - log_q[j]. Of each position the loss is the
    cross-entropy of its target against its target and all negatives; a negative that is the target of the position
    does not count there. Returns a tensor without axes, with gradient.
    """
    ### BEGIN SOLUTION
    of_target = (features * weight[target]).sum(dim=1) + bias[target] - log_q[target]  # (P,)
    of_negatives = features @ weight[negatives].T + bias[negatives] - log_q[negatives]  # (P, S)
    same = target[:, None] == negatives[None, :]
    of_negatives = of_negatives.masked_fill(same, float("-inf"))
    logits = torch.cat([of_target[:, None], of_negatives], dim=1)
    return (torch.logsumexp(logits, dim=1) - of_target).mean()
    ### END SOLUTION


def train_step(model, optimiser, batch, negatives, log_q):
    """Take one step of the optimiser down the sampled loss of a batch.

    model: a SessionModel. batch: (inp, tgt, mask) as from make_batches. negatives: items (S,). log_q: (I,). Tensors.
    The loss is the mean over all positions of the batch that count. Whether the model is in training mode, and what
    clips gradients or changes the learning rate, is up to fit. Returns the loss before the step, as a float.
    """
    ### BEGIN SOLUTION
    inp, tgt, mask = batch
    features = model.features(inp, mask)[mask]
    weight, bias = model.output()
    loss = sampled_loss(features, tgt[mask], weight, bias, negatives, log_q)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())
    ### END SOLUTION


def fit(sessions, n_items, seed, epochs=3):
    """Train a new SessionModel on sessions and return it.

    sessions: list of lists. seed: of everything that is drawn. epochs: how often each session is visited.
    The choice of d, batch size, optimiser, learning rate and negatives is yours.
    """
    ### BEGIN SOLUTION
    highest = 0.03  # learning rate: rises to this, then falls to 0
    model = SessionModel(n_items, seed=seed)
    rng = np.random.default_rng(seed)
    counts = np.bincount([item for session in sessions for item in session], minlength=n_items) + 1.0
    q = counts / counts.sum()
    log_q = torch.tensor(np.log(q), dtype=torch.float32)
    optimiser = torch.optim.Adam(model.parameters(), lr=highest)
    model.train()
    done = 0.0  # share of the epochs that is behind us
    for epoch in range(epochs):
        batches = make_batches(sessions, 128, n_items, seed=seed + 1000 * epoch)
        for batch in batches:
            optimiser.param_groups[0]["lr"] = highest * min(10 * done, 1.0) * (1.0 - done)
            done += 1 / (epochs * len(batches))
            negatives = torch.from_numpy(rng.choice(n_items, 512, p=q))
            train_step(model, optimiser, batch, negatives, log_q)
    model.eval()
    return model
    ### END SOLUTION


def recommend(score, session, k, exclude=()):
    """Return the k items with the highest scores after a session, best first.

    score: a function that takes a list of prefixes and returns an array (N, I); NaN counts as lower than every
    number. session: a list of items, all of it is the prefix. exclude: items that must not be recommended; items of
    the session may be recommended unless they are in it. Returns a list of k different items (fewer where fewer are
    left).
    """
    ### BEGIN SOLUTION
    scores = np.array(score([session])[0], dtype=float)
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    banned = {int(item) for item in exclude}
    return [int(item) for item in order if int(item) not in banned][:k]
    ### END SOLUTION
