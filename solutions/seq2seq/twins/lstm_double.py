"""A correct solution: LSTMs in both halves, all in float64, sorted packed sequences, places kept in the beam."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils import rnn as packing

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


DTYPE = torch.float64


class Base(nn.Module):
    """Names and values of weights, without a say in their type."""

    def export_weights(self):
        return {name: value.detach().numpy().copy() for name, value in self.state_dict().items()}

    def import_weights(self, weights):
        self.load_state_dict({name: torch.tensor(np.asarray(value), dtype=DTYPE) for name, value in weights.items()})


def length_mask(lengths, size):
    mask = torch.zeros(len(lengths), size, dtype=torch.bool)
    for b, n in enumerate(lengths.tolist()):
        mask[b, :n] = True
    return mask


def masked_softmax(scores, mask, dim=-1):
    # softmax, mask, renormalise: the same numbers as long as nothing underflows, hence the shift by counted scores
    counted = torch.where(mask, scores, torch.full_like(scores, -1e30))
    shift = counted.max(dim=dim, keepdim=True).values.detach()
    raised = torch.exp((counted - shift).clamp(max=0.0)) * mask
    return raised / (raised.sum(dim=dim, keepdim=True) + (~mask).all(dim=dim, keepdim=True))


def masked_nll(logp, tgt, pad):
    count = int((tgt != pad).sum())
    if not count:
        return torch.zeros((), dtype=logp.dtype)
    return nn.functional.nll_loss(logp.transpose(1, 2), tgt, ignore_index=pad, reduction="sum") / count


def _attend(scores, H, mask):
    alpha = masked_softmax(scores, mask)
    return (H.transpose(1, 2) @ alpha.unsqueeze(2)).squeeze(2), alpha


class BahdanauAttention(Base):
    def __init__(self, d_s, d_h, a):
        super().__init__()
        self.W_s = nn.Parameter(torch.empty(a, d_s, dtype=DTYPE).uniform_(-0.2, 0.2))
        self.W_h = nn.Parameter(torch.empty(a, d_h, dtype=DTYPE).uniform_(-0.2, 0.2))
        self.v = nn.Parameter(torch.empty(a, dtype=DTYPE).uniform_(-0.2, 0.2))

    def precompute(self, H):
        return torch.einsum("bsh,ah->bsa", H.to(DTYPE), self.W_h)

    def forward(self, s, H, mask, keys=None):
        s, H = s.to(DTYPE), H.to(DTYPE)
        keys = self.precompute(H) if keys is None else keys.to(DTYPE)
        return _attend(
            torch.einsum("bsa,a->bs", torch.tanh(torch.einsum("bd,ad->ba", s, self.W_s)[:, None] + keys), self.v),
            H,
            mask,
        )


class LuongAttention(Base):
    def __init__(self, kind, d_s, d_h, a=None):
        super().__init__()
        sizes = {"dot": {}, "general": {"W": (d_s, d_h)}, "concat": {"W": (a or 1, d_s + d_h), "v": (a or 1,)}}
        if kind not in sizes or (kind == "dot" and d_s != d_h):
            raise ValueError(f"{kind} of {d_s} and {d_h}")
        self.score = {"dot": self.dot, "general": self.general, "concat": self.concat}[kind]
        for name, size in sizes[kind].items():
            setattr(self, name, nn.Parameter(torch.empty(size, dtype=DTYPE).uniform_(-0.2, 0.2)))

    def dot(self, s, H):
        return torch.einsum("bd,bsd->bs", s, H)

    def general(self, s, H):
        return torch.einsum("bi,ij,bsj->bs", s, self.W, H)

    def concat(self, s, H):
        rows = [torch.tanh(torch.cat([s, h], dim=1) @ self.W.T) @ self.v for h in H.unbind(dim=1)]
        return torch.stack(rows, dim=1)

    def forward(self, s, H, mask):
        s, H = s.to(DTYPE), H.to(DTYPE)
        return _attend(self.score(s, H), H, mask)


class Nothing(Base):
    def forward(self, s, H, mask):
        return torch.zeros(H.shape[0], H.shape[2], dtype=DTYPE), torch.zeros(H.shape[:2], dtype=DTYPE)


class Encoder(Base):
    def __init__(self, vocab, d_emb, d_hid):
        super().__init__()
        self.d_h = 2 * d_hid
        self.words = nn.Embedding(vocab, d_emb, dtype=DTYPE)
        self.lstm = nn.LSTM(d_emb, d_hid, bidirectional=True, dtype=DTYPE)

    def forward(self, src, lengths):
        lengths, order = lengths.sort(descending=True)
        packed = packing.pack_padded_sequence(self.words(src[order]).transpose(0, 1), lengths)
        out, (h, _) = self.lstm(packed)
        H = packing.pad_packed_sequence(out, total_length=src.shape[1])[0].transpose(0, 1)
        back = order.argsort()
        return H[back], torch.cat(tuple(h), dim=1)[back]


class Decoder(Base):
    def __init__(self, vocab, d_emb, d_h, d_s, attention):
        super().__init__()
        self.attention = attention
        self.words = nn.Embedding(vocab, d_emb, dtype=DTYPE)
        self.begin = nn.Linear(d_h, 2 * d_s, dtype=DTYPE)
        self.cell = nn.LSTMCell(d_emb + d_h, d_s, dtype=DTYPE)
        self.top = nn.Linear(d_s + d_h, vocab, dtype=DTYPE)

    def initial_state(self, summary):
        h, c = self.begin(summary.to(DTYPE)).chunk(2, dim=1)
        return torch.tanh(h), c

    def step(self, y_prev, state, H, mask):
        context, alpha = self.attention(state[0], H, mask)
        context = context.to(DTYPE)
        state = self.cell(torch.cat([self.words(y_prev), context], dim=1), state)
        logp = nn.functional.log_softmax(self.top(torch.cat([state[0], context], dim=1)), dim=1)
        return [logp, state, alpha]


class Seq2Seq(Base):
    def __init__(self, vocab, kind="bahdanau", d_emb=32, d_hid=64, d_s=64, d_att=64):
        super().__init__()
        self.encoder = Encoder(vocab, d_emb, d_hid)
        make = {"none": lambda: Nothing(), "bahdanau": lambda: BahdanauAttention(d_s, 2 * d_hid, d_att)}
        attention = make.get(kind, lambda: LuongAttention(kind, d_s, 2 * d_hid, d_att))()
        self.decoder = Decoder(vocab, d_emb, 2 * d_hid, d_s, attention)

    def start(self, src, lengths):
        memory, summary = self.encoder(src, lengths)
        visible = length_mask(lengths, src.shape[1])

        class Stepper:
            def __call__(stepper, y_prev, state):
                logp, state, stepper.alpha = self.decoder.step(y_prev, state, memory, visible)
                return logp, state

        return Stepper(), self.decoder.initial_state(summary)

    def forward(self, src, lengths, tgt_in):
        stepper, state = self.start(src, lengths)
        logp = torch.empty(*tgt_in.shape, self.decoder.top.out_features, dtype=DTYPE)
        alphas = torch.empty(*tgt_in.shape, src.shape[1], dtype=DTYPE)
        rows = []
        for t in range(tgt_in.shape[1]):
            row, state = stepper(tgt_in[:, t], state)
            rows.append(row)
            alphas[:, t] = stepper.alpha.detach()
        del logp
        return torch.stack(rows, dim=1), alphas


def teacher_inputs(tgt, bos):
    return nn.functional.pad(tgt, (1, 0), value=bos)[:, :-1]


def greedy_decode(step_fn, state, batch, bos, eos, max_len):
    def write(fed, state, written, going):
        if len(written) == max_len or not going.any():
            return written
        logp, state = step_fn(fed, state)
        fed = torch.topk(logp, 1, dim=1).indices.flatten()
        return write(fed, state, [*written, torch.where(going, fed, torch.full_like(fed, -1))], going & (fed != eos))

    columns = write(torch.full((batch,), bos), state, [], torch.ones(batch, dtype=torch.bool))
    return [[int(c[b]) for c in columns if c[b] >= 0] for b in range(batch)]


def length_penalty(n, alpha):
    return torch.tensor((5 + n) / 6, dtype=DTYPE) ** alpha


def beam_search(step_fn, state, bos, eos, beam, max_len, alpha):
    tokens, totals, states = torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, dtype=DTYPE), [state]
    finished = []
    for _ in range(max_len):
        room = beam - len(finished)  # a finished hypothesis keeps its place
        if room <= 0 or not len(states):
            break
        pieces = []
        for row, own in enumerate(states):
            last = tokens[row, -1:] if tokens.shape[1] else torch.tensor([bos])
            pieces.append(step_fn(last, own))
        sums = totals[:, None] + torch.cat([logp for logp, _ in pieces]).to(DTYPE)
        top = torch.topk(sums.flatten(), min(room, sums.numel()))
        parent, word = top.indices // sums.shape[1], top.indices % sums.shape[1]
        grown = torch.cat([tokens[parent], word[:, None]], dim=1)
        ended = word == eos
        finished += [(row.tolist(), total) for row, total in zip(grown[ended], top.values[ended], strict=True)]
        tokens, totals = grown[~ended], top.values[~ended]
        states = [pieces[p][1] for p in parent[~ended].tolist()]
    if not finished:
        finished = [(row.tolist(), total) for row, total in zip(tokens, totals, strict=True)]
    results = [[words, float(total / length_penalty(len(words), alpha))] for words, total in finished]
    return sorted(results, key=lambda result: -result[1])


def make_optimizer(model, lr):
    return torch.optim.Adam([{"params": [p]} for p in model.parameters()], lr=lr)


def train_step(model, optimizer, src, lengths, tgt):
    loss = masked_nll(model(src, lengths, teacher_inputs(tgt, BOS))[0], tgt, PAD)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss)


def train(model, seed):
    chance = torch.Generator()
    chance.manual_seed(seed)
    optimizer = make_optimizer(model, 0.01)
    history = []
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * min(1.0, 2 * (1 - step / 300))
        history.append(train_step(model, optimizer, *make_batch(64, chance)))
    return history
