"""Measure autograding on nbgrader: its own command with tests in the notebook, beside ours, on the same class.

Run `python benchmarks/nbgrader.py [--class-size 40] [--assignment bptt]`. All figures come from one run on one machine:

- stock: plain `nbgrader autograde` in a course folder without our settings. The notebook holds the same hidden checks:
  its first cell with points runs them all, in the kernel and without any isolation; the others look their points up
- ours, plain: `nbgrader autograde` in a folder made by `grader nbgrader init`, every submission graded in the sandbox
- ours, class: `grader nbgrader autograde`, likewise

Mutants' evidence is at hand for ours, as it is after the first wrong submission of a course. Both are started once for
the class; seconds are those of the whole command, divided by the size of the class.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from grader.course.assignment import Assignment
from grader.course.catalog import find_course
from grader.course.mutants import apply_mutant, load_mutants
from grader.course.reference import read_reference
from grader.exchange.nbgrader.source import source_notebook

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

#: what stands in the first cell with points of the stock notebook; @...@ are filled in
IN_KERNEL = '''
import contextlib, io, types
from pathlib import Path
from grader.checking.examiner import with_suite
from grader.course.loading import load_assignment
from grader.sandbox.faults import StudentRaised
from grader.sandbox.limits import Meter


class Direct:
    """The interface of a session on this very kernel: no worker, no wire, no limit."""

    def __init__(self, assignment):
        self.meter, self.replies, self.load_failures = Meter(assignment.limits), 0, []
        self.defined = frozenset(globals())

    def load(self): pass
    def begin_check(self): self.replies = 0
    def take_output(self): return ""
    def close(self): pass
    def limit(self, *, cpu_seconds): return contextlib.nullcontext()

    def request(self, operation, target, *arguments):
        if operation == "attribute":
            return globals()[arguments[0]]
        args, kwargs, _, back = arguments
        function = globals()[target] if isinstance(target, str) else target
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            raise StudentRaised("raised", "raised", type_name=type(error).__name__, message="", line=0, label="")
        self.replies += 1
        return (result, list(args)) if back else result


POINTS = {}


def use(suite):
    results = suite.run(Direct(assignment), 7)
    for check in suite.checks:
        earned = check.points if results[check.id]["outcome"] == "passed" else 0.0
        POINTS[check.part] = POINTS.get(check.part, 0.0) + earned


assignment = load_assignment(Path(@FOLDER@), Path(@SECRET@))
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    with_suite(Path(@SECRET@) / "test_hidden.py", assignment, use)
'''


def filled(notebook: str, source: str) -> str:
    """Return a notebook with a module's definitions in their cells and the rest in its first code cell."""
    book = json.loads(notebook)
    lines = source.split("\n")
    cells = {c["metadata"].get("nbgrader", {}).get("grade_id", ""): c for c in book["cells"]}
    used: set[int] = set()
    for node in ast.parse(source).body:
        cell = cells.get(f"solution-{getattr(node, 'name', '')}")
        if cell is not None:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
            used.update(range(first, node.end_lineno or node.lineno))
            cell["source"] = "\n".join(lines[first : node.end_lineno])
    plain = next(c for c in book["cells"] if c["cell_type"] == "code" and not c["metadata"].get("nbgrader"))
    rest = "\n".join(line for number, line in enumerate(lines) if number not in used)
    plain["source"] = rest + "\n" + "".join(plain["source"])  # code that is given in other cells may need it
    return json.dumps(book)


def stock_notebook(assignment: Assignment) -> str:
    """Return the source notebook with the hidden checks in its cells with points."""
    book = json.loads(source_notebook(assignment))
    graded = [c for c in book["cells"] if c["metadata"].get("nbgrader", {}).get("grade")]
    start = IN_KERNEL.replace("@FOLDER@", repr(str(assignment.folder))).replace(
        "@SECRET@", repr(str(assignment.secret))
    )
    # the first cell that is run must come after all answers
    book["cells"] = [c for c in book["cells"] if c not in graded] + graded
    for number, cell in enumerate(graded):
        part = cell["metadata"]["nbgrader"]["grade_id"].removeprefix("part-")
        cell["source"] = (start if number == 0 else "") + f"\nPOINTS[{part!r}]"
    return json.dumps(book)


def run(command: list[str], cwd: Path, env: dict[str, str]) -> tuple[float, float]:
    """Run a command to its end; return its wall seconds and the CPU seconds of all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    wall = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def totals(folder: Path) -> dict[str, float]:
    """Return the sum of the scores of each student."""
    query = """SELECT a.student_id, SUM(g.auto_score) FROM grade g JOIN submitted_notebook n ON n.id = g.notebook_id
        JOIN submitted_assignment a ON a.id = n.assignment_id GROUP BY 1"""
    with sqlite3.connect(folder / "gradebook.db") as raw:
        return dict(raw.execute(query).fetchall())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assignment", default="bptt")
    parser.add_argument("--class-size", type=int, default=40)
    parser.add_argument("--state", type=Path, help="a state folder whose evidence of mutants is copied, to save time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    course = find_course()
    assignment = course.assignment(arguments.assignment)
    assert assignment.secret is not None, "the benchmark needs the solutions"
    reference = read_reference(assignment)
    twins = [p.read_text(encoding="utf-8") for p in sorted((assignment.secret / "twins").glob("*.py"))]
    # mutants that end by a time limit would measure the limit
    mutants = [
        apply_mutant(m, reference) for m in load_mutants(assignment) if not any("cost" in c for c in m.caught_by)
    ]
    pool = [reference, *twins, *mutants]
    size = arguments.class_size
    sources = {f"s{i:03d}": pool[i * max(len(pool) // size, 1) % len(pool)] for i in range(size)}
    with tempfile.TemporaryDirectory(prefix="unrolled-bench-") as temporary:
        top = Path(temporary)
        # the course in a folder of its own state, so that nobody's gradebook is touched
        programs = str(Path(sys.executable).parent)
        env: dict[str, str] = {
            **os.environ,
            **THREADS,
            "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")]),
            "GRADER_STATE": str(top / "state"),
            "GRADER_COURSE": str(course.root),
            "HOME": str(top),
        }
        nbgrader = [sys.executable, "-m", "nbgrader"]
        grader = [sys.executable, "-P", "-m", "grader", "nbgrader"]
        folders = {"stock": top / "stock", "ours, plain": top / "plain", "ours, class": top / "class"}
        for name, folder in folders.items():
            if name == "stock":
                (folder / "source" / assignment.id).mkdir(parents=True)
                text = stock_notebook(assignment)
                (folder / "source" / assignment.id / assignment.notebook).write_text(text, encoding="utf-8")
                settings = 'c = get_config()\nc.CourseDirectory.course_id = "rnn"\nc.Execute.timeout = 120\n'
                (folder / "nbgrader_config.py").write_text(settings, encoding="utf-8")
            else:
                run([*grader, "init", str(folder), "--course-id", "rnn"], top, env)
            run([*nbgrader, "generate_assignment", assignment.id], folder, env)
            released = (folder / "release" / assignment.id / assignment.notebook).read_text(encoding="utf-8")
            for student, source in sources.items():
                place = folder / "submitted" / student / assignment.id
                place.mkdir(parents=True)
                (place / assignment.notebook).write_text(filled(released, source), encoding="utf-8")
        # the evidence of the mutants is made once for a course
        if arguments.state:
            shutil.copytree(arguments.state, top / "state", dirs_exist_ok=True)
            (top / "state" / "gradebook.db").unlink(missing_ok=True)
        (top / "warm" / "s").mkdir(parents=True)
        (top / "warm" / "s" / assignment.module).write_text(mutants[0], encoding="utf-8")
        warm = [sys.executable, "-P", "-m", "grader", "grade", assignment.id, str(top / "warm"), "--quiet"]
        warm_wall, warm_cpu = run(warm, top, env)
        figures: dict[str, tuple[float, float]] = {}
        autograde: dict[str, Any] = {key: [*nbgrader, "autograde", assignment.id] for key in folders}
        autograde["ours, class"] = [*grader, "autograde", assignment.id, "--quiet", "--jobs", str(arguments.jobs)]
        for name, folder in folders.items():
            figures[name] = run(autograde[name], folder, env)
            (top / "state" / "gradebook.db").unlink(missing_ok=True)  # neither of ours finds the other's reports
            shutil.rmtree(top / "state" / "figures", ignore_errors=True)
        found = {name: totals(folder) for name, folder in folders.items()}
        assert found["ours, plain"] == found["ours, class"], "the two commands of ours differ"
        apart = sum(abs(found["stock"][s] - found["ours, plain"][s]) > 1e-6 for s in sources)
    print(f"{size} submissions of {assignment.id}, {arguments.jobs} jobs; seconds per submission")
    base = figures["stock"]
    for name, (wall, cpu) in figures.items():
        faster = f"{base[0] / wall:6.1f} x faster ({base[1] / cpu:.1f} x less CPU)" if name != "stock" else ""
        print(f"  {name:<12} wall {wall / size:7.3f}   CPU {cpu / size:7.3f} {faster}")
    print(f"  the mutants' evidence, once: wall {warm_wall:.1f}, CPU {warm_cpu:.1f}")
    print(f"  scores that differ between stock and ours (other inputs, no limits in stock): {apart} of {size}")


if __name__ == "__main__":
    main()
