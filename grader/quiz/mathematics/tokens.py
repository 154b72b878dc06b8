r"""Cutting a learner's text into tokens: plain, Unicode and light LaTeX spellings become the same tokens.

`W_{hh}^\top`, `W_hh^T`, `W_hh'`, `W_hhᵀ` and `W_hh.T` are all [name W_hh, transpose]; `h_{t-1}` is the name h_tm1.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from grader.quiz.mathematics.tree import Unreadable

LONGEST: Final = 500  # characters
MOST: Final = 250  # tokens
LONGEST_NUMBER: Final = 30

_GREEK_WORDS = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega
"""
GREEK: Final = frozenset(_GREEK_WORDS.split())
_LETTERS: Final = {
    "ϵ": "epsilon",
    "ϕ": "phi",
    "∂": "partial",
    "ℓ": "l",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "ν": "nu", "ξ": "xi",
    "π": "pi", "ρ": "rho", "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi",
    "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi",
    "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SUPER: Final = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀ⊤", "0123456789+-TT", strict=True))
_SUB: Final = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-aehijklmnoprstuvx", strict=True))
_OPERATORS: Final = {
    "+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "/": "/", "÷": "/", "^": "^", "(": "(", ")": ")",
    "[": "(", "]": ")", "{": "{", "}": "}", ",": ",", "·": "*", "⋅": "*", "×": "*", "∙": "*", "@": "*",
    "⊙": ".*", "∘": ".*", "⊗": "outer", "'": "T", "′": "T", "’": "T", "|": "|", "=": "=",
}  # fmt: skip
_COMMANDS: Final = {
    "cdot": "*", "times": "*", "ast": "*", "odot": ".*", "circ": ".*", "div": "/", "top": "T", "intercal": "T",
    "otimes": "outer", "lbrace": "(", "rbrace": ")", "lbrack": "(", "rbrack": ")",
}  # fmt: skip
_IGNORED: Final = {"left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "quad", "qquad", "displaystyle"}
#: commands that only dress their argument
_DRESS: Final = {"mathbf", "mathrm", "mathit", "mathsf", "boldsymbol", "bm", "text", "textrm", "operatorname", "mathop"}
#: commands that make another symbol of their argument: \tilde{h} is the name tilde_h
_ACCENTS: Final = {"tilde", "hat", "bar", "widetilde", "widehat", "overline", "dot", "vec"}
_FRACTIONS: Final = {"frac", "dfrac", "tfrac"}
_COMBINING: Final = {"\u0303": "tilde", "\u0302": "hat", "\u0304": "bar", "\u0305": "bar"}
_PREFIX: Final = re.compile(r"(?:np|numpy|torch|math|F)\.(?=[a-z])")
_NUMBER: Final = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+(?![\d.]*[A-Za-z_]))?")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*")
_SPACE: Final = " \t\n\r\u00a0\u2009\u200a\u202f\u2062\u2063"


@dataclass(frozen=True)
class Token:
    """A piece of the text: kind is number, name, command, or an operator's own sign."""

    kind: str
    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Return the tokens of a text; raise Unreadable."""
    if len(text) > LONGEST:
        raise Unreadable(f"an answer may have {LONGEST} characters, this one has {len(text)}", LONGEST, LONGEST + 1)
    found = _Cutter("".join(_plain(c) if ord(c) > 0x2FFF else c for c in text)).run()
    if len(found) > MOST:
        raise Unreadable("the answer is too long", found[MOST].start, len(text))
    return found


def _plain(character: str) -> str:
    """Return the plain form of a mathematical or full-width letter, which takes as much room; others as they are."""
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character


class _Cutter:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: list[Token] = []

    def run(self) -> list[Token]:
        while self.at < len(self.text):
            self._next()
        return self.found

    def _add(self, kind: str, text: str, start: int) -> None:
        self.found.append(Token(kind, text, start, self.at))

    def _next(self) -> None:
        text, start = self.text, self.at
        character = text[start]
        if character in _SPACE or character == "$":
            self.at += 1
        elif character == "\\":
            self._command()
        elif (character.isdigit() and character.isascii()) or (
            character == "." and text[start + 1 : start + 2].isdigit()
        ):
            self._number()
        elif prefix := _PREFIX.match(text, start):
            self.at = prefix.end()
        elif character.isalpha() and (character.isascii() or character in _LETTERS):
            self._name()
        elif character in _SUPER:
            self._superscript()
        elif text.startswith("**", start):
            self.at += 2
            self._add("^", "**", start)
        elif character == ".":
            self._dotted()
        elif character in _OPERATORS:
            self.at += 1
            self._add(_OPERATORS[character], character, start)
        elif character == ";" or character == "!":
            raise Unreadable(f"`{character}` has no meaning here", start)
        else:
            shown = character if character.isprintable() else f"U+{ord(character):04X}"
            raise Unreadable(f"the character `{shown}` has no meaning here", start)

    def _number(self) -> None:
        start = self.at
        match = _NUMBER.match(self.text, start)
        assert match is not None
        if len(match.group()) > LONGEST_NUMBER:
            raise Unreadable("the number is too long", start, match.end())
        self.at = match.end()
        self._add("number", match.group(), start)

    def _dotted(self) -> None:
        """Read .* ./ .^ .T and \\.transpose()."""
        start = self.at
        for sign, kind in ((".**", ".^"), (".*", ".*"), ("./", "./"), (".^", ".^")):
            if self.text.startswith(sign, start):
                self.at += len(sign)
                self._add(kind, sign, start)
                return
        match = re.compile(r"\.(?:T(?![A-Za-z0-9_])|mT(?![A-Za-z0-9_])|t\(\)|transpose\(\))").match(self.text, start)
        if match is None:
            raise Unreadable("a lone `.` has no meaning here", start)
        self.at = match.end()
        self._add("T", match.group(), start)

    def _superscript(self) -> None:
        start = self.at
        raised = ""
        while self.at < len(self.text) and self.text[self.at] in _SUPER:
            raised += _SUPER[self.text[self.at]]
            self.at += 1
        if raised in ("T", "TT"):
            for _ in raised:
                self._add("T", "ᵀ", start)
            return
        if not re.fullmatch(r"[+-]?\d+", raised):
            raise Unreadable("this superscript cannot be read", start, self.at)
        self._add("^", "^", start)
        if raised[0] in "+-":
            self._add("{", "{", start)
            self._add(raised[0], raised[0], start)
            self._add("number", raised[1:], start)
            self._add("}", "}", start)
        else:
            self._add("number", raised, start)

    def _name(self) -> None:
        start = self.at
        character = self.text[start]
        if character in _LETTERS:
            self.at += 1
            base = _LETTERS[character]
        else:
            match = _WORD.match(self.text, start)
            assert match is not None
            self.at = match.end()
            base = match.group()
        while self.at < len(self.text) and self.text[self.at] in _COMBINING:
            base = f"{_COMBINING[self.text[self.at]]}_{base}"
            self.at += 1
        self._add("name", self._subscripted(base, start), start)

    def _subscripted(self, base: str, start: int) -> str:
        """Return the name with what follows it as a subscript: _hh, _{hh}, _{t-1}, ₜ₋₁."""
        text = self.text
        below = ""
        while self.at < len(text) and text[self.at] in _SUB:
            below += _SUB[text[self.at]]
            self.at += 1
        if below:
            return f"{base}_{_flat(below, start, self.at)}"
        if self.at < len(text) and text[self.at] == "_":
            self.at += 1
            if self.at < len(text) and text[self.at] == "{":
                close = text.find("}", self.at)
                if close >= 0 and "{" in text[self.at + 1 : close]:
                    close = text.find("}", close + 1)  # one nested pair, as in h_{\text{out}}
                if close < 0:
                    raise Unreadable("the subscript's brace is never closed", self.at, len(text))
                inside = text[self.at + 1 : close]
                self.at = close + 1
                return f"{base}_{_flat(inside, start, self.at)}"
            match = re.compile(r"[A-Za-z0-9]+").match(text, self.at)
            if match is not None:
                self.at = match.end()
                return f"{base}_{match.group()}"
            if self.at < len(text) and text[self.at] in _LETTERS:
                self.at += 1
                return f"{base}_{_LETTERS[text[self.at - 1]]}"
            raise Unreadable("a subscript belongs after `_`", self.at)
        return base

    def _command(self) -> None:
        start = self.at
        match = re.compile(r"\\([A-Za-z]+)").match(self.text, start)
        if match is None:
            # \, \; \! and \ are thin spaces; \{ and \} are brackets
            following = self.text[start + 1 : start + 2]
            if following in ("{", "}"):
                self.at += 2
                self._add("(" if following == "{" else ")", following, start)
                return
            if following and following in ",;:! >\\|":
                self.at += 2
                return
            raise Unreadable("a lone backslash has no meaning here", start)
        word = match.group(1)
        self.at = match.end()
        if word in _IGNORED:
            return
        if word in _COMMANDS:
            self._add(_COMMANDS[word], match.group(), start)
        elif word in _FRACTIONS or word == "sqrt":
            self._add("command", "frac" if word in _FRACTIONS else "sqrt", start)
        elif word in _DRESS or word in _ACCENTS:
            inside = self._argument(start)
            if word in _ACCENTS:
                inside = f"{word.removeprefix('wide').replace('overline', 'bar')}_{inside}"
            self._add("name", self._subscripted(inside, start), start)
        elif word in GREEK or word.removeprefix("var") in GREEK:
            self._add("name", self._subscripted(word.removeprefix("var"), start), start)
        elif word in ("ell", "partial"):
            self._add("name", self._subscripted("l" if word == "ell" else word, start), start)
        else:
            self._add("name", word, start)  # \tanh, \exp, \diag: the parser knows the functions

    def _argument(self, start: int) -> str:
        """Return the argument of a dressing command: {W}, {h_t}, or a single letter."""
        text = self.text
        while self.at < len(text) and text[self.at] in _SPACE:
            self.at += 1
        if self.at < len(text) and text[self.at] == "{":
            close = text.find("}", self.at)
            # one nested pair, as in \tilde{h_{t}}
            if close >= 0 and "{" in text[self.at + 1 : close]:
                close = text.find("}", close + 1)
            if close < 0:
                raise Unreadable("the brace is never closed", self.at, len(text))
            inside = text[self.at + 1 : close]
            self.at = close + 1
        else:
            inside = text[self.at : self.at + 1]
            self.at += 1
        inside = inside.strip().lstrip("\\")
        inside = "".join(_LETTERS.get(c, c) for c in inside)
        match = re.fullmatch(r"([A-Za-z]+)(?:_\{?([^{}]*)\}?)?", inside)
        if match is None:
            raise Unreadable("a symbol belongs here", start, self.at)
        return f"{match.group(1)}_{_flat(match.group(2), start, self.at)}" if match.group(2) else match.group(1)


def _flat(subscript: str, start: int, end: int) -> str:
    """Return a subscript as it is written in names: t-1 is tm1, t+1 is tp1, a comma vanishes."""
    flat = subscript
    for command in ("mathrm", "text", "mathit"):
        flat = flat.replace(f"\\{command}", "")
    flat = "".join(_LETTERS.get(c, c) for c in flat)
    flat = re.sub(r"[\s,{}\\]", "", flat).replace("−", "-").replace("-", "m").replace("+", "p")
    if not re.fullmatch(r"[A-Za-z0-9_]+", flat):
        raise Unreadable("this subscript cannot be read", start, end)
    return flat


def canonical(name: str) -> str:
    """Return the form in which names of symbols are compared: h_{t-1} and h_tm1 are the same; raise Unreadable."""
    found = tokens(name)
    if len(found) != 1 or found[0].kind != "name":
        raise Unreadable(f"`{name}` is no name of a symbol", 0, len(name))
    return found[0].text
