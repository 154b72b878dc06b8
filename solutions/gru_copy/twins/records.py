"""A correct solution with its weights in ParameterDicts, states written into one tensor, keywords everywhere."""

import math
import typing

import torch
from torch import Tensor, nn

IGNORE = -100
KINDS = {"W_": "inputs", "U_": "states", "b_": "biases"}


class Batch(typing.NamedTuple):
    x: Tensor
    y: Tensor


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain_optimiser(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=rate)


class VanillaCell(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        spread = 1 / math.sqrt(hidden_size)
        for name, shape in {
            "W": [hidden_size, input_size],
            "U": [hidden_size, hidden_size],
            "b": [hidden_size],
        }.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-spread, spread)))

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(x @ self.W.T + h @ self.U.T + self.b)


class CopyModel(nn.Module):
    def __init__(self, cell: nn.Module, symbols: int):
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(in_features=cell.hidden_size, out_features=symbols)

    def forward(self, x: Tensor) -> Tensor:
        codes = nn.functional.one_hot(x, num_classes=self.cell.input_size).to(self.readout.weight.dtype)
        return self.readout(run(cell=self.cell, x=codes))


class GRUCell(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.inputs, self.states, self.biases = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        for gate in ("z", "r", "h"):
            self.inputs[gate] = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(hidden_size, input_size), a=5**0.5))
            self.states[gate] = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(hidden_size, hidden_size), a=5**0.5))
            self.biases[gate] = nn.Parameter(torch.rand(hidden_size) * 0.2 - 0.1)

    def gate(self, name: str, x: Tensor, h: Tensor) -> Tensor:
        return nn.functional.linear(x, self.inputs[name], self.biases[name]) + nn.functional.linear(
            h, self.states[name]
        )

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        z = self.gate("z", x, h).sigmoid()
        candidate = self.gate("h", x, self.gate("r", x, h).sigmoid() * h).tanh()
        return torch.where(z > 0.5, candidate + (1 - z) * (h - candidate), h + z * (candidate - h))

    def export_weights(self) -> dict[str, Tensor]:
        return {k + g: v.detach().clone() for k, kept in KINDS.items() for g, v in getattr(self, kept).items()}

    def import_weights(self, weights: dict[str, Tensor]) -> None:
        for kind, kept in KINDS.items():
            for gate in "zrh":
                getattr(self, kept)[gate] = nn.Parameter(torch.as_tensor(weights[kind + gate]).clone())


def run(cell, x: Tensor, h0: Tensor | None = None) -> Tensor:
    (batch, time), h = x.shape[:2], h0
    if h is None:
        h = x.new_zeros((batch, cell.hidden_size))
    states = h.new_empty((batch, time, h.shape[1]))
    for t in range(time):
        h = cell(x[:, t], h)
        states[:, t] = h
    return states


def make_copy_batch(B: int, N: int, K: int, S: int, gen: torch.Generator) -> Batch:
    symbols = torch.randint(high=S, size=(B, K), generator=gen)
    time = torch.arange(2 * K + N)
    x = torch.where(time == K + N, S + 1, S).repeat(B, 1)
    x[:, :K] = symbols
    y = torch.full((B, 2 * K + N), IGNORE)
    y.scatter_(1, (torch.arange(K) + K + N).repeat(B, 1), symbols)
    return Batch(x=x, y=y)


def copy_loss(logits: Tensor, y: Tensor) -> Tensor:
    where = (y != IGNORE).nonzero(as_tuple=True)
    chosen = logits[where]
    return (chosen.logsumexp(-1) - chosen[torch.arange(len(chosen)), y[where]]).mean()


def train_step(model, optimiser, x, y, max_norm=1.0) -> float:
    def closure():
        optimiser.zero_grad()
        loss = copy_loss(logits=model(x), y=y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=max_norm)
        return loss

    return optimiser.step(closure).item()


def train(kind: str, seed: int, steps: int = 600) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        cell = GRUCell(10, 64) if kind == "gru" else VanillaCell(10, 64)
        model = CopyModel(cell=cell, symbols=8)
        gen = generator(seed=seed)
        optimiser = torch.optim.Adam(params=model.parameters(), lr=0.025 if kind == "gru" else 0.003)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=max(steps, 1))
        for _ in range(steps):
            delay = torch.randint(high=31, size=(), generator=gen).item()
            batch = make_copy_batch(B=64, N=delay, K=3, S=8, gen=gen)
            train_step(model=model, optimiser=optimiser, x=batch.x, y=batch.y)
            schedule.step()
    return model.eval()


def copy_accuracy(logits: Tensor, y: Tensor) -> float:
    asked = y != IGNORE
    return 1 - (logits.argmax(-1) - y)[asked].count_nonzero().item() / asked.count_nonzero().item()


def share_kept(keep: float, steps: int) -> float:
    return math.exp(-steps * math.log1p(math.exp(-keep)))


def keep_bias(cell: GRUCell, keep: float) -> GRUCell:
    cell.biases["z"].data.fill_(-keep)
    return cell
