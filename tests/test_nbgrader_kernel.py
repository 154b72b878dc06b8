"""The kernelspec `unrolled-sandbox`: nbgrader's own Execute runs notebooks with test cells in a box."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest

from grader.errors import GraderError
from grader.sandbox.bubblewrap import find_program

from .conftest import Told, command, told
from .nbgrader_class import Classroom, clean_environment, environment

pytest.importorskip("nbgrader")
pytest.importorskip("ipykernel")
pytestmark = pytest.mark.skipif(find_program() is None, reason="there is no bubblewrap here")

from grader.exchange.nbgrader import kernel  # noqa: E402  # needs what the lines above look for
from grader.exchange.nbgrader.handed_in import LINK_TEXT  # noqa: E402

SOLUTION = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION\n"
#: test cells of the instructor's own: points for what must work, points for what the box must refuse
TESTS = {
    "right": "assert double(21) == 42",
    "data": "assert open('data.txt').read() == 'given'\nopen('own.txt', 'w').write('x')",
    "socket": (
        "import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 5)\n"
        "except OSError:\n    pass\nelse:\n    raise AssertionError('connected')"
    ),
    "course": (
        "import os\nfor path in {hidden!r}:\n    assert not os.path.exists(path), path\n"
        "assert not [name for name in os.listdir('/tmp') if name.startswith(('pytest', 'nb-'))]\n"
        "assert len(open('link').read()) < 200"
    ),
    "limits": (
        "import resource\nassert resource.getrlimit(resource.RLIMIT_DATA)[0] == 1024 * 2**20\n"
        "try:\n    bytearray(2 * 2**30)\nexcept MemoryError:\n    pass\nelse:\n    raise AssertionError('memory')"
    ),
    "namespaces": (
        "import subprocess\nassert subprocess.run(['unshare', '--user', 'true'], stderr=-3).returncode != 0"
    ),
    "processes": "import os\nassert len([p for p in os.listdir('/proc') if p.isdigit()]) < 10",
}


def cell(kind: str, grade_id: str, source: str, **about: object) -> dict[str, object]:
    plain = {"schema_version": 3, "grade_id": grade_id, "grade": False, "solution": False, "locked": False}
    metadata = {"nbgrader": {**plain, "task": False, "cell_type": kind, **about}}
    return {"cell_type": kind, "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def notebook(tests: dict[str, str]) -> str:
    """Return a source notebook with one answer and its test cells, a point each."""
    cells = [cell("code", "double", SOLUTION, solution=True)]
    cells += [cell("code", name, text, grade=True, locked=True, points=1) for name, text in tests.items()]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 4})


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, listening: int) -> tuple[Classroom, Told]:
    """Let nbgrader's own command grade a class of three with its own Execute, by the sandboxed kernel."""
    from grader.course.catalog import find_course

    top = tmp_path_factory.mktemp("nb-kernel")
    room = Classroom(top, find_course(Path(__file__).resolve().parents[1]))
    (top / "home").mkdir()
    room.folder.mkdir()
    env = {**room.env, "JUPYTER_PATH": str(top / "prefix" / "share" / "jupyter")}
    done = told(
        command("nbgrader", "kernel", "--install", "--prefix", top / "prefix", "--memory-mb", "1024"), cwd=top, env=env
    )
    assert done.code == 0, done.err
    settings = done.out.split(":\n", 1)[1]
    (room.folder / "nbgrader_config.py").write_text(settings + "c.CourseDirectory.course_id = 'own'\n")
    hidden = [str(room.folder), str(room.course.root / "solutions"), str(top / "homes"), "/etc/passwd"]
    tests = {name: text.format(port=listening, hidden=hidden) for name, text in TESTS.items()}
    source = room.folder / "source" / "ps1"
    source.mkdir(parents=True)
    (source / "ps1.ipynb").write_text(notebook(tests), encoding="utf-8")
    (source / "data.txt").write_text("given", encoding="utf-8")
    with environment(env):
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        assert room.here("generate_assignment", "ps1") == 0
    released = (room.folder / "release" / "ps1" / "ps1.ipynb").read_text(encoding="utf-8")
    answers = {
        "right": "def double(x):\n    return 2 * x",
        "wrong": "def double(x):\n    return x * x",
        # leaves what is in the way of the next kernel, and a process
        "rude": (
            "import glob, os, subprocess\nfolder = os.path.dirname(glob.glob('/tmp/unrolled-kernel-*/*')[0])\n"
            "for n in range(1, 40):\n"
            "    path = f'{folder}/k-{n}'\n"
            "    os.path.exists(path) or os.symlink('/nowhere', path)\n"
            "subprocess.Popen(['sleep', '6123.25'])\n"
            "def double(x):\n    return 2 * x"
        ),
    }
    for student, answer in answers.items():
        place = room.folder / "submitted" / student / "ps1"
        place.mkdir(parents=True)
        book = json.loads(released)
        book["cells"][0]["source"] = answer
        (place / "ps1.ipynb").write_text(json.dumps(book), encoding="utf-8")
        (place / "link").symlink_to(room.folder / "gradebook.db")
    argv = [sys.executable, "-m", "nbgrader", "autograde", "ps1"]
    return room, told(argv, cwd=room.folder, env=clean_environment(env), seconds=300)


@pytest.fixture(scope="module")
def listening() -> object:
    """Give a port of this machine on which something answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def accept(server: socket.socket) -> None:
    """Take every connection until the socket is closed."""
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def test_test_cells_are_graded_in_the_box(room: tuple[Classroom, Told]) -> None:
    """The right answer has all points: also those for a refused socket, an invisible course and kept limits."""
    place, done = room
    assert done.code == 0, done.err
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{place.folder / 'gradebook.db'}", "own") as gradebook:
        scores = {
            (submission.student_id, grade.name): grade.auto_score
            for submission in gradebook.assignment_submissions("ps1")
            for notebook in submission.notebooks
            for grade in notebook.grades
        }
    assert {name: scores["right", name] for name in TESTS} == dict.fromkeys(TESTS, 1.0)
    assert {name: scores["wrong", name] for name in TESTS} == dict.fromkeys(TESTS, 1.0) | {"right": 0.0}
    assert {name: scores["rude", name] for name in TESTS} == dict.fromkeys(TESTS, 1.0)


def test_links_in_a_submission_lead_nowhere(room: tuple[Classroom, Told]) -> None:
    """nbgrader would copy the database to where the student's code reads it."""
    place, _ = room
    for step in ("submitted", "autograded"):
        found = (place.folder / step / "right" / "ps1" / "link").read_text(encoding="utf-8")
        assert found == LINK_TEXT


def test_what_a_notebook_writes_stays_in_the_box(room: tuple[Classroom, Told]) -> None:
    """Files of the student's code go with the box; the graded notebook says that it was executed."""
    place, _ = room
    folder = place.folder / "autograded" / "right" / "ps1"
    assert not (folder / "own.txt").exists()
    book = json.loads((folder / "ps1.ipynb").read_text(encoding="utf-8"))
    assert all(one["execution_count"] for one in book["cells"])
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"6123.25" in read_if_there(path)]
    assert left == []


def read_if_there(path: Path) -> bytes:
    """Return what a process was started with, nothing where it has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("told_of", "words"),
    [
        ({"transport": "tcp", "ip": "127.0.0.1"}, "has no network"),
        ({"transport": "ipc", "ip": "kernel-ipc"}, "has no network"),
        ({"transport": "ipc"}, "cannot be read"),
        ({"transport": "ipc", "ip": "{open}/k"}, "is not private"),
    ],
)
def test_a_kernel_that_cannot_be_sandboxed_says_why_in_one_line(
    tmp_path: Path, told_of: dict[str, str], words: str
) -> None:
    """Nothing is run without the box."""
    tmp_path.chmod(0o755)
    connection = tmp_path / "connection.json"
    connection.write_text(json.dumps({key: value.format(open=tmp_path) for key, value in told_of.items()}))
    argv = [sys.executable, "-P", "-m", kernel.__name__, str(connection)]
    done = told(argv, cwd=tmp_path, env=clean_environment())
    assert done.code == 1
    assert done.err.startswith("unrolled-sandbox: ")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_the_kernelspec_says_what_jupyter_needs(tmp_path: Path) -> None:
    """Installing writes one file; a course inside Python's own folders is refused, and so is a place that is a file."""
    folder = kernel.install(tmp_path, user=False, prefix=tmp_path / "here", memory_mb=300, cpu_seconds=20)
    spec = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
    assert folder == tmp_path / "here" / "share" / "jupyter" / "kernels" / "unrolled-sandbox"
    assert spec["argv"][0] == sys.executable
    assert spec["argv"][-5:] == ["--memory-mb", "300", "--cpu-seconds", "20", "{connection_file}"]
    assert spec["interrupt_mode"] == "message"
    with pytest.raises(GraderError, match="which notebooks see in the sandbox"):
        kernel.install(Path(sys.prefix) / "lib", user=False, prefix=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(GraderError, match="the kernelspec cannot be written"):
        kernel.install(tmp_path, user=False, prefix=tmp_path / "file")


def test_sockets_lie_in_a_private_folder_of_the_process() -> None:
    """Two processes never share one."""
    from traitlets.config import Config

    first, second = Config(), Config()
    for config in (first, second):
        kernel.use_sandboxed_kernel(config)
    assert first.KernelManager.transport == "ipc"
    assert first.KernelManager.ip != second.KernelManager.ip
    assert stat.S_IMODE(Path(first.KernelManager.ip).parent.stat().st_mode) == 0o700
