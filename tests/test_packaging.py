"""What ships: the wheel carries the package and the course, no secret, and is enough for a student by itself."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalog import find_course
from grader.course.stub import leaks, solution_lines

ROOT = Path(__file__).resolve().parents[1]
COURSE = "grader/_course"
#: names of files that only exist in solutions/
SECRET_NAMES = {"test_hidden.py", "mutants.yaml", "figures.py"}
SECRET_NAMES |= {"exam1.yaml", "exam1.lock.json", "exam1.py", "midterm.yaml"}


@dataclass(frozen=True)
class Shipped:
    """A wheel or an sdist: where it lies, and its files by name (an sdist's without the leading folder)."""

    path: Path
    files: dict[str, bytes]


def clean_environment(processes: Any, **extra: str) -> dict[str, str]:
    """Return the environment of a stranger's shell: nothing of this project's environment is in it."""
    left_out = ("VIRTUAL_ENV", "PYTHONHOME")
    return {key: value for key, value in processes.clean_environment(extra).items() if key not in left_out}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, processes: Any) -> tuple[Shipped, Shipped]:
    """Build the sdist, and the wheel from that sdist, as a release does; return (wheel, sdist)."""
    out = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, env=clean_environment(processes), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name: archive.read(name) for name in archive.namelist()}
    in_sdist = {}
    with tarfile.open(sdist) as packed:
        for member in packed.getmembers():
            assert member.isfile() or member.isdir(), member.name
            stream = packed.extractfile(member)
            if stream is not None:
                in_sdist[member.name.partition("/")[2]] = stream.read()
    return Shipped(wheel, in_wheel), Shipped(sdist, in_sdist)


@pytest.fixture(scope="session", params=["wheel", "sdist"])
def shipped(built: tuple[Shipped, Shipped], request: pytest.FixtureRequest) -> Shipped:
    """The wheel, then the sdist."""
    return built[["wheel", "sdist"].index(request.param)]


def readable(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield every file, and what lies inside those that are archives themselves."""
    for name, content in files.items():
        yield name, content
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for member in archive.namelist():
                    yield f"{name}:{member}", archive.read(member)


# --- what is in it ----------------------------------------------------------------------------------------


def test_wheel_carries_the_package_and_the_course(built: tuple[Shipped, Shipped]) -> None:
    files = built[0].files
    for path in (ROOT / "grader").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in files
    assert "grader/checking/suite.ini" in files
    assert f"{COURSE}/assignments/misconceptions.yaml" in files
    for assignment in find_course(ROOT).assignments():
        for name in ("assignment.yaml", "README.md", "test_public.py", "preview.npz"):
            assert f"{COURSE}/assignments/{assignment.id}/{name}" in files
        for name in (assignment.module, assignment.notebook):
            assert f"{COURSE}/assignments/{assignment.id}/{name}" in files
    for path in (ROOT / "quizzes").rglob("*.*"):
        assert f"{COURSE}/{path.relative_to(ROOT).as_posix()}" in files
    top = {name.split("/")[0] for name in files}
    assert {name for name in top if not name.endswith(".dist-info")} == {"grader"}


def test_sdist_carries_what_a_wheel_is_built_from(built: tuple[Shipped, Shipped]) -> None:
    wheel, sdist = built
    assert {"pyproject.toml", "README.md", "LICENSE", "docs/student.md"} <= sdist.files.keys()
    # the wheel was built from the sdist, so all of it is there
    for name, content in wheel.files.items():
        if ".dist-info/" not in name:
            assert sdist.files[name.removeprefix(f"{COURSE}/")] == content


def test_metadata(built: tuple[Shipped, Shipped]) -> None:
    text = next(content for name, content in built[0].files.items() if name.endswith(".dist-info/METADATA")).decode()
    needed = set(re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", text, re.MULTILINE))
    assert needed == {"click", "numpy", "pydantic", "pytest", "pyyaml", "rapidfuzz", "rich"}
    assert "Name: unrolled\n" in text
    assert "Requires-Python: >=3.11\n" in text
    points = next(content for name, content in built[0].files.items() if name.endswith("entry_points.txt")).decode()
    assert "grader = grader.cli.main:run" in points


# --- what is not in it ------------------------------------------------------------------------------------


def test_no_file_of_the_solutions(shipped: Shipped) -> None:
    names = [name for name, _ in readable(shipped.files)]
    assert [name for name in names if "solutions" in Path(name).parts or "twins" in Path(name).parts] == []
    # the package's own reports/figures.py draws; an assignment's knows the reference
    assert [name for name in names if Path(name).name in SECRET_NAMES and "assignments" in Path(name).parts] == []
    assert [name for name in names if Path(name).name in SECRET_NAMES - {"figures.py"}] == []
    own = {path.read_bytes() for path in (ROOT / "solutions").rglob("*") if path.is_file() and path.stat().st_size}
    assert [name for name, content in readable(shipped.files) if content in own] == []


def test_no_three_lines_of_any_solution(shipped: Shipped) -> None:
    references = {path.name: path / f"{path.name}.py" for path in (ROOT / "solutions").iterdir()}
    regions = [
        region
        for path in references.values()
        if path.is_file()
        for region in solution_lines(path.read_text(encoding="utf-8"), str(path))
    ]
    assert regions
    texts = {name: content.decode("utf-8", errors="replace") for name, content in readable(shipped.files)}
    assert {name: found for name, text in texts.items() if (found := leaks(regions, text))} == {}


def test_a_leak_would_be_found(built: tuple[Shipped, Shipped]) -> None:
    """The search above sees a solution in a file, in a notebook, and inside an archive."""
    reference = (ROOT / "solutions/bptt/bptt.py").read_text(encoding="utf-8")
    regions = solution_lines(reference)
    lines = max(regions, key=len)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", "\n".join(lines))
    found = {
        name
        for name, content in readable({"plain.py": reference.encode(), "packed.npz": buffer.getvalue()})
        if leaks(regions, content.decode("utf-8", errors="replace"))
    }
    assert found == {"plain.py", "packed.npz:inner.txt"}


def test_no_path_of_this_machine(shipped: Shipped) -> None:
    places = {str(ROOT), sys.prefix, str(Path(sys.executable).resolve().parent), os.path.expanduser("~")}
    # a folder that stands at the top (/root, /app) may be named for what it is; what lies in one may not
    telling = [place.encode() + b"/" for place in places if place.count("/") > 1]
    assert telling
    found = [(name, place) for name, content in readable(shipped.files) for place in telling if place in content]
    assert found == []


def test_no_state_and_no_cache(shipped: Shipped) -> None:
    left = (".grader", "__pycache__", ".ipynb_checkpoints", ".git", ".venv", "tests", "demo-class")
    assert [name for name in shipped.files if set(Path(name).parts) & set(left) or name.endswith((".pyc", ".db"))] == []


# --- the wheel by itself ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bare(built: tuple[Shipped, Shipped], tmp_path_factory: pytest.TempPathFactory, processes: Any) -> Path:
    """Return the `grader` of a new environment with the wheel and the base install, and nothing else."""
    place = tmp_path_factory.mktemp("bare") / "env"
    environment = clean_environment(processes)
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, capture_output=True, env=environment)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    pins = ["-c", str(ROOT / "constraints.txt")]
    base = ["click", "numpy", "pydantic", "pytest", "pyyaml", "rapidfuzz", "rich"]
    got = subprocess.run([*pip, *pins, *base], capture_output=True, text=True, env=environment, timeout=600)
    if got.returncode:
        last = (got.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        pytest.skip(f"the base install cannot be downloaded here: {last}")
    # what is missing now was forgotten in the metadata, or above
    wheel = [*pip, "--no-index", str(built[0].path)]
    done = subprocess.run(wheel, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return python.parent / "grader"


@pytest.fixture
def student(bare: Path, tmp_path: Path, processes: Any) -> Callable[..., Any]:
    """Run the installed `grader` as a student does, outside of this project."""

    def run(*arguments: str | Path) -> Any:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environment = clean_environment(processes, HOME=str(home))
        return processes.told([str(bare), *map(str, arguments)], cwd=tmp_path, env=environment)

    return run


def test_bare_environment_is_bare(bare: Path) -> None:
    code = "import importlib.util as u; print([n for n in ('torch', 'sqlalchemy', 'matplotlib') if u.find_spec(n)])"
    done = subprocess.run([str(bare.parent / "python"), "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_wheel_alone_serves_a_student(student: Callable[..., Any], bare: Path, tmp_path: Path, processes: Any) -> None:
    listed = student("list")
    assert listed.code == 0, listed.err
    for assignment in find_course(ROOT).assignments():
        assert f"{assignment.id} " in listed.out
        assert assignment.title in listed.out

    started = student("start", "bptt")
    assert started.code == 0, started.err
    assert sorted(path.name for path in (tmp_path / "bptt").iterdir()) == [
        "README.md",
        "bptt.ipynb",
        "bptt.py",
        "test_public.py",
    ]

    stub = student("check", "bptt")
    assert stub.code == 1, stub.err
    counts = re.search(r"^0 of (\d+) public checks passed, (\d+) not attempted yet\.$", stub.out, re.MULTILINE)
    assert counts, stub.out
    assert counts[1] == counts[2]
    assert int(counts[1]) > 10

    reference = (ROOT / "solutions/bptt/bptt.py").read_text(encoding="utf-8")
    (tmp_path / "bptt" / "bptt.py").write_text(reference, encoding="utf-8")
    right = student("check", "bptt")
    assert right.code == 0, right.out + right.err

    # docs/student.md: the public checks are ordinary pytest
    plain = [str(bare.parent / "python"), "-m", "pytest", "-q", "bptt"]
    by_pytest = processes.told(plain, cwd=tmp_path, env=clean_environment(processes, HOME=str(tmp_path / "home")))
    assert by_pytest.code == 0, by_pytest.out
    assert f"{counts[1]} passed" in by_pytest.out

    handed_in = student("submit", "bptt", "--student", "s001")
    assert handed_in.code == 0, handed_in.err
    assert "SHA-256" in handed_in.out
    with zipfile.ZipFile(tmp_path / "bptt-s001.zip") as archive:
        assert archive.namelist() == ["bptt.py"]
        assert archive.read("bptt.py").decode() == reference


def test_wheel_alone_knows_the_known_mistakes(student: Callable[..., Any], tmp_path: Path) -> None:
    assert student("start", "bptt").code == 0
    reference = (ROOT / "solutions/bptt/bptt.py").read_text(encoding="utf-8")
    right = "return da @ W_hh\n"
    assert reference.count(right) == 1
    wrong = reference.replace(right, "return np.matmul(da, np.swapaxes(W_hh, 0, 1))\n")
    (tmp_path / "bptt" / "bptt.py").write_text(wrong, encoding="utf-8")
    told = student("check", "bptt")
    assert told.code == 1
    assert "carry uses W_hh the way the forward pass does" in told.out


def test_what_the_wheel_cannot_do_is_told_in_one_line(student: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "bptt.py").write_text("x = 1\n", encoding="utf-8")
    for arguments in (("grade", "bptt", "work"), ("verify", "bptt"), ("build", "bptt")):
        told = student(*arguments)
        assert told.code == 1
        assert "not installed here" in told.error
    laid = student("new", "assignment", "mine")
    assert laid.code == 1
    assert "the installed course cannot be added to" in laid.error
