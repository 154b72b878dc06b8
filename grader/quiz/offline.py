"""Offline forms: what is asked of one student, drawn from the course's secret, and reading the files that come back.

A form holds no key. Its id is an HMAC over quiz, student and items, so that a file that was edited, made up, or belongs
to somebody else's form is told from one that was handed out, without any list of what was handed out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grader.course.catalog import Course
from grader.course.identity import course_secret
from grader.course.spelling import suggestion
from grader.errors import CourseError
from grader.quiz import asking
from grader.quiz.blueprint import Blueprint, blueprint_paths, draw, load_blueprint
from grader.quiz.loading import bank_paths, load_bank
from grader.quiz.model import Bank, Item, Mark, Question, Response
from grader.quiz.parameters import Stream
from grader.submissions.limits import size_text
from grader.submissions.reading import OpenFile, Refused, Unreadable, skipped
from grader.submissions.text import safe_text, student_id

FORM, RESPONSE = "quizform/1", "quizresponse/1"
#: a file of answers may have so many bytes: a form with every text at its longest has less
LARGEST = 4_000_000
#: files in a folder that are looked at: what is beyond is told, not read
MOST_FILES = 20_000
DEEPEST = 12
_KEYS = {"schema", "quiz", "title", "student", "seed", "form", "items", "answers", "saved", "questions", "name"}


@dataclass(frozen=True)
class Asked:
    """An item as a file names it. How it was shuffled stays here: blocks are often written down in the right order."""

    question: str
    rev: int
    variant: int


@dataclass(frozen=True)
class Quiz:
    """What can be handed out under a name: a bank as a whole, or what a blueprint draws from one."""

    id: str
    title: str
    about: str
    bank: Bank
    blueprint: Blueprint | None = None


@dataclass(frozen=True)
class Form:
    """What is asked of one student. `id` proves that it is ours, `seed_id` names the seed and does not tell it."""

    quiz: Quiz
    student: str
    name: str
    items: tuple[Item, ...]
    seed_id: str
    id: str

    def as_dict(self) -> dict[str, Any]:
        """Return the form as JSON data, with an empty answer for every item: filled in, it can be handed in."""
        return {
            "schema": FORM,
            "quiz": self.quiz.id,
            "title": self.quiz.title,
            "student": self.student,
            "name": self.name,
            "seed": self.seed_id,
            "form": self.id,
            "items": [asdict(one) for one in map(asked_of, self.items)],
            "answers": [None] * len(self.items),
            "questions": [asking.view(item).as_dict() for item in self.items],
        }

    def header(self) -> dict[str, Any]:
        """Return what a response file says besides the answers."""
        told = self.as_dict()
        return {key: told[key] for key in ("quiz", "student", "seed", "form", "items")} | {"schema": RESPONSE}


@dataclass(frozen=True)
class Returned:
    """A file that came back and holds the answers to a form of ours; None is no answer. `sha256` is of its content.

    `refused` holds the marks of places whose answers cannot be read from it.
    """

    path: Path
    student: str
    form: str
    seed_id: str
    items: tuple[Item, ...]
    answers: tuple[Response, ...]
    sha256: str
    refused: Mapping[int, Mark] = field(default_factory=dict)


class NotOurs(Exception):
    """A file that cannot be marked; the text is the reason, in one line."""


# --- handing out ------------------------------------------------------------------------------------------------------


def load_quiz(course: Course, name: str) -> Quiz:
    """Return the quiz of a blueprint, or of a whole bank; raise CourseError where there is neither of that name."""
    blueprints, banks = blueprint_paths(course), bank_paths(course)
    if name in blueprints:
        blueprint = load_blueprint(course, name)
        return Quiz(blueprint.id, blueprint.title, blueprint.about, load_bank(course, blueprint.bank), blueprint)
    if name not in banks:
        known = list(dict.fromkeys([*blueprints, *banks]))
        raise CourseError(f"there is no quiz `{name}`", advice=suggestion(name, known, "quizzes"))
    return whole_bank(load_bank(course, name))


def whole_bank(bank: Bank) -> Quiz:
    """Return the quiz that asks every question of a bank."""
    return Quiz(bank.id, bank.title, bank.about, bank)


def form_of(course: Course, quiz: Quiz, student: str, name: str = "") -> Form:
    """Return the form of a student, the same whenever it is asked for; raise CourseError where none can be drawn."""
    secret = course_secret(course)
    items = _items(course, secret, quiz, student, ())
    seed = _seed(secret, quiz.id, student)
    seed_id = hashlib.sha256(b"seed\0" + seed.encode()).hexdigest()[:12]
    return Form(quiz, student, name, items, seed_id, _form_id(secret, quiz.id, student, seed_id, map(asked_of, items)))


def items_of(course: Course, quiz: Quiz, student: str, number: int = 0) -> tuple[Item, ...]:
    """Return what a student is asked when they take a quiz for the `number`-th time, from 0; raise CourseError.

    The first time it is what their form asks.
    """
    name = f"{student}\0{number}" if number else student
    return _items(course, course_secret(course), quiz, name, ())


def _items(course: Course, secret: bytes, quiz: Quiz, student: str, above: tuple[str, ...]) -> tuple[Item, ...]:
    seed = _seed(secret, quiz.id, student)
    if quiz.blueprint is None:
        return tuple(_drawn(item.question, seed) for item in asking.items(quiz.bank, seed))
    used: set[str] = set()
    for n, other in enumerate(quiz.blueprint.no_reuse):
        if other in (*above, quiz.id):
            finding = quiz.blueprint.places.finding(("no_reuse", n), "no-reuse", "")
            raise CourseError(
                f"{quiz.id} must not reuse {other}, which must not reuse {quiz.id}",
                where=f"{finding.path}:{finding.line}:{finding.column}",
                advice="Only the later quiz says no_reuse.",
            )
        earlier = load_quiz(course, other)
        if earlier.bank.id == quiz.bank.id:
            drawn = _items(course, secret, earlier, student, (*above, quiz.id))
            used |= {item.question.id for item in drawn}
    return tuple(_drawn(question, seed) for question in draw(quiz.blueprint, quiz.bank, seed, used))


def _drawn(question: Question, seed: str) -> Item:
    """Return a question in the variant and the order of options that a seed gives it, whatever is asked beside it."""
    stream = Stream(f"form\0{question.name}\0{seed}")
    shuffle = stream.below(1 << 31)
    return Item(question, question.variants[stream.below(len(question.variants))], shuffle)


def asked_of(item: Item) -> Asked:
    """Return an item as a file names it."""
    return Asked(item.question.id, item.question.rev, item.variant.number)


def _seed(secret: bytes, quiz: str, student: str) -> str:
    return hmac.digest(secret, f"quiz-form\0{quiz}\0{student}".encode(), "sha256").hex()


def _form_id(secret: bytes, quiz: str, student: str, seed_id: str, items: Any) -> str:
    whole = json.dumps([quiz, student, seed_id, [list(asdict(one).values()) for one in items]], ensure_ascii=True)
    return hmac.digest(secret, b"quiz-form-id\0" + whole.encode(), "sha256").hex()[:32]


# --- coming back ------------------------------------------------------------------------------------------------------


def returned_files(paths: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Yield (file, whose folder it lies in): the paths that are files, *.json in folders and their folders.

    A folder of folders has one for each student; the name is None for files that lie in no such folder. Raises
    CourseError for a path that is not there.
    """
    count = 0
    for path in paths:
        if path.is_file() or path.is_symlink():
            yield path, None
            continue
        if not path.is_dir():
            raise CourseError("there is no such file or folder", where=path, advice="Name the folder of the answers.")
        for one in sorted(path.iterdir()):
            if skipped(one.name):
                continue
            inner = sorted(one.iterdir()) if one.is_dir() and not one.is_symlink() else None
            for file in [one] if inner is None else inner:
                if file.suffix.lower() == ".json" and not skipped(file.name):
                    count += 1
                    if count > MOST_FILES:
                        raise CourseError(f"there are more than {MOST_FILES:,} files", where=path)
                    yield file, None if inner is None else one.name


def read_returned(course: Course, quiz: Quiz, path: Path, owner: str | None = None) -> Returned:
    """Return the answers in a file; raise NotOurs with the reason where it is no answer to a form of this quiz.

    `owner` is the student in whose folder it lies, None where that is not known. Nothing in the file is trusted:
    whose form it is follows from its id alone.
    """
    content = _content(path)
    data = _json(content)
    if not isinstance(data, dict) or data.get("schema") not in (RESPONSE, FORM):
        raise NotOurs("this is no file of answers")
    strange = sorted(map(str, data.keys() - _KEYS))
    if strange:
        raise NotOurs(f"it has keys that no form writes: {safe_text(', '.join(strange), 80)}")
    named = data.get("quiz")
    if named != quiz.id:
        raise NotOurs(f"it answers the quiz {safe_text(str(named), 60)}, not {quiz.id}")
    student, form, seed_id = (data.get(key) for key in ("student", "form", "seed"))
    if not isinstance(student, str) or not isinstance(form, str) or not isinstance(seed_id, str):
        raise NotOurs("it does not say whose form it is")
    asked = _asked(data.get("items"))
    answers = data.get("answers")
    if not isinstance(answers, list) or len(answers) != len(asked):
        raise NotOurs(f"it has not one answer for each of its {len(asked)} questions")
    ours = _form_id(course_secret(course), quiz.id, student, seed_id, asked)
    if not hmac.compare_digest(ours.encode(), form.encode("utf-8", "replace")):
        raise NotOurs(
            f"its form was not handed out to {safe_text(student, 60)}: it was edited, is somebody else's, or made up"
        )
    if owner is not None and student_id(owner) != student:
        raise NotOurs(f"the form of {student} lies in the folder of {safe_text(owner, 60)}")
    if data["schema"] == FORM and all(answer is None for answer in answers):
        raise NotOurs("it is a form that nobody has filled in")
    seed = _seed(course_secret(course), quiz.id, student)
    items = tuple(_item(quiz.bank, one, seed) for one in asked)
    return Returned(path, student, form, seed_id, items, tuple(answers), hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    try:
        with OpenFile(path, LARGEST) as file:
            content = file.read()
    except (Refused, Unreadable) as problem:
        raise NotOurs(f"it cannot be read: {problem}") from None
    if len(content) > LARGEST:
        raise NotOurs(f"it is larger than {size_text(LARGEST)}")
    return content


def _json(content: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise NotOurs("a key stands twice in it")
        return found

    def no_number(word: str) -> Any:
        raise NotOurs(f"{word} is no JSON")

    try:
        text = content.decode("utf-8-sig")
        data = json.loads(text, object_pairs_hook=once, parse_constant=no_number)
        if _depth(data) > DEEPEST:
            raise NotOurs("it is nested too deeply")
        json.dumps(data, ensure_ascii=False).encode()  # half of a character could not be kept
        return data
    except UnicodeDecodeError:
        raise NotOurs("it is no UTF-8 text") from None
    except UnicodeEncodeError:
        raise NotOurs("it holds half of a character") from None
    except json.JSONDecodeError as problem:
        early = problem.pos >= len(text.rstrip()) or problem.msg.startswith("Unterminated string")
        short = "it ends too early" if early else "it is no JSON"
        raise NotOurs(f"{short} (line {problem.lineno}: {problem.msg})") from None
    except (ValueError, RecursionError):
        raise NotOurs("it is no JSON that can be read") from None


def _depth(data: Any) -> int:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _asked(data: Any) -> list[Asked]:
    found = []
    kinds = {"question": str, "rev": int, "variant": int}
    for one in data if isinstance(data, list) and len(data) <= 1000 else [None]:
        if not isinstance(one, dict) or {name: type(value) for name, value in one.items()} != kinds:
            raise NotOurs("its list of questions is not as it was handed out")
        found.append(Asked(**one))
    if not found:
        raise NotOurs("it asks nothing")
    return found


def _item(bank: Bank, asked: Asked, seed: str) -> Item:
    """Return an item of a form that is ours, shuffled as it was; raise NotOurs where the bank has gone on since."""
    try:
        item = asking.item_of(bank, asked.question, asked.variant)
    except CourseError as problem:
        raise NotOurs(f"what it asks is gone: {problem.what}") from None
    if item.question.rev != asked.rev:
        raise NotOurs(f"it asks {item.question.name} in rev {asked.rev}, and the bank is at rev {item.question.rev}")
    return Item(item.question, item.variant, _drawn(item.question, seed).shuffle)
