"""Proving a bank: every key recomputed, every recognised answer marked as it must be, everything odd pointed at."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from grader.course.catalog import Course
from grader.course.misconceptions import load_misconceptions
from grader.course.spelling import nearest
from grader.errors import CourseError
from grader.quiz import lints
from grader.quiz.arithmetic import ArithmeticProblem
from grader.quiz.blueprint import blueprint_paths, draw, read_blueprint
from grader.quiz.findings import ERROR, WARNING, Finding, errors
from grader.quiz.kinds import Fault, kind_of
from grader.quiz.lab import Lab, NotInstalled
from grader.quiz.loading import bank_ids, bank_path, drawn, load_tags, read_bank
from grader.quiz.lock import read_lock, write_lock
from grader.quiz.marking import mark
from grader.quiz.mathematics.tree import Unreadable
from grader.quiz.model import Bank, Expected, Item, Question, Status
from grader.quiz.running import CodeBox, OracleFailed

#: what is tolerable while a bank is being written, and not in one that learners get
_STRICT = frozenset({"no-witness", "not-run", "no-source", "not-frozen"})
_DOUBTS = frozenset({"degenerate", "same-key", "unused", "tex-command", "same-words", "gone", "idle-test"})

#: two machines may disagree by so much in exp, tanh and powers
MACHINES = 1e-9
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class CheckReport:
    """What the check of one bank found: its size, how many items were witnessed, what guessing earns, findings."""

    bank: str
    questions: int
    items: int
    witnessed: int
    guess: float
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Say whether there is no error."""
        return not errors(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "version": 1,
            "bank": self.bank,
            "questions": self.questions,
            "items": self.items,
            "witnessed": self.witnessed,
            "guess": round(self.guess, 4),
            "sound": self.sound,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def check_bank(
    course: Course,
    bank_id: str,
    box: CodeBox,
    *,
    strict: bool = False,
    on_question: Callable[[Question], None] | None = None,
) -> CheckReport:
    """Return everything that is wrong or doubtful with a bank; raise CourseError where it cannot be read at all.

    `strict` asks besides for a witness and a source of every question, and that its variants are frozen.
    """
    path, graded = bank_path(course, bank_id)
    bank, findings = read_bank(path, graded)
    if bank is None:
        return CheckReport(bank_id, 0, 0, 0, 0.0, tuple(findings))
    lab = Lab(box, path.parent / "oracles")
    tags, beliefs = load_tags(course), load_misconceptions(course)
    witnessed = 0
    for question in bank.questions:
        if on_question is not None:
            on_question(question)
        for loc, code, message in _readable_faults(question, tags, set(beliefs)):
            findings.append(_placed(question, loc, code, message, strict))
        # a question whose texts or keys cannot be read is not computed with
        if any(f.severity == ERROR and _within(f, question, bank) for f in findings):
            continue
        for item in (Item(question, variant) for variant in question.variants):
            faults, seen = _item_faults(item, lab)
            witnessed += seen
            findings += [_placed(question, loc, code, message, strict) for loc, code, message in faults]
            if faults:
                break  # the other variants would most likely say the same
    findings += lints.bank_findings(bank)
    findings += lock_findings(bank, strict=strict)
    findings += _blueprint_findings(course, bank)
    items = sum(len(question.variants) for question in bank.questions)
    unique = tuple(sorted(set(findings)))
    return CheckReport(bank.id, len(bank.questions), items, witnessed, lints.guess_score(bank), unique)


def _placed(question: Question, loc: tuple[str | int, ...], code: str, message: str, strict: bool) -> Finding:
    mild = code in _DOUBTS or (code in _STRICT and not strict)
    return question.places.finding(loc, code, message, severity=WARNING if mild else ERROR)


def _within(finding: Finding, question: Question, bank: Bank) -> bool:
    """Say whether a finding lies between the beginning of a question and that of the next one."""
    first = question.places.finding((), "", "").line
    later = [q.places.finding((), "", "").line for q in bank.questions]
    following = min((line for line in later if line > first), default=1 << 30)
    return first <= finding.line < following


# --- without running anything --------------------------------------------------------------------------------------


def _readable_faults(question: Question, tags: dict[str, str], beliefs: set[str]) -> Iterator[Fault]:
    kind = kind_of(Item(question, question.variants[0]))
    yield from lints.text_faults(question)
    if not question.source:
        yield ("id",), "no-source", "no `source` says which item of which document this asks about"
    for n, tag in enumerate(question.tags):
        if tags and tag not in tags:
            yield ("tags", n), "tag", f"there is no tag '{tag}'{_near(tag, tags)}; tags are listed in quizzes/tags.yaml"
    for loc, belief in _misconceptions(question.spec.model_dump(mode="json"), ()):
        if belief not in beliefs:
            said = f"there is no misconception '{belief}'{_near(belief, beliefs)}"
            yield loc, "misconception", f"{said}; they are listed in assignments/misconceptions.yaml"
    if sum(hint.cost for hint in question.hints) > 1:
        yield ("hints",), "hints", "the hints cost more than the question is worth"
    try:
        found = list(kind.lint(question))
        yield from found
        if not found:
            yield from lints.variant_faults(question)
            yield from lints.stem_faults(question)
    except ArithmeticProblem as problem:
        yield ("params",), "expression", str(problem)
    lacking = kind.lacks(question)
    if lacking:
        yield ("answer",), "no-witness", lacking


def _near(word: str, known: Any) -> str:
    near = nearest(word, known)
    return f", did you mean '{near}'?" if near else ""


def _misconceptions(data: Any, loc: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "misconception" and isinstance(value, str):
                yield (*loc, key), value
            else:
                yield from _misconceptions(value, (*loc, key))
    elif isinstance(data, list):
        for n, value in enumerate(data):
            yield from _misconceptions(value, (*loc, n))


# --- what must be marked how, and what the oracles say -------------------------------------------------------------


def _item_faults(item: Item, lab: Lab) -> tuple[list[Fault], int]:
    """Return the faults of one variant, and 1 where a witness agreed with its key."""
    try:
        faults = list(_marking_faults(item, lab.box))
    except (ArithmeticProblem, Unreadable) as problem:
        return [(("answer",), "expression", f"{problem} (variant {item.variant.number})")], 0
    try:
        found = list(kind_of(item).witness(item, lab))
    except NotInstalled as missing:
        return [*faults, (("oracle",), "not-run", str(missing))], 0
    except OracleFailed as failure:
        return [*faults, (("oracle",), "oracle-failed", str(failure))], 0
    except (ArithmeticProblem, Unreadable) as problem:
        return [*faults, (("answer",), "expression", str(problem))], 0
    found += list(_shared_words(item, lab))
    disagrees = any(code not in _DOUBTS for _, code, _ in found)
    return [*faults, *found], 0 if disagrees or not _witnessed(item) else 1


def _witnessed(item: Item) -> bool:
    """Say whether something independent recomputes the question's key."""
    has = item.question.type in ("output", "code") or getattr(item.question.spec, "oracle", None) is not None
    return has and kind_of(item).lacks(item.question) is None


def _marking_faults(item: Item, box: CodeBox) -> Iterator[Fault]:
    """Yield every key that is not marked right, and every recognised answer that is marked otherwise than it says."""
    kind = kind_of(item)
    if item.question.type == "code":
        yield from _code_faults(item, box)
        return
    told = f" in variant {item.variant.number}" if item.question.spec.params else ""
    for key in kind.keys(item):
        got = mark(item, key)
        if got.status is not Status.RIGHT or got.score != 1:
            yield ("answer",), "key-refused", f"the key {_short(key)} is marked {got.status.value} ({got.note}){told}"
    for expected in kind.wrong_responses(item):
        got = mark(item, expected.response)
        where = expected.loc or ("answer",)
        shown = _short(expected.response)
        if got.status is Status.RIGHT and expected.status is not Status.RIGHT:
            yield where, "wrong-is-key", f"{shown} is marked right{told}: it lies too near the key"
            continue
        if got.status is not expected.status:
            said = f"{shown} must be {expected.status.value} but is marked {got.status.value} ({got.note}){told}"
            yield where, _code_of(expected, got.status), said
            continue
        if expected.score is not None and abs(got.score - expected.score) > 1e-6:
            other = "another wrong answer is recognised first"
            yield (
                where,
                "wrong-is-other",
                f"{shown} must score {expected.score:g} but scores {got.score:g}: {other}{told}",
            )
        elif expected.misconception is not None and expected.misconception not in got.misconceptions:
            said = f"{shown} is taken for {got.misconceptions[0] if got.misconceptions else got.note}{told}"
            yield where, "wrong-is-other", said


def _code_of(expected: Expected, got: Status) -> str:
    if expected.loc[:1] == ("accept",) or expected.status is Status.RIGHT:
        return "accept-refused"
    if expected.loc[:1] == ("reject",):
        return "reject-invalid" if got is Status.INVALID else "reject"
    return "wrong-invalid" if got is Status.INVALID else "wrong-is-other"


def _code_faults(item: Item, box: CodeBox) -> Iterator[Fault]:
    """Yield mutants that are told another misconception than their own; that they fail is for the witness to say."""
    for expected in kind_of(item).wrong_responses(item):
        got = mark(item, expected.response, box)
        if got.status in (Status.RIGHT, Status.INVALID):
            continue
        if got.status is Status.UNDECIDED:
            said = str(got.evidence.get("problem", got.note))
            yield expected.loc, "mutant-breaks", f"this mutant could not be marked: {said}"
        elif expected.misconception is not None and expected.misconception not in got.misconceptions:
            said = f"told is {', '.join(got.misconceptions)}" if got.misconceptions else "no test's numbers tell it"
            yield expected.loc, "undiagnosed", f"this mutant is not told its own misconception: {said}"


def _short(response: Any) -> str:
    text = response if isinstance(response, str) else str(response)
    text = " ".join(text.split())
    return f"'{text[:60]}…'" if len(text) > 61 else f"'{text}'"


def _shared_words(item: Item, lab: Lab) -> Iterator[Fault]:
    """Yield an oracle that holds the key's own expression: it would repeat a mistake instead of finding it."""
    spec = item.question.spec
    oracle = getattr(spec, "oracle", None)
    answer = getattr(spec, "answer", None)
    words = getattr(answer, "value", None) or getattr(answer, "expr", None)
    if oracle is None or not isinstance(words, str):
        return
    plain = re.sub(r"\s+", "", words)
    source = re.sub(r"\s+", "", lab.function_source(oracle.name))
    if len(plain) >= 8 and plain in source:
        yield ("oracle",), "same-words", f"the oracle holds the key's own expression `{words}`: it proves nothing"


# --- blueprints ------------------------------------------------------------------------------------------------------


def _blueprint_findings(course: Course, bank: Bank) -> list[Finding]:
    """Return what is wrong with the blueprints that draw from a bank: what cannot be read, or cannot be drawn."""
    paths = blueprint_paths(course)
    found: list[Finding] = []
    for name, path in paths.items():
        try:
            blueprint, wrong = read_blueprint(path, bank_ids(course), tuple(paths))
        except CourseError as problem:
            found.append(Finding(path, 1, 1, ERROR, "blueprint", str(problem)))
            continue
        if blueprint is None or blueprint.bank != bank.id:
            # nobody else tells of a file whose bank cannot be made out
            found += wrong if blueprint is None or blueprint.bank not in bank_ids(course) else []
            continue
        found += wrong
        try:
            draw(blueprint, bank, f"check of {name}")
        except CourseError as problem:
            found.append(blueprint.places.finding((), "infeasible", problem.what))
    return found


# --- the lock -------------------------------------------------------------------------------------------------------


def frozen_entry(question: Question) -> dict[str, Any]:
    """Return what the lock says of a question: rev, hashes, and for each variant its values and its key."""
    variants = []
    for variant in drawn(question):
        entry: dict[str, Any] = {"number": variant.number, "values": dict(variant.values)}
        if question.type not in ("code", "free"):  # their keys are long texts that stand in the bank
            item = Item(question, variant)
            entry["key"] = kind_of(item).keys(item)[0]
        variants.append(entry)
    return {"rev": question.rev, "meaning": question.meaning, "variants": variants}


def lock_findings(bank: Bank, *, strict: bool) -> list[Finding]:
    """Return where a bank and its lock disagree: a changed meaning without a new rev, or what is not frozen yet."""
    frozen, findings = read_lock(bank.path)
    missing = WARNING if not strict else ERROR
    for question in bank.questions:
        entry = frozen.get(question.id)
        try:
            now = frozen_entry(question)
        except (ArithmeticProblem, Unreadable):
            continue  # told elsewhere
        if not isinstance(entry, dict):
            said = "the variants are not frozen: `grader quiz check --freeze`"
            findings.append(question.places.finding(("id",), "not-frozen", said, severity=missing))
        elif entry.get("rev") == question.rev:
            if entry.get("meaning") != question.meaning:
                findings.append(_needs_rev(question, "what is asked or how it is marked has changed"))
            elif not _same(entry.get("variants"), now["variants"]):
                old = entry.get("variants")
                if isinstance(old, list) and _same(now["variants"][: len(old)], old):
                    said = "there are more variants than are frozen: `grader quiz check --freeze`"
                    findings.append(question.places.finding(("variants",), "not-frozen", said, severity=missing))
                else:
                    findings.append(_needs_rev(question, "the variants or their keys have changed"))
        else:
            old_rev = entry.get("rev")
            if isinstance(old_rev, int) and question.rev < old_rev:
                said = f"rev {question.rev} is below the frozen rev {old_rev}"
                findings.append(question.places.finding(("rev",), "rev", said))
            else:
                said = f"rev {question.rev} is not frozen yet: `grader quiz check --freeze`"
                findings.append(question.places.finding(("rev",), "not-frozen", said, severity=missing))
    known = {question.id for question in bank.questions}
    replaced = {question.supersedes for question in bank.questions}
    for name in frozen:
        if name not in known | replaced:
            said = f"the frozen question '{name}' is gone: say `supersedes: {name}` where another takes its place"
            findings.append(bank.places.finding(("questions",), "gone", said, severity=WARNING))
    return findings


def _same(a: Any, b: Any) -> bool:
    """Say whether frozen data is what is drawn now; numbers may differ as much as two machines' exp and tanh do."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, str) and isinstance(b, str):
        numbers = [[float(one) for one in _NUMBER.findall(text)] for text in (a, b)]
        return _NUMBER.sub("#", a) == _NUMBER.sub("#", b) and _same(*numbers)
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=MACHINES, abs_tol=MACHINES)
    return bool(a == b)


def _needs_rev(question: Question, what: str) -> Finding:
    said = (
        f"{what} since rev {question.rev} was frozen: set `rev: {question.rev + 1}` "
        "(or take it out of the lock file if nobody has been asked it yet)"
    )
    return question.places.finding(("rev",) if question.rev > 1 else ("id",), "rev", said)


def freeze(bank: Bank) -> tuple[bool, list[Finding]]:
    """Write the lock of a bank; return whether it changed, and the findings that forbid it: then nothing is written."""
    frozen, found = read_lock(bank.path)
    found = [*found, *(f for f in lock_findings(bank, strict=False) if f.code == "rev")]
    if errors(found):
        return False, found
    entries = {question.id: frozen_entry(question) for question in bank.questions}
    # what is gone stays known, so that its id is never used for something else
    gone = {name: entry for name, entry in frozen.items() if name not in entries}
    return write_lock(bank.path, bank.id, {**entries, **gone}), []
