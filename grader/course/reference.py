"""The reference solution of an assignment: where it lies, what it says, and that it defines what is asked."""

from __future__ import annotations

import ast
from pathlib import Path

from grader.course.assignment import Assignment
from grader.course.files import read_text
from grader.course.spelling import suggestion
from grader.errors import CourseError


def secret_folder(assignment: Assignment) -> Path:
    """Return the folder of the reference and the hidden suite; raise CourseError if not installed."""
    if assignment.secret is None:
        raise CourseError(
            f"the solutions of `{assignment.id}` are not installed here",
            where=assignment.folder,
            advice="Grading and building need the course's own folder, with solutions/ beside assignments/.",
        )
    return assignment.secret


def reference_path(assignment: Assignment) -> Path:
    """Return the path of the reference; raise CourseError where the solutions are not installed."""
    return secret_folder(assignment) / assignment.module


def read_reference(assignment: Assignment) -> str:
    """Return the reference's source, markers included; raise CourseError.

    It must parse, and define every name that assignment.yaml declares: a `class` as a class, the others as
    anything but a class.
    """
    path = reference_path(assignment)
    source = read_text(path)
    tree = parse_source(source, str(path))
    found = dict(_definitions(tree.body))
    for name, spec in assignment.names.items():
        if name not in found:
            raise CourseError(
                f"the reference does not define `{name}`, which assignment.yaml declares",
                where=path,
                advice=suggestion(name, found, "definitions"),
            )
        if (spec == "class") != isinstance(found[name], ast.ClassDef):
            kinds = ("a class", "no class") if spec == "class" else ("no class", "a class")
            raise CourseError(
                f"assignment.yaml declares `{name}` as {kinds[0]}, but it is {kinds[1]} here",
                where=f"{path}:{found[name].lineno}",
            )
    return source


def parse_source(source: str, filename: str) -> ast.Module:
    """Return the syntax tree of Python source; raise CourseError at filename:line when it does not parse."""
    try:
        return ast.parse(source, filename)
    except SyntaxError as error:
        raise CourseError(f"this is not valid Python: {error.msg}", where=f"{filename}:{error.lineno or 1}") from None
    except (ValueError, RecursionError) as error:
        raise CourseError(f"this is not valid Python: {error}", where=filename) from None


def _definitions(body: list[ast.stmt]) -> list[tuple[str, ast.stmt]]:
    """Return what the statements of a module define at its top level, in order."""
    found: list[tuple[str, ast.stmt]] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append((node.name, node))
        elif isinstance(node, ast.Assign):
            found += [(target.id, node) for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append((node.target.id, node))
    return found
