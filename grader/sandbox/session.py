"""The examiner's end of one submission: start workers, send requests, enforce limits, survive anything."""

from __future__ import annotations

import builtins
import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from grader.course.assignment import Limits
from grader.errors import SandboxError
from grader.sandbox.faults import StudentFault, StudentRaised, WorkerEnded
from grader.sandbox.inside.codec import (
    HEADER,
    Decoder,
    Encoder,
    WireError,
    pack,
    read_head,
    unpack,
)
from grader.sandbox.limits import Meter

KEPT_OUTPUT = 64 << 10  # bytes of what a check prints that are kept for the instructor
KEPT_IN_ALL = 256 << 10  # the same for all checks together: it must fit into one report
LOAD_FACTOR = 3  # importing may take this many times the limit of a call
READ_AHEAD = 1 << 16
TICK = 0.02  # seconds between looks at the student's CPU clock


@dataclass(frozen=True)
class Ending:
    """How a worker ended, as its keeper reports it: exit status (negative for a signal), CPU, peak memory.

    `lost` says that the keeper itself is gone without a report: the sandbox was ended from outside.
    """

    exit: int | None
    cpu_seconds: float
    peak_mb: float
    lost: bool = False


class Process(Protocol):
    """A worker as a sandbox hands it out: a connected socket, the pipe it prints to, its clock and its end."""

    sock: socket.socket
    output: int

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used so far; the last known value when the process is gone."""

    def kill(self) -> None:
        """Kill the worker and everything it started; harmless when it is gone."""

    def ending(self, timeout: float) -> Ending:
        """Wait for the end, at most `timeout` seconds, and tell how it came."""

    def close(self) -> None:
        """Release what the examiner holds."""


class Sandbox(Protocol):
    """A place where workers run: one for each run of the grader."""

    tier: int
    name: str

    def start(self, limits: Limits, cpu_seconds: float) -> Process:
        """Start a fresh worker that may use `cpu_seconds`; raise SandboxError where that fails."""

    def alive(self) -> bool:
        """Tell whether workers can still be had from this sandbox."""

    def close(self) -> None:
        """End the sandbox and everything in it."""


class Handle:
    """Something that stayed in the worker: it can be passed back, called, indexed or asked.

    It belongs to the check in which it came and to the worker that made it.
    """

    __slots__ = ("epoch", "number", "session", "type_name", "worker")

    def __init__(self, session: Session, number: int, type_name: str, worker: int, epoch: int) -> None:
        self.session = session
        self.number = number
        self.type_name = type_name
        self.worker = worker
        self.epoch = epoch

    def __repr__(self) -> str:
        return f"<{self.type_name} in the worker>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object in the worker."""
        return self.session.request("call", self, args, kwargs, None, False)

    def __getitem__(self, key: Any) -> Any:
        """Index the object in the worker."""
        return self.session.request("item", self, key, None)

    # without this Python would iterate by index 0, 1, 2 and so on, for as long as the student's object answers
    __iter__ = None

    def attribute(self, name: str, *, spec: Any = None) -> Any:
        """Read an attribute of the object in the worker."""
        return self.session.request("attribute", self, name, spec)

    def method(self, name: str, *args: Any, spec: Any = None, **kwargs: Any) -> Any:
        """Call a method of the object in the worker."""
        return self.session.request("method", self, name, args, kwargs, spec)

    def returning_args(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Call the object and bring back, besides the result, the arguments as they are in the worker afterwards."""
        return self.session.call_returning_args(self, args, kwargs, None)

    def value(self) -> Any:
        """Bring the object here as plain data."""
        return self.session.request("value", self)

    def parameters(self) -> dict[str, Any]:
        """Read the named parameters of a module by value."""
        got = self.session.request("parameters", self)
        if not isinstance(got, dict):
            raise StudentFault("failed", "the module's parameters could not be read")
        return got

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Write named parameters of a module; the shapes must fit."""
        self.session.request("set_parameters", self, dict(values))


class Session:
    """One submission under examination.

    `load` must come first. A request either returns plain data or raises a StudentFault; SandboxError means
    that the machine failed, never the student.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        limits: Limits,
        module: str,
        chunks: Sequence[tuple[str, str]],
        names: Sequence[str],
        *,
        tensors: bool = True,
    ) -> None:
        self.sandbox = sandbox
        self.limits = limits
        self.meter = Meter(limits)
        self.epoch = 0
        self.printed = bytearray()
        self._kept = 0  # bytes of output kept so far, over all checks
        self._ahead = bytearray()  # read from the worker, not yet looked at
        self._module = module
        self._chunks = [tuple(c) for c in chunks]
        self._names = list(names)
        self._tensors = tensors
        self._process: Process | None = None
        self._next_id = 1
        self._depth = 0
        self._callbacks: dict[int, Callable[..., Any]] = {}
        self._cpu_mark = 0.0
        self.replies = 0
        self.load_failures: list[dict[str, Any]] = []
        self.defined: frozenset[str] = frozenset()
        self._dead_on_load: StudentFault | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    def begin_check(self) -> None:
        """Forget the last check's handles and callbacks and what it printed."""
        self.epoch += 1
        self.printed.clear()
        self._callbacks.clear()
        self.replies = 0

    def take_output(self) -> str:
        """Return what the running check printed, cut, and forget it."""
        if self._process is not None:
            self._drain(self._process)
        text = bytes(self.printed).decode("utf-8", "replace")
        self.printed.clear()
        return text

    def restart(self) -> None:
        """End the running worker, so that the next request meets a fresh one."""
        self._finish("asked for")

    def close(self) -> None:
        """End the worker and settle what it used."""
        self._finish("closed")

    def _finish(self, why: str, *, kill: bool = False) -> Ending | None:
        process, self._process = self._process, None
        self._ahead.clear()
        if process is None:
            return None
        if kill:
            process.kill()
        self._drain(process)
        with contextlib.suppress(OSError):
            process.sock.close()
        ending = process.ending(1.0)
        if ending.exit is None:
            process.kill()
            ending = replace(process.ending(5.0), exit=None)  # it did not end by itself
        self._drain(process)
        self.meter.cpu_seconds += max(ending.cpu_seconds - self._cpu_mark, 0.0)
        self.meter.peak_mb = max(self.meter.peak_mb, ending.peak_mb)
        self.meter.endings.append(why)
        process.close()
        return ending

    def _worker(self) -> Process:
        if self._process is not None:
            return self._process
        if self._dead_on_load is not None:
            raise self._dead_on_load
        used_up = self.meter.exhausted
        if used_up:
            raise StudentFault("timed out", f"the submission has used up {used_up}")
        left = self.limits.cpu_seconds - self.meter.cpu_seconds
        process = self.sandbox.start(self.limits, left)
        self._process = process
        self.meter.workers += 1
        self._cpu_mark = process.cpu_seconds()  # what the worker needed to come up is not the student's
        try:
            got = self._exchange(("load", self.epoch, self._module, self._chunks, self._names), LOAD_FACTOR)
        except WorkerEnded as fault:
            self._dead_on_load = StudentFault(fault.kind, f"the file could not be loaded: {fault.fact}", fault.detail)
            raise self._dead_on_load from None
        if not isinstance(got, dict) or not all(isinstance(got.get(key), list) for key in ("defined", "failures")):
            self._dead_on_load = self._protocol("a malformed reply to load")
            raise self._dead_on_load
        self.defined = frozenset(n for n in got["defined"] if isinstance(n, str))
        # only what a failure is made of: anything else could make trouble where it is read
        self.load_failures = [
            {key: value for key, value in f.items() if type(key) is str and type(value) in (str, int)}
            for f in got["failures"]
            if isinstance(f, dict)
        ]
        return process

    def load(self) -> None:
        """Start a worker and run the submission's chunks; raise StudentFault where that ends the worker."""
        self._worker()

    # --- requests -----------------------------------------------------------------------------------------------

    def request(self, operation: str, *arguments: Any) -> Any:
        """Send one request and return the student's answer as plain data; raise StudentFault or SandboxError."""
        self._worker()
        if self._depth == 0 and self.meter.exhausted:
            raise StudentFault("timed out", f"the submission has used up {self.meter.exhausted}")
        return self._exchange((operation, self.epoch, *arguments), 1)

    def call_returning_args(
        self, target: str | Handle, args: Sequence[Any], kwargs: Mapping[str, Any], wire: Any
    ) -> tuple[Any, list[Any]]:
        """Call a function of the submission; return (result, arguments afterwards), or raise StudentFault."""
        got = self.request("call", target, args, kwargs, wire, True)
        if not isinstance(got, tuple) or len(got) != 2 or not isinstance(got[1], list):
            raise StudentFault("failed", "the code interfered with the grader's connection")
        return got

    @contextlib.contextmanager
    def limit(self, *, cpu_seconds: float) -> Iterator[None]:
        """Set the CPU limit of each call inside the block: lower, or up to the assignment's for training.

        A call that may take longer may also wait longer, within the submission's own limits.
        """
        before = self.limits
        allowed = min(cpu_seconds, max(before.call_cpu_seconds, before.training_cpu_seconds))
        wall = before.call_wall_seconds * max(1.0, allowed / before.call_cpu_seconds)
        self.limits = replace(before, call_cpu_seconds=allowed, call_wall_seconds=wall)
        try:
            yield
        finally:
            self.limits = before

    def _encode(self, value: Any) -> tuple[Any, list[Any]]:
        def opaque(item: Any) -> list[Any]:
            if isinstance(item, Handle):
                if item.session is not self or item.worker != self.meter.workers or item.epoch != self.epoch:
                    raise StudentFault("failed", "the code lost what it had kept for a later call")
                return ["h", item.number, item.type_name]
            if callable(item):
                number = len(self._callbacks) + 1
                self._callbacks[number] = item
                return ["F", number]
            raise TypeError(f"a {type(item).__name__} cannot be sent to student code")

        encoder = Encoder(opaque)
        return encoder.tree(value), encoder.buffers

    def _exchange(self, message: tuple[Any, ...], factor: float) -> Any:
        process = self._process
        assert process is not None
        if self._readable(process, 0):
            raise self._protocol("it sent something that was not asked for")
        number = self._next_id
        self._next_id += 1
        tree, buffers = self._encode(message)
        clock = _Clock(process, self.limits, factor)
        try:
            # a request is the tuple (number, operation, epoch, arguments...)
            self._send(process, pack(["t", number, *tree[1:]], buffers), clock)
            return self._answer(process, number, clock)
        finally:  # however it ended, the time was the student's
            clock.pause()
            self.meter.wall_seconds += clock.take_wall()

    def _answer(self, process: Process, number: int, clock: _Clock) -> Any:
        """Return the reply to request `number`, serving the student's calls of given functions until it comes."""
        while True:
            reply = self._receive(process, clock)
            kind = reply[1] if isinstance(reply, tuple) and len(reply) >= 3 else None
            if type(kind) is not str or type(reply[0]) is not int or reply[0] != number:
                raise self._protocol("a reply that does not answer the request")
            if kind == "call":
                self._call_back(process, reply, clock)
                continue
            self._settle(process, clock)
            if len(reply) != 3:
                raise self._protocol("a malformed reply")
            if kind == "ok":
                self.replies += 1
                return reply[2]
            if kind == "error":
                self.replies += 1
                raise self._raised(reply[2])
            raise self._protocol("an unknown kind of reply")

    def _settle(self, process: Process, clock: _Clock) -> None:
        clock.pause()
        now = process.cpu_seconds()
        self.meter.cpu_seconds += max(now - self._cpu_mark, 0.0)
        self._cpu_mark = max(now, self._cpu_mark)
        self.meter.wall_seconds += clock.take_wall()

    def _call_back(self, process: Process, reply: tuple[Any, ...], clock: _Clock) -> None:
        """Run a function of the examiner that student code called, off the student's clock."""
        clock.pause()
        if len(reply) != 5 or not isinstance(reply[3], tuple) or not isinstance(reply[4], dict):
            raise self._protocol("a malformed call")
        function = self._callbacks.get(reply[2]) if type(reply[2]) is int else None
        if function is None:
            raise self._protocol("a call of a function that it was not given")
        self.meter.callbacks += 1
        if self.meter.callbacks > self.limits.callbacks:
            self._finish("too many callbacks", kill=True)
            raise WorkerEnded("failed", f"it called the given function more than {self.limits.callbacks:,} times")
        if self._depth >= self.limits.callback_depth:
            self._finish("callbacks too deep", kill=True)
            raise WorkerEnded("failed", "it called the given function inside itself too often")
        if self.meter.callback_seconds > self.limits.wall_seconds:
            self._finish("callbacks too slow", kill=True)
            raise WorkerEnded("timed out", "its calls of the given function took too long together")
        self.replies += 1
        self._depth += 1
        began = time.monotonic()
        try:
            if any(type(key) is not str for key in reply[4]):
                raise self._protocol("a malformed call")
            result = function(*reply[3], **reply[4])
        except BaseException:
            # nothing of ours is handed to the student: the worker ends, the exception goes to the check
            self._finish("a callback failed", kill=True)
            raise
        finally:
            self._depth -= 1
            if self._depth == 0:  # a nested call is part of the outer one's time
                self.meter.callback_seconds += time.monotonic() - began
        tree, buffers = self._encode(("return", result))
        self._send(process, pack(["t", reply[0], *tree[1:]], buffers), clock)

    def _raised(self, error: Any) -> StudentFault:
        if not isinstance(error, dict):
            return self._protocol("a malformed error")

        def text(key: str, limit: int) -> str:
            value = error.get(key)
            return value[:limit] if isinstance(value, str) else ""

        message, type_name, kind = text("message", 400), text("type", 80), text("kind", 20)
        label, line = self.place(error.get("label"), error.get("line"))
        where = f" at {label}, line {line}" if label and line else ""
        if kind == "not attempted":
            fact = "not written yet"
        elif kind == "out of memory":
            fact = f"ran out of memory (it may use {self.limits.memory_mb} MiB)"
        elif kind == "unsendable":
            return StudentFault("failed", f"returned {known_refusal(message)}", message)
        else:
            kind, fact = "raised", f"raised {known_exception(type_name)}{where}"
        return StudentRaised(kind, fact, type_name=type_name, message=message, line=line, label=label)

    def place(self, label: Any, line: Any) -> tuple[str, int]:
        """Return a place in the submission as the worker names it, empty where there is no such place."""
        for own, source in self._chunks:
            if type(label) is str and own == label and type(line) is int and 0 < line <= source.count("\n") + 1:
                return own, line
        return "", 0

    def _protocol(self, what: str) -> WorkerEnded:
        self._finish(f"protocol: {what}", kill=True)
        return WorkerEnded("failed", "the code interfered with the grader's connection", what)

    # --- bytes --------------------------------------------------------------------------------------------------

    def _readable(self, process: Process, timeout: float) -> bool:
        if self._ahead:
            return True
        ready, _, _ = select.select([process.sock], [], [], timeout)
        return bool(ready)

    def _drain(self, process: Process) -> int:
        """Read what the worker printed, without waiting; keep the beginning."""
        total = 0
        while True:
            try:
                data = os.read(process.output, 1 << 16)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                break
            if not data:
                break
            total += len(data)
            kept = data[: max(min(KEPT_OUTPUT - len(self.printed), KEPT_IN_ALL - self._kept), 0)]
            self.printed += kept
            self._kept += len(kept)
            if total >= 1 << 20:
                break  # look at the clocks now and then
        self.meter.printed += total
        return total

    def _wait(self, process: Process, clock: _Clock, *, write: bool) -> None:
        """Wait until the socket is ready; drain output and watch the clocks meanwhile."""
        while True:
            clock.run()
            readers: list[Any] = [process.output] if clock.output_open else []
            writers: list[Any] = []
            (writers if write else readers).append(process.sock)
            ready, writable, _ = select.select(readers, writers, [], clock.tick())
            if process.output in ready:
                got = self._drain(process)
                if got == 0:
                    clock.output_open = False
                if self.meter.printed > self.limits.output_mb * (1 << 20):
                    self._finish("printed too much", kill=True)
                    raise WorkerEnded("failed", f"printed more than {self.limits.output_mb:g} MiB")
            self._check_clock(process, clock)
            if process.sock in ready or process.sock in writable:
                return

    def _check_clock(self, process: Process, clock: _Clock) -> None:
        over = clock.over()
        if over:
            self._settle(process, clock)
            self._finish(over, kill=True)
            raise WorkerEnded("timed out", f"took longer than {over}")

    def _send(self, process: Process, pieces: Sequence[bytes | memoryview], clock: _Clock) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                try:
                    view = view[process.sock.send(view[: 1 << 20]) :]
                except (BlockingIOError, InterruptedError):
                    self._wait(process, clock, write=True)
                except OSError:
                    raise self._gone(process, clock) from None

    def _read(self, process: Process, count: int, clock: _Clock) -> bytearray:
        data = bytearray(count)
        start = min(len(self._ahead), count)
        data[:start] = self._ahead[:start]
        del self._ahead[:start]
        view = memoryview(data)[start:]
        reads = 0
        while view:
            reads += 1
            if reads % 64 == 0:  # a drip of bytes may never let us wait
                self._check_clock(process, clock)
            try:
                if len(view) < READ_AHEAD:  # a whole small reply usually comes in one call
                    more = process.sock.recv(READ_AHEAD)
                    got = min(len(more), len(view))
                    view[:got] = more[:got]
                    self._ahead += more[got:]
                else:
                    got = process.sock.recv_into(view)
            except (BlockingIOError, InterruptedError):
                self._wait(process, clock, write=False)
                continue
            except OSError:
                got = 0
            if not got:
                raise self._gone(process, clock)
            view = view[got:]
        return data

    def _receive(self, process: Process, clock: _Clock) -> Any:
        clock.run()
        try:
            if not self._ahead:
                self._wait(process, clock, write=False)
            head = read_head(self._read(process, HEADER.size, clock), int(self.limits.reply_mb * (1 << 20)))
            tree, buffers = unpack(head, self._read(process, head.body, clock))
            worker, epoch = self.meter.workers, self.epoch

            def handle(number: int, type_name: str) -> Handle:
                return Handle(self, number, type_name[:80], worker, epoch)

            return Decoder(buffers, handle=handle, tensors=self._tensors).value(tree)
        except WireError as error:
            if "too large" in str(error):
                self._finish("reply too large", kill=True)
                raise WorkerEnded(
                    "failed", f"returned more than {self.limits.reply_mb:g} MiB (reply too large)"
                ) from None
            raise self._protocol(str(error)) from None
        except RecursionError:
            raise self._protocol("nested too deep") from None

    def _gone(self, process: Process, clock: _Clock) -> WorkerEnded:
        """Find out why the worker closed its end; raise SandboxError where it was not the student's doing."""
        clock.pause()
        self.meter.wall_seconds += clock.take_wall()
        if self._process is None:  # already settled
            return WorkerEnded("raised", "the process ended")
        ending = self._finish("ended by itself")
        if ending and ending.lost:
            raise SandboxError("the sandbox was ended while student code ran in it")
        code = ending.exit if ending else None
        if code is None:
            return WorkerEnded("raised", "the code broke its connection to the grader")
        if code in (-24, -9):
            used = f"{self.limits.cpu_seconds:g} CPU seconds for the whole submission"
            if ending and ending.cpu_seconds >= self.limits.cpu_seconds - 1:
                return WorkerEnded("timed out", f"took longer than {used}")
            return WorkerEnded("out of memory", "the process was stopped by the system, most likely for memory")
        if code < 0:
            return WorkerEnded("raised", f"the process crashed (signal {-code})")
        if code == 70 and b"MemoryError" in self.printed:
            return WorkerEnded("out of memory", f"ran out of memory (it may use {self.limits.memory_mb} MiB)")
        return WorkerEnded("raised", f"the code ended its own process (exit status {code})")


#: Exceptions that may be named to a student. A name of the student's own could carry hidden inputs out.
_NAMED = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
) | {"LinAlgError", "AxisError", "UFuncTypeError", "_UFuncNoLoopError", "ComplexWarning", "OutOfMemoryError"}

_REFUSALS = {
    "a masked array": "a masked array: return a plain array",
    "an array of dtype object": "an array of objects: numbers are asked",
    "an array of dtype": "an array that does not hold numbers",
    "a tensor of dtype": "a tensor of a type that is not read",
    "a sparse tensor": "a sparse tensor: return a dense one",
    "nested deeper": "a value that is nested too deep",
    "more than": "more values than are read: use arrays",
    "a generator of more": "a generator of too many items",
    "an integer of more": "an integer that is too large",
}


def known_exception(name: str) -> str:
    """Return the name of an exception that a student may be told, "an exception" for one of their own."""
    return name if name in _NAMED else "an exception"


def known_refusal(message: str) -> str:
    """Return in fixed words why a value could not be sent; the worker's own words are for the instructor."""
    for beginning, words in _REFUSALS.items():
        if message.startswith(beginning):
            return words
    return "something that cannot be read"


class _Clock:
    """The student's time in one request: it runs only while the examiner waits for the student."""

    def __init__(self, process: Process, limits: Limits, factor: float) -> None:
        self.process = process
        self.cpu_limit = limits.call_cpu_seconds * factor
        self.wall_limit = limits.call_wall_seconds * factor
        self.cpu_start = process.cpu_seconds()
        self.output_open = True
        self._wall = 0.0
        self._taken = 0.0
        self._since: float | None = None
        self._waits = 0

    def run(self) -> None:
        if self._since is None:
            self._since = time.monotonic()

    def pause(self) -> None:
        if self._since is not None:
            self._wall += time.monotonic() - self._since
            self._since = None

    def wall(self) -> float:
        return self._wall + (time.monotonic() - self._since if self._since is not None else 0.0)

    def take_wall(self) -> float:
        """Return the wall seconds that have not been taken yet."""
        new = self.wall() - self._taken
        self._taken += new
        return new

    def tick(self) -> float:
        self._waits += 1
        return min(TICK * (1 + self._waits // 10), 0.25, max(self.wall_limit - self.wall(), 0.001))

    def over(self) -> str | None:
        if self.wall() > self.wall_limit:
            return f"{self.wall_limit:g} seconds"
        if self.process.cpu_seconds() - self.cpu_start > self.cpu_limit:
            return f"{self.cpu_limit:g} CPU seconds"
        return None
