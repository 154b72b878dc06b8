"""What is generated is current in this course, what is stale is found, and a new assignment can be laid and proved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.course.building import generated_files, stale
from grader.course.catalog import Course, find_course
from grader.course.stub import BANNER, leaks, solution_lines

ROOT = Path(__file__).resolve().parents[1]
IDS = find_course(ROOT).ids


@pytest.fixture
def copied(tmp_path: Path) -> Course:
    """A copy of this course's two trees, which a test may edit."""
    for tree in ("assignments", "solutions"):
        shutil.copytree(ROOT / tree, tmp_path / tree, ignore=shutil.ignore_patterns("__pycache__"))
    return Course(tmp_path, tmp_path / ".grader")


# --- this course ------------------------------------------------------------------------------------------


def test_there_are_assignments() -> None:
    assert "bptt" in IDS


@pytest.mark.parametrize("name", IDS)
def test_stub_and_notebook_are_current(name: str) -> None:
    """The preview, which needs the sandbox and every mutant, is left to `grader build --check`."""
    assert stale(generated_files(find_course(ROOT).assignment(name))) == []


@pytest.mark.parametrize("name", IDS)
def test_generated_files_say_so(name: str) -> None:
    assignment = find_course(ROOT).assignment(name)
    stub = (assignment.folder / assignment.module).read_text(encoding="utf-8")
    assert stub.splitlines()[0] == BANNER
    notebook = json.loads((assignment.folder / assignment.notebook).read_text(encoding="utf-8"))
    assert BANNER.lstrip("# ") in "".join(notebook["cells"][0]["source"])
    assert notebook["metadata"]["unrolled"]["generated"] == BANNER.lstrip("# ")


@pytest.mark.parametrize("name", IDS)
def test_nothing_that_students_get_holds_the_solution(name: str) -> None:
    assignment = find_course(ROOT).assignment(name)
    assert assignment.secret is not None
    regions = solution_lines((assignment.secret / assignment.module).read_text(encoding="utf-8"))
    files = [path for path in assignment.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {assignment.module, assignment.notebook, "README.md", "test_public.py"} <= {path.name for path in files}
    for path in files:
        assert leaks(regions, path.read_text(encoding="utf-8", errors="replace")) == [], path


# --- stale files ------------------------------------------------------------------------------------------


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "old", "new", "expected"),
    [
        ("assignments/bptt/bptt.py", "import numpy as np", "import numpy", ["bptt.py"]),
        ("assignments/bptt/bptt.ipynb", "import numpy as np", "import numpy", ["bptt.ipynb"]),
        (
            "solutions/bptt/bptt.py",
            "import numpy as np\n",
            "import numpy as np\n\nEXTRA = 1\n",
            ["bptt.ipynb", "bptt.py"],
        ),
        ("assignments/bptt/assignment.yaml", "title: The masked loss", "title: The loss", ["bptt.ipynb"]),
    ],
)
def test_an_edit_makes_stale(copied: Course, place: str, old: str, new: str, expected: list[str]) -> None:
    assert stale(generated_files(copied.assignment("bptt"))) == []
    edit(copied.root / place, old, new)
    assert sorted(path.name for path in stale(generated_files(copied.assignment("bptt")))) == expected


def test_what_only_the_solution_changes_is_not_stale(copied: Course) -> None:
    edit(copied.root / "solutions/bptt/bptt.py", "### END SOLUTION", "# another word\n    ### END SOLUTION")
    assert stale(generated_files(copied.assignment("bptt"))) == []


def test_missing_files_are_stale(copied: Course) -> None:
    (copied.root / "assignments/bptt/bptt.ipynb").unlink()
    assert [path.name for path in stale(generated_files(copied.assignment("bptt")))] == ["bptt.ipynb"]


def test_build_check_names_what_is_stale_and_writes_nothing(tiny: Any, grader: Callable[..., Any]) -> None:
    fresh = grader("build", "leaky", "--check")
    assert (fresh.code, fresh.out, fresh.err) == (0, "leaky: up to date\n", "")

    # another public check changes what the mutants answer there, a signature changes stub and notebook
    tiny.edit("test_public.py", "np.zeros(5)", "np.zeros(6)")
    tiny.edit("test_public.py", "np.arange(1, 6)", "np.arange(1, 7)")
    edit(tiny.secret / "leaky.py", "def step(x, h, a):", "def step(x, h, a=0.5):")
    before = {path: path.read_bytes() for path in tiny.folder.iterdir()}
    found = grader("build", "leaky", "--check")
    assert found.code == 1
    lines = found.err.splitlines()
    assert sorted(Path(line.removeprefix("stale: ").split(";")[0]).name for line in lines) == [
        "leaky.ipynb",
        "leaky.py",
        "preview.npz",
    ]
    assert all(line.endswith("run `grader build leaky`") for line in lines)
    assert {path: path.read_bytes() for path in tiny.folder.iterdir()} == before

    assert grader("build", "leaky").code == 0
    assert grader("build", "leaky", "--check").code == 0
    assert "def step(x, h, a=0.5):" in (tiny.folder / "leaky.py").read_text(encoding="utf-8")


# --- a new assignment -------------------------------------------------------------------------------------


def test_a_new_assignment_is_laid_built_and_proved(tiny: Any, grader: Callable[..., Any], tmp_path: Path) -> None:
    laid = grader("new", "assignment", "gru_words", "--title", "A GRU that counts words")
    assert laid.code == 0, laid.err
    assert "Next: grader build gru_words && grader verify gru_words" in laid.out

    built = grader("build", "gru_words")
    assert built.code == 0, built.err
    assert (tiny.root / "assignments/gru_words/preview.npz").is_file()
    assert grader("build", "gru_words", "--check").code == 0

    proved = grader("verify", "gru_words", "--seeds", "1", "--checks")
    assert proved.code == 0, proved.out + proved.err
    assert "gru_words: A GRU that counts words" in proved.out
    assert "the suite holds" in proved.out
    assert "FOUND" not in proved.out

    started = grader("start", "gru_words", tmp_path / "mine")
    assert started.code == 0, started.err
    (tmp_path / "mine" / "gru_words.py").write_text(
        (tiny.root / "solutions/gru_words/twins/weights.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    checked = grader("check", tmp_path / "mine")
    assert checked.code == 0, checked.out + checked.err


def test_verify_finds_a_suite_that_is_wrong(tiny: Any, grader: Callable[..., Any]) -> None:
    tiny.edit("test_hidden.py", "weights=[a, 1 - a]", "weights=[1 - a, a]")
    found = grader("verify", "leaky", "--seeds", "1")
    assert found.code == 1
    assert "FOUND reference: test_step failed" in found.out
    assert "FOUND mutant swaps_the_shares" in found.out
    assert "the suite holds" not in found.out
