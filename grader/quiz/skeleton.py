"""A new bank: three questions with an oracle, which pass the check as they are and are meant to be written over."""

from __future__ import annotations

import re
from pathlib import Path

from grader.course.catalog import PACKAGED, Course
from grader.course.files import write_whole
from grader.errors import CourseError
from grader.quiz.blueprint import blueprint_paths
from grader.quiz.loading import bank_paths, load_tags
from grader.quiz.schema import SLUG

_BANK = """# Three questions to begin with. Prove them: grader quiz check {id} --strict
schema: quizbank/1
id: {id}
title: {title}
questions:

- id: dense-count
  type: numeric
  tags: [{tag}]
  level: apply
  difficulty: 1
  source: [notes/1]
  params:
    n: {{choice: [3, 5, 8]}}
    m: {{choice: [4, 6, 10]}}
  variants: {{count: 6, seed: 1}}
  prompt: |
    A dense layer maps vectors of size $m = {{{{m}}}}$ to vectors of size $n = {{{{n}}}}$, with a bias. How many
    parameters has it?
  answer: {{value: "n*m + n", exact: true}}
  oracle: {{call: "{oracle}:dense_count"}}
  wrong:
  - {{value: "n*m", credit: 0.5, feedback: 'The bias is missing.'}}
  hints:
  - {{text: 'How many numbers has the matrix, and how many the bias?', cost: 0.1}}
  explain: |
    The matrix has $n\\,m$ entries and the bias has $n$.

- id: squashed
  type: choice
  tags: [{tag}]
  level: understand
  difficulty: 1
  source: [notes/2]
  prompt: 'Which values can $\\tanh$ take?'
  options:
  - {{id: a, text: 'all numbers', why: 'It squashes: nothing beyond 1 comes out.'}}
  - {{id: b, text: 'those between 0 and 1', why: 'That is the logistic function; $\\tanh$ is odd.'}}
  - {{id: c, text: 'those between -1 and 1', correct: true}}
  explain: |
    It is odd, and it comes near 1 and -1 without reaching them.

- id: traced
  type: output
  tags: [{tag}]
  level: apply
  difficulty: 1
  source: [notes/3]
  params:
    w: {{choice: [0.5, 0.25, 0.75]}}
  prompt: 'What does this program print?'
  code: |
    h = 0.0
    for x in [4, 0]:
        h = {{{{w}}}} * h + x
    print(h)
  answer: {{stdout: "{{{{4*w:.1f}}}}"}}
  explain: |
    The first step makes $h = 4$, the second one multiplies it by {{{{w}}}}.
"""

_ORACLES = '''"""Oracles of the bank {id}: each computes a key another way than the bank's own expression does."""

import numpy as np


def dense_count(n, m):
    """Count the entries of the arrays of a dense layer."""
    return int(np.zeros((n, m)).size + np.zeros(n).size)
'''


def new_bank(course: Course, bank_id: str, title: str | None = None, *, graded: bool = False) -> list[Path]:
    """Lay a new bank and its oracles and return their paths; raise CourseError where one of that name is there."""
    if course.root == PACKAGED:
        advice = "Name a course of your own with --course or GRADER_COURSE."
        raise CourseError("the installed course cannot be added to", advice=advice)
    if not re.fullmatch(SLUG, bank_id):
        raise CourseError(
            f"`{bank_id}` is no id of a bank", advice="Use lower-case letters, digits and single -, first a letter."
        )
    folder = course.root / "solutions" / "quizzes" if graded else course.root / "quizzes"
    oracle = bank_id.replace("-", "_")
    paths = [folder / f"{bank_id}.yaml", folder / "oracles" / f"{oracle}.py"]
    taken = bank_id in bank_paths(course) or bank_id in blueprint_paths(course) or bank_id in course.ids
    there = next((path for path in paths if path.exists()), None)
    if taken or there is not None:
        raise CourseError(f"there is something called `{bank_id}` already", where=there, advice="Choose another id.")
    tag = next(iter(load_tags(course)), "basics")
    words = " ".join((title or bank_id.replace("-", " ").capitalize()).split()).replace("'", "''")
    write_whole(paths[0], _BANK.format(id=bank_id, title=f"'{words}'", tag=tag, oracle=oracle).encode())
    write_whole(paths[1], _ORACLES.format(id=bank_id).encode())
    return paths
