"""A correct solution: an encoder that reads in one direction, states packed into one tensor, namedtuples, recursion."""

from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

PAD, BOS, EOS, FIRST = 0, 1, 2, 3
VOCAB = 13


class Weights(nn.Module):
    """A module whose weights are read and written as arrays by name. Given; fused layouts override both methods."""

    def export_weights(self):
        """Return {name: numpy array} of all weights, by the handout's names and in the handout's shapes."""
        return {name: p.detach().cpu().numpy().copy() for name, p in self.named_parameters()}

    def import_weights(self, weights):
        """Write weights from {name: array} as export_weights returns it."""
        with torch.no_grad():
            for name, p in self.named_parameters():
                p.copy_(torch.as_tensor(weights[name]))


def small(*shape):
    """Return a parameter that is uniform within 1 / sqrt(last size). Given."""
    return nn.Parameter((torch.rand(*shape) * 2 - 1) / shape[-1] ** 0.5)


def make_batch(batch, generator, low=3, high=10):
    """Draw sentences of low to high words and their reversals. Given.

    generator: a torch.Generator. Returns (src, lengths, tgt): src (B, S), padded with PAD; lengths (B,), the
    number of words in each row of src; tgt (B, S + 1), each row the words reversed, then EOS, then PAD.
    """
    lengths = torch.randint(low, high + 1, (batch,), generator=generator)
    size = int(lengths.max())
    words = torch.randint(FIRST, VOCAB, (batch, size), generator=generator)
    places = torch.arange(size)
    src = torch.where(places < lengths[:, None], words, PAD)
    tgt = torch.full((batch, size + 1), PAD)
    back = lengths[:, None] - 1 - places  # the place that each target word comes from
    tgt[:, :size] = torch.where(back >= 0, src.gather(1, back.clamp(min=0)), PAD)
    tgt[torch.arange(batch), lengths] = EOS
    return src, lengths, tgt


class NoAttention(Weights):
    """What stands in the place of attention in a model that has none: zeros. Given."""

    def forward(self, s, H, mask):
        """Return a context and weights that are all zero."""
        return torch.zeros_like(H[:, 0]), torch.zeros_like(H[:, :, 0])


class Looked(NamedTuple):
    """What an attention saw."""

    context: torch.Tensor
    alpha: torch.Tensor


class Stepped(NamedTuple):
    """What a step of the decoder gives."""

    logp: torch.Tensor
    state: torch.Tensor
    alpha: torch.Tensor


def length_mask(lengths, size):
    return F.one_hot(lengths, size + 1).cumsum(dim=1)[:, :size] == 0


def masked_softmax(scores, mask, dim=-1):
    mask = mask.broadcast_to(scores.shape)
    scores, mask = scores.movedim(dim, -1), mask.movedim(dim, -1)
    rows = scores.reshape(-1, scores.shape[-1])
    out = [
        torch.zeros_like(row).masked_scatter(on, torch.softmax(row[on], 0))
        for row, on in zip(rows, mask.reshape(rows.shape), strict=True)
    ]
    return torch.stack(out).view(scores.shape).movedim(-1, dim)


def masked_nll(logp, tgt, pad):
    losses = F.nll_loss(logp.flatten(0, 1), tgt.flatten(), reduction="none")
    weights = tgt.flatten().ne(pad).to(losses.dtype)
    return torch.dot(losses, weights) / torch.clamp(weights.sum(), min=1.0)


def _quick_softmax(scores, mask):
    return F.softmax(scores - 1e9 * (~mask), dim=1) * mask


class BahdanauAttention(Weights):
    def __init__(self, d_s, d_h, a):
        super().__init__()
        self.v, self.W_h, self.W_s = small(a), small(a, d_h), small(a, d_s)

    def precompute(self, H):
        return F.linear(H, self.W_h)

    def forward(self, s, H, mask, keys=None):
        if keys is None:
            return self(s, H, mask, self.precompute(H))
        inner = torch.tanh(keys.permute(1, 0, 2) + F.linear(s, self.W_s))  # positions first
        alpha = _quick_softmax(torch.einsum("sba,a->bs", inner, self.v), mask)
        return Looked(torch.einsum("bs,bsh->bh", alpha, H), alpha)


class LuongAttention(Weights):
    def __init__(self, kind, d_s, d_h, a=None):
        super().__init__()
        if kind == "dot" and d_s == d_h:
            self.register_parameter("W", None)
        elif kind == "general":
            self.W = small(d_s, d_h)
        elif kind == "concat":
            self.W, self.v = small(a, d_s + d_h), small(a)
        else:
            raise ValueError(kind)
        self.kind = kind

    def forward(self, s, H, mask):
        if self.kind == "concat":
            hidden = torch.einsum("ai,bi->ba", self.W[:, : s.shape[1]], s).unsqueeze(1)
            hidden = hidden + torch.einsum("ai,bsi->bsa", self.W[:, s.shape[1] :], H)
            scores = (torch.tanh(hidden) * self.v).sum(-1)
        elif self.kind == "general":
            scores = torch.einsum("bi,bsi->bs", s, torch.einsum("ij,bsj->bsi", self.W, H))
        else:
            scores = torch.einsum("bi,bsi->bs", s, H)
        alpha = _quick_softmax(scores, mask)
        return Looked(torch.einsum("bs,bsh->bh", alpha, H), alpha)


class Encoder(Weights):
    def __init__(self, vocab, d_emb, d_hid):
        super().__init__()
        self.d_h = d_hid
        self.E = nn.Parameter(torch.randn(vocab, d_emb) * 0.5)
        self.U = nn.Parameter(torch.randn(3 * d_hid, d_emb + d_hid) / (d_emb + d_hid) ** 0.5)
        self.b = nn.Parameter(torch.zeros(3, d_hid))

    def forward(self, src, lengths):
        h = self.E.new_zeros(len(src), self.d_h)
        states = []
        for t, words in enumerate(src.T):
            x = self.E[words]
            z, r, _ = (F.linear(torch.cat([x, h], 1), self.U).view(-1, 3, self.d_h) + self.b).sigmoid().unbind(1)
            n = torch.tanh(F.linear(torch.cat([x, r * h], 1), self.U[2 * self.d_h :]) + self.b[2])
            new = z * h + (1 - z) * n
            h = torch.where((t < lengths).unsqueeze(1), new, h)
            states.append(h)
        return torch.stack(states, dim=1), h


class Decoder(Weights):
    def __init__(self, vocab, d_emb, d_h, d_s, attention):
        super().__init__()
        self.ask, self.d_s = attention, d_s
        self.embed = nn.Embedding(vocab, d_emb)
        self.open = nn.Linear(d_h, 2 * d_s)
        self.cell = nn.LSTMCell(d_emb + d_h, d_s)
        self.close = nn.Linear(d_s + d_h + d_emb, vocab)

    def initial_state(self, summary):
        return torch.tanh(self.open(summary))  # h and c side by side

    def step(self, y_prev, state, H, mask):
        h, c = state[:, : self.d_s], state[:, self.d_s :]
        context, alpha = self.ask(h, H, mask)
        word = self.embed(y_prev)
        h, c = self.cell(torch.cat((word, context), 1), (h, c))
        scores = self.close(torch.cat((h, context, word), 1))
        return Stepped(F.log_softmax(scores, 1), torch.cat((h, c), 1), alpha)


class Seq2Seq(Weights):
    def __init__(self, vocab, kind="bahdanau", d_emb=32, d_hid=64, d_s=64, d_att=64):
        super().__init__()
        self.encoder = Encoder(vocab, d_emb, d_hid)
        if kind == "none":
            attention = NoAttention()
        elif kind == "bahdanau":
            attention = BahdanauAttention(d_s, d_hid, d_att)
        elif kind == "dot":
            attention = LuongAttention(kind, d_s, d_hid)
        else:
            attention = LuongAttention(kind, d_s, d_hid, d_att)
        self.decoder = Decoder(vocab, d_emb, d_hid, d_s, attention)

    def _read(self, src, lengths):
        H, summary = self.encoder(src, lengths)
        return H, length_mask(lengths, src.shape[1]), self.decoder.initial_state(summary)

    def start(self, src, lengths):
        H, mask, state = self._read(src, lengths)
        return (lambda y_prev, state: tuple(self.decoder.step(y_prev, state, H, mask)[:2])), state

    def forward(self, src, lengths, tgt_in):
        H, mask, state = self._read(src, lengths)

        def walk(done, word):
            steps, now = done
            stepped = self.decoder.step(word, now, H, mask)
            return [*steps, stepped], stepped.state

        steps, _ = reduce(walk, tgt_in.T, ([], state))
        return torch.stack([s.logp for s in steps], 1), torch.stack([s.alpha for s in steps], 1)


def teacher_inputs(tgt, bos):
    rows = [[bos, *row[:-1]] for row in tgt.tolist()]
    return torch.tensor(rows, dtype=tgt.dtype)


def greedy_decode(step_fn, state, batch, bos, eos, max_len):
    out = np.full((batch, max_len), eos)
    fed = torch.full([batch], bos, dtype=torch.int64)
    running = np.ones(batch, dtype=bool)
    ends = np.full(batch, max_len)
    for t in range(max_len):
        logp, state = step_fn(fed, state)
        fed = logp.argmax(1)
        out[:, t] = fed.numpy()
        now = running & (out[:, t] == eos)
        ends[now], running = t + 1, running & ~now
        if not running.any():
            break
    return tuple(out[b, : ends[b]] for b in range(batch))


def length_penalty(n, alpha):
    return float(np.power((5 + n) / 6, alpha))


class Found(NamedTuple):
    """A result of a search."""

    words: list
    score: float


def beam_search(step_fn, state, bos, eos, beam, max_len, alpha):
    live = {(): (0.0, state)}
    ended = {}
    while live and len(next(iter(live))) < max_len:
        grown = {}
        for words, (logp, kept) in live.items():
            more, after = step_fn(torch.as_tensor(words[-1:] or (bos,)), kept)
            grown.update({(*words, w): (logp + p, after) for w, p in enumerate(more.double().squeeze(0).tolist())})
        best = sorted(grown, key=lambda words: grown[words][0])[: -beam - 1 : -1]
        ended.update({words: grown[words][0] for words in best if words[-1] == eos})
        live = {words: grown[words] for words in best if words[-1] != eos}
    pool = ended or {words: logp for words, (logp, _) in live.items()}
    found = [Found(list(words), logp / length_penalty(len(words), alpha)) for words, logp in pool.items()]
    return sorted(found, key=lambda result: result.score, reverse=True)[:beam]


def make_optimizer(model, lr):
    return torch.optim.Adamax(model.parameters(), lr=lr)


def train_step(model, optimizer, src, lengths, tgt):
    loss = masked_nll(model(src, lengths, teacher_inputs(tgt, BOS))[0], tgt, PAD)
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    norm = sum(float(g.pow(2).sum()) for g in gradients if g is not None) ** 0.5
    for p, g in zip(model.parameters(), gradients, strict=True):
        p.grad = None if g is None else g / max(1.0, norm)
    optimizer.step()
    return np.float64(loss.item())


def train(model, seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    optimizer = make_optimizer(model, 0.01)
    losses = np.zeros(500)
    for k in range(500):
        optimizer.param_groups[0]["lr"] = 0.01 * min(1.0, (k + 1) / 20, 1.5 * (1 - k / 500))
        losses[k] = train_step(model, optimizer, *make_batch(64, generator))
    return losses
