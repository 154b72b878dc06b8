"""Reading what learners type: numbers, shapes, matrices and terms; and whether a number is near enough."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from grader.quiz.arithmetic import Value, number
from grader.quiz.schema import Tolerance
from grader.quiz.texts import plain_number

LONGEST: Final = 200  # characters of a number
LONGEST_TEXT: Final = 2000
MOST_CELLS: Final = 400
LARGEST_EXPONENT: Final = 400
LARGEST: Final = Fraction(10) ** 300  # and its inverse: what is beyond them fits no float
#: two float64 computations of the same closed form; a key given as a decimal is far from its neighbours
CLOSED_FORM: Final = 1e-12

_SPACES = re.compile(r"[\s\u00a0\u2009\u202f_'’]")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3}){2,}(?:\.\d*)?|[+-]?\d{1,3}(?:,\d{3})+\.\d*")
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_DECIMAL = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?", re.ASCII)
_POWER_OF_TEN = re.compile(r"(?:\*|x|·|×|⋅|\\cdot|\\times)10(?:\^|\*\*)?\{?\(?([+-]?\d{1,4})\)?\}?$")
_BARE_POWER = re.compile(r"([+-]?)10(?:\^|\*\*)\{?\(?([+-]?\d{1,4})\)?\}?$")
_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_RAISED = re.compile(r"([⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+)")


class Misread(Exception):
    """A response that is not of the kind that is asked; the message tells the learner what to write."""


@dataclass(frozen=True)
class Numeral:
    """A number as it was typed: its exact value, and how many significant digits it was given with (0: not told)."""

    value: Fraction
    digits: int

    @property
    def real(self) -> float:
        """Return the value as a float."""
        return float(self.value)


def text_of(response: Any, longest: int = LONGEST_TEXT) -> str:
    """Return a response that must be text, stripped; raise Misread. A bare JSON number counts as its text."""
    if isinstance(response, int | float) and not isinstance(response, bool):
        response = repr(response)
    if not isinstance(response, str):
        raise Misread("A text is asked for.")
    if len(response) > longest:
        raise Misread(f"The answer may have {longest} characters.")
    if not response.strip():
        raise Misread("There is no answer yet.")
    return response.strip()


def read_number(response: Any, unit: str = "") -> Numeral:
    """Return the number that a learner typed; raise Misread.

    Read are 98816, 98 816, 1,234,567, 0.25, 0,25, .25, 2.5e-3, 2.5*10^-3, 10^-3, 1/4, 25 %, each with the unit or
    without it. A single comma before three digits could mean either, so it is asked again.
    """
    text = text_of(response, LONGEST)
    if unit and unit != "%" and text.lower().endswith(unit.lower()):
        text = text[: -len(unit)]
    text = text.strip().strip("$").replace("−", "-").replace("–", "-").replace("\\,", "").replace("{,}", "")
    text = _RAISED.sub(lambda match: "^" + match.group().translate(_SUPER), text)
    text = _SPACES.sub("", text)
    text = text.removeprefix("=").removeprefix("≈").removeprefix("~")
    percent = text.endswith(("%", "\\%"))
    text = text.removesuffix("%").removesuffix("\\")
    top, slash, bottom = text.partition("/")
    numeral = _decimal(top)
    if slash:
        below = _decimal(bottom)
        if below.value == 0:
            raise Misread("This divides by zero.")
        numeral = Numeral(numeral.value / below.value, 0)
    if percent and unit != "%":
        numeral = Numeral(numeral.value / 100, numeral.digits)
    if numeral.value and not 1 / LARGEST <= abs(numeral.value) <= LARGEST:
        raise Misread("This number is too large or too small.")
    return numeral


def _decimal(text: str) -> Numeral:
    if bare := _BARE_POWER.fullmatch(text):
        return Numeral(_ten(int(bare.group(2))) * (-1 if bare.group(1) == "-" else 1), 1)
    shift = 0
    if power := _POWER_OF_TEN.search(text):
        shift, text = int(power.group(1)), text[: power.start()]
    if "," in text:
        if _AMBIGUOUS.fullmatch(text):
            raise Misread(f"Does {text} mean {text.replace(',', '')} or {text.replace(',', '.')}? Write it so.")
        text = text.replace(",", "") if _GROUPED.fullmatch(text) else text.replace(",", ".")
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match.group(2) or match.group(3)):
        raise Misread("A number is asked for, such as 12, 0.25, 2.5e-3 or 1/4.")
    sign, whole, part, exponent = match.group(1), match.group(2), match.group(3) or "", int(match.group(4) or 0)
    if abs(exponent + shift) > LARGEST_EXPONENT:
        raise Misread("This number is too large or too small.")
    value = Fraction(int((whole + part) or 0)) * _ten(exponent + shift - len(part))
    # zeros in front tell nothing; zeros at the end of a whole number are taken as given
    digits = len((whole + part).lstrip("0"))
    return Numeral(-value if sign == "-" else value, digits)


def _ten(exponent: int) -> Fraction:
    if abs(exponent) > 2 * LARGEST_EXPONENT:
        raise Misread("This number is too large or too small.")
    return Fraction(10) ** exponent


def near(value: Fraction | float, key: Value, rule: Tolerance, values: Mapping[str, Value]) -> bool:
    """Say whether a number satisfies a rule about its key; raise ArithmeticProblem where a bound cannot be computed."""
    if rule.within is not None:
        low, high = (number(bound, values) for bound in rule.within)
        return low <= value <= high
    if rule.exact:
        if isinstance(key, int):
            return value == key
        return math.isclose(float(value), float(key), rel_tol=CLOSED_FORM, abs_tol=0.0)
    gap = abs(Fraction(value) - Fraction(key))
    bound = Fraction(rule.abs) if rule.abs is not None else Fraction(rule.rel or 0.0) * abs(Fraction(key))
    # the bound itself is meant to be inside, whatever binary floats make of it
    return gap <= bound * (1 + Fraction(1, 10**9))


def rule_in_words(rule: Tolerance, values: Mapping[str, Value], unit: str = "") -> str:
    """Return a tolerance as learners are told it."""
    of = f" {unit}" if unit else ""
    if rule.exact:
        return "The exact value is asked for."
    if rule.rel is not None:
        return f"Within {plain_number(100 * rule.rel)} % of the right value."
    if rule.abs is not None:
        return f"Within ±{plain_number(rule.abs)}{of} of the right value."
    return "A value in the right range is enough."


_SHAPE_WORD = re.compile(r"(?:torch\.)?size|shape|tuple|array", re.IGNORECASE)


def read_axes(response: Any) -> list[str]:
    """Return the axes of a shape that a learner typed, each as text: (32, 10), [32,10], 32 x 10; raise Misread."""
    text = text_of(response, LONGEST)
    text = _SHAPE_WORD.sub("", text).strip().strip("=").strip()
    while len(text) >= 2 and text[0] + text[-1] in ("()", "[]", "{}") and _whole(text):
        text = text[1:-1].strip()
    if not text:
        return []
    if "," in text:
        axes = [axis.strip() for axis in text.split(",")]
        if axes and not axes[-1]:
            axes.pop()  # (5,) is how Python writes it
    else:
        axes = [axis.strip() for axis in re.split(r"\s*[x×]\s*|\s+", text) if axis.strip()]
        if not re.fullmatch(r"[\w\s×]+", text):
            axes = [text]  # a single symbolic axis such as 2*H
    if any(not axis for axis in axes) or len(axes) > 12:
        raise Misread("Write the shape with commas between its axes, such as (32, 10, 64).")
    return axes


def _whole(text: str) -> bool:
    """Say whether the first bracket closes with the last character."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return index == len(text) - 1
    return False


def read_matrix(response: Any) -> list[list[Numeral]]:
    """Return the rows of a matrix: a list of lists, or one text such as [[1, 2], [3, 4]] or 1 2; 3 4; raise Misread."""
    rows: Sequence[Any]
    if isinstance(response, str):
        rows = _rows(text_of(response, LONGEST_TEXT))
    elif isinstance(response, list):
        rows = response if any(isinstance(row, list) for row in response) else [response]
    else:
        raise Misread("Write the matrix row by row.")
    if not rows or any(not isinstance(row, list) or not row for row in rows):
        raise Misread("Write the matrix row by row, such as [[1, 2], [3, 4]].")
    if sum(len(row) for row in rows) > MOST_CELLS:
        raise Misread("The matrix is too large.")
    found = []
    for i, row in enumerate(rows):
        cells = []
        for j, cell in enumerate(row):
            try:
                cells.append(read_number(cell))
            except Misread as problem:
                raise Misread(f"Row {i + 1}, column {j + 1}: {problem}") from None
        found.append(cells)
    if len({len(row) for row in found}) > 1:
        raise Misread("The rows have different lengths.")
    return found


def _rows(text: str) -> list[list[str]]:
    inside = re.sub(r"^\s*(?:np\.array|torch\.tensor|array|tensor|matrix)\s*\(", "", text).rstrip(")").strip()
    inside = re.sub(r"\\begin\{[a-z]*matrix\}|\\end\{[a-z]*matrix\}", "", inside).replace("\\\\", ";").replace("&", ",")
    found = re.findall(r"\[([^\[\]]*)\]", inside) if "[" in inside else re.split(r"[;\n]", inside)
    rows = [[cell for cell in re.split(r"\s*,\s*|\s+", row.strip()) if cell] for row in found]
    return [row for row in rows if row]


def plain_term(text: str) -> str:
    """Return a term as it is compared: small letters, no article, hyphens as spaces, no closing dot."""
    text = text.casefold().strip().strip(".!\"'`“”„").replace("-", " ").replace("‐", " ").replace("_", " ")
    text = re.sub(r"^(?:the|an|a)\s+", "", text)
    return " ".join(text.split())


def typos_allowed(term: str) -> int:
    """Return how many slips of the finger a term may have by itself: none in short words, two in long ones."""
    return 0 if len(term) < 5 else 1 if len(term) < 9 else 2


def same_term(text: str, accept: Sequence[str], reject: Sequence[str], typos: int | None = None) -> str | None:
    """Return "key" for an accepted term, "typo" for one with a slip of the finger, None for anything else.

    A slip never turns one term into another: the first letter must agree (supervised is not unsupervised), and
    what is as near to a rejected term as to an accepted one is not accepted.
    """
    from rapidfuzz.distance import OSA

    given = plain_term(text)
    if given in {plain_term(one) for one in accept}:
        return "key"
    refused = [plain_term(one) for one in reject]
    if given in refused:
        return None
    for term in map(plain_term, accept):
        allowed = typos_allowed(term) if typos is None else typos
        gap = OSA.distance(given, term)
        digits = [c for c in given if c.isdigit()] == [c for c in term if c.isdigit()]
        nearer = all(OSA.distance(given, one) > gap for one in refused)
        if 0 < gap <= allowed and given[:1] == term[:1] and digits and nearer:
            return "typo"
    return None
