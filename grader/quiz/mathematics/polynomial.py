"""Whether two formulas in scalars are the same for all values: exact computing at random points modulo a prime.

Two different rational functions agree at a random point modulo p = 2^61 - 1 with probability about degree/p
(Schwartz 1980, Zippel 1979), so three points decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from grader.quiz.mathematics.tree import Binary, Call, Negative, Node, Number, Symbol, Transposed, Unreadable
from grader.quiz.parameters import Stream

PRIME: Final = (1 << 61) - 1
POINTS: Final = 3
LARGEST_EXPONENT: Final = 64
LARGEST_DEGREE: Final = 4096
REDRAWS: Final = 20

#: how far the difference to the key is searched for something that can be told: coefficients and degree
COEFFICIENTS: Final = 64
MONOMIAL_DEGREE: Final = 3


class DividesByZero(Exception):
    """A denominator vanished at the point that was drawn."""


def points(symbols: Iterable[str], seed: str, count: int = POINTS) -> list[dict[str, int]]:
    """Return random points modulo the prime, the same for the same seed."""
    stream = Stream(seed)
    names = list(symbols)
    return [{name: 1 + stream.below(PRIME - 1) for name in names} for _ in range(count)]


def residue(node: Node, point: Mapping[str, int]) -> int:
    """Return the value of a tree at a point modulo the prime; raise Unreadable where it is no rational function."""
    value, _ = _residue(node, point)
    return value


def _residue(node: Node, point: Mapping[str, int]) -> tuple[int, int]:
    """Return (value, an upper bound of the degree)."""
    match node:
        case Number(value=number):
            return _modular(number, node), 0
        case Symbol(name=name):
            return point[name], 1
        case Negative(inner=inner):
            value, degree = _residue(inner, point)
            return -value % PRIME, degree
        case Transposed(inner=inner):
            return _residue(inner, point)  # a number is its own transpose
        case Binary(op="^" | ".^", left=left, right=right):
            exponent = exponent_of(right)
            value, degree = _residue(left, point)
            if degree * abs(exponent) > LARGEST_DEGREE:
                raise Unreadable("the power is too large", node.start, node.end)
            return _power(value, exponent), degree * abs(exponent)
        case Binary(op=op, left=left, right=right):
            a, p = _residue(left, point)
            b, q = _residue(right, point)
            if p + q > LARGEST_DEGREE:
                raise Unreadable("the power is too large", node.start, node.end)
            if op in ("+", "-"):
                # a sum of fractions may have the product of the denominators, hence the sum of the degrees
                return (a + b if op == "+" else a - b) % PRIME, p + q if _divides(node) else max(p, q)
            if op in ("*", ".*"):
                return a * b % PRIME, p + q
            return a * _power(b, -1) % PRIME, p + q
        case Call(function=function):
            raise Unreadable(f"{function} has no place here: only + - * / and whole powers do", node.start, node.end)
    raise Unreadable("this cannot be computed", node.start, node.end)


def _divides(node: Node) -> bool:
    if isinstance(node, Binary):
        return node.op in ("/", "./", "^", ".^") or _divides(node.left) or _divides(node.right)
    return isinstance(node, Negative | Transposed) and _divides(node.inner)


def exponent_of(node: Node) -> int:
    """Return a whole constant exponent; raise Unreadable."""
    value = constant(node)
    if value is None or value.denominator != 1:
        raise Unreadable("an exponent must be a whole number here", node.start, node.end)
    if abs(value) > LARGEST_EXPONENT:
        raise Unreadable(f"an exponent may be at most {LARGEST_EXPONENT}", node.start, node.end)
    return int(value)


def constant(node: Node) -> Fraction | None:
    """Return the value of a tree of numbers and + - * /, None where it is something else."""
    match node:
        case Number(value=value):
            return value
        case Negative(inner=inner):
            value_ = constant(inner)
            return None if value_ is None else -value_
        case Binary(op=op, left=left, right=right) if op in ("+", "-", "*", "/"):
            a, b = constant(left), constant(right)
            if a is None or b is None or (op == "/" and b == 0):
                return None
            return a + b if op == "+" else a - b if op == "-" else a * b if op == "*" else a / b
    return None


def _modular(value: Fraction, node: Node) -> int:
    if value.denominator % PRIME == 0:
        raise Unreadable("this number cannot be used", node.start, node.end)
    return value.numerator * pow(value.denominator, -1, PRIME) % PRIME


def _power(value: int, exponent: int) -> int:
    if exponent < 0 and value % PRIME == 0:
        raise DividesByZero
    return pow(value, exponent, PRIME)


def residues(node: Node, symbols: Sequence[str], seed: str, count: int = POINTS) -> list[int | None]:
    """Return the values of a tree at random points; None where a denominator vanishes; raise Unreadable."""
    found: list[int | None] = []
    for point in points(symbols, seed, count):
        try:
            found.append(residue(node, point))
        except DividesByZero:
            found.append(None)
    return found


def identical(a: Node, b: Node, symbols: Sequence[str], seed: str) -> bool:
    """Say whether two trees are the same rational function; raise Unreadable where one of them is none.

    A denominator that vanishes at every point is identically zero, which is unreadable too.
    """
    left = residues(a, symbols, seed)
    right = residues(b, symbols, seed)
    if all(value is None for value in left):
        raise Unreadable("this divides by zero", a.start, a.end)
    return left == right


def difference(learner: Node, key: Node, symbols: Sequence[str], seed: str) -> str | None:
    """Return how much is missing from (or too much in) a learner's formula, as a short monomial in words, or None.

    "short by 4 n" or "too large by n m": found by fitting c * s1^a * s2^b with small c and degree to the difference.
    """
    drawn = points(symbols, seed)
    try:
        gaps = [(residue(key, point) - residue(learner, point)) % PRIME for point in drawn]
    except (DividesByZero, Unreadable):
        return None
    if not all(gaps):
        return None
    names = list(symbols)[:6]
    for degree in range(MONOMIAL_DEGREE + 1):
        for chosen in itertools.combinations_with_replacement(names, degree):
            ratios = {
                gap * pow(_value(chosen, point), -1, PRIME) % PRIME for gap, point in zip(gaps, drawn, strict=True)
            }
            if len(ratios) != 1:
                continue
            ratio = ratios.pop()
            for size, words in ((ratio, "short by"), (PRIME - ratio, "too large by")):
                if 0 < size <= COEFFICIENTS:
                    return f"{words} {_monomial(size, chosen)}"
    return None


def _value(chosen: Sequence[str], point: Mapping[str, int]) -> int:
    value = 1
    for name in chosen:
        value = value * point[name] % PRIME
    return value


def _monomial(size: int, chosen: Sequence[str]) -> str:
    powers = [f"{name}^{chosen.count(name)}" if chosen.count(name) > 1 else name for name in dict.fromkeys(chosen)]
    return " ".join([*([str(size)] if size != 1 or not powers else []), *powers])
