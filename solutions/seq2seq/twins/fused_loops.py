"""A correct solution: one fused matrix for each attention, GRUs as masked loops, a heap for the beam; it prints."""

import heapq
import math
import warnings

import numpy as np
import torch
from torch import nn

PAD, BOS, EOS, FIRST = 0, 1, 2, 3
VOCAB = 13


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


class Module(nn.Module):
    """What all modules share."""

    def export_weights(self):
        out = {}
        for name, child in self.named_children():
            if hasattr(child, "export_weights"):
                out.update({f"{name}.{key}": value for key, value in child.export_weights().items()})
            else:
                out.update({f"{name}.{key}": p.detach().numpy().copy() for key, p in child.named_parameters()})
        for name, p in self.named_parameters(recurse=False):
            out[name] = p.detach().numpy().copy()
        return out

    def import_weights(self, weights):
        weights = {key: torch.as_tensor(np.asarray(value)) for key, value in weights.items()}
        with torch.no_grad():
            for name, child in self.named_children():
                mine = {k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")}
                if hasattr(child, "import_weights"):
                    child.import_weights({k: v.numpy() for k, v in mine.items()})
                else:
                    for key, p in child.named_parameters():
                        p.copy_(mine[key])
            for name, p in self.named_parameters(recurse=False):
                p.copy_(weights[name])


def length_mask(lengths, size):
    return torch.stack([torch.cat([torch.ones(int(n)), torch.zeros(size - int(n))]) for n in lengths]).bool()


def masked_softmax(scores, mask, dim=-1):
    print("masked_softmax of", tuple(scores.shape))
    shown = mask.expand_as(scores)
    inner = scores.masked_fill(~shown, -math.inf)
    top = inner.amax(dim=dim, keepdim=True)
    top = torch.where(torch.isinf(top), torch.zeros_like(top), top).detach()
    powers = torch.exp(torch.where(shown, scores - top, torch.zeros_like(scores))) * shown
    whole = powers.sum(dim=dim, keepdim=True)
    return powers / torch.where(whole == 0, torch.ones_like(whole), whole)


def masked_nll(logp, tgt, pad):
    rows = logp.reshape(-1, logp.shape[-1])
    words = tgt.reshape(-1)
    keep = torch.nonzero(words != pad)[:, 0]
    if len(keep) == 0:
        return logp.sum() * 0.0
    return -rows[keep, words[keep]].mean()


class BahdanauAttention(Module):
    def __init__(self, d_s, d_h, a):
        super().__init__()
        self.both = nn.Parameter(torch.randn(a, d_s + d_h) / (d_s + d_h) ** 0.5)
        self.outer = nn.Parameter(torch.randn(1, a) / a**0.5)
        self.d_s = d_s

    def export_weights(self):
        w = self.both.detach().numpy()
        return {
            "W_s": w[:, : self.d_s].copy(),
            "W_h": w[:, self.d_s :].copy(),
            "v": self.outer.detach().numpy()[0].copy(),
        }

    def import_weights(self, weights):
        with torch.no_grad():
            self.both.copy_(torch.as_tensor(np.concatenate([weights["W_s"], weights["W_h"]], axis=1)))
            self.outer.copy_(torch.as_tensor(weights["v"])[None])

    def precompute(self, H):
        return nn.functional.linear(H, self.both[:, self.d_s :])

    def forward(self, s, H, mask, keys=None):
        keys = self.precompute(H) if keys is None else keys
        hidden = torch.tanh(keys + nn.functional.linear(s, self.both[:, : self.d_s])[:, None, :])
        alpha = masked_softmax(nn.functional.linear(hidden, self.outer)[..., 0], mask, 1)
        return torch.bmm(alpha[:, None], H)[:, 0], alpha


class LuongAttention(Module):
    def __init__(self, kind, d_s, d_h, a=None):
        super().__init__()
        if kind == "general":
            self.W = nn.Parameter(torch.randn(d_s, d_h) / d_h**0.5)
        elif kind == "concat":
            self.W = nn.Parameter(torch.randn(a, d_s + d_h) / (d_s + d_h) ** 0.5)
            self.v = nn.Parameter(torch.randn(a) / a**0.5)
        elif kind != "dot" or d_s != d_h:
            raise ValueError(kind)
        self.kind = kind

    def forward(self, s, H, mask):
        if self.kind == "concat":
            d_s = s.shape[1]
            e = torch.tanh((s @ self.W[:, :d_s].T)[:, None] + H @ self.W[:, d_s:].T) @ self.v
        else:
            query = s @ self.W if self.kind == "general" else s
            e = torch.bmm(H, query[:, :, None])[:, :, 0]
        alpha = masked_softmax(e, mask, 1)
        return torch.bmm(alpha[:, None], H)[:, 0], alpha


class NoAttention(Module):
    def forward(self, s, H, mask):
        return torch.zeros_like(H[:, 0]), torch.zeros_like(H[:, :, 0])


class Encoder(Module):
    def __init__(self, vocab, d_emb, d_hid):
        super().__init__()
        warnings.warn("an encoder is made", stacklevel=2)
        self.table = nn.Embedding(vocab, d_emb)
        self.there = nn.GRUCell(d_emb, d_hid)
        self.back = nn.GRUCell(d_emb, d_hid)
        self.d_h = 2 * d_hid
        self.d_hid = d_hid

    def forward(self, src, lengths):
        x = self.table(src)
        B, S = src.shape
        on = (torch.arange(S)[None] < lengths[:, None]).to(x.dtype)[..., None]
        f = b = torch.zeros(B, self.d_hid, dtype=x.dtype)
        fs, bs = [], [None] * S
        for t in range(S):
            f = on[:, t] * self.there(x[:, t], f) + (1 - on[:, t]) * f
            fs.append(f)
        for t in reversed(range(S)):
            b = on[:, t] * self.back(x[:, t], b) + (1 - on[:, t]) * b
            bs[t] = b
        H = torch.cat([torch.stack(fs, 1), torch.stack(bs, 1)], 2)
        return H, torch.cat([f, b], 1)


class Decoder(Module):
    def __init__(self, vocab, d_emb, d_h, d_s, attention):
        super().__init__()
        self.attention = attention
        self.table = nn.Embedding(vocab, d_emb)
        self.first = nn.Linear(d_h, d_s)
        self.cell = nn.GRUCell(d_emb + d_h, d_s)
        self.hidden = nn.Linear(d_s + d_h, d_s)
        self.words = nn.Linear(d_s, vocab)

    def initial_state(self, summary):
        return {"h": torch.tanh(self.first(summary))}

    def step(self, y_prev, state, H, mask):
        h = state["h"]
        context, alpha = self.attention(h, H, mask)
        h = self.cell(torch.cat([self.table(y_prev), context], 1), h)
        logits = self.words(torch.tanh(self.hidden(torch.cat([h, context], 1))))
        return logits - torch.logsumexp(logits, 1, keepdim=True), {"h": h}, alpha


class Seq2Seq(Module):
    def __init__(self, vocab, kind="bahdanau", d_emb=32, d_hid=64, d_s=64, d_att=64):
        super().__init__()
        self.encoder = Encoder(vocab, d_emb, d_hid)
        d_h = self.encoder.d_h
        look = NoAttention() if kind == "none" else None
        if look is None:
            look = BahdanauAttention(d_s, d_h, d_att) if kind == "bahdanau" else LuongAttention(kind, d_s, d_h, d_att)
        self.decoder = Decoder(vocab, d_emb, d_h, d_s, look)

    def start(self, src, lengths):
        H, summary = self.encoder(src, lengths)
        mask = length_mask(lengths, src.shape[1])
        return lambda y, state: self.decoder.step(y, state, H, mask)[:2], self.decoder.initial_state(summary)

    def forward(self, src, lengths, tgt_in):
        H, summary = self.encoder(src, lengths)
        mask = length_mask(lengths, src.shape[1])
        state, out = self.decoder.initial_state(summary), []
        for word in tgt_in.unbind(1):
            logp, state, alpha = self.decoder.step(word, state, H, mask)
            out.append((logp, alpha))
        return tuple(torch.stack(piece, 1) for piece in zip(*out, strict=True))


def teacher_inputs(tgt, bos):
    out = tgt.clone()
    out[:, 1:] = tgt[:, :-1]
    out[:, 0] = bos
    return out


def greedy_decode(step_fn, state, batch, bos, eos, max_len):
    fed, lines = torch.tensor([bos] * batch), []
    done = torch.zeros(batch, dtype=torch.bool)
    while len(lines) < max_len and not done.all():
        logp, state = step_fn(fed, state)
        fed = logp.max(dim=1).indices
        lines.append(fed)
        done = done | (fed == eos)
    table = torch.stack(lines, 1).tolist()
    return [row[: row.index(eos) + 1] if eos in row else row for row in table]


def length_penalty(n, alpha):
    return math.exp(alpha * math.log((n + 5.0) / 6.0))


def beam_search(step_fn, state, bos, eos, beam, max_len, alpha):
    alive, done = [(0.0, (), state)], []
    size = 0
    while alive and size < max_len:
        size += 1
        pool, count = [], 0
        for logprob, words, kept in alive:
            logp, after = step_fn(torch.tensor([words[-1] if words else bos]), kept)
            for word in range(logp.shape[1]):
                count += 1
                pool.append((logprob + float(logp[0, word]), -count, (*words, word), after))
        best = heapq.nlargest(beam, pool)
        done += [(p, w) for p, _, w, _ in best if w[-1] == eos]
        alive = [(p, w, s) for p, _, w, s in best if w[-1] != eos]
    source = done or [(p, w) for p, w, _ in alive]
    ranked = sorted(((p / length_penalty(len(w), alpha), w) for p, w in source), reverse=True)
    return tuple((w, torch.tensor(score)) for score, w in ranked[:beam])


def make_optimizer(model, lr):
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4)


def train_step(model, optimizer, src, lengths, tgt):
    model.zero_grad()
    loss = masked_nll(model(src, lengths, teacher_inputs(tgt, BOS))[0], tgt, PAD)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
    optimizer.step()
    return loss.detach()


def train(model, seed):
    source = torch.Generator().manual_seed(seed)
    optimizer = make_optimizer(model, 8e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 240)
    seen = []
    for _ in range(240):
        seen.append(float(train_step(model, optimizer, *make_batch(64, source))))
        schedule.step()
    return seen
