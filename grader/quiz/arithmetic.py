"""Authors' arithmetic over parameters: a small expression language, computed by our own walk and never by eval."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from grader.quiz import syntax

LONGEST = 400  # characters of an expression
DEEPEST = 40
LARGEST_POWER = 4096
LARGEST_BITS = 4096
LONGEST_LIST = 1000

Value = Any  # bool, int, float, str, or a nested list of them


class ArithmeticProblem(Exception):
    """An expression that cannot be read or computed; the message says why in a few words."""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softmax(xs: list[float]) -> list[float]:
    top = max(xs)
    weights = [math.exp(x - top) for x in xs]
    return [w / math.fsum(weights) for w in weights]


def _matmul(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    if any(len(row) != len(b) for row in a):
        raise ArithmeticProblem("matmul: the inner sizes differ")
    return [[math.fsum(x * b[k][j] for k, x in enumerate(row)) for j in range(len(b[0]))] for row in a]


def _transpose(a: list[list[Value]]) -> list[list[Value]]:
    return [list(column) for column in zip(*a, strict=True)]


def _round(x: float, digits: int = 0) -> float:
    return round(x, digits) if digits else round(x)


def _comb(n: int, k: int) -> int:
    if n > 1000:
        raise ArithmeticProblem("comb: n is too large")
    return math.comb(n, k)


FUNCTIONS: Final[dict[str, Callable[..., Value]]] = {
    "abs": abs,
    "ceil": math.ceil,
    "comb": _comb,
    "cos": math.cos,
    "dot": lambda a, b: sum(x * y for x, y in zip(a, b, strict=True)),
    "exp": math.exp,
    "floor": math.floor,
    "float": float,
    "gcd": math.gcd,
    "len": len,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "matmul": _matmul,
    "max": max,
    "min": min,
    "norm": lambda a: math.sqrt(math.fsum(x * x for x in a)),
    "prod": math.prod,
    "range": lambda *a: list(range(*a)) if all(abs(x) <= LONGEST_LIST for x in a) else _long(),
    "round": _round,
    "sigmoid": _sigmoid,
    "sin": math.sin,
    "softmax": _softmax,
    "sorted": sorted,
    "sqrt": math.sqrt,
    "sum": sum,
    "tanh": math.tanh,
    "transpose": _transpose,
}
CONSTANTS: Final = {"pi": math.pi, "e": math.e}

_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _long() -> Value:
    raise ArithmeticProblem("the list is too long")


def parse(text: str) -> ast.expr:
    """Return the tree of an expression; raise ArithmeticProblem where it is not of this small language."""
    if len(text) > LONGEST:
        raise ArithmeticProblem(f"an expression may have {LONGEST} characters, this one has {len(text)}")
    if "^" in text:
        raise ArithmeticProblem("`^` is no power here: write **")
    try:
        tree = syntax.expression_of(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise ArithmeticProblem(f"`{text.strip()}` is no expression: {what}") from None
    _allowed(tree, 0)
    return tree


def _allowed(node: ast.AST, depth: int) -> None:
    if depth > DEEPEST:
        raise ArithmeticProblem("the expression is nested too deeply")
    good: bool
    match node:
        case ast.Constant(value=value):
            good = isinstance(value, bool | int | float | str)
        case ast.Name() | ast.List() | ast.IfExp() | ast.BoolOp() | ast.Compare():
            good = True
        case ast.BinOp(op=op):
            good = type(op) in _BINARY or isinstance(op, ast.Pow)
        case ast.UnaryOp(op=op):
            good = isinstance(op, ast.USub | ast.UAdd | ast.Not)
        case ast.Subscript(slice=index):
            good = not isinstance(index, ast.Slice)
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            if name not in FUNCTIONS:
                raise ArithmeticProblem(f"there is no function `{name}`; known: {', '.join(FUNCTIONS)}")
            good = True
        case ast.operator() | ast.unaryop() | ast.cmpop() | ast.boolop() | ast.expr_context():
            good = True
        case _:
            good = False
    if not good:
        raise ArithmeticProblem(f"`{ast.unparse(node)}` is not allowed in an expression")
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Call) and child is node.func):
            _allowed(child, depth + 1)


def names(text: str) -> set[str]:
    """Return the names that an expression uses, constants left out; raise ArithmeticProblem."""
    tree = parse(text)
    functions = {
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return used - functions - CONSTANTS.keys()


def compute(text: str | int | float, values: Mapping[str, Value]) -> Value:
    """Return what an expression is worth for these parameters; a number is worth itself; raise ArithmeticProblem."""
    if not isinstance(text, str):
        return text
    tree = parse(text)
    try:
        return _value(tree, values)
    except ArithmeticProblem:
        raise
    except ZeroDivisionError:
        raise ArithmeticProblem(f"`{text}` divides by zero") from None
    except OverflowError:
        raise ArithmeticProblem(f"`{text}` is too large") from None
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ArithmeticProblem(f"`{text}` cannot be computed: {error}") from None


def _value(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            if name in values:
                return values[name]
            if name in CONSTANTS:
                return CONSTANTS[name]
            known = ", ".join(values) or "none"
            raise ArithmeticProblem(f"there is no parameter `{name}`; known: {known}")
        case ast.List(elts=items):
            return [_value(item, values) for item in items]
        case ast.UnaryOp(op=op, operand=inner):
            value = _value(inner, values)
            return not value if isinstance(op, ast.Not) else -value if isinstance(op, ast.USub) else +value
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            return _power(_value(left, values), _value(right, values))
        case ast.BinOp(op=op, left=left, right=right):
            a, b = _value(left, values), _value(right, values)
            if isinstance(a, str | list) or isinstance(b, str | list):
                raise ArithmeticProblem("arithmetic is for numbers; use sum, dot, matmul for lists")
            return _bounded(_BINARY[type(op)](a, b))
        case ast.Compare(left=left, ops=ops, comparators=others):
            a = _value(left, values)
            for sign, other in zip(ops, others, strict=True):
                if type(sign) not in _COMPARE:
                    raise ArithmeticProblem(f"`{ast.unparse(node)}` is not allowed in an expression")
                b = _value(other, values)
                if not _COMPARE[type(sign)](a, b):
                    return False
                a = b
            return True
        case ast.BoolOp(op=op, values=parts):
            stop = isinstance(op, ast.Or)
            return any(_value(p, values) for p in parts) if stop else all(_value(p, values) for p in parts)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, values) else orelse, values)
        case ast.Subscript(value=inner, slice=index):
            return _value(inner, values)[_value(index, values)]
        case ast.Call(func=ast.Name(id=name), args=args):
            return _bounded(FUNCTIONS[name](*[_value(a, values) for a in args]))
    raise ArithmeticProblem(f"`{ast.unparse(node)}` is not allowed in an expression")


def _power(base: Value, exponent: Value) -> Value:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and (abs(exponent) > LARGEST_POWER or base.bit_length() * max(exponent, 1) > LARGEST_BITS):
        raise ArithmeticProblem("the power is too large")
    result = base**exponent
    if isinstance(result, complex):
        raise ArithmeticProblem("the power of a negative number is not real")
    return result


def _bounded(value: Value) -> Value:
    if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
        raise ArithmeticProblem("the number is too large")
    return value


def number(text: str | int | float, values: Mapping[str, Value]) -> int | float:
    """Return what an expression is worth as a finite number; raise ArithmeticProblem."""
    value = compute(text, values)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArithmeticProblem(f"`{text}` is worth {value!r}, which is no number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ArithmeticProblem(f"`{text}` is not finite")
    return value


def unknown(text: str, known: Iterable[str]) -> set[str]:
    """Return the names in an expression that are not known; raise ArithmeticProblem."""
    return names(text) - set(known)
