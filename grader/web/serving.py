"""Starting the server of a quiz: what the command asks for becomes a desk, and the addresses are told."""

from __future__ import annotations

import csv
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.course.catalog import Course
from grader.course.identity import course_secret
from grader.course.misconceptions import load_misconceptions
from grader.errors import QuizError
from grader.gradebook.quizzes import QuizBook
from grader.quiz.asking import items
from grader.quiz.model import Item
from grader.quiz.offline import Quiz, items_of, load_quiz
from grader.quiz.sitting import GRADED, PRACTICE, Rules
from grader.submissions.roster import RosterEntry, read_roster
from grader.web.access import Keys
from grader.web.desk import Boxes, Desk


@dataclass(frozen=True)
class Plan:
    """What an instructor asks for; None means what suits the bank: strict where it is graded, lenient for practice."""

    bank: str
    roster: Path | None = None
    tags: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    n: int | None = None
    attempts: int | None = None
    minutes: float | None = None
    sittings: int | None = None
    shuffle: bool = True
    reveal: str | None = None
    graded: bool = False
    tier: int | None = None


def desk_of(course: Course, plan: Plan, book: QuizBook) -> Desk:
    """Return the desk of a plan; raise CourseError, SubmissionError (the roster) and QuizError."""
    quiz = load_quiz(course, plan.bank)
    bank = quiz.bank
    if quiz.blueprint is not None and (plan.tags or plan.levels or plan.n):
        raise QuizError(f"{quiz.id} is drawn by its blueprint", advice="Leave out --tag, --level and --n.")
    graded = plan.graded or bank.graded
    roster = None if plan.roster is None else {entry.id: entry.name for entry in read_roster(plan.roster)}
    if graded and roster is None:
        raise QuizError(
            f"{quiz.id} is graded, so it must be known who answers",
            advice="Give the class with --roster, and hand out the codes that --codes writes.",
        )
    rules = Rules(
        attempts=plan.attempts or (1 if graded else 3),
        time_limit=None if plan.minutes is None else plan.minutes * 60,
        reveal=plan.reveal or ("never" if graded else "now"),
        tags=plan.tags,
        levels=plan.levels,
        n=plan.n,
    )
    if not items(bank, 0, tags=plan.tags, levels=plan.levels):
        raise QuizError(
            f"no question of {bank.id} has these tags and levels", advice=f"Its tags: {', '.join(bank.tags)}"
        )
    return Desk(
        bank=bank,
        book=book,
        keys=Keys(course_secret(course), quiz.id),
        rules=rules,
        purpose=GRADED if graded else PRACTICE,
        roster=roster,
        sittings=plan.sittings or (1 if graded else None),
        alike=not plan.shuffle,
        misconceptions=load_misconceptions(course),
        boxes=Boxes(tier=plan.tier),
        **_drawn(course, quiz),
    )


def _drawn(course: Course, quiz: Quiz) -> dict[str, Any]:
    """Return what a desk has to know of a quiz that a blueprint draws; raise CourseError where it cannot be drawn."""
    if quiz.blueprint is None:
        return {}

    def draw(student: str, number: int) -> tuple[Item, ...]:
        return items_of(course, quiz, student, number)

    draw("", 0)  # what cannot be drawn is told now, and not to the first student
    return {"quiz": quiz.id, "title": quiz.title, "about": quiz.about, "draw": draw}


def write_codes(desk: Desk, entries: list[RosterEntry], path: Path) -> None:
    """Write id, name, email and code of every student as CSV that only its owner may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        os.fchmod(stream.fileno(), 0o600)
        writer = csv.writer(stream)
        writer.writerow(["id", "name", "email", "code"])
        writer.writerows([one.id, _cell(one.name), _cell(one.email), desk.keys.code(one.id)] for one in entries)


def _cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def serve_quiz(
    course: Course, plan: Plan, target: Path | str, host: str, port: int, codes: Path | None, say: Callable[[str], None]
) -> int:
    """Serve until the process is ended, and return 0; `say` prints a line. Raises GraderError before it begins."""
    import uvicorn

    from grader.web.server import application

    if codes is not None and plan.roster is None:
        raise QuizError("codes are for the students of a roster", advice="Give the class with --roster.")
    with QuizBook.open(target) as book:
        desk = desk_of(course, plan, book)
        if codes is not None and plan.roster is not None:
            write_codes(desk, read_roster(plan.roster), codes)
            say(f"Codes: {codes} (keep it to yourself; it tells who answers)")
        listening = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}"
        who = "everybody may practise" if desk.roster is None else f"{len(desk.roster)} students, each by a code"
        say(f"{desk.title or desk.bank.title}: {address} ({who})")
        say(f"Live view: {address}/live?token={desk.keys.live_token()}")
        say("Ctrl-C ends it. What was answered is kept, and the same command goes on.")
        config = uvicorn.Config(
            application(desk), log_level="warning", access_log=False, server_header=False, lifespan="on",
            timeout_graceful_shutdown=10, backlog=2048,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(2048)
    except OSError as error:
        raise QuizError(
            f"{host}:{port} cannot be listened on ({error.strerror or error})",
            advice="Another program may use the port: choose one with --port, or 0 for a free one.",
        ) from None
    return found
