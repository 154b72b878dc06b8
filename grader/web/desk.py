"""The desk of a served quiz: what the server is told when it starts, and the sittings of those who come to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from grader.course.misconceptions import Misconception
from grader.errors import QuizError
from grader.gradebook.quizzes import QuizBook, SittingRecord
from grader.quiz.model import Bank, Item
from grader.quiz.running import CodeBox
from grader.quiz.sitting import Clock, Rules, Sitting, begin, start, utc_now
from grader.web.access import Door, Keys

T = TypeVar("T")


class Boxes:
    """A few sandboxes for code questions, each with a thread of its own that lives as long as the server.

    A sandbox ends with the thread that opened it, so it must not be opened in a thread that comes and goes.
    """

    def __init__(self, count: int | None = None, tier: int | None = None) -> None:
        """Make `count` boxes, as many as there are cores if it is None; they open when they are first needed."""
        self._tier = tier
        self._own = threading.local()
        self._open: list[CodeBox] = []
        self._threads = ThreadPoolExecutor(count or os.cpu_count() or 1, "code")

    def submit(self, work: Callable[[CodeBox], T]) -> Future[T]:
        """Have work done with a box, as soon as one is free."""
        return self._threads.submit(self._with_box, work)

    def _with_box(self, work: Callable[[CodeBox], T]) -> T:
        box: CodeBox | None = getattr(self._own, "box", None)
        if box is None:
            box = self._own.box = CodeBox(self._tier)
            self._open.append(box)
        return work(box)

    def close(self) -> None:
        """End what runs in the boxes; nothing can be submitted any more."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for box in self._open:
            box.close()


@dataclass(frozen=True)
class Desk:
    """A bank as it is served. `roster` maps students to names, None where everybody may practise.

    `sittings` is how often a student may take the quiz, None for any number; with `alike` all get the same items in
    the same order. Where a blueprint draws the quiz, `quiz` is its id, `title` and `about` its words, and `draw` tells
    what a student is asked when they take it for the n-th time. Everything that must survive is in the book.
    """

    bank: Bank
    book: QuizBook
    keys: Keys
    rules: Rules
    purpose: str
    roster: Mapping[str, str] | None = None
    sittings: int | None = None
    alike: bool = False
    misconceptions: Mapping[str, Misconception] = field(default_factory=dict)
    boxes: Boxes = field(default_factory=Boxes)
    clock: Clock = utc_now
    quiz: str = ""
    title: str = ""
    about: str = ""
    draw: Callable[[str, int], tuple[Item, ...]] | None = None

    @property
    def kept_as(self) -> str:
        """Return the name under which sittings are kept."""
        return self.quiz or self.bank.id

    def door(self) -> Door:
        """Return the door for the students of the roster."""
        return Door.of(self.keys, self.roster or ())

    def knows(self, student: str) -> bool:
        """Say whether somebody with a signed cookie still belongs here: rosters change."""
        return student in self.roster if self.roster is not None else student.startswith("guest-")

    def name(self, student: str) -> str:
        """Return what a student is called."""
        return (self.roster or {}).get(student) or student

    def records(self, student: str) -> list[SittingRecord]:
        """Return a student's sittings of this quiz, oldest first."""
        return self.book.sittings(student=student, bank=self.kept_as, purpose=self.purpose)

    def sitting(self, record: SittingRecord) -> Sitting:
        """Take up a recorded sitting."""
        return Sitting(self.book, record, {self.bank.id: self.bank}, self.clock)

    def latest(self, student: str) -> Sitting | None:
        """Return the sitting that a student is in, or was in last; None before the first."""
        record = self.book.open_sitting(student, self.kept_as, self.purpose)
        if record is None:
            records = self.records(student)
            record = records[-1] if records else None
        return None if record is None else self.sitting(record)

    def may_begin(self, student: str) -> bool:
        """Say whether a student may take the quiz once more."""
        return self.sittings is None or len(self.records(student)) < self.sittings

    def begin(self, student: str) -> Sitting:
        """Return the open sitting of a student, else a new one; raise QuizError where none is left."""
        latest = self.latest(student)
        if latest is not None and not latest.finished:
            return latest
        if not self.may_begin(student):
            times = "once" if self.sittings == 1 else f"{self.sittings} times"
            raise QuizError(f"this quiz may be taken {times}, and you have done that")
        number = len(self.records(student))
        seed = self.keys.seed("" if self.alike else student, number)
        if self.draw is not None:
            items = self.draw("" if self.alike else student, number)
            return begin(
                self.book, {self.bank.id: self.bank}, self.kept_as, student, seed, items, rules=self.rules,
                purpose=self.purpose, clock=self.clock,
            )  # fmt: skip
        return start(
            self.book, self.bank, student, seed, rules=self.rules, purpose=self.purpose, clock=self.clock
        )  # fmt: skip
