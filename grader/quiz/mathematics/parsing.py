"""Reading tokens into a tree over declared symbols: a recursive descent with positions and a limit on its depth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from grader.course.spelling import nearest
from grader.quiz.mathematics.tokens import Token, canonical, tokens
from grader.quiz.mathematics.tree import Binary, Call, Negative, Node, Number, Symbol, Transposed, Unreadable

DEEPEST: Final = 40
LARGEST_EXPONENT: Final = 250  # with the longest mantissa a number still fits a float

#: function -> how many arguments it takes
FUNCTIONS: Final[dict[str, int]] = {
    "abs": 1, "cos": 1, "cosh": 1, "diag": 1, "elementwise": 2, "exp": 1, "log": 1, "log10": 1, "log2": 1,
    "matmul": 2, "max": 2, "mean": 1, "min": 2, "norm": 1, "outer": 2, "relu": 1, "sigmoid": 1, "sin": 1,
    "sinh": 1, "softmax": 1, "sqrt": 1, "sum": 1, "tanh": 1, "trace": 1, "transpose": 1,
}  # fmt: skip
_OTHER_NAMES: Final = {
    "ln": "log", "sigma": "sigmoid", "logistic": "sigmoid", "Diag": "diag", "tr": "trace", "mul": "elementwise",
    "multiply": "elementwise", "hadamard": "elementwise", "dot": "matmul", "mm": "matmul", "maximum": "max",
    "minimum": "min",
}  # fmt: skip
CONSTANTS: Final = ("e", "pi")
_STARTS: Final = frozenset({"number", "name", "command", "(", "{"})
_PRODUCTS: Final = {"*": "*", "/": "/", ".*": ".*", "./": "./"}


@dataclass(frozen=True)
class Alphabet:
    """The symbols that an answer may use: how each may be spelled -> its declared name."""

    spellings: Mapping[str, str]

    @classmethod
    def of(cls, names: Iterable[str], aliases: Mapping[str, Iterable[str]] | None = None) -> Alphabet:
        """Return the alphabet of declared names and their other spellings; raise Unreadable for a bad name."""
        spellings = {canonical(name): name for name in names}
        for name, others in (aliases or {}).items():
            for other in others:
                spellings.setdefault(canonical(other), name)
        return cls(spellings)


def parse(text: str, alphabet: Alphabet) -> Node:
    """Return the tree of a learner's expression; raise Unreadable."""
    found = tokens(text)
    if not found:
        raise Unreadable("there is no answer", 0, 0)
    return _Parser(text, found, alphabet).whole()


class _Parser:
    def __init__(self, text: str, found: list[Token], alphabet: Alphabet) -> None:
        self.text = text
        self.tokens = found
        self.known = alphabet.spellings
        self.at = 0
        self.depth = 0

    # --- tokens -------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else "end"

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def fail(self, what: str) -> Unreadable:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            return Unreadable(what, token.start, token.end)
        return Unreadable(what, len(self.text), len(self.text))

    def expect(self, kind: str, what: str) -> Token:
        if self.kind != kind:
            raise self.fail(what)
        return self.take()

    # --- grammar ------------------------------------------------------------------------------------------------

    def whole(self) -> Node:
        node = self.sum()
        if self.kind == "=":
            raise self.fail("write only what stands on the right of the equals sign")
        if self.kind in (")", "}"):
            raise self.fail("this bracket was never opened")
        if self.kind != "end":
            raise self.fail("an operator is missing before this, or it is one too many")
        return node

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail("the answer is nested too deeply")
        node = self.product()
        while self.kind in ("+", "-"):
            op = self.take().kind
            right = self.product()
            node = Binary(node.start, right.end, op, node, right)
        self.depth -= 1
        return node

    def product(self) -> Node:
        node = self.signed()
        divided = False  # the last factor stood under a slash
        while True:
            if self.kind in _PRODUCTS:
                op = self.take().kind
                right = self.signed()
                node = Binary(node.start, right.end, op, node, right)
                divided = op in ("/", "./")
            elif self.kind == "outer":
                self.take()
                right = self.signed()
                node = Call(node.start, right.end, "outer", (node, right))
                divided = False
            elif self.kind in _STARTS:
                if divided:
                    raise self.fail("is this still below the slash? Put brackets around what you divide by")
                if self.kind == "number" and self.tokens[self.at - 1].kind == "number":
                    raise self.fail("an operator is missing between two numbers")
                right = self.power()
                node = Binary(node.start, right.end, "*", node, right)
            else:
                return node

    def signed(self) -> Node:
        if self.kind in ("+", "-"):
            self.depth += 1
            if self.depth > DEEPEST:
                raise self.fail("the answer is nested too deeply")
            sign = self.take()
            inner = self.signed()
            self.depth -= 1
            return inner if sign.kind == "+" else Negative(sign.start, inner.end, inner)
        return self.power()

    def power(self) -> Node:
        node = self.postfixed(self.atom())
        while self.kind in ("^", ".^"):
            op = self.take()
            if self.transposing(op):
                node = Transposed(node.start, self.tokens[self.at - 1].end, node)
            else:
                exponent = self.exponent()
                node = Binary(node.start, exponent.end, op.kind, node, exponent)
            node = self.postfixed(node)
        return node

    def postfixed(self, node: Node) -> Node:
        while self.kind == "T":
            node = Transposed(node.start, self.take().end, node)
        return node

    def transposing(self, op: Token) -> bool:
        """Take what follows `^` if it means the transpose: T, {T}, \\top; a T with symbols stuck to it is split."""
        if op.kind != "^":
            return False
        following = [token.kind for token in self.tokens[self.at : self.at + 3]]
        if following[:1] == ["T"]:
            self.at += 1
            return True
        inside = self.tokens[self.at + 1] if following[0:1] == ["{"] and len(following) == 3 else None
        if inside is not None and following[2] == "}" and (inside.kind == "T" or self.is_transpose(inside)):
            self.at += 3
            return True
        if self.kind == "name":
            token = self.tokens[self.at]
            if self.is_transpose(token):
                self.at += 1
                return True
            rest = token.text[1:]
            stuck = token.text[0] == "T" and "T" not in self.known and token.text not in self.known
            if stuck and (rest in self.known or self.pieces(rest) or self.function(rest)):
                # W^Tdelta: the T is the transpose, what is stuck to it the next factor
                split = [Token("T", "T", token.start, token.start + 1), Token("name", rest, token.start + 1, token.end)]
                self.tokens[self.at : self.at + 1] = split
                self.at += 1
                return True
        return False

    def is_transpose(self, token: Token) -> bool:
        return token.kind == "name" and token.text in ("T", "transpose") and token.text not in self.known

    def exponent(self) -> Node:
        if self.kind in ("+", "-"):
            self.depth += 1
            if self.depth > DEEPEST:
                raise self.fail("the answer is nested too deeply")
            sign = self.take()
            inner = self.exponent()
            self.depth -= 1
            return inner if sign.kind == "+" else Negative(sign.start, inner.end, inner)
        node = self.atom()
        if self.kind == "^":
            raise self.fail("a power of a power needs brackets")
        return node

    def atom(self) -> Node:
        kind = self.kind
        if kind == "number":
            token = self.take()
            return Number(token.start, token.end, _number(token))
        if kind in ("(", "{"):
            return self.bracketed()
        if kind == "command":
            return self.command()
        if kind == "name":
            return self.name()
        if kind == "end":
            raise self.fail("the answer stops where something is still missing")
        if kind == "|":
            raise self.fail("write abs(...) or norm(...) instead of bars")
        raise self.fail("a number, a symbol or a bracket belongs here")

    def bracketed(self) -> Node:
        opening = self.take()
        closing = ")" if opening.kind == "(" else "}"
        node = self.sum()
        if self.kind == ",":
            raise self.fail("a list has no meaning here")
        end = self.expect(closing, "a bracket is not closed")
        # the same node, but its piece of the text includes the brackets
        return _stretched(node, opening.start, end.end)

    def command(self) -> Node:
        token = self.take()
        if token.text == "sqrt":
            if self.kind != "{":
                raise self.fail("\\sqrt needs its argument in braces")
            inner = self.bracketed()
            return Call(token.start, inner.end, "sqrt", (inner,))
        parts = []
        for _ in range(2):
            if self.kind == "{":
                parts.append(self.bracketed())
            else:
                raise self.fail("\\frac needs two arguments in braces")
        return Binary(token.start, parts[1].end, "/", parts[0], parts[1])

    def name(self) -> Node:
        token = self.take()
        if token.text in self.known:
            return Symbol(token.start, token.end, self.known[token.text])
        function = self.function(token.text)
        if function is not None:
            return self.call(function, token)
        if token.text == "e":
            return Call(token.start, token.end, "exp", (Number(token.start, token.end, Fraction(1)),))
        if token.text == "pi":
            return Call(token.start, token.end, "pi", ())
        pieces = self.pieces(token.text)
        if pieces:
            return self.split(token, pieces)
        raise self.stranger(token)

    def function(self, name: str) -> str | None:
        if name in FUNCTIONS:
            return name
        return _OTHER_NAMES.get(name)

    def call(self, function: str, token: Token) -> Node:
        raised: Node | None = None
        if self.kind == "^":  # tanh^2(x)
            self.take()
            raised = self.exponent()
            if not isinstance(raised, Number) or raised.value < 1:
                raise Unreadable(f"a power of {function} needs brackets around the whole", raised.start, raised.end)
        arguments: list[Node] = []
        if self.kind in ("(", "{"):
            opening = self.take()
            closing = ")" if opening.kind == "(" else "}"
            arguments.append(self.sum())
            while self.kind == ",":
                self.take()
                arguments.append(self.sum())
            end = self.expect(closing, "a bracket is not closed").end
        elif self.kind in ("name", "number", "command") and FUNCTIONS[function] == 1:
            arguments.append(self.postfixed(self.atom()))  # \tanh h_t
            end = arguments[0].end
        else:
            raise self.fail(f"{function} needs its argument in brackets")
        if len(arguments) != FUNCTIONS[function]:
            raise Unreadable(f"{function} takes {FUNCTIONS[function]}, not {len(arguments)}", token.start, end)
        node: Node = Call(token.start, end, function, tuple(arguments))
        if function == "transpose":
            node = Transposed(token.start, end, arguments[0])
        return node if raised is None else Binary(token.start, end, ".^", node, raised)

    def pieces(self, text: str) -> list[str]:
        """Return the symbols that a word is made of, the longest first where there is a choice; none if it is not."""
        best: list[list[str] | None] = [None] * (len(text) + 1)
        best[len(text)] = []
        for start in range(len(text) - 1, -1, -1):
            for end in range(len(text), start, -1):
                rest = best[end]
                if rest is not None and text[start:end] in self.known:
                    best[start] = [text[start:end], *rest]
                    break
        return best[0] or []

    def split(self, token: Token, pieces: list[str]) -> Node:
        """Put the pieces of a word back as tokens of their own, so that powers bind to the last one only."""
        new: list[Token] = []
        start = token.start
        exact = token.end - token.start == len(token.text)
        for piece in pieces:
            end = start + len(piece) if exact else token.end
            new.append(Token("name", piece, start, end))
            start = end if exact else start
        self.at -= 1
        self.tokens[self.at : self.at + 1] = new
        return self.name()

    def stranger(self, token: Token) -> Unreadable:
        choices = [*dict.fromkeys(self.known.values())]
        near = next((c for c in choices if c.lower() == token.text.lower()), None) or nearest(token.text, choices)
        known = ", ".join(choices) or "none"
        hint = f"did you mean `{near}`?" if near else f"the symbols are {known}"
        return Unreadable(f"`{token.text}` is not one of the symbols here: {hint}", token.start, token.end)


def _number(token: Token) -> Fraction:
    mantissa, _, exponent = token.text.lower().partition("e")
    if exponent and abs(int(exponent)) > LARGEST_EXPONENT:
        raise Unreadable("the number is too large or too small", token.start, token.end)
    return Fraction(mantissa if mantissa[-1] != "." else mantissa[:-1]) * Fraction(10) ** int(exponent or 0)


def _stretched(node: Node, start: int, end: int) -> Node:
    from dataclasses import replace

    return replace(node, start=start, end=end)
