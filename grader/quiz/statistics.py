"""What answers say of the questions: how hard they are, whether they tell learners apart, whether a key is wrong.

Only first tries count, of each learner's first sitting that asked the question. Every index carries a 95 % interval,
and below 30 learners there is none. Facility is a mean score with Wilson's interval (1927); item-rest is the
correlation with the mean score on the other questions, with Fisher's interval (1915); discrimination is the
facility among the upper 27 % less that among the lower 27 % (Kelley, 1939), with Newcombe's interval (1998);
efficiency is the covariance with the rest over the largest that the same scores could have; alpha is Cronbach's (1951)
with a bootstrap interval.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from grader.gradebook.quizzes import QuizBook
from grader.quiz.model import Bank, Item, Question, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

#: below so many learners nothing is said of an index
ENOUGH = 30
Z95 = 1.959963984540054
UPPER_SHARE = 0.27
BOOTSTRAPS = 1000
COUNTED = ("practice", "graded", "form")


@dataclass(frozen=True)
class Given:
    """A learner's first try at a question; `response` is None where a finished sitting left it unanswered."""

    student: str
    question: str
    meaning: str
    variant: int
    response: Any
    score: float
    status: str
    note: str = ""
    misconceptions: tuple[str, ...] = ()
    hints: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class OptionRow:
    """How an option was chosen: by how many, their mean on the rest of the quiz, its correlation with choosing it."""

    id: str
    key: bool
    n: int
    share: float
    rest: float | None
    correlation: Estimate | None
    verdict: str


@dataclass(frozen=True)
class QuestionStatistics:
    """What the answers say of one question; None is "not enough data"."""

    question: str
    type: str
    difficulty: int
    n: int
    facility: Estimate | None
    rest: Estimate | None = None
    discrimination: Estimate | None = None
    efficiency: float | None = None
    options: tuple[OptionRow, ...] = ()
    variants: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    hinted: float = 0.0
    seconds: float | None = None
    alpha_without: float | None = None
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True)
class BankStatistics:
    """What the answers say of a bank. `misconceptions` holds id -> (learners, answers)."""

    bank: str
    learners: int
    questions: tuple[QuestionStatistics, ...]
    mean: Estimate | None
    alpha: Estimate | None
    misconceptions: Mapping[str, tuple[int, int]]
    set_aside: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics as JSON data."""
        return {"version": 1, **asdict(self)}


def first_tries(book: QuizBook, bank: Bank, purposes: Iterable[str] = COUNTED) -> tuple[list[Given], int]:
    """Return every learner's first try at each question of a bank, and how many were asked of older revisions.

    A question that a finished sitting left unanswered counts as wrong; texts that wait for a person do not count.
    """
    meanings = {question.name: question.meaning for question in bank.questions}
    found: dict[tuple[str, str], Given] = {}
    old = 0
    # a blueprint's quiz is kept under its own name: what counts is which bank the questions are of
    wanted = [
        sitting
        for sitting in book.sittings()
        if sitting.purpose in purposes and any(item.question.startswith(f"{bank.id}/") for item in sitting.items)
    ]
    answers = {name: kept for one in {one.bank for one in wanted} for name, kept in book.answers_of(bank=one).items()}
    for sitting in wanted:
        tries: dict[int, list[Any]] = {}
        for answer in answers.get(sitting.id, ()):
            tries.setdefault(answer.position, []).append(answer)
        for position, item in enumerate(sitting.items):
            key = (sitting.student, item.question)
            if key in found:
                continue
            if meanings.get(item.question) != item.meaning:
                old += position in tries
                continue
            given = next((one for one in tries.get(position, ()) if one.status != Status.UNDECIDED), None)
            if given is not None:
                found[key] = Given(
                    sitting.student, item.question, item.meaning, item.variant, given.response, given.score,
                    given.status, given.note, given.misconceptions, given.hints, given.seconds,
                )  # fmt: skip
            elif sitting.finished is not None and position not in tries:
                found[key] = Given(
                    sitting.student, item.question, item.meaning, item.variant, None, 0.0, Status.WRONG, "unanswered"
                )
    return list(found.values()), old


def statistics(bank: Bank, given: Sequence[Given], set_aside: int = 0) -> BankStatistics:
    """Return the statistics of a bank from first tries; at most one of a learner and question is expected."""
    import numpy as np

    students = sorted({one.student for one in given})
    asked = [question for question in bank.questions if any(one.question == question.name for one in given)]
    columns = {question.name: j for j, question in enumerate(asked)}
    rows = {student: i for i, student in enumerate(students)}
    scores = np.full((len(students), len(asked)), np.nan)
    by_question: dict[str, list[Given]] = {question.name: [] for question in asked}
    for one in given:
        if one.question in columns:
            scores[rows[one.student], columns[one.question]] = one.score
            by_question[one.question].append(one)
    held: dict[str, list[str]] = {}
    for one in given:
        for name in set(one.misconceptions):
            held.setdefault(name, []).append(one.student)
    enough = len(students) >= ENOUGH
    means = np.nanmean(scores, axis=1) if scores.size else np.zeros(0)
    return BankStatistics(
        bank=bank.id,
        learners=len(students),
        questions=tuple(
            _question(question, by_question[question.name], scores, columns[question.name], rows) for question in asked
        ),
        mean=_mean(means) if enough else None,
        alpha=_alpha_with_interval(scores) if enough and len(asked) > 1 else None,
        misconceptions={
            name: (len(set(who)), len(who))
            for name, who in sorted(held.items(), key=lambda one: (-len(one[1]), one[0]))
        },
        set_aside=set_aside,
    )


def _question(
    question: Question, given: Sequence[Given], scores: Scores, column: int, rows: Mapping[str, int]
) -> QuestionStatistics:
    import numpy as np

    n = len(given)
    variants: dict[int, list[float]] = {}
    for one in given:
        variants.setdefault(one.variant, []).append(one.score)
    seconds = [one.seconds for one in given if one.seconds is not None]
    basics: dict[str, Any] = {
        "question": question.name,
        "type": question.type,
        "difficulty": question.difficulty,
        "n": n,
        "variants": {number: (len(own), sum(own) / len(own)) for number, own in sorted(variants.items())},
        "notes": dict(Counter(one.note for one in given).most_common(5)),
        "hinted": sum(one.hints > 0 for one in given) / n,
        "seconds": float(np.median(seconds)) if seconds else None,
    }
    if n < ENOUGH:
        return QuestionStatistics(facility=None, **basics)
    rest = _rest_scores(scores, column)
    own = scores[:, column]
    both = ~np.isnan(own) & ~np.isnan(rest)
    correlation = _correlation(own[both], rest[both])
    options = _options(question, given, rest, rows)
    return QuestionStatistics(
        facility=wilson(float(np.nansum(own)), n),
        rest=correlation,
        discrimination=_discrimination(own[both], rest[both]),
        efficiency=_efficiency(own[both], rest[both]),
        options=options,
        alpha_without=_alpha(np.delete(scores, column, axis=1)) if scores.shape[1] > 2 else None,
        alerts=tuple(_alerts(given, correlation, options, rest, rows)),
        **basics,
    )


def _rest_scores(scores: Scores, column: int) -> Scores:
    """Return each learner's mean on the other questions, NaN where there is none."""
    import numpy as np

    others = np.delete(scores, column, axis=1)
    count = (~np.isnan(others)).sum(axis=1)
    total = np.nansum(others, axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _options(
    question: Question, given: Sequence[Given], rest: Scores, rows: Mapping[str, int]
) -> tuple[OptionRow, ...]:
    """Return the option table of a choice or multi question."""
    import numpy as np

    from grader.quiz.asking import solution

    if question.type not in ("choice", "multi"):
        return ()
    right = solution(Item(question, question.variants[0])).response
    keys = set(right) if isinstance(right, list) else {right}
    chosen = [set(one.response) if isinstance(one.response, list) else {one.response} for one in given]
    standing = np.array([rest[rows[one.student]] for one in given])
    known = ~np.isnan(standing)
    found = []
    for option in getattr(question.spec, "options", ()):
        picked = np.array([option.id in own for own in chosen], dtype=float)
        n = int(picked.sum())
        correlation = _correlation(picked[known], standing[known])
        own = standing[known & (picked > 0)]
        found.append(
            OptionRow(
                option.id,
                option.id in keys,
                n,
                n / len(given),
                float(own.mean()) if own.size else None,
                correlation,
                _verdict(option.id in keys, n / len(given), correlation),
            )
        )
    return tuple(found)


def _verdict(key: bool, share: float, correlation: Estimate | None) -> str:
    if share < 0.02:
        return "never chosen" if share == 0 else "hardly chosen"
    if correlation is None:
        return "no spread"
    if key:
        return "works" if correlation.low > 0 else "draws the weak" if correlation.high < 0 else "tells nothing"
    return "draws the strong" if correlation.low > 0 else "works" if correlation.high < 0 else "tells nothing"


def _alerts(
    given: Sequence[Given],
    correlation: Estimate | None,
    options: Sequence[OptionRow],
    rest: Scores,
    rows: Mapping[str, int],
) -> Iterable[str]:
    key_fails = correlation is not None and correlation.high < 0
    better = [row for row in options if not row.key and row.correlation is not None and row.correlation.low > 0]
    if options and better and not any(row.key and row.correlation and row.correlation.low > 0 for row in options):
        names = ", ".join(f"`{row.id}`" for row in better)
        yield f"the key is probably wrong: the strong choose {names}"
    elif key_fails:
        common = _common_among_best(given, rest, rows)
        said = f"; the strong answer {common}" if common else ""
        yield f"the key is probably wrong: who does well elsewhere loses this point{said}"
    elif correlation is None:
        yield "all answer alike: it tells nobody apart"
    elif correlation.low <= 0:
        yield "it does not tell learners apart"


def _common_among_best(given: Sequence[Given], rest: Scores, rows: Mapping[str, int]) -> str:
    """Return the most common wrong answer among the upper third."""
    import numpy as np

    bound = float(np.nanquantile(rest, 2 / 3))
    wrong = Counter(
        str(one.response)
        for one in given
        if one.score < 1 and one.response is not None and rest[rows[one.student]] >= bound
    )
    return f"`{wrong.most_common(1)[0][0][:60]}`" if wrong else ""


# --- the indices ----------------------------------------------------------------------------------------------------


def wilson(successes: float, n: int) -> Estimate:
    """Return a share with Wilson's interval; scores between 0 and 1 make it too wide rather than too narrow."""
    p = successes / n
    z2 = Z95 * Z95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(p, max(middle - half, 0.0), min(middle + half, 1.0))


def fisher(r: float, n: int) -> Estimate:
    """Return a correlation of n pairs with Fisher's interval."""
    if abs(r) >= 1:
        return Estimate(r, r, r)
    z, half = math.atanh(r), Z95 / math.sqrt(max(n - 3, 1))
    return Estimate(r, math.tanh(z - half), math.tanh(z + half))


def _mean(values: Scores) -> Estimate:
    mean = float(values.mean())
    half = Z95 * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def _correlation(a: Scores, b: Scores) -> Estimate | None:
    """Return the correlation of two lists; None where there are too few pairs, or one of them has no spread."""
    import numpy as np

    if len(a) < ENOUGH or float(a.std()) < 1e-12 or float(b.std()) < 1e-12:
        return None
    return fisher(float(np.corrcoef(a, b)[0, 1]), len(a))


def _discrimination(own: Scores, rest: Scores) -> Estimate | None:
    """Return the facility among the upper 27 % by the rest less that among the lower 27 %."""
    import numpy as np

    size = round(UPPER_SHARE * len(own))
    if len(own) < ENOUGH or size < 2:
        return None
    order = np.argsort(rest, kind="stable")
    low, high = own[order[:size]], own[order[-size:]]
    below, above = wilson(float(low.sum()), size), wilson(float(high.sum()), size)
    gap = above.value - below.value
    return Estimate(
        gap,
        gap - math.hypot(above.value - above.low, below.high - below.value),
        gap + math.hypot(above.high - above.value, below.value - below.low),
    )


def _efficiency(own: Scores, rest: Scores) -> float | None:
    """Return the covariance over the largest one that the same two lists could have, paired by rank."""
    import numpy as np

    if len(own) < ENOUGH:
        return None
    largest = float(np.cov(np.sort(own), np.sort(rest))[0, 1])
    return float(np.cov(own, rest)[0, 1]) / largest if largest > 1e-12 else None


def _alpha(scores: Scores) -> float | None:
    """Return Cronbach's alpha; with questions that not all were asked, from the covariances of those who were."""
    import numpy as np

    k = scores.shape[1]
    if k < 2:
        return None
    there = (~np.isnan(scores)).astype(float)
    means = np.nansum(scores, axis=0) / np.maximum(there.sum(axis=0), 1)
    centred = np.where(there > 0, scores - means, 0.0)
    pairs = there.T @ there
    if float(pairs.min()) < 3:
        return None  # two questions that hardly anybody had both of
    covariance = (centred.T @ centred) / (pairs - 1)
    total = float(covariance.sum())
    return k / (k - 1) * (1 - float(np.trace(covariance)) / total) if total > 1e-12 else None


def _alpha_with_interval(scores: Scores) -> Estimate | None:
    import numpy as np

    value = _alpha(scores)
    if value is None:
        return None
    rng = np.random.default_rng(0)  # the same interval for the same answers
    drawn = (_alpha(scores[rng.integers(0, len(scores), len(scores))]) for _ in range(BOOTSTRAPS))
    found = [one for one in drawn if one is not None]
    if len(found) < BOOTSTRAPS // 2:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
