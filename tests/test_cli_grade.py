"""`grader grade` and `grader show`: every option, every layout, and what is ungraded, as an instructor meets them."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KEYS = [
    "version", "student", "assignment", "earned", "possible", "outcome", "parts", "checks", "tier", "seed_id",
    "fingerprint", "cpu_seconds", "peak_mb", "set_aside",
]  # fmt: skip
CHECK_KEYS = ["id", "part", "title", "outcome", "earned", "points", "hint"]
ALL_CHECKS = ["test_step", "test_run", "test_run_from_rest", "test_inputs_are_left"]
WORTH = dict(zip(ALL_CHECKS, (40, 35, 10, 15), strict=True))

TALKATIVE = """

def step(x, h, a):
    print("looking at", type(x).__name__)
    raise ValueError("my own words 4711")
"""
ROSTER = "id,name,email\ns001,Student One,one@example.org\ns002,Student Two,\ns009,Student Nine,\n"


# --- one class, looked at from all sides -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Graded:
    """A class that was graded once, what that run said, and what the same command says again as JSON."""

    root: Path
    book: Path
    table: Any
    again: Any
    env: dict[str, str]

    @property
    def reports(self) -> dict[str, dict[str, Any]]:
        """Return the JSON objects by student."""
        return {one["student"]: one for one in self.again.objects}


@pytest.fixture(scope="module")
def work(shared_tiny) -> dict[str, str]:
    """What the students of the class have handed in."""
    return {
        "s001": shared_tiny.reference,
        "s002": shared_tiny.mutant("keeps_everything"),
        "s003": shared_tiny.stub,
        "s004": shared_tiny.reference + TALKATIVE,
        "s005": shared_tiny.mutant("last_state_only"),
        "s010": shared_tiny.mutant("keeps_everything"),
    }


@pytest.fixture(scope="module")
def whole(shared_tiny, work, processes, tmp_path_factory) -> Graded:
    """Grade the class with every kind of output."""
    root = tmp_path_factory.mktemp("whole")
    shared_tiny.hand_in(root / "class", work)
    (root / "class" / "s006").mkdir()
    (root / "class" / "s006" / "essay.txt").write_text("no code")
    (root / "class" / "s001" / "notes.txt").write_text("beside it")
    (root / "roster.csv").write_text(ROSTER)
    env = processes.clean_environment({"GRADER_COURSE": str(shared_tiny.root)})
    book = root / "grades.db"
    argv = processes.command("grade", "leaky", root / "class", "--gradebook", book, "--roster", root / "roster.csv")
    table = processes.told(argv, cwd=root, env=env)
    extra = ["--json", "--csv", root / "grades.csv", "--feedback", root / "feedback"]
    again = processes.told([*argv, *map(str, extra)], cwd=root, env=env)
    return Graded(root, book, table, again, env)


@pytest.fixture
def show(inside, whole):
    """Run `grader show leaky ...` on the gradebook of the class."""

    def run(*arguments):
        return inside("show", "leaky", *arguments, "--gradebook", whole.book)

    return run


def rows_of(table: str) -> dict[str, str]:
    """Return the lines of the class table by student."""
    return {line.split()[0]: line for line in table.splitlines() if re.match(r"s\d{3} ", line)}


def test_table_and_exit_code(whole):
    """The table has a row for everyone with points and the most helpful remark; all graded is 0."""
    assert whole.table.code == 0, whole.table.err
    rows = rows_of(whole.table.out)
    assert list(rows) == ["s001", "s002", "s003", "s004", "s005", "s006", "s009", "s010"]
    assert re.search(r"s001 +Student One +100/100 +40/40 +60/60 +all passed$", rows["s001"])
    assert re.search(r"s002 +Student Two +60/100 +0/40 +60/60 +1 failed +The old state enters whole", rows["s002"])
    assert re.search(r"0/100 +0/40 +0/60 +4 not attempted$", rows["s003"])
    assert re.search(r"60/100 .*1 raised +raised ValueError at leaky.py, line \d+$", rows["s004"])
    assert "wrong shape: (1,) where (7,) is asked" in rows["s005"]
    assert re.search(r"0/100 .*cannot be run +no leaky.py or leaky.ipynb was handed in", rows["s006"])
    assert re.search(r"s009 +Student Nine +– .*not submitted$", rows["s009"])
    assert whole.table.out.splitlines()[-1] == "7 graded · mean 45.71 · median 60 of 100 · 1 not submitted"


def test_progress_in_plain_lines(whole):
    """Where there is no terminal, progress is a line for each report: count, score, rate, time left, failures."""
    lines = whole.table.err.splitlines()
    counts = [
        line for line in lines if re.match(r"\d/7 s\d{3}: \d+/100 \(\d+\.\d/s, \d+ s left, \d lost points\)", line)
    ]
    assert len(counts) == 7
    assert counts[-1].startswith("7/7 ")
    assert "6 lost points" in counts[-1]
    assert "Not on the roster, graded all the same: s003, s004, s005, s006, s010." in lines


def test_json_is_the_documented_schema(whole):
    """One object a line and nothing else on standard output, with exactly the documented keys, in their order."""
    assert whole.again.code == 0
    assert [one["student"] for one in whole.again.objects][:7] == [
        "s001",
        "s002",
        "s003",
        "s004",
        "s005",
        "s006",
        "s010",
    ]
    for student, one in whole.reports.items():
        assert list(one) == KEYS
        assert (one["version"], one["assignment"], one["possible"]) == (1, "leaky", 100)
        if student == "s009":
            continue
        assert one["outcome"] == "graded"
        assert [list(part) for part in one["parts"]] == [["id", "earned", "possible"]] * 2
        assert [(part["id"], part["possible"]) for part in one["parts"]] == [("step", 40), ("run", 60)]
        assert [list(check) for check in one["checks"]] == [CHECK_KEYS] * 4
        assert {check["id"]: check["points"] for check in one["checks"]} == WORTH
        assert one["earned"] == sum(part["earned"] for part in one["parts"])
        assert one["earned"] == sum(check["earned"] for check in one["checks"])
        assert one["tier"] in (1, 2)
        assert re.fullmatch(r"[0-9a-f]{12,64}", one["seed_id"])
        assert re.fullmatch(r"[0-9a-f]{16,64}", one["fingerprint"])
    right = whole.reports["s001"]
    assert 0 < right["cpu_seconds"] < 20
    assert 5 < right["peak_mb"] < 1024
    assert len({one["fingerprint"] for one in whole.reports.values() if one["tier"]}) == 1


def test_json_says_what_was_not_handed_in_and_set_aside(whole):
    """Who handed in nothing has no score, which is not zero; what was not looked at is named."""
    absent = whole.reports["s009"]
    assert (absent["outcome"], absent["earned"], absent["checks"]) == ("not submitted", None, [])
    assert [line for line in whole.reports["s001"]["set_aside"] if "notes.txt" in line]
    assert whole.reports["s002"]["set_aside"] == []


def test_json_carries_hints_and_outcomes(whole, shared_tiny):
    """A mutant's answers earn its hint in the check that it explains; other mistakes have none."""
    for student in ("s002", "s010"):
        checks = {check["id"]: check for check in whole.reports[student]["checks"]}
        assert checks["test_step"]["outcome"] == "failed"
        assert checks["test_step"]["hint"] == shared_tiny.hint("keeps_everything")
        assert checks["test_run"]["hint"] is None
    outcomes = {s: {check["outcome"] for check in one["checks"]} for s, one in whole.reports.items()}
    assert outcomes["s003"] == {"not attempted"}
    assert outcomes["s004"] == {"raised", "passed"}
    assert not [
        check["hint"]
        for student in ("s003", "s004", "s005")
        for check in whole.reports[student]["checks"]
        if check["hint"]
    ]
    titles = [check["title"] for check in whole.reports["s001"]["checks"]]
    assert titles[0] == "step weighs state and input."


def test_json_holds_nothing_for_the_instructor_only(whole):
    """No word of a student's and no assertion detail is in what is passed on."""
    assert "4711" not in whole.again.out
    assert "scaled error" not in whole.again.out
    assert "looking at" not in whole.again.out


def test_csv_has_a_row_for_everyone(whole):
    """The CSV file has everybody, with names, points of every part, and no zero for who handed in nothing."""
    with (whole.root / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(whole.reports)
    assert (rows["s001"]["name"], rows["s001"]["earned"], rows["s001"]["possible"]) == ("Student One", "100", "100")
    assert (rows["s002"]["part:step"], rows["s002"]["part:run"]) == ("0", "60")
    assert (rows["s009"]["outcome"], rows["s009"]["earned"], rows["s009"]["name"]) == (
        "not submitted",
        "",
        "Student Nine",
    )
    assert rows["s006"]["earned"] == "0"
    assert "4711" not in (whole.root / "grades.csv").read_text(encoding="utf-8")


def test_feedback_is_a_page_for_everyone(whole, shared_tiny):
    """Every student has one Markdown file, and it holds nothing that is not for them."""
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (whole.root / "feedback").iterdir()}
    assert set(pages) == set(whole.reports)
    assert "Not submitted" in pages["s009"]
    assert shared_tiny.hint("keeps_everything") in pages["s002"]
    assert "Student Two" in pages["s002"]
    assert "leaky, section step" in pages["s002"], "where to read on"
    assert "no leaky.py or leaky.ipynb was handed in" in pages["s006"].replace("\\", "")
    for page in pages.values():
        assert "4711" not in page
        assert "test_hidden" not in page
        assert "keeps_everything" not in page


def test_nothing_is_graded_twice(whole):
    """The same command again takes everything from the gradebook, and says so."""
    assert "graded already" not in whole.table.err
    assert not re.search(r"\d/\d s\d{3}:", whole.again.err)


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_gives_the_instructor_everything(show, shared_tiny):
    """Points by part, outcomes, assertion details, the place, the belief behind a hint, and how to run it again."""
    told = show("s002")
    assert told.code == 0, told.err
    for words in (
        "60 of 100 points · 1 failed",
        "step: One step (0 of 40)",
        shared_tiny.hint("keeps_everything"),
        "misconception leaky/keeps-everything, mutant keeps_everything",
        "FAILED",
        "scaled error",
        "at test_hidden.py:",
        "again: grader show leaky s002 --check test_step",
    ):
        assert words in told.out, words


def test_show_has_what_the_code_printed_and_said(show):
    """What a student's code printed and the words of its exception are for the instructor."""
    told = show("s004")
    assert "looking at float" in told.out
    assert "ValueError: my own words 4711" in told.out
    assert "RAISED" in told.out


def test_show_as_the_student_sees_it(show, shared_tiny):
    """--student-view hides details, printed text, places, mutants and flags, and keeps facts and hints."""
    told = show("s002", "--student-view")
    assert shared_tiny.hint("keeps_everything") in told.out
    assert "the values are wrong" in told.out
    for words in ("scaled error", "test_hidden.py", "misconception", "mutant", "again:"):
        assert words not in told.out, words
    told = show("s004", "--student-view")
    assert "raised ValueError at leaky.py, line" in told.out
    for words in ("4711", "looking at"):
        assert words not in told.out, words


def test_show_runs_one_check_again_live(show, whole, content):
    """--check runs that check on the stored work, with its full traceback, and writes nothing."""
    before = content(whole.book, measured=True)
    shutil.move(whole.root / "class", whole.root / "moved")  # the gradebook is enough
    try:
        told = show("s002", "--check", "test_step")
    finally:
        shutil.move(whole.root / "moved", whole.root / "class")
    assert told.code == 0, told.err
    assert "close(student.step(x, h, a), np.average([h, x], weights=[a, 1 - a]))" in told.out, "the line of the suite"
    assert "CheckFailed" in told.out
    assert "scaled error" in told.out
    assert "test_run" not in told.out
    told = show("s004", "--check", "test_step", "--student-view")
    assert "4711" not in told.out
    assert "test_hidden" not in told.out
    assert content(whole.book, measured=True) == before


def test_show_says_where_inputs_have_changed(inside, whole, shared_tiny):
    """A check that runs again on other inputs than those of the grade says so."""
    told = inside(
        "grade", "leaky", whole.root / "class" / "s002", "--gradebook", whole.root / "seeded.db", "--seed", "5"
    )
    assert told.code == 0
    told = inside("show", "leaky", "s002", "--check", "test_step", "--gradebook", whole.root / "seeded.db")
    assert "The suite or the seed has changed since this grade" in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["s0O2"], "there is no grade of `s0O2` in leaky. Did you mean `s002`?"),
        (["nobody"], "there is no grade of `nobody` in leaky. `grader grade` comes first"),
        (["s002", "--check", "test_stepp"], "Did you mean `test_step`?"),
    ],
)
def test_show_names_the_nearest(show, arguments, words):
    """Whoever and whatever is not there is one line, with the nearest that is."""
    told = show(*arguments)
    assert told.code == 1
    assert words in told.error


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def grade(inside, tmp_path):
    """Run `grader grade leaky ...` on this test's own course and gradebook."""

    def run(*arguments, **options):
        return inside("grade", "leaky", *arguments, "--gradebook", tmp_path / "grades.db", **options)

    return run


def test_fresh_grades_anew_and_keeps_the_old(grade, graded, tiny, content, tmp_path):
    """--fresh adds a report beside the old one, which stays; without it nothing is graded again."""
    grade(graded.submissions)
    told = grade(graded.submissions)
    assert "2 of 2 graded already; `--fresh` grades them anew." in told.err
    told = grade(graded.submissions, "--fresh")
    assert told.code == 0
    assert "graded already" not in told.err
    for attempt, old, new in content(tmp_path / "grades.db").values():
        assert attempt["attempt"] == old["attempt"] == new["attempt"] == 1
        assert (old["current"], new["current"]) == (False, True)
        assert old["report"] == new["report"]


def test_seed_overrides_the_courses_own(grade, graded, content, tmp_path):
    """--seed draws other inputs, is marked in the gradebook, and its reports carry only a hash of it."""
    grade(graded.submissions)
    told = grade(graded.submissions, "--seed", "4242", "--json")
    assert told.code == 0
    assert "4242" not in told.out.replace('"fingerprint"', "")
    assert [one["earned"] for one in told.objects] == [100, 60], "other inputs, the same grades"
    for _, own, drawn in content(tmp_path / "grades.db").values():
        assert (own["override"], drawn["override"]) == (False, True)
        assert own["report"]["seed_id"] != drawn["report"]["seed_id"]
    same = grade(graded.submissions, "--seed", "4242")
    assert "2 of 2 graded already" in same.err
    other = grade(graded.submissions, "--seed", "4243", "--json")
    assert other.objects[0]["seed_id"] != told.objects[0]["seed_id"]


@pytest.mark.parametrize("jobs", ["1", "5"])
def test_jobs_change_nothing_but_the_time(grade, graded, content, tmp_path, jobs):
    """However many are graded at the same time, the gradebook is the same."""
    told = grade(graded.submissions, "--jobs", jobs)
    assert told.code == 0
    assert content(tmp_path / "grades.db") == content(graded.book)


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_has_no_progress(grade, graded, option):
    """--quiet leaves standard error empty, and the table where it belongs."""
    told = grade(graded.submissions, option)
    assert told.code == 0
    assert told.err == ""
    assert "2 graded" in told.out


def test_default_gradebook_lies_in_the_course(inside, graded, tiny):
    """Without --gradebook the course's own is used."""
    assert inside("grade", "leaky", graded.submissions).code == 0
    assert (tiny.root / ".grader" / "gradebook.db").is_file()
    assert inside("show", "leaky", "s002").code == 0


def test_tier_stands_in_every_report(grade, graded):
    """Tier 0 is announced loudly, stands in every report, and does not count as graded for a real run."""
    told = grade(graded.submissions, "--tier", "0", "--json")
    assert told.code == 0
    assert "NO SANDBOX (tier 0)" in told.err
    assert {one["tier"] for one in told.objects} == {0}
    told = grade(graded.submissions, "--json")
    assert {one["tier"] for one in told.objects} == {1} or 2 in {one["tier"] for one in told.objects}
    assert "NO SANDBOX" not in told.err


def test_flags_are_for_a_human_and_cost_nothing(grade, graded, tiny, inside, tmp_path):
    """A forbidden name is flagged in table and CSV, and no points depend on it."""
    tiny.edit("assignment.yaml", "forbidden: []", "forbidden: [numpy.linalg]")
    (graded.submissions / "s001" / "leaky.py").write_text(tiny.reference + "\n\nLENGTH = np.linalg.norm\n")
    told = grade(graded.submissions, "--csv", tmp_path / "grades.csv")
    assert "all passed, flagged" in told.out
    assert "100/100" in told.out
    told = inside("show", "leaky", "s001", "--gradebook", tmp_path / "grades.db")
    assert "For a human to look at (no points depend on it):" in told.out
    assert "numpy.linalg at leaky.py, line" in told.out
    assert (
        "numpy.linalg"
        not in inside("show", "leaky", "s001", "--student-view", "--gradebook", tmp_path / "grades.db").out
    )


def test_figures_where_there_are_none(grade, graded, tmp_path):
    """An assignment without figures says so before anything is graded."""
    told = grade(graded.submissions, "--figures", tmp_path / "figures")
    assert told.code == 1
    assert "leaky has no figures" in told.error
    assert not (tmp_path / "grades.db").exists()


def test_live_bar_in_a_terminal(processes, shared_tiny, graded, tmp_path):
    """In a terminal, progress is one line that renews itself: count, rate, time left, failures so far."""
    ours, theirs = pty.openpty()
    env = processes.clean_environment({"GRADER_COURSE": str(shared_tiny.root), "TERM": "xterm", "COLUMNS": "120"})
    argv = processes.command("grade", "leaky", graded.submissions, "--gradebook", tmp_path / "new.db")
    with subprocess.Popen(argv, env=env, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as run:
        os.close(theirs)
        seen = b""
        while True:
            ready, _, _ = select.select([ours], [], [], 60)
            try:
                data = os.read(ours, 1 << 16) if ready else b""
            except OSError:  # the other end is closed
                break
            if not data:
                break
            seen += data
        assert run.stdout is not None
        table = run.stdout.read().decode()
    os.close(ours)
    assert run.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert re.search(r"grading .*0/2", text)
    assert re.search(r"2/2 +\d+\.\d/s .*1 lost points", text)
    assert "s001" not in text, "no lines beside the bar"
    assert "\x1b" not in table, "the table went to a pipe"


# --- layouts ---------------------------------------------------------------------------------------------------------


def notebook(source: str) -> str:
    """Return a notebook as a student leaves it: magics, an experiment that fails, output, the work."""
    cells = ["%matplotlib inline\n!ls\nimport numpy as np", "1 / 0", source, "print(step(1.0, 2.0, 0.5))"]
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"c{n}",
                    "metadata": {},
                    "execution_count": None,
                    "outputs": [],
                    "source": cell,
                }
                for n, cell in enumerate(cells)
            ],
        }
    )


def zipped(path: Path, name: str, source: str) -> None:
    """Write an archive with one file."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, source)


def lay_students(root: Path, right: str, wrong: str) -> list[Path]:
    for student, source in (("s001", right), ("s002", wrong)):
        (root / student).mkdir(parents=True)
        (root / student / "leaky.py").write_text(source)
    return [root]


def lay_files(root: Path, right: str, wrong: str) -> list[Path]:
    root.mkdir()
    (root / "s001.py").write_text(right)
    (root / "s002.py").write_text(wrong)
    return [root]


def lay_archives(root: Path, right: str, wrong: str) -> list[Path]:
    root.mkdir()
    zipped(root / "s001.zip", "leaky.py", right)
    zipped(root / "s002.zip", "some/folder/leaky.py", wrong)
    return [root]


def lay_notebooks(root: Path, right: str, wrong: str) -> list[Path]:
    root.mkdir()
    (root / "s001.ipynb").write_text(notebook(right))
    (root / "s002.ipynb").write_text(notebook(wrong))
    return [root]


def lay_nbgrader(root: Path, right: str, wrong: str) -> list[Path]:
    for student, source in (("s001", right), ("s002", wrong)):
        place = root / "submitted" / student / "leaky"
        place.mkdir(parents=True)
        (place / "leaky.ipynb").write_text(notebook(source))
        (place / "timestamp.txt").write_text("2026-01-02 03:04:05 UTC")
        (root / "submitted" / student / "other").mkdir()
        (root / "submitted" / student / "other" / "other.ipynb").write_text(notebook("x = 1"))
    return [root / "submitted"]


def lay_mixture(root: Path, right: str, wrong: str) -> list[Path]:
    (root / "s001").mkdir(parents=True)
    (root / "s001" / "leaky.ipynb").write_text(notebook(right))
    zipped(root / "leaky-s002.zip", "leaky.py", wrong)
    return [root]


def lay_one_by_one(root: Path, right: str, wrong: str) -> list[Path]:
    lay_students(root, right, wrong)
    return [root / "s001", root / "s002"]


LAYOUTS = [lay_students, lay_files, lay_archives, lay_notebooks, lay_nbgrader, lay_mixture, lay_one_by_one]


@pytest.mark.parametrize("lay", LAYOUTS, ids=lambda lay: lay.__name__.removeprefix("lay_"))
def test_every_layout_gives_the_same_grades(grade, shared_tiny, tmp_path, lay):
    """However the work comes in, it is found, belongs to its student, and earns the same."""
    paths = lay(tmp_path / "in", shared_tiny.reference, shared_tiny.mutant("takes_all_input"))
    told = grade(*paths, "--json")
    assert told.code == 0, told.err
    reports = {one["student"]: one for one in told.objects}
    assert {student: one["earned"] for student, one in reports.items()} == {"s001": 100, "s002": 60}
    (hint,) = [check["hint"] for check in reports["s002"]["checks"] if check["hint"]]
    assert hint == shared_tiny.hint("takes_all_input")


def test_a_single_submission(grade, shared_tiny, tmp_path):
    """One file may be graded on its own."""
    (tmp_path / "s007.py").write_text(shared_tiny.reference)
    told = grade(tmp_path / "s007.py", "--json")
    assert [(one["student"], one["earned"]) for one in told.objects] == [("s007", 100)]


# --- ungraded, and what cannot be read -------------------------------------------------------------------------------

BROKEN = """
    import pathlib
    if pathlib.Path({flag!r}).exists():
        raise RuntimeError("the oracle is broken")
"""


def test_ungraded_is_listed_and_has_its_own_exit_code(grade, graded, tiny, inside, content, tmp_path):
    """Where our side fails there is no score: listed with the reason, exit code 3, no false zero anywhere."""
    flag = tmp_path / "flag"
    flag.touch()
    title = '    """run is right when it starts from zero."""\n'
    tiny.edit("test_hidden.py", title, title + BROKEN.format(flag=str(flag)))
    told = grade(graded.submissions, "--csv", tmp_path / "grades.csv", "--feedback", tmp_path / "feedback")
    assert told.code == 3
    assert "2 UNGRADED" in told.out
    assert told.out.count("RuntimeError: the oracle is broken") >= 2
    assert "ungraded: s001:" in told.out
    assert "100/100" not in told.out
    assert "Traceback" not in told.err
    with (tmp_path / "grades.csv").open(encoding="utf-8", newline="") as file:
        assert [(row["outcome"], row["earned"]) for row in csv.DictReader(file)] == [("ungraded", "")] * 2
    assert "oracle" not in (tmp_path / "feedback" / "s001.md").read_text()
    told = grade(graded.submissions, "--json")
    assert told.code == 3, "what is ungraded is never skipped, and fails again"
    assert [(one["outcome"], one["earned"]) for one in told.objects] == [("ungraded", None)] * 2
    checks = {check["id"]: check for check in told.objects[0]["checks"]}
    assert (checks["test_run_from_rest"]["outcome"], checks["test_run_from_rest"]["earned"]) == ("ungraded", None)
    assert (checks["test_run"]["outcome"], checks["test_run"]["earned"]) == ("passed", 35)
    told = inside("show", "leaky", "s001", "--gradebook", tmp_path / "grades.db")
    assert told.code == 3
    assert "the oracle is broken" in told.out

    flag.unlink()  # the same suite, mended by the machine
    told = grade(graded.submissions)
    assert told.code == 0
    assert "graded already" not in told.err
    assert "100/100" in told.out
    for _, *gradings in content(tmp_path / "grades.db").values():
        assert [g["report"]["outcome"] for g in gradings] == ["ungraded", "ungraded", "graded"]
        assert [g["current"] for g in gradings] == [False, False, True]


def test_a_repeat_that_fails_does_not_displace_a_grade(grade, graded, tiny, tmp_path):
    """An ungraded repetition with --fresh leaves the grade that was there."""
    flag = tmp_path / "flag"
    title = '    """run is right when it starts from zero."""\n'
    tiny.edit("test_hidden.py", title, title + BROKEN.format(flag=str(flag)))
    assert grade(graded.submissions).code == 0
    flag.touch()
    assert grade(graded.submissions, "--fresh").code == 3
    told = grade(graded.submissions, "--json")
    assert told.code == 0
    assert [one["earned"] for one in told.objects] == [100, 60]


def test_broken_after_an_answer_is_the_students(grade, graded, tiny, tmp_path):
    """A check that breaks on what a student returned is that student's failure, not ours."""
    (graded.submissions / "s001" / "leaky.py").write_text(tiny.reference + "\n\ndef step(x, h, a):\n    return 'x'\n")
    told = grade(graded.submissions, "--json")
    assert told.code == 0
    checks = {check["id"]: check["outcome"] for check in told.objects[0]["checks"]}
    assert checks["test_step"] == "failed"
    assert told.objects[0]["earned"] == 60


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_unreadable_file_is_ungraded(grade, graded):
    """A file that the machine does not let us read is nobody's zero."""
    (graded.submissions / "s001" / "leaky.py").chmod(0)
    told = grade(graded.submissions)
    assert told.code == 3
    assert "1 UNGRADED" in told.out


def test_problem_is_graded_with_its_reason(grade, graded, tmp_path):
    """What cannot be run at all is a zero with the reason, and the run is in order."""
    (graded.submissions / "s001" / "leaky.py").write_bytes(b"\xff\xfe\x00 nonsense \x80" * 50)
    told = grade(graded.submissions)
    assert told.code == 0
    row = rows_of(told.out)["s001"]
    assert "0/100" in row
    assert "leaky.py" in row


def test_identical_files_grade_everyone(grade, shared_tiny, tmp_path):
    """Students with the same bytes each have a grade and an attempt of their own."""
    shared_tiny.hand_in(tmp_path / "class", dict.fromkeys(("s001", "s002", "s003"), shared_tiny.reference))
    told = grade(tmp_path / "class", "--json")
    assert [(one["student"], one["earned"]) for one in told.objects] == [("s001", 100), ("s002", 100), ("s003", 100)]


def test_another_attempt_is_graded_and_the_first_kept(grade, graded, tiny, content, tmp_path):
    """Work that changed is another attempt; the gradebook keeps both with their files."""
    grade(graded.submissions)
    (graded.submissions / "s002" / "leaky.py").write_text(tiny.reference)
    told = grade(graded.submissions, "--json")
    assert "1 of 2 graded already" not in told.out
    assert [one["earned"] for one in told.objects] == [100, 100]
    first, second, old, new = content(tmp_path / "grades.db")["leaky/s002"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert second["files"] == {"leaky.py": tiny.reference.encode()}
    assert (old["report"]["earned"], old["current"]) == (60, False)
    assert (new["report"]["earned"], new["current"]) == (100, True)


def test_an_edited_suite_grades_everyone_anew(grade, graded, tiny):
    """Grades belong to the suite that gave them: another suite makes new ones, and no trap is left in a cache."""
    grade(graded.submissions)
    tiny.edit("test_hidden.py", "x, h, a = 1 + rng.random(), -1 - rng.random(), 0.85", "x, h, a = 2.0, 3.0, 0.25")
    told = grade(graded.submissions, "--json")
    assert "graded already" not in told.err
    assert [one["earned"] for one in told.objects] == [100, 60]
    hints = [check["hint"] for check in told.objects[1]["checks"] if check["hint"]]
    assert hints == [tiny.hint("keeps_everything")]
