"""State: a submission has a worker of its own, a fresh one after a crash, and copies of every input.

Each attack is (name, what its checks must come to, source). A part or check that is not named must pass.
"""

RIGHT = """
def right(xs, h0, a):
    states, h = [], h0
    for x in xs:
        h = a * h + (1 - a) * x
        states.append(h)
    return np.array(states)
"""

ATTACKS = [
    (
        "right_on_the_first_call_only",
        {
            "test_run": "passed",
            "test_run_from_rest": "failed: all zeros were returned",
            "test_inputs_are_left": "failed: all zeros were returned",
        },
        RIGHT
        + """
calls = []
def run(xs, h0, a):
    calls.append(0)
    return right(xs, h0, a) if len(calls) == 1 else np.zeros(len(xs))
""",
    ),
    (
        "carries_its_state_over",
        {"test_run": "passed", "test_run_from_rest": "failed: the values are wrong"},
        RIGHT
        + """
last = None
def run(xs, h0, a):
    global last
    states = right(xs, h0 if last is None or len(xs) == 4 else last, a)
    last = states[-1]
    return states
""",
    ),
    (
        "remembers_across_a_crash",
        {
            "step": "raised: the code ended its own process (exit status 0)",
            "run": "raised: raised NameError at leaky.py, line 9",
        },
        """
import os
def step(x, h, a):
    global known
    known = h
    os._exit(0)
def run(xs, h0, a):
    return known
""",
    ),
    (
        "works_in_its_input",
        {"test_inputs_are_left": "failed: *"},
        RIGHT
        + """
def run(xs, h0, a):
    xs[:] = right(xs, h0, a)
    return xs
""",
    ),
    (
        "spoils_its_input_and_returns_the_right_values",
        {"test_inputs_are_left": "failed: *"},
        RIGHT
        + """
def run(xs, h0, a):
    states = right(xs, h0, a)
    xs.fill(np.nan)
    return states
""",
    ),
    (
        "lends_out_the_same_array",
        {},
        RIGHT
        + """
room = np.empty(100)
def run(xs, h0, a):
    room[: len(xs)] = right(xs, h0, a)
    return room[: len(xs)]
""",
    ),
    (
        "changes_what_it_returned",
        {},
        RIGHT
        + """
import threading, time
def run(xs, h0, a):
    states = right(xs, h0, a)
    def later():
        time.sleep(0.005)
        states.fill(7.25)
    threading.Thread(target=later, daemon=True).start()
    return states.copy()
""",
    ),
    (
        "poisons_the_random_numbers",
        {},
        """
import random
np.random.seed(0)
random.seed(0)
np.random.default_rng = np.random.RandomState = lambda *a, **k: None
np.random.normal = random.random = lambda *a, **k: 0.0
np.seterr(all="raise")
""",
    ),
    (
        "poisons_what_numpy_gives",
        {"run": "failed: *"},
        """
def zeros(shape, *a, **k):
    return np.full(shape, 7.25)
np.empty = zeros
np.array = lambda *a, **k: zeros(3)
def run(xs, h0, a):
    return np.empty(len(xs)) * np.arange(1, len(xs) + 1)
""",
    ),
    (
        "counts_on_the_order_of_the_checks",
        {},
        RIGHT
        + """
order = []
def step(x, h, a):
    order.append("step")
    return a * h + (1 - a) * x
def run(xs, h0, a):
    order.append("run")
    assert order.count("step") <= 1, order
    return right(xs, h0, a)
""",
    ),
]
