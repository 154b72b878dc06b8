"""Running code for quizzes in the sandbox: what a program prints, what an oracle computes, what a learner wrote."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from grader.course.assignment import Limits
from grader.errors import SandboxError
from grader.sandbox.faults import StudentFault
from grader.sandbox.probe import open_strongest, open_tier
from grader.sandbox.session import Sandbox, Session

#: what an oracle or a question's own program may use
ORACLE_LIMITS = Limits(
    call_cpu_seconds=30.0, call_wall_seconds=60.0, cpu_seconds=300.0, wall_seconds=600.0, memory_mb=2048
)
#: what a learner's answer to a code question may use, over all its tests
ANSWER_LIMITS = Limits(call_cpu_seconds=2.0, call_wall_seconds=10.0, cpu_seconds=10.0, wall_seconds=30.0)

_PROGRAM = '''
import contextlib, io

def quiz_run(source):
    """Run a program and return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "question.py", "exec"), {"__name__": "__main__"})
    return printed.getvalue()
'''

_HARNESS = '''
import inspect as _inspect
import numpy as _numpy

def _quiz_fitting(function, given):
    parameters = _inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return given
    return {name: value for name, value in given.items() if name in parameters}

def quiz_call(name, given, all_of_them):
    """Call an oracle with what it names of `given`, or with everything."""
    function = globals()[name]
    result = function(**(given if all_of_them else _quiz_fitting(function, given)))
    if type(result).__name__ == "Size":  # torch.Size
        return [int(n) for n in result]
    return result

def quiz_gradient(name, given, wrt):
    """Return (d oracle / d wrt, how exact it is): by a complex step where the function allows it, else differences."""
    function = globals()[name]
    given = _quiz_fitting(function, given)
    at = _numpy.array(given[wrt], dtype=float)
    real = _numpy.zeros(at.shape)
    exact = _numpy.zeros(at.shape)
    analytic = True
    for index in _numpy.ndindex(at.shape):
        step = 1e-5 * max(1.0, abs(at[index]))
        sides = []
        for k in (2, 1, -1, -2):
            moved = at.copy()
            moved[index] += k * step
            sides.append(float(_numpy.squeeze(function(**{**given, wrt: moved}))))
        real[index] = (-sides[0] + 8 * sides[1] - 8 * sides[2] + sides[3]) / (12 * step)
        if analytic:
            try:
                moved = at.astype(complex)
                moved[index] += 1e-30j
                exact[index] = float(_numpy.imag(_numpy.squeeze(function(**{**given, wrt: moved})))) / 1e-30
            except Exception:
                analytic = False
    scale = float(_numpy.max(_numpy.abs(real))) if real.size else 0.0
    if analytic and float(_numpy.max(_numpy.abs(exact - real))) <= 1e-6 * max(scale, 1e-12):
        return exact, 1e-10
    return real, 1e-7
'''


class OracleFailed(Exception):
    """An oracle or a program that could not be run; the message says why in a few words."""


class CodeBox:
    """Sandboxes that are opened when they are first needed and reused; one piece of code runs at a time.

    `tier` is 0, 1 or 2, or None for the strongest of 1 and 2. Use it in a `with` block, or call close().
    """

    def __init__(self, tier: int | None = None) -> None:
        self.tier = tier
        self._open: dict[tuple[str, ...], Sandbox] = {}
        self._oracles: dict[tuple[str, str], Session] = {}
        self.lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every session and sandbox."""
        with self.lock:
            for session in self._oracles.values():
                session.close()
            self._oracles.clear()
            for sandbox in self._open.values():
                sandbox.close()
            self._open.clear()

    def sandbox(self, packages: Sequence[str]) -> Sandbox:
        """Return an open sandbox with these packages; raise SandboxError and CourseError."""
        wanted = tuple(packages)
        with self.lock:
            if wanted not in self._open:
                self._open[wanted] = open_strongest(wanted)[0] if self.tier is None else open_tier(self.tier, wanted)
            return self._open[wanted]

    @contextlib.contextmanager
    def session(
        self,
        chunks: Sequence[tuple[str, str]],
        names: Sequence[str],
        packages: Sequence[str],
        limits: Limits = ANSWER_LIMITS,
    ) -> Iterator[Session]:
        """Yield a session on pieces of code, closed afterwards; nobody else runs code meanwhile."""
        with self.lock:
            session = Session(self.sandbox(packages), limits, "answer", chunks, names, tensors="torch" in packages)
            try:
                yield session
            finally:
                session.close()

    # --- what questions and oracles need ---------------------------------------------------------------------------

    def printed(self, source: str, packages: Sequence[str] = ("numpy",)) -> str:
        """Return what a program prints; raise OracleFailed where it ends with an exception."""
        with self.session([("run.py", _PROGRAM)], ["quiz_run"], packages, ORACLE_LIMITS) as session:
            got = _asked(session, "quiz_run", (source,))
        return str(got)

    def oracle(
        self, source: str, file: str, function: str, given: Mapping[str, Any], *, packages: Sequence[str], whole: bool
    ) -> Any:
        """Return what a function of an oracle file computes; raise OracleFailed.

        With `whole` it gets all of `given`, else what its signature names.
        """
        with self.lock:
            return _asked(self._ready(source, file, function, packages), "quiz_call", (function, dict(given), whole))

    def gradient(
        self, source: str, file: str, function: str, given: Mapping[str, Any], wrt: str, *, packages: Sequence[str]
    ) -> tuple[Any, float]:
        """Return (gradient, relative error) of a scalar function of an oracle file; raise OracleFailed."""
        with self.lock:
            session = self._ready(source, file, function, packages)
            got = _asked(session, "quiz_gradient", (function, dict(given), wrt))
        return got[0], float(got[1])

    def _ready(self, source: str, file: str, function: str, packages: Sequence[str]) -> Session:
        """Return a session on an oracle file that has the function, warm for the next call."""
        # a session has a budget: a long check takes a new one now and then
        key = (source, "+".join(packages))
        session = self._oracles.get(key)
        if session is not None and (session.meter.exhausted or session.meter.workers > 5):
            session.close()
            session = None
        if session is None:
            chunks = [(file, source), ("harness.py", _HARNESS)]
            session = Session(
                self.sandbox(packages), ORACLE_LIMITS, "oracle", chunks, ["quiz_call", "quiz_gradient"],
                tensors="torch" in packages,
            )  # fmt: skip
            self._oracles[key] = session
        return session


def _asked(session: Session, name: str, arguments: tuple[Any, ...]) -> Any:
    try:
        session.begin_check()
        session.load()
        for failure in session.load_failures:
            line = f", line {failure.get('line')}" if failure.get("line") else ""
            what = f"{failure.get('type')}: {failure.get('message')}"
            raise OracleFailed(f"{failure.get('chunk')} cannot be loaded: {what}{line}")
        return session.request("call", name, arguments, {}, None, False)
    except StudentFault as fault:
        detail = f": {fault.detail}" if fault.detail else ""
        raise OracleFailed(f"it {fault.fact}{detail}") from None
    except SandboxError as error:
        raise OracleFailed(f"the sandbox failed: {error}") from None
