"""Progress of a class: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from grader.cli.options import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from grader.checking.report import Report


class ClassProgress:
    """Counts reports: how many, how fast, how long still, how many lost points or stayed ungraded."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = console(stderr=True)
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total = 0
        self._done = 0
        self._lost = 0
        self._ungraded = 0
        self._started = time.monotonic()

    def begin(self, todo: int, skipped: int) -> None:
        """Announce the work; `skipped` are done already."""
        self._total = todo
        self._started = time.monotonic()
        if self._quiet:
            return
        if skipped:
            self._console.print(f"{skipped} of {todo + skipped} graded already; `--fresh` grades them anew.")
        if todo and self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("grading"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[words]}"),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=todo, rate="", words="")

    def report(self, report: Report) -> None:
        """Count a report."""
        from grader.reports.text import printable

        self._done += 1
        if report.outcome == "ungraded":
            self._ungraded += 1
        elif report.earned < report.possible:
            self._lost += 1
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        words = f"{self._lost} lost points" + (f", {self._ungraded} ungraded" if self._ungraded else "")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, rate=f"{rate:.1f}/s", words=words)
        elif not self._quiet:
            left = (self._total - self._done) / rate
            score = "ungraded" if report.outcome == "ungraded" else f"{report.earned:g}/{report.possible:g}"
            self._console.print(
                f"{self._done}/{self._total} {printable(report.student, 60)}: {score} "
                f"({rate:.1f}/s, {left:.0f} s left, {words})",
                markup=False,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class RunProgress:
    """A bar for work that is only counted; where there is no terminal, only what is said."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, total: int) -> None:
        """Announce how many runs there will be."""
        if not self._console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn(self._title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=total)

    def advance(self) -> None:
        """Count one run."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def say(self, text: str) -> None:
        """Print a line beside the bar, on standard error."""
        from grader.reports.text import printable

        self._console.print(printable(text, 400), markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
