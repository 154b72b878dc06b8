"""Graded quizzes away from the grader: forms without key go out, files of answers come back and are marked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.cli.options import PATH, course_of, gradebook_option, gradebook_target, number, tier_option

if TYPE_CHECKING:
    from grader.quiz.offline import Form
    from grader.quiz.returned import Result
    from grader.submissions.roster import RosterEntry

UNGRADED_EXIT = 3
#: format -> ending of the file that goes out
ENDINGS = {"page": ".html", "paper": ".md", "json": ".form.json"}


@click.command()
@click.argument("quiz", metavar="QUIZ")
@click.option("--roster", type=PATH, default=None, metavar="CSV", help="The class: a form for each of its students.")
@click.option("--student", "students", multiple=True, metavar="ID", help="A form for this student (may be repeated).")
@click.option("--out", type=PATH, default=None, metavar="DIR", help="Where to write them (QUIZ-forms if not said).")
@click.option(
    "--format", "forms", multiple=True, type=click.Choice(list(ENDINGS)),
    help="A page that saves answers as a file (the default), paper to print, or JSON to fill in; may be repeated.",
)  # fmt: skip
@click.pass_context
def form(
    ctx: click.Context,
    quiz: str,
    roster: Path | None,
    students: tuple[str, ...],
    out: Path | None,
    forms: tuple[str, ...],
) -> int:
    """Write a form of QUIZ for each student: their questions in their variants, and no key.

    QUIZ is a blueprint or a bank. What a student is asked follows from the course's secret, the quiz and the student,
    so the same command writes the same forms. A page needs no network; its answers come back as a file that
    `grader quiz grade` marks.

    \b
    Example:
      grader quiz form midterm --roster class.csv --out forms/
      grader quiz form midterm --student s001 --format paper
    """
    from grader.cli.quiz_web import web_libraries
    from grader.quiz.offline import form_of, load_quiz
    from grader.reports.writing import write_text

    course = course_of(ctx)
    chosen = load_quiz(course, quiz)
    entries = _students(roster, students)
    wanted = tuple(dict.fromkeys(forms)) or ("page",)
    target = out or Path(f"{quiz}-forms")
    # all are drawn before the first is written: where one student's cannot be, no class is half served
    drawn = [form_of(course, chosen, entry.id, entry.name) for entry in entries]
    with web_libraries():
        for one in drawn:
            for kind in wanted:
                write_text(target / f"{quiz}-{one.student}{ENDINGS[kind]}", _text(one, kind))
    questions = {len(one.items) for one in drawn}
    many = "" if len(drawn) == 1 else "s"
    counts = " or ".join(map(str, sorted(questions)))
    click.echo(f"{target}: {len(drawn)} student{many}, {counts} questions each, {' and '.join(wanted)}, without key")
    return 0


def _students(roster: Path | None, students: tuple[str, ...]) -> list[RosterEntry]:
    from grader.submissions.roster import RosterEntry, read_roster
    from grader.submissions.text import safe_text, student_id

    if not roster and not students:
        raise click.UsageError("name the class with --roster, or students with --student")
    entries = {entry.id: entry for entry in (read_roster(roster) if roster else [])}
    for name in students:
        if student_id(name) != name:
            raise click.UsageError(f"`{safe_text(name, 60)}` is no student id that a file may be named after")
        entries.setdefault(name, RosterEntry(name, ""))
    return list(entries.values())


def _text(one: Form, kind: str) -> str:
    if kind == "paper":
        from grader.reports.quiz_paper import paper

        return paper(one)
    if kind == "json":
        import json

        return json.dumps(one.as_dict(), ensure_ascii=False, indent=1) + "\n"
    from grader.web.offline_page import form_page

    return form_page(one, f"{one.quiz.id}-{one.student}.json")


@click.command()
@click.argument("quiz", metavar="QUIZ")
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@click.option("--roster", type=PATH, default=None, metavar="CSV", help="The class: names, and who handed in nothing.")
@click.option("--rubric", type=PATH, default=None, metavar="CSV", help="Points that people gave: the filled-in sheet.")
@click.option("--sheet", type=PATH, default=None, metavar="CSV", help="Write the sheet of what people have to mark.")
@click.option("--csv", "csv_file", type=PATH, default=None, metavar="FILE", help="Write the class as CSV.")
@click.option("--feedback", type=PATH, default=None, metavar="DIR", help="Write a page (Markdown) for each student.")
@click.option("--solutions", is_flag=True, help="Put answers and explanations on the students' pages.")
@click.option("--replace", "replace_old", is_flag=True, help="Take another file for a form that was marked already.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@gradebook_option
@tier_option
@click.pass_context
def grade(
    ctx: click.Context,
    quiz: str,
    paths: tuple[Path, ...],
    roster: Path | None,
    rubric: Path | None,
    sheet: Path | None,
    csv_file: Path | None,
    feedback: Path | None,
    solutions: bool,
    replace_old: bool,
    as_json: bool,
    gradebook: str | None,
    tier: str | None,
) -> int:
    """Mark the forms of QUIZ that came back, and tell how the class stands.

    PATH is a file of answers, a folder of them, or a folder with one for each student. They are marked here, code in
    the sandbox, and kept in the gradebook; marked again, the same file changes nothing. A file that is no answer to
    the form that it names is told in one line and not marked. Texts wait for people: --sheet writes what they have to
    mark, --rubric takes it back. Without PATH only the standing is told.

    \b
    Exit code: 0 all graded, 1 an error, 2 wrong usage, 3 some answers or files are ungraded, 130 interrupted.

    \b
    Example:
      grader quiz grade midterm answers/ --roster class.csv --csv marks.csv --sheet sheet.csv
      grader quiz grade midterm --rubric sheet.csv --feedback feedback/
    """
    from grader.gradebook.classroom import ClassroomBook, quiz_name
    from grader.gradebook.quizzes import QuizBook
    from grader.quiz.offline import load_quiz
    from grader.quiz.returned import collect, current_results, judge, read_judgements
    from grader.quiz.running import CodeBox
    from grader.reports.quiz_results import results_csv, sheet_csv
    from grader.reports.writing import write_text
    from grader.submissions.roster import read_roster

    course = course_of(ctx)
    chosen = load_quiz(course, quiz)
    entries = read_roster(roster) if roster else []
    points = read_judgements(rubric) if rubric else []
    with QuizBook.open(gradebook_target(course, gradebook)) as book, CodeBox(number(tier)) as box:
        collected = collect(course, chosen, list(paths), book, box, replace_old=replace_old)
        judged, lacking = judge(book, chosen, points)
        results = current_results(book, chosen)
    missing = [entry for entry in entries if entry.id not in {result.student for result in results}]
    tell(results, missing, as_json=as_json)
    for path, reason in collected.refused:
        click.echo(f"Not marked: {path}: {reason}", err=True)
    for line in lacking:
        click.echo(f"Not judged yet: {line}", err=True)
    if rubric:
        click.echo(f"{judged} answer{'' if judged == 1 else 's'} judged by hand.", err=True)
    if entries:
        strangers = [result.student for result in results if result.student not in {entry.id for entry in entries}]
        if strangers:
            click.echo(f"Not on the roster, marked all the same: {', '.join(strangers[:10])}.", err=True)
    names = {entry.id: entry.name for entry in entries}
    if csv_file:
        with ClassroomBook.open(gradebook_target(course, gradebook)) as classroom:
            final = classroom.scores_of(quiz_name(chosen.id))
        write_text(csv_file, results_csv(results, names, [entry.id for entry in missing], final))
    if sheet:
        write_text(sheet, sheet_csv(results))
    if feedback:
        _write_feedback(feedback, chosen.title, results, names, solutions)
    waiting = any(result.waiting for result in results)
    return UNGRADED_EXIT if waiting or collected.refused or lacking else 0


def tell(results: Iterable[Result], missing: list[RosterEntry], *, as_json: bool) -> None:
    """Print each result with what waits in it, then who handed in nothing."""
    import json

    from grader.reports.quiz_results import NOT_SUBMITTED, outcome, summary

    count = 0
    for result in results:
        count += 1
        if as_json:
            click.echo(json.dumps(result.as_dict()))
            continue
        click.echo(summary(result))
        for place in result.waiting:
            why = place.mark.evidence.get("problem") or " ".join(place.mark.feedback)
            told = f"{outcome(place)}{f' ({why})' if why else ''}" if place.ungraded else "needs marking"
            click.echo(f"  {place.item.question.id}: {told}")
    for entry in missing:
        if as_json:
            click.echo(json.dumps({"version": 1, "student": entry.id, "outcome": NOT_SUBMITTED}))
        else:
            click.echo(f"{entry.id}: {NOT_SUBMITTED}")
    if not count and not missing and not as_json:
        click.echo("No form of this quiz was marked yet.")


def _write_feedback(
    folder: Path, title: str, results: Iterable[Result], names: dict[str, str], solutions: bool
) -> None:
    from grader.reports.quiz_results import student_page
    from grader.reports.writing import write_text

    for result in results:
        page = student_page(result, title, names.get(result.student, ""), solutions=solutions)
        write_text(folder / f"{result.student}.md", page)
