"""Attention and beam search: a sequence-to-sequence model that reverses sequences, written with torch.

Shapes: B sentences in a batch, S source positions, T target positions, V words. H are the encoder's states,
(B, S, d_h); s is the decoder's state, (B, d_s). Tensors are batch first, weights are (out, in). Masks are bool,
True where a position counts. Words are integers (int64): PAD, BOS and EOS, and ordinary words from FIRST on.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAD, BOS, EOS, FIRST = 0, 1, 2, 3
VOCAB = 13  # ten ordinary words


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


# --- masking -------------------------------------------------------------------------------------------------


def length_mask(lengths, size):
    """Return the mask (B, size) that is True at the first lengths[b] positions of row b.

    lengths: integers, (B,), from 0 to size. Returns a bool tensor.
    """
    ### BEGIN SOLUTION
    return torch.arange(size, device=lengths.device) < lengths[:, None]
    ### END SOLUTION


def masked_softmax(scores, mask, dim=-1):
    """Return the softmax of scores along dim over the positions that count; exactly 0 at the others.

    scores: floats, any shape. mask: bool, of that shape or broadcastable to it.
    Where no position counts along dim, the weights are all 0, and so are their gradients.
    """
    ### BEGIN SOLUTION
    low = torch.finfo(scores.dtype).min
    filled = scores.masked_fill(~mask, low)
    weights = torch.softmax(filled, dim=dim)
    return weights.masked_fill(~mask, 0.0)
    ### END SOLUTION


def masked_nll(logp, tgt, pad):
    """Return the mean of -log p of the right word over the positions whose word is not pad: a 0-d tensor.

    logp: log-probabilities, (B, T, V). tgt: integers, (B, T). pad: the word that does not count.
    Returns 0 where no position counts.
    """
    ### BEGIN SOLUTION
    mask = tgt != pad
    picked = logp.gather(-1, tgt.unsqueeze(-1)).squeeze(-1)
    total = -picked.masked_fill(~mask, 0.0).sum()
    return total / mask.sum().clamp(min=1)
    ### END SOLUTION


# --- attention -----------------------------------------------------------------------------------------------


class BahdanauAttention(Weights):
    """Additive attention: score_j = v . tanh(W_s s + W_h h_j)."""

    def __init__(self, d_s, d_h, a):
        """Make the weights W_s (a, d_s), W_h (a, d_h) and v (a,)."""
        super().__init__()
        self.W_s, self.W_h, self.v = small(a, d_s), small(a, d_h), small(a)

    def precompute(self, H):
        """Return the keys W_h h_j of all positions, (B, S, a); they are the same at every step."""
        ### BEGIN SOLUTION
        return H @ self.W_h.T
        ### END SOLUTION

    def forward(self, s, H, mask, keys=None):
        """Attend to H from the state s.

        s: (B, d_s). H: (B, S, d_h). mask: bool, (B, S). keys: what precompute(H) returned, or None.
        Returns (context, alpha): the weighted mean of the h_j, (B, d_h), and the weights, (B, S).
        """
        ### BEGIN SOLUTION
        if keys is None:
            keys = self.precompute(H)
        query = s @ self.W_s.T
        scores = torch.tanh(query.unsqueeze(1) + keys) @ self.v
        alpha = masked_softmax(scores, mask)
        context = (alpha.unsqueeze(-1) * H).sum(dim=1)
        return context, alpha
        ### END SOLUTION


class LuongAttention(Weights):
    """Multiplicative attention, and a variant of additive attention, after Luong, Pham and Manning (2015).

    dot: s . h_j, which needs d_s = d_h. general: s . W h_j. concat: v . tanh(W [s; h_j]), s first.
    """

    def __init__(self, kind, d_s, d_h, a=None):
        """Make the weights: none for dot, W (d_s, d_h) for general, W (a, d_s + d_h) and v (a,) for concat.

        Raises ValueError for another kind, and for dot with d_s != d_h.
        """
        super().__init__()
        if kind not in ("dot", "general", "concat"):
            raise ValueError(f"no such kind of attention: {kind!r}")
        if kind == "dot" and d_s != d_h:
            raise ValueError(f"dot needs states of one size, not {d_s} and {d_h}")
        self.kind = kind
        if kind == "general":
            self.W = small(d_s, d_h)
        elif kind == "concat":
            self.W, self.v = small(a, d_s + d_h), small(a)

    def forward(self, s, H, mask):
        """Attend to H from the state s; shapes as in BahdanauAttention. Returns (context, alpha)."""
        ### BEGIN SOLUTION
        if self.kind == "dot":
            scores = (H * s.unsqueeze(1)).sum(dim=-1)
        elif self.kind == "general":
            scores = (H * (s @ self.W).unsqueeze(1)).sum(dim=-1)
        else:
            both = torch.cat([s.unsqueeze(1).expand(-1, H.shape[1], -1), H], dim=-1)
            scores = torch.tanh(both @ self.W.T) @ self.v
        weights = masked_softmax(scores, mask)
        return torch.einsum("bs,bsd->bd", weights, H), weights
        ### END SOLUTION


class NoAttention(Weights):
    """What stands in the place of attention in a model that has none: zeros. Given."""

    def forward(self, s, H, mask):
        """Return a context and weights that are all zero."""
        return torch.zeros_like(H[:, 0]), torch.zeros_like(H[:, :, 0])


# --- model ---------------------------------------------------------------------------------------------------


class Encoder(Weights):
    """Reads source sentences: an embedding and a bidirectional GRU, in the layout that is given."""

    def __init__(self, vocab, d_emb, d_hid):
        """Make the layers. `d_h`, the size of a state in H, is 2 d_hid here: both directions side by side."""
        super().__init__()
        self.embed = nn.Embedding(vocab, d_emb)
        self.rnn = nn.GRU(d_emb, d_hid, batch_first=True, bidirectional=True)
        self.d_h = 2 * d_hid

    def forward(self, src, lengths):
        """Read a batch of sentences.

        src: integers, (B, S), padded on the right. lengths: (B,), the words of each row, at least 1, in any order.
        Returns (H, summary): a state for each position, (B, S, d_h), and one vector for each whole sentence,
        (B, d_h), made of the last state of each direction.
        """
        ### BEGIN SOLUTION
        words = self.embed(src)
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.rnn(packed)
        H, _ = pad_packed_sequence(states, batch_first=True, total_length=src.shape[1])
        summary = torch.cat([last[0], last[1]], dim=-1)
        return H, summary
        ### END SOLUTION


class Decoder(Weights):
    """Writes target sentences word by word: embedding, attention, GRU cell, output layer, in the given layout."""

    def __init__(self, vocab, d_emb, d_h, d_s, attention):
        """Make the layers. attention: called as attention(s, H, mask), returns (context, alpha)."""
        super().__init__()
        self.attention = attention
        self.embed = nn.Embedding(vocab, d_emb)
        self.bridge = nn.Linear(d_h, d_s)
        self.cell = nn.GRUCell(d_emb + d_h, d_s)
        self.out = nn.Linear(d_s + d_h + d_emb, vocab)

    def initial_state(self, summary):
        """Return the state before the first step, made from the encoder's summary (B, d_h). Given."""
        return torch.tanh(self.bridge(summary))

    def step(self, y_prev, state, H, mask):
        """Write one word: attend from s_{t-1}, then read y_{t-1} and the context, then predict y_t.

        y_prev: integers, (B,). state: as initial_state or step returned it; it must not be changed in place.
        H, mask: as the attention takes them.
        Returns (logp, state, alpha): log-probabilities, (B, V), the new state, and the weights, (B, S).
        """
        ### BEGIN SOLUTION
        word = self.embed(y_prev)
        context, alpha = self.attention(state, H, mask)
        state = self.cell(torch.cat([word, context], dim=-1), state)
        logits = self.out(torch.cat([state, context, word], dim=-1))
        return torch.log_softmax(logits, dim=-1), state, alpha
        ### END SOLUTION


class Seq2Seq(Weights):
    """Encoder and decoder together."""

    def __init__(self, vocab, kind="bahdanau", d_emb=32, d_hid=64, d_s=64, d_att=64):
        """Make the parts. kind: bahdanau, dot, general, concat, or none for a model without attention."""
        super().__init__()
        self.encoder = Encoder(vocab, d_emb, d_hid)
        d_h = self.encoder.d_h
        if kind == "bahdanau":
            attention = BahdanauAttention(d_s, d_h, d_att)
        elif kind == "none":
            attention = NoAttention()
        else:
            attention = LuongAttention(kind, d_s, d_h, d_att)
        self.decoder = Decoder(vocab, d_emb, d_h, d_s, attention)

    def start(self, src, lengths):
        """Read sentences and return (step_fn, state), with which they can be translated word by word.

        step_fn(y_prev, state) returns (logp, state): y_prev (B,) integers, logp (B, V) log-probabilities.
        """
        ### BEGIN SOLUTION
        H, summary = self.encoder(src, lengths)
        counted = length_mask(lengths, src.shape[1])

        def step_fn(y_prev, state):
            logp, state, _ = self.decoder.step(y_prev, state, H, counted)
            return logp, state

        return step_fn, self.decoder.initial_state(summary)
        ### END SOLUTION

    def forward(self, src, lengths, tgt_in):
        """Return the log-probabilities of every target position, given the words before it (teacher forcing).

        src: (B, S). lengths: (B,). tgt_in: (B, T), the word that is read at each step, BOS first.
        Returns (logp, alphas): (B, T, V) and (B, T, S).
        """
        ### BEGIN SOLUTION
        H, summary = self.encoder(src, lengths)
        mask = length_mask(lengths, src.shape[1])
        state = self.decoder.initial_state(summary)  # s before the first word
        logps, alphas = [], []
        for t in range(tgt_in.shape[1]):
            logp, state, alpha = self.decoder.step(tgt_in[:, t], state, H, mask)
            logps.append(logp)
            alphas.append(alpha)
        return torch.stack(logps, dim=1), torch.stack(alphas, dim=1)
        ### END SOLUTION


# --- decoding ------------------------------------------------------------------------------------------------


def teacher_inputs(tgt, bos):
    """Return what the decoder reads when it learns to write tgt: bos, then tgt without its last column.

    tgt: integers, (B, T). Returns integers, (B, T).
    """
    ### BEGIN SOLUTION
    first = torch.full_like(tgt[:, :1], bos)
    return torch.cat([first, tgt[:, :-1]], dim=1)
    ### END SOLUTION


def greedy_decode(step_fn, state, batch, bos, eos, max_len):
    """Write `batch` sentences by taking the most probable word at each step.

    step_fn(y_prev, state) returns (logp, state): y_prev (B,) integers (int64), logp (B, V). state: the first state.
    Returns a list of B lists of integers: without bos, up to and including the first eos, at most max_len words.
    Stops calling step_fn when every sentence has ended.
    """
    ### BEGIN SOLUTION
    sentences = [[] for _ in range(batch)]
    ended = [False] * batch
    y = torch.full((batch,), bos)
    for _ in range(max_len):
        logp, state = step_fn(y, state)
        y = logp.argmax(dim=-1)
        for b, word in enumerate(y.tolist()):
            if not ended[b]:
                sentences[b].append(word)
                ended[b] = word == eos
        if all(ended):
            break
    return sentences
    ### END SOLUTION


# --- beam ----------------------------------------------------------------------------------------------------


def length_penalty(n, alpha):
    """Return ((5 + n) / 6) ** alpha for a hypothesis of n words (Wu et al., 2016): a float."""
    ### BEGIN SOLUTION
    return ((5 + n) / 6) ** alpha
    ### END SOLUTION


def beam_search(step_fn, state, bos, eos, beam, max_len, alpha):
    """Search for the sentence of highest score = (sum of log p) / length_penalty(words, alpha).

    step_fn(y_prev, state) returns (logp, state) for a batch of one: y_prev (1,) integers (int64), logp (1, V).
    state: the first state; states must not be changed, and each belongs to the hypothesis that led to it.
    Each round extends every living hypothesis by every word and keeps the `beam` extensions of highest sum of log p;
    those that end in eos are finished and leave the beam, the others live on. The search ends when none lives or the
    living ones have max_len words.
    Returns at most `beam` pairs (words, score), best first: finished hypotheses, or, only if there is none, the living
    ones. words: a list of integers without bos; eos, if any, is its last word and counts.
    """
    ### BEGIN SOLUTION
    living = [([], 0.0, state)]
    finished = []
    for _ in range(max_len):
        extensions = []
        for words, total, before in living:
            y = torch.tensor([words[-1] if words else bos])
            logp, after = step_fn(y, before)
            for word, value in enumerate(logp[0].tolist()):
                extensions.append(([*words, word], total + value, after))
        extensions.sort(key=lambda hypothesis: hypothesis[1], reverse=True)
        living = []
        for hypothesis in extensions[:beam]:
            if hypothesis[0][-1] == eos:
                finished.append(hypothesis)
            else:
                living.append(hypothesis)
        if not living:
            break
    results = finished or living
    scored = [(words, total / length_penalty(len(words), alpha)) for words, total, _ in results]
    scored.sort(key=lambda pair: pair[1], reverse=True)
    return scored[:beam]
    ### END SOLUTION


# --- training ------------------------------------------------------------------------------------------------


def make_optimizer(model, lr):
    """Return an optimizer of torch.optim over all weights of the model with the learning rate lr."""
    ### BEGIN SOLUTION
    return torch.optim.Adam(model.parameters(), lr=lr)
    ### END SOLUTION


def train_step(model, optimizer, src, lengths, tgt):
    """Take one step down the gradient of masked_nll on one batch, with teacher forcing.

    src, lengths, tgt: as make_batch returns them. Returns the loss before the step: a float.
    """
    ### BEGIN SOLUTION
    logp, _ = model(src, lengths, teacher_inputs(tgt, BOS))
    loss = masked_nll(logp, tgt, PAD)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()
    ### END SOLUTION


def train(model, seed):
    """Teach the model to reverse sentences of 3 to 10 words, drawn with make_batch; the model is changed in place.

    seed: an integer; all randomness comes from it. Returns the loss of every step, a list of floats.
    """
    ### BEGIN SOLUTION
    steps, highest = 200, 1e-2
    generator = torch.Generator().manual_seed(seed)
    optimizer = make_optimizer(model, highest)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = highest * (1 - step / steps)
        losses.append(train_step(model, optimizer, *make_batch(64, generator)))
    return losses
    ### END SOLUTION
