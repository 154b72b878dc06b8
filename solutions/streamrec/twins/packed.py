"""A correct solution: nn.LSTM on packed sequences with dropout, weights in float64, batches as namedtuples, einsum."""

import itertools
import warnings
from collections import namedtuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

Batch = namedtuple("Batch", "inp tgt mask")
warnings.simplefilter("always")


def target_ranks(scores, target, ties="mid"):
    table = torch.nan_to_num(torch.tensor(np.asarray(scores)).double(), nan=float("-inf"), neginf=float("-inf"))
    wanted = torch.gather(table, 1, torch.tensor(np.asarray(target)).long()[:, None])
    above, level = (table > wanted).sum(1).double(), (table == wanted).sum(1).double()
    if ties == "optimistic":
        return above + 1
    if ties == "pessimistic":
        return above + level
    return above + (level + 1) / 2


def hit_at_k(scores, target, k, ties="mid"):
    return torch.heaviside(k - target_ranks(scores, target, ties), torch.ones(1).double()).mean()


def mrr_at_k(scores, target, k, ties="mid"):
    ranks = target_ranks(scores, target, ties)
    return (ranks.reciprocal() * ranks.le(k)).mean()


def leave_last_out(sessions):
    prefixes, targets = [], []
    for session in sessions:
        *prefix, target = session if len(session) > 1 else (None,)
        if prefix:
            prefixes.append(np.array(prefix))
            targets.append(np.int64(target))
    return prefixes, tuple(targets)


def evaluate(score, sessions, k, batch_size=256):
    prefixes, targets = leave_last_out(sessions)
    count = 0
    for where in np.array_split(np.arange(len(targets)), -(-len(targets) // batch_size)):
        table = torch.as_tensor(np.asarray(score([prefixes[i].tolist() for i in where])))
        count += round(float(hit_at_k(table, [targets[i] for i in where], k)) * len(where))
    return np.float64(count / len(targets))


class PopularityRec:
    def __init__(self, n_items):
        self.counts = np.zeros(n_items)

    def fit(self, sessions):
        self.counts[:] = 0
        np.add.at(self.counts, list(itertools.chain.from_iterable(sessions)), 1)
        return self

    def scores(self, prefixes):
        return np.array([self.counts / self.counts.sum() for _ in prefixes], dtype=np.float32)


class MarkovRec:
    def __init__(self, n_items):
        self.n_items = n_items
        self.popular = PopularityRec(n_items)

    def fit(self, sessions):
        self.popular.fit(sessions)
        pairs = [a * self.n_items + b for s in sessions for a, b in itertools.pairwise(s)]
        self.pairs, self.times = np.unique(np.array(pairs, dtype=np.int64), return_counts=True)
        return self

    def scores(self, prefixes):
        out = self.popular.scores(prefixes).astype(np.float64)
        for row, prefix in zip(out, prefixes, strict=True):
            low, high = np.searchsorted(self.pairs, [prefix[-1] * self.n_items, (prefix[-1] + 1) * self.n_items])
            row[self.pairs[low:high] % self.n_items] += self.times[low:high]
        return out


def make_batches(sessions, batch_size, pad, seed):
    long = [torch.tensor(s) for s in sessions if len(s) >= 2]
    order = torch.randperm(len(long), generator=torch.Generator().manual_seed(seed)).tolist()

    def batch(rows):
        inp = pad_sequence([long[i][:-1] for i in rows], batch_first=True, padding_value=pad)
        tgt = pad_sequence([long[i][1:] for i in rows], batch_first=True, padding_value=0)
        return Batch(inp, tgt, torch.arange(inp.shape[1]) < torch.tensor([len(long[i]) - 1 for i in rows])[:, None])

    return [batch(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]


class SessionModel(nn.Module):
    def __init__(self, n_items, d=64, seed=0):
        super().__init__()
        self.n_items = n_items
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.table = nn.Embedding(n_items + 1, d, padding_idx=n_items)
            self.drop = nn.Dropout(0.02)
            self.reader = nn.LSTM(d, d, batch_first=True)
            nn.init.uniform_(self.table.weight, -0.3, 0.3)
            self.level = nn.Parameter(torch.zeros(n_items))
        self.double()

    def features(self, inp, mask):
        vectors = self.drop(self.table(inp))
        packed = pack_padded_sequence(vectors, mask.sum(1), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.reader(packed)[0], batch_first=True, total_length=inp.shape[1])
        return states

    def output(self):
        return self.table.weight[: self.n_items], self.level

    @torch.no_grad()
    def scores(self, prefixes):
        was, _ = self.training, self.eval()
        inp = pad_sequence([torch.tensor(p) for p in prefixes], batch_first=True, padding_value=self.n_items)
        mask = inp != self.n_items
        last = torch.einsum(
            "btd,bt->bd", self.features(inp, mask), nn.functional.one_hot(mask.sum(1) - 1, inp.shape[1]).double()
        )
        self.train(was)
        weight, bias = self.output()
        return torch.addmm(bias, last, weight.T)

    def sgd(self, lr):
        return torch.optim.SGD(self.parameters(), lr=lr)

    def export_weights(self):
        return {name: value.numpy().copy() for name, value in self.state_dict().items()}

    def import_weights(self, weights):
        self.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})


def sampled_loss(features, target, weight, bias, negatives, log_q):
    chosen = torch.cat([target, negatives])
    logits = torch.einsum("pd,cd->pc", features, weight[chosen]) + (bias - log_q)[chosen]
    allowed = torch.cat([torch.eye(len(target), dtype=torch.bool), target[:, None] != negatives], dim=1)
    logits = torch.where(allowed, logits, torch.tensor(-torch.inf, dtype=logits.dtype))
    own = logits[:, : len(target)].diagonal()
    return torch.mean(torch.logsumexp(logits, 1) - own)


def train_step(model, optimiser, batch, negatives, log_q):
    inp, tgt, mask = batch
    optimiser.zero_grad()
    weight, bias = model.output()
    features = model.features(inp, mask)[mask]
    target, level = tgt[mask], bias - log_q
    logits = features @ weight[negatives].T + level[negatives]
    logits = logits.masked_fill(target[:, None] == negatives, -torch.inf)
    own = (features * weight[target]).sum(1) + level[target]
    loss = (torch.logaddexp(torch.logsumexp(logits, 1), own) - own).mean()
    loss.backward()
    optimiser.step()
    return loss.detach()


def fit(sessions, n_items, seed, epochs=3):
    warnings.warn("this takes a few seconds", stacklevel=1)
    torch.manual_seed(seed)  # for the dropout
    model = SessionModel(n_items, 48, seed).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    every = np.bincount(np.concatenate([np.array(s, dtype=np.int64) for s in sessions]), minlength=n_items) + 1.0
    q = torch.tensor(every / every.sum())
    draw = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        batches = make_batches(sessions, 128, n_items, seed * 101 + epoch)
        for number, batch in enumerate(batches):
            for group in optimiser.param_groups:
                group["lr"] = 0.03 * (1 - (epoch + number / len(batches)) / epochs)
            train_step(model, optimiser, batch, torch.multinomial(q, 400, replacement=True, generator=draw), q.log())
    return model.eval()


def recommend(score, session, k, exclude=()):
    row = np.asarray(score([session]))[0]
    left = [(value, item) for item, value in enumerate(row.tolist()) if item not in list(exclude)]
    numbers = sorted((pair for pair in left if pair[0] == pair[0]), reverse=True)
    return np.array([item for _, item in numbers + [pair for pair in left if pair[0] != pair[0]]][:k])
