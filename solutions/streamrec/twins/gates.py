"""A correct solution: an LSTM of nn.Linear layers, one for each gate, weights exported by gate; chatty; recursive."""

import functools
import heapq
import itertools

import numpy as np
import torch
from torch import nn


def _key(value):
    return float("-inf") if value != value else value


def target_ranks(scores, target, ties="mid"):
    def one(row, wanted):
        own = _key(row[wanted])
        before = len([v for v in row if _key(v) > own])
        beside = len([j for j, v in enumerate(row) if _key(v) == own and j != wanted])
        shift = {"optimistic": 0, "pessimistic": beside, "mid": beside / 2}[ties]
        return before + shift + 1

    return np.asarray([one(row, int(j)) for row, j in zip(np.asarray(scores).tolist(), target, strict=True)], float)


def hit_at_k(scores, target, k, ties="mid"):
    ranks = target_ranks(scores, target, ties)
    return np.count_nonzero(ranks <= k) / ranks.size


def mrr_at_k(scores, target, k, ties="mid"):
    ranks = target_ranks(scores, target, ties)
    return np.sum(1 / ranks[ranks <= k]) / ranks.size


def leave_last_out(sessions):
    kept = [list(s) for s in sessions if len(s) not in (0, 1)]
    return (tuple(tuple(s[: len(s) - 1]) for s in kept), [s[len(s) - 1] for s in kept])


def evaluate(score, sessions, k, batch_size=256):
    prefixes, targets = leave_last_out(sessions)

    def gather(start):
        if start >= len(targets):
            return []
        table = np.asarray(score(list(prefixes[start : start + batch_size])))
        return [target_ranks(table, targets[start : start + batch_size]), *gather(start + batch_size)]

    return float(np.mean(np.concatenate(gather(0)) <= k))


class PopularityRec:
    def __init__(self, n_items):
        self.n_items = n_items

    def fit(self, sessions):
        flat = np.array([item for s in sessions for item in s], dtype=int)
        self.row = (flat[None, :] == np.arange(self.n_items)[:, None]).mean(axis=1)
        return self

    def scores(self, prefixes):
        return [self.row.tolist()] * len(prefixes)


class MarkovRec:
    def __init__(self, n_items):
        self.size = n_items

    def fit(self, sessions):
        self.base = PopularityRec(self.size).fit(sessions)
        pairs = [pair for s in sessions for pair in itertools.pairwise(s)]
        places = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
        self.table = (
            torch.sparse_coo_tensor(places, torch.ones(len(pairs)), (self.size, self.size)).coalesce().to_dense()
        )
        return self

    def scores(self, prefixes):
        return self.table[[p[-1] for p in prefixes]].double() + torch.tensor(self.base.row)


def make_batches(sessions, batch_size, pad, seed):
    print("cutting", len(sessions), "sessions")
    pool = [s for s in sessions if s[1:]]
    np.random.RandomState(seed % 2**32).shuffle(pool)

    def cut(rest):
        for start in range(0, len(rest), batch_size):
            rows = rest[start : start + batch_size]
            longest = max(len(r) for r in rows)
            grid = np.array([r + [pad] * (longest - len(r)) for r in rows], dtype=np.int32)
            counts = np.array([[t + 1 < len(r) for t in range(longest - 1)] for r in rows])
            inp = np.where(counts, grid[:, :-1], pad)
            yield [inp, np.where(counts, grid[:, 1:], 0), counts]

    return list(cut(pool))


class SessionModel(nn.Module):
    GATES = "ifgo"

    def __init__(self, n_items, d=64, seed=0):
        super().__init__()
        self.n_items, self.d = n_items, d
        rng = np.random.default_rng([seed, n_items, d])
        self.E = nn.Parameter(torch.tensor(rng.normal(0, 0.2, (n_items + 1, d)).astype(np.float32)))
        self.reads = nn.ModuleDict({g: nn.Linear(d, d) for g in self.GATES})
        self.keeps = nn.ModuleDict({g: nn.Linear(d, d, bias=False) for g in self.GATES})
        self.level = nn.Parameter(torch.zeros(n_items, 1))
        with torch.no_grad():
            for layer in [*self.reads.values(), *self.keeps.values()]:
                layer.weight.copy_(torch.tensor(rng.uniform(-1, 1, (d, d)) / d**0.5))
                if layer.bias is not None:
                    layer.bias.zero_()

    def _cell(self, x, h, c):
        a = {g: x[g] + self.keeps[g](h) for g in self.GATES}
        c = torch.sigmoid(a["f"]) * c + torch.sigmoid(a["i"]) * torch.tanh(a["g"])
        return torch.sigmoid(a["o"]) * torch.tanh(c), c

    def features(self, inp, mask):
        x = self.E[inp.long()].transpose(0, 1)  # time first
        seen = {g: self.reads[g](x) for g in self.GATES}
        h = c = torch.zeros(x.shape[1], self.d)
        steps = []
        for t in range(len(x)):
            h, c = self._cell({g: seen[g][t] for g in self.GATES}, h, c)
            steps += [h]
        return torch.stack(steps).transpose(0, 1)

    def output(self):
        return [self.E[:-1], self.level[:, 0]]

    def scores(self, prefixes):
        with torch.inference_mode():
            out = torch.empty(len(prefixes), self.n_items)
            by_length = {}
            for row, p in enumerate(prefixes):
                by_length.setdefault(len(p), []).append(row)
            for rows in by_length.values():
                inp = torch.tensor([list(prefixes[r]) for r in rows])
                out[rows] = self.features(inp, torch.ones_like(inp).bool())[:, -1] @ self.E[:-1].T + self.level[:, 0]
            return out.clone()

    def sgd(self, lr):
        return torch.optim.SGD(self.parameters(), lr=lr)

    def export_weights(self):
        out = {"E": self.E, "b": self.level[:, 0]}
        for g in self.GATES:
            out |= {f"W_{g}": self.reads[g].weight, f"U_{g}": self.keeps[g].weight, f"b_{g}": self.reads[g].bias}
        return {name: value.detach().numpy().copy() for name, value in out.items()}

    def import_weights(self, weights):
        with torch.no_grad():
            self.E[:] = torch.as_tensor(weights["E"])
            self.level[:, 0] = torch.as_tensor(weights["b"])
            for g in self.GATES:
                self.reads[g].weight[:] = torch.as_tensor(weights[f"W_{g}"])
                self.keeps[g].weight[:] = torch.as_tensor(weights[f"U_{g}"])
                self.reads[g].bias[:] = torch.as_tensor(weights[f"b_{g}"])


def sampled_loss(features, target, weight, bias, negatives, log_q):
    def logits(items):
        return (weight[items] * features[:, None, :]).sum(-1) + bias[items] - log_q[items]

    own = logits(target[:, None])  # (P, 1)
    other = logits(negatives[None, :].repeat(len(target), 1))
    gap = (other - own).masked_fill(negatives == target[:, None], -1e9)
    peak = gap.max(dim=1, keepdim=True).values.clamp(min=0)
    total = torch.exp(-peak) + torch.exp(gap - peak).sum(1, keepdim=True)
    return (peak + torch.log(total)).sum() / len(target)


def _lean(features, target, weight, bias, negatives, log_q):
    level = bias - log_q
    gap = (
        features @ weight[negatives].T
        + level[negatives]
        - ((features * weight[target]).sum(1) + level[target])[:, None]
    )
    return torch.nn.functional.softplus(gap.masked_fill(negatives == target[:, None], -1e9).logsumexp(1)).mean()


def train_step(model, optimiser, batch, negatives, log_q):
    inp, tgt, mask = [torch.as_tensor(x) for x in batch]
    places = mask.nonzero(as_tuple=True)
    loss = _lean(model.features(inp, mask)[places], tgt[places].long(), *model.output(), negatives, log_q)
    optimiser.zero_grad(set_to_none=False)
    loss.backward()
    optimiser.step()
    return loss.item()


def fit(sessions, n_items, seed, epochs=3):
    model = SessionModel(n_items, seed=seed)
    totals = functools.reduce(np.add, (np.bincount(s, minlength=n_items) for s in sessions if s), np.ones(n_items))
    edges = np.cumsum(totals / totals.sum())
    log_q = torch.tensor(np.log(totals / totals.sum())).float()
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.03, weight_decay=0.0)
    plan = [b for e in range(epochs) for b in make_batches(sessions, 128, n_items, seed=7 * seed + e)]
    for number, batch in enumerate(plan):
        optimiser.param_groups[0]["lr"] = 0.03 * min(1.0, 1.2 - 1.2 * number / len(plan))
        negatives = np.minimum(np.searchsorted(edges, rng.random(512)), n_items - 1)
        loss = train_step(model, optimiser, batch, torch.tensor(negatives), log_q)
        if number % 50 == 0:
            print(f"step {number}: loss {loss:.3f}")
    return model


def recommend(score, session, k, exclude=()):
    (row,) = np.asarray(score([list(session)]))
    allowed = set(range(len(row))).difference(int(j) for j in exclude)
    return tuple(heapq.nlargest(k, allowed, key=lambda j: _key(float(row[j]))))
