"""A correct solution on top of nn.Linear: one layer of [input, state] for each gate, time-first inside, chatty."""

import sys
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.functional import log_softmax

IGNORE = -100


def generator(seed):
    return torch.Generator().manual_seed(seed)


def plain_optimiser(model, rate):
    return torch.optim.SGD(model.parameters(), lr=rate)


class VanillaCell(nn.Module):
    """As given."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        for name, shape in (("W", (hidden_size, input_size)), ("U", (hidden_size,) * 2), ("b", (hidden_size,))):
            setattr(self, name, nn.Parameter((torch.rand(shape) * 2 - 1) / hidden_size**0.5))

    def forward(self, x, h):
        return torch.tanh(x @ self.W.T + h @ self.U.T + self.b)


class CopyModel(nn.Module):
    """As given."""

    def __init__(self, cell, symbols):
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.hidden_size, symbols)

    def forward(self, x):
        codes = nn.functional.one_hot(x, self.cell.input_size).to(self.readout.weight.dtype)
        return self.readout(run(self.cell, codes))


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        print("a cell of", input_size, "features and", hidden_size, "units")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.layers = nn.ModuleDict({g: nn.Linear(input_size + hidden_size, hidden_size) for g in ("z", "r", "h")})

    def forward(self, x, h):
        print("step", tuple(x.shape), file=sys.stderr)
        both = torch.cat([x, h], dim=-1)
        keep = torch.sigmoid(-self.layers["z"](both))  # the share that stays is one minus the update gate
        fade = torch.sigmoid(self.layers["r"](both))
        new = torch.tanh(self.layers["h"](torch.cat([x, fade * h], dim=-1)))
        return keep * (h - new) + new

    def export_weights(self):
        found = {}
        for g, layer in self.layers.items():
            W, U = layer.weight.detach().split([self.input_size, self.hidden_size], dim=1)
            found.update(
                {f"W_{g}": W.numpy().copy(), f"U_{g}": U.numpy().copy(), f"b_{g}": layer.bias.detach().numpy()}
            )
        return found

    def import_weights(self, weights):
        for g, layer in self.layers.items():
            joined = np.concatenate([np.asarray(weights[f"W_{g}"]), np.asarray(weights[f"U_{g}"])], axis=1)
            layer.weight = nn.Parameter(torch.tensor(joined))
            layer.bias = nn.Parameter(torch.tensor(np.asarray(weights[f"b_{g}"])))


def run(cell, x, h0=None):
    B, T, _ = x.shape
    steps = x.transpose(0, 1)
    if h0 is None:
        h0 = torch.zeros(B, cell.hidden_size, dtype=x.dtype)
    states = [h0]
    for i in range(T):
        states.append(cell(steps[i], states[-1]))
    warnings.warn("done with a run", stacklevel=1)
    return torch.stack(states[1:]).transpose(0, 1)


def make_copy_batch(B, N, K, S, gen):
    x = torch.empty((B, K + N + K), dtype=torch.long).fill_(S)
    y = torch.empty_like(x).fill_(IGNORE)
    for k in range(K):
        column = torch.randint(S, (B,), generator=gen)
        x[:, k] = column
        y[:, K + N + k] = column
    x[:, K + N] = S + 1
    return x, y


def copy_loss(logits, y):
    scores = log_softmax(logits, dim=-1)
    asked = (y != IGNORE).to(scores.dtype)
    picked = scores.gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -(picked * asked).sum() / asked.sum()


def _clip(parameters, limit):
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = sum((g * g).sum() for g in gradients) ** 0.5
    if norm > limit:
        for g in gradients:
            g.mul_(limit / norm)


def train_step(model, optimiser, x, y, max_norm=1.0):
    loss = copy_loss(model(x), y)
    parameters = list(model.parameters())
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        p.grad = g
    _clip(parameters, max_norm)
    optimiser.step()
    return float(loss)


def train(kind, seed, steps=700):
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(10_000 + seed)
    cell = VanillaCell(10, 64) if kind == "rnn" else GRUCell(10, 64)
    model = CopyModel(cell, 8)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-2 if kind == "gru" else 2e-3, weight_decay=0.0)
    for i in range(steps):
        if 2 * i == steps:
            for group in optimiser.param_groups:
                group["lr"] /= 3
        batch = make_copy_batch(64, int(torch.randint(31, (), generator=gen)), 3, 8, gen)
        loss = train_step(model, optimiser, *batch)
        if i % 50 == 0:
            print(f"update {i}: loss {loss:.3f}")
    return model


def copy_accuracy(logits, y):
    logits, y = np.asarray(logits), np.asarray(y)
    asked = y != IGNORE
    return np.float32((logits.argmax(-1)[asked] == y[asked]).mean())


def share_kept(keep, steps):
    left = 1.0
    for _ in range(steps):
        left -= left / (1 + np.exp(keep))
    return left


def keep_bias(cell, keep):
    with torch.no_grad():
        cell.layers["z"].bias.fill_(-float(keep))
    return cell
