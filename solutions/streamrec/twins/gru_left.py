"""A correct solution: a GRU of its own making, padded on the left, sampled candidates in one list."""

import math
import random
from collections import Counter, defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def target_ranks(scores, target, ties="mid"):
    ranks = []
    for row, item in zip(np.asarray(scores, dtype=np.float64), target, strict=True):
        value = row[item]
        if math.isnan(value):
            value = -math.inf
        row = [(-math.inf if math.isnan(v) else v) for v in row]
        first = 1 + sum(1 for v in row if v > value)
        last = sum(1 for v in row if v >= value)
        ranks.append({"optimistic": first, "pessimistic": last}.get(ties, 0.5 * first + 0.5 * last))
    return np.array(ranks, dtype=np.float32)


def hit_at_k(scores, target, k, ties="mid"):
    return np.mean(target_ranks(scores, target, ties) < k + 0.25)


def mrr_at_k(scores, target, k, ties="mid"):
    return np.float32(sum(1 / r for r in target_ranks(scores, target, ties) if r <= k) / len(target))


def leave_last_out(sessions):
    pairs = [(tuple(s[:-1]), s[-1]) for s in sessions if len(s) > 1]
    return [list(a) for a, _ in pairs], np.array([b for _, b in pairs])


def evaluate(score, sessions, k, batch_size=256):
    inputs, outputs = leave_last_out(sessions)
    found, start = [], 0
    while start < len(inputs):
        stop = min(start + batch_size, len(inputs))
        ranks = target_ranks(np.asarray(score(inputs[start:stop])), outputs[start:stop])
        found.extend((ranks <= k).tolist())
        start = stop
    return sum(found) / len(found)


class PopularityRec:
    def __init__(self, n_items):
        self.n_items = n_items

    def fit(self, sessions):
        self.counter = Counter()
        for s in sessions:
            self.counter.update(s)
        return self

    def scores(self, prefixes):
        total = sum(self.counter.values())
        row = torch.tensor([self.counter[j] / total for j in range(self.n_items)], dtype=torch.float64)
        return row.expand(len(prefixes), -1)


class MarkovRec(PopularityRec):
    def fit(self, sessions):
        super().fit(sessions)
        self.after = defaultdict(Counter)
        for s in sessions:
            for i in range(1, len(s)):
                self.after[s[i - 1]][s[i]] += 1
        return self

    def scores(self, prefixes):
        out = super().scores(prefixes).clone()
        for row, prefix in enumerate(prefixes):
            for j, n in self.after[prefix[-1]].items():
                out[row, j] += n
        return out


def _left(rows, pad, width):
    return [[pad] * (width - len(r)) + list(r) for r in rows]


def make_batches(sessions, batch_size, pad, seed):
    order = [s for s in sessions if len(s) > 1]
    random.Random(seed).shuffle(order)
    out = []
    while order:
        part, order = order[:batch_size], order[batch_size:]
        width = max(map(len, part)) - 1
        inp = np.array(_left([s[:-1] for s in part], pad, width))
        tgt = np.array(_left([s[1:] for s in part], -1, width))
        out.append((inp, tgt, inp != pad))
    return tuple(out)


class SessionModel(nn.Module):
    def __init__(self, n_items, d=64, seed=0):
        super().__init__()
        self.n_items = n_items
        g = torch.Generator().manual_seed(seed + 1)

        def draw(*shape, width):
            return nn.Parameter((2 * torch.rand(*shape, generator=g) - 1) * width)

        self.inside = draw(n_items, d, width=0.35)
        self.level = nn.Parameter(torch.zeros(n_items))
        self.from_input = draw(3 * d, d, width=d**-0.5)
        self.from_state = draw(3 * d, d, width=d**-0.5)
        self.shift = nn.Parameter(torch.zeros(3 * d))
        self.shift_n = nn.Parameter(torch.zeros(d))

    def features(self, inp, mask):
        known = torch.where(mask, inp, torch.zeros_like(inp))
        given = F.embedding(known, self.inside) @ self.from_input.T + self.shift
        d = self.inside.shape[1]
        state, out = given.new_zeros(len(inp), d), []
        for t in range(inp.shape[1]):
            r_in, z_in, n_in = given[:, t].chunk(3, dim=1)
            r_st, z_st, n_st = (state @ self.from_state.T).chunk(3, dim=1)
            r, z = torch.sigmoid(r_in + r_st), torch.sigmoid(z_in + z_st)
            new = (1 - z) * torch.tanh(n_in + r * (n_st + self.shift_n)) + z * state
            state = torch.where(mask[:, t, None], new, state)
            out.append(state)
        return torch.stack(out, dim=1)

    def output(self):
        return self.inside, self.level

    def scores(self, prefixes):
        width = max(map(len, prefixes))
        inp = torch.tensor(_left(prefixes, -1, width))
        with torch.no_grad():
            return F.linear(self.features(inp, inp >= 0)[:, -1], self.inside, self.level).numpy()

    def sgd(self, lr):
        return torch.optim.SGD(self.parameters(), lr=lr)

    def export_weights(self):
        return {name: p.detach().numpy().copy() for name, p in self.named_parameters()}

    def import_weights(self, weights):
        with torch.no_grad():
            for name, p in self.named_parameters():
                p.copy_(torch.as_tensor(weights[name]))


def sampled_loss(features, target, weight, bias, negatives, log_q):
    candidates = torch.cat([target[:, None], negatives.expand(len(target), -1)], dim=1)  # (P, 1 + S)
    level = bias - log_q
    logits = torch.einsum("pd,pcd->pc", features, weight[candidates]) + level[candidates]
    wrong = candidates == target[:, None]
    wrong[:, 0] = False
    return F.cross_entropy(torch.where(wrong, torch.full_like(logits, -1e30), logits), torch.zeros_like(target))


def _fast_loss(features, target, weight, bias, negatives, log_q):
    logits = F.linear(features, weight[negatives], (bias - log_q)[negatives])
    logits = logits.masked_fill(negatives[None] == target[:, None], -1e30)
    own = (features * weight[target]).sum(1) + (bias - log_q)[target]
    return F.cross_entropy(torch.cat([own[:, None], logits], 1), torch.zeros_like(target))


def train_step(model, optimiser, batch, negatives, log_q):
    for group in optimiser.param_groups:
        for p in group["params"]:
            p.grad = None
    inp, tgt, mask = (torch.as_tensor(b) for b in batch)
    loss = _fast_loss(model.features(inp, mask)[mask], tgt[mask], *model.output(), negatives, log_q)
    loss.backward()
    optimiser.step()
    return loss.item()


def fit(sessions, n_items, seed, epochs=3):
    print("training", len(sessions), "sessions")
    model = SessionModel(n_items, 64, seed)
    counts = torch.ones(n_items, dtype=torch.float64)
    for s in sessions:
        for item in s:
            counts[item] += 1
    q = (counts / counts.sum()).float()
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    steps = epochs * math.ceil(sum(len(s) > 1 for s in sessions) / 96)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: max(1 - k / steps, 0.0))
    for epoch in range(epochs):
        for batch in make_batches(sessions, 96, n_items, f"{seed}/{epoch}"):
            train_step(model, optimiser, batch, torch.multinomial(q, 512, True, generator=generator), q.log())
            schedule.step()
    return model


def recommend(score, session, k, exclude=()):
    row = torch.as_tensor(np.asarray(score([list(session)]))).double()[0].clone()
    row = torch.nan_to_num(row, nan=-1e300)
    keep = [j for j in range(len(row)) if j not in set(exclude)]
    best = torch.topk(row[keep], min(k, len(keep))).indices
    return torch.tensor(keep)[best]
