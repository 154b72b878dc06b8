"""The group `grader quiz`: its commands are imported when they run."""

from __future__ import annotations

from importlib import import_module

import click

from grader.errors import CourseError

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

#: what the extra `quiz` brings
EXTRA = frozenset({"fsrs", "pylatexenc", "sqlalchemy"})


class LazyQuizGroup(click.Group):
    """Import a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(QUIZ_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now."""
        if cmd_name not in QUIZ_COMMANDS:
            return None
        module, attribute, _ = QUIZ_COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Tell an unknown command with the nearest known one."""
        if args and args[0] not in QUIZ_COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], QUIZ_COMMANDS, 1)
            hint = f" Did you mean `{near[0]}`?" if near else " `grader quiz --help` lists the commands."
            raise click.UsageError(f"there is no command `quiz {args[0]}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; tell in one line what the extra `quiz` would bring."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in EXTRA:
                raise
            raise CourseError(
                f"this needs {error.name}, which is not installed",
                advice='Install it with: python -m pip install "unrolled[quiz]"',
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in QUIZ_COMMANDS.items()])


@click.group(cls=LazyQuizGroup, context_settings={"help_option_names": ["-h", "--help"]})
def quiz() -> None:
    """Quizzes: banks of questions with marked answers.

    \b
    Example:
      grader quiz list
      grader quiz check foundations --strict
    """
