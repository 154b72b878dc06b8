"""Misconceptions and mutants: reading them, and patching the reference."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.course.assignment import Assignment, Limits, Part
from grader.course.catalog import Course
from grader.course.misconceptions import Misconception, load_misconceptions
from grader.course.mutants import Mutant, Patch, apply_mutant, check_misconceptions, load_mutants
from grader.errors import CourseError

REFERENCE = '''\
"""A module."""


def f(x):
    ### BEGIN SOLUTION
    y = x + 1
    z = y + 1  # again
    return z
    ### END SOLUTION
'''

GOOD = """\
schema: mutants/1
mutants:
  - id: first
    misconception: m/first
    patch:
      - find: "y = x + 1"
        replace: "y = x"
    caught_by: [test_f, "test_g[W_hh]"]
    hint: "Something is
      missing."
    loses_only: [one, test_f]
  - id: second
    misconception: m/second
    patch:
      - {find: "+ 1", replace: "- 1", all: true}
      - find: |
              ### BEGIN SOLUTION
        replace: |
            pass  # nothing
    caught_by: [test_f]
    facts_only: true
"""


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    parts = (Part("one", "One", 1.0, {"f": "number"}), Part("two", "Two", 1.0))
    secret = tmp_path / "solutions" / "m"
    secret.mkdir(parents=True)
    return Assignment("m", "M", "m.py", (), (), Limits(), parts, tmp_path / "assignments" / "m", secret)


def write(assignment: Assignment, text: str) -> Path:
    assert assignment.secret is not None
    path = assignment.secret / "mutants.yaml"
    path.write_text(text)
    return path


def test_everything_is_read(assignment: Assignment) -> None:
    path = write(assignment, GOOD)
    first, second = load_mutants(assignment)
    assert first == Mutant(
        id="first",
        misconception="m/first",
        hint="Something is missing.",
        caught_by=("test_f", "test_g[W_hh]"),
        facts_only=False,
        loses_only=("one", "test_f"),
        patches=(Patch("y = x + 1", "y = x"),),
    )
    assert (second.hint, second.facts_only, second.loses_only) == ("", True, ())
    assert [patch.all for patch in second.patches] == [True, False]
    assert (first.where, first.patches[0].where) == (f"{path}:3:5", f"{path}:6:9")


MISTAKES = [
    ("schema: mutants/1", "schema: mutants/2", "1:9", "cannot be read"),
    ("id: first", "id: First", "3:9", "the id `First` is not allowed"),
    ("id: second", "id: first", "12:5", "two mutants have the id `first`"),
    ("    facts_only: true\n", "", "12:5", "mutant `second` has no hint"),
    ("facts_only: true", "facts_only: 1", "21:17", "must be true or false, not a whole number"),
    (
        "loses_only: [one, ",
        "loses_only: [oen, ",
        "11:18",
        "`oen` is neither a part nor a check. Did you mean `one`?",
    ),
    ("loses_only: [one, test_f]", "loses_only: []", "11:17", "must not be empty"),
    ('caught_by: [test_f, "test_g[W_hh]"]', "caught_by: []", "8:16", "must not be empty"),
    ('caught_by: [test_f, "test_g[W_hh]"]', "caught_by: test_f", "8:16", "must be a list, not text"),
    ('caught_by: [test_f, "test_g[W_hh]"]', "caught_by: [f]", "8:17", "`f` is no name of a check"),
    ('caught_by: [test_f, "test_g[W_hh]"]', "caught_by: [test_f, test_f]", "8:25", "names `test_f` twice"),
    ('replace: "y = x"', 'replace: "y = x + 1"', "6:9", "replaces a text by itself"),
    ('replace: "y = x"', "replace: 3", "7:18", "must be text, not a whole number. Put it in quotes."),
    ('find: "y = x + 1"', 'find: ""', "6:15", "is empty"),
    ('find: "y = x + 1"', 'fnid: "y = x + 1"', "6:9", "unknown key `fnid`. Did you mean `find`?"),
    ("hint: ", "hnt: ", "9:5", "unknown key `hnt`. Did you mean `hint`?"),
    ("all: true", "all: maybe", "15:44", "must be true or false, not text"),
    ("misconception: m/first", "misconception: [m]", "4:20", "must be text, not a list"),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), MISTAKES)
def test_every_mistake_has_its_place(assignment: Assignment, old: str, new: str, place: str, message: str) -> None:
    assert GOOD.count(old) == 1
    path = write(assignment, GOOD.replace(old, new))
    with pytest.raises(CourseError) as caught:
        load_mutants(assignment)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert message in str(caught.value)


def test_no_patch(assignment: Assignment) -> None:
    line = "  - {id: a, misconception: m/a, patch: [], caught_by: [test_f], hint: H}\n"
    write(assignment, f"schema: mutants/1\nmutants:\n{line}")
    with pytest.raises(CourseError, match=r":3:40: mutant `a` has no patch"):
        load_mutants(assignment)


def test_without_the_solutions(tmp_path: Path) -> None:
    public = Assignment("m", "M", "m.py", (), (), Limits(), (), tmp_path, None)
    with pytest.raises(CourseError, match="the solutions of `m` are not installed here"):
        load_mutants(public)


def test_a_missing_file(assignment: Assignment) -> None:
    with pytest.raises(CourseError, match=r"mutants\.yaml: the file is missing"):
        load_mutants(assignment)


# --- patching --------------------------------------------------------------------------------------------


def mutant(*patches: Patch) -> Mutant:
    return Mutant("a", "m/a", "H", ("test_f",), False, (), patches, where="mutants.yaml:3:5")


def test_patches_are_applied(assignment: Assignment) -> None:
    write(assignment, GOOD)
    first, second = (apply_mutant(one, REFERENCE) for one in load_mutants(assignment))
    assert first == REFERENCE.replace("y = x + 1", "y = x")
    assert second == REFERENCE.replace("+ 1", "- 1").replace("### BEGIN SOLUTION\n", "pass  # nothing\n")


def test_patches_see_the_reference_and_not_each_other() -> None:
    swap = (Patch("x + 1", "y + 2"), Patch("z = y + 1", "z = x + 1"))
    want = REFERENCE.replace("x + 1", "@").replace("z = y + 1", "z = x + 1").replace("@", "y + 2")
    assert apply_mutant(mutant(*swap), REFERENCE) == want
    assert apply_mutant(mutant(*swap[::-1]), REFERENCE) == want


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (
            [Patch("absent", "b", where="W:6:9")],
            "W:6:9: mutant `a`: the text to find does not occur in the ref",
        ),
        ([Patch("absent", "b", True, where="W:6:9")], "W:6:9: mutant `a`: the text to find does not occur"),
        ([Patch(" + 1", "", where="W:6:9")], "W:6:9: mutant `a`: the text to find occurs 2 times"),
        ([Patch("### ", "", where="W:6:9")], "occurs 2 times in the reference: `###`"),
        (
            [Patch("y = x + 1", "0", where="W:6:9"), Patch("x + 1", "1", where="W:7:9")],
            "W:7:9: mutant `a`: two",
        ),
        ([Patch("y = x", "y = (")], "mutants.yaml:3:5: mutant `a` does not compile (line 6: "),
        ([Patch("  # again", "")], "changes nothing but comments or spaces"),
        ([Patch("def f(x):", "def  f( x ):")], "changes nothing but comments or spaces"),
        ([Patch("y = x", "y = '\0'")], "mutants.yaml:3:5: mutant `a` does not compile"),
    ],
)
def test_patches_that_do_not_fit(patches: list[Patch], message: str) -> None:
    with pytest.raises(CourseError) as caught:
        apply_mutant(mutant(*patches), REFERENCE)
    assert message in str(caught.value)


def test_once_means_once_even_where_occurrences_overlap() -> None:
    with pytest.raises(CourseError, match="occurs 2 times"):
        apply_mutant(mutant(Patch("1, 1", "2")), "x = [1, 1, 1]\n")
    assert apply_mutant(mutant(Patch("1, 1", "2", all=True)), "x = [1, 1, 1, 1]\n") == "x = [2, 2]\n"


@given(st.lists(st.sampled_from(["ab", "x = 1", "\n", " "]), min_size=1, max_size=8), st.text("ab1", max_size=3))
def test_all_replaces_as_str_replace_does(pieces: list[str], new: str) -> None:
    reference = "".join(f"# {piece!r}\n" for piece in pieces) + "ab = 0\n"
    got = apply_mutant(mutant(Patch("ab", f"c{new}", all=True)), reference)
    assert got == reference.replace("ab", f"c{new}")


# --- misconceptions --------------------------------------------------------------------------------------

LISTING = """\
schema: misconceptions/1
misconceptions:
  bptt/forgets-the-carry:
    belief: "The gradient of h_t comes only from the loss at step t."
    read: "bptt, section 3"
  common/off-by-one: {belief: B, read: R}
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    (tmp_path / "assignments").mkdir()
    return Course(tmp_path, tmp_path / ".grader")


def test_misconceptions_are_read(course: Course) -> None:
    (course.root / "assignments" / "misconceptions.yaml").write_text(LISTING)
    got = load_misconceptions(course)
    assert list(got) == ["bptt/forgets-the-carry", "common/off-by-one"]
    assert got["bptt/forgets-the-carry"] == Misconception(
        "bptt/forgets-the-carry", "The gradient of h_t comes only from the loss at step t.", "bptt, section 3"
    )


def test_a_course_may_have_no_misconceptions(course: Course) -> None:
    assert load_misconceptions(course) == {}


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("misconceptions/1", "misconceptions/0", "1:9", "cannot be read"),
        ("bptt/forgets-the-carry", "carry", "3:3", "`carry` is no id of a misconception"),
        ("bptt/forgets-the-carry", "Bptt/carry", "3:3", "is no id of a misconception"),
        ("common/off-by-one", "bptt/forgets-the-carry", "6:3", "stands twice (first in line 3)"),
        ("    belief:", "    believe:", "4:5", "unknown key `believe`"),
        ("belief: B, ", "", "6:22", "the key `belief` is missing"),
        ("belief: B", "belief: ''", "6:31", "is empty"),
    ],
)
def test_mistakes_in_misconceptions(course: Course, old: str, new: str, place: str, message: str) -> None:
    path = course.root / "assignments" / "misconceptions.yaml"
    path.write_text(LISTING.replace(old, new))
    with pytest.raises(CourseError) as caught:
        load_misconceptions(course)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert message in str(caught.value)


def test_unknown_misconceptions(assignment: Assignment) -> None:
    path = write(assignment, GOOD)
    mutants = load_mutants(assignment)
    known = {name: Misconception(name, "B", "R") for name in ("m/first", "m/secnd")}
    check_misconceptions(mutants[:1], known)
    with pytest.raises(CourseError) as caught:
        check_misconceptions(mutants, known)
    assert str(caught.value).startswith(f"{path}:12:5: mutant `second` names the misconception `m/second`")
    assert str(caught.value).endswith("Did you mean `m/secnd`?")
    with pytest.raises(CourseError, match=r"Add it to assignments/misconceptions\.yaml"):
        check_misconceptions(mutants, {})
