"""Whether two expressions over tensors are the same: computed at seeded random points with dims that all differ.

"Equal" and "different" are said only where the numbers leave no doubt; between them lies "undecided".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from grader.quiz.arithmetic import compute
from grader.quiz.mathematics.polynomial import constant
from grader.quiz.mathematics.shapes import ELEMENTWISE, ONE, Shape, declared, shape_of, standins, transposes
from grader.quiz.mathematics.tree import Binary, Call, Negative, Node, Number, Symbol, Transposed, Unreadable
from grader.quiz.parameters import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Rounded = tuple[Array, Array]

PROBES: Final = 4
NEAR: Final = 1e-11  # relative difference of what is equal: float64 in another order
FAR: Final = 1e-6  # of what is surely different: a rounded coefficient lies between
EPSILON: Final = 2.3e-16  # relative error of one operation in float64
SLACK: Final = 16.0  # rounding errors are bounded to first order; the bound is taken that many times
TINY: Final = 1e-9  # a rounding error above this hides too much to take anything for zero
_SIZES: Final = (3, 4, 5, 7, 2, 6, 8, 9)


class Verdict(StrEnum):
    """What the probes say of two expressions."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Declared:
    """A symbol: its axes, the range its entries are drawn from, or the expression that it stands for."""

    name: str
    axes: tuple[str | int, ...] = ()
    low: float = -1.0
    high: float = 1.0
    whole: bool = False
    let: Node | None = None


@dataclass(frozen=True)
class Space:
    """The symbols and dims of a question, and from which seed they are drawn."""

    symbols: tuple[Declared, ...]
    dims: tuple[str, ...]
    seed: str

    def shapes(self) -> dict[str, Shape]:
        """Return symbol -> shape; a dim may be used as a number; raise ArithmeticProblem and Unreadable."""
        sizes = standins(self.dims)
        found: dict[str, Shape] = dict.fromkeys(self.dims, ())
        for symbol in self.symbols:
            found[symbol.name] = shape_of(symbol.let, found) if symbol.let is not None else declared(symbol.axes, sizes)
        return found

    def points(self, count: int = PROBES) -> list[dict[str, Array]]:
        """Return that many points: symbol -> float64 array of its shape, () for numbers."""
        return [self._point(number) for number in range(count)]

    def _point(self, number: int) -> dict[str, Array]:
        import numpy as np

        stream = Stream(f"probe\0{self.seed}\0{number}")
        order = stream.shuffled(list(_SIZES))
        sizes = dict(zip(self.dims, order, strict=False))
        point: dict[str, Array] = {dim: np.asarray(float(size)) for dim, size in sizes.items()}
        for symbol in self.symbols:
            if symbol.let is not None:
                point[symbol.name] = value_of(symbol.let, point)
                continue
            shape = [int(compute(axis, sizes)) for axis in symbol.axes]
            if len(shape) == 1:
                shape.append(1)
            count = int(np.prod(shape)) if shape else 1
            drawn = [self._number(symbol, stream) for _ in range(count)]
            point[symbol.name] = np.asarray(drawn).reshape(shape)
        return point

    @staticmethod
    def _number(symbol: Declared, stream: Stream) -> float:
        if symbol.whole:
            return float(int(symbol.low) + stream.below(int(symbol.high) - int(symbol.low) + 1))
        while True:
            value = stream.uniform(symbol.low, symbol.high)
            # next to zero a symbol tells too little of what it is multiplied by
            if not symbol.low < 0 < symbol.high or abs(value) > 0.1 * min(-symbol.low, symbol.high):
                return value


def value_of(node: Node, point: Mapping[str, Array]) -> Array:
    """Return the value of an expression whose shapes fit, at a point; what cannot be computed is NaN or infinite."""
    return value_and_error(node, point)[0]


def value_and_error(node: Node, point: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return the value of an expression at a point, and a first-order bound of what rounding has done to it."""
    import numpy as np

    with np.errstate(all="ignore"):
        return _value(node, point)


def _value(node: Node, point: Mapping[str, Array]) -> tuple[Array, Array]:
    import numpy as np

    result: Any
    error: Any
    match node:
        case Number(value=number):
            result = np.asarray(float(number))
            error = EPSILON * np.abs(result)
        case Symbol(name=name):
            result = point[name]
            error = np.zeros_like(result)
        case Negative(inner=inner):
            result, error = _value(inner, point)
            result = -result
        case Transposed(inner=inner):
            result, error = _value(inner, point)
            result, error = result.T, error.T
        case Binary(op="^" | ".^"):
            result, error = _power(node, point)
        case Binary(op=op, left=left, right=right):
            result, error = _binary(op, _value(left, point), _value(right, point))
        case Call(function=function, inner=inner_nodes):
            result, error = _call(function, [_value(one, point) for one in inner_nodes])
        case _:
            raise Unreadable("this cannot be computed", node.start, node.end)
    return np.asarray(result, dtype=np.float64), np.asarray(error, dtype=np.float64)


def _binary(op: str, left: Rounded, right: Rounded) -> tuple[Any, Any]:
    import numpy as np

    (a, da), (b, db) = _paired(op, left, right)
    if op in ("+", "-"):
        result = a + b if op == "+" else a - b
        return result, da + db + EPSILON * np.abs(result)
    if op in ("/", "./"):
        result = a / b
        return result, (da + np.abs(result) * db) / np.abs(b) + EPSILON * np.abs(result)
    if op == "*" and a.ndim == 2 and b.ndim == 2:
        error = np.abs(a) @ db + da @ np.abs(b) + EPSILON * a.shape[1] * (np.abs(a) @ np.abs(b))
        return a @ b, error
    result = a * b
    return result, np.abs(a) * db + da * np.abs(b) + EPSILON * np.abs(result)


def _paired(op: str, left: Rounded, right: Rounded) -> tuple[Rounded, Rounded]:
    """Take (1, 1) for a number wherever it would not fit otherwise."""
    (a, da), (b, db) = left, right
    if a.ndim == 2 and b.ndim == 2:
        fits = a.shape[1] == b.shape[0] if op == "*" else a.shape == b.shape
        if not fits:
            if a.size == 1:
                return (a.reshape(()), da.reshape(())), right
            if b.size == 1:
                return left, (b.reshape(()), db.reshape(()))
    return left, right


def _power(node: Binary, point: Mapping[str, Array]) -> tuple[Any, Any]:
    import numpy as np

    base, error = _value(node.left, point)
    if base.ndim and transposes(node, (ONE,)):  # only whether there are axes counts
        return base.T, error.T
    whole = constant(node.right)
    square = base.ndim == 2 and base.shape[0] == base.shape[1] and base.size > 1
    if node.op == "^" and square and whole is not None:
        found: tuple[Any, Any] = (base, error)
        for _ in range(int(whole) - 1):
            found = _binary("*", found, (base, error))
        return found
    exponent, wobble = _value(node.right, point)
    if exponent.size == 1:
        exponent, wobble = exponent.reshape(()), wobble.reshape(())
    result = base**exponent
    # the derivatives by base and exponent, to first order; whole powers of numbers below zero have no logarithm
    by_base = np.abs(exponent) * np.abs(result) / np.abs(base)
    by_exponent = np.where(wobble > 0, np.abs(result) * np.abs(np.log(np.abs(base))), 0.0)
    return result, by_base * error + by_exponent * wobble + 4 * EPSILON * np.abs(result)


def _smooth(function: str, a: Any) -> Any:
    import numpy as np

    if function == "relu":
        return np.maximum(a, 0)
    if function == "sigmoid":
        return 0.5 * (1 + np.tanh(a / 2))
    return getattr(np, function)(a)


def _call(function: str, arguments: list[Rounded]) -> tuple[Any, Any]:
    import numpy as np

    if function == "pi":
        return np.pi, EPSILON * np.pi
    a, da = arguments[0]
    if function in ELEMENTWISE:
        result = _smooth(function, a)
        moved = np.maximum(np.abs(_smooth(function, a + da) - result), np.abs(_smooth(function, a - da) - result))
        # at the border of where a function is defined one side has no value
        moved = np.where(np.isfinite(moved), moved, 0.0)
        return result, moved + 4 * EPSILON * np.maximum(np.abs(result), 0.5 if function == "sigmoid" else 0.0)
    total = EPSILON * a.size
    match function:
        case "sum" | "mean":
            share = 1 if function == "sum" else a.size
            return np.sum(a) / share, (np.sum(da) + total * np.sum(np.abs(a))) / share
        case "norm":
            result = np.sqrt(np.sum(a * a))
            return result, np.sqrt(np.sum(da * da)) + total * result
        case "trace":
            return np.trace(a), np.trace(da) + total * np.trace(np.abs(a))
        case "diag":
            if 1 in a.shape:
                return np.diag(a.reshape(-1)), np.diag(da.reshape(-1))
            return np.diag(a).reshape(-1, 1), np.diag(da).reshape(-1, 1)
        case "softmax":
            weights = np.exp(a - np.max(a))
            result = weights / np.sum(weights)
            return result, result * (2 * np.max(da) + total + 4 * EPSILON)
        case "outer":
            b, db = arguments[1]
            return _binary("*", (a, da), (b.T, db.T))
        case "matmul" | "elementwise":
            return _binary("*" if function == "matmul" else ".*", arguments[0], arguments[1])
    (a, da), (b, db) = _paired(".*", arguments[0], arguments[1])
    return (np.maximum(a, b) if function == "max" else np.minimum(a, b)), np.maximum(da, db)


def compare(a: Node, b: Node, space: Space, points: Sequence[Mapping[str, Array]] | None = None) -> Verdict:
    """Say whether two expressions of the same shape have the same value at every probe."""
    verdicts = []
    for point in points if points is not None else space.points():
        (x, dx), (y, dy) = value_and_error(a, point), value_and_error(b, point)
        verdicts.append(nearness(x, y, dx, dy))
    if Verdict.DIFFERENT in verdicts:
        return Verdict.DIFFERENT
    return Verdict.EQUAL if verdicts and all(v is Verdict.EQUAL for v in verdicts) else Verdict.UNDECIDED


def nearness(x: Array, y: Array, dx: Array, dy: Array) -> Verdict:
    """Say whether two arrays are the same numbers, given what rounding may have done to each."""
    import numpy as np

    if x.size != y.size:
        return Verdict.DIFFERENT
    flat = [one.reshape(-1) for one in (x, y, dx, dy)]
    if not all(np.all(np.isfinite(one)) for one in flat):
        return Verdict.UNDECIDED
    # broadcast numbers have an error of their own shape
    gap, left, right, rounding = (
        float(np.max(np.abs(one), initial=0.0)) for one in (flat[0] - flat[1], flat[0], flat[1], np.append(*flat[2:]))
    )
    scale = max(left, right)
    if gap <= NEAR * scale:
        return Verdict.EQUAL
    if gap <= SLACK * rounding:
        # both are zero, as near as can be computed
        return Verdict.EQUAL if scale <= SLACK * rounding <= TINY else Verdict.UNDECIDED
    return Verdict.DIFFERENT if gap >= FAR * scale else Verdict.UNDECIDED
