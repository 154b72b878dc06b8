"""The class as a terminal table, JSON lines and CSV: true in every form, and harmless in each."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from grader.checking.report import CheckResult, Diagnosis, Outcome, PartResult, Report
from grader.errors import GraderError
from grader.reports.csv_table import csv_text, write_csv
from grader.reports.json_lines import as_json, json_line, line_of, missing_as_json
from grader.reports.summary import class_summary, first_remark, outcome_words, summary_line
from grader.reports.terminal import class_table, rerun_command, submission_view
from grader.reports.text import counted, in_order, listed, points, printable_lines
from grader.submissions.roster import RosterEntry

HINT = "The carry from step t+1 is missing."


def result(name: str, part: str, outcome: Outcome = Outcome.PASSED, **more: object) -> CheckResult:
    earned = 2.5 if outcome is Outcome.PASSED else 0.0
    return CheckResult(f"test_{name}", part, f"Title of {name}", outcome, 2.5, earned, **more)


def report(student: str = "s001", *checks: CheckResult, **changes: object) -> Report:
    checks = checks or (result("a", "one"), result("b", "two"))
    parts = tuple(
        PartResult(
            part,
            f"Part {part}",
            sum(one.earned for one in checks if one.part == part),
            sum(one.points for one in checks if one.part == part),
        )
        for part in dict.fromkeys(one.part for one in checks)
    )
    plain = Report(
        assignment="bptt",
        student=student,
        name=f"Name of {student}",
        submission="ab12cd34" * 8,
        checks=checks,
        parts=parts,
        outcome="graded",
        earned=sum(part.earned for part in parts),
        possible=sum(part.possible for part in parts),
        tier=1,
        seed_id="5eed5eed5eed",
        fingerprint="f00d" * 16,
        cpu_seconds=0.25,
        peak_mb=48.5,
    )
    return dataclasses.replace(plain, **changes)


FAILED = result(
    "b",
    "two",
    Outcome.FAILED,
    facts=("wrong shape: (3, 4) where (3, 5) is asked",),
    hint=HINT,
    misconception="bptt/carry",
    mutant="no_carry",
    detail="assert close(got, want)\n  at (1, 2)",
    location="test_hidden.py:42",
    output="printed by the student\n",
)
UNGRADED = report(
    "s003",
    result("a", "one"),
    result("b", "two", Outcome.UNGRADED),
    outcome="ungraded",
    reason="the sandbox did not start",
)


def in_terminal(width: int = 160, color: str | None = None) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=color)


def piped() -> Console:
    return Console(file=io.StringIO())


def said(console: Console) -> str:
    return console.file.getvalue()


# --- terminal -------------------------------------------------------------------------------------


def a_class() -> tuple[list[Report], list[RosterEntry]]:
    reports = [
        report("s10", result("a", "one"), FAILED),
        report("s2"),
        UNGRADED,
        report("s4", *(result(name, part, Outcome.NOT_ATTEMPTED) for name, part in (("a", "one"), ("b", "two")))),
        report("s5", result("a", "one", Outcome.FAILED), problem="s5.py, line 1: invalid syntax"),
    ]
    return reports, [RosterEntry("s7", "Name of s7"), RosterEntry("s2", "not missing")]


@pytest.mark.parametrize("console", [piped(), in_terminal(), in_terminal(color="truecolor")])
def test_the_class_is_sorted_and_failures_are_words(console):
    class_table(*a_class(), console)
    text = said(console)
    found = [text.index(f"\n{student} ") for student in ("s2", "s4", "s5", "s7", "s10") if f"\n{student} " in text]
    if console.color_system is None:
        assert found == sorted(found)
        assert len(found) == 5
    for words in ("all passed", "1 failed", "2 not attempted", "cannot be run", "UNGRADED (1 check)"):
        assert words in text
    assert "not submitted" in text
    assert "s5.py, line 1: invalid syntax" in text
    assert "4 graded · mean 1.88 · median 1.25 · 1 UNGRADED · 1 not submitted" in text
    assert "ungraded: s003: the sandbox did not start" in text


def test_a_row_has_points_of_every_part_and_the_first_hint():
    console = piped()
    class_table([report("s1", result("a", "one"), FAILED), UNGRADED], [], console)
    head, failed, ungraded, *_ = said(console).split("\n")
    assert head.split() == ["student", "name", "points", "one", "two", "outcome", "remark"]
    assert failed == f"s1       Name of s1    2.5/5   2.5/2.5  0/2.5  1 failed            {HINT}"
    assert ungraded == "s003     Name of s003  –       –        –      UNGRADED (1 check)  the sandbox did not start"


def test_piped_lines_are_plain_and_whole():
    console = piped()
    long_hint = " ".join(["word"] * 20)
    class_table([report("s1", dataclasses.replace(FAILED, hint=long_hint))], [], console)
    assert long_hint in said(console)
    assert "\x1b" not in said(console)
    assert said(console).isascii() or set(said(console)) - {"·", "–"} <= set(map(chr, range(128)))


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40, 20])
def test_points_and_outcomes_are_never_cut(width):
    console = in_terminal(width)
    class_table(*a_class(), console)
    table = said(console)[: said(console).index(" graded · ")]
    for points_shown in ("2.5/5", "5/5", "0/5"):
        assert points_shown in table
    for words in ("all passed", "UNGRADED (1 check)", "2 not attempted", "cannot be run"):
        assert words in table
    if width >= 40:
        assert all(cell_len(line) <= width for line in table.split("\n"))


def test_hostile_names_stay_one_printable_line():
    hostile = "[red]x[/red]\x1b[31m\n\u202e" + "y" * 5000
    for console in (piped(), in_terminal()):
        class_table([report(hostile, name=hostile)], [RosterEntry(f"z{hostile}", hostile)], console)
        submission_view(report(hostile, FAILED, name=hostile, flags=(hostile,)), console, True)
        text = said(console)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[red]x[/red]\\x1b[31m" in text
        assert "y" * 501 not in text


def test_an_empty_class_has_a_line():
    console = piped()
    class_table([], [], console)
    assert "0 graded" in said(console)


def test_the_instructor_sees_everything_once():
    console = piped()
    checks = (result("a", "one"), FAILED)
    submission_view(
        report(
            "s001",
            *checks,
            set_aside=("notes.txt: not asked for",),
            flags=("uses torch",),
            diagnosis=Diagnosis((("no_carry", "bptt/carry", HINT, ("test_b",)),)),
        ),
        console,
        for_instructor=True,
    )
    text = said(console)
    for part in (
        "2.5 of 5 points",
        "tier 1",
        "0.25 CPU s",
        "one: Part one (2.5 of 2.5)",
        "passed  2.5/2.5  Title of a  [test_a]",
        "FAILED    0/2.5  Title of b  [test_b]",
        "wrong shape: (3, 4) where (3, 5) is asked",
        "at test_hidden.py:42",
        "assert close(got, want)",
        "printed by the student",
        "misconception bptt/carry, mutant no_carry",
        "again: grader show bptt s001 --check test_b",
        "notes.txt: not asked for",
        "uses torch",
    ):
        assert text.count(part) == 1, part
    assert text.count(HINT) == 1


def test_a_student_does_not_see_what_is_the_instructors():
    console = piped()
    submission_view(
        report(
            "s001",
            result("a", "one"),
            FAILED,
            flags=("uses torch",),
            diagnosis=Diagnosis((("no_carry", "bptt/carry", HINT, ("test_b",)),)),
        ),
        console,
        for_instructor=False,
    )
    text = said(console)
    assert HINT in text
    assert "wrong shape" in text
    for secret in ("test_hidden.py", "assert close", "printed by", "no_carry", "uses torch", "grader show"):
        assert secret not in text


def test_one_check_is_shown_alone_and_whole():
    console = piped()
    output = "".join(f"line {number}\n" for number in range(3000))
    noisy = dataclasses.replace(FAILED, output=output)
    submission_view(report("s001", result("a", "one"), noisy), console, True, check="test_b")
    text = said(console)
    assert "Title of a" not in text
    assert "line 0\n" in text
    assert "line 1500\n" in text
    assert "line 2999\n" in text
    assert HINT in text
    everything = piped()
    submission_view(report("s001", result("a", "one"), noisy), everything, True)
    assert "line 1500\n" not in said(everything)
    assert "left out" in said(everything)
    assert "line 2999\n" in said(everything)


def test_an_unknown_check_is_one_line_with_the_nearest():
    with pytest.raises(GraderError, match=r"no check 'test_bb' .* Did you mean test_b\?"):
        submission_view(report("s001", result("a", "one"), FAILED), piped(), True, check="test_bb")


def test_ungraded_shows_no_score():
    console = piped()
    submission_view(UNGRADED, console, for_instructor=True)
    assert "no score · UNGRADED (1 check)" in said(console)
    assert "ungraded because: the sandbox did not start" in said(console)
    assert "one: Part one (– of 2.5)" in said(console)
    assert "UNGRADED    –/2.5" in said(console)


@pytest.mark.parametrize(
    ("student", "check", "command"),
    [
        ("s001", "test_b", "grader show bptt s001 --check test_b"),
        ("a b", "test_b[W_hh]", "grader show bptt 'a b' --check 'test_b[W_hh]'"),
        ("-x", "test_b", "grader show --check test_b -- bptt -x"),
        ("$(reboot)", "test_b", "grader show bptt '$(reboot)' --check test_b"),
    ],
)
def test_the_command_to_run_a_check_again_can_be_pasted(student, check, command):
    assert rerun_command(report(student), check) == command


# --- the words ------------------------------------------------------------------------------------


def test_summary_counts_only_what_is_graded_in_the_mean():
    reports, missing = a_class()
    summary = class_summary(reports, missing)
    assert (summary.graded, summary.ungraded, summary.missing) == (4, 1, 1)
    assert summary.mean == pytest.approx((2.5 + 5 + 0 + 0) / 4)
    assert summary.median == pytest.approx(1.25)
    assert summary_line(class_summary([], missing)) == "0 graded · 2 not submitted"
    assert summary_line(class_summary([report()], [])) == "1 graded · mean 5 · median 5 of 5"
    assert summary_line(class_summary([UNGRADED], [])) == "0 graded · 1 UNGRADED"


def test_outcomes_in_words():
    mixed = [
        result("a", "one", Outcome.FAILED),
        result("b", "one", Outcome.TIMED_OUT),
        result("c", "one", Outcome.FAILED),
    ]
    assert outcome_words(report("s", *mixed)) == "2 failed, 1 timed out"
    assert outcome_words(report("s", outcome="not submitted")) == "not submitted"
    assert outcome_words(report("s", outcome="ungraded")) == "UNGRADED"


def test_the_first_remark_is_the_most_helpful():
    plain = dataclasses.replace(FAILED, hint=None)
    waiting = result("w", "one", Outcome.NOT_ATTEMPTED, facts=("not written",))
    diagnosis = Diagnosis((("m", "c", "From the\n diagnosis.", ("test_b",)),))
    assert first_remark(report("s")) == ""
    assert first_remark(report("s", waiting, plain)) == "wrong shape: (3, 4) where (3, 5) is asked"
    assert first_remark(report("s", plain, FAILED)) == HINT
    assert first_remark(report("s", FAILED, diagnosis=diagnosis)) == "From the diagnosis."
    assert first_remark(report("s", FAILED, problem="unreadable")) == "unreadable"
    assert first_remark(UNGRADED) == "the sandbox did not start"


def test_small_words():
    assert [points(value) for value in (100.0, 72.5, 1 / 3, -0.0, 99.99999999)] == [
        "100",
        "72.5",
        "0.33",
        "0",
        "100",
    ]
    assert (counted(1, "check"), counted(2, "check")) == ("1 check", "2 checks")
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")
    assert sorted(["s10", "S3", "s2", "s2b", "s", "10", "9"], key=in_order) == [
        "9",
        "10",
        "s",
        "s2",
        "s2b",
        "S3",
        "s10",
    ]


@given(st.lists(st.text("sS0123é", max_size=4), unique=True, max_size=8))
def test_any_ids_have_one_order(students):
    backwards = students[::-1]
    assert sorted(students, key=in_order) == sorted(backwards, key=in_order)


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.integers(2, 100), st.integers(2, 10))
def test_blocks_are_printable_and_bounded(text, limit, lines):
    shown = printable_lines(text, limit, lines)
    assert all(line.isprintable() for line in shown)
    assert len(shown) <= lines + 2


# --- JSON -----------------------------------------------------------------------------------------


def test_json_has_exactly_the_promised_keys():
    value = as_json(report("s001", result("a", "one"), FAILED, set_aside=("notes.txt: no",)))
    assert value == {
        "version": 1,
        "student": "s001",
        "assignment": "bptt",
        "earned": 2.5,
        "possible": 5.0,
        "outcome": "graded",
        "parts": [
            {"id": "one", "earned": 2.5, "possible": 2.5},
            {"id": "two", "earned": 0.0, "possible": 2.5},
        ],
        "checks": [
            {
                "id": "test_a",
                "part": "one",
                "title": "Title of a",
                "outcome": "passed",
                "earned": 2.5,
                "points": 2.5,
                "hint": None,
            },
            {
                "id": "test_b",
                "part": "two",
                "title": "Title of b",
                "outcome": "failed",
                "earned": 0.0,
                "points": 2.5,
                "hint": HINT,
            },
        ],
        "tier": 1,
        "seed_id": "5eed5eed5eed",
        "fingerprint": "f00d" * 16,
        "cpu_seconds": 0.25,
        "peak_mb": 48.5,
        "set_aside": ["notes.txt: no"],
    }


def test_json_never_turns_ungraded_into_zero():
    value = as_json(UNGRADED)
    assert value["earned"] is None
    assert [part["earned"] for part in value["parts"]] == [None, None]
    assert [one["earned"] for one in value["checks"]] == [2.5, None]
    missing = missing_as_json(RosterEntry("s009", "Student Nine"), "bptt", 5.0)
    assert missing.keys() == value.keys()
    assert (missing["student"], missing["outcome"], missing["earned"]) == ("s009", "not submitted", None)
    assert json.loads(line_of(missing)) == missing


@given(text=st.text(st.characters(exclude_categories=()), max_size=30))
def test_json_is_one_ascii_line_that_reads_back(text):
    line = json_line(report(text, dataclasses.replace(FAILED, title=text), set_aside=(text,)))
    assert line.isascii()
    assert "\n" not in line
    assert "\x1b" not in line
    back = json.loads(line)
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # as JSON pairs surrogates
    assert back["student"] == joined
    assert back["set_aside"] == [joined]


# --- CSV ------------------------------------------------------------------------------------------


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_a_row_for_everyone_and_no_false_zero():
    rows = read_csv(csv_text(*a_class()))
    assert [row["student"] for row in rows] == ["s2", "s003", "s4", "s5", "s7", "s10"]
    of = {row["student"]: row for row in rows}
    assert (of["s10"]["earned"], of["s10"]["part:one"], of["s10"]["part:two"]) == ("2.5", "2.5", "0")
    assert (of["s4"]["earned"], of["s4"]["outcome"]) == ("0", "graded")
    assert (of["s003"]["outcome"], of["s003"]["earned"], of["s003"]["part:one"]) == ("ungraded", "", "")
    assert (of["s7"]["outcome"], of["s7"]["earned"], of["s7"]["name"]) == ("not submitted", "", "Name of s7")
    assert of["s10"]["remark"] == HINT
    assert of["s003"]["remark"] == "the sandbox did not start"


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", '=HYPERLINK("http://x")']


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text):
    rows = list(
        csv.reader(
            io.StringIO(
                csv_text(
                    [report(text, name=text, flags=(text,), set_aside=(text,), problem=text)],
                    [RosterEntry(text + "2", text)],
                ),
                newline="",
            )
        )
    )
    assert len(rows) == 3
    for row in rows:
        for cell in row:
            assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))


@given(text=st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_stays_in_its_cell(text):
    made = report("s1", FAILED, name=text, flags=(text,), set_aside=(text, text), problem=text)
    table = csv_text([made, report("s2")], [RosterEntry("s3", text)])
    rows = list(csv.reader(io.StringIO(table, newline="")))
    assert [row[0] for row in rows] == ["student", "s1", "s2", "s3"]
    assert len({len(row) for row in rows}) == 1
    assert all(cell.isprintable() for row in rows for cell in row)


def test_csv_quotes_what_needs_it():
    assert '"a ""quoted"", name"' in csv_text([report(name='a "quoted", name')], [])


def test_csv_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "grades.csv"
    write_csv(path, *a_class())
    assert path.read_bytes().decode() == csv_text(*a_class())
    assert path.read_bytes().count(b"\r\n") == 7
    assert [entry.name for entry in tmp_path.iterdir()] == ["grades.csv"]
    with pytest.raises(GraderError) as caught:
        write_csv(path / "below.csv", *a_class())
    assert "\n" not in str(caught.value)
    assert path.read_bytes().decode() == csv_text(*a_class())


# --- cost -----------------------------------------------------------------------------------------


def test_importing_the_reports_loads_no_heavy_library():
    code = (
        "import sys, grader.reports.terminal, grader.reports.json_lines, grader.reports.csv_table,"
        " grader.reports.markdown\n"
        "print(sorted({'rich', 'numpy', 'torch', 'sqlalchemy', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        timeout=60,
    )
    assert done.stdout == "[]\n", done.stderr
