"""A correct solution: inputs are a linear map of the output table, nn.GRU time first, ranks by sorting, closures."""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn


def target_ranks(scores, target, ties="mid"):
    ends = []
    for row, item in zip(-np.nan_to_num(np.array(scores, copy=True), nan=-np.inf, neginf=-np.inf), target, strict=True):
        line = np.sort(row)
        ends.append((np.searchsorted(line, row[item], "left") + 1, np.searchsorted(line, row[item], "right")))
    first, last = np.array(ends, dtype=float).T
    return {"mid": (first + last) / 2, "optimistic": first, "pessimistic": last}[ties]


def _metric(gain):
    def metric(scores, target, k, ties="mid"):
        return float(np.average([gain(rank) if rank <= k else 0 for rank in target_ranks(scores, target, ties)]))

    return metric


hit_at_k = _metric(lambda rank: 1)
mrr_at_k = _metric(lambda rank: 1 / rank)


def leave_last_out(sessions):
    out = [], []
    for session in sessions:
        if len(session) >= 2:
            out[0].append(list(session)[:-1])
            out[1].append(session[-1])
    return out


def evaluate(score, sessions, k, batch_size=256):
    weights, rates = [], []
    prefixes, targets = leave_last_out(sessions)
    while prefixes:
        head, prefixes = prefixes[:batch_size], prefixes[batch_size:]
        right, targets = targets[:batch_size], targets[batch_size:]
        rates.append(hit_at_k(np.asarray(score(head)), right, k))
        weights.append(len(head))
    return np.average(rates, weights=weights)


class _Counting:
    def __init__(self, n_items):
        self.n_items = n_items

    def fit(self, sessions):
        self.events = torch.zeros(self.n_items, dtype=torch.float64)
        self.next = OrderedDict()
        for session in sessions:
            before = None
            for item in session:
                self.events[item] += 1
                if before is not None:
                    row = self.next.setdefault(before, {})
                    row[item] = row.get(item, 0) + 1
                before = item
        return self


class PopularityRec(_Counting):
    def scores(self, prefixes):
        return (self.events / self.events.sum()).repeat(len(prefixes), 1)


class MarkovRec(_Counting):
    def scores(self, prefixes):
        rows = []
        for *_, item in prefixes:
            row = self.events / self.events.sum()
            for j, count in self.next.get(item, {}).items():
                row[j] += count
            rows.append(row)
        return torch.stack(rows)


def make_batches(sessions, batch_size, pad, seed):
    usable = [s for s in sessions if len(s) > 1]
    keys = np.random.default_rng([seed, 5]).random(len(usable))
    order = sorted(range(len(usable)), key=keys.__getitem__)
    width = max(len(s) for s in usable)
    grid = torch.full((len(usable), width), pad, dtype=torch.int32)
    for row, index in enumerate(order):
        grid[row, : len(usable[index])] = torch.as_tensor(usable[index], dtype=torch.int32)
    out = []
    for part in grid.split(batch_size):
        mask = part[:, 1:] != pad
        keep = mask.any(0)
        inp = torch.where(mask, part[:, :-1], torch.tensor(pad, dtype=torch.int32))
        out.append((inp[:, keep], part[:, 1:][:, keep], mask[:, keep]))
    return out


class SessionModel(nn.Module):
    def __init__(self, n_items, d=64, seed=0):
        super().__init__()
        self.n_items = n_items
        self.answer, self.asked = nn.Linear(d, n_items), nn.Linear(d, d)
        self.gru = nn.GRU(d, d)
        numbers = torch.Generator()
        numbers.manual_seed(2 * seed + 1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.2 if parameter.shape[0] >= n_items else 0.1, generator=numbers)
        with torch.no_grad():
            self.asked.weight.copy_(torch.eye(d))
            self.answer.bias.zero_()

    def features(self, inp, mask):
        vectors = self.asked(self.answer.weight[inp.T.clamp(max=self.n_items - 1)])
        states, _ = self.gru(vectors)
        return states.permute(1, 0, 2)

    def output(self):
        return self.answer.weight, self.answer.bias

    def scores(self, prefixes):
        rows = []
        with torch.no_grad():
            order = sorted(range(len(prefixes)), key=lambda i: len(prefixes[i]))
            for chunk in (order[i : i + 64] for i in range(0, len(order), 64)):
                longest = max(len(prefixes[i]) for i in chunk)
                inp = torch.zeros(len(chunk), longest, dtype=torch.long)
                for b, i in enumerate(chunk):
                    inp[b, : len(prefixes[i])] = torch.as_tensor(prefixes[i])
                states = self.features(inp, None)
                rows += [states[b, len(prefixes[i]) - 1] for b, i in enumerate(chunk)]
            back = np.argsort(order)
            return (
                self.answer(torch.stack(rows)[back.tolist()]).tolist()
                if len(rows) < 3
                else self.answer(torch.stack(rows)[back])
            )

    def sgd(self, lr):
        return torch.optim.SGD(self.parameters(), lr=lr)

    def export_weights(self):
        return {name: value.detach().numpy().copy() for name, value in self.state_dict().items()}

    def import_weights(self, weights):
        self.load_state_dict({name: torch.as_tensor(np.asarray(value)) for name, value in weights.items()})


def sampled_loss(features, target, weight, bias, negatives, log_q):
    level = bias - log_q
    total = (features * weight[target]).sum(-1) + level[target]
    own = total.clone()
    other = torch.addmm(level[negatives], features, weight[negatives].T)
    other[negatives.unsqueeze(0) == target.unsqueeze(1)] = -float("inf")
    return torch.stack([total, other.logsumexp(1)]).logsumexp(0).sub(own).mean()


def train_step(model, optimiser, batch, negatives, log_q):
    inp, tgt, mask = batch
    model.zero_grad()
    features = model.features(inp, mask)
    loss = sampled_loss(features[mask], tgt[mask].long(), *model.output(), negatives, log_q)
    loss.backward()
    optimiser.step()
    return np.float64(loss.item())


def fit(sessions, n_items, seed, epochs=3):
    model = SessionModel(n_items, 64, seed)
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    q = torch.ones(n_items, dtype=torch.float64)
    for session in sessions:
        q.index_add_(0, torch.as_tensor(session, dtype=torch.long), torch.ones(len(session), dtype=torch.float64))
    q /= q.sum()
    log_q, rng = q.log().float(), np.random.default_rng(seed)
    plan = [batch for epoch in range(epochs) for batch in make_batches(sessions, 128, n_items, seed + 97 * epoch)]
    while plan:
        left = len(plan) * 128 / len(sessions) / epochs
        optimiser.param_groups[0]["lr"] = 0.03 * min(left, 1.0)
        train_step(model, optimiser, plan.pop(), torch.as_tensor(rng.choice(n_items, 384, p=q.numpy())), log_q)
    return model


def recommend(score, session, k, exclude=()):
    (row,) = np.asarray(score([session]), dtype=float)
    row = [-np.inf if np.isnan(v) else v for v in row]
    out = []
    for item in np.lexsort([np.negative(row)]).tolist():
        if len(out) < k and item not in exclude:
            out += [item]
    return out
