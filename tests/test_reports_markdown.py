"""Feedback in Markdown says what is so, once; it tells no secret, and nothing a student wrote acts in it."""

from __future__ import annotations

import dataclasses
import html
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from grader.checking.report import CheckResult, Diagnosis, Outcome, PartResult, Report
from grader.errors import GraderError
from grader.reports.markdown import feedback, file_names, missing_feedback, write_feedback
from grader.reports.text import markdown_prose, markdown_text, printable
from grader.submissions.roster import RosterEntry

TITLE = "Backpropagation through time"
HINT = "The carry from step t+1 is missing."


def check(name: str, part: str, outcome: Outcome = Outcome.PASSED, points: float = 2.0, **more: object) -> CheckResult:
    earned = points if outcome is Outcome.PASSED else 0.0
    return CheckResult(f"test_{name}", part, f"Title of {name}", outcome, points, earned, **more)


def report(*checks: CheckResult, **changes: object) -> Report:
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
        student="s001",
        name="Student One",
        submission="ab12cd34" * 8,
        checks=checks,
        parts=parts,
        outcome="graded",
        earned=sum(part.earned for part in parts),
        possible=sum(part.possible for part in parts),
        tier=1,
        seed_id="5eed5eed5eed",
        fingerprint="f00d" * 16,
    )
    return dataclasses.replace(plain, **changes)


def diagnosed(*explained: str, misconception: str = "bptt/carry") -> Diagnosis:
    return Diagnosis((("mutant_id", misconception, HINT, explained),))


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


# --- escaping -------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- comment",
    "[click](javascript:alert(1))",
    "![picture](http://example.org/x.png)",
    "http://example.org www.example.org",
    "**bold** _em_ ~~gone~~ `code`",
    "| a | b |",
    "# heading",
    "- item",
    "1. item",
    "23) item",
    "> quote",
    "=====",
    "---",
    "    indented code",
    "```\nfence",
    "a\n\n# b",
    "&lt;b&gt; &amp;",
    "\\",
    "\\*",
    "x  ",
    "$x_1$",
    "[^1]: note",
    "[a]: http://example.org",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "a\u2028b",
    "\ud800",
    "tab\there",
]


def shows_exactly(text: str, limit: int) -> None:
    line = markdown_text(text, limit)
    assert "\n" not in line
    # Wherever it stands: in a paragraph, a list item, a quotation, a heading, a table cell.
    inside = printable(text, limit)
    for before, after, around in (
        ("x\n\n", "", ["p", "p"]),
        ("x\n\n- ", "", ["p", "ul", "li"]),
        ("x\n\n> ", "", ["p", "blockquote", "p"]),
        ("x\n\n# ", "", ["p", "h1"]),
        ("| x |\n| --- |\n| ", " |", ["table", "thead", "tr", "th", "tbody", "tr", "td"]),
    ):
        page = rendered(f"{before}{line}{after}\n")
        if not inside:
            around = around[:-1] if around[-1] == "p" else around  # an empty paragraph is none
        assert re.findall(r"<([a-z0-9]+)[^>]*>", page) == around
        assert text_of(page).split() == ["x", *inside.split()]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text):
    shows_exactly(text, 200)


markdown_characters = st.text(
    st.sampled_from(list("\\`*_[](){}<>#+-=.!|~$&:;/'\"@^% 19ax\n\t")) | st.characters(exclude_categories=()),
    max_size=40,
)


@given(text=markdown_characters, limit=st.integers(1, 60))
@example(text="1.", limit=60)
@example(text="+", limit=60)
def test_any_text_is_shown_and_does_nothing(text, limit):
    shows_exactly(text, limit)


@pytest.mark.parametrize("text", HOSTILE)
def test_bare_addresses_do_not_become_links(text):
    line = markdown_text(text)
    assert "://" not in line
    assert not re.search(r"www\.", line)


@given(text=markdown_characters)
def test_an_authors_text_keeps_code_spans_and_nothing_else(text):
    page = rendered(f"x {markdown_prose(text)}\n")
    assert set(re.findall(r"<([a-z0-9]+)[^>]*>", page)) <= {"p", "code"}, page


def test_an_authors_code_span_survives():
    assert rendered(markdown_prose("use `W_hh * dh` and not W_hh_2 * x")) == (
        "<p>use <code>W_hh * dh</code> and not W_hh_2 * x</p>\n"
    )


@given(text=st.text(st.characters(exclude_categories=())), limit=st.integers(0, 50))
def test_printable_text_is_printable_and_short(text, limit):
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()


# --- what the page says ---------------------------------------------------------------------------


def test_full_marks_are_said_shortly():
    page = feedback(report(check("a", "one"), check("b", "two", points=98)), TITLE)
    assert page.startswith("# Backpropagation through time: feedback\n\n**s001** · Student One\n")
    assert "**100 of 100 points.** 2 of 2 checks passed." in page
    assert "| Part one | 2 of 2 | 1 of 1 |" in page
    assert "Nothing is missing here." in page
    assert "grader check" not in page


def test_one_explanation_is_said_once_at_the_top():
    failing = [
        check(name, part, Outcome.FAILED, facts=(f"fact of {name}",), hint=HINT, misconception="bptt/carry")
        for name, part in (("a", "one"), ("b", "one"), ("c", "two"))
    ]
    page = feedback(
        report(*failing, check("d", "two"), diagnosis=diagnosed("test_a", "test_b", "test_c")),
        TITLE,
        reading={"bptt/carry": "bptt, section 3"},
    )
    assert page.count(HINT) == 1
    assert page.index("## What explains it") < page.index(HINT) < page.index("## Part one")
    assert "One mistake explains all 3 checks that failed." in page
    assert "Read on: bptt, section 3" in page
    assert page.count("Explained above.") == 3
    assert all(f"fact of {name}" in page for name in "abc")


def test_what_is_not_attempted_does_not_spoil_the_explanation():
    page = feedback(
        report(
            check("a", "one", Outcome.FAILED, hint=HINT),
            check("b", "two", Outcome.NOT_ATTEMPTED),
            diagnosis=diagnosed("test_a"),
        ),
        TITLE,
    )
    assert "One mistake explains the one check that failed." in page
    assert "Still to be written: “Part two”." in page
    assert "## Part two" not in page


def test_two_mistakes_are_told_apart():
    diagnosis = Diagnosis((("m1", "c/1", "First.", ("test_a",)), ("m2", "c/2", "Second.", ("test_b",))))
    page = feedback(
        report(check("a", "one", Outcome.FAILED), check("b", "one", Outcome.FAILED), diagnosis=diagnosis),
        TITLE,
    )
    assert "Two separate mistakes together explain both checks that failed." in page
    assert "> First." in page
    assert "> Second." in page


def test_without_an_explanation_there_are_facts_and_no_hint():
    page = feedback(
        report(
            check("a", "one", Outcome.FAILED, facts=("wrong shape: (3, 4) where (3, 5) is asked",)),
            check("b", "one", Outcome.TIMED_OUT),
            check("c", "one", Outcome.OUT_OF_MEMORY),
            check("d", "one", Outcome.RAISED, facts=tuple(f"fact {number}" for number in range(9))),
        ),
        TITLE,
    )
    assert "## What explains it" not in page
    assert "Hint" not in page
    assert "- **Failed**: Title of a (0 of 2)\n  - wrong shape: (3, 4) where (3, 5) is asked\n" in page
    assert "- **Timed out**: Title of b" in page
    assert "- **Out of memory**: Title of c" in page
    assert "  - fact 5\n  - and 3 more of this kind" in page
    for advice in (
        "on an example small enough",
        "a loop that does not end",
        "arrays that grow",
        "shows the line",
    ):
        assert advice in page


def test_the_untouched_stub_is_told_to_begin():
    page = feedback(report(check("a", "one", Outcome.NOT_ATTEMPTED), check("b", "two", Outcome.NOT_ATTEMPTED)), TITLE)
    assert "**0 of 4 points.**" in page
    assert "the untouched handout was handed in by mistake" in page


def test_a_file_that_cannot_be_run_is_zero_with_the_reason():
    checks = (check("a", "one", Outcome.FAILED), check("b", "one", Outcome.FAILED))
    page = feedback(report(*checks, problem="bptt.py, line 3: <invalid> syntax"), TITLE)
    assert "**0 of 4 points.** Your submission could not be run" in page
    assert "> bptt.py, line 3: &lt;invalid&gt; syntax" in page
    assert "Title of a" not in page


def test_ungraded_is_no_zero_and_not_the_students_doing():
    checks = (check("a", "one"), check("b", "one", Outcome.UNGRADED))
    page = feedback(report(*checks, outcome="ungraded", reason="SECRET: no sandbox in /srv/grader", earned=2.0), TITLE)
    assert "**Not graded yet.** 1 of 2 checks could not be run, for a reason on our side." in page
    assert "This is not your doing, and it is not a zero" in page
    assert "SECRET" not in page
    assert not re.search(r"\d points", page)
    whole = feedback(report(outcome="ungraded", reason="no sandbox"), TITLE)
    assert "Your submission could not be graded, for a reason on our side." in whole


def test_not_submitted_is_no_zero():
    page = missing_feedback(RosterEntry("s009", "Student <Nine>"), TITLE)
    assert "**Not submitted.**" in page
    assert "no score" in page
    assert "Student &lt;Nine&gt;" in page
    assert not re.search(r"\b0\b", page)
    assert feedback(report(outcome="not submitted", student="s009", name="Student <Nine>"), TITLE) == page


def test_what_was_set_aside_is_listed_and_bounded():
    page = feedback(report(check("a", "one"), set_aside=tuple(f"file {n}: no" for n in range(40))), TITLE)
    assert page.count("\n- file ") == 25
    assert "- and 15 more" in page


SECRETS = {
    "detail": "SECRET-detail",
    "location": "SECRET-location",
    "output": "SECRET-output",
    "mutant": "SECRET-mutant",
    "misconception": "SECRET-misconception",
}


@given(
    outcomes=st.lists(st.sampled_from(Outcome), min_size=1, max_size=6),
    explained=st.booleans(),
    outcome=st.sampled_from(["graded", "ungraded", "not submitted"]),
    problem=st.none() | st.just("cannot be imported"),
)
def test_nothing_of_the_instructors_reaches_a_student(outcomes, explained, outcome, problem):
    checks = tuple(check(f"c{n}", "one", kind, **SECRETS) for n, kind in enumerate(outcomes))
    hints = (("SECRET-mutant", "SECRET-misconception", HINT, tuple(one.id for one in checks)),)
    page = feedback(
        report(
            *checks,
            outcome=outcome,
            problem=problem,
            reason="SECRET-reason",
            flags=("SECRET-flag",),
            diagnosis=Diagnosis(hints if explained else ()),
        ),
        TITLE,
    )
    assert "SECRET" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_student_acts_in_the_page(text):
    hostile = report(
        check("a", "one", Outcome.RAISED, facts=(text, f"raised ValueError: {text}")),
        check("b", "one"),
        student=text,
        name=text,
        set_aside=(text,),
    )
    tame = dataclasses.replace(
        hostile,
        student="x",
        name="x",
        set_aside=("x",),
        checks=(dataclasses.replace(hostile.checks[0], facts=("x", "x")), hostile.checks[1]),
    )
    tags = re.compile(r"<[^>]*>")
    assert tags.findall(rendered(feedback(hostile, TITLE))) == tags.findall(rendered(feedback(tame, TITLE)))
    broken = dataclasses.replace(hostile, problem=text)
    still = dataclasses.replace(tame, problem="x")
    assert tags.findall(rendered(feedback(broken, TITLE))) == tags.findall(rendered(feedback(still, TITLE)))


def test_endless_text_is_cut():
    endless = "a" * 10_000_000
    page = feedback(
        report(
            check("a", "one", Outcome.RAISED, facts=(endless,) * 50),
            student=endless,
            name=endless,
            set_aside=(endless,) * 1000,
        ),
        TITLE,
    )
    assert len(page) < 20_000


# --- files ----------------------------------------------------------------------------------------


def test_every_student_gets_a_file(tmp_path):
    folder = tmp_path / "deep" / "feedback"
    reports = [report(check("a", "one"), student=student) for student in ("s10", "s2")]
    missing = [RosterEntry("s3", "Student Three"), RosterEntry("s2", "has a report")]
    written = write_feedback(folder, reports, TITLE, missing=missing)
    assert [path.name for path in written] == ["s2.md", "s10.md", "s3.md"]
    assert sorted(path.name for path in folder.iterdir()) == ["s10.md", "s2.md", "s3.md"]
    assert written[0].read_text(encoding="utf-8") == feedback(reports[1], TITLE)
    assert "Not submitted" in (folder / "s3.md").read_text(encoding="utf-8")
    write_feedback(folder, reports[:1], "Another title")
    assert (folder / "s10.md").read_text(encoding="utf-8").startswith("# Another title")


def test_file_names_are_safe_and_different():
    students = [
        "s001",
        "a.b-c_1",
        "../../etc/passwd",
        "/absolute",
        "..",
        ".",
        ".hidden",
        "",
        "con",
        "NUL.txt",
        "-rf",
        "Same",
        "same",
        "a/b",
        "a_b",
        "a\\b",
        "x" * 300,
        "\u202ex",
        "é",
        "e\u0301",
        "a b",
        "\ud800",
    ]
    names = file_names(students)
    assert names["s001"] == "s001.md"
    assert names["a.b-c_1"] == "a.b-c_1.md"
    assert len({name.casefold() for name in names.values()}) == len(students)
    for name in names.values():
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.~-]*\.md", name), name
        assert len(name) <= 100
    assert names["con"].startswith("con~")


@given(students=st.lists(st.text(max_size=10), unique=True, max_size=20))
def test_any_ids_get_different_safe_names(students):
    names = file_names(students)
    assert len({name.casefold() for name in names.values()}) == len(students)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.~-]*\.md", name) for name in names.values())


def test_a_place_that_cannot_hold_feedback_is_one_line(tmp_path):
    in_the_way = tmp_path / "feedback"
    in_the_way.write_text("a file")
    with pytest.raises(GraderError) as caught:
        write_feedback(in_the_way, [report(check("a", "one"))], TITLE)
    assert "\n" not in str(caught.value)
    assert str(in_the_way) in str(caught.value)
    assert in_the_way.read_text() == "a file"


def test_a_link_in_the_way_is_replaced_and_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    folder = tmp_path / "feedback"
    folder.mkdir()
    os.symlink(target, folder / "s001.md")
    (written,) = write_feedback(folder, [report(check("a", "one"))], TITLE)
    assert target.read_text() == "precious"
    assert not Path(written).is_symlink()
