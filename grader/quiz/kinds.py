"""The types of questions: every file of the folder types/ is one, and what such a file must hold."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from grader.quiz import types
from grader.quiz.model import Expected, Item, Mark, Question, Response

if TYPE_CHECKING:
    from grader.quiz.lab import Lab
    from grader.quiz.running import CodeBox
    from grader.quiz.schema import QuestionSpec

Loc = tuple[str | int, ...]
#: what a check finds in a question: where in it, a stable word, and a sentence
Fault = tuple[Loc, str, str]


class QuestionType(Protocol):
    """What a file in types/ holds. Each function takes the item, whose spec is the file's own model."""

    #: the model of the type's keys
    Spec: type[QuestionSpec]
    #: what a response looks like: text, option, options, order, match, fields, matrix, code, essay
    KIND: str

    def view(self, item: Item) -> Mapping[str, Any]:
        """Return what the learner sees besides the prompt, as keys of View."""

    def mark(self, item: Item, response: Response, box: CodeBox | None) -> Mark:
        """Mark a response; raise Misread where it is not of the kind that is asked."""

    def keys(self, item: Item) -> Sequence[Response]:
        """Return responses that must be marked right; the first is the one that is shown."""

    def wrong_responses(self, item: Item) -> Sequence[Expected]:
        """Return every recognised wrong answer, accept and reject, with the mark that each must get."""

    def answer(self, item: Item) -> str:
        """Return the key in words, as it is shown afterwards."""

    def whys(self, item: Item) -> Mapping[str, str]:
        """Return option or block id -> why it is right or wrong."""

    def lacks(self, question: Question) -> str | None:
        """Return what the question lacks for its key to be recomputed by something independent, or None."""

    def witness(self, item: Item, lab: Lab) -> Iterator[Fault]:
        """Recompute the key of one variant independently and yield what differs."""

    def lint(self, question: Question) -> Iterator[Fault]:
        """Yield what is wrong with the question whatever its parameters."""


@functools.cache
def type_names() -> tuple[str, ...]:
    """Return the names of all types, sorted: the files of the folder."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(types.__path__) if not m.name.startswith("_")))


@functools.cache
def type_of(name: str) -> QuestionType:
    """Return the type of that name, whose file is imported now."""
    module: Any = import_module(f"{types.__name__}.{name}")
    return module  # type: ignore[no-any-return]  # a module that holds what the protocol asks


def kind_of(item: Item) -> QuestionType:
    """Return the type of an item's question."""
    return type_of(item.question.type)


# --- what several types do alike: `whys = no_whys` in a type's file ---------------------------------------------------


def no_whys(item: Item) -> Mapping[str, str]:
    """Return nothing: there are no options, or something else tells."""
    return {}


def lacks_oracle(question: Question) -> str | None:
    """Say that there is no oracle, where there is none: for types whose spec has one."""
    spec: Any = question.spec
    return None if spec.oracle is not None else "no oracle recomputes the key"


def lacks_nothing(question: Question) -> str | None:
    """Say nothing: the key cannot be computed, or the check runs it in any case."""
    return None


def no_witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Yield nothing: what is true is for people to say."""
    return iter(())
