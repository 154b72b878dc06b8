"""The public suite of the seq2seq assignment: run it as often as you like with `grader check`.

It holds no solution. What is right is found the slow way: position by position, sentence by sentence, or by asking
your own code twice. The hidden suite that decides on points asks the same questions about more cases; the points
here show roughly where you stand. It does not train: `train` is for you to try.

`student.f(...)` calls your function f, with copies of the arguments. `close(got, want)` asks for the same shape and
for max|got - want| <= 1e-4 * max(|got| + |want|).
"""

import itertools
import math

import numpy as np
import pytest
import torch

from grader.checking import close, observe, require

PAD, BOS, EOS, VOCAB = 0, 1, 2, 13


def t(value, dtype=torch.float32):
    """Return a tensor."""
    return torch.tensor(np.asarray(value), dtype=dtype)


def numbers(value):
    """Return a numpy array of what came back."""
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)


def slow_weights(scores, counted):
    """Return the softmax of one row of scores over the positions that count."""
    raised = [math.exp(e) if on else 0.0 for e, on in zip(scores, counted, strict=True)]
    return [x / sum(raised) if sum(raised) else 0.0 for x in raised]


def fill(module, rng):
    """Write random weights into a module and return them."""
    new = {n: rng.uniform(-0.8, 0.8, np.shape(w)).astype("float32") for n, w in module.method("export_weights").items()}
    module.method("import_weights", new)
    return new


MASK = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=bool)


# --- masking ---------------------------------------------------------------------------------------------


@pytest.mark.part("masking")
@pytest.mark.points(3)
def test_length_mask(student):
    """length_mask: three rows of different lengths."""
    got = student.length_mask(torch.tensor([2, 4, 0]), 4)
    observe("mask", numbers(got).astype(float) * 2)
    require(numbers(got).tolist() == [[True, True, False, False], [True] * 4, [False] * 4], "the mask is wrong")


@pytest.mark.part("masking")
@pytest.mark.points(4)
def test_masked_softmax(student, rng):
    """masked_softmax: a mask with holes."""
    scores = rng.uniform(-2, 2, (3, 4))
    want = [slow_weights(e, on) for e, on in zip(scores, MASK, strict=True)]
    close(student.masked_softmax(t(scores, torch.float64), torch.tensor(MASK), -1), np.array(want))


@pytest.mark.part("masking")
@pytest.mark.points(4)
def test_masked_softmax_of_nothing(student, rng):
    """masked_softmax: a row where nothing counts is zero, and so is its gradient."""
    scores, mask = t(rng.uniform(-2, 2, (2, 3)), torch.float64), torch.tensor([[True, False, True], [False] * 3])
    value, (gradient,) = student.grad(
        "masked_softmax", scores, mask, -1, wrt=[0], upstream=t([[1.0, 2, 3]] * 2, torch.float64)
    )
    close(value[1], np.zeros(3), name="weights")
    close(value[0], np.array(slow_weights(scores[0].tolist(), [1, 0, 1])), name="weights of the other row")
    require(gradient is not None, "there is no gradient")
    close(gradient[1], np.zeros(3), name="gradient")


@pytest.mark.part("masking")
@pytest.mark.points(3)
def test_masked_softmax_of_huge_scores(student):
    """masked_softmax: large scores, and a larger one that does not count."""
    got = student.masked_softmax(t([[1000.0, 1001.0, 2e6]], torch.float64), torch.tensor([[True, True, False]]), -1)
    close(got, np.array([[1 / (1 + math.e), math.e / (1 + math.e), 0.0]]))


@pytest.mark.part("masking")
@pytest.mark.points(3)
def test_masked_nll(student, rng):
    """masked_nll: three words of two sentences count."""
    logp = np.log(rng.dirichlet(np.ones(5), (2, 3)))
    tgt = np.array([[3, 2, PAD], [4, PAD, PAD]])
    close(student.masked_nll(t(logp, torch.float64), t(tgt, torch.int64), PAD),
          -(logp[0, 0, 3] + logp[0, 1, 2] + logp[1, 0, 4]) / 3)  # fmt: skip


# --- attention -------------------------------------------------------------------------------------------


def slow_scores(kind, w, s, H):
    """Return the scores of one row."""
    if kind == "bahdanau":
        return [w["v"] @ np.tanh(w["W_s"] @ s + w["W_h"] @ h) for h in H]
    if kind == "concat":
        return [w["v"] @ np.tanh(w["W"] @ np.concatenate([s, h])) for h in H]
    return [s @ w["W"] @ h if kind == "general" else s @ h for h in H]


@pytest.mark.part("attention")
@pytest.mark.points(4)
@pytest.mark.parametrize("kind", ["bahdanau", "dot", "general", "concat"])
def test_attention(student, rng, kind):
    """Attention, {kind}: weights and context."""
    d_s, d_h = (5, 5) if kind == "dot" else (3, 5)
    s, H = rng.uniform(-1, 1, (3, d_s)).astype("float32"), rng.uniform(-1, 1, (3, 4, d_h)).astype("float32")
    if kind == "bahdanau":
        attention = student.BahdanauAttention(d_s, d_h, 6)
    else:
        attention = student.LuongAttention(kind, d_s, d_h, 6)
    w = fill(attention, rng)
    got = attention(t(s), t(H), torch.tensor(MASK))
    require(isinstance(got, list | tuple) and len(got) == 2, "the pair (context, alpha) is asked")
    want = np.array([slow_weights(slow_scores(kind, w, s[b], H[b]), MASK[b]) for b in range(3)])
    close(got[1], want, name="alpha")
    close(got[0], np.array([sum(want[b, j] * H[b, j] for j in range(4)) for b in range(3)]), name="context")


@pytest.mark.part("attention")
@pytest.mark.points(4)
def test_keys(student, rng):
    """BahdanauAttention: with keys computed in advance nothing changes."""
    attention = student.BahdanauAttention(3, 4, 5)
    fill(attention, rng)
    s, H, mask = t(rng.uniform(-1, 1, (3, 3))), t(rng.uniform(-1, 1, (3, 4, 4))), torch.tensor(MASK)
    plain = attention(s, H, mask)
    ahead = attention(s, H, mask, attention.method("precompute", H))
    require(np.ptp(numbers(plain[1])[2]) > 1e-3, "all positions have the same weight")
    close(ahead[1], numbers(plain[1]), name="alpha")
    close(ahead[0], numbers(plain[0]), name="context")


# --- model -----------------------------------------------------------------------------------------------

SRC, LENGTHS = torch.tensor([[5, 7, 9, 3], [4, 8, 0, 0], [6, 0, 0, 0]]), torch.tensor([4, 2, 1])
READ = torch.tensor([[BOS, 3, 9], [BOS, 8, 4], [BOS, 6, 2]])


@pytest.mark.part("model")
@pytest.mark.points(5)
def test_encoder(student, rng):
    """Encoder: a sentence alone and in a padded batch."""
    encoder = student.Encoder(VOCAB, 4, 3)
    fill(encoder, rng)
    H, summary = encoder(SRC, LENGTHS)
    alone_H, alone = encoder(SRC[1:2, :2], LENGTHS[1:2])
    close(H[1:2, :2], numbers(alone_H), name="H of the second sentence")
    close(summary[1:2], numbers(alone), name="summary of the second sentence")
    changed = SRC.clone()
    changed[0, 0], changed[1, 1] = 11, 12  # the first word of one sentence, the last of another
    _, other = encoder(changed, LENGTHS)
    require(bool((numbers(other)[:2] != numbers(summary)[:2]).all()), "an entry of the summary misses a word")


@pytest.mark.part("model")
@pytest.mark.points(5)
def test_decoder(student, rng):
    """Decoder.step with an attention of ours: what it asks, and what it makes of the answer."""
    asked = []
    answer = [t(rng.uniform(-1, 1, (2, 6))), t([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])]

    def attention(s, H, mask):
        asked.append(s)
        return answer[0], answer[1]

    decoder = student.Decoder(9, 3, 6, 5, attention)
    fill(decoder, rng)
    H, mask = t(rng.uniform(-1, 1, (2, 3, 6))), torch.ones(2, 3, dtype=torch.bool)
    state = decoder.method("initial_state", t(rng.uniform(-1, 1, (2, 6))), spec="opaque")
    logps = []
    for word in ([4, 7], [5, 2]):
        logp, _, alpha = decoder.method("step", torch.tensor(word), state, H, mask)
        close(np.exp(numbers(logp)).sum(axis=1), np.ones(2), name="sum of probabilities")
        logps.append(numbers(logp))
    close(alpha, numbers(answer[1]), name="alpha")
    close(asked[-1], numbers(asked[0]), name="the query does not depend on the word that is read")
    require(np.abs(logps[0] - logps[1]).max() > 1e-4, "the word that is read changes nothing")
    answer[0] = -answer[0]
    other, _, _ = decoder.method("step", torch.tensor([5, 2]), state, H, mask)
    require(np.abs(numbers(other) - logps[1]).max() > 1e-4, "the context changes nothing")


@pytest.mark.part("model")
@pytest.mark.points(5)
def test_teacher_forcing(student, rng):
    """Seq2Seq: the word read at step 1 changes steps 1 and 2, and not step 0."""
    model = student.Seq2Seq(VOCAB, "bahdanau", 4, 3, 5, 6)
    fill(model, rng)
    before, alphas = model(SRC, LENGTHS, READ)
    close(numbers(alphas).sum(axis=2), np.ones((3, 3)), name="sum of the weights")
    changed = READ.clone()
    changed[:, 1] = 10
    after, _ = model(SRC, LENGTHS, changed)
    close(after[:, 0], numbers(before[:, 0]), tol=1e-5, name="logp of step 0")
    for at in (1, 2):
        require(np.abs(numbers(after[:, at]) - numbers(before[:, at])).max() > 1e-5, f"step {at} has not changed")


@pytest.mark.part("model")
@pytest.mark.points(5)
def test_start(student, rng):
    """Seq2Seq: the step function of `start` says what `forward` says; padding plays no part."""
    model = student.Seq2Seq(VOCAB, "general", 4, 3, 5, 6)
    fill(model, rng)
    want, _ = model(SRC[1:2, :2], LENGTHS[1:2], READ[1:2])
    step_fn, state = model.method("start", SRC, LENGTHS, spec=["opaque", "opaque"])
    for at in range(3):
        logp, state = step_fn.method("__call__", READ[:, at], state, spec=[None, "opaque"])
        close(logp[1], numbers(want)[0, at], tol=1e-5, name=f"logp of step {at}")


# --- decoding --------------------------------------------------------------------------------------------


@pytest.mark.part("decoding")
@pytest.mark.points(4)
def test_teacher_inputs(student):
    """teacher_inputs: one step later, bos first."""
    got = student.teacher_inputs(torch.tensor([[5, 6, 2, 0], [7, 8, 9, 2]]), 1)
    observe("inputs", numbers(got))
    require(numbers(got).tolist() == [[1, 5, 6, 2], [1, 7, 8, 9]], "the inputs are wrong")


class Table:
    """Log-probabilities of four words (bos 0, eos 1) after every beginning; a state is what was read."""

    def __init__(self, rng):
        self.rng, self.rows, self.calls = rng, {}, 0

    def after(self, words):
        if words not in self.rows:
            self.rows[words] = np.log(self.rng.dirichlet([1.0, 0.9, 1.0, 1.0]))
        return self.rows[words]

    def total(self, words):
        return sum(self.after(tuple(words[:n]))[word] for n, word in enumerate(words))

    def __call__(self, y_prev, state):
        self.calls += 1
        fed = numbers(y_prev).tolist()
        require(len(fed) == len(state), "step_fn was called with another number of words than states")
        read = [(*words, word) for words, word in zip(state, fed, strict=True)]
        require(all(words[0] == 0 for words in read), "the first word that is read must be bos")
        return t(np.stack([self.after(words[1:]) for words in read]), torch.float64), read


@pytest.mark.part("decoding")
@pytest.mark.points(4)
def test_greedy(student, rng):
    """greedy_decode on a table: two equal sentences, as long as it goes."""
    table = Table(rng)
    words = []
    while len(words) < 6 and (not words or words[-1] != 1):
        words.append(int(np.argmax(table.after(tuple(words)))))
    got = student.greedy_decode(table, [(), ()], 2, 0, 1, 6)
    got = [[int(w) for w in sentence] for sentence in got]
    observe("sentences", [[w + 10 for w in sentence] for sentence in got])
    require(got == [words, words], f"{got} was returned where {[words, words]} is right")
    require(table.calls == len(words), f"step_fn was called {table.calls} times for sentences of {len(words)} words")


# --- beam ------------------------------------------------------------------------------------------------


@pytest.mark.part("beam")
@pytest.mark.points(5)
def test_length_penalty(student):
    """length_penalty: ((5 + n) / 6) ** alpha."""
    close(student.length_penalty(7, 2.0), 4.0, name="n = 7, alpha = 2")
    close(student.length_penalty(19, 0.5), 2.0, name="n = 19, alpha = 0.5")
    close(student.length_penalty(4, 0.0), 1.0, name="n = 4, alpha = 0")


@pytest.mark.part("beam")
@pytest.mark.points(5)
@pytest.mark.parametrize("beam", [1, 3])
def test_beam_scores(student, rng, beam):
    """beam_search with a beam of {beam}: results are finished, sorted, and scored by their own words."""
    table = Table(rng)
    pairs = [
        (list(map(int, words)), float(score)) for words, score in student.beam_search(table, [()], 0, 1, beam, 8, 0.7)
    ]
    observe("words", [[w + 10 for w in words] for words, _ in pairs])
    require(0 < len(pairs) <= beam, f"{len(pairs)} results were returned")
    for words, score in pairs:
        close(score, table.total(words) / ((5 + len(words)) / 6) ** 0.7, name="score")
    require(pairs == sorted(pairs, key=lambda pair: -pair[1]), "the results are not sorted, the best first")


@pytest.mark.part("beam")
@pytest.mark.points(5)
def test_wide_beam(student, rng):
    """beam_search with room for everything finds the best of all sentences of up to four words."""
    table = Table(rng)
    every = [(*words, 1) for n in range(4) for words in itertools.product([0, 2, 3], repeat=n)]
    scores = {words: table.total(words) / ((5 + len(words)) / 6) for words in every}
    best = max(scores, key=scores.get)
    words, score = student.beam_search(table, [()], 0, 1, 200, 4, 1.0)[0]
    observe("words", [int(w) + 10 for w in words])
    require(tuple(map(int, words)) == best, f"{list(map(int, words))} was found; {list(best)} has a better score")
    close(score, scores[best], name="score")


# --- training --------------------------------------------------------------------------------------------


@pytest.mark.part("training")
@pytest.mark.points(8)
def test_train_step(student, rng):
    """train_step: the loss of the model before the step, and a smaller one after a few."""
    model = student.Seq2Seq(VOCAB, "bahdanau", 4, 3, 5, 6)
    fill(model, rng)
    tgt = torch.tensor([[3, 9, 7, 5, EOS], [8, 4, EOS, 0, 0], [6, EOS, 0, 0, 0]])
    read = torch.tensor([[BOS, 3, 9, 7, 5], [BOS, 8, 4, EOS, 0], [BOS, 6, EOS, 0, 0]])
    logp = numbers(model(SRC, LENGTHS, read)[0]).astype(float)
    terms = [-logp[b, i, tgt[b, i]] for b in range(3) for i in range(5) if tgt[b, i] != PAD]
    optimizer = student.make_optimizer(model, 0.02)
    first = student.train_step(model, optimizer, SRC, LENGTHS, tgt)
    close(first, sum(terms) / len(terms), name="loss")
    for _ in range(8):
        last = student.train_step(model, optimizer, SRC, LENGTHS, tgt)
    require(last < first - 1e-3, "after eight steps on one batch the loss has not fallen")


@pytest.mark.part("training")
@pytest.mark.points(7)
def test_every_weight_moves(student, rng):
    """make_optimizer: one step moves every weight of the model."""
    model = student.Seq2Seq(VOCAB, "bahdanau", 4, 3, 5, 6)
    before = fill(model, rng)
    tgt = torch.tensor([[3, 9, 7, 5, EOS], [8, 4, EOS, 0, 0], [6, EOS, 0, 0, 0]])
    student.train_step(model, student.make_optimizer(model, 0.05), SRC, LENGTHS, tgt)
    after = model.method("export_weights")
    still = [name for name in before if np.array_equal(before[name], numbers(after[name]))]
    observe("number that stayed", len(still))
    require(not still, f"these weights did not move: {', '.join(sorted(still))}")
