"""A gated recurrent unit built by hand, and a task that only memory solves: copy three symbols after a silence.

Shapes: B sequences in a batch, T steps, D input features, H units, S symbols, K symbols to remember, N blanks.
Arrays are batch first, weights are (out, in), states are rows. Everything here is a torch tensor.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

WEIGHTS = ("W_z", "U_z", "b_z", "W_r", "U_r", "b_r", "W_h", "U_h", "b_h")
IGNORE = -100  # stands in y where nothing is asked; F.cross_entropy skips this number by itself

K, S, HIDDEN = 3, 8, 64  # of the task that you train on
MAX_DELAY = 30  # training draws the number of blanks from 0 ... MAX_DELAY


# --- Given: use these as they are ------------------------------------------------------------------------


def generator(seed):
    """Return a source of random numbers of its own: pass it to torch.randint(..., generator=...)."""
    return torch.Generator().manual_seed(seed)


def plain_optimiser(model, rate):
    """Return plain gradient descent on the model's parameters: each moves by -rate times its gradient."""
    return torch.optim.SGD(model.parameters(), lr=rate)


class VanillaCell(nn.Module):
    """The tanh cell without gates, for contrast: h = tanh(W x + U h_prev + b)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        bound = 1 / math.sqrt(hidden_size)
        self.W = nn.Parameter(torch.empty(hidden_size, input_size).uniform_(-bound, bound))
        self.U = nn.Parameter(torch.empty(hidden_size, hidden_size).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.empty(hidden_size).uniform_(-bound, bound))

    def forward(self, x, h):
        """x: (B, D). h: (B, H). Returns the state after the step, (B, H)."""
        return torch.tanh(x @ self.W.T + h @ self.U.T + self.b)


class CopyModel(nn.Module):
    """A cell, run over the one-hot codes of the input, with a linear readout at every step."""

    def __init__(self, cell, symbols):
        super().__init__()
        self.cell = cell
        self.readout = nn.Linear(cell.hidden_size, symbols)

    def forward(self, x):
        """x: token numbers, (B, T). Returns logits (B, T, S)."""
        codes = F.one_hot(x, self.cell.input_size).to(self.readout.weight.dtype)
        return self.readout(run(self.cell, codes))


# --- The cell --------------------------------------------------------------------------------------------


class GRUCell(nn.Module):
    """A gated recurrent unit as in Chung et al. (2014): z replaces, and the reset comes before the product with U_h.

        z = sigmoid(W_z x + U_z h_prev + b_z)             the update gate: how much is replaced
        r = sigmoid(W_r x + U_r h_prev + b_r)             the reset gate
        n = tanh(W_h x + U_h (r * h_prev) + b_h)          the candidate
        h = (1 - z) * h_prev + z * n

    Parameters: W_* (H, D), U_* (H, H), b_* (H,), for * in z, r, h.
    """

    def __init__(self, input_size, hidden_size):
        """Make the nine parameters, drawn uniformly from -1/sqrt(H) ... 1/sqrt(H)."""
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        ### BEGIN SOLUTION
        bound = 1 / math.sqrt(hidden_size)
        for gate in "zrh":
            for name, *shape in (
                ("W", hidden_size, input_size),
                ("U", hidden_size, hidden_size),
                ("b", hidden_size),
            ):
                start = torch.empty(*shape).uniform_(-bound, bound)
                setattr(self, f"{name}_{gate}", nn.Parameter(start))
        ### END SOLUTION

    def forward(self, x, h):
        """Take one step. x: (B, D). h: the state before, (B, H). Returns the state after, (B, H)."""
        ### BEGIN SOLUTION
        z = torch.sigmoid(x @ self.W_z.T + h @ self.U_z.T + self.b_z)
        r = torch.sigmoid(x @ self.W_r.T + h @ self.U_r.T + self.b_r)
        n = torch.tanh(x @ self.W_h.T + (r * h) @ self.U_h.T + self.b_h)
        return (1 - z) * h + z * n
        ### END SOLUTION

    def export_weights(self):
        """Return the nine weights by name, detached. Given; override it if you store them in another layout."""
        return {name: getattr(self, name).detach().clone() for name in WEIGHTS}

    def import_weights(self, weights):
        """Replace the nine parameters by the given values. Given; override it together with export_weights.

        The parameters are new objects afterwards: an optimiser must be made after this, not before.
        """
        for name in WEIGHTS:
            setattr(self, name, nn.Parameter(torch.as_tensor(weights[name]).clone()))


# --- The loop --------------------------------------------------------------------------------------------


def run(cell, x, h0=None):
    """Run a cell over whole sequences.

    cell: called as cell(x_t, h), with x_t (B, D) and h (B, H); returns the next state (B, H).
    x: (B, T, D). h0: the state before the first step, (B, H); None stands for zeros, and then
    cell.hidden_size tells H. Returns the states after each step, (B, T, H), without h0.
    """
    ### BEGIN SOLUTION
    h = x.new_zeros(x.shape[0], cell.hidden_size) if h0 is None else h0
    states = []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        states.append(h)
    return torch.stack(states, dim=1)
    ### END SOLUTION


# --- The data --------------------------------------------------------------------------------------------


def make_copy_batch(B, N, K, S, gen):
    """Draw a batch of the copy task.

    B sequences; K symbols out of 0 ... S-1, drawn evenly and independently (repeats allowed); then N blanks
    (token S); then GO (token S+1); then K-1 blanks. The K symbols are to be said in order, the first one at the
    step that reads GO. gen: a torch.Generator, the only source of randomness; successive calls draw different
    batches. Returns (x, y), both int64 of shape (B, 2K+N): the input tokens, and what is to be said at each
    step, IGNORE wherever nothing is.
    """
    ### BEGIN SOLUTION
    symbols = torch.randint(0, S, (B, K), generator=gen)
    x = torch.full((B, 2 * K + N), S)
    x[:, :K] = symbols
    x[:, K + N] = S + 1
    y = torch.full_like(x, IGNORE)
    y[:, K + N :] = symbols
    return x, y
    ### END SOLUTION


# --- Training --------------------------------------------------------------------------------------------


def copy_loss(logits, y):
    """Return the mean cross-entropy over the positions that are asked.

    logits: (B, T, S). y: (B, T), IGNORE where nothing is asked. Returns a scalar tensor with a gradient.
    """
    ### BEGIN SOLUTION
    asked = y != IGNORE
    return F.cross_entropy(logits[asked], y[asked])
    ### END SOLUTION


def train_step(model, optimiser, x, y, max_norm=1.0):
    """Make one update of the model on one batch, and return the loss before it as a number.

    The gradient is that of copy_loss on this batch alone, scaled down so that the norm of all parameters'
    gradients together is at most max_norm. optimiser: any torch.optim.Optimizer of the model's parameters.
    """
    ### BEGIN SOLUTION
    optimiser.zero_grad()
    loss = copy_loss(model(x), y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimiser.step()
    return loss.item()
    ### END SOLUTION


def train(kind, seed, steps=600):
    """Train a CopyModel from scratch on delays of 0 ... MAX_DELAY blanks, and return it.

    kind: "gru" for your GRUCell, "rnn" for VanillaCell, both with HIDDEN units and the task's K and S.
    seed: an int that decides everything random, the first weights included. steps: the number of updates;
    with 0 the model comes back as it was drawn. The default is what is graded, within 60 CPU seconds.
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)
    gen = generator(seed)
    cell = GRUCell(S + 2, HIDDEN) if kind == "gru" else VanillaCell(S + 2, HIDDEN)
    model = CopyModel(cell, S)
    optimiser = torch.optim.Adam(model.parameters())
    rate = 3e-2 if kind == "gru" else 3e-3  # without gates the larger rate goes nowhere
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 2 * (1 - step / steps))  # falls to zero over the second half
        delay = int(torch.randint(0, MAX_DELAY + 1, (), generator=gen))
        x, y = make_copy_batch(64, delay, K, S, gen)
        train_step(model, optimiser, x, y)
    return model
    ### END SOLUTION


# --- Beyond what was trained -----------------------------------------------------------------------------


def copy_accuracy(logits, y):
    """Return the share of the asked positions where the largest logit is the right symbol's, from 0 to 1.

    logits: (B, T, S). y: (B, T), IGNORE where nothing is asked.
    """
    ### BEGIN SOLUTION
    asked = y != IGNORE
    return (logits.argmax(dim=-1)[asked] == y[asked]).double().mean().item()
    ### END SOLUTION


def share_kept(keep, steps):
    """Return the share of a unit's state that is left after so many steps, if all gates stand at their biases.

    keep: as in keep_bias, a number. steps: an int >= 0. Only what is carried from state to state counts.
    """
    ### BEGIN SOLUTION
    return (1 / (1 + math.exp(-keep))) ** steps
    ### END SOLUTION


def keep_bias(cell, keep):
    """Set the biases of one gate of a GRUCell, in place, so that a share sigmoid(keep) of the state is kept.

    That is the share with zero input and zero state, when the gate stands where its bias alone puts it; all
    other weights stay as they are. Returns the cell.
    """
    ### BEGIN SOLUTION
    weights = cell.export_weights()
    weights["b_z"] = torch.full_like(weights["b_z"], -keep)
    cell.import_weights(weights)
    return cell
    ### END SOLUTION
