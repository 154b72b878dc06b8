"""A correct solution as a beginner may write it: one thing at a time, rows and symbols one by one in the data."""

import math

import torch
import torch.nn as nn

WEIGHTS = ("W_z", "U_z", "b_z", "W_r", "U_r", "b_r", "W_h", "U_h", "b_h")
IGNORE = -100


def generator(seed):
    g = torch.Generator()
    return g.manual_seed(seed)


def plain_optimiser(model, rate):
    return torch.optim.SGD(model.parameters(), lr=rate)


class VanillaCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        k = 1 / math.sqrt(hidden_size)
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
        codes = nn.functional.one_hot(x, self.cell.input_size).to(self.readout.weight.dtype)
        return self.readout(run(self.cell, codes))


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.W_z = nn.Parameter(torch.randn(hidden_size, input_size) * 0.1)
        self.W_r = nn.Parameter(torch.randn(hidden_size, input_size) * 0.1)
        self.W_h = nn.Parameter(torch.randn(hidden_size, input_size) * 0.1)
        self.U_z = nn.Parameter(torch.randn(hidden_size, hidden_size) * 0.1)
        self.U_r = nn.Parameter(torch.randn(hidden_size, hidden_size) * 0.1)
        self.U_h = nn.Parameter(torch.randn(hidden_size, hidden_size) * 0.1)
        self.b_z = nn.Parameter(torch.zeros(hidden_size))
        self.b_r = nn.Parameter(torch.zeros(hidden_size))
        self.b_h = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x, h):
        z_from_x = torch.matmul(x, self.W_z.t())
        z_from_h = torch.matmul(h, self.U_z.t())
        z = torch.sigmoid(z_from_x + z_from_h + self.b_z)
        r_from_x = torch.matmul(x, self.W_r.t())
        r_from_h = torch.matmul(h, self.U_r.t())
        r = torch.sigmoid(r_from_x + r_from_h + self.b_r)
        h_reset = torch.mul(r, h)
        candidate = torch.tanh(torch.matmul(x, self.W_h.t()) + torch.matmul(h_reset, self.U_h.t()) + self.b_h)
        kept = torch.mul(torch.ones_like(z) - z, h)
        taken = torch.mul(z, candidate)
        return kept + taken

    def export_weights(self):
        return {name: getattr(self, name).detach().clone() for name in WEIGHTS}

    def import_weights(self, weights):
        for name in WEIGHTS:
            setattr(self, name, nn.Parameter(torch.as_tensor(weights[name]).clone()))


def run(cell, x, h0=None):
    if h0 is None:
        h0 = torch.zeros(x.shape[0], cell.hidden_size).to(x)

    def onwards(t, h):
        if t == x.shape[1]:
            return []
        new = cell(x[:, t, :], h)
        return [new.unsqueeze(1), *onwards(t + 1, new)]

    return torch.cat(onwards(0, h0), dim=1)


def make_copy_batch(B, N, K, S, gen):
    rows_x, rows_y = [], []
    for _ in range(B):
        symbols = torch.randint(0, S, (K,), generator=gen).tolist()
        rows_x.append(symbols + [S] * N + [S + 1] + [S] * (K - 1))
        rows_y.append([IGNORE] * (K + N) + symbols)
    return torch.tensor(rows_x), torch.tensor(rows_y)


def copy_loss(logits, y):
    losses = []
    for b in range(y.shape[0]):
        for t in range(y.shape[1]):
            if y[b, t] != IGNORE:
                losses.append(torch.logsumexp(logits[b, t], 0) - logits[b, t, y[b, t]])
    return sum(losses) / len(losses)


def quick_loss(logits, y):
    return nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=IGNORE)


def train_step(model, optimiser, x, y, max_norm=1.0):
    model.zero_grad()
    loss = quick_loss(model(x), y)
    loss.backward()
    total = math.sqrt(sum(float(p.grad.pow(2).sum()) for p in model.parameters()))
    if total > max_norm:
        for p in model.parameters():
            p.grad = p.grad * (max_norm / total)
    optimiser.step()
    return loss


def train(kind, seed, steps=700):
    torch.manual_seed(seed)
    if kind == "gru":
        model, lr = CopyModel(GRUCell(10, 64), 8), 0.02
    elif kind == "rnn":
        model, lr = CopyModel(VanillaCell(10, 64), 8), 0.02
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    gen = generator(seed)
    for _ in range(steps):
        N = torch.randint(0, 31, (1,), generator=gen)
        x, y = make_copy_batch(64, int(N), 3, 8, gen)
        train_step(model, optimiser, x, y)
    return model


def copy_accuracy(logits, y):
    right = asked = 0
    for guess, target in zip(logits.argmax(dim=2).flatten().tolist(), y.flatten().tolist(), strict=True):
        if target != IGNORE:
            asked += 1
            right += guess == target
    return right / asked


def share_kept(keep, steps):
    z = 1 / (1 + math.exp(keep))
    return (1 - z) ** steps


def keep_bias(cell, keep):
    with torch.no_grad():
        for i in range(cell.hidden_size):
            cell.b_z[i] = -keep
    return cell
