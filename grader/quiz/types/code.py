"""A function to be written: marked by tests in the sandbox, which prove themselves on a reference and mutants."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.checking.diagnosis import Fingerprint, explain
from grader.checking.report import Outcome
from grader.errors import GraderError
from grader.quiz import marks, syntax
from grader.quiz.answers import Misread
from grader.quiz.codetests import TestResult, TestsBroken, run_tests, test_names
from grader.quiz.kinds import Fault, no_whys
from grader.quiz.lab import Lab
from grader.quiz.model import Expected, Item, Mark, Question, Response, Status
from grader.quiz.running import CodeBox
from grader.quiz.schema import MisconceptionId, Name, QuestionSpec, Strict, Text

KIND = "code"

LONGEST = 20_000


class Replacement(Strict):
    """A piece of the reference and what a mutant has in its place; the piece stands there exactly once."""

    old: Text
    new: str


class Mutant(Strict):
    """The reference with one misconception: the whole code, or a replacement in the reference."""

    code: Text | None = None
    replace: Replacement | None = None
    misconception: MisconceptionId | None = None
    feedback: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.code is None) == (self.replace is None):
            raise PydanticCustomError("mutant", "a mutant has exactly one of code and replace")
        return self

    def source(self, reference: str) -> str | None:
        """Return the mutant's code, None where the piece to be replaced does not stand exactly once."""
        if self.code is not None:
            return self.code
        assert self.replace is not None
        return reference.replace(self.replace.old, self.replace.new) if reference.count(self.replace.old) == 1 else None


class Spec(QuestionSpec):
    """The keys of a code question. `names` are what must be written, with what each returns (see assignment.yaml).

    Tests are Python: functions `test_...(student)`, also taking `rng` if they name it, with `close`, `require`,
    `observe` and `np` at hand. `twins` are other right answers.
    """

    type: Literal["code"]
    names: Annotated[dict[Name, Any], Field(min_length=1)]
    starter: Text
    reference: Text
    tests: Text
    mutants: list[Mutant] = Field(default_factory=list)
    twins: list[Text] = Field(default_factory=list)
    scoring: Literal["per-test", "all-or-nothing"] = "per-test"
    requires: list[Literal["numpy", "torch"]] = Field(default_factory=lambda: ["numpy"])  # type: ignore[arg-type]

    @model_validator(mode="after")
    def _no_parameters(self) -> Self:
        if self.params:
            raise PydanticCustomError("params", "a code question has no parameters: its tests draw their own inputs")
        return self

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and the mutants' feedback; code is never filled in."""
        own = [(("mutants", n, "feedback"), m.feedback) for n, m in enumerate(self.mutants) if m.feedback]
        return [*super().texts(), *own]


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def _specs(spec: Spec) -> dict[str, Any]:
    """Return name -> return spec in the form of an assignment's."""

    def frozen(one: Any) -> Any:
        if isinstance(one, list):
            return tuple(frozen(inner) for inner in one)
        return {key: frozen(inner) for key, inner in one.items()} if isinstance(one, dict) else one

    return {name: frozen(one) for name, one in spec.names.items()}


def view(item: Item) -> Mapping[str, Any]:
    """Return what to start from."""
    spec = _spec(item)
    return {"starter": spec.starter, "rule": f"Write {', '.join(spec.names)}. It is run against {_count(spec)} tests."}


def _count(spec: Spec) -> int:
    return len(test_names(spec.tests))


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Run an answer against the tests; without a box it waits for one."""
    spec = _spec(item)
    if not isinstance(response, str):
        raise Misread("Source code is asked for.")
    if len(response) > LONGEST:
        raise Misread(f"The answer may have {LONGEST:,} characters.")
    source = response
    if not source.strip() or source.strip() == spec.starter.strip():
        raise Misread("There is no answer yet.")
    try:
        syntax.module_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else "it cannot be read"
        return marks.invalid("syntax", f"This is no Python: {said}.")
    if box is None:
        return marks.undecided("no-box", "Code is not run here; it will be marked later.")
    try:
        results = run_tests(box, source, spec.tests, _specs(spec), _packages(spec))
    except (TestsBroken, GraderError) as problem:
        return marks.undecided("ungraded", "The tests could not be run.", evidence={"problem": str(problem)})
    return _mark_of(item, spec, results, box)


def _mark_of(item: Item, spec: Spec, results: Sequence[TestResult], box: CodeBox) -> Mark:
    evidence = {"tests": {r.id: r.outcome.value for r in results}}
    if any(r.outcome is Outcome.UNGRADED for r in results):
        detail = next(r.detail for r in results if r.outcome is Outcome.UNGRADED)
        return marks.undecided("ungraded", "The tests could not be run.", evidence={**evidence, "problem": detail})
    failed = [r for r in results if r.outcome is not Outcome.PASSED]
    if not failed:
        return marks.right(evidence=evidence)
    score = 1 - len(failed) / len(results)
    if spec.scoring == "all-or-nothing":
        score = 0.0
    held: list[str] = []
    feedback: list[str] = []
    unwritten = frozenset(r.id for r in failed if r.outcome is Outcome.NOT_ATTEMPTED)
    told = {r.id: r.evidence for r in failed if r.id not in unwritten}
    for found in explain(told, fingerprints(item, box), unwritten) if told else ():
        held += [found.misconception] if found.misconception else []
        feedback += [found.hint] if found.hint else []
    for result in failed[:6]:
        facts = "; ".join(result.facts)
        feedback.append(f"{result.title}{': ' + facts if facts else ''}")
    note = f"tests:{len(results) - len(failed)}/{len(results)}"
    return marks.graded(score, f"wrong:{held[0]}" if held else note, tuple(feedback), tuple(held), evidence)


def fingerprints(item: Item, box: CodeBox) -> list[Fingerprint]:
    """Return what the mutants answer in the tests that they fail; computed once for a question."""
    return _fingerprints(item.question.content, _Held(item, box))


class _Held:
    """Carries an item and a box through the cache of fingerprints without being part of its key."""

    def __init__(self, item: Item, box: CodeBox) -> None:
        self.item = item
        self.box = box

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.item.question.name == self.item.question.name

    def __hash__(self) -> int:
        return hash(self.item.question.name)


@functools.lru_cache(maxsize=64)
def _fingerprints(content: str, held: _Held) -> list[Fingerprint]:
    spec = _spec(held.item)
    found = []
    for n, mutant in enumerate(spec.mutants):
        source = mutant.source(spec.reference)
        if source is None or not (mutant.misconception or mutant.feedback):
            continue
        results = run_tests(held.box, source, spec.tests, _specs(spec), _packages(spec))
        failing = {r.id: r.evidence for r in results if r.outcome is not Outcome.PASSED}
        hint = marks.shown(held.item, mutant.feedback) if mutant.feedback else ""
        if failing:
            found.append(Fingerprint(f"mutant {n + 1}", mutant.misconception or "", hint, failing))
    return found


def _packages(spec: Spec) -> tuple[str, ...]:
    return tuple(dict.fromkeys(["numpy", *spec.requires]))


def keys(item: Item) -> Sequence[Response]:
    """Return the reference and its twins."""
    spec = _spec(item)
    return [spec.reference, *spec.twins]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the mutants; how many tests each fails is not told beforehand, but none may be right."""
    spec = _spec(item)
    found = []
    for n, mutant in enumerate(spec.mutants):
        source = mutant.source(spec.reference)
        if source is not None:
            found.append(Expected(source, Status.WRONG, None, mutant.misconception, ("mutants", n)))
    return found


def answer(item: Item) -> str:
    """Return the reference as code."""
    return f"```python\n{_spec(item).reference.rstrip()}\n```"


whys = no_whys


def lacks(question: Question) -> str | None:
    """Say that nothing proves the tests, where there are no mutants."""
    assert isinstance(question.spec, Spec)
    return None if len(question.spec.mutants) >= 2 else "fewer than two mutants prove the tests"


def witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Run reference, twins, starter and mutants: the first two pass every test, the others do not."""
    spec = _spec(item)
    for n, source in enumerate([spec.reference, *spec.twins]):
        where: tuple[str | int, ...] = ("reference",) if n == 0 else ("twins", n - 1)
        for result in _results(spec, source, lab):
            if result.outcome is not Outcome.PASSED:
                said = "; ".join([*result.facts, result.detail]).strip("; ")
                who = "the reference" if n == 0 else "a twin"
                yield where, "oracle-mismatch", f"{who} does not pass {result.id}: {result.outcome.value} ({said})"
    caught: set[str] = set()
    for n, mutant in enumerate(spec.mutants):
        code = mutant.source(spec.reference)
        if code is None:
            continue
        failed = [r for r in _results(spec, code, lab) if r.outcome is not Outcome.PASSED]
        caught |= {r.id for r in failed}
        if not failed:
            yield ("mutants", n), "mutant-lives", "this mutant passes every test"
        elif any(r.outcome is Outcome.UNGRADED for r in failed):
            yield ("mutants", n), "mutant-breaks", f"a test breaks on this mutant: {failed[0].detail}"
    if all(r.outcome is Outcome.PASSED for r in _results(spec, spec.starter, lab)):
        yield ("starter",), "mutant-lives", "the starter passes every test"
    idle = [name for name in test_names(spec.tests) if name not in caught]
    if spec.mutants and idle:
        yield ("tests",), "idle-test", f"no mutant fails {', '.join(idle)}: add one, or drop the test"


def _results(spec: Spec, source: str, lab: Lab) -> list[TestResult]:
    from grader.quiz.running import OracleFailed

    try:
        return run_tests(lab.box, source, spec.tests, _specs(spec), _packages(spec))
    except (TestsBroken, GraderError) as problem:
        raise OracleFailed(str(problem)) from None


def lint(question: Question) -> Iterator[Fault]:
    """Yield sources that are no Python, and mutants that cannot be made."""
    spec = question.spec
    assert isinstance(spec, Spec)
    for key, source in (("starter", spec.starter), ("reference", spec.reference)):
        try:
            ast.parse(source)
        except SyntaxError as error:
            yield (key,), "code", f"the code is no Python: line {error.lineno}: {error.msg}"
    try:
        if not test_names(spec.tests):
            yield ("tests",), "code", "there is no function test_..."
    except TestsBroken as problem:
        yield ("tests",), "code", str(problem)
    for n, mutant in enumerate(spec.mutants):
        source_ = mutant.source(spec.reference)
        if source_ is None:
            yield ("mutants", n, "replace"), "mutant", "`old` must stand in the reference exactly once"
            continue
        try:
            ast.parse(source_)
        except SyntaxError as error:
            yield ("mutants", n), "code", f"the mutant is no Python: line {error.lineno}: {error.msg}"
