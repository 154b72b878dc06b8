"""A correct solution: everything that multiplies is an nn.Linear; a GRU read with a second pass over reversed words."""

import torch
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


class Projections(Weights):
    """Attention weights as layers without biases, exported under the handout's names."""

    layers: dict

    def export_weights(self):
        return {name: (w[0] if flat else w) for name, w, flat in self._named()}

    def _named(self):
        for name, (layer, form) in self.layers.items():
            w = layer.weight.detach().numpy().copy()
            yield name, (w.T.copy() if form == "turned" else w), form == "flat"

    def import_weights(self, weights):
        with torch.no_grad():
            for name, (layer, form) in self.layers.items():
                w = torch.as_tensor(weights[name], dtype=torch.float32)
                layer.weight.copy_(w[None] if form == "flat" else w.T if form == "turned" else w)


def length_mask(lengths, size):
    return torch.arange(1, size + 1).expand(len(lengths), size).le(lengths.view(-1, 1))


def masked_softmax(scores, mask, dim=-1):
    hidden = torch.logical_not(mask)
    lowered = torch.where(hidden, torch.tensor(-1e9, dtype=scores.dtype), scores)
    return torch.exp(nn.functional.log_softmax(lowered, dim=dim)).masked_fill(hidden, 0)


def masked_nll(logp, tgt, pad):
    words = nn.functional.one_hot(tgt, logp.shape[-1]).to(logp.dtype) * (tgt != pad).unsqueeze(-1)
    return -(words * logp).sum() / max(1, int((tgt != pad).sum()))


class BahdanauAttention(Projections):
    def __init__(self, d_s, d_h, a):
        super().__init__()
        self.query, self.key, self.energy = (nn.Linear(i, o, bias=False) for i, o in ((d_s, a), (d_h, a), (a, 1)))
        self.layers = {"W_s": (self.query, ""), "W_h": (self.key, ""), "v": (self.energy, "flat")}

    def precompute(self, H):
        return self.key(H)

    def forward(self, s, H, mask, keys=None):
        energy = self.energy((self.query(s)[:, None] + (self.key(H) if keys is None else keys)).tanh())
        alpha = masked_softmax(energy, mask[:, :, None], dim=1)
        return torch.sum(alpha * H, dim=1), alpha[:, :, 0]


class LuongAttention(Projections):
    def __init__(self, kind, d_s, d_h, a=None):
        super().__init__()
        self.kind, self.layers = kind, {}
        match kind:
            case "dot":
                if d_s != d_h:
                    raise ValueError("sizes differ")
            case "general":
                self.form = nn.Linear(d_s, d_h, bias=False)
                self.layers = {"W": (self.form, "turned")}
            case "concat":
                self.inner, self.energy = nn.Linear(d_s + d_h, a, bias=False), nn.Linear(a, 1, bias=False)
                self.layers = {"W": (self.inner, ""), "v": (self.energy, "flat")}
            case _:
                raise ValueError("no such kind")

    def forward(self, s, H, mask):
        if self.kind == "concat":
            pairs = torch.cat((s[:, None].repeat(1, H.size(1), 1), H), dim=2)
            scores = self.energy(torch.tanh(self.inner(pairs))).squeeze(-1)
        else:
            scores = torch.matmul(H, (self.form(s) if self.kind == "general" else s)[..., None])[..., 0]
        alpha = masked_softmax(scores, mask)
        return torch.matmul(alpha[:, None], H).squeeze(1), alpha


class Encoder(Weights):
    def __init__(self, vocab, d_emb, d_hid):
        super().__init__()
        self.d_h = 2 * d_hid
        self.lookup = nn.Embedding(vocab, d_emb)
        self.ltr = nn.GRU(d_emb, d_hid, batch_first=True)
        self.rtl = nn.GRU(d_emb, d_hid, batch_first=True)

    def forward(self, src, lengths):
        size = src.size(1)
        place = torch.arange(size)[None].expand_as(src)
        turned = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
        words = self.lookup(src)
        rows = torch.arange(len(src))
        ahead, _ = self.ltr(words)  # what it says at the padding is not used
        behind, _ = self.rtl(words[rows[:, None], turned])
        summary = torch.cat([ahead[rows, lengths - 1], behind[rows, lengths - 1]], dim=1)
        return torch.cat([ahead, behind[rows[:, None], turned]], dim=2), summary


class Decoder(Weights):
    def __init__(self, vocab, d_emb, d_h, d_s, attention):
        super().__init__()
        self.lookup, self.attention = nn.Embedding(vocab, d_emb), attention
        self.enter = nn.Sequential(nn.Linear(d_h, d_s), nn.Tanh())
        self.gru = nn.GRU(d_emb + d_h, d_s)
        self.leave = nn.Linear(d_s + d_h, vocab)

    def initial_state(self, summary):
        return self.enter(summary).unsqueeze(0)

    def step(self, y_prev, state, H, mask):
        context, alpha = self.attention(state[-1], H, mask)
        _, state = self.gru(torch.cat([self.lookup(y_prev), context], dim=-1).unsqueeze(0), state)
        return self.leave(torch.cat([state[-1], context], dim=-1)).log_softmax(-1), state, alpha


class Seq2Seq(Weights):
    def __init__(self, vocab, kind="bahdanau", d_emb=32, d_hid=64, d_s=64, d_att=64):
        super().__init__()
        self.encoder = Encoder(vocab, d_emb, d_hid)
        kinds = {"none": NoAttention, "bahdanau": lambda: BahdanauAttention(d_s, 2 * d_hid, d_att)}
        attention = kinds[kind]() if kind in kinds else LuongAttention(kind, d_s, 2 * d_hid, d_att)
        self.decoder = Decoder(vocab, d_emb, 2 * d_hid, d_s, attention)

    def start(self, src, lengths):
        H, summary = self.encoder(src, lengths)
        mask = length_mask(lengths, H.size(1))

        def advance(word, state):
            answer = self.decoder.step(word, state, H, mask)
            return answer[0], answer[1]

        return advance, self.decoder.initial_state(summary)

    def forward(self, src, lengths, tgt_in):
        H, summary = self.encoder(src, lengths)
        mask = length_mask(lengths, H.size(1))

        def roll(state, words):
            for word in words:
                logp, state, alpha = self.decoder.step(word, state, H, mask)
                yield logp, alpha

        logps, alphas = zip(*roll(self.decoder.initial_state(summary), tgt_in.T), strict=True)
        return torch.stack(logps).transpose(0, 1), torch.stack(alphas).transpose(0, 1)


def teacher_inputs(tgt, bos):
    return torch.hstack([tgt.new_full((tgt.size(0), 1), bos), tgt])[:, : tgt.size(1)]


def greedy_decode(step_fn, state, batch, bos, eos, max_len):
    written = torch.full((batch, 1), bos)
    for _ in range(max_len):
        logp, state = step_fn(written[:, -1], state)
        written = torch.cat([written, logp.sort(dim=-1, descending=True).indices[:, :1]], dim=1)
        if (written[:, 1:] == eos).any(dim=1).all():
            break
    out = []
    for row in written[:, 1:]:
        ends = (row == eos).nonzero()
        out.append(row[: int(ends[0]) + 1] if len(ends) else row)
    return out


def length_penalty(n, alpha):
    return (5.0 + n) ** alpha / 6.0**alpha


class Hypothesis:
    """Words as a chain: each knows its last word and its parent."""

    def __init__(self, word, logp, state, parent=None):
        self.word, self.logp, self.state, self.parent = word, logp, state, parent
        self.size = parent.size + 1 if parent else 0

    def words(self):
        return [*self.parent.words(), self.word] if self.parent else []


def beam_search(step_fn, state, bos, eos, beam, max_len, alpha):
    def search(beams, ended, left):
        if not beams or not left:
            return ended or beams
        children = []
        for hyp in beams:
            logp, after = step_fn(torch.tensor([hyp.word], dtype=torch.long), hyp.state)
            best = logp[0].topk(min(beam, logp.size(1)))
            children += [
                Hypothesis(int(w), hyp.logp + float(p), after, hyp)
                for p, w in zip(best.values, best.indices, strict=True)
            ]
        children = sorted(children, key=lambda h: h.logp / length_penalty(h.size, alpha), reverse=True)[:beam]
        return search([h for h in children if h.word != eos], ended + [h for h in children if h.word == eos], left - 1)

    found = search([Hypothesis(bos, 0.0, state)], [], max_len)
    pairs = [(h.words(), h.logp / length_penalty(h.size, alpha)) for h in found]
    return sorted(pairs, key=lambda pair: pair[1])[::-1][:beam]


def make_optimizer(model, lr):
    return torch.optim.NAdam(list(model.parameters()), lr=lr)


def train_step(model, optimizer, src, lengths, tgt):
    def closure():
        optimizer.zero_grad(set_to_none=False)
        loss = masked_nll(model(src, lengths, teacher_inputs(tgt, BOS))[0], tgt, PAD)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        return loss

    return optimizer.step(closure).item()


def train(model, seed):
    draws = torch.Generator().manual_seed(seed % 2**31)
    optimizer, rounds = make_optimizer(model, 1e-2), 260
    losses = []
    for k in range(rounds):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - k / rounds) + 1e-4
        losses.append(train_step(model, optimizer, *make_batch(64, draws)))
    return losses
