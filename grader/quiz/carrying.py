"""An error carried forward: a later blank is right where it follows from what the learner gave for an earlier one."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from grader.quiz.arithmetic import CONSTANTS, ArithmeticProblem, Value, number, parse

#: what such an expression may use: the script of a practice page computes it too
FUNCTIONS: Final = ("abs", "exp", "log", "max", "min", "sigmoid", "sqrt", "tanh")
_SIGNS: Final[dict[type[ast.AST], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.USub: "neg",
}  # fmt: skip

#: a number, a name of a blank, or an operation with its operands; numbers travel as text
Tree = list[Any]


def tree(text: str | int | float, values: Mapping[str, Value]) -> Tree:
    """Return an expression as JSON data, parameters filled in: ["number", "12"], ["blank", name] or [sign, ...].

    Raises ArithmeticProblem for what is not arithmetic of single numbers.
    """
    return _tree(parse(text), values) if isinstance(text, str) else ["number", repr(text)]


def _tree(node: ast.expr, values: Mapping[str, Value]) -> Tree:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return ["number", repr(value)]
        case ast.Name(id=name):
            known = values.get(name, CONSTANTS.get(name))
            if known is None:
                return ["blank", name]
            if isinstance(known, int | float) and not isinstance(known, bool):
                return ["number", repr(known)]
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _tree(inner, values)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return ["neg", _tree(inner, values)]
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _SIGNS:
            return [_SIGNS[type(op)], _tree(left, values), _tree(right, values)]
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in FUNCTIONS:
            return [name, *(_tree(one, values) for one in arguments)]
    raise ArithmeticProblem(
        f"`{ast.unparse(node)}` cannot be carried forward: use + - * / ** and {', '.join(FUNCTIONS)} of numbers"
    )


def carried(
    text: str | int | float, values: Mapping[str, Value], given: Mapping[str, tuple[Fraction, int | float]]
) -> int | float | None:
    """Return what an expression is worth for what a learner gave, or None where that cannot be computed.

    `given` maps a blank to the number that was typed and its key: where the key is whole, a whole number stays one.
    """
    own = {
        name: int(value) if isinstance(key, int) and value.denominator == 1 else float(value)
        for name, (value, key) in given.items()
    }
    try:
        return number(text, {**values, **own})
    except ArithmeticProblem:
        return None
