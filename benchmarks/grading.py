"""Measure what grading costs: CPU seconds per submission of `grader grade`, beside a floor and a peer.

Run `python benchmarks/grading.py [--class-size 100] [--peer 10]`. All figures come from one run on one machine:

- floor: the same hidden suite, plugin included, in one warm process without any isolation
- peer: one `pytest` process for each submission, without a sandbox
- cold: `grader grade` with an empty state, so that the mutants' evidence is computed too
- warm: the same class graded anew with that evidence at hand
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grader.course.catalog import find_course
from grader.course.mutants import apply_mutant, load_mutants
from grader.course.reference import read_reference

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

FLOOR = '''
import json, resource, sys, types
from pathlib import Path
from grader.course.loading import load_assignment
from grader.checking.examiner import with_suite
from grader.sandbox.faults import StudentRaised
from grader.sandbox.limits import Meter


class Direct:
    """The interface of a session, in the same process: no worker, no wire, no limit."""

    def __init__(self, assignment, source):
        self.meter = Meter(assignment.limits)
        self.replies = 0
        self.load_failures = []
        self.module = sys.modules["submission"] = types.ModuleType("submission")  # dataclasses ask for it
        exec(compile(source, "submission", "exec"), self.module.__dict__)
        self.defined = frozenset(self.module.__dict__)

    def load(self): pass
    def begin_check(self): self.replies = 0
    def take_output(self): return ""
    def close(self): pass

    def limit(self, *, cpu_seconds):
        import contextlib
        return contextlib.nullcontext()

    def request(self, operation, target, *arguments):
        if operation == "attribute":
            return getattr(self.module, arguments[0])
        args, kwargs, _, back = arguments
        function = getattr(self.module, target) if isinstance(target, str) else target
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            raise StudentRaised("raised", "raised", type_name=type(error).__name__, message="", line=0, label="")
        self.replies += 1
        return (result, list(args)) if back else result


folder, secret, files = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
assignment = load_assignment(folder, secret)


def use(suite):
    suite.run(Direct(assignment, Path(files[0]).read_text()), 7)  # warm
    before = resource.getrusage(resource.RUSAGE_SELF)
    for file in files:
        suite.run(Direct(assignment, Path(file).read_text()), 7)
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


with_suite(secret / "test_hidden.py", assignment, use)
'''


def _cpu(command: Sequence[str], **options: Any) -> tuple[float, float, str]:
    """Run a command; return CPU seconds of it and all that it waited for, wall seconds, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    environment = {**os.environ, **THREADS, **options.pop("env", {})}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, **options)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command[:6])} ... ended with {done.returncode}:\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assignment", default="bptt")
    parser.add_argument("--class-size", type=int, default=100)
    parser.add_argument("--peer", type=int, default=10, help="submissions of the class that the peer runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    course = find_course()
    assignment = course.assignment(arguments.assignment)
    assert assignment.secret is not None, "the benchmark needs the solutions"
    reference = read_reference(assignment)
    twins = [p.read_text(encoding="utf-8") for p in sorted((assignment.secret / "twins").glob("*.py"))]
    # mutants that end by a time limit would measure the limit, not the grader
    slow = {"cost"}
    mutants = [
        apply_mutant(m, reference)
        for m in load_mutants(assignment)
        if not any(word in check for check in m.caught_by for word in slow)
    ]
    pool = [reference, *twins, *mutants]
    sources = [pool[i * max(len(pool) // arguments.class_size, 1) % len(pool)] for i in range(arguments.class_size)]
    n = len(sources)
    with tempfile.TemporaryDirectory(prefix="unrolled-bench-") as temporary:
        folder = Path(temporary) / "class"
        files = []
        for number, source in enumerate(sources):
            place = folder / f"s{number:03d}"
            place.mkdir(parents=True)
            (place / assignment.module).write_text(source, encoding="utf-8")
            files.append(str(place / assignment.module))
        grade = [
            sys.executable,
            "-P",
            "-m",
            "grader",
            "--course",
            str(course.root),
            "grade",
            assignment.id,
            str(folder),
        ]
        options = ["--jobs", str(arguments.jobs), "--json", "--quiet"]
        state = {"GRADER_STATE": str(Path(temporary) / "state")}
        cold, cold_wall, _ = _cpu([*grade, *options], env=state)
        warm, warm_wall, _ = _cpu([*grade, *options, "--fresh"], env=state)
        _, _, floor_out = _cpu(
            [sys.executable, "-P", "-c", FLOOR, str(assignment.folder), str(assignment.secret), *files]
        )
        floor = float(floor_out.strip().splitlines()[-1])
        suite = str(assignment.secret / "test_hidden.py")
        peer = sum(
            _cpu(
                [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", suite, "--submission", file],
                cwd=course.root,
            )[0]
            for file in files[:: max(n // arguments.peer, 1)][: arguments.peer]
        )
        peer_each = peer / min(arguments.peer, n)
    print(f"{n} submissions of {assignment.id}, {arguments.jobs} jobs; CPU seconds per submission")
    print(f"  floor, one warm process, no isolation       {floor / n:8.3f}   (its start and imports aside)")
    print(f"  grader grade, warm, everything included     {warm / n:8.3f}   {warm / floor:5.2f} x floor")
    print(f"  grader grade, cold, mutants included        {cold / n:8.3f}   {cold / floor:5.2f} x floor")
    print(f"  one pytest process each                     {peer_each:8.3f}   {peer_each / (warm / n):5.2f} x warm")
    print(f"wall seconds for the class: warm {warm_wall:.1f}, cold {cold_wall:.1f}")


if __name__ == "__main__":
    main()
