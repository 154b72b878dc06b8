"""Shapes of expressions over tensors, worked out in symbols, so that messages speak of (H, 1) and not of (5, 1).

Every tensor has two axes: a declared [H] is a column (H, 1). A number has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grader.quiz.arithmetic import ArithmeticProblem, compute
from grader.quiz.mathematics.polynomial import constant
from grader.quiz.mathematics.tree import Binary, Call, Negative, Node, Number, Symbol, Transposed, Unreadable

#: sizes that stand for the dims while shapes are compared: no two small multiples or sums of them are equal
_STANDINS = (10007, 20011, 40009, 80021, 160001, 320009, 640007, 1280023, 2560021, 5120029)

ELEMENTWISE = frozenset(
    {"abs", "cos", "cosh", "exp", "log", "log10", "log2", "relu", "sigmoid", "sin", "sinh", "sqrt", "tanh"}
)
REDUCING = frozenset({"sum", "mean", "norm"})


@dataclass(frozen=True)
class Dim:
    """The size of an axis: how it is written, and the number that stands for it."""

    text: str
    size: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.size == other.size

    def __hash__(self) -> int:
        return hash(self.size)

    def __str__(self) -> str:
        return self.text


ONE = Dim("1", 1)
Shape = tuple[Dim, ...]
SCALAR: Shape = ()


def standins(dims: Sequence[str]) -> dict[str, int]:
    """Return dim -> the number that stands for it while shapes are compared."""
    return dict(zip(dims, _STANDINS, strict=False))


def declared(axes: Sequence[str | int], sizes: Mapping[str, int]) -> Shape:
    """Return the shape of a declaration such as [H, 4*D]; one axis is a column; raise ArithmeticProblem."""
    found = []
    for axis in axes:
        size = compute(axis, sizes)
        if not isinstance(size, int) or size < 1:
            raise ArithmeticProblem(f"`{axis}` is no size of an axis")
        found.append(Dim(str(axis).replace("*", " "), size))
    if len(found) > 2:
        raise ArithmeticProblem("a tensor here has at most two axes")
    return (found[0], ONE) if len(found) == 1 else tuple(found)


def words(shape: Shape) -> str:
    """Return a shape as it is told: (H, 1), or "a number"."""
    return f"({', '.join(map(str, shape))})" if shape else "a number"


def shape_of(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of an expression; raise Unreadable, in symbols, where its parts do not fit."""
    match node:
        case Number():
            return SCALAR
        case Symbol(name=name):
            return shapes[name]
        case Negative(inner=inner):
            return shape_of(inner, shapes)
        case Transposed(inner=inner):
            return shape_of(inner, shapes)[::-1]
        case Binary(op="^" | ".^"):
            return _power(node, shapes)
        case Binary(op=op, left=left, right=right):
            return _binary(op, shape_of(left, shapes), shape_of(right, shapes), node)
        case Call(function=function, inner=inner_nodes):
            return _call(function, [shape_of(one, shapes) for one in inner_nodes], node)
    raise Unreadable("this has no shape", node.start, node.end)


def is_number(shape: Shape) -> bool:
    """Say whether a shape is that of a number: no axes, or (1, 1)."""
    return all(dim == ONE for dim in shape)


def _binary(op: str, a: Shape, b: Shape, node: Node) -> Shape:
    def wrong(what: str) -> Unreadable:
        return Unreadable(what, node.start, node.end)

    if op == "*":
        if not a or not b:
            return a or b
        if a[1] == b[0]:
            return a[0], b[1]
        if is_number(a) or is_number(b):
            return b if is_number(a) else a
        hint = ": did you mean the elementwise product `.*`?" if a == b else ": the inner sizes differ"
        raise wrong(f"cannot multiply {words(a)} by {words(b)}{hint}")
    if op == "/":
        if is_number(b):
            return a or b
        raise wrong(
            f"cannot divide {words(a)} by {words(b)}"
            + (": did you mean the elementwise quotient `./`?" if a == b or not a else "")
        )
    verb = {"+": "add", "-": "subtract", ".*": "multiply elementwise", "./": "divide elementwise"}.get(op, op)
    return _alike(verb, a, b, node)


def _alike(verb: str, a: Shape, b: Shape, node: Node) -> Shape:
    if not a or not b:
        return a or b
    if a == b:
        return a
    if is_number(a) or is_number(b):
        return b if is_number(a) else a
    raise Unreadable(f"cannot {verb} {words(a)} and {words(b)}", node.start, node.end)


def transposes(node: Node, base: Shape) -> bool:
    """Say whether a power is really a transpose: x^T where T is also a declared number, and x is a tensor."""
    return (
        isinstance(node, Binary) and node.op == "^" and bool(base) and isinstance(node.right, Symbol)
        and node.right.name == "T"
    )  # fmt: skip


def _power(node: Binary, shapes: Mapping[str, Shape]) -> Shape:
    base = shape_of(node.left, shapes)
    if transposes(node, base):
        return base[::-1]
    exponent = shape_of(node.right, shapes)
    if not is_number(exponent):
        raise Unreadable(f"an exponent must be a number, not {words(exponent)}", node.right.start, node.right.end)
    if node.op == "^" and base and not is_number(base):
        whole = constant(node.right)
        if whole is None or whole.denominator != 1 or not 1 <= whole <= 8:
            what = "an inverse has no place here" if whole == -1 else "a tensor's power is a whole number from 1 to 8"
            raise Unreadable(f"{what}; `.^` is the elementwise power", node.start, node.end)
    return base


def _call(function: str, arguments: list[Shape], node: Node) -> Shape:
    def wrong(what: str) -> Unreadable:
        return Unreadable(what, node.start, node.end)

    if function == "pi":
        return SCALAR
    a = arguments[0]
    if function in ELEMENTWISE:
        return a
    if function in REDUCING:
        return SCALAR
    if function == "diag":
        if len(a) == 2 and ONE in a:
            long = a[1] if a[0] == ONE else a[0]
            return long, long
        if len(a) == 2 and a[0] == a[1]:
            return a[0], ONE
        raise wrong(f"diag needs a vector or a square matrix, not {words(a)}")
    if function == "softmax":
        if len(a) == 2 and ONE in a:
            return a
        raise wrong(f"softmax needs a vector, not {words(a)}")
    if function == "trace":
        if len(a) == 2 and a[0] == a[1]:
            return SCALAR
        raise wrong(f"trace needs a square matrix, not {words(a)}")
    b = arguments[1]
    if function == "outer":
        if len(a) == len(b) == 2 and a[1] == ONE and b[1] == ONE:
            return a[0], b[0]
        raise wrong(f"an outer product needs two columns, not {words(a)} and {words(b)}")
    if function == "matmul":
        return _binary("*", a, b, node)
    if function == "elementwise":
        return _binary(".*", a, b, node)
    return _alike(f"compare ({function})", a, b, node)
