"""`grader quiz notebook`: questions of a bank as a notebook, for practice or for nbgrader."""

from __future__ import annotations

from pathlib import Path

import click

from grader.cli.options import PATH, course_of


@click.command()
@click.argument("bank", metavar="BANK")
@click.option("--out", type=PATH, default=None, metavar="FILE", help="Where to write it (BANK.ipynb if not said).")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only questions with this tag (may be repeated).")
@click.option("--level", "levels", multiple=True, metavar="LEVEL", help="Only questions of this level.")
@click.option("-n", "--n", "count", type=click.IntRange(1), default=None, help="So many questions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draw the questions and variants of this seed.")
@click.option("--nbgrader", "for_nbgrader", is_flag=True, help="Cells for nbgrader: no key, marked after handing in.")
@click.option("--points", type=click.FloatRange(0, 1000), default=1.0, help="Points of a question, with --nbgrader.")
@click.option("--force", is_flag=True, help="Overwrite a notebook that is there: the answers in it are lost.")
@click.pass_context
def notebook(
    ctx: click.Context,
    bank: str,
    out: Path | None,
    tags: tuple[str, ...],
    levels: tuple[str, ...],
    count: int | None,
    seed: int,
    for_nbgrader: bool,
    points: float,
    force: bool,
) -> int:
    """Write questions of BANK as a Jupyter notebook, one cell for each question and one for its answer.

    Answers are literals and are kept in the notebook. For practice a third cell marks the answer when it is run. With
    --nbgrader that cell carries points and no key, and the bank may be a graded one.

    \b
    Example:
      grader quiz notebook foundations
      grader quiz notebook foundations --tag lstm -n 5 --seed 3 --out lstm.ipynb
      grader quiz notebook exam1 --nbgrader --out exam1.ipynb
    """
    from grader.errors import QuizError
    from grader.quiz.asking import items
    from grader.quiz.loading import load_bank, load_practice_bank
    from grader.quiz.notebook import nbgrader_notebook, practice_notebook, secret_seed
    from grader.reports.writing import write_text

    course = course_of(ctx)
    chosen = load_bank(course, bank) if for_nbgrader else load_practice_bank(course, bank)
    start = secret_seed(course, chosen, seed) if for_nbgrader else seed
    drawn = items(chosen, start, tags=tags, levels=levels, n=count)
    if not drawn:
        raise QuizError(
            f"no question of {bank} has these tags and levels", advice=f"Its tags: {', '.join(chosen.tags)}"
        )
    target = out or Path(f"{bank}.ipynb")
    if target.exists() and not force:
        raise QuizError(
            "there is a file of that name, perhaps with answers",
            where=target,
            advice="Name another with --out, or --force.",
        )
    text = nbgrader_notebook(chosen, drawn, points) if for_nbgrader else practice_notebook(chosen, drawn)
    write_text(target, text)
    kind = "for nbgrader, without key" if for_nbgrader else "for practice"
    click.echo(f"{target}: {len(drawn)} question{'' if len(drawn) == 1 else 's'}, {kind}")
    return 0
