"""Asking and answering at the keyboard, in a terminal or through a pipe."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.quiz import keyboard
from grader.quiz.answers import Misread
from grader.quiz.marks import OURS
from grader.reports.quiz_terminal import (
    say,
    say_text,
    show_field,
    show_reply,
    show_rubric,
    show_score,
    show_solution,
    show_view,
)

if TYPE_CHECKING:
    from rich.console import Console

    from grader.gradebook.quizzes import AnswerRecord, Rated
    from grader.quiz.model import Response, View
    from grader.quiz.running import CodeBox
    from grader.quiz.sitting import Reply, Sitting

COMMANDS = {
    "!hint": "show the next hint (its cost is said before)",
    "!skip": "put the question off; a second time leaves it",
    "!note TEXT": "keep a note about the question",
    "!file PATH": "answer with what a file holds",
    "!json DATA": "answer with JSON data",
    "!quit": "stop; everything is kept, the same command goes on",
    "!help": "show this",
}
_COMMAND = re.compile(r"!(hint|skip|note|file|json|quit|help)(?:\s+(.*))?", re.DOTALL)
SURE = {"1": 1, "2": 2, "3": 3}

Rater = Callable[["AnswerRecord"], "Rated | None"]


class Stopped(Exception):
    """The learner goes, or the pipe has ended: everything is kept."""


class _Skipped(Exception):
    pass


class _Given(Exception):
    """A response that was not typed line by line."""

    def __init__(self, response: Response) -> None:
        self.response = response


class Dialogue:
    """Leads through a sitting. `raters` holds what an answer at a position does to a skill, where it does anything."""

    def __init__(
        self,
        out: Console,
        sitting: Sitting,
        notes: Mapping[str, tuple[str, ...]],
        box: CodeBox | None = None,
        raters: Mapping[int, Rater] | None = None,
    ) -> None:
        self.out = out
        self.sitting = sitting
        self.notes = {name: list(texts) for name, texts in notes.items()}
        self.box = box
        self.raters = raters or {}
        self._position = 0

    def run(self) -> bool:
        """Ask until all is done; say whether the sitting has ended. What was answered is kept whatever happens."""
        say(self.out, "Answers are kept at once. !help lists what else can be typed.", "dim")
        try:
            while not self.sitting.finished and (position := self.sitting.current()) is not None:
                self._position = position
                self._warn_of_time()
                (self._card if self.sitting.record.purpose == "cards" else self._question)(position)
        except Stopped:
            return False
        self.sitting.finish()
        return True

    # --- a question -------------------------------------------------------------------------------------------

    def _heading(self, position: int) -> str:
        return f"{position + 1}/{len(self.sitting)}  {self.sitting.record.items[position].question}"

    def _question(self, position: int) -> None:
        sitting = self.sitting
        place = sitting.place(position)
        view = sitting.show(position)
        show_view(self.out, view, self._heading(position), self.notes.get(place.question, ()))
        for number, text in enumerate(sitting.hints_given(position), 1):
            say_text(self.out, f"Hint {number}: {text}")
        reply: Reply | None = None
        began = time.monotonic()
        try:
            while place.state == "open":
                try:
                    response = self._response(view)
                    sure = self._confidence() if view.confidence else None
                except Misread as problem:
                    say(self.out, f"{problem} It costs nothing.", "yellow")
                    continue
                reply = sitting.answer(
                    position, response, confidence=sure, seconds=time.monotonic() - began, box=self.box,
                    rate=self.raters.get(position),
                )  # fmt: skip
                place = sitting.place(position)
                if place.state != "judge":
                    show_reply(self.out, reply)
                if place.waits and reply.mark.note in OURS:
                    raise _Skipped  # this machine failed: perhaps it does better later
            if place.state == "judge":
                reply = self._judge(position)
        except _Skipped:
            sitting.skip(position)
            again = sitting.place(position).waits
            say(self.out, "Put off: it comes again after the others." if again else "Left.")
            if again:
                return
        if reply is None or sitting.rules.reveal == "now":
            self._show_solution(position, answer=reply is None or reply.mark.score < 1)

    def _show_solution(self, position: int, *, answer: bool = True) -> None:
        from grader.errors import QuizError

        try:
            show_solution(self.out, self.sitting.solution(position), answer=answer)
        except QuizError:
            return  # its time has not come: nothing to show

    def _judge(self, position: int) -> Reply:
        """Show model answer and rubric, and take the points that the writer gives."""
        from grader.quiz.types.free import rubric

        item = self.sitting.items[position]
        assert item is not None
        show_solution(self.out, self.sitting.solution(position))
        points = rubric(item)
        show_rubric(self.out, points)
        while True:
            earned: dict[str, Any] = {}
            try:
                for point in points:
                    said = self._line(f"{point['id']}, 0 to {point['points']:g} (y or n will do)> ").strip().lower()
                    earned[point["id"]] = _points(said, float(point["points"]))
                response: Any = {"points": earned}
            except _Given as given:
                response = given.response
            except Misread as problem:
                say(self.out, str(problem), "yellow")
                continue
            reply = self.sitting.answer(position, response, seconds=0.0, rate=self.raters.get(position))
            show_reply(self.out, reply)
            if reply.mark.final:
                return reply

    def _card(self, position: int) -> None:
        from dataclasses import replace

        from grader.quiz.sitting import CARD_RATINGS

        sitting = self.sitting
        view = sitting.show(position)
        question = sitting.record.items[position].question
        # a card is thought about, not typed
        show_view(self.out, replace(view, rule="", kind="card"), self._heading(position), self.notes.get(question, ()))
        try:
            self._line("Think of the answer, then press Enter> ")
            show_solution(self.out, sitting.solution(position))
            while True:
                told = ", ".join(f"{number} {word}" for number, (word, _) in CARD_RATINGS.items())
                said = self._line(f"How was it? {told}> ").strip()
                if said.isdecimal() and int(said) in CARD_RATINGS:
                    break
                say(self.out, "Type 1, 2, 3 or 4.", "yellow")
            sitting.judge_card(position, int(said), rate=self.raters.get(position))
        except _Skipped:
            sitting.skip(position)
        except (_Given, Misread):
            say(self.out, "A card is judged 1 to 4.", "yellow")

    # --- the keyboard -----------------------------------------------------------------------------------------

    def _response(self, view: View) -> Response:
        """Return what is typed as a response; raise Misread."""
        lines: list[str] = []
        try:
            if view.kind == "fields":
                for number, field in enumerate(view.fields, 1):
                    show_field(self.out, field.label, field.hint, field.options)
                    lines.append(self._line(f"({number}) {_plain(field.label)}> "))
            elif keyboard.takes_lines(view):
                while (line := self._line("> " if not lines else ".. ", strip=False)) != keyboard.END:
                    lines.append(line)
            else:
                lines.append(self._line("> "))
        except _Given as given:
            return given.response
        return keyboard.response_of(view, lines)

    def _confidence(self) -> int | None:
        # what is typed amiss here must not cost the answer that was typed before
        while True:
            try:
                said = self._line("How sure are you? 1 a guess, 2 fairly sure, 3 sure (Enter: not told)> ").strip()
            except (_Given, Misread):
                say(self.out, "Type 1, 2 or 3, or nothing: your answer is kept in mind.", "yellow")
                continue
            return SURE.get(said)

    def _line(self, prompt: str, *, strip: bool = True) -> str:
        """Return a typed line that is no command; commands are obeyed on the way."""
        while True:
            line = self._read(prompt)
            found = _COMMAND.fullmatch(line.strip())
            if found is None:
                return line.strip() if strip else line
            self._obey(found.group(1), (found.group(2) or "").strip())

    def _read(self, prompt: str) -> str:
        if self.out.is_terminal and sys.stdin.isatty():
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # arrow keys and history, where the system has them
            try:
                return input(prompt)
            except EOFError:
                raise Stopped from None
        say(self.out, prompt.rstrip())
        line = sys.stdin.readline()
        if not line:
            raise Stopped
        return line.rstrip("\r\n")

    def _obey(self, command: str, rest: str) -> None:
        match command:
            case "quit":
                raise Stopped
            case "skip":
                raise _Skipped
            case "help":
                for name, what in COMMANDS.items():
                    say(self.out, f"  {name:<11} {what}")
            case "note":
                self._note(rest)
            case "hint":
                self._hint()
            case "file":
                raise _Given(_content(rest))
            case "json":
                try:
                    raise _Given(json.loads(rest))
                except ValueError:
                    raise Misread("This is no JSON.") from None

    def _note(self, text: str) -> None:
        name = self.sitting.record.items[self._position].question
        if text:
            self.sitting.note(self._position, text)
            self.notes.setdefault(name, []).append(text)
            say(self.out, "Noted.")
        elif not self.notes.get(name):
            say(self.out, "No notes yet. Write one: !note TEXT")
        for note in [] if text else self.notes.get(name, []):
            say(self.out, f"Your note: {note}")

    def _hint(self) -> None:
        from grader.errors import QuizError

        place = self.sitting.place(self._position)
        costs = self.sitting.view(self._position).hint_costs
        try:
            text = self.sitting.hint(self._position)
        except QuizError as problem:
            say(self.out, f"{str(problem)[:1].upper()}{str(problem)[1:]}.", "yellow")
            return
        cost = costs[place.hints]
        price = f"costs {cost:g} of the point" if cost else "free"
        say_text(self.out, f"Hint {place.hints + 1} of {len(costs)} ({price}): {text}")

    def _warn_of_time(self) -> None:
        left = self.sitting.seconds_left
        if left is not None:
            say(self.out, f"{left / 60:.0f} minutes left." if left >= 90 else f"{left:.0f} seconds left.", "yellow")


def conclude(
    out: Console,
    sitting: Sitting,
    ended: bool,
    again: str,
    titles: Mapping[str, str],
    misconceptions: Mapping[str, Any],
) -> None:
    """Print what a sitting has come to: the score and what to read next, or how to go on."""
    if not ended:
        done = sum(not place.waits for place in sitting.places())
        say(out, "")
        say(out, f"Kept: {done} of {len(sitting)} done. Go on with: {again}")
        return
    show_score(out, sitting.score(), titles, sitting.reading(misconceptions))


def _points(said: str, most: float) -> float:
    if said in ("y", "yes", "n", "no"):
        return most if said.startswith("y") else 0.0
    try:
        points = float(said.replace(",", "."))
    except ValueError:
        raise Misread(f"Type y, n, or a number from 0 to {most:g}.") from None
    if not 0 <= points <= most:
        raise Misread(f"A number from 0 to {most:g} belongs here.")
    return points


def _content(name: str) -> str:
    if not name:
        raise Misread("Name a file: !file PATH")
    try:
        path = Path(name).expanduser()
        if path.stat().st_size > 100_000:
            raise Misread(f"{name} is too large.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise Misread(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _plain(text: str) -> str:
    from grader.reports.quiz_text import plain

    return plain(text)
