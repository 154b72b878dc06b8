"""What a course folder's nbgrader_config.py sets, in one call, so that a new release brings its settings along."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

HERE = "grader.exchange.nbgrader"


def configure(c: Any, course: str, gradebook: str | None = None, state: str | None = None) -> None:
    """Set what nbgrader needs to grade with this package; `c` is traitlets' configuration.

    `course` is the folder that holds assignments/ and solutions/, `state` the folder of its secret and gradebook (by
    default .grader in the course; the variable GRADER_STATE wins), `gradebook` where grades are kept if not there.
    What the configuration sets afterwards wins.
    """
    # nbgrader starts `alembic` by name when it makes its database, also from an environment that is not activated
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    c.HardenedExporter.course = course
    if gradebook is not None:
        c.HardenedExporter.gradebook = gradebook
    if state is not None:
        c.HardenedExporter.state = state
    # what a student handed in is read by us, is put into the official cells, and is never executed
    c.Autograde.exporter_class = f"{HERE}.exporter.HardenedExporter"
    # the exporter has put every cell's metadata in order: nothing is left for nbgrader's own repairs
    c.Autograde.sanitize_preprocessors = []
    c.Autograde.autograde_preprocessors = [
        f"{HERE}.preprocessors.GradeOutside",
        f"{HERE}.preprocessors.SaveScores",
        "nbgrader.preprocessors.AssignLatePenalties",
    ]
    c.GenerateFeedback.preprocessors = [
        f"{HERE}.preprocessors.GetScores",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    c.ExchangeFactory.collect = f"{HERE}.collecting.CollectWithoutLinks"
