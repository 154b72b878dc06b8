"""What a student meets: list, start, check, watch, submit, and plain pytest in a started folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

HANDOUT = ["README.md", "leaky.ipynb", "leaky.py", "test_public.py"]


@pytest.fixture
def started(inside, tmp_path) -> Path:
    """A folder that `grader start` has laid."""
    told = inside("start", "leaky", tmp_path / "work")
    assert told.code == 0, told.err
    return tmp_path / "work"


@pytest.fixture
def without_solutions(tiny):
    """Take the solutions away, as a student's installation is."""
    shutil.rmtree(tiny.root / "solutions")


# --- list and start --------------------------------------------------------------------------------------------------


def test_list_names_every_assignment(inside, without_solutions):
    """`list` says id, title, points, parts and packages of every assignment."""
    told = inside("list")
    assert told.code == 0
    assert told.out.splitlines() == ["leaky  Leaky", "       100 points, 2 parts, uses numpy"]
    assert told.err == ""


def test_start_copies_the_handout_and_no_secret(started, without_solutions):
    """`start` gives handout, stub, notebook and public checks, and nothing that is not a student's."""
    assert sorted(path.name for path in started.iterdir()) == HANDOUT
    assert "raise NotImplementedError" in (started / "leaky.py").read_text()
    assert "BEGIN SOLUTION" not in (started / "leaky.py").read_text()
    assert json.loads((started / "leaky.ipynb").read_text())["nbformat"] == 4


def test_start_makes_a_folder_of_the_assignments_name(inside, tmp_path):
    """Without DIR the folder is made where one stands; the next step is told."""
    told = inside("start", "leaky", cwd=tmp_path)
    assert told.code == 0
    assert sorted(path.name for path in (tmp_path / "leaky").iterdir()) == HANDOUT
    assert "grader check leaky" in told.out


def test_start_never_overwrites(inside, started):
    """A folder with work in it is refused whole and untouched; the same files again are no trouble."""
    told = inside("start", "leaky", started)
    assert told.code == 0
    assert f"Everything is in {started} already." in told.out
    (started / "leaky.py").write_text("my work\n")
    (started / "README.md").unlink()
    told = inside("start", "leaky", started)
    assert told.code == 1
    assert str(started / "leaky.py") in told.error
    assert "nothing is overwritten" in told.error
    assert (started / "leaky.py").read_text() == "my work\n"
    assert not (started / "README.md").exists(), "nothing is written by halves"


def test_start_of_nothing_there(inside, tmp_path):
    """A misspelt assignment has a suggestion and leaves no folder behind."""
    told = inside("start", "leeky", tmp_path / "work")
    assert told.code == 1
    assert "Did you mean `leaky`?" in told.error
    assert not (tmp_path / "work").exists()


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_of_the_stub(inside, started, without_solutions):
    """The untouched handout is `not attempted`, not wrong, and exits with 1."""
    told = inside("check", started)
    assert told.code == 1
    assert told.out.count("[not attempted]") == 3
    assert "0 of 3 public checks passed, 3 not attempted yet." in told.out
    assert "!!" not in told.out
    assert "Traceback" not in told.out + told.err


def test_check_of_a_right_answer(inside, started, shared_tiny, without_solutions):
    """Everything passing exits with 0 and names the next step; the folder's own files are no noise."""
    (started / "leaky.py").write_text(shared_tiny.reference)
    told = inside("check", cwd=started)
    assert told.code == 0, told.out
    assert "3 of 3 public checks passed." in told.out
    assert "grader submit" in told.out
    assert "One step (1 of 1 check)" in told.out
    assert [line for line in told.out.splitlines() if "Set aside" in line] == [
        "Set aside: leaky.ipynb: leaky.py is taken instead"
    ]


def test_check_shows_every_detail_and_the_hint(inside, started, shared_tiny, without_solutions):
    """A failing public check shows the facts, the numbers and the line; a known mistake its hint and where to read."""
    (started / "leaky.py").write_text(shared_tiny.mutant("keeps_everything"))
    told = inside("check", started)
    assert told.code == 1
    assert "!!  step with a = 0.5 goes half way from the state to the input. [failed]" in told.out
    assert re.search(r"scaled error [\d.]+, tolerance 0\.0001", told.out)
    assert re.search(r"at test_public.py:\d+", told.out)
    assert "This explains 1 failing check:" in told.out
    assert shared_tiny.hint("keeps_everything") in told.out
    assert "Read: leaky, section step" in told.out
    assert "2 of 3 public checks passed." in told.out


def test_check_shows_what_the_code_printed_and_raised(inside, started, shared_tiny):
    """A student sees the words of their own exception, the line, and what they printed."""
    body = "\n\ndef step(x, h, a):\n    print('here I am')\n    return h + [a].x\n"
    (started / "leaky.py").write_text(shared_tiny.reference + body)
    told = inside("check", started)
    assert told.code == 1
    line = len((shared_tiny.reference + body).splitlines())
    assert f"raised AttributeError at leaky.py, line {line}" in told.out
    assert "'list' object has no attribute 'x'" in told.out
    assert "| here I am" in told.out


def test_check_of_half_a_submission(inside, started, shared_tiny):
    """Who has written one function wrongly and not begun the other is told what is wrong with the first."""
    stub_run = "\n\ndef run(xs, h0, a):\n    raise NotImplementedError\n"
    (started / "leaky.py").write_text(shared_tiny.mutant("takes_all_input") + stub_run)
    told = inside("check", started)
    assert shared_tiny.hint("takes_all_input") in told.out
    assert "0 of 3 public checks passed, 2 not attempted yet." in told.out


def test_check_never_names_a_mistake_on_weak_grounds(inside, started, shared_tiny):
    """Wrong numbers that no known mistake makes are told as facts, without a hint."""
    (started / "leaky.py").write_text(shared_tiny.reference + "\n\ndef step(x, h, a):\n    return 0.123 * x - h\n")
    told = inside("check", started)
    assert told.code == 1
    assert "explain" not in told.out
    assert "the values are wrong" in told.out


def test_check_of_a_syntax_error(inside, started):
    """A file that Python cannot read says which line, in every form, without a traceback of ours."""
    (started / "leaky.py").write_text("import numpy as np\n\ndef step(x, h, a:\n    return h\n")
    told = inside("check", started)
    assert told.code == 1
    assert "SyntaxError at leaky.py, line 3" in told.out
    assert "Traceback" not in told.out + told.err


def test_check_of_a_notebook(inside, started, shared_tiny):
    """The notebook counts when the module beside it is the untouched stub; which was taken is said."""
    filled = json.loads((started / "leaky.ipynb").read_text())
    cell = {"cell_type": "code", "id": "mine", "metadata": {}, "execution_count": 1, "outputs": []}
    filled["cells"].append({**cell, "source": shared_tiny.reference})
    (started / "leaky.ipynb").write_text(json.dumps(filled))
    told = inside("check", started)
    assert told.code == 0, told.out
    assert "3 of 3 public checks passed." in told.out
    told = inside("check", started / "leaky.ipynb")
    assert told.code == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [("homework.py", "this file's name is not that of an assignment"), ("nowhere", "there is no such file or folder")],
)
def test_check_of_something_else(inside, tmp_path, name, words):
    """A path that is no assignment's is one line that says how it should be named."""
    if name.endswith(".py"):
        (tmp_path / name).write_text("x = 1\n")
    told = inside("check", tmp_path / name)
    assert told.code == 1
    assert words in told.error
    if name.endswith(".py"):
        assert inside("check", tmp_path / name, "--assignment", "leaky").code == 1
        assert "0 of 3 public checks passed" in inside("check", tmp_path / name, "--assignment", "leaky").out


def test_check_runs_the_work_in_another_process(inside, started, shared_tiny):
    """The student's code cannot take the grader with it: an exit costs its checks, a loop ends in time."""
    (started / "leaky.py").write_text(
        shared_tiny.reference + "\n\ndef step(x, h, a):\n    import os\n    os._exit(0)\n"
    )
    told = inside("check", started)
    assert told.code == 1
    assert "the code ended its own process (exit status 0)" in told.out
    assert "2 of 3 public checks passed." in told.out


# --- watch -----------------------------------------------------------------------------------------------------------


class Watching:
    """A running `grader watch` and what it has printed."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            argv,
            env={**env, "PYTHONUNBUFFERED": "1"},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, words: str, times: int = 1) -> None:
        """Wait until a line with these words was printed so many times."""
        end = time.monotonic() + 60
        while sum(words in line for line in list(self.lines)) < times:
            assert time.monotonic() < end, self.lines
            assert self.process.poll() is None or any(words in line for line in self.lines), self.lines
            time.sleep(0.02)

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C, as a terminal does; return the exit code and standard error."""
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(30)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@pytest.fixture
def watch(processes, tiny, started):
    """Start `grader watch` on the started folder; it is ended with the test."""
    running = []

    def start(*arguments: str) -> Watching:
        env = processes.clean_environment({"GRADER_COURSE": str(tiny.root)})
        running.append(Watching(processes.command("watch", started, *arguments), env, started))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_watch_checks_again_on_every_save(watch, started, shared_tiny):
    """Every save gives the state and one next step: the first thing wrong, its hint; then what is not begun."""
    watching = watch()
    watching.wait_for("Next: ")
    assert watching.lines[0] == "0 of 3 public checks passed."
    assert sum("Next: " in line for line in watching.lines) == 1, "one next step at a time"
    watching.wait_for("save to check again, Ctrl-C to stop")
    (started / "leaky.py").write_text(shared_tiny.mutant("keeps_everything"))
    watching.wait_for("2 of 3 public checks passed.")
    watching.wait_for("Hint: " + shared_tiny.hint("keeps_everything"))
    watching.wait_for("save to check again", 2)
    (started / "leaky.py").write_text("def step(:\n")
    watching.wait_for("SyntaxError at leaky.py, line 1")
    watching.wait_for("save to check again", 3)
    (started / "leaky.py").write_text(shared_tiny.reference)
    watching.wait_for("Everything passes. Now: grader submit")
    watching.wait_for("save to check again", 4)
    code, err = watching.interrupt()
    assert code == 130
    assert err.splitlines()[-1] == "Interrupted. What was finished is kept."
    assert "Traceback" not in err


def test_watch_survives_a_file_that_goes_and_comes(watch, started, shared_tiny):
    """Editors remove and rename while saving: watching goes on."""
    watching = watch()
    watching.wait_for("save to check again")
    for name in ("leaky.py", "leaky.ipynb"):
        (started / name).unlink()
    watching.wait_for("no leaky.py or leaky.ipynb")
    watching.wait_for("save to check again", 2)
    (started / "leaky.py").write_text(shared_tiny.reference)
    watching.wait_for("Everything passes.")


def test_watch_ends_after_so_many_runs(inside, started):
    """--runs ends it by itself."""
    told = inside("watch", started, "--runs", "1")
    assert told.code == 0
    assert "Next: step with a = 0.5 goes half way" in told.out
    assert "Watching" not in told.out


def test_interrupt_while_checking_leaves_nothing_running(watch, started, shared_tiny):
    """Ctrl-C in the middle of a check that loops ends the student's process too."""
    mark = f"mark_{os.getpid()}_{time.monotonic_ns()}"
    loop = f"""

def step(x, h, a):
    import os
    with open({str(started / mark)!r}, "w") as file:
        file.write(str(os.getpid()))
    while True:
        pass
"""
    (started / "leaky.py").write_text(shared_tiny.reference + loop)
    watching = watch("--runs", "1")
    end = time.monotonic() + 60
    while not (started / mark).exists() or not (started / mark).read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    worker = int((started / mark).read_text())
    code, err = watching.interrupt()
    assert code == 130
    assert "Traceback" not in err
    end = time.monotonic() + 5
    while Path(f"/proc/{worker}").exists() and "\nState:\tZ" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < end, "the student's process is still running"
        time.sleep(0.05)


# --- submit ----------------------------------------------------------------------------------------------------------


def receipt(out: str) -> dict[str, str]:
    """Return the lines of a receipt."""
    return {
        line.split()[0]: line.split(maxsplit=1)[1]
        for line in out.splitlines()
        if line.split()[0] in {"Packed", "Files", "When", "SHA-256"}
    }


def test_submit_packs_and_prints_a_receipt(inside, started, shared_tiny, tmp_path):
    """The zip holds the work alone; its receipt's SHA-256 is the one that the gradebook records."""
    from grader.gradebook.store import Gradebook

    (started / "leaky.py").write_text(shared_tiny.reference)
    (started / "diary.txt").write_text("private")
    told = inside("submit", started, "--student", "s001", "--to", tmp_path)
    assert told.code == 0, told.err
    lines = receipt(told.out)
    packed = tmp_path / "leaky-s001.zip"
    assert lines["Packed"] == str(packed)
    assert "leaky.py" in lines["Files"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", lines["When"])
    with zipfile.ZipFile(packed) as archive:
        assert set(archive.namelist()) == set(lines["Files"].split(", "))
        assert set(archive.namelist()) <= {"leaky.py", "leaky.ipynb"}
        assert archive.read("leaky.py").decode() == shared_tiny.reference
    assert "diary.txt" in told.err

    told = inside("grade", "leaky", packed, "--gradebook", tmp_path / "grades.db", "--json")
    (one,) = told.objects
    assert (one["student"], one["earned"]) == ("s001", 100)
    with Gradebook.open(tmp_path / "grades.db") as book:
        (attempt,) = book.attempts("leaky", "s001")
    assert attempt.sha256 == lines["SHA-256"]


def test_the_same_work_has_the_same_receipt(inside, started, shared_tiny, tmp_path):
    """Packing again gives the same bytes; other work gives others, and replaces the older zip."""
    (started / "leaky.py").write_text(shared_tiny.reference)
    first = inside("submit", started, "--student", "s001", "--to", tmp_path)
    content = (tmp_path / "leaky-s001.zip").read_bytes()
    again = inside("submit", started, "--student", "s001", "--to", tmp_path)
    assert receipt(again.out)["SHA-256"] == receipt(first.out)["SHA-256"]
    assert (tmp_path / "leaky-s001.zip").read_bytes() == content
    (started / "leaky.py").write_text(shared_tiny.twin)
    other = inside("submit", started, "--student", "s001", "--to", tmp_path)
    assert receipt(other.out)["SHA-256"] != receipt(first.out)["SHA-256"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def step(x, h, a:\n", "SyntaxError"),
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("raise RuntimeError('not yet')\n", "RuntimeError: not yet"),
        ("import os\nos._exit(3)\n", "ended its own process (exit status 3)"),
    ],
)
def test_submit_refuses_what_does_not_load(inside, started, tmp_path, source, words):
    """Work that cannot be loaded is not packed, unless one insists."""
    (started / "leaky.py").write_text(source)
    (started / "leaky.ipynb").unlink()
    told = inside("submit", started, "--student", "s001", "--to", tmp_path)
    assert told.code == 1
    assert words in told.err
    assert "Nothing was packed" in told.err
    assert not list(tmp_path.glob("*.zip"))
    assert "Traceback" not in told.err
    told = inside("submit", started, "--student", "s001", "--to", tmp_path, "--anyway")
    assert told.code == 0
    assert (tmp_path / "leaky-s001.zip").exists()


def test_submit_names_what_is_missing(inside, started, shared_tiny, tmp_path):
    """Functions that are not there are named, and the rest is packed."""
    (started / "leaky.py").write_text(shared_tiny.reference.split("def run")[0])
    told = inside("submit", started, "--student", "s001", "--to", tmp_path)
    assert told.code == 0
    assert "Not defined, so worth nothing: run" in told.err


@pytest.mark.parametrize("student", ["../evil", "a/b", ""])
def test_submit_makes_no_path_of_a_student_id(inside, started, shared_tiny, tmp_path, student):
    """An id never leads the zip out of its folder."""
    (started / "leaky.py").write_text(shared_tiny.reference)
    (tmp_path / "out").mkdir()
    inside("submit", started, "--student", student, "--to", tmp_path / "out")
    assert [path.parent for path in tmp_path.rglob("*.zip")] in ([], [tmp_path / "out"])


def test_submit_into_nowhere(inside, started, shared_tiny, tmp_path):
    """A folder that is not there is one line."""
    (started / "leaky.py").write_text(shared_tiny.reference)
    told = inside("submit", started, "--to", tmp_path / "nowhere")
    assert told.code == 1
    assert str(tmp_path / "nowhere") in told.error


# --- plain pytest ----------------------------------------------------------------------------------------------------


def test_plain_pytest_works_in_a_started_folder(processes, tiny, started, shared_tiny):
    """`pytest` in the folder runs the public checks on the module beside them, with assertion details."""
    env = processes.clean_environment({"GRADER_COURSE": str(tiny.root)})
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    (started / "leaky.py").write_text(shared_tiny.mutant("keeps_everything"))
    told = processes.told(argv, cwd=started, env=env)
    assert told.code == 1, told.err
    assert "1 failed, 2 passed" in told.out
    assert "close(student.step(x, h, 0.5), np.mean([x, h]))" in told.out, "the line that failed"
    assert "scaled error" in told.out
    (started / "leaky.py").write_text(shared_tiny.reference + "\nprint('loaded')\n")
    told = processes.told([*argv, "-q"], cwd=started, env=env)
    assert told.code == 0, told.out
    assert "3 passed" in told.out


def test_plain_pytest_on_another_file_and_seed(processes, tiny, started, shared_tiny, tmp_path):
    """--submission names another file, --check-seed draws other inputs."""
    env = processes.clean_environment({"GRADER_COURSE": str(tiny.root)})
    (tmp_path / "leaky.py").write_text(shared_tiny.twin)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--submission", str(tmp_path / "leaky.py")]
    told = processes.told([*argv, "--check-seed", "7", str(started)], cwd=tmp_path, env=env)
    assert told.code == 0, told.out
    assert "3 passed" in told.out
