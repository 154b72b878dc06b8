"""Commands for everyone: a live demo, and what this machine's sandboxes hold."""

from __future__ import annotations

from pathlib import Path

import click

from grader.cli.options import PATH, console, course_of, jobs_option, number, tier_option


@click.command()
@click.option("--dir", "folder", type=PATH, default=Path("demo-class"), show_default=True, help="Where it all goes.")
@click.option("--assignment", "assignments", multiple=True, help="Only this assignment (may be repeated).")
@jobs_option
@tier_option
@click.pass_context
def demo(ctx: click.Context, folder: Path, assignments: tuple[str, ...], jobs: int, tier: str | None) -> int:
    """Grade made-up classes, live: right, wrong, unfinished and hostile submissions.

    No score is stored anywhere: each class is written from the course's own sources and graded as any other. A class
    has thirty members, or twelve where training a model makes each of them dear. An assignment whose packages are
    not installed is left out, unless it is named.

    \b
    Example:
      grader demo
      grader demo --dir /tmp/demo --assignment bptt
    """
    from importlib.util import find_spec

    from grader.cli.instructor import announce
    from grader.cli.progress import ClassProgress
    from grader.course.misconceptions import load_misconceptions
    from grader.gradebook.store import Gradebook
    from grader.grading.demo import size_of, write_class
    from grader.grading.engine import grade_class, hidden_examination
    from grader.reports.csv_table import write_csv
    from grader.reports.figures import load_drawing, write_figures
    from grader.reports.markdown import write_feedback
    from grader.reports.terminal import class_table
    from grader.submissions.discover import read_submissions

    course = course_of(ctx)
    err = console(stderr=True)
    chosen = [course.assignment(i) for i in assignments]
    for one in [] if chosen else course.assignments():
        absent = [name for name in one.packages if find_spec(name) is None]
        if absent:
            err.print(f"Left out: {one.id} needs {', '.join(absent)} (pip install 'unrolled[torch]').", markup=False)
        else:
            chosen.append(one)
    reading = {key: m.read for key, m in load_misconceptions(course).items()}
    for assignment in chosen:
        examination = hidden_examination(course, assignment, tier=number(tier))
        place = folder / assignment.id
        people = {m.student: m.what for m in write_class(assignment, place / "submissions", size_of(assignment))}
        submissions = read_submissions(assignment, [place / "submissions"])
        with Gradebook.open(folder / "gradebook.db") as book, ClassProgress() as progress:
            result = grade_class(
                examination,
                submissions,
                book,
                jobs=jobs,
                fresh=True,
                on_start=progress.begin,
                on_ready=lambda ready: announce(ready, err),
                on_report=progress.report,
            )
        from dataclasses import replace

        named = [replace(r, name=people[r.student]) for r in result.reports]
        class_table(named, [], console())
        write_csv(place / "grades.csv", named, [])
        drawn: dict[str, list[Path]] = {}
        if result.pictures and find_spec("matplotlib") is not None:
            drawn, _ = write_figures(place / "figures", load_drawing(assignment), result.pictures)
        write_feedback(place / "feedback", result.reports, assignment.title, reading=reading, figures=drawn)
        click.echo(f"\n{assignment.id}: {len(result.reports)} submissions graded.")
        click.echo(f"  submissions  {place / 'submissions'}")
        click.echo(f"  grades       {place / 'grades.csv'}")
        click.echo(f"  feedback     {place / 'feedback'} (one page per student)")
        if drawn:
            click.echo(f"  figures      {place / 'figures'}")
        click.echo(f"  gradebook    {folder / 'gradebook.db'}")
        wrong = next((r.student for r in result.reports if r.diagnosis.hints), None)
        if wrong:
            click.echo(f"Look closer: grader show {assignment.id} {wrong} --gradebook {folder / 'gradebook.db'}")
    return 0


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> int:
    """Try every sandbox of this machine with control attacks, and tell what holds.

    \b
    Exit code: 0 a sandbox holds, 1 none does.

    \b
    Example:
      grader doctor
    """
    import platform

    from grader import __version__
    from grader.sandbox.doctor import ATTACKS, TierReport, advice, examine

    out = console()
    out.print(
        f"unrolled {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}",
        markup=False,
    )

    def tell(report: TierReport) -> None:
        if report.reason is not None:
            out.print(f"\nTier {report.tier} ({report.name}): not available. {report.reason}", markup=False)
            return
        verdict = "holds" if not report.leaks else "DOES NOT HOLD"
        if report.tier == 0:
            verdict = "no protection: practice only"
        out.print(f"\nTier {report.tier} ({report.name}): {verdict}", style="bold", markup=False)
        for name, (what, tiers) in ATTACKS.items():
            got = name in report.succeeded
            word = "possible" if got else "refused"
            if got and report.tier in tiers:
                word = "POSSIBLE, and must not be"
            out.print(f"  {what:<50} {word}", markup=False)

    reports = examine(tell)
    sound = [r for r in reports if r.tier and r.reason is None and not r.leaks]
    out.print("")
    for line in advice(reports):
        out.print(line, markup=False)
    if sound:
        out.print(f"Grading uses tier {sound[0].tier} ({sound[0].name}).", style="bold", markup=False)
        return 0
    out.print(
        "No sandbox holds on this machine: `grader grade` will not run student code.",
        style="bold",
        markup=False,
    )
    return 1
