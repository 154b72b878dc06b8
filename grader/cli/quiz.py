"""The group `grader quiz`: its commands are imported when they run."""

from __future__ import annotations

import click

from grader.cli.groups import LazyGroup

#: command -> (module, attribute, one line for `grader quiz --help`)
QUIZ_COMMANDS: dict[str, tuple[str, str, str]] = {
    "list": ("grader.cli.quiz_authoring", "list_banks", "Show the banks of this course."),
    "take": ("grader.cli.quiz_take", "take", "Answer questions of a bank, with feedback at once."),
    "review": ("grader.cli.quiz_take", "review", "Practise what is due today (spaced repetition)."),
    "serve": ("grader.cli.quiz_web", "serve", "Serve a quiz to browsers."),
    "page": ("grader.cli.quiz_web", "page", "Write a practice page that needs no server."),
    "notebook": ("grader.cli.quiz_notebook", "notebook", "Write questions as a Jupyter notebook."),
    "form": ("grader.cli.quiz_graded", "form", "Write a form without key for each student."),
    "grade": ("grader.cli.quiz_graded", "grade", "Mark the forms that came back."),
    "stats": ("grader.cli.quiz_stats", "stats", "Tell what a class's answers say of the questions."),
    "check": ("grader.cli.quiz_authoring", "check", "Prove banks: keys, wrong answers, texts, variants."),
    "coverage": ("grader.cli.quiz_coverage", "coverage", "Write which question asks about which item of the sources."),
    "schema": ("grader.cli.quiz_authoring", "schema", "Print the JSON Schema of banks, for editors."),
}


class QuizGroup(LazyGroup):
    """The commands of quizzes."""

    table = QUIZ_COMMANDS
    extra = "quiz"
    brings = frozenset({"fsrs", "pylatexenc", "sqlalchemy"})


@click.group(cls=QuizGroup, context_settings={"help_option_names": ["-h", "--help"]})
def quiz() -> None:
    """Quizzes: banks of questions with marked answers.

    \b
    Example:
      grader quiz list
      grader quiz check foundations --strict
    """
