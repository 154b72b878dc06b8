"""Right answers written in a way that nobody would recommend: loud, full of warnings, in another default type."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from grader.course.catalog import find_course
from grader.course.reference import read_reference
from tests.conftest import clean_environment, command, told

ROOT = Path(__file__).resolve().parents[1]
COURSE = find_course(ROOT)
QUICK = ("bptt", "lstm")  # what trains takes its time
full = pytest.mark.skipif("UNROLLED_FULL" not in os.environ, reason="takes minutes: set UNROLLED_FULL=1")


class _Loud(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Make each function print and warn before it does anything."""
        self.generic_visit(node)
        documented = 1 if ast.get_docstring(node) is not None else 0
        noise = f"print('in {node.name}')\nwarnings.warn('careful', RuntimeWarning)\nsys.stderr.write('!')"
        node.body[documented:documented] = ast.parse(noise).body
        return node


def _after_imports(source: str, code: str) -> str:
    tree = ast.parse(source)
    last = max(n.end_lineno or 0 for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom))
    lines = source.splitlines()
    return "\n".join([*lines[:last], code, *lines[last:]]) + "\n"


def _loud(source: str) -> str:
    tree = _Loud().visit(ast.parse(source))
    opening = "import sys, warnings\nwarnings.simplefilter('always')\nprint('hello')"
    return _after_imports(ast.unparse(ast.fix_missing_locations(tree)), opening)


def _double(source: str) -> str:
    return _after_imports(source, "torch.set_default_dtype(torch.float64)")


def _points(assignment: str, source: str, folder: Path) -> tuple[float, str]:
    work = folder / "class" / "s001"
    work.mkdir(parents=True)
    (work / f"{assignment}.py").write_text(source, encoding="utf-8")
    argv = command("grade", assignment, work.parent, "--json", "--gradebook", folder / "book.db")
    done = told(argv, cwd=folder, env=clean_environment({"GRADER_COURSE": str(ROOT)}), seconds=900)
    report = next(r for r in done.objects if r.get("student") == "s001")
    lost = [f"{c['id']}: {c['outcome']} {c.get('facts')}" for c in report["checks"] if c["outcome"] != "passed"]
    return report["earned"], "\n".join(lost)


@pytest.mark.parametrize("assignment", QUICK)
def test_one_that_prints_and_warns_a_lot(assignment: str, tmp_path: Path) -> None:
    source = _loud(read_reference(COURSE.assignment(assignment)))
    assert source.count("warnings.warn") > 5
    earned, lost = _points(assignment, source, tmp_path)
    assert earned == 100, lost


@full
@pytest.mark.parametrize("assignment", sorted(set(COURSE.ids) - set(QUICK)))
def test_a_loud_one_that_trains(assignment: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    earned, lost = _points(assignment, _loud(read_reference(COURSE.assignment(assignment))), tmp_path)
    assert earned == 100, lost


@full
@pytest.mark.parametrize("assignment", ["gru_copy", "streamrec"])
def test_another_default_type(assignment: str, tmp_path: Path) -> None:
    """Parameters are float64 by default (the handout of seq2seq says that modules get float32)."""
    pytest.importorskip("torch")
    earned, lost = _points(assignment, _double(read_reference(COURSE.assignment(assignment))), tmp_path)
    assert earned == 100, lost
