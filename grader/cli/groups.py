"""Groups of commands: imported when they are used, told apart from slips, and clear about what is not installed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any, ClassVar

import click

from grader.errors import CourseError


class CommandGroup(click.Group):
    """Tell an unknown command with the nearest known one, and in one line what an extra of the package would bring."""

    #: the extra that the group's commands need, and the top-level packages it brings; by default none
    extra: ClassVar[str] = ""
    brings: ClassVar[Collection[str]] = ()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], known, 1)
            hint = f" Did you mean `{near[0]}`?" if near else f" `{ctx.command_path} --help` lists the commands."
            _, _, asked = f"{ctx.command_path} {args[0]}".partition(" ")
            raise click.UsageError(f"there is no command `{asked}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in self.brings:
                raise
            raise CourseError(
                f"this needs {error.name}, which is not installed",
                advice=f'Install it with: python -m pip install "unrolled[{self.extra}]"',
            ) from error


class LazyGroup(CommandGroup):
    """Import a command's module only when it is used: `grader --help` must be fast."""

    #: name -> (module, attribute, one line for --help), in the order that --help shows
    table: ClassVar[Mapping[str, tuple[str, str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now."""
        if cmd_name not in self.table:
            return None
        module, attribute, _ = self.table[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self.table.items()])
