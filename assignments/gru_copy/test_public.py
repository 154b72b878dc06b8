"""The public suite of the GRU assignment: run it as often as you like with `grader check`.

It holds no solution. What is right is found the slow way: one number at a time, by nudging an input and looking
how far the result moves, or from PyTorch's own layers where they compute the same. The hidden suite that decides
on points asks the same questions about more cases; the points here show roughly where you stand. The last check
trains your GRU, which takes some ten seconds.

`student.f(...)` calls your function f, with copies of the arguments. `close(got, want)` asks for the same shape and
for max|got - want| <= 1e-4 * max(|got| + |want|).
"""

import math

import numpy as np
import pytest
import torch

from grader.checking import close, require

torch.set_num_threads(1)

WEIGHTS = [kind + gate for gate in "zrh" for kind in ("W_", "U_", "b_")]
IGNORE = -100


# --- The slow way ----------------------------------------------------------------------------------------


def squash(value):
    """Return the logistic sigmoid of a number."""
    return 0.5 + 0.5 * math.tanh(0.5 * value)


def random_weights(rng, D, H):
    shapes = {"W_": (H, D), "U_": (H, H), "b_": (H,)}
    return {name: rng.uniform(-1, 1, shapes[name[:2]]) for name in WEIGHTS}


def slow_unit(weights, gate, unit, x, state):
    """Return the weighted sum that enters one unit of one gate."""
    total = weights["b_" + gate][unit]
    for feature, value in enumerate(x):
        total += weights["W_" + gate][unit, feature] * value
    for other, value in enumerate(state):
        total += weights["U_" + gate][unit, other] * value
    return total


def slow_step(weights, x, h):
    """Return the state after one step, unit by unit, by the formulas of the handout."""
    new = np.zeros(h.shape)
    for b in range(h.shape[0]):
        seen = [squash(slow_unit(weights, "r", j, x[b], h[b])) * h[b, j] for j in range(h.shape[1])]
        for i in range(h.shape[1]):
            share = squash(slow_unit(weights, "z", i, x[b], h[b]))
            new[b, i] = (1 - share) * h[b, i] + share * math.tanh(slow_unit(weights, "h", i, x[b], seen))
    return new


def cell_with(student, weights):
    """Return your cell with these weights, and what makes tensors of its type."""
    H, D = weights["W_z"].shape
    cell = student.GRUCell(D, H)
    cell.method("import_weights", {name: torch.as_tensor(value) for name, value in weights.items()})
    dtype = torch.as_tensor(cell.method("export_weights")["W_z"]).dtype
    return cell, lambda value: torch.as_tensor(value, dtype=dtype)


def step(student, weights, x, h):
    cell, tensor = cell_with(student, weights)
    return cell(tensor(x), tensor(h))


# --- cell ------------------------------------------------------------------------------------------------


@pytest.mark.part("cell")
@pytest.mark.points(4)
def test_weights(student):
    """GRUCell has nine weights of the right shapes, all of them parameters."""
    cell = student.GRUCell(3, 4)
    weights = cell.method("export_weights")
    for name in WEIGHTS:
        want = {"W_": (4, 3), "U_": (4, 4), "b_": (4,)}[name[:2]]
        require(name in weights, f"there is no {name}")
        require(tuple(weights[name].shape) == want, f"{name} has shape {tuple(weights[name].shape)}, not {want}")
    close(float(sum(p.numel() for p in cell.parameters().values())), 96.0, name="entries of all parameters")


@pytest.mark.part("cell")
@pytest.mark.points(10)
def test_step(student, rng):
    """GRUCell: one step with random weights."""
    weights = random_weights(rng, 3, 4)
    x, h = rng.uniform(-1, 1, (2, 3)), rng.uniform(-1, 1, (2, 4))
    close(step(student, weights, x, h), slow_step(weights, x, h))


@pytest.mark.part("cell")
@pytest.mark.points(6)
@pytest.mark.parametrize("gate", ["z", "r"])
def test_gate(student, rng, gate):
    """GRUCell: one step in which only the gate {gate} has weights, and the candidate a simple form."""
    weights = random_weights(rng, 2, 3)
    for name in WEIGHTS:
        if name[2:] != gate:
            weights[name][:] = 0.0
    if gate == "z":
        weights["b_h"][:] = 0.7
    else:
        weights["b_z"][:] = 40.0
        weights["U_h"][:] = [[0.5, -0.3, 0.2], [0.1, 0.8, -0.6], [-0.7, 0.4, 0.9]]
    x, h = rng.uniform(-1, 1, (3, 2)), rng.uniform(-1, 1, (3, 3))
    close(step(student, weights, x, h), slow_step(weights, x, h))


@pytest.mark.part("cell")
@pytest.mark.points(5)
def test_closed_door(student, rng):
    """GRUCell: with b_z = -40 the state is kept."""
    weights = random_weights(rng, 4, 3)
    weights["b_z"][:] = -40.0
    x, h = rng.uniform(-1, 1, (2, 4)), rng.uniform(-1, 1, (2, 3))
    close(step(student, weights, x, h), h)


@pytest.mark.part("cell")
@pytest.mark.points(5)
def test_fresh_start(student, rng):
    """GRUCell: with b_r = -40 the candidate does not see the state."""
    weights = random_weights(rng, 3, 2)
    weights["b_r"][:] = -40.0
    weights["b_z"][:] = 40.0
    x, h = rng.uniform(-1, 1, (4, 3)), rng.uniform(-1, 1, (4, 2))
    close(step(student, weights, x, h), np.tanh(x @ weights["W_h"].T + weights["b_h"]))


@pytest.mark.part("cell")
@pytest.mark.points(4)
def test_gradient_of_a_step(student, rng):
    """GRUCell: the gradient with respect to h, against differences."""
    weights = random_weights(rng, 2, 3)
    x, h, upstream = rng.uniform(-1, 1, (1, 2)), rng.uniform(-1, 1, (1, 3)), rng.uniform(-1, 1, (1, 3))
    cell, tensor = cell_with(student, weights)
    _, (got,) = student.grad(cell, tensor(x), tensor(h), wrt=[1], upstream=tensor(upstream))
    require(got is not None, "no gradient reaches h")
    want = np.zeros(h.shape)
    for j in range(3):
        nudge = np.zeros(h.shape)
        nudge[0, j] = 1e-5
        rise = slow_step(weights, x, h + nudge) - slow_step(weights, x, h - nudge)
        want[0, j] = (upstream * rise).sum() / 2e-5
    close(got, want)


# --- run -------------------------------------------------------------------------------------------------


@pytest.mark.part("run")
@pytest.mark.points(9)
@pytest.mark.parametrize("start", ["given", "zeros"])
def test_run(student, rng, start):
    """run: the VanillaCell over four steps, h0 {start}, against torch.nn.RNN."""
    cell, twin = student.VanillaCell(2, 3), torch.nn.RNN(2, 3, batch_first=True)
    state = {name: torch.as_tensor(rng.uniform(-1, 1, tuple(v.shape))).float() for name, v in cell.parameters().items()}
    cell.set_parameters(state)
    twin.load_state_dict(
        {"weight_ih_l0": state["W"], "weight_hh_l0": state["U"], "bias_ih_l0": state["b"], "bias_hh_l0": torch.zeros(3)}
    )
    x, h0 = torch.as_tensor(rng.uniform(-1, 1, (2, 4, 2))).float(), torch.as_tensor(rng.uniform(-1, 1, (2, 3))).float()
    if start == "given":
        close(student.run(cell, x, h0), twin(x, h0[None])[0].detach())
    else:
        close(student.run(cell, x), twin(x)[0].detach())


@pytest.mark.part("run")
@pytest.mark.points(6)
def test_gradient_through_time(student, rng):
    """run: the last state depends on the first input, and the gradient says so."""
    cell = student.VanillaCell(2, 3)
    x, h0 = torch.as_tensor(rng.uniform(-1, 1, (1, 5, 2))).float(), torch.zeros(1, 3)
    upstream = torch.zeros(1, 5, 3)
    upstream[:, -1] = 1.0
    _, (got,) = student.grad("run", cell, x, h0, wrt=[1], upstream=upstream)
    require(got is not None and bool((got[0, 0] != 0).any()), "no gradient reaches the first input from the last state")


# --- data ------------------------------------------------------------------------------------------------


@pytest.mark.part("data")
@pytest.mark.points(6)
def test_input(student):
    """make_copy_batch: symbols, blanks, GO, blanks."""
    x, y = student.make_copy_batch(4, 3, 2, 6, student.generator(1))
    require(tuple(x.shape) == (4, 7), f"x has shape {tuple(x.shape)}, not (4, 7)")
    require(tuple(y.shape) == (4, 7), f"y has shape {tuple(y.shape)}, not (4, 7)")
    x = np.asarray(x)
    require(((x[:, :2] >= 0) & (x[:, :2] < 6)).all(), "the first two tokens are not all symbols from 0 to 5")
    close(x[:, 2:] + 10.0, np.tile([16.0, 16.0, 16.0, 17.0, 16.0], (4, 1)))


@pytest.mark.part("data")
@pytest.mark.points(6)
def test_targets(student):
    """make_copy_batch: what is to be said, and where nothing is."""
    x, y = (np.asarray(value) for value in student.make_copy_batch(5, 1, 3, 7, student.generator(2)))
    require(x.shape == y.shape == (5, 7), f"x and y have shapes {x.shape} and {y.shape}, not (5, 7)")
    require((y[:, :4] == IGNORE).all(), "before GO, y is not IGNORE everywhere")
    require(np.array_equal(y[:, 4:], x[:, :3]), "the last three entries of y are not the symbols in their order")


@pytest.mark.part("data")
@pytest.mark.points(3)
def test_randomness(student):
    """make_copy_batch: one state of the generator, one batch; the next call draws another."""
    gen = student.generator(3)
    first, second = student.make_copy_batch(9, 2, 3, 8, gen)[0], student.make_copy_batch(9, 2, 3, 8, gen)[0]
    again = student.make_copy_batch(9, 2, 3, 8, student.generator(3))[0]
    require(bool((first == again).all()), "the same seed gave two different batches")
    require(not bool((first == second).all()), "two calls in a row gave the same batch")


# --- training --------------------------------------------------------------------------------------------


@pytest.mark.part("training")
@pytest.mark.points(5)
def test_loss(student, rng):
    """copy_loss: the mean over three positions out of six."""
    logits = rng.uniform(-2, 2, (2, 3, 4))
    y = np.array([[IGNORE, 2, IGNORE], [3, IGNORE, 0]])
    terms = []
    for b, t in ((0, 1), (1, 0), (1, 2)):
        total = math.fsum(math.exp(value) for value in logits[b, t])
        terms.append(math.log(total) - logits[b, t, y[b, t]])
    close(student.copy_loss(torch.as_tensor(logits), torch.as_tensor(y)), math.fsum(terms) / 3)


@pytest.mark.part("training")
@pytest.mark.points(5)
def test_update(student, rng):
    """train_step: a small step along the gradient lowers the loss by about rate times its squared norm."""
    model = student.CopyModel(student.VanillaCell(6, 5), 4)
    drawn = {n: rng.uniform(-0.5, 0.5, tuple(v.shape)) for n, v in model.parameters().items()}
    model.set_parameters({n: torch.as_tensor(value).float() for n, value in drawn.items()})
    x, y = torch.as_tensor(rng.integers(6, size=(3, 4))), torch.as_tensor(rng.integers(4, size=(3, 4)))
    rate = 1e-3
    before = {name: value.clone() for name, value in model.parameters().items()}
    losses = [student.train_step(model, student.plain_optimiser(model, rate), x, y, 1e3)]
    moved = math.fsum(float(((value - before[name]).double() ** 2).sum()) for name, value in model.parameters().items())
    losses.append(student.train_step(model, student.plain_optimiser(model, rate), x, y, 1e3))
    require(moved > 0, "the weights did not move")
    # the weights moved by rate * gradient, so the loss falls by |moved|^2 / rate, up to second order
    close(losses[0] - losses[1], moved / rate, tol=0.05)


@pytest.mark.part("training")
@pytest.mark.points(2)
@pytest.mark.parametrize("kind", ["gru", "rnn"])
def test_seeds(student, kind):
    """train("{kind}", seed, 0): the same seed draws the same weights."""
    one, two, other = (student.train(kind, seed, 0).parameters() for seed in (1, 1, 2))
    require(all(bool((one[name] == two[name]).all()) for name in one), "one seed drew two sets of weights")
    require(any(not bool((one[name] == other[name]).all()) for name in one), "two seeds drew the same weights")


@pytest.mark.training
@pytest.mark.part("training")
@pytest.mark.points(8)
def test_trained(student):
    """train("gru", 1): what your GRU says after 15 blanks."""
    with student.limit(cpu_seconds=60):
        model = student.train("gru", 1)
    rng = np.random.default_rng(5)
    symbols = rng.integers(8, size=(200, 3))
    x = np.concatenate([symbols, np.full((200, 15), 8), np.full((200, 1), 9), np.full((200, 2), 8)], axis=1)
    said = np.asarray(model(torch.as_tensor(x)))[:, -3:].argmax(-1)
    share = float((said == symbols).mean())
    require(share >= 0.95, f"{share:.1%} of the symbols are right; 95 % are asked, 12.5 % are chance")


# --- extrapolation ---------------------------------------------------------------------------------------


@pytest.mark.part("extrapolation")
@pytest.mark.points(3)
def test_accuracy(student):
    """copy_accuracy: two of three asked positions."""
    logits = torch.tensor([[[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [0.6, 0.5]]])
    y = torch.tensor([[1, IGNORE, 0, 0]])
    close(student.copy_accuracy(logits, y), 2 / 3)


@pytest.mark.part("extrapolation")
@pytest.mark.points(2)
def test_share(student):
    """share_kept: half of it each time."""
    close(student.share_kept(0.0, 3), 0.125)


@pytest.mark.part("extrapolation")
@pytest.mark.points(3)
def test_keep(student, rng):
    """keep_bias: without input and state, the share 1 - sigmoid(keep) of the candidate tanh(b_h) is taken."""
    weights = random_weights(rng, 2, 3)
    cell, tensor = cell_with(student, weights)
    student.keep_bias(cell, 1.2)
    got = cell(tensor(np.zeros((1, 2))), tensor(np.zeros((1, 3))))
    close(got, (1 - squash(1.2)) * np.tanh(weights["b_h"])[None])
