"""Quizzes on a terminal: a question, what became of an answer, the score. Plain lines where there is no terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grader.quiz.keyboard import LETTERS, how
from grader.quiz.model import Choice, Solution, Status, View
from grader.quiz.sitting import Reading, Reply, Score
from grader.reports.quiz_text import for_markdown, plain

if TYPE_CHECKING:
    from rich.console import Console

WORDS = {
    Status.RIGHT: ("Right", "green"),
    Status.PARTIAL: ("Partly right", "yellow"),
    Status.WRONG: ("Wrong", "red"),
    Status.UNDECIDED: ("Not decided", "yellow"),
    Status.INVALID: ("Not taken", "yellow"),
}
_BLANK = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def say(out: Console, text: str, style: str = "") -> None:
    """Print a line as it is."""
    out.print(text, markup=False, style=style or None)


def say_text(out: Console, text: str) -> None:
    """Print an author's text: as Markdown in a terminal, in plain lines elsewhere."""
    if out.is_terminal:
        from rich.markdown import Markdown

        out.print(Markdown(for_markdown(text)))
    else:
        say(out, plain(text))


def show_view(out: Console, view: View, heading: str, notes: Sequence[str] = ()) -> None:
    """Print a question with everything that is needed to answer it."""
    say(out, "")
    say(out, heading, "bold")
    numbers = {field.id: n for n, field in enumerate(view.fields, 1)}
    say_text(out, _BLANK.sub(lambda m: f"____({numbers[m[1]]})" if m[1] in numbers else m[0], view.prompt))
    if view.code:
        _code(out, view.code)
    if view.starter:
        _code(out, view.starter)
    for symbol in view.symbols:
        say(out, f"  {symbol.id}  {plain(symbol.text)}".rstrip())
    for number, choice in enumerate(view.left, 1):
        say(out, f"  {number}) {plain(choice.text)}")
    _options(out, view.options)
    if view.rule:
        say(out, plain(view.rule), "dim")
    if told := how(view):
        say(out, told, "dim")
    for note in notes:
        say(out, f"Your note: {note}", "dim")


def _options(out: Console, options: Sequence[Choice]) -> None:
    for letter, choice in zip(LETTERS, options, strict=False):
        lines = plain(choice.text).splitlines() or [""]
        say(out, f"  {letter}) {lines[0]}")
        for line in lines[1:]:
            say(out, f"     {line}")


def show_field(out: Console, label: str, hint: str, options: Sequence[Choice]) -> None:
    """Print what belongs to one blank of a question, besides its label."""
    _options(out, options)
    if hint:
        say(out, f"  {plain(hint)}", "dim")


def _code(out: Console, text: str) -> None:
    if out.is_terminal:
        from rich.syntax import Syntax

        out.print(Syntax(text.rstrip("\n"), "python", background_color="default"))
        return
    for line in text.rstrip("\n").splitlines():
        say(out, f"    {line}")


def show_reply(out: Console, reply: Reply) -> None:
    """Print what became of an answer."""
    mark = reply.mark
    if not reply.revealed and mark.final:
        say(out, "Kept.")
        return
    word, colour = WORDS[mark.status]
    if mark.final:
        worth = "" if mark.status is Status.UNDECIDED else f" ({mark.score:g} of 1)"
        say(out, f"{word}{worth}.", colour)
    for sentence in mark.feedback:
        say_text(out, sentence)
    if not mark.final:
        say(out, "Try again, it costs nothing.", "dim")
    elif reply.tries_left:
        say(out, f"{_count(reply.tries_left, 'try', 'tries')} left.", "dim")


def show_solution(out: Console, solution: Solution, *, answer: bool = True) -> None:
    """Print the key and the explanation."""
    if answer:
        lines = plain(solution.answer).splitlines() or [""]
        if len(lines) == 1:
            say(out, f"Answer: {lines[0]}")
        else:
            say(out, "Answer:")
            for line in lines:
                say(out, f"    {line}")
    say_text(out, solution.explain)


def show_rubric(out: Console, rubric: Sequence[Mapping[str, Any]]) -> None:
    """Print what a text is judged by."""
    say(out, "Judge your text: how many points does it earn?", "bold")
    for point in rubric:
        say(out, f"  {plain(str(point['text']))} ({point['points']:g})")


def show_score(out: Console, score: Score, titles: Mapping[str, str], reading: Sequence[Reading]) -> None:
    """Print what a sitting was worth, its weak tags, and what to read next."""
    say(out, "")
    say(out, f"Score: {score.earned:g} of {score.possible:g} ({100 * score.share:.0f} %)", "bold")
    words = {"right": "right", "partial": "partly right", "wrong": "wrong", "undecided": "to be judged"}
    words |= {"unanswered": "not answered", "lapsed": "changed since they were drawn"}
    told = [f"{score.counts[key]} {word}" for key, word in words.items() if score.counts.get(key)]
    say(out, ", ".join(told) + ".")
    weak = sorted((got / of, tag) for tag, (got, of) in score.by_tag.items() if of and got / of < 0.75)
    if weak:
        say(out, "To practise: " + ", ".join(f"{titles.get(tag, tag)} ({100 * s:.0f} %)" for s, tag in weak[:5]))
    if reading:
        say(out, "Read next:", "bold")
        for one in reading[:5]:
            times = f" ({one.count} times)" if one.count > 1 else ""
            say(out, f"  {one.read}{times}. Your answers look like this belief: {plain(one.belief)}")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
