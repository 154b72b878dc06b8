"""Run a suite that was collected once over one submission after the other, in the trusted process.

`pytest.main` collects the suite; then, instead of running it, `Suite` forks an examiner for each submission. The
fork starts from a clean, warm state, so that nothing leaks from one submission to the next.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from grader.checking import evidence
from grader.checking.classify import Verdict, classify
from grader.checking.diagnosis import is_strong
from grader.checking.plugin import EXAMINATION, Examination, check_id
from grader.checking.report import Outcome
from grader.course.assignment import Assignment
from grader.errors import CourseError
from grader.sandbox.session import Sandbox, Session

EXAMINER_MEMORY = 8 << 30  # bytes of address space: the examiner must not be brought down by a student's words


@dataclass(frozen=True)
class Check:
    """A check as the suite declares it."""

    id: str
    part: str
    title: str
    points: float
    location: str
    kept: str = ""  # why it stays although it may kill no mutant of its own
    training: bool = False  # it trains a model: dear, and no part of the diagnosis


class _Loop:
    """Takes the place of pytest's own loop and reports."""

    def __init__(self, assignment: Assignment, serve: Any) -> None:
        self.assignment = assignment
        self.serve = serve
        self.items: list[pytest.Item] = []
        self.errors: list[str] = []
        self.error: BaseException | None = None
        self.when = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Take a suite that leaves while it is imported for one that cannot be collected.

        pytest itself lets SystemExit through, up to a traceback of its own on standard error.
        """
        try:
            return (yield)
        except SystemExit as error:
            words = f"SystemExit: it leaves while it is imported, with {error.code!r}"
            return pytest.CollectReport(collector.nodeid, "failed", words, [])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(_last_line(str(report.longrepr)))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = list(session.items)
        self.serve(self)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
        """Keep the exception and skip pytest's expensive formatting of tracebacks."""
        if call.excinfo is not None and self.error is None:
            self.error = call.excinfo.value
            self.when = call.when
        return pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="passed" if call.excinfo is None else "failed",
            longrepr=None,
            when="call" if call.when == "collect" else call.when,
            sections=(),
            duration=call.duration,
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "collection failed"


def _title(item: pytest.Item) -> str:
    function = getattr(item, "function", None)
    first = (getattr(function, "__doc__", None) or "").strip().splitlines()
    title = first[0].strip() if first else check_id(item).removeprefix("test_").replace("_", " ")
    spec = getattr(item, "callspec", None)
    if spec is not None and "{" in title:
        values = {key: value for key, value in spec.params.items() if isinstance(value, str | int | float)}
        values["id"] = spec.id
        for key, value in values.items():
            title = title.replace("{" + key + "}", str(value))
    return title


def declared_check(item: pytest.Item, assignment: Assignment) -> Check:
    """Return what the suite says about one check; raise CourseError where points or part are missing or wrong."""
    points = item.get_closest_marker("points")
    part = item.get_closest_marker("part")
    where = f"{item.path}:{(item.location[1] or 0) + 1}"
    if points is None or len(points.args) != 1 or not isinstance(points.args[0], int | float):
        raise CourseError(f"check {check_id(item)} has no points", where=where, advice="Add @pytest.mark.points(n)")
    known = [p.id for p in assignment.parts]
    if part is None or len(part.args) != 1 or part.args[0] not in known:
        raise CourseError(
            f"check {check_id(item)} belongs to no part of the assignment",
            where=where,
            advice=f"Add @pytest.mark.part(...) with one of {', '.join(known)}",
        )
    kept = item.get_closest_marker("kept")
    why = str(kept.args[0]) if kept is not None and kept.args else ""
    training = item.get_closest_marker("training") is not None
    return Check(check_id(item), part.args[0], _title(item), float(points.args[0]), where, why, training)


class Suite:
    """A collected suite: its checks, and how to run them on one submission in this process."""

    def __init__(self, loop: _Loop, assignment: Assignment) -> None:
        self._loop = loop
        self.assignment = assignment
        self.checks = tuple(declared_check(item, assignment) for item in loop.items)

    def run(
        self,
        session: Session,
        seed: int,
        *,
        shuffle: int | None = None,
        isolate: bool = False,
        only: Sequence[str] | None = None,
        details: bool = False,
    ) -> dict[str, Any]:
        """Run the checks on a session and return plain data: a result for each check, and the evidence.

        `shuffle` is the seed of another order, `isolate` gives each check a worker of its own, `only` names the
        checks to run, `details` adds full tracebacks for the instructor. May be called once in a process.
        """
        loop = self._loop
        config = loop.items[0].config
        config.stash[EXAMINATION] = Examination(session, self.assignment.names, seed)
        order = [
            (item, check)
            for item, check in zip(loop.items, self.checks, strict=True)
            if only is None or check.id in only
        ]
        if shuffle is not None:
            random.Random(shuffle).shuffle(order)
        results: dict[str, dict[str, Any]] = {}
        for index, (item, check) in enumerate(order):
            session.begin_check()
            record = evidence.begin()
            loop.error, loop.when = None, ""
            following = order[index + 1][0] if index + 1 < len(order) else None
            runtestprotocol(item, log=False, nextitem=following)
            verdict = classify(loop.error, answered=session.replies > 0)
            if loop.when == "teardown" and verdict.outcome is not Outcome.PASSED:
                verdict = Verdict(Outcome.UNGRADED, (), verdict.detail)
            detail = verdict.detail
            if details and loop.error is not None:
                detail += "\n" + _traceback(item, loop.error)
            results[check.id] = {
                "outcome": verdict.outcome.value,
                "facts": [*verdict.facts, *(record.notes if verdict.outcome is not Outcome.PASSED else [])],
                "detail": detail,
                "location": _where(item, loop.error),
                "output": session.take_output(),
                "strong": is_strong(record.strong, record.judged, record.items),
                "evidence": None if verdict.outcome is Outcome.PASSED else record.items,
                "margins": record.margins,
                "pictures": record.pictures,
            }
            if isolate:
                session.restart()
        session.close()
        return results


def _where(item: pytest.Item, error: BaseException | None) -> str:
    """Return the line of the suite at which a check stopped."""
    trace = error.__traceback__ if error is not None else None
    line = 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(item.path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{item.path.name}:{line}" if line else ""


def _traceback(item: pytest.Item, error: BaseException) -> str:
    info = pytest.ExceptionInfo.from_exception(error)
    try:
        return str(item.repr_failure(info))[:20_000]
    except Exception as failure:  # pytest may fail to describe a strange exception; the rest of the report stands
        return f"(the traceback could not be formatted: {type(failure).__name__})"


def with_suite(suite: Path, assignment: Assignment, use: Any) -> None:
    """Collect the suite and call `use(Suite)` inside pytest; raise CourseError where it cannot be collected.

    The suite belongs to the process: an edited file needs a new process.
    """
    failure: list[BaseException] = []

    def serve(loop: _Loop) -> None:
        try:
            if loop.errors or not loop.items:
                raise CourseError(
                    f"the suite cannot be collected: {loop.errors[0] if loop.errors else 'it holds no check'}",
                    where=suite,
                    advice="Run it with pytest to see more",
                )
            use(Suite(loop, assignment))
        except BaseException as error:
            failure.append(error)
            raise pytest.exit.Exception("stopped") from None

    loop = _Loop(assignment, serve)
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    ini = Path(__file__).with_name("suite.ini")
    off = ["cacheprovider", "faulthandler", "terminal", "junitxml", "logging", "warnings", "unraisableexception",
           "threadexception", "stepwise", "pastebin", "doctest"]  # fmt: skip
    arguments = [
        str(suite), "-s", "-c", str(ini), f"--rootdir={suite.parent}", "--import-mode=importlib",
        "--noconftest", "-p", "grader.checking.plugin", "--continue-on-collection-errors",
        *[word for name in off for word in ("-p", f"no:{name}")],
    ]  # fmt: skip
    pytest.main(arguments, plugins=[loop])
    if failure:
        raise failure[0]
    if not loop.items:
        raise CourseError(
            loop.errors[0] if loop.errors else "the suite cannot be collected",
            where=suite,
            advice="Run it with pytest to see more",
        )


def open_session(sandbox: Sandbox, assignment: Assignment, chunks: Sequence[tuple[str, str]]) -> Session:
    """Return a session on a submission's chunks in the given sandbox."""
    return Session(
        sandbox,
        assignment.limits,
        Path(assignment.module).stem,
        chunks,
        list(assignment.names),
        tensors="torch" in assignment.packages,
    )


def limit_examiner() -> None:
    """Bound this process's address space, so that nothing a student sends can take the machine down."""
    try:
        import resource
    except ImportError:  # Windows: tier 0 only
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or soft > EXAMINER_MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (EXAMINER_MEMORY, hard))


def plain_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return results without evidence, for those who only want outcomes."""
    return {key: {k: v for k, v in value.items() if k != "evidence"} for key, value in results.items()}
