"""The tests of code questions: run in the trusted process against a proxy of the learner's code in the sandbox."""

from __future__ import annotations

import ast
import inspect
import linecache
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grader.checking import evidence
from grader.checking.classify import classify
from grader.checking.compare import close, observe, require
from grader.checking.diagnosis import Evidence, is_strong
from grader.checking.plugin import check_seed
from grader.checking.report import Outcome
from grader.quiz import syntax
from grader.quiz.running import CodeBox
from grader.sandbox.proxy import Student

SEED = 20
_ONE_AT_A_TIME = threading.RLock()  # the record of what a test looks at belongs to the process


class TestsBroken(Exception):
    """Tests that cannot be run at all; the message says why."""


@dataclass(frozen=True)
class TestResult:
    """The outcome of one test function: its title, what the learner may read, and what the test looked at."""

    id: str
    title: str
    outcome: Outcome
    facts: tuple[str, ...]
    detail: str
    evidence: Evidence


def test_names(source: str) -> list[str]:
    """Return the names of the test functions of a source, in order; raise TestsBroken where it is no Python."""
    try:
        tree = syntax.module_of(source)
    except (SyntaxError, ValueError) as error:
        said = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise TestsBroken(f"the tests are no Python: {said}") from None
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def _functions(source: str) -> dict[str, Callable[..., None]]:
    """Run the tests' own source, which belongs to the course, and return its test functions."""
    import numpy as np

    names = test_names(source)
    if not names:
        raise TestsBroken("there is no function test_...")
    file = "<tests of a question>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {"np": np, "close": close, "require": require, "observe": observe, "__name__": "tests"}
    try:
        # the author's tests are part of the course, as hidden suites are; a learner's code never comes here
        exec(compile(source, file, "exec", dont_inherit=True), space)
    except Exception as error:
        raise TestsBroken(f"the tests cannot be loaded: {type(error).__name__}: {error}") from None
    return {name: space[name] for name in names}


def run_tests(
    box: CodeBox, answer: str, tests: str, names: Mapping[str, Any], packages: Sequence[str]
) -> list[TestResult]:
    """Return the result of every test of an answer; raise TestsBroken, SandboxError and CourseError.

    `names` maps each asked-for name to its return spec, as in assignment.yaml. A test function takes `student` and,
    if it names it, `rng`. One run at a time: the record of what a test looks at belongs to the process.
    """
    import numpy as np

    functions = _functions(tests)
    results = []
    with _ONE_AT_A_TIME, box.session([("answer.py", answer)], list(names), packages) as session:
        student = Student(session, names)
        for name, function in functions.items():
            session.begin_check()
            record = evidence.begin()
            given = {"student": student, "rng": np.random.default_rng(check_seed(SEED, name))}
            wanted = inspect.signature(function).parameters
            error: BaseException | None = None
            try:
                function(**{key: value for key, value in given.items() if key in wanted})
            except Exception as raised:
                error = raised
            verdict = classify(error, answered=session.replies > 0)
            seen = Evidence(record.items, is_strong(record.strong, record.judged, record.items))
            title = (inspect.getdoc(function) or name.removeprefix("test_").replace("_", " ")).splitlines()[0]
            facts = (*verdict.facts, *(record.notes if error is not None else ()))
            results.append(TestResult(name, title, verdict.outcome, facts, verdict.detail, seen))
    evidence.begin()  # what was kept must not outlive the run
    return results
