"""The tree that an expression is read into; every node knows where in the text it stands."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


class Unreadable(Exception):
    """A text that is no expression: `what` says why, `start` and `end` where in the text it happened."""

    def __init__(self, what: str, start: int = 0, end: int | None = None) -> None:
        self.what = what
        self.start = start
        self.end = start + 1 if end is None else end
        super().__init__(what)

    def pointed(self, text: str) -> str:
        """Return the message with the offending piece of the text and its position, counted from one."""
        piece = text[self.start : self.end].strip()
        return f"{self.what} (at character {self.start + 1}{f': `{piece[:40]}`' if piece else ''})"


@dataclass(frozen=True)
class Node:
    """A node of the tree; `start` and `end` are its piece of the text."""

    start: int
    end: int


@dataclass(frozen=True)
class Number(Node):
    """A number, kept exactly."""

    value: Fraction


@dataclass(frozen=True)
class Symbol(Node):
    """A declared symbol, by its declared name."""

    name: str


@dataclass(frozen=True)
class Binary(Node):
    """Two operands: `op` is one of + - * .* / ./ ^ .^ ; `*` is the matrix product where both are tensors."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Negative(Node):
    """The opposite of an operand."""

    inner: Node


@dataclass(frozen=True)
class Transposed(Node):
    """The transpose of an operand."""

    inner: Node


@dataclass(frozen=True)
class Call(Node):
    """A known function of its arguments."""

    function: str
    inner: tuple[Node, ...]
