"""A formula over declared symbols: the same polynomial, or the same tensor at random points."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import answers, marks
from grader.quiz.arithmetic import ArithmeticProblem
from grader.quiz.kinds import Fault, lacks_oracle, no_whys
from grader.quiz.lab import CLOSE, Lab, far_apart
from grader.quiz.mathematics.parsing import Alphabet, parse
from grader.quiz.mathematics.polynomial import PRIME, DividesByZero, difference, identical, residue
from grader.quiz.mathematics.probe import Declared, Space, Verdict, compare, value_of
from grader.quiz.mathematics.shapes import Shape, declared, is_number, shape_of, standins, words
from grader.quiz.mathematics.tokens import LONGEST
from grader.quiz.mathematics.tree import Node, Unreadable
from grader.quiz.model import Choice, Expected, Item, Mark, Question, Response
from grader.quiz.parameters import Stream
from grader.quiz.running import CodeBox
from grader.quiz.schema import OracleSpec, QuestionSpec, Strict, Text, WrongSpec
from grader.quiz.types.numeric import listed, told

KIND = "text"

#: whole numbers that the oracle of a polynomial question is asked with, where a symbol does not say its own
_WHOLE = (2, 300)


class SymbolSpec(Strict):
    """A symbol that answers may use: its axes, what its entries may be, or the expression that it stands for.

    A hidden one is known to the oracle and to `let` only.
    """

    shape: list[str | int] = Field(default_factory=list, max_length=2)
    whole: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(default=None, alias="int")
    real: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    let: Text | None = None
    hidden: bool = False
    aliases: list[Text] = Field(default_factory=list)
    about: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.let is not None and (self.whole or self.real or self.shape):
            raise PydanticCustomError("symbol", "a symbol that is `let` has neither shape nor range of its own")
        if self.whole and self.real:
            raise PydanticCustomError("symbol", "a symbol is drawn from `int` or from `real`, not from both")
        return self


class Answer(Strict):
    """The key and the test that decides."""

    expr: Text
    test: Literal["polynomial", "probe"]
    shape: list[str | int] | None = None


class Wrong(WrongSpec):
    """A formula that tells what went wrong."""

    expr: Text


class Spec(QuestionSpec):
    """The keys of an expression question."""

    type: Literal["expression"]
    symbols: Annotated[dict[str, SymbolSpec], Field(min_length=1)]
    dims: list[Text] = Field(default_factory=list, max_length=8)
    answer: Answer
    wrong: list[Wrong] = Field(default_factory=list)
    accept: list[Text] = Field(default_factory=list)
    reject: list[Text] = Field(default_factory=list)
    oracle: OracleSpec | None = None
    remainder: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.answer.test == "polynomial" and (
            self.dims or any(s.shape or s.let or s.real for s in self.symbols.values())
        ):
            raise PydanticCustomError("test", "the polynomial test is for numbers: use `test: probe`")
        if self.answer.test == "polynomial" and self.oracle is not None and self.oracle.gradient is not None:
            raise PydanticCustomError("test", "a gradient is compared by `test: probe`")
        return self

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and what is said of the symbols."""
        own = [(("symbols", name, "about"), s.about) for name, s in self.symbols.items() if s.about]
        return [*super().texts(), *own]


@dataclass(frozen=True)
class Ground:
    """A variant's symbols, ready to read and compare answers with."""

    alphabet: Alphabet
    visible: tuple[str, ...]
    space: Space
    shapes: Mapping[str, Shape]
    key: Node
    polynomial: bool
    seed: str


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def ground(item: Item) -> Ground:
    """Return what answers to an item are compared with; raise Unreadable and ArithmeticProblem for a bad spec."""
    return _ground_cached(item.question.meaning, item.variant.number, _Held(item))


class _Held:
    """Carries an item through the cache of grounds without being part of its key."""

    def __init__(self, item: Item) -> None:
        self.item = item

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.item.question.name == self.item.question.name

    def __hash__(self) -> int:
        return hash(self.item.question.name)


@functools.lru_cache(maxsize=256)
def _ground_cached(meaning: str, number: int, held: _Held) -> Ground:
    return _ground_of(held.item)


def _ground_of(item: Item) -> Ground:
    spec = _spec(item)
    seed = f"{item.question.name}\0{item.variant.number}"
    everything = Alphabet.of([*spec.symbols, *spec.dims])
    names = []
    for name, symbol in spec.symbols.items():
        low, high = symbol.real or symbol.whole or (-1.0, 1.0)
        let = parse(symbol.let, everything) if symbol.let else None
        names.append(Declared(name, tuple(symbol.shape), low, high, symbol.whole is not None, let))
    space = Space(tuple(names), tuple(spec.dims), seed)
    visible = [name for name, symbol in spec.symbols.items() if not symbol.hidden]
    aliases = {name: symbol.aliases for name, symbol in spec.symbols.items() if not symbol.hidden}
    polynomial = spec.answer.test == "polynomial"
    alphabet = Alphabet.of([*visible, *spec.dims], aliases)
    key = parse(marks.shown(item, spec.answer.expr), alphabet)
    shapes = {} if polynomial else space.shapes()
    return Ground(alphabet, tuple(visible), space, shapes, key, polynomial, seed)


def view(item: Item) -> Mapping[str, Any]:
    """Return the symbols with their shapes, and how an answer is written."""
    spec = _spec(item)
    symbols = []
    for name, symbol in spec.symbols.items():
        if not symbol.hidden:
            axes = f"({', '.join(str(axis) for axis in symbol.shape)})" if symbol.shape else ""
            about = marks.shown(item, symbol.about) if symbol.about else ""
            symbols.append(Choice(name, ", ".join(part for part in (about, axes) if part)))
    how = "Write a formula in the symbols given; every equal form counts."
    if any(symbol.shape for symbol in spec.symbols.values()):
        how += " `*` or nothing is the matrix product, `.*` the elementwise one, `^T` the transpose."
    return {"symbols": tuple(symbols), "rule": how}


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark a formula."""
    text = answers.text_of(response, 4 * LONGEST)
    spec = _spec(item)
    there = ground(item)
    try:
        given = parse(text, there.alphabet)
        verdict = _verdict(given, there.key, there)
    except Unreadable as problem:
        what = problem.pointed(text)
        return marks.invalid("unreadable", f"{what[:1].upper()}{what[1:]}.")  # capitalize() would make W^T v w^t v
    evidence = {"text": text}
    if verdict is Verdict.EQUAL:
        return marks.right(evidence=evidence)
    for one in spec.wrong:
        if _equal(given, parse(marks.shown(item, one.expr), there.alphabet), there):
            return marks.recognised(item, one, marks.name_of(one), evidence)
    if verdict is Verdict.UNDECIDED:
        return marks.undecided(
            "undecided", "Whether this is the same could not be decided by computing.", evidence=evidence
        )
    if there.polynomial:
        gap = difference(given, there.key, there.visible, there.seed) if spec.remainder else None
        said = (f"Your formula is {gap}.",) if gap else ()
        return marks.wrong(f"remainder:{gap}" if gap else "other", *said, evidence=evidence)
    got, asked = shape_of(given, there.shapes), shape_of(there.key, there.shapes)
    if not _same_shape(got, asked):
        said = (f"Your answer has the shape {words(got)}; asked for is {words(asked)}.",)
        return marks.wrong("shape", *said, evidence=evidence)
    return marks.wrong(evidence=evidence)


def _same_shape(a: Shape, b: Shape) -> bool:
    return a == b or (is_number(a) and is_number(b))


def _verdict(given: Node, key: Node, there: Ground) -> Verdict:
    """Compare two formulas; raise Unreadable where the given one cannot be computed at all."""
    if there.polynomial:
        return Verdict.EQUAL if identical(given, key, there.visible, there.seed) else Verdict.DIFFERENT
    if not _same_shape(shape_of(given, there.shapes), shape_of(key, there.shapes)):
        return Verdict.DIFFERENT
    return compare(given, key, there.space)


def _equal(given: Node, other: Node, there: Ground) -> bool:
    return _verdict(given, other, there) is Verdict.EQUAL


def keys(item: Item) -> Sequence[Response]:
    """Return the key as the author wrote it."""
    return [marks.shown(item, _spec(item).answer.expr)]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return the recognised wrong formulas, and accept and reject."""
    spec = _spec(item)
    found = [
        Expected(marks.shown(item, one.expr), marks.status_of(one.credit), one.credit, one.misconception, ("wrong", n))
        for n, one in enumerate(spec.wrong)
    ]
    return [*found, *listed(spec.accept, spec.reject, item)]


def answer(item: Item) -> str:
    """Return the key as the author wrote it."""
    return marks.shown(item, _spec(item).answer.expr)


whys = no_whys
lacks = lacks_oracle


def witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Compare the key with the oracle's value, or with the gradient of the oracle's loss, at random points."""
    spec = _spec(item)
    if spec.oracle is None:
        return
    there = ground(item)
    if there.polynomial:
        yield from _polynomial_witness(item, spec, there, lab)
        return
    for point in there.space.points():
        given = {name: _as_declared(value, spec, name) for name, value in point.items()}
        want = value_of(there.key, point)
        rel = spec.oracle.rel or CLOSE
        if spec.oracle.gradient is not None:
            got, exactness = lab.gradient(spec.oracle, given)
            rel = max(rel, 100 * exactness)
        else:
            got = lab.compute(spec.oracle, item, given)
        if far_apart(got, want, rel):
            yield ("answer", "expr"), "oracle-mismatch", _told(got, want, spec.oracle, item)
            return


def _as_declared(value: Any, spec: Spec, name: str) -> Any:
    """Return a column as a vector where it was declared with one axis, a number as a float."""
    if value.ndim == 0:
        return float(value)
    symbol = spec.symbols.get(name)
    return value.reshape(-1) if symbol is not None and len(symbol.shape) == 1 else value


def _told(got: Any, want: Any, oracle: OracleSpec, item: Item) -> str:
    import numpy as np

    def short(value: Any) -> str:
        flat = np.asarray(value, dtype=float).reshape(-1)
        return "[" + ", ".join(f"{x:.6g}" for x in flat[:4]) + (", …]" if flat.size > 4 else "]")

    if np.shape(np.asarray(got).reshape(-1)) != np.shape(np.asarray(want).reshape(-1)):
        return f"the key has shape {np.shape(want)} but oracle {oracle.name} has {np.shape(got)} {told(item)}"
    what = "the gradient by the oracle" if oracle.gradient else "oracle computes"
    return f"at a random point the key is {short(want)} but {what} {short(got)} {told(item)}"


def _polynomial_witness(item: Item, spec: Spec, there: Ground, lab: Lab) -> Iterator[Fault]:
    """Ask the oracle at whole numbers; a formula and its value there are compared exactly."""
    assert spec.oracle is not None
    stream = Stream(f"oracle\0{there.seed}")
    for _ in range(5):
        point = {}
        for name, symbol in spec.symbols.items():
            low, high = symbol.whole or _WHOLE
            point[name] = low + stream.below(high - low + 1)
        got = lab.compute(spec.oracle, item, point)
        try:
            value = residue(there.key, point)
        except DividesByZero:
            continue
        if isinstance(got, float) and got.is_integer():
            got = int(got)
        if not isinstance(got, int) or isinstance(got, bool):
            yield ("oracle",), "oracle-type", f"the oracle {spec.oracle.name} must return a whole number, not {got!r}"
            return
        if got % PRIME != value:
            at = ", ".join(f"{name}={number}" for name, number in point.items())
            shown = value if value < PRIME // 2 else value - PRIME
            yield (
                ("answer", "expr"),
                "oracle-mismatch",
                f"at {at} the key is {shown} but oracle computes {got} {told(item)}",
            )
            return


def lint(question: Question) -> Iterator[Fault]:
    """Yield symbols, formulas and shapes that cannot be read, and keys that look like the oracle's own words."""
    spec = question.spec
    assert isinstance(spec, Spec)
    item = Item(question, question.variants[0])
    try:
        there = ground(item)
    except (Unreadable, ArithmeticProblem) as problem:
        yield ("symbols",), "expression", f"the symbols or the key cannot be read: {problem}"
        return
    try:
        if there.polynomial:
            identical(there.key, there.key, there.visible, there.seed)
        elif spec.answer.shape is not None:
            asked = declared(spec.answer.shape, standins(spec.dims))
            got = shape_of(there.key, there.shapes)
            if not _same_shape(got, asked):
                said = f"the key has the shape {words(got)}, the answer is said to have {words(asked)}"
                yield ("answer", "shape"), "shape", said
        else:
            yield ("answer",), "shape", "say which `shape` the answer has"
    except (Unreadable, ArithmeticProblem) as problem:
        yield ("answer", "expr"), "expression", str(problem)
    for n, one in enumerate(spec.wrong):
        try:
            parse(marks.shown(item, one.expr), there.alphabet)
        except Unreadable as problem:
            yield ("wrong", n, "expr"), "expression", problem.pointed(one.expr)
