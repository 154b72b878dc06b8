"""A correct solution in float64 throughout, with einsum, reduce and accumulate for the loops."""

from functools import reduce
from itertools import accumulate

import torch
import torch.nn as nn
import torch.nn.functional as F

WEIGHTS = tuple(kind + "_" + gate for gate in "zrh" for kind in "WUb")
IGNORE = -100
WIDE = torch.float64


def generator(seed):
    return torch.Generator().manual_seed(seed)


def plain_optimiser(model, rate):
    return torch.optim.SGD(model.parameters(), lr=rate)


class VanillaCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        k = hidden_size**-0.5
        self.W = nn.Parameter(torch.empty(hidden_size, input_size).uniform_(-k, k))
        self.U = nn.Parameter(torch.empty(hidden_size, hidden_size).uniform_(-k, k))
        self.b = nn.Parameter(torch.empty(hidden_size).uniform_(-k, k))

    def forward(self, x, h):
        return torch.tanh(x @ self.W.T + h @ self.U.T + self.b)


class CopyModel(nn.Module):
    def __init__(self, cell, symbols):
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.hidden_size, symbols)

    def forward(self, x):
        codes = F.one_hot(x, self.cell.input_size).to(self.readout.weight.dtype)
        return self.readout(run(self.cell, codes))


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        for name in WEIGHTS:
            shape = {"W": (hidden_size, input_size), "U": (hidden_size, hidden_size), "b": (hidden_size,)}[name[0]]
            value = torch.zeros(shape, dtype=WIDE)
            if name[0] == "U":
                nn.init.orthogonal_(value)
            elif name[0] == "W":
                nn.init.xavier_uniform_(value)
            self.register_parameter(name, nn.Parameter(value))

    def _sum(self, gate, x, h):
        W, U, b = (getattr(self, kind + gate) for kind in ("W_", "U_", "b_"))
        return torch.einsum("bd,hd->bh", x, W) + torch.einsum("bk,hk->bh", h, U) + b

    def forward(self, x, h):
        x, h = x.to(WIDE), h.to(WIDE)
        replaced = 1 / (1 + torch.exp(-self._sum("z", x, h)))
        seen = 0.5 * (1 + torch.tanh(0.5 * self._sum("r", x, h)))
        new = torch.tanh(self._sum("h", x, seen * h))
        return h + replaced * (new - h)

    def export_weights(self):
        return dict(self.state_dict())

    def import_weights(self, weights):
        self.load_state_dict({name: torch.as_tensor(weights[name]) for name in WEIGHTS})


def run(cell, x, h0=None):
    start = torch.zeros(len(x), cell.hidden_size, dtype=x.dtype) if h0 is None else h0
    visited = accumulate(range(x.size(1)), lambda h, t: cell(x[:, t, :], h), initial=start)
    next(visited)
    return torch.stack(tuple(visited), 1)


def make_copy_batch(B, N, K, S, gen):
    drawn = torch.multinomial(torch.ones(S), B * K, replacement=True, generator=gen).view(B, K)
    x = F.pad(drawn, (0, N + K), value=S)
    x[:, K + N] += 1
    return x, F.pad(drawn, (K + N, 0), value=IGNORE)


def copy_loss(logits, y):
    return F.nll_loss(F.log_softmax(logits, -1).reshape(-1, logits.shape[-1]), y.reshape(-1), ignore_index=IGNORE)


def train_step(model, optimiser, x, y, max_norm=1.0):
    model.train()
    optimiser.zero_grad(set_to_none=False)
    loss = copy_loss(model(x), y)
    before = loss.detach().clone()
    loss.backward()
    squares = reduce(lambda total, p: total + p.grad.pow(2).sum(), model.parameters(), 0.0)
    for p in model.parameters():
        p.grad.mul_(min(1.0, max_norm / float(squares) ** 0.5))
    optimiser.step()
    return before.item()


def train(kind, seed, steps=600):
    torch.manual_seed(seed)
    model = CopyModel((GRUCell if kind == "gru" else VanillaCell)(10, 64), 8).to(WIDE)
    rates = torch.linspace(2e-2, 2e-3, max(steps, 1)) if kind == "gru" else torch.full((max(steps, 1),), 3e-3)
    optimiser = torch.optim.Adam(model.parameters())
    gen = generator(seed)
    for i in range(steps):
        optimiser.param_groups[0]["lr"] = float(rates[i])
        N = int(torch.randint(0, 31, (), generator=gen))
        train_step(model, optimiser, *make_copy_batch(64, N, 3, 8, gen))
    return model


def copy_accuracy(logits, y):
    asked = y.ne(IGNORE)
    best = logits.max(dim=-1).indices
    return torch.masked_select(best == y, asked).to(WIDE).mean()


def share_kept(keep, steps):
    return float(F.logsigmoid(torch.tensor(keep, dtype=WIDE)).mul(steps).exp())


def keep_bias(cell, keep):
    nn.init.constant_(cell.b_z, -keep)
    return cell
