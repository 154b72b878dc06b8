"""The hidden suite of the LSTM assignment: small checks, each on its own random inputs.

What is right is never computed with a copy of the reference. Gradients are central differences, in float64, of
`own_run`, whose sigmoid is a tanh; the direct path is differences of single steps with h held fixed. All sizes of
a case differ, weights are random and not symmetric, biases and first states are not zero.

A mistake is charged once. Where a student's forward pass is not the handout's, that costs the forward checks; the
backward checks then accept the gradient of the student's own forward pass (differences of it), or the handout's
rules applied to what that forward pass found. Where a student's step is wrong, the checks of the sequence accept
that step, repeated as it should be. Each says so.

A check that kills no mutant that another check does not kill says why it stays. Checks of manners (inputs kept,
two calls, float32, cost) ask for a right answer too: otherwise a constant would pass them.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from grader.checking import close, note, observe, require
from grader.sandbox.faults import StudentFault

GATES = "ifgo"
PARAMS = [f"{kind}_{gate}" for gate in GATES for kind in "WUb"]
TENSORS = ["x", "h0", "c0", *PARAMS]
STEP_NAMES = {"dx": "x", "dh_prev": "h0", "dc_prev": "c0"}
SEQUENCE_NAMES = {"x": "x", "h0": "h0", "c0": "c0"}
NUDGE = 1e-5  # of the central differences
TOLERANCE = 1e-4
EXACT = 1e-12
SHUT, OPEN = -50.0, 50.0  # logits at which a gate is 0 or 1 for float64
OWN_FORWARD = (
    "your forward pass is not the handout's, which its own checks charge; this check also accepted the gradient of "
    "your forward pass, and the rules of the backward pass applied to it"
)
OWN_STEP = "your step is not the handout's, which its own checks charge; this check also accepted your step, repeated"


# --- Cases and oracles -----------------------------------------------------------------------------------


def own_gates(given, x, h):
    """Return (i, f, g, o). Every argument may have a leading axis of variations."""

    def squashed(gate, slope):
        weight, recurrent = (np.swapaxes(given[f"{kind}_{gate}"], -1, -2) for kind in "WU")
        return np.tanh(slope * (x @ weight + h @ recurrent + given[f"b_{gate}"][..., None, :]))

    i, f, o = (0.5 + 0.5 * squashed(gate, 0.5) for gate in "ifo")
    return i, f, squashed("g", 1.0), o


def own_run(given):
    """Return (hs, c_last), of shapes (..., B, T, H) and (..., B, H)."""
    states, h, c = [], given["h0"], given["c0"]
    for t in range(given["x"].shape[-2]):
        i, f, g, o = own_gates(given, given["x"][..., t, :], h)
        c = f * c + i * g
        h = o * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=-2), c


@dataclass(frozen=True)
class Case:
    """Inputs of a run over sequences, with the upstream gradients of its states and of its last cell."""

    given: dict
    dhs: np.ndarray
    dc_last: np.ndarray

    @property
    def params(self):
        return {name: self.given[name] for name in PARAMS}

    @property
    def step_args(self):
        return self.given["x"][:, 0], self.given["h0"], self.given["c0"], self.params

    @property
    def run_args(self):
        return self.given["x"], self.given["h0"], self.given["c0"], self.params

    def replace(self, dhs=None, dc_last=None, **given):
        return Case(
            {**self.given, **given},
            self.dhs if dhs is None else dhs,
            self.dc_last if dc_last is None else dc_last,
        )


def draw(rng, B, T, D, H):
    """Return a random case; weights shrink with large sizes so that no gate saturates."""

    def uniform(*shape, width=1.0):
        return rng.uniform(-width, width, shape)

    given = {"x": uniform(B, T, D), "h0": uniform(B, H), "c0": uniform(B, H)}
    for gate in GATES:
        given[f"W_{gate}"] = uniform(H, D, width=min(1.0, 2.4 / math.sqrt(D)))
        given[f"U_{gate}"] = uniform(H, H, width=min(1.0, 2.4 / math.sqrt(H)))
        given[f"b_{gate}"] = uniform(H)
    return Case(given, uniform(B, T, H), uniform(B, H))


def pinned(case, **logits):
    """Return the case with gates that stand still: their weights are zero and their biases are the logits given."""
    changes = {}
    for gate, logit in logits.items():
        for kind in "WU":
            changes[f"{kind}_{gate}"] = np.zeros_like(case.given[f"{kind}_{gate}"])
        changes[f"b_{gate}"] = np.full_like(case.given[f"b_{gate}"], logit)
    return case.replace(**changes)


def single(case):
    """Return (float32 version of the case, the same numbers in float64)."""

    def cast(dtype, of):
        given = {name: value.astype(dtype) for name, value in of.given.items()}
        return Case(given, of.dhs.astype(dtype), of.dc_last.astype(dtype))

    small = cast(np.float32, case)
    return small, cast(np.float64, small)


def differences(loss, given, name):
    """Return the central differences of loss by given[name]; loss takes a leading axis of nudges."""
    value = given[name]
    nudges = NUDGE * np.eye(value.size).reshape(value.size, *value.shape)
    rise = loss({**given, name: value + nudges}) - loss({**given, name: value - nudges})
    return (rise / (2 * NUDGE)).reshape(value.shape)


def upstream_loss(run, case):
    """Return the loss <dhs, hs> + <dc_last, c_last> as a function of the inputs."""

    def loss(given):
        hs, c = run(given)
        return (case.dhs * hs).sum(axis=(-3, -2, -1)) + (case.dc_last * c).sum(axis=(-2, -1))

    return loss


def one_by_one(loss, plain):
    """Return a loss with a leading axis from one that takes plain inputs (a student's forward pass)."""

    def many(given):
        count = next(len(v) for n, v in given.items() if v.ndim > plain[n].ndim)
        rows = [{n: v[i] if v.ndim > plain[n].ndim else v for n, v in given.items()} for i in range(count)]
        return np.array([loss(row) for row in rows])

    return many


def error(got, want):
    """Return the scaled error as `close` measures it; infinity where the two cannot be compared."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or got.dtype.kind not in "fiu" or not np.all(np.isfinite(got)):
        return math.inf
    scale = float(np.max(np.abs(got) + np.abs(want), initial=0.0))
    worst = float(np.max(np.abs(got - want), initial=0.0)) / scale if scale else 0.0
    return math.inf if math.isnan(worst) else worst


def nearest(got, options):
    """Return what comes nearest to `got`: the first option is the right one and wins where none is near."""
    errors = [error(got, want) for want in options]
    return options[int(np.argmin(errors))] if min(errors) <= TOLERANCE else options[0]


def is_right(case, answer):
    """Tell whether the student's (hs, c_last) are the handout's; note it where they have another shape."""
    for what, got, want in zip(("h", "c"), answer, own_run(case.given), strict=True):
        if got.shape != want.shape:
            note(f"the forward pass returned {what} of shape {got.shape}, not {want.shape}")
        if error(got, want) > TOLERANCE:
            return False
    return True


def sequence_run(student):
    """Return the student's lstm_forward in the form of own_run."""

    def run(given):
        hs, c, _ = student.lstm_forward(given["x"], given["h0"], given["c0"], {n: given[n] for n in PARAMS})
        return hs, c

    return run


def step_run(student):
    """Return the student's lstm_step_forward in the form of own_run, for sequences of one step."""

    def run(given):
        h, c, _ = student.lstm_step_forward(given["x"][:, 0], given["h0"], given["c0"], {n: given[n] for n in PARAMS})
        return h[:, None], c

    return run


def own_slope(run, case, answer, name):
    """Return the differences of the student's own forward pass, or nothing where they would measure nothing.

    They do not count where that forward pass ignores its input, has no working gate, or where they are all zero:
    otherwise a constant, or a sum that is easily differentiated, would be its own measure.
    """
    moved = run({**case.given, "x": case.given["x"] + 0.5})
    if all(error(a, b) <= TOLERANCE for a, b in zip(moved, answer, strict=True)):
        return []
    keeps = run(pinned(case, f=OPEN, i=SHUT).given)[1]
    shows = run(pinned(case, o=SHUT).given)[0]
    if error(keeps, case.given["c0"]) > TOLERANCE and not np.max(np.abs(shows)) <= TOLERANCE:
        return []
    loss = one_by_one(upstream_loss(run, case), case.given)
    slope = differences(loss, case.given, name)
    return [slope] if np.all(np.isfinite(slope)) and np.max(np.abs(slope)) > 1e-6 else []


def by_the_rules(case, gates, c, name):
    """Return the gradient of one step that the handout's rules give for these gates and this c, whatever made them."""
    i, f, g, o = gates
    dh = case.dhs[:, 0]
    to_c = case.dc_last + dh * o / np.cosh(c) ** 2
    to_logits = {"i": to_c * g * (i - i**2), "f": to_c * case.given["c0"] * (f - f**2)}
    to_logits |= {"g": to_c * i * (1 - g) * (1 + g), "o": dh * np.tanh(c) * (o - o**2)}
    if name == "c0":
        return to_c * f
    if name in ("x", "h0"):
        kind = "W" if name == "x" else "U"
        back = sum(np.einsum("bh,hd->bd", to_logits[gate], case.given[f"{kind}_{gate}"]) for gate in GATES)
        return back[:, None] if name == "x" else back
    kind, gate = name.split("_")
    partner = {"W": case.given["x"][:, 0], "U": case.given["h0"], "b": np.ones((len(c), 1))}[kind]
    return np.einsum("bh,bd->hd", to_logits[gate], partner).reshape(case.given[name].shape)


def likely_gates(case):
    """Return the gates of the handout and of a few usual slips of the forward pass."""
    x, h, given = case.given["x"][:, 0], case.given["h0"], case.given
    flat = {f"b_{gate}": np.zeros_like(given[f"b_{gate}"]) for gate in GATES}
    turned = {f"U_{gate}": given[f"U_{gate}"].T for gate in GATES}
    copied = {f"b_{gate}": given["b_o"] for gate in GATES}
    blind = {f"U_{gate}": np.zeros_like(given[f"U_{gate}"]) for gate in GATES}
    i, f, g, o = own_gates(given, x, h)
    doubled = own_gates(given | {name: 2 * given[name] for name in PARAMS}, x, h)  # sigmoid(2 z) is 0.5 + 0.5 tanh(z)
    soft = 0.5 + 0.5 * own_gates(given | {name: given[name] / 2 for name in PARAMS}, x, h)[2]
    steep = (doubled[0], doubled[1], g, doubled[3])
    signed = (2 * steep[0] - 1, 2 * steep[1] - 1, g, 2 * steep[3] - 1)
    slips = [own_gates(given | slip, x, h) for slip in (flat, turned, copied, blind)]
    slips += [(i, f, soft, o), (i, f, np.arctanh(g), o), steep, signed]
    return [(i, f, g, o), *slips, own_gates(given, x, given["c0"])]


def fair_step_gradient(student, case, answer, got, name):
    """Return what a gradient of one step is held against; `answer` is the student's (h, c) on this case."""
    right = differences(upstream_loss(own_run, case), case.given, name)
    answer = answer[0][:, None], answer[1]
    if error(got, right) <= TOLERANCE or is_right(case, answer):
        return right
    note(OWN_FORWARD)
    rules = [by_the_rules(case, gates, answer[1], name) for gates in likely_gates(case)]
    return nearest(got, [right, *own_slope(step_run(student), case, answer, name), *rules])


def pick(result, name, names=SEQUENCE_NAMES):
    """Return the gradient called `name` from what a backward function returned."""
    dx, dh, dc, grads = result
    return {"x": dx, "h0": dh, "c0": dc, **grads}[names.get(name, name)]


def step_gradient(student, case, name):
    """Return (got, want) of one gradient of lstm_step_backward; name as in TENSORS."""
    h, c, cache = student.lstm_step_forward(*case.step_args)
    got = pick(student.lstm_step_backward(case.dhs[:, 0], case.dc_last, cache), name)
    shaped = got[:, None] if name == "x" and got.ndim == 2 else got
    want = fair_step_gradient(student, case, (h, c), shaped, name)
    return got, want[:, 0] if name == "x" else want


def repeated_forward(student, case):
    """Return (hs, c_last) of the student's step, repeated, or None where there is no such step."""
    h, c, states = case.given["h0"], case.given["c0"], []
    shape = h.shape
    try:
        moved = step_run(student)({**case.given, "x": case.given["x"] + 0.5})
        first = step_run(student)(case.given)
        if all(error(a, b) <= TOLERANCE for a, b in zip(first, moved, strict=True)):
            return None
        for t in range(case.given["x"].shape[1]):
            h, c, _ = student.lstm_step_forward(case.given["x"][:, t], h, c, case.params)
            if h.shape != shape or c.shape != shape:
                return None
            states.append(h)
    except (StudentFault, IndexError):
        return None
    return np.stack(states, axis=1), c


def repeated_backward(student, case, name):
    """Return what the student's own step gives for `name` when it is chained as it should be, or nothing.

    It counts only where that step is worth repeating: at least one of its gradients is right, and what comes out
    is not zero whatever arrives.
    """
    waves = [np.cos(1.0 + np.arange(value.size)).reshape(value.shape) for value in (case.dhs, case.dc_last)]
    lively = case.replace(*waves)
    try:
        first = Case({**lively.given, "x": lively.given["x"][:, :1]}, lively.dhs[:, :1], lively.dc_last)
        pairs = [step_gradient(student, first, n) for n in ("c0", "b_i", "b_f", "b_g", "b_o")]
        if not any(error(got, want) <= TOLERANCE and np.any(got) for got, want in pairs):
            return []
        out = _chained(student, case, name)
        if np.max(np.abs(out)) <= 1e-6 and np.max(np.abs(_chained(student, lively, name))) <= 1e-6:
            return []
    except (StudentFault, ValueError, IndexError):
        return []
    return [out] if np.all(np.isfinite(out)) else []


def _chained(student, case, name):
    h, c, caches = case.given["h0"], case.given["c0"], []
    for t in range(case.given["x"].shape[1]):
        h, c, cache = student.lstm_step_forward(case.given["x"][:, t], h, c, case.params)
        caches.append(cache)
    dh, dc, total, dx = np.zeros_like(h), case.dc_last, 0.0, []
    for t in reversed(range(len(caches))):
        result = student.lstm_step_backward(case.dhs[:, t] + dh, dc, caches[t])
        dh, dc = result[1], result[2]
        dx.insert(0, result[0])
        total = total + (pick(result, name) if name in PARAMS else 0.0)
    return {"x": np.stack(dx, axis=1), "h0": dh, "c0": dc}.get(name, total)


def fair_states(student, case, answer):
    """Return the (hs, c_last) that lstm_forward should give: own_run, or the student's step where that is wrong."""
    want = own_run(case.given)
    if all(error(a, b) <= TOLERANCE for a, b in zip(answer, want, strict=True)):
        return want
    repeated = repeated_forward(student, case)
    if repeated is None or all(error(a, b) <= TOLERANCE for a, b in zip(repeated, want, strict=True)):
        return want
    note(OWN_STEP)
    return tuple(nearest(got, [right, own]) for got, right, own in zip(answer, want, repeated, strict=True))


def fair_gradient(student, case, answer, got, name):
    """Return what a gradient of the sequence is held against; `answer` is the student's (hs, c_last)."""
    right = differences(upstream_loss(own_run, case), case.given, name)
    if error(got, right) <= TOLERANCE:
        return right
    options = [right]
    if not is_right(case, answer):
        note(OWN_FORWARD)
        options += own_slope(sequence_run(student), case, answer, name)
        options += from_empty_states(case, answer, name)
    repeated = repeated_backward(student, case, name)
    if repeated and error(repeated[0], right) > TOLERANCE:
        note(OWN_STEP)
        options += repeated
    return nearest(got, options)


def from_empty_states(case, answer, name):
    """Return the rules applied to a run that starts from zeros, where that is what the student's forward pass does."""
    for ignored in (["c0"], ["h0"], ["h0", "c0"]):
        started = case.replace(**{state: np.zeros_like(case.given[state]) for state in ignored})
        if all(error(got, want) <= TOLERANCE for got, want in zip(answer, own_run(started.given), strict=True)):
            return [differences(upstream_loss(own_run, started), started.given, name)]
    return []


def backward(student, case, name):
    """Return (got, want) of one gradient of lstm_backward; name as in TENSORS."""
    hs, c, cache = student.lstm_forward(*case.run_args)
    got = pick(student.lstm_backward(case.dhs, case.dc_last, cache), name)
    return got, fair_gradient(student, case, (hs, c), got, name)


def some_entries(rng, case, got, name):
    """Return (got, want) of a few entries of a gradient, at a size where all of them would be dear."""
    value = case.given[name]
    require(got.shape == value.shape, f"wrong shape: {got.shape} where {value.shape} is asked")
    places = rng.choice(value.size, 4, replace=False)
    nudges = np.zeros((4, value.size))
    nudges[range(4), places] = NUDGE
    nudges = nudges.reshape(4, *value.shape)
    loss = upstream_loss(own_run, case)
    rise = loss(case.given | {name: value + nudges}) - loss(case.given | {name: value - nudges})
    return got.ravel()[places], rise / (2 * NUDGE)


def at_a_cost(student, rng, case, gradient, result, rights):
    """Compare a few entries of a large answer; where a wrong step or forward pass spoils it, ask again of a small case.

    A step and a forward pass have checks of their own, and differences of a student's at this size would be dear.
    """
    weight = str(rng.choice(["W_f", "U_i", "W_g", "U_o"]))
    pairs = [some_entries(rng, case, pick(result, name), name) for name in ("c0", weight)]
    small = draw(rng, B=2, T=case.dhs.shape[1] // 4 or 1, D=3, H=4)
    for name, pair in zip(("c0", weight), pairs, strict=True):
        close(*(gradient(student, small, name) if not rights and error(*pair) > TOLERANCE else pair))


def unchanged(name, before, after):
    """Demand that an argument holds after a call what it held before."""
    observe(f"{name} after the call", after)
    require(np.array_equal(np.asarray(after), before), f"the call changed the values of its argument {name}")


def by_name(result, step):
    """Return as a dict what a backward function returned; `step` tells whether it was that of one step."""
    names = {"dx": "x", "dh_prev": "h0", "dc_prev": "c0"} if step else SEQUENCE_NAMES
    return {n: pick(result, source) for n, source in names.items()} | {n: pick(result, n) for n in PARAMS}


def shapes_kept(result, case, step):
    """Demand that every gradient has the shape of what it belongs to."""
    for name, got in by_name(result, step).items():
        asked = (case.given["x"][:, 0] if name == "dx" else case.given[STEP_NAMES.get(name, name)]).shape
        require(got.shape == asked, f"the gradient {name} has shape {got.shape}; {asked} is asked")


def same_again(first, again, step, factor=1.0):
    """Demand that a second call answered `factor` times what the first did."""
    later = by_name(again, step)
    for name, value in by_name(first, step).items():
        close(later[name], factor * value, name=name)


def params_unchanged(before, after):
    """Demand that a dict of parameters holds after a call what it held before."""
    require(isinstance(after, dict) and set(after) == set(before), "the call changed the keys of its argument params")
    for name in before:
        unchanged(f"params[{name!r}]", before[name], after[name])


# --- Part step_forward -----------------------------------------------------------------------------------


@pytest.mark.kept("it is the plain case; every probe below asks for a part of it.")
@pytest.mark.part("step_forward")
@pytest.mark.points(3)
@pytest.mark.parametrize("what", ["h", "c"])
def test_step(student, rng, what):
    """lstm_step_forward on random inputs: {what}."""
    case = draw(rng, B=3, T=1, D=4, H=5)
    h, c, _ = student.lstm_step_forward(*case.step_args)
    if what == "c":
        close(c, own_run(case.given)[1])
    else:
        close(h, _h_of(case, c))


def _h_of(case, c):
    """Return the h that belongs to the student's c: c itself has checks of its own."""
    hs, right = own_run(case.given)
    if error(c, right) <= TOLERANCE or c.shape != right.shape or not np.all(np.isfinite(c)):
        return hs[:, 0]
    note("your c is wrong, which its own check charges; this check asks for the h that belongs to your c")
    return own_gates(case.given, case.given["x"][:, 0], case.given["h0"])[3] * np.tanh(c)


@pytest.mark.kept("it gives points to each term that is right.")
@pytest.mark.part("step_forward")
@pytest.mark.points(1)
@pytest.mark.parametrize("only", ["input", "state", "bias"])
def test_step_of_one_term(student, rng, only):
    """lstm_step_forward where only the {only} drives the gates: c."""
    case = draw(rng, B=2, T=1, D=6, H=4)
    zero = {name: np.zeros_like(value) for name, value in case.given.items()}
    kept = {"input": ["x"], "state": ["h0"], "bias": [f"b_{gate}" for gate in GATES]}[only]
    driven = ["x", "h0", *(f"b_{gate}" for gate in GATES)]
    case = case.replace(**{name: zero[name] for name in driven if name not in kept})
    close(student.lstm_step_forward(*case.step_args)[1], own_run(case.given)[1])


@pytest.mark.kept("it gives points to each gate that is right, and tells the gates apart.")
@pytest.mark.part("step_forward")
@pytest.mark.points(1.5)
@pytest.mark.parametrize("gate", list(GATES))
def test_step_gate(student, rng, gate):
    """lstm_step_forward: what other parameters of {gate} change."""
    case = draw(rng, B=3, T=1, D=2, H=5)
    names = [f"{kind}_{gate}" for kind in "WUb"]
    other = case.replace(**{name: rng.uniform(-1, 1, case.given[name].shape) for name in names})
    (h, c, _), (h_other, c_other, _) = (student.lstm_step_forward(*one.step_args) for one in (case, other))
    if gate == "o":
        require(h.shape == h_other.shape, "two calls with inputs of one shape returned h of two shapes")
        close(h_other - h, _h_of(other, c_other) - _h_of(case, c))
    else:
        require(c.shape == c_other.shape, "two calls with inputs of one shape returned c of two shapes")
        close(c_other - c, own_run(other.given)[1] - own_run(case.given)[1])


@pytest.mark.kept("it shows what the two gates of the cell are for.")
@pytest.mark.part("step_forward")
@pytest.mark.points(1.25)
@pytest.mark.parametrize("what", ["keep", "write"])
def test_step_at_the_limit(student, rng, what):
    """lstm_step_forward, gates at 0 and 1: to {what}."""
    case = draw(rng, B=2, T=1, D=5, H=3)
    if what == "keep":
        case = pinned(case, f=OPEN, i=SHUT)
        want = case.given["c0"]
    else:
        case = pinned(case, f=SHUT, i=OPEN)
        want = own_gates(case.given, case.given["x"][:, 0], case.given["h0"])[2]
    close(student.lstm_step_forward(*case.step_args)[1], want)


@pytest.mark.part("step_forward")
@pytest.mark.points(0.5)
def test_step_of_a_large_cell(student, rng):
    """lstm_step_forward with the forget gate open and c_prev near 1,000 and -1,000: c, then h."""
    case = large_cell(pinned(draw(rng, B=2, T=1, D=3, H=4), f=OPEN))
    h, c, _ = student.lstm_step_forward(*case.step_args)
    close(c, own_run(case.given)[1])
    close(h, _h_of(case, c))


def large_cell(case):
    """Return the case with first cells near 1,000 and -1,000."""
    return case.replace(c0=1000 * np.sign(case.given["c0"]) + case.given["c0"])


@pytest.mark.kept("it alone asks what comes out where the output gate is shut.")
@pytest.mark.part("step_forward")
@pytest.mark.points(1)
def test_step_output_gate(student, rng):
    """lstm_step_forward with the output gate open, then shut: h is tanh(c), then 0, and c does not care."""
    case = draw(rng, B=4, T=1, D=3, H=2)
    h, c, _ = student.lstm_step_forward(*pinned(case, o=OPEN).step_args)
    require(np.max(np.abs(c), initial=0.0) > 1e-6, "c is zero everywhere")
    close(h, np.tanh(c))
    h, c_shut, _ = student.lstm_step_forward(*pinned(case, o=SHUT).step_args)
    close(h, np.zeros_like(case.given["h0"]), scale=1.0)
    close(c_shut, c)


@pytest.mark.kept("what overflows forward overflows backward as well, and each has points of its own.")
@pytest.mark.part("step_forward")
@pytest.mark.points(1)
def test_step_of_huge_logits(student, rng):
    """lstm_step_forward where what enters the gates is near 1,000 and -1,000."""
    case = of_huge_logits(rng, draw(rng, B=3, T=1, D=4, H=6), GATES)
    close(student.lstm_step_forward(*case.step_args)[1], own_run(case.given)[1])


def of_huge_logits(rng, case, gates):
    """Return the case with gates of which half the units are open and half are shut, by logits near 1,000."""
    half = len(case.given["b_f"]) // 2
    return case.replace(**{f"b_{gate}": rng.permutation([-1000.0] * half + [1000.0] * half) for gate in gates})


def shuffled(params):
    """Return the same parameters, with their gates in another order."""
    return {f"{kind}_{gate}": params[f"{kind}_{gate}"] for gate in "ofig" for kind in "WUb"}


@pytest.mark.part("step_forward")
@pytest.mark.points(0.5)
def test_step_by_name(student, rng):
    """lstm_step_forward finds its parameters by name, whatever their order in the dict: c."""
    case = draw(rng, B=2, T=1, D=3, H=5)
    x, h0, c0, params = case.step_args
    close(student.lstm_step_forward(x, h0, c0, shuffled(params))[1], own_run(case.given)[1])


@pytest.mark.part("step_forward")
@pytest.mark.points(0.5)
def test_step_keeps_its_inputs(student, rng):
    """lstm_step_forward leaves x, h_prev, c_prev and params as they were."""
    case = draw(rng, B=4, T=1, D=3, H=6)
    (_, c, _), after = student.returning_args("lstm_step_forward", *case.step_args)
    close(c, own_run(case.given)[1])
    for name, before, value in zip(("x", "h_prev", "c_prev"), case.step_args, after, strict=False):
        unchanged(name, before, value)
    params_unchanged(case.params, after[3])


@pytest.mark.kept("an axis that is lost forward spoils the backward pass as well.")
@pytest.mark.part("step_forward")
@pytest.mark.points(0.5)
def test_step_of_one_sequence(student, rng):
    """lstm_step_forward of a batch of one, then of one input and one unit: h."""
    for case in (draw(rng, B=1, T=1, D=3, H=5), draw(rng, B=4, T=1, D=1, H=1)):
        h, c, _ = student.lstm_step_forward(*case.step_args)
        close(h, _h_of(case, c))


@pytest.mark.part("step_forward")
@pytest.mark.points(0.5)
def test_step_of_float32(student, rng):
    """lstm_step_forward on float32 inputs: h, and c where what enters the gates is near 1,000 and -1,000."""
    small, case = single(draw(rng, B=2, T=1, D=5, H=4))
    h, c, _ = student.lstm_step_forward(*small.step_args)
    close(h, _h_of(case, c))
    small, case = single(of_huge_logits(rng, draw(rng, B=3, T=1, D=4, H=6), GATES))
    close(student.lstm_step_forward(*small.step_args)[1], own_run(case.given)[1])


# --- Part step_backward ----------------------------------------------------------------------------------


@pytest.mark.kept("dx, dh_prev and dc_prev go three ways, and each way has points of its own.")
@pytest.mark.part("step_backward")
@pytest.mark.points(1.5)
@pytest.mark.parametrize("name", list(STEP_NAMES))
def test_step_backward(student, rng, name):
    """lstm_step_backward: {name}."""
    close(*step_gradient(student, draw(rng, B=3, T=1, D=4, H=5), STEP_NAMES[name]))


@pytest.mark.kept("a slip in one of the twelve lines is charged to that line alone.")
@pytest.mark.part("step_backward")
@pytest.mark.points(1)
@pytest.mark.parametrize("name", PARAMS)
def test_step_backward_grads(student, rng, name):
    """lstm_step_backward: the gradient of {name}."""
    close(*step_gradient(student, draw(rng, B=3, T=1, D=2, H=4), name))


@pytest.mark.kept("it is the direct path: the reason why the cell is there.")
@pytest.mark.part("step_backward")
@pytest.mark.points(1.5)
def test_step_direct_path(student, rng):
    """lstm_step_backward where only dc arrives: dc_prev, along the direct path."""
    case = draw(rng, B=2, T=1, D=3, H=5)
    close(*step_gradient(student, case.replace(dhs=np.zeros_like(case.dhs)), "c0"))


@pytest.mark.part("step_backward")
@pytest.mark.points(0.5)
def test_step_backward_of_dc_alone(student, rng):
    """lstm_step_backward where only dc arrives, and where only dh does: dx of the one, added to that of the other."""
    case = draw(rng, B=2, T=1, D=3, H=5)
    got, want = step_gradient(student, case.replace(dhs=np.zeros_like(case.dhs)), "x")
    got_h, want_h = step_gradient(student, case.replace(dc_last=np.zeros_like(case.dc_last)), "x")
    require(got.shape == got_h.shape, "two calls with inputs of one shape returned dx of two shapes")
    close(got + got_h, want + want_h)  # a sum, since zeros alone would not tell who made them


@pytest.mark.kept("it gives points to a right way through h, whatever is done with dc.")
@pytest.mark.part("step_backward")
@pytest.mark.points(1.5)
def test_step_backward_of_h_alone(student, rng):
    """lstm_step_backward where only dh arrives: dh_prev."""
    case = draw(rng, B=3, T=1, D=2, H=6)
    close(*step_gradient(student, case.replace(dc_last=np.zeros_like(case.dc_last)), "h0"))


@pytest.mark.part("step_backward")
@pytest.mark.points(1)
def test_step_backward_is_linear(student, rng):
    """lstm_step_backward: 1,000 times the upstream gradients give 1,000 times every gradient."""
    case = draw(rng, B=2, T=1, D=5, H=3)
    large = case.replace(dhs=1000 * case.dhs, dc_last=1000 * case.dc_last)
    close(*step_gradient(student, large, "c0"))
    close(*step_gradient(student, large, "x"))
    cache = student.lstm_step_forward(*case.step_args)[2]
    first = student.lstm_step_backward(case.dhs[:, 0], case.dc_last, cache)
    cache = student.lstm_step_forward(*case.step_args)[2]
    again = student.lstm_step_backward(large.dhs[:, 0], large.dc_last, cache)
    same_again(first, again, step=True, factor=1000.0)


@pytest.mark.part("step_backward")
@pytest.mark.points(1)
def test_step_backward_of_huge_logits(student, rng):
    """lstm_step_backward, logits near 1,000: dc_prev with f open and i shut, then dx with gates of both kinds."""
    case = pinned(draw(rng, B=2, T=1, D=3, H=4), f=1000.0, i=-1000.0)
    close(*step_gradient(student, case, "c0"))
    # whoever gets a factor back by dividing by a gate divides by 0 here
    close(*step_gradient(student, of_huge_logits(rng, draw(rng, B=3, T=1, D=4, H=6), "ifo"), "x"))


@pytest.mark.part("step_backward")
@pytest.mark.points(0.5)
def test_step_backward_keeps_its_inputs(student, rng):
    """lstm_step_backward leaves dh and dc as they were."""
    case = draw(rng, B=4, T=1, D=2, H=3)
    h, c, cache = student.lstm_step_forward(*case.step_args)
    result, after = student.returning_args("lstm_step_backward", case.dhs[:, 0], case.dc_last, cache)
    close(result[2], fair_step_gradient(student, case, (h, c), result[2], "c0"))
    unchanged("dh", case.dhs[:, 0], after[0])
    unchanged("dc", case.dc_last, after[1])


@pytest.mark.part("step_backward")
@pytest.mark.points(0.5)
def test_step_backward_twice(student, rng):
    """lstm_step_backward called twice with one cache, after another step went forward."""
    case, other = draw(rng, B=2, T=1, D=5, H=4), draw(rng, B=2, T=1, D=5, H=4)
    h, c, cache = student.lstm_step_forward(*case.step_args)
    student.lstm_step_forward(*other.step_args)
    first = student.lstm_step_backward(case.dhs[:, 0], case.dc_last, cache)
    student.lstm_step_backward(2.5 * case.dhs[:, 0], 1.5 - case.dc_last, cache)
    again = student.lstm_step_backward(case.dhs[:, 0], case.dc_last, cache)
    close(again[2], fair_step_gradient(student, case, (h, c), again[2], "c0"))
    same_again(first, again, step=True)


@pytest.mark.part("step_backward")
@pytest.mark.points(0.5)
def test_step_backward_of_one_sequence(student, rng):
    """lstm_step_backward of a batch of one: the gradient of U_f, and all shapes; those of one input and unit too."""
    case = draw(rng, B=1, T=1, D=2, H=5)
    close(*step_gradient(student, case, "U_f"))
    for small in (case, draw(rng, B=3, T=1, D=1, H=1)):
        cache = student.lstm_step_forward(*small.step_args)[2]
        shapes_kept(student.lstm_step_backward(small.dhs[:, 0], small.dc_last, cache), small, step=True)


@pytest.mark.kept("what insists on float64 backward alone fails nowhere else.")
@pytest.mark.part("step_backward")
@pytest.mark.points(0.5)
def test_step_backward_of_float32(student, rng):
    """lstm_step_backward on float32 inputs: dh_prev."""
    small, case = single(draw(rng, B=2, T=1, D=5, H=3))
    h, c, cache = student.lstm_step_forward(*small.step_args)
    got = student.lstm_step_backward(small.dhs[:, 0], small.dc_last, cache)[1]
    close(got, fair_step_gradient(student, case, (h, c), got, "h0"))


@pytest.mark.part("step_backward")
@pytest.mark.points(2)
def test_step_backward_cost(student, rng):
    """lstm_step_backward at batch 8, 64 inputs and 64 units, within half a second."""
    case = draw(rng, B=8, T=1, D=64, H=64)
    h, c, cache = student.lstm_step_forward(*case.step_args)
    with student.limit(cpu_seconds=0.5):
        result = student.lstm_step_backward(case.dhs[:, 0], case.dc_last, cache)
    at_a_cost(student, rng, case, step_gradient, result, is_right(case, (h[:, None], c)))


# --- Part sequence ---------------------------------------------------------------------------------------


@pytest.mark.kept("it is the plain case.")
@pytest.mark.part("sequence")
@pytest.mark.points(1.5)
def test_forward(student, rng):
    """lstm_forward: h after every step."""
    case = draw(rng, B=3, T=7, D=4, H=5)
    hs, c, _ = student.lstm_forward(*case.run_args)
    close(hs, fair_states(student, case, (hs, c))[0])


@pytest.mark.kept("the last cell has points of its own beside h.")
@pytest.mark.part("sequence")
@pytest.mark.points(1.5)
def test_forward_last_cell(student, rng):
    """lstm_forward: c after the last step."""
    case = draw(rng, B=2, T=6, D=3, H=5)
    hs, c, _ = student.lstm_forward(*case.run_args)
    close(c, fair_states(student, case, (hs, c))[1])


@pytest.mark.kept("it tells an ignored first state from other mistakes.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.75)
@pytest.mark.parametrize("name", ["h0", "c0"])
def test_forward_from_two_first_states(student, rng, name):
    """lstm_forward: what another {name} changes in h."""
    case = draw(rng, B=2, T=4, D=3, H=6)
    other = case.replace(**{name: rng.uniform(-1, 1, case.given[name].shape)})
    (one, c_one, _), (two, c_two, _) = (student.lstm_forward(*each.run_args) for each in (case, other))
    require(one.shape == two.shape, "two calls with inputs of one shape returned states of two shapes")
    want_one, want_two = fair_states(student, case, (one, c_one))[0], fair_states(student, other, (two, c_two))[0]
    if np.max(np.abs(want_two - want_one)) > 1e-6:
        close(two - one, want_two - want_one)
    else:  # a step that ignores it, which its own checks charge
        close(one, want_one)
        close(two, want_two)


@pytest.mark.kept("an axis may be lost at B = 1, at T = 1 or at H = 1 alone.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
@pytest.mark.parametrize(("B", "T", "H"), [(1, 4, 5), (3, 1, 5), (2, 3, 1)], ids=["B=1", "T=1", "H=1"])
def test_forward_of_one(student, rng, B, T, H):
    """lstm_forward, B = {B}, T = {T}, H = {H}: h, then c."""
    case = draw(rng, B=B, T=T, D=2 if H > 1 else 1, H=H)
    hs, c, _ = student.lstm_forward(*case.run_args)
    want = fair_states(student, case, (hs, c))
    close(hs, want[0])
    close(c, want[1])


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_forward_by_name(student, rng):
    """lstm_forward finds its parameters by name, whatever their order in the dict: c."""
    case = draw(rng, B=2, T=3, D=4, H=5)
    x, h0, c0, params = case.run_args
    hs, c, _ = student.lstm_forward(x, h0, c0, shuffled(params))
    close(c, fair_states(student, case, (hs, c))[1])


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_forward_keeps_its_inputs(student, rng):
    """lstm_forward leaves x, h0, c0 and params as they were."""
    case = draw(rng, B=3, T=4, D=5, H=2)
    (hs, c, _), after = student.returning_args("lstm_forward", *case.run_args)
    close(hs, fair_states(student, case, (hs, c))[0])
    for name, before, value in zip(("x", "h0", "c0"), case.run_args, after, strict=False):
        unchanged(name, before, value)
    params_unchanged(case.params, after[3])


@pytest.mark.kept("x, h0 and c0 are reached by three ways, and each way has points of its own.")
@pytest.mark.part("sequence")
@pytest.mark.points(1.5)
@pytest.mark.parametrize("name", ["x", "h0", "c0"])
def test_backward(student, rng, name):
    """lstm_backward: the gradient of {name}."""
    close(*backward(student, draw(rng, B=3, T=5, D=4, H=2), name))


@pytest.mark.kept("a slip in one of the twelve sums is charged to that sum alone.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.75)
@pytest.mark.parametrize("name", PARAMS)
def test_backward_grads(student, rng, name):
    """lstm_backward: the gradient of {name}, over all steps."""
    close(*backward(student, draw(rng, B=2, T=5, D=3, H=4), name))


@pytest.mark.kept("it tells a lost dc_last from other mistakes.")
@pytest.mark.part("sequence")
@pytest.mark.points(1)
def test_backward_of_the_last_cell(student, rng):
    """lstm_backward where only the last c has a loss: the gradient of x at every step."""
    case = draw(rng, B=2, T=5, D=4, H=3)
    close(*backward(student, case.replace(dhs=np.zeros_like(case.dhs)), "x"))


@pytest.mark.kept("it tells what is carried from what is local.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.75)
@pytest.mark.parametrize("step", ["first", "last"])
def test_backward_of_one_loss(student, rng, step):
    """lstm_backward where only the {step} step has a loss: the gradient of x at every step."""
    case = draw(rng, B=2, T=6, D=3, H=4)
    at = 0 if step == "first" else -1
    dhs = np.zeros_like(case.dhs)
    dhs[:, at] = case.dhs[:, at]
    close(*backward(student, case.replace(dhs=dhs, dc_last=np.zeros_like(case.dc_last)), "x"))


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_of_an_early_loss_and_the_last_cell(student, rng):
    """lstm_backward where one early h and the last c have a loss: the gradient of x at every step."""
    case = draw(rng, B=2, T=6, D=3, H=4)
    dhs = np.zeros_like(case.dhs)
    dhs[:, 1] = case.dhs[:, 1]
    close(*backward(student, case.replace(dhs=dhs), "x"))


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("what", ["forward", "backward"])
def test_huge_numbers(student, rng, what):
    """lstm_{what} where what enters the gates is near 1,000 and -1,000, and forward also where c0 is."""
    if what == "backward":
        close(*backward(student, of_huge_logits(rng, draw(rng, B=2, T=3, D=4, H=6), "ifo"), "x"))
        return
    case = of_huge_logits(rng, draw(rng, B=2, T=3, D=4, H=6), GATES)
    hs, c, _ = student.lstm_forward(*case.run_args)
    close(c, fair_states(student, case, (hs, c))[1])
    case = large_cell(pinned(draw(rng, B=2, T=3, D=3, H=4), f=OPEN))
    hs, c, _ = student.lstm_forward(*case.run_args)
    want = fair_states(student, case, (hs, c))
    close(c, want[1])
    close(hs, want[0])


@pytest.mark.kept("it gives points to what is right without anything carried.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("name", ["c0", "W_f"])
def test_backward_of_one_step(student, rng, name):
    """lstm_backward of sequences of one step: the gradient of {name}."""
    case = draw(rng, B=3, T=1, D=2, H=4)
    close(*backward(student, case, name))
    if name == "c0":
        cache = student.lstm_forward(*case.run_args)[2]
        shapes_kept(student.lstm_backward(case.dhs, case.dc_last, cache), case, step=False)


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_of_one_sequence(student, rng):
    """lstm_backward of a batch of one: the gradient of U_i, and all shapes; those of one input and one unit too."""
    case = draw(rng, B=1, T=4, D=3, H=5)
    close(*backward(student, case, "U_i"))
    for small in (case, draw(rng, B=2, T=3, D=1, H=1)):
        cache = student.lstm_forward(*small.run_args)[2]
        shapes_kept(student.lstm_backward(small.dhs, small.dc_last, cache), small, step=False)


@pytest.mark.kept("a cut after many steps shows on the carousel too, but there nothing comes in on the way.")
@pytest.mark.part("sequence")
@pytest.mark.points(1)
def test_backward_over_a_long_time(student, rng):
    """lstm_backward over 60 steps with forget gates near 0.95: the gradient of c0."""
    case = draw(rng, B=2, T=60, D=3, H=4)
    case = case.replace(b_f=rng.uniform(2.5, 3.5, 4), U_f=0.3 * case.given["U_f"], W_f=0.3 * case.given["W_f"])
    close(*backward(student, case, "c0"))


@pytest.mark.part("sequence")
@pytest.mark.points(1)
def test_backward_is_linear(student, rng):
    """lstm_backward: 1,000 times the upstream gradients give 1,000 times every gradient, a millionth a millionth."""
    case = draw(rng, B=2, T=5, D=2, H=3)
    large = case.replace(dhs=1000 * case.dhs, dc_last=1000 * case.dc_last)
    close(*backward(student, large, "x"))
    first = student.lstm_backward(case.dhs, case.dc_last, student.lstm_forward(*case.run_args)[2])
    again = student.lstm_backward(large.dhs, large.dc_last, student.lstm_forward(*case.run_args)[2])
    same_again(first, again, step=False, factor=1000.0)
    small = case.replace(dhs=2.0**-20 * case.dhs, dc_last=2.0**-20 * case.dc_last)
    again = student.lstm_backward(small.dhs, small.dc_last, student.lstm_forward(*case.run_args)[2])
    same_again(first, again, step=False, factor=2.0**-20)


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_keeps_its_inputs(student, rng):
    """lstm_backward leaves dhs and dc_last as they were."""
    case = draw(rng, B=3, T=4, D=2, H=5)
    hs, c, cache = student.lstm_forward(*case.run_args)
    result, after = student.returning_args("lstm_backward", case.dhs, case.dc_last, cache)
    close(result[0], fair_gradient(student, case, (hs, c), result[0], "x"))
    unchanged("dhs", case.dhs, after[0])
    unchanged("dc_last", case.dc_last, after[1])


@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
def test_backward_twice(student, rng):
    """lstm_backward called twice with one cache, after another forward pass."""
    case, other = draw(rng, B=2, T=4, D=3, H=5), draw(rng, B=2, T=4, D=3, H=5)
    hs, c, cache = student.lstm_forward(*case.run_args)
    student.lstm_forward(*other.run_args)
    first = student.lstm_backward(case.dhs, case.dc_last, cache)
    student.lstm_backward(1.5 - case.dhs, 0.5 + case.dc_last, cache)
    again = student.lstm_backward(case.dhs, case.dc_last, cache)
    close(again[2], fair_gradient(student, case, (hs, c), again[2], "c0"))
    same_again(first, again, step=False)


@pytest.mark.kept("what refuses float32 forward cannot go backward either.")
@pytest.mark.part("sequence")
@pytest.mark.points(0.5)
@pytest.mark.parametrize("what", ["forward", "backward"])
def test_float32(student, rng, what):
    """lstm_{what} on float32 inputs."""
    small, case = single(draw(rng, B=2, T=4, D=5, H=3))
    hs, c, cache = student.lstm_forward(*small.run_args)
    if what == "forward":
        close(hs, fair_states(student, case, (hs, c))[0])
    else:
        got = student.lstm_backward(small.dhs, small.dc_last, cache)[1]
        close(got, fair_gradient(student, case, (hs, c), got, "h0"))


@pytest.mark.part("sequence")
@pytest.mark.points(4)
def test_backward_cost(student, rng):
    """lstm_backward at batch 8, 40 inputs, 40 units and 24 steps, within half a second."""
    case = draw(rng, B=8, T=24, D=40, H=40)
    _, _, cache = student.lstm_forward(*case.run_args)
    with student.limit(cpu_seconds=0.5):
        result = student.lstm_backward(case.dhs, case.dc_last, cache)
    at_a_cost(student, rng, case, backward, result, False)


# --- Part memory -----------------------------------------------------------------------------------------


def slopes(run, case):
    """Return dc_t/dc_{t-1} with h_{t-1} held fixed, (T, B, H): differences of single steps of `run`."""
    h, c, out = case.given["h0"], case.given["c0"], []
    for t in range(case.given["x"].shape[1]):
        here = {**case.given, "x": case.given["x"][:, t : t + 1], "h0": h}
        up, down = (run({**here, "c0": c + sign * NUDGE})[1] for sign in (1, -1))
        out.append((up - down) / (2 * NUDGE))
        hs, c = run({**here, "c0": c})
        h = hs[:, -1]
    return np.stack(out)


def path(student, case, k, t):
    """Return (got, want) of cell_gradient_path."""
    hs, c, cache = student.lstm_forward(*case.run_args)
    got = student.cell_gradient_path(cache, k, t)
    right = slopes(own_run, case)[k + 1 : t + 1].prod(axis=0)
    if error(got, right) <= TOLERANCE or is_right(case, (hs, c)):
        return got, right
    note("your forward pass is not the handout's; this check also accepted the direct path of your forward pass")
    return got, nearest(got, [right, *own_paths(student, case, hs, k, t)])


def own_paths(student, case, hs, k, t):
    """Return the direct path of the student's forward pass: of its differences, and of the forget gates on its h."""
    before = np.concatenate([case.given["h0"][:, None], hs[:, :-1]], axis=1)
    gates = [own_gates(case.given, case.given["x"][:, s], before[:, s])[1] for s in range(k + 1, t + 1)]
    if not gates:
        return [np.ones_like(before[:, 0])]
    moved = slopes(sequence_run(student), case)[k + 1 : t + 1]
    still = np.ptp(moved) < 1e-6  # no gate, only a constant
    return [np.prod(gates, axis=0), *([] if still else [moved.prod(axis=0)])]


@pytest.mark.kept("it is the plain case.")
@pytest.mark.part("memory")
@pytest.mark.points(2)
def test_path(student, rng):
    """cell_gradient_path over three steps in the middle of a sequence."""
    close(*path(student, draw(rng, B=3, T=7, D=4, H=5), 2, 5))


@pytest.mark.kept("one gate alone shows a path that is off by one step, and ones a product that starts wrong.")
@pytest.mark.part("memory")
@pytest.mark.points(1)
def test_path_of_neighbours(student, rng):
    """cell_gradient_path from one step to the next, and to itself; from c0 to itself too."""
    case = draw(rng, B=2, T=6, D=3, H=4)
    k = int(rng.integers(1, 4))
    close(*path(student, case, k, k + 1))
    for same in (k, -1):
        close(path(student, case, same, same)[0], np.ones((2, 4)))


@pytest.mark.kept("the ends of a sequence are where an index runs out.")
@pytest.mark.part("memory")
@pytest.mark.points(1.5)
def test_path_from_end_to_end(student, rng):
    """cell_gradient_path from c0 (k = -1) to the last step."""
    close(*path(student, draw(rng, B=4, T=5, D=2, H=3), -1, 4))


@pytest.mark.part("memory")
@pytest.mark.points(0.5)
def test_path_of_shut_gates(student, rng):
    """cell_gradient_path where the forget gates of some units are shut, and those of the others stand still."""
    case = pinned(draw(rng, B=2, T=5, D=3, H=4), f=0.0)
    case = case.replace(b_f=np.array([-1000.0, *rng.uniform(0.5, 2.0, 2), -1000.0]))
    close(*path(student, case, 1, 3))


@pytest.mark.kept("it says where the direct path is the whole derivative.")
@pytest.mark.part("memory")
@pytest.mark.points(1.5)
def test_path_without_recurrence(student, rng):
    """cell_gradient_path where all U are zero, so that c0 reaches the last c by no other way."""
    case = draw(rng, B=2, T=6, D=4, H=3)
    case = case.replace(**{f"U_{gate}": np.zeros((3, 3)) for gate in GATES})
    hs, c, cache = student.lstm_forward(*case.run_args)
    got = student.cell_gradient_path(cache, -1, 5)
    up, down = (own_run(case.given | {"c0": case.given["c0"] + sign * NUDGE})[1] for sign in (1, -1))
    want = (up - down) / (2 * NUDGE)
    if error(got, want) > TOLERANCE and not is_right(case, (hs, c)):
        want = nearest(got, [want, *own_paths(student, case, hs, -1, 5)])
    close(got, want)


@pytest.mark.kept("the curves over 40 steps ask one cache often too, but a path that spoils its cache is charged here.")
@pytest.mark.part("memory")
@pytest.mark.points(0.5)
def test_path_twice(student, rng):
    """cell_gradient_path asked again and again of one cache, after another forward pass."""
    case = draw(rng, B=3, T=5, D=2, H=4)
    hs, c, cache = student.lstm_forward(*case.run_args)
    other = draw(rng, B=3, T=5, D=2, H=4)
    student.lstm_forward(*other.run_args)
    for k in (1, 0):  # what is remembered for t alone is another path
        student.cell_gradient_path(cache, k, 3)
    got = student.cell_gradient_path(cache, 0, 3)
    want = slopes(own_run, case)[1:4].prod(axis=0)
    if error(got, want) > TOLERANCE and not is_right(case, (hs, c)):
        want = nearest(got, [want, *own_paths(student, case, hs, 0, 3)])
    close(got, want)


@pytest.mark.kept("it shows what a forget bias does, and gives the picture.")
@pytest.mark.part("memory")
@pytest.mark.points(1)
def test_path_by_forget_bias(student, rng):
    """cell_gradient_path over 40 steps with forget biases 0, 1, 3 and 5."""
    case = draw(rng, B=2, T=40, D=3, H=4)
    shrunk = {name: 0.1 * value for name, value in case.params.items()}
    curves = []
    for bias in (0.0, 1.0, 3.0, 5.0):
        with_bias = case.replace(**shrunk | {"b_f": np.full(4, bias)})
        hs, c, cache = student.lstm_forward(*with_bias.run_args)
        ends = (0, 1, 3, 7, 15, 25, 39)
        got = [student.cell_gradient_path(cache, -1, t) for t in ends]
        each = slopes(own_run, with_bias)
        for value, t in zip(got, ends, strict=True):
            want = each[: t + 1].prod(axis=0)
            if error(value, want) > TOLERANCE and not is_right(with_bias, (hs, c)):
                want = nearest(value, [want, *own_paths(student, with_bias, hs, -1, t)])
            close(value, want)
        curves.append([1.0, *(float(value.mean()) for value in got)])
    observe("figure:direct_path", np.array(curves))


@pytest.mark.kept("it is the plain case.")
@pytest.mark.part("memory")
@pytest.mark.points(1.5)
def test_forget_bias(student, rng):
    """forget_bias_init: b_f holds the value in every entry, also where that is 3 or 0."""
    case, value = draw(rng, B=1, T=1, D=3, H=5), float(rng.uniform(0.5, 2.9))
    close(student.forget_bias_init(case.params, value)["b_f"], np.array([value] * 5))
    for whole in (3, 0):
        got = student.forget_bias_init(case.params, whole)["b_f"]
        observe(f"b_f for {whole}", got)
        require(error(got, np.full(5, float(whole))) <= TOLERANCE, f"b_f is not {whole} where the value is {whole}")


@pytest.mark.part("memory")
@pytest.mark.points(1)
def test_forget_bias_leaves_the_rest(student, rng):
    """forget_bias_init: the other eleven arrays keep their values, whatever their order in the dict."""
    case = draw(rng, B=1, T=1, D=4, H=3)
    got = student.forget_bias_init(shuffled(case.params), float(rng.uniform(0.5, 2.9)))
    for name in PARAMS:
        if name != "b_f":
            close(got[name], case.given[name], name=name)
    observe("b_f", got["b_f"])
    require(error(got["b_f"], case.given["b_f"]) > TOLERANCE, "nothing was changed at all")


@pytest.mark.part("memory")
@pytest.mark.points(0.5)
def test_forget_bias_keeps_its_inputs(student, rng):
    """forget_bias_init leaves the parameters it was given as they were."""
    case = draw(rng, B=1, T=1, D=2, H=4)
    got, after = student.returning_args("forget_bias_init", case.params, -1.5)
    close(got["b_f"], np.array([-1.5] * 4))
    params_unchanged(case.params, after[0])


def ridden(rng, kept, case, steps, size):
    """Return c after `steps` steps of own_run with the parameters `kept`, on x and h0 of this size."""
    for name in PARAMS:
        asked = case.given[name].shape
        require(kept[name].shape == asked, f"{name} has shape {kept[name].shape}; {asked} is asked")
        require(np.all(np.isfinite(kept[name])), f"{name} is not finite")
    B, D = len(case.given["c0"]), case.given["x"].shape[-1]
    x = rng.uniform(-size, size, (B, steps, D))
    # what a student works out in float32 holds the same numbers in float64
    given = case.given | {name: np.asarray(kept[name], dtype=np.float64) for name in PARAMS}
    given |= {"x": x, "h0": rng.uniform(-size, size, case.given["h0"].shape)}
    return own_run(given)[1]


@pytest.mark.kept("it is the plain case.")
@pytest.mark.part("memory")
@pytest.mark.points(2)
def test_carousel(student, rng):
    """carousel: after 1,000 steps c is what it was, to within 1e-12; also where b_f was -40 and b_i was 40."""
    case = draw(rng, B=3, T=1, D=4, H=5)
    c = ridden(rng, student.carousel(case.params), case, 1000, 1.0)
    note(f"after 1,000 steps c has moved by {np.max(np.abs(c - case.given['c0'])):.1e}")
    close(c, case.given["c0"], EXACT)
    case = case.replace(b_f=np.full(5, -40.0), b_i=np.full(5, 40.0))
    close(ridden(rng, student.carousel(case.params), case, 1000, 1.0), case.given["c0"], EXACT)


@pytest.mark.part("memory")
@pytest.mark.points(1.5)
def test_carousel_of_large_inputs(student, rng):
    """carousel: the same, for 200 steps of inputs up to a million in size, and such an h0."""
    case = draw(rng, B=4, T=1, D=5, H=3)
    # a candidate that is not always 1 or -1, whether it is x or h0 that is large
    case = case.replace(W_g=1e-6 * case.given["W_g"], U_g=1e-6 * case.given["U_g"])
    c = ridden(rng, student.carousel(case.params), case, 200, 1e6)
    close(c, case.given["c0"], EXACT)


@pytest.mark.part("memory")
@pytest.mark.points(1)
def test_carousel_leaves_the_rest(student, rng):
    """carousel: the candidate and the output gate keep their parameters, whatever their order in the dict."""
    case = draw(rng, B=1, T=1, D=3, H=4)
    got = student.carousel(shuffled(case.params))
    for name in PARAMS:
        if name[-1] in "go":
            close(got[name], case.given[name], name=name)
    observe("b_f", got["b_f"])
    observe("b_i", got["b_i"])
    kept = (error(got[name], case.given[name]) <= TOLERANCE for name in ("b_f", "b_i"))
    require(not all(kept), "neither the forget gate nor the input gate was changed")


@pytest.mark.part("memory")
@pytest.mark.points(0.5)
def test_carousel_keeps_its_inputs(student, rng):
    """carousel leaves the parameters it was given as they were."""
    case = draw(rng, B=2, T=1, D=4, H=3)
    got, after = student.returning_args("carousel", case.params)
    close(ridden(rng, got, case, 3, 1.0), case.given["c0"], 0.01)  # how well it keeps c is asked above
    params_unchanged(case.params, after[0])


def carousel_case(rng, B, T, D, H):
    """Return a case whose cell keeps c for ever; c0 and dc_last are numbers that float32 can hold."""
    case = pinned(draw(rng, B, T, D, H), f=OPEN, i=SHUT)
    c0, dc_last = (value.astype(np.float32).astype(np.float64) for value in (case.given["c0"], case.dc_last))
    return case.replace(c0=c0, dc_last=dc_last, dhs=np.zeros_like(case.dhs))


@pytest.mark.kept("a gate that is nearly open shows after many steps only.")
@pytest.mark.part("memory")
@pytest.mark.points(1)
def test_forward_on_a_carousel(student, rng):
    """lstm_forward with forget gates open and input gates shut: c after 1,000 steps, to within 1e-12."""
    case = carousel_case(rng, B=2, T=1000, D=3, H=4)
    hs, c, _ = student.lstm_forward(*case.run_args)
    want = case.given["c0"]
    if error(c, want) > TOLERANCE:
        want = fair_states(student, case, (hs, c))[1]
    close(c, want, EXACT)


@pytest.mark.kept("it is the constant error carousel itself.")
@pytest.mark.part("memory")
@pytest.mark.points(1)
def test_backward_on_a_carousel(student, rng):
    """lstm_backward with forget gates open and input gates shut: dc_last comes back over 200 steps, to within 1e-12."""
    case = carousel_case(rng, B=3, T=200, D=2, H=4)
    hs, c, cache = student.lstm_forward(*case.run_args)
    got = student.lstm_backward(case.dhs, case.dc_last, cache)[2]
    if error(got, case.dc_last) > TOLERANCE:
        small = draw(rng, B=2, T=4, D=3, H=5)
        right = differences(upstream_loss(own_run, small), small.given, "c0")
        chained = repeated_backward(student, small, "c0")
        if not is_right(case, (hs, c)) or (chained and error(chained[0], right) > TOLERANCE):
            note(OWN_STEP)
            close(*backward(student, small, "c0"))
            return
    close(got, case.dc_last, EXACT)
