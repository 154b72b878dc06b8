"""A correct solution: one matrix for all gates of the input, one for the two gates of the state, cut up by name."""

import torch
from torch import nn

IGNORE = -100


def generator(seed):
    g = torch.Generator()
    g.manual_seed(seed)
    return g


def plain_optimiser(model, rate):
    return torch.optim.SGD(model.parameters(), lr=rate)


class VanillaCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        k = hidden_size**-0.5
        self.W = nn.Parameter(k * (2 * torch.rand(hidden_size, input_size) - 1))
        self.U = nn.Parameter(k * (2 * torch.rand(hidden_size, hidden_size) - 1))
        self.b = nn.Parameter(k * (2 * torch.rand(hidden_size) - 1))

    def forward(self, x, h):
        return (x @ self.W.T + h @ self.U.T + self.b).tanh()


class CopyModel(nn.Module):
    def __init__(self, cell, symbols):
        super().__init__()
        self.cell, self.readout = cell, nn.Linear(cell.hidden_size, symbols)

    def forward(self, x):
        return self.readout(run(self.cell, torch.eye(self.cell.input_size)[x].to(self.readout.weight.dtype)))


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        k = hidden_size**-0.5
        self.from_input = nn.Parameter(torch.empty(3 * hidden_size, input_size).uniform_(-k, k))
        self.from_state = nn.Parameter(torch.empty(2 * hidden_size, hidden_size).uniform_(-k, k))
        self.from_reset = nn.Parameter(torch.empty(hidden_size, hidden_size).uniform_(-k, k))
        self.offset = nn.Parameter(torch.zeros(3 * hidden_size))  # zero biases are a legal start

    def forward(self, x, h):
        H = self.hidden_size
        drive = torch.addmm(self.offset, x, self.from_input.t())
        gates = (drive[:, : 2 * H] + h.mm(self.from_state.t())).sigmoid()
        update, reset = gates.split(H, dim=1)
        candidate = (drive[:, 2 * H :] + (reset * h).mm(self.from_reset.t())).tanh()
        return torch.lerp(h, candidate, update)

    def export_weights(self):
        with torch.no_grad():
            W, b = self.from_input.chunk(3), self.offset.chunk(3)
            U = [*self.from_state.chunk(2), self.from_reset]
            parts = zip("zrh", W, U, b, strict=True)
            return {k + g: v.clone() for g, *vs in parts for k, v in zip(("W_", "U_", "b_"), vs, strict=True)}

    def import_weights(self, weights):
        get = {k: torch.as_tensor(v) for k, v in weights.items()}
        self.from_input = nn.Parameter(torch.cat([get["W_z"], get["W_r"], get["W_h"]]))
        self.from_state = nn.Parameter(torch.cat([get["U_z"], get["U_r"]]))
        self.from_reset = nn.Parameter(get["U_h"].clone())
        self.offset = nn.Parameter(torch.cat([get["b_z"], get["b_r"], get["b_h"]]))


def run(cell, x, h0=None):
    h = torch.zeros_like(x[:, 0, :1]).expand(-1, cell.hidden_size) if h0 is None else h0
    out = []
    for x_t in x.unbind(1):
        out += [h := cell(x_t, h)]
    return torch.cat([o[:, None] for o in out], dim=1)


def make_copy_batch(B, N, K, S, gen):
    said = (torch.rand(B, K, generator=gen) * S).long()
    blank = torch.full((B, N), S)
    go = torch.full((B, 1), S + 1)
    x = torch.cat([said, blank, go, torch.full((B, K - 1), S)], dim=1)
    y = torch.cat([torch.full((B, K + N), IGNORE), said], dim=1)
    return x, y


def copy_loss(logits, y):
    return nn.CrossEntropyLoss(ignore_index=IGNORE)(logits.transpose(1, 2), y)


def train_step(model, optimiser, x, y, max_norm=1.0):
    for p in model.parameters():
        p.grad = None
    value = copy_loss(model(x), y)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimiser.step()
    return value.detach()


def train(kind, seed, steps=600):
    torch.manual_seed(seed)
    model = CopyModel({"gru": GRUCell, "rnn": VanillaCell}[kind](10, 64), 8)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03 if kind == "gru" else 0.003)
    fall = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: min(1.0, 2 - 2 * i / max(steps, 1)))
    gen = generator(seed + 1)
    for _ in range(steps):
        N = torch.randint(31, (1,), generator=gen).item()
        train_step(model, optimiser, *make_copy_batch(64, N, 3, 8, gen))
        fall.step()
    return model


def copy_accuracy(logits, y):
    right = logits.argmax(2).eq(y).sum()
    return right / y.ne(IGNORE).sum()


def share_kept(keep, steps):
    return torch.sigmoid(torch.tensor(keep, dtype=torch.float64)) ** steps


def keep_bias(cell, keep):
    with torch.no_grad():
        (cell.offset if hasattr(cell, "offset") else cell.b_z)[: cell.hidden_size] = -keep
    return cell
