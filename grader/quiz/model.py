"""The nouns of a quiz: bank, question, variant, item, view, mark. Everything else in this room speaks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grader.quiz.places import Places
    from grader.quiz.schema import QuestionSpec

#: What a parameter may be worth: a number, a text, or a (nested) list of numbers.
Value = bool | int | float | str | list[Any]

#: What a learner hands in: JSON data, the same whatever way the question was asked.
Response = Any

#: Bloom's six, easiest first.
LEVELS = ("remember", "understand", "apply", "analyse", "evaluate", "create")


class Status(StrEnum):
    """What became of a response. An invalid one costs nothing and is asked again; undecided waits for a person."""

    RIGHT = "right"
    PARTIAL = "partial"
    WRONG = "wrong"
    INVALID = "invalid"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Mark:
    """The outcome of one response.

    `score` lies in 0..1; `note` is a stable machine word for statistics ("key", "wrong:one-gate", "sigfigs");
    `feedback` holds sentences for the learner; `evidence` is JSON data for the instructor, never for the learner.
    """

    status: Status
    score: float
    note: str
    feedback: tuple[str, ...] = ()
    misconceptions: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def misconception(self) -> str | None:
        """Return the first misconception that the response shows, or None."""
        return self.misconceptions[0] if self.misconceptions else None

    @property
    def final(self) -> bool:
        """Say whether the response counts as an attempt: everything but an invalid one does."""
        return self.status is not Status.INVALID

    def as_dict(self) -> dict[str, Any]:
        """Return the mark as JSON data."""
        return {
            "status": self.status.value,
            "score": self.score,
            "note": self.note,
            "feedback": list(self.feedback),
            "misconceptions": list(self.misconceptions),
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True)
class Expected:
    """A response and what it must be marked: the grading unit tests that a bank brings along.

    `score` is None where any score of that status will do; `loc` says where in the question it is written.
    """

    response: Response
    status: Status
    score: float | None = None
    misconception: str | None = None
    loc: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Hint:
    """Help before answering; `cost` is taken off the score."""

    text: str
    cost: float


@dataclass(frozen=True)
class Variant:
    """One drawing of a question's parameters. A question without parameters has exactly one, number 0."""

    number: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Question:
    """A question of a bank. `spec` holds the keys of its type, `variants` what is asked.

    `meaning` is a hash of what decides a mark, `content` one of everything; attempts record both.
    Texts are as the author wrote them: parameters and macros are filled in when an item is viewed.
    """

    bank: str
    id: str
    rev: int
    type: str
    tags: tuple[str, ...]
    level: str
    difficulty: int
    prompt: str
    explain: str
    hints: tuple[Hint, ...]
    source: tuple[str, ...]
    confidence: bool
    minutes: float
    supersedes: str | None
    spec: QuestionSpec
    variants: tuple[Variant, ...]
    macros: Mapping[str, str]
    meaning: str
    content: str
    graded: bool
    places: Places = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return bank/id, which is the question's identity everywhere."""
        return f"{self.bank}/{self.id}"


@dataclass(frozen=True)
class Bank:
    """A file of questions. `graded` tells one of solutions/quizzes/, whose keys never leave the instructor."""

    id: str
    title: str
    about: str
    path: Path
    graded: bool
    macros: Mapping[str, str]
    questions: tuple[Question, ...]
    places: Places = field(repr=False, compare=False)

    def question(self, question_id: str) -> Question | None:
        """Return the question of that id, or None."""
        return next((q for q in self.questions if q.id == question_id), None)

    @property
    def tags(self) -> tuple[str, ...]:
        """Return every tag of the bank once, in order of first use."""
        return tuple(dict.fromkeys(tag for q in self.questions for tag in q.tags))


@dataclass(frozen=True)
class Item:
    """A question as it is asked: one variant of it, its options shuffled by `shuffle`."""

    question: Question
    variant: Variant
    shuffle: int = 0

    @property
    def name(self) -> str:
        """Return bank/id#variant."""
        return f"{self.question.name}#{self.variant.number}"


@dataclass(frozen=True)
class Choice:
    """Something that can be chosen, ordered or matched: its stable id and its text."""

    id: str
    text: str


@dataclass(frozen=True)
class Field:
    """A blank to fill in; `kind` is the kind of response it takes, `options` what a choice offers."""

    id: str
    label: str
    kind: str
    hint: str = ""
    options: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class View:
    """All that a learner may see of an item before it is answered. It holds no key.

    `kind` says what a response looks like: text, option, options, order, match, fields, matrix, code or essay.
    `options` are choices, blocks or the right side of a match; `left` is the left side; `fields` are blanks.
    Texts are Markdown with $TeX$.
    """

    bank: str
    question: str
    rev: int
    variant: int
    type: str
    kind: str
    prompt: str
    rule: str = ""
    options: tuple[Choice, ...] = ()
    left: tuple[Choice, ...] = ()
    fields: tuple[Field, ...] = ()
    code: str = ""
    symbols: tuple[Choice, ...] = ()
    shape: tuple[int, ...] = ()
    unit: str = ""
    starter: str = ""
    hint_costs: tuple[float, ...] = ()
    confidence: bool = False
    minutes: float = 1.0
    tags: tuple[str, ...] = ()
    level: str = ""
    difficulty: int = 3

    def as_dict(self) -> dict[str, Any]:
        """Return the view as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Solution:
    """What is shown once an item is done: the key in words, the explanation, and why each wrong option is wrong."""

    answer: str
    explain: str
    whys: Mapping[str, str] = field(default_factory=dict)
    response: Response = None
