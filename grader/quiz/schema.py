"""The keys that questions of every type share, as pydantic models; a type's own keys are in its file in types/."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import arithmetic

SCHEMA = "quizbank/1"

SLUG = r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$"
NAME = r"^[a-zA-Z][a-zA-Z0-9_]*$"
MISCONCEPTION = r"^[a-z0-9][a-z0-9_-]*(?:/[a-z0-9][a-z0-9_-]*)+$"
_SOURCE = re.compile(r"[^/\s][^/]*/[^/\s][^/]*")
_CALL = re.compile(r"(?:oracles\.)?[a-z][a-z0-9_]*:[a-zA-Z_][a-zA-Z0-9_]*")


class Strict(BaseModel):
    """A mapping with known keys of known types; nothing is turned into something else on the way."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, regex_engine="python-re")


def _slug(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(SLUG, value):
        raise PydanticCustomError("id", "an id is lower-case letters, digits and single -, and starts with a letter")
    return value


def _word(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]*", value):
        raise PydanticCustomError("id", "an id is letters, digits, _ and -, in quotes where it is a number")
    return value


def _expression(value: Any) -> int | float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("expression", "a number or an expression in the parameters belongs here")
    if isinstance(value, str):
        try:
            arithmetic.parse(value)
        except arithmetic.ArithmeticProblem as problem:
            raise PydanticCustomError("expression", "{what}", {"what": str(problem)}) from None
    return value


def _call(value: Any) -> str:
    if not isinstance(value, str) or not _CALL.fullmatch(value):
        raise PydanticCustomError("oracle", "name an oracle like `foundations:count_lstm`, for oracles/foundations.py")
    return value.removeprefix("oracles.")


def _source(value: Any) -> str:
    if not isinstance(value, str) or not _SOURCE.fullmatch(value):
        raise PydanticCustomError("source", "name document and item, like `003/PX05`")
    return value


def _misconception(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(MISCONCEPTION, value):
        raise PydanticCustomError("misconception", "a misconception's id looks like `lstm/one-gate`")
    return value


Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
Slug = Annotated[str, PlainValidator(_slug, json_schema_input_type=str)]
Word = Annotated[str, PlainValidator(_word, json_schema_input_type=str)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Expr = Annotated[int | float | str, PlainValidator(_expression, json_schema_input_type=int | float | str)]
OracleName = Annotated[str, PlainValidator(_call, json_schema_input_type=str)]
SourceItem = Annotated[str, PlainValidator(_source, json_schema_input_type=str)]
MisconceptionId = Annotated[str, PlainValidator(_misconception, json_schema_input_type=str)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class HintSpec(Strict):
    """A hint and what it costs."""

    text: Text
    cost: Fraction = 0.1


class ParameterSpec(Strict):
    """How a parameter is drawn: exactly one of choice, int, real, logspace and derived."""

    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    whole: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(default=None, alias="int")
    real: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    logspace: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    derived: Expr | None = None
    step: float | None = Field(default=None, gt=0)
    num: Annotated[int, Field(ge=2, le=1000)] | None = None
    digits: Annotated[int, Field(ge=0, le=12)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [n for n in ("choice", "whole", "real", "logspace", "derived") if getattr(self, n) is not None]
        if len(ways) != 1:
            raise PydanticCustomError(
                "parameter", "a parameter has exactly one of choice, int, real, logspace and derived"
            )
        allowed = {"whole": {"step"}, "real": {"step", "digits"}, "logspace": {"num", "digits"}}.get(ways[0], set())
        for name in ("step", "num", "digits"):
            if getattr(self, name) is not None and name not in allowed:
                raise PydanticCustomError(
                    "parameter", f"`{name}` means nothing beside `{ways[0].replace('whole', 'int')}`"
                )
        pair = getattr(self, ways[0])
        if ways[0] in ("whole", "real", "logspace") and not pair[0] < pair[1]:
            raise PydanticCustomError("parameter", "the lower bound must be below the upper one")
        if ways[0] == "logspace" and pair[0] <= 0:
            raise PydanticCustomError("parameter", "logspace needs bounds above 0")
        if ways[0] == "whole" and self.step is not None and self.step != round(self.step):
            raise PydanticCustomError("parameter", "the step of whole numbers is a whole number")
        if ways[0] == "choice" and not all(_plain(one) for one in self.choice or ()):
            raise PydanticCustomError("parameter", "a choice is a number, a text, or a list of numbers")
        return self


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_plain(one) and not isinstance(one, str) for one in value)
    return isinstance(value, bool | int | float | str)


class VariantsSpec(Strict):
    """How many variants are drawn, and from which seed."""

    count: Annotated[int, Field(ge=1, le=200)] = 6
    seed: int = 0


class OracleSpec(Strict):
    """What recomputes the key: a function of oracles/<file>.py, run in the sandbox.

    `args` maps argument names to expressions in the parameters; without it the function gets the parameters that
    it names. `gradient` differentiates the function with respect to `wrt`. `rel` is how near it must come.
    """

    call: OracleName | None = None
    gradient: OracleName | None = None
    wrt: Name | None = None
    args: dict[str, Expr] | None = None
    requires: list[Literal["numpy", "torch"]] = Field(default_factory=list)
    rel: Annotated[float, Field(gt=0, le=0.1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.call is None) == (self.gradient is None):
            raise PydanticCustomError("oracle", "an oracle has exactly one of call and gradient")
        if (self.gradient is None) != (self.wrt is None):
            raise PydanticCustomError("oracle", "`wrt` belongs to `gradient`, and names one of its arguments")
        return self

    @property
    def name(self) -> str:
        """Return file:function."""
        return self.call or self.gradient or ""


class WrongSpec(Strict):
    """What every recognised wrong answer may say."""

    misconception: MisconceptionId | None = None
    feedback: Text | None = None
    credit: Fraction = 0.0


class Tolerance(Strict):
    """How near a number must come: exactly one of exact, rel, abs and within."""

    exact: Literal[True] | None = None
    rel: Annotated[float, Field(gt=0, le=0.5)] | None = None
    abs: Annotated[float, Field(gt=0)] | None = None
    within: Annotated[list[Expr], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        rules = [name for name in ("exact", "rel", "abs", "within") if getattr(self, name) is not None]
        if len(rules) != 1:
            said = f"this has {' and '.join(rules)}" if rules else "this has none"
            raise PydanticCustomError("tolerance", f"give exactly one of exact, rel, abs and within: {said}")
        return self


class QuestionSpec(Strict):
    """The keys that every question has; the models of the types extend it."""

    id: Slug
    type: str
    rev: Annotated[int, Field(ge=1)] = 1
    tags: Annotated[list[Slug], Field(min_length=1)]
    level: Literal["remember", "understand", "apply", "analyse", "evaluate", "create"]
    difficulty: Annotated[int, Field(ge=1, le=5)]
    minutes: Annotated[float, Field(gt=0, le=120)] | None = None
    prompt: Text
    explain: Text
    hints: list[HintSpec] = Field(default_factory=list)
    source: list[SourceItem] = Field(default_factory=list)
    confidence: bool = False
    supersedes: Slug | None = None
    params: dict[Name, ParameterSpec] = Field(default_factory=dict)
    where: Expr | None = None
    variants: VariantsSpec = Field(default_factory=VariantsSpec)

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return (place, text) of every text that a learner may see; the models of the types add theirs."""
        found: list[tuple[tuple[str | int, ...], str]] = [(("prompt",), self.prompt), (("explain",), self.explain)]
        found += [(("hints", n, "text"), hint.text) for n, hint in enumerate(self.hints)]
        for n, wrong in enumerate(getattr(self, "wrong", None) or ()):
            if wrong.feedback:
                found.append((("wrong", n, "feedback"), wrong.feedback))
        return found

    def meaning(self) -> dict[str, Any]:
        """Return what decides a mark, as JSON data: a change of it needs a new rev.

        Texts are left out (rewording is free), and so are recognised wrong answers that earn nothing.
        """
        # what is not said is left out, so that a new key with a default changes nothing
        said = self.model_dump(mode="json", exclude_defaults=True)
        own = {key: value for key, value in said.items() if key not in _FREE}
        meant = _meant(own)
        assert isinstance(meant, dict)
        return meant


#: Keys of a question that may change without changing any mark.
_FREE = frozenset(
    {"id", "rev", "tags", "level", "difficulty", "minutes", "prompt", "explain", "hints", "source", "confidence"}
    | {"supersedes", "variants", "oracle", "accept", "reject", "mutants", "reference", "twins", "model", "starter"}
)
_WORDING = frozenset({"text", "why", "feedback", "label", "about", "title", "misconception"})


def _meant(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _meant(inner) for key, inner in value.items() if key not in _WORDING}
        if isinstance(kept.get("wrong"), list):
            kept["wrong"] = [one for one in kept["wrong"] if isinstance(one, dict) and one.get("credit")]
        return kept
    return [_meant(one) for one in value] if isinstance(value, list) else value
