"""A sitting: one taking of a quiz, the same in the terminal, the browser and a notebook.

All state is in the gradebook, and what a method has returned is there: a sitting goes on after any crash, in another
process, from where it was. An invalid answer changes nothing. What is asked follows from the bank and the seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from grader.course.misconceptions import Misconception
from grader.errors import CourseError, QuizError
from grader.gradebook.quizzes import AnswerRecord, ItemRecord, PlaceRecord, QuizBook, Rated, SittingRecord
from grader.quiz import asking, marking, marks
from grader.quiz.model import Bank, Item, Mark, Response, Solution, Status, View

if TYPE_CHECKING:
    from grader.quiz.running import CodeBox

PRACTICE, GRADED, REVIEW, CARDS = "practice", "graded", "review", "cards"
#: a form that was filled in away from the grader and came back as a file
FORM = "form"
#: seconds that an answer may be late: it was on its way when the time ran out
GRACE = 5.0
#: what a flash card can be judged, and what it is worth
CARD_RATINGS = {1: ("again", 0.0), 2: ("hard", 0.5), 3: ("good", 1.0), 4: ("easy", 1.0)}

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Rules:
    """How a sitting goes: tries at a question, seconds in all, and when marks and solutions are shown.

    `reveal` is "now", "end" (after the sitting) or "never"; `tags`, `levels` and `n` say what was drawn.
    """

    attempts: int = 1
    time_limit: float | None = None
    reveal: str = "now"
    tags: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    n: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the rules as JSON data."""
        return {
            "attempts": self.attempts,
            "time_limit": self.time_limit,
            "reveal": self.reveal,
            "tags": list(self.tags),
            "levels": list(self.levels),
            "n": self.n,
        }

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Rules:
        """Return the rules that a sitting recorded."""
        return cls(
            attempts=int(options.get("attempts", 1)),
            time_limit=options.get("time_limit"),
            reveal=str(options.get("reveal", "now")),
            tags=tuple(options.get("tags", ())),
            levels=tuple(options.get("levels", ())),
            n=options.get("n"),
        )


@dataclass(frozen=True)
class Place:
    """Where a question of a sitting stands.

    `state` is open, judge (a text that its writer is to judge now), done, skipped (put off twice: left) or lapsed
    (the bank no longer asks it as it was drawn). `score` is the best so far, None where nothing is decided; `shown`
    is when the question was last shown.
    """

    position: int
    question: str
    state: str
    answers: tuple[AnswerRecord, ...] = ()
    hints: int = 0
    skips: int = 0
    tries_left: int = 0
    score: float | None = None
    shown: str | None = None

    @property
    def waits(self) -> bool:
        """Say whether something is still to be done here."""
        return self.state in ("open", "judge")

    @property
    def attempt(self) -> int:
        """Return the number of the next try, counted from 1."""
        return len(self.answers) + 1


@dataclass(frozen=True)
class Reply:
    """What became of an answer. `new` is False where it had been kept before; `done` says that no try is left."""

    position: int
    attempt: int
    mark: Mark
    new: bool
    tries_left: int
    done: bool
    revealed: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return what the learner may know, as JSON data: never the evidence, and no mark before its time."""
        data: dict[str, Any] = {
            "position": self.position,
            "attempt": self.attempt,
            "tries_left": self.tries_left,
            "done": self.done,
        }
        if self.revealed or not self.mark.final:
            told = self.mark.as_dict()
            del told["evidence"]
            return data | told
        return data | {"status": "kept"}


@dataclass(frozen=True)
class Score:
    """What a sitting is worth so far: a point for each question that could be marked.

    `by_tag` holds tag -> (earned, possible). Undecided answers wait for a person and are in neither number.
    """

    earned: float
    possible: float
    counts: Mapping[str, int] = field(default_factory=dict)
    by_tag: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Return the score as a share of 1, 0 where nothing could be earned."""
        return self.earned / self.possible if self.possible else 0.0


@dataclass(frozen=True)
class Reading:
    """What to read next: a belief that answers showed, how often, and where to read on."""

    id: str
    belief: str
    read: str
    count: int


def record_of(item: Item) -> ItemRecord:
    """Return what a gradebook keeps of an item."""
    question = item.question
    return ItemRecord(
        question.name, question.rev, question.meaning, question.content, item.variant.number, item.shuffle
    )


def item_again(bank: Bank | None, record: ItemRecord) -> Item | None:
    """Return a recorded item, or None where the bank has gone on: no such question, or one that means another thing."""
    if bank is None:
        return None
    try:
        item = asking.item_of(bank, record.question.partition("/")[2], record.variant, record.shuffle)
    except CourseError:
        return None
    same = (item.question.rev, item.question.meaning) == (record.rev, record.meaning)
    return item if same else None


def start(
    book: QuizBook,
    bank: Bank,
    student: str,
    seed: int | str,
    *,
    rules: Rules | None = None,
    purpose: str = PRACTICE,
    resume: bool = True,
    clock: Clock = utc_now,
) -> Sitting:
    """Return a sitting of a bank: with `resume` the open one where there is one, else one drawn from the seed.

    Raises QuizError where nothing of the bank fits the rules.
    """
    rules = rules or Rules()
    drawn = asking.items(bank, seed, tags=rules.tags, levels=rules.levels, n=rules.n)
    if not drawn:
        raise QuizError(
            f"no question of {bank.id} has these tags and levels", advice=f"Its tags: {', '.join(bank.tags)}"
        )
    return begin(
        book, {bank.id: bank}, bank.id, student, str(seed), drawn,
        rules=rules, purpose=purpose, resume=resume, clock=clock,
    )  # fmt: skip


def begin(
    book: QuizBook,
    banks: Mapping[str, Bank],
    name: str,
    student: str,
    seed: str,
    items: Collection[Item],
    *,
    rules: Rules,
    purpose: str,
    resume: bool = True,
    extra: Mapping[str, Any] | None = None,
    clock: Clock = utc_now,
) -> Sitting:
    """Return a sitting of items that were chosen already, from one bank or several; `name` is what it is kept as.

    `extra` is JSON data that is kept beside the rules.
    """
    record = book.begin(
        student,
        name,
        purpose=purpose,
        seed=seed,
        items=[record_of(item) for item in items],
        options={**(extra or {}), **rules.as_dict()},
        moment=_moment(clock()),
        resume=resume,
    )
    return Sitting(book, record, banks, clock)


def reopen(
    book: QuizBook, sitting_id: str, bank_of: Callable[[str], Bank | None], *, clock: Clock = utc_now
) -> Sitting:
    """Return a sitting by its id; `bank_of` gives banks by their ids. Raises QuizError where there is none."""
    record = book.sitting(sitting_id)
    if record is None:
        raise QuizError(f"there is no sitting {sitting_id!a}", where=book.label, advice="Begin a new one")
    ids = dict.fromkeys(item.question.partition("/")[0] for item in record.items)
    banks = {bank_id: bank for bank_id in ids if (bank := bank_of(bank_id)) is not None}
    return Sitting(book, record, banks, clock)


class Sitting:
    """A sitting that goes on, or has ended. It may be used by several threads: it holds no state of its own."""

    def __init__(
        self, book: QuizBook, record: SittingRecord, banks: Mapping[str, Bank], clock: Clock = utc_now
    ) -> None:
        """Take up a recorded sitting; `start`, `begin` and `reopen` do this."""
        self.book = book
        self.record = record
        self.rules = Rules.of(record.options)
        self.items = tuple(item_again(banks.get(one.question.partition("/")[0]), one) for one in record.items)
        self._clock = clock

    def __len__(self) -> int:
        return len(self.items)

    @property
    def id(self) -> str:
        """Return the sitting's id, a random name."""
        return self.record.id

    # --- where it stands --------------------------------------------------------------------------------------

    @property
    def deadline(self) -> datetime | None:
        """Return when the time is up, None where there is no limit."""
        if self.rules.time_limit is None:
            return None
        return datetime.fromisoformat(self.record.started) + timedelta(seconds=self.rules.time_limit)

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds that are left, not below 0; None where there is no limit."""
        return None if self.deadline is None else max((self.deadline - self._clock()).total_seconds(), 0.0)

    @property
    def finished(self) -> bool:
        """Say whether the sitting has ended, by `finish` or because its time is up."""
        if self.record.finished is None:
            latest = self.book.sitting(self.id)
            self.record = latest or self.record
        if self.record.finished is None and self._late():
            self.finish()
        return self.record.finished is not None

    def places(self) -> tuple[Place, ...]:
        """Return where every question stands."""
        kept: dict[int, list[AnswerRecord]] = {}
        for answer in self.book.answers(self.id):
            kept.setdefault(answer.position, []).append(answer)
        known = self.book.places(self.id)
        return tuple(
            self._place(n, tuple(kept.get(n, ())), known.get(n, PlaceRecord(n))) for n in range(len(self.items))
        )

    def place(self, position: int) -> Place:
        """Return where the question of a position stands; raise QuizError where there is no such position."""
        self._item_or_none(position)
        return self.places()[position]

    def current(self, places: tuple[Place, ...] | None = None) -> int | None:
        """Return the position to ask now: what was put off comes after the others; None where all is done."""
        waiting = [place for place in places or self.places() if place.waits]
        return min(waiting, key=lambda place: (place.skips, place.position)).position if waiting else None

    def view(self, position: int) -> View:
        """Return what a learner may see of a question; raise QuizError where it cannot be asked any more."""
        return asking.view(self._item(position))

    def show(self, position: int) -> View:
        """Return the view, and keep that it is shown now: the time for an answer is counted from here."""
        seen = self.view(position)
        if not self.finished:
            self.book.shown(self.id, position, self._clock().isoformat(timespec="milliseconds"))
        return seen

    # --- what learners do -------------------------------------------------------------------------------------

    def answer(
        self,
        position: int,
        response: Response,
        *,
        attempt: int | None = None,
        confidence: int | None = None,
        seconds: float | None = None,
        box: CodeBox | None = None,
        rate: Callable[[AnswerRecord], Rated | None] | None = None,
    ) -> Reply:
        """Mark an answer and keep it; return the mark.

        `attempt` is the number of the try as the sender counts: sent twice, an answer is kept once, and the second
        reply repeats the first one. An invalid answer is not kept and costs nothing. `seconds` are counted from
        `show` where they are not given; `rate` says what the answer does to a skill. Raises QuizError where the
        sitting has ended or no try is left.
        """
        item, place = self._item(position), self.place(position)
        if attempt is not None and 1 <= attempt <= len(place.answers):
            return self._reply(place, place.answers[attempt - 1], new=False)
        self._must_go_on()
        if not place.waits or (attempt is not None and attempt != place.attempt):
            raise QuizError(f"question {position + 1} takes no answer {attempt or place.attempt}: it is done")
        response = _with_own_text(item, place, response)
        mark = marking.with_hints(marking.mark(item, response, box), item, place.hints)
        if not mark.final:
            return Reply(position, place.attempt, mark, False, place.tries_left, False, True)
        return self._keep(place, response, mark, confidence, seconds, rate)

    def judge_card(
        self, position: int, rating: int, *, rate: Callable[[AnswerRecord], Rated | None] | None = None
    ) -> Reply:
        """Keep what a learner thinks of a flash card: 1 again, 2 hard, 3 good, 4 easy. Raises QuizError."""
        if self.record.purpose != CARDS or rating not in CARD_RATINGS:
            raise QuizError("a flash card is judged 1 (again), 2 (hard), 3 (good) or 4 (easy)")
        self._item(position)
        place = self.place(position)
        self._must_go_on()
        if not place.waits:
            return self._reply(place, place.answers[-1], new=False)
        word, score = CARD_RATINGS[rating]
        status = Status.RIGHT if score == 1 else Status.WRONG if score == 0 else Status.PARTIAL
        return self._keep(place, {"card": rating}, Mark(status, score, f"card:{word}"), None, None, rate)

    def hint(self, position: int) -> str:
        """Return the next hint of a question; its cost is kept before it is told. Raises QuizError."""
        item, place = self._item(position), self.place(position)
        self._must_go_on()
        if place.state != "open":
            raise QuizError(f"question {position + 1} is done: no hint can help any more")
        if place.hints >= len(item.question.hints):
            raise QuizError("there is no more hint" if item.question.hints else "this question has no hint")
        self.book.hinted(self.id, position, place.hints + 1)
        return asking.hint(item, place.hints)

    def hints_given(self, position: int) -> tuple[str, ...]:
        """Return the hints that were told already: after a reload they are there again."""
        item = self._item(position)
        return tuple(asking.hint(item, n) for n in range(self.place(position).hints))

    def skip(self, position: int) -> None:
        """Put a question off: it comes again after the others; put off a second time, it is left. Raises QuizError."""
        place = self.place(position)
        self._must_go_on()
        if place.waits:
            self.book.skipped(self.id, position, place.skips + 1)

    def note(self, position: int, text: str) -> None:
        """Keep a learner's note about a question."""
        self._item_or_none(position)
        name = self.record.items[position].question
        self.book.write_note(self.record.student, name, text, _moment(self._clock()))

    def finish(self) -> None:
        """End the sitting, at its deadline where that has passed; ending it again changes nothing."""
        moment = self._clock()
        if self.deadline is not None:
            moment = min(moment, self.deadline)
        self.book.finish(self.id, _moment(moment))
        self.record = self.book.sitting(self.id) or self.record

    # --- what comes of it -------------------------------------------------------------------------------------

    def solution(self, position: int) -> Solution:
        """Return key and explanation of a question; raise QuizError before it may be shown."""
        item = self._item(position)
        now = self.record.purpose == CARDS or self.rules.reveal == "now"
        if now and (self.record.purpose == CARDS or self.place(position).state != "open"):
            return asking.solution(item)
        if self.rules.reveal != "never" and self.finished:
            return asking.solution(item)
        raise QuizError(f"the solution of question {position + 1} is not shown yet")

    def score(self) -> Score:
        """Return what the sitting is worth so far; the caller decides when it is told."""
        earned = possible = 0.0
        counts: Counter[str] = Counter()
        by_tag: dict[str, tuple[float, float]] = {}
        for place, item in zip(self.places(), self.items, strict=True):
            status = _best(place.answers)
            counts[status or {"lapsed": "lapsed"}.get(place.state, "unanswered")] += 1
            if status == Status.UNDECIDED or (status is None and place.state == "lapsed"):
                continue
            got = place.score or 0.0
            earned, possible = earned + got, possible + 1
            for tag in item.question.tags if item else ():
                before = by_tag.get(tag, (0.0, 0.0))
                by_tag[tag] = (before[0] + got, before[1] + 1)
        return Score(round(earned, 6), possible, dict(counts), by_tag)

    def reading(self, misconceptions: Mapping[str, Misconception]) -> tuple[Reading, ...]:
        """Return what to read next by what the answers showed, the most frequent belief first."""
        held = Counter(held for answer in self.book.answers(self.id) for held in set(answer.misconceptions))
        return tuple(
            Reading(name, known.belief, known.read, count)
            for name, count in sorted(held.items(), key=lambda one: (-one[1], one[0]))
            if (known := misconceptions.get(name)) is not None
        )

    # --- inside -----------------------------------------------------------------------------------------------

    def _item_or_none(self, position: int) -> Item | None:
        if not 0 <= position < len(self.items):
            raise QuizError(f"there is no question {position + 1}", advice=f"The sitting has {len(self.items)}")
        return self.items[position]

    def _item(self, position: int) -> Item:
        item = self._item_or_none(position)
        if item is None:
            name = self.record.items[position].question
            raise QuizError(f"{name} has changed since it was drawn, so it is not asked any more")
        return item

    def _place(self, position: int, answers: tuple[AnswerRecord, ...], mark: PlaceRecord) -> Place:
        item = self.items[position]
        judged = [answer for answer in answers if _judged(item, answer)]
        spared = sum(_ours(answer) for answer in answers)
        left = max(self.rules.attempts - len(answers) + len(judged) + spared, 0)
        if judged or any(answer.status == Status.RIGHT for answer in answers):
            left = 0
        if item is not None and answers and self.rules.reveal == "now" and _to_judge(item, answers[-1]):
            state = "judge"
        elif answers and (left == 0 or self.record.purpose == CARDS):
            state, left = "done", 0
        else:
            state = "skipped" if mark.skips > 1 else "open"
        if item is None and state != "done":
            state, left = "lapsed", 0
        decided = [answer.score for answer in answers if answer.status != Status.UNDECIDED]
        return Place(
            position,
            self.record.items[position].question,
            state,
            answers,
            mark.hints,
            mark.skips,
            left,
            max(decided) if decided else None,
            mark.shown,
        )

    def _must_go_on(self) -> None:
        if self.finished:
            raise QuizError("this sitting has ended", advice="Begin another one")

    def _late(self) -> bool:
        return self.deadline is not None and self._clock() > self.deadline + timedelta(seconds=GRACE)

    def _keep(
        self,
        place: Place,
        response: Response,
        mark: Mark,
        confidence: int | None,
        seconds: float | None,
        rate: Callable[[AnswerRecord], Rated | None] | None,
    ) -> Reply:
        now = self._clock()
        if seconds is None:
            seconds = (now - datetime.fromisoformat(place.shown)).total_seconds() if place.shown else None
        given = AnswerRecord(
            position=place.position,
            attempt=place.attempt,
            response=response,
            status=mark.status.value,
            score=mark.score,
            note=mark.note,
            misconceptions=mark.misconceptions,
            feedback=mark.feedback,
            evidence=mark.evidence,
            hints=place.hints,
            confidence=confidence if confidence in (1, 2, 3) else None,
            seconds=None if seconds is None else round(max(seconds, 0.0), 3),
            moment=_moment(now),
        )
        kept, new = self.book.answer(self.id, given, rate(given) if rate else None)
        if not new:  # another request was faster
            return self._reply(self.place(place.position), kept, new=False)
        mark_of = PlaceRecord(place.position, place.shown, place.hints, place.skips)
        return self._reply(self._place(place.position, (*place.answers, kept), mark_of), kept, new=True)

    def _reply(self, place: Place, kept: AnswerRecord, *, new: bool) -> Reply:
        mark = Mark(Status(kept.status), kept.score, kept.note, kept.feedback, kept.misconceptions, kept.evidence)
        revealed = self.rules.reveal == "now" or (self.rules.reveal == "end" and self.record.finished is not None)
        return Reply(place.position, kept.attempt, mark, new, place.tries_left, not place.waits, revealed)


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds")


def _judged(item: Item | None, answer: AnswerRecord) -> bool:
    """Say whether an answer is a text with its writer's judgement: it is no further try."""
    free = item is not None and item.question.type == "free"
    return free and isinstance(answer.response, dict) and "points" in answer.response


def _ours(answer: AnswerRecord) -> bool:
    """Say whether an answer could not be marked because this machine failed: it uses up no try."""
    return answer.status == Status.UNDECIDED and answer.note in marks.OURS


def _to_judge(item: Item, answer: AnswerRecord) -> bool:
    """Say whether a text waits for its writer's judgement; others' judgement is none of the sitting's business."""
    return answer.note == "to-judge" and getattr(item.question.spec, "grading", "") == "self"


def _with_own_text(item: Item, place: Place, response: Response) -> Response:
    """Return the response; a judgement is of the text that was written before the model answer was seen."""
    if item.question.type != "free" or not isinstance(response, dict):
        if place.state == "judge":
            raise QuizError(f"the text of question {place.position + 1} is kept: judge it by the rubric")
        return response
    if place.state != "judge":
        return response.get("text")  # nobody judges by a rubric that has not been shown
    written = place.answers[-1].response
    return {"text": written, "points": response.get("points")}


def _best(answers: tuple[AnswerRecord, ...]) -> str | None:
    decided = [answer for answer in answers if answer.status != Status.UNDECIDED]
    best = max(decided or answers, key=lambda answer: answer.score, default=None)
    return None if best is None else best.status
