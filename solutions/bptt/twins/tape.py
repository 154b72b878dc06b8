"""A correct solution: a small reverse-mode tape; the cache is an object that holds the recorded graph."""

from dataclasses import dataclass, field

import numpy as np


class Node:
    """An array on the tape, with a rule that sends its gradient to its parents."""

    def __init__(self, value, parents=(), pull=None):
        self.value, self.parents, self.pull = np.asarray(value), parents, pull

    def __add__(self, other):
        def pull(g):
            return _sum_to(g, self.value.shape), _sum_to(g, other.value.shape)

        return Node(self.value + other.value, (self, other), pull)

    def affine(self, weight):
        return Node(
            self.value @ weight.value.T,
            (self, weight),
            lambda g: (g @ weight.value, g.T @ self.value),
        )

    def tanh(self):
        out = np.tanh(self.value)
        return Node(out, (self,), lambda g: (g * (1 - out**2),))


def _sum_to(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    return g


def _order(roots):
    seen, out, stack = set(), [], [(r, False) for r in roots]
    while stack:
        node, done = stack.pop()
        if done:
            out.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((p, False) for p in node.parents)
    return out[::-1]


def _pull_back(seeds, stop=()):
    """Return {id(node): gradient} for seeds = [(node, gradient)]; nothing passes through `stop`."""
    grads = {}
    for node, g in seeds:
        grads[id(node)] = grads.get(id(node), 0) + g
    for node in _order([node for node, _ in seeds]):
        if node.pull is None or id(node) not in grads or node in stop:
            continue
        for parent, g in zip(node.parents, node.pull(grads[id(node)]), strict=True):
            grads[id(parent)] = grads.get(id(parent), 0) + g
    return grads


@dataclass
class Tape:
    """What backward needs: the leaves and the states."""

    leaves: dict
    xs: list = field(default_factory=list)
    states: list = field(default_factory=list)


def _cell(x, h, leaves):
    return (x.affine(leaves["W_xh"]) + h.affine(leaves["W_hh"]) + leaves["b_h"]).tanh()


def rnn_step_forward(x, h_prev, W_xh, W_hh, b_h):
    tape = Tape({"x": Node(x), "h": Node(h_prev), "W_xh": Node(W_xh), "W_hh": Node(W_hh), "b_h": Node(b_h)})
    tape.states.append(_cell(tape.leaves["x"], tape.leaves["h"], tape.leaves))
    return tape.states[0].value, tape


def rnn_step_backward(dh, cache):
    grads = _pull_back([(cache.states[0], dh)])
    return tuple(grads[id(leaf)] for leaf in cache.leaves.values())


def rnn_forward(x, h0, params):
    tape = Tape({"h0": Node(h0)} | {name: Node(value) for name, value in params.items()})
    h = tape.leaves["h0"]
    for t in range(x.shape[1]):
        tape.xs.append(Node(x[:, t]))
        h = _cell(tape.xs[t], h, tape.leaves)
        tape.states.append(h)
    return np.stack([s.value for s in tape.states], axis=1), tape


def _named(grads, tape):
    out = {name: grads.get(id(leaf), np.zeros_like(leaf.value)) for name, leaf in tape.leaves.items()}
    return out | {"x": np.stack([grads.get(id(x), np.zeros_like(x.value)) for x in tape.xs], axis=1)}


def rnn_backward(dhs, cache):
    return _named(_pull_back([(s, dhs[:, t]) for t, s in enumerate(cache.states)]), cache)


def truncated_backward(dhs, cache, k):
    total = None
    for t, state in enumerate(cache.states):
        cut = (cache.states[t - k],) if t >= k else ()
        part = _named(_pull_back([(state, dhs[:, t])], stop=cut), cache)
        total = part if total is None else {name: total[name] + part[name] for name in total}
    return total


def through_tanh(dh, h):
    return Node(np.arctanh(h)).tanh().pull(dh)[0]


def carry(da, W_hh):
    return Node(np.zeros_like(da)).affine(Node(W_hh)).pull(da)[0]


def local_dW_hh(da, h_prev):
    return Node(h_prev).affine(Node(np.zeros((da.shape[1], h_prev.shape[1])))).pull(da)[1]


def bias_term(da):
    return (Node(da) + Node(np.zeros(da.shape[1]))).pull(da)[1]


def dW_hh_double_sum(local_dhs, hs, h0, W_hh):
    # What the inputs must have been for these states; then the tape does the rest.
    before = np.concatenate([h0[:, None], hs[:, :-1]], axis=1)
    inputs = np.arctanh(hs) - before @ W_hh.T
    size = len(W_hh)
    _, tape = rnn_forward(inputs, h0, {"W_xh": np.eye(size), "W_hh": W_hh, "b_h": np.zeros(size)})
    return rnn_backward(local_dhs, tape)["W_hh"]


def masked_xent(logits, y, mask):
    kept = logits[mask]
    grad = np.zeros_like(logits)
    if not len(kept):
        return np.float64(0), grad
    kept = kept - kept.max(1, keepdims=True)
    p = np.exp(kept)
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(kept))
    loss = np.mean(np.logaddexp.reduce(kept, axis=1) - kept[rows, y[mask]])
    p[rows, y[mask]] -= 1
    grad[mask] = p / len(kept)
    return loss, grad


def step_jacobian(h, W_hh):
    size = len(h)
    out = Node(np.arctanh(h)).tanh()
    return np.stack([carry(out.pull(row)[0][None], W_hh)[0] for row in np.eye(size)])


def jacobian_product(hs, W_hh, k, t):
    rows = np.eye(len(W_hh))
    for s in range(t, k, -1):
        rows = rows @ step_jacobian(hs[s], W_hh)
    return rows


def clip_global_norm(grads, max_norm):
    norm = sum(float(np.vdot(g, g)) for g in grads.values()) ** 0.5
    if norm > max_norm:
        grads = {name: g * (max_norm / norm) for name, g in grads.items()}
    return grads, norm


def numerical_grad(f, a, eps=1e-5):
    def slope(i):
        nudge = np.zeros(a.size)
        nudge[i] = eps
        nudge = nudge.reshape(a.shape)
        return (f(a + nudge) - f(a - nudge)) / (2 * eps)

    return np.array([slope(i) for i in range(a.size)]).reshape(a.shape)
