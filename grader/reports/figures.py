"""Figures for each student: drawn by the assignment's `figures.py` from what the student's code really did."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grader.course.assignment import Assignment
from grader.errors import CourseError
from grader.reports.markdown import file_names
from grader.reports.writing import write_text

Drawing = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def load_drawing(assignment: Assignment) -> Drawing:
    """Return the function `figures` of the assignment's figures.py.

    Raise CourseError where the assignment has none, where it cannot be loaded, or where matplotlib is missing.
    """
    path = assignment.secret / "figures.py" if assignment.secret is not None else None
    if path is None or not path.is_file():
        raise CourseError(f"{assignment.id} has no figures", advice="Leave --figures out")
    if importlib.util.find_spec("matplotlib") is None:
        raise CourseError("figures need matplotlib", advice="Install it: pip install 'unrolled[instructor]'")
    import matplotlib

    matplotlib.use("svg")
    spec = importlib.util.spec_from_file_location(f"unrolled_figures_{assignment.id}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        drawing: Drawing = module.figures
    except Exception as error:
        raise CourseError(
            f"the figures cannot be loaded: {type(error).__name__}: {error}", where=path, advice="Repair the file"
        ) from error
    return drawing


def write_figures(
    folder: Path, draw: Drawing, pictures: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, list[Path]], list[str]]:
    """Write `<student>-<name>.svg` for each student and return the paths, and a line for whoever has none.

    `pictures` maps a student to the values by name, as nested lists. A student's odd values cost no one else.
    """
    import io

    import matplotlib.pyplot as plt
    import numpy as np

    # text stays text and ids are the same in every run, so that equal figures are equal files
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "unrolled"}
    stems = {student: name.removesuffix(".md") for student, name in file_names(list(pictures)).items()}
    written: dict[str, list[Path]] = {}
    failures = []
    for student, values in pictures.items():
        try:
            with plt.rc_context(style):
                drawn = draw({name: np.asarray(value) for name, value in values.items()})
                images = {}
                for name, figure in drawn.items():
                    stream = io.StringIO()
                    figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
                    images[name] = stream.getvalue()
        except Exception as error:  # the values are a student's: whatever they do to the drawing is theirs alone
            failures.append(f"No figures of {student}: {type(error).__name__} while drawing them.")
            continue
        finally:
            plt.close("all")
        written[student] = []
        for name, image in images.items():
            path = folder / f"{stems[student]}-{name}.svg"
            write_text(path, image)
            written[student].append(path)
    return written, failures
