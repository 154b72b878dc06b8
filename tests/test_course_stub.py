"""Deriving the stub from the reference, every way to get a marker wrong, and the leak search."""

from __future__ import annotations

import ast
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.course.assignment import Assignment, Limits, Part
from grader.course.notebook_form import derive_notebook
from grader.course.stub import BANNER, BEGIN, END, derive_stub, leaks, solution_lines, solution_regions
from grader.errors import CourseError

REFERENCE = '''\
"""A module."""

import numpy as np

LIMIT = 3


def step(x, h):
    """Return the next state."""
    ### BEGIN SOLUTION
    a = x + h  # a comment that stays secret
    def inner(b):
        return np.tanh(b)

    h = inner(a)
    ### END SOLUTION
    return h


class Cell:
    """A cell."""

    size = 4

    @property
    def double(self):
        """Return twice the size."""
        ### BEGIN SOLUTION
        return 2 * self.size
        ### END SOLUTION

    def two_places(self, flag):
        if flag:
            ### BEGIN SOLUTION
            flag = not flag
            ### END SOLUTION
        else:
            ### BEGIN SOLUTION
            flag = None
            ### END SOLUTION
        return flag
'''

STUB = (
    BANNER
    + '''
"""A module."""

import numpy as np

LIMIT = 3


def step(x, h):
    """Return the next state."""
    raise NotImplementedError("step: write this part")
    return h


class Cell:
    """A cell."""

    size = 4

    @property
    def double(self):
        """Return twice the size."""
        raise NotImplementedError("Cell.double: write this part")

    def two_places(self, flag):
        if flag:
            raise NotImplementedError("Cell.two_places: write this part")
        else:
            raise NotImplementedError("Cell.two_places: write this part")
        return flag
'''
)


def source(text: str) -> str:
    """Dedent, and let B and E stand for the markers."""
    lines = textwrap.dedent(text).strip("\n").split("\n")
    markers = {"B": BEGIN, "E": END}
    return "\n".join(line.replace(line.strip(), markers.get(line.strip(), line.strip())) for line in lines) + "\n"


def test_the_stub_to_the_letter() -> None:
    assert derive_stub(REFERENCE, "m.py") == STUB


def test_the_banner_is_one_line_that_fits() -> None:
    assert BANNER.startswith("# GENERATED")
    assert "\n" not in BANNER
    assert len(BANNER) <= 110


def test_line_ends_byte_order_mark_and_last_line() -> None:
    assert derive_stub(REFERENCE.replace("\n", "\r\n"), "m.py") == STUB
    assert derive_stub("\ufeff" + REFERENCE, "m.py") == STUB
    assert derive_stub(REFERENCE.rstrip("\n"), "m.py") == STUB


def test_names_of_nested_functions_and_classes() -> None:
    text = source("""
        class Outer:
            class Inner:
                async def run(self):
                    def helper():
                        B
                        return 1
                        E
                    class Local:
                        def f(self):
                            B
                            return 2
                            E
                    return helper
        """)
    assert [region.function for region in solution_regions(text, "m.py")] == ["helper", "Local.f"]
    outer = source(
        "class Outer:\n    class Inner:\n        def run(self):\n            B\n            1\n            E"
    )
    assert [region.function for region in solution_regions(outer, "m.py")] == ["Outer.Inner.run"]


def test_tabs_indent_too() -> None:
    text = f"def f():\n\t{BEGIN}\n\treturn 1\n\t{END}\n"
    assert derive_stub(text, "m.py").endswith('\traise NotImplementedError("f: write this part")\n')


def test_a_region_in_every_kind_of_block() -> None:
    text = source("""
        def f(x):
            for i in x:
                B
                i += 1
                E
            while x:
                B
                break
                E
            with x as y:
                B
                pass
                E
            try:
                B
                x()
                E
            except ValueError:
                B
                x()
                E
            finally:
                B
                x()
                E
            match x:
                case 1:
                    B
                    return 1
                    E
        """)
    assert len(solution_regions(text, "m.py")) == 7
    assert derive_stub(text, "m.py").count("raise NotImplementedError") == 7


def test_text_in_the_region_may_look_like_anything() -> None:
    text = source('''
        def f(x):
            B
            text = """
        not indented, and # no comment
            """
            return (x +
        1)
            E
        ''')
    assert derive_stub(text, "m.py") == f'{BANNER}\ndef f(x):\n    raise NotImplementedError("f: write this part")\n'


MISPLACED = [
    ("def f():\n    B\n    x = 1\n    B\n    return x\n    E", 4, "inside the region that line 2 opens"),
    ("def f():\n    return 1\n    E", 3, "without a `### BEGIN SOLUTION` before it"),
    ("def f():\n    B\n    return 1\n    E\n    E", 5, "without a `### BEGIN SOLUTION` before it"),
    ("def f():\n    B\n    return 1", 2, "is never closed"),
    ("def f():\n    B\n    return 1\n    E\n\n\ndef g():\n    B\n    return 1", 8, "is never closed"),
    ("x = 1\n\n\ndef f():\n    return 1", 4, "missing markers"),
    ("x = 1", 1, "missing markers"),
    ("def f():\n    B\n    return 1\n  E", 4, "not indented as its `### BEGIN SOLUTION` in line 2"),
    ("def f():\n  B\n    return 1\n  E", 2, "must be indented as the lines between them"),
    ("def f():\n    x = 1\n    B\n    E", 3, "the solution region is empty"),
    ("def f():\n    x = 1\n    B\n    # only words\n\n    E", 3, "the solution region is empty"),
    ("B\nx = 1\nE", 1, "must stand inside a function"),
    ("class C:\n    B\n    x = 1\n    E", 2, "must stand inside a function"),
    ("B\ndef f():\n    return 1\nE", 1, "must stand inside a function"),
    ("def f():\n    x = [\n    B\n        1,\n    E\n    ]", 3, "cuts a statement in two"),
    (
        "def f(x):\n    if x:\n        B\n        x = 1\n    else:\n        x = 2\n        E",
        3,
        "cuts a statement in two",
    ),
    (
        "def f(x):\n    B\n    if x:\n        x = 1\n    E\n    else:\n        x = 2",
        2,
        "cuts a statement in two",
    ),
    ("B\ndef f():\n    x = 1\nE\n    return x", 1, "cuts a statement in two"),
    ("@wraps\nB\ndef f():\n    return 1\nE", 2, "cuts a statement in two"),
    ("def f():\n    return 1  ### BEGIN SOLUTION", 2, "must stand on a line of its own"),
    ("def f():\n    '''\n    B\n    '''\n    E", 3, "inside a string marks nothing"),
    ("def f(:\n    B\n    E", 1, "not valid Python"),
    ("def f():\n    B\n    x = 1\n    E\n    def g():\n        nonlocal x", 6, "does not compile"),
]


@pytest.mark.parametrize(("text", "line", "message"), MISPLACED)
def test_misplaced_markers_name_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(CourseError) as caught:
        derive_stub(source(text), "dir/m.py")
    assert str(caught.value).startswith(f"dir/m.py:{line}: ")
    assert message in str(caught.value)


MISSPELT = [
    "## BEGIN SOLUTION",
    "# BEGIN SOLUTION",
    "#### BEGIN SOLUTION",
    "###BEGIN SOLUTION",
    "### BEGIN SOLUTIONS",
    "### Begin Solution",
    "### begin solution",
    "### BEGINSOLUTION",
    "### BEGIN_SOLUTION",
    "### BEGIN-SOLUTION",
    "### BEGIN SOLUTION:",
    "### BEGIN SOLUTION (part 2)",
    "### BEIGN SOLUTION",
    "### BEGIN SOLTUION",
    "### BEGIN SLUTION",
    "### START SOLUTION",
    "### START OF SOLUTION",
    "### SOLUTION BEGIN",
    "### SOLUTION",
    "### BEGIN",
    "### END",
    "### END SOLUTIONS",
    "### END OF SOLUTION",
    "### END OF THE SOLUTION",
    "### END SOLUTON",
    "### STOP SOLUTION",
    "## end solution",
    "#END SOLUTION",
]


@pytest.mark.parametrize("comment", MISSPELT)
def test_misspelt_markers_are_errors_wherever_they_stand(comment: str) -> None:
    good = source("def f():\n    B\n    return 1\n    E")
    for text, line in (
        (good + f"\n\ndef g():\n    {comment}\n    return 2\n", 8),
        (good.replace("return 1", f"{comment}\n    return 1"), 3),
        (good.replace("return 1", f"return 1  {comment}"), 3),
        (f"def g():\n    {comment}\n    return 2\n", 2),
    ):
        with pytest.raises(CourseError) as caught:
            derive_stub(text, "m.py")
        assert str(caught.value).startswith(f"m.py:{line}: `{comment}` looks like a solution marker")


def test_too_many_spaces_are_named() -> None:
    with pytest.raises(CourseError, match=r"^m\.py:2: `### BEGIN SOLUTION`, with more than one space between"):
        derive_stub("def f():\n    ### BEGIN  SOLUTION\n    return 1\n", "m.py")


@pytest.mark.parametrize(
    "comment",
    [
        "# the solution of the linear system",
        "# resolution",
        "# solution",
        "# begin with the last step",
        "# in the end, the state",
        "# beginning",
        "### Forward pass",
        "# ------------------",
        "#",
        "# dissolution starts here",
    ],
)
def test_ordinary_comments_are_left_alone(comment: str) -> None:
    text = source(f"def f():\n    {comment}\n    B\n    {comment}\n    return 1\n    E")
    assert comment in derive_stub(text, "m.py")


def test_solution_lines() -> None:
    regions = solution_lines(REFERENCE)
    assert [len(lines) for lines in regions] == [5, 1, 1, 1]
    assert regions[0][0] == "    a = x + h  # a comment that stays secret"
    assert regions[3] == ["            flag = None"]


# --- properties ------------------------------------------------------------------------------------------

Pair = tuple[list[str], list[str], list[list[str]]]  # lines of the reference, of the stub, and the regions


@st.composite
def block(draw: st.DrawFn, indent: str, function: str, depth: int) -> Pair:
    """Draw statements of one function body, some of them in solution regions."""
    reference: list[str] = []
    stub: list[str] = []
    regions: list[list[str]] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["plain", "region", "region", "if", "def"] if depth else ["plain", "region"]))
        if kind == "plain":
            lines = [indent + draw(st.sampled_from(STATEMENTS))]
            reference += lines
            stub += lines
        elif kind == "region":
            inner: list[str] = []
            for _ in range(draw(st.integers(1, 3))):
                inner += draw(st.sampled_from([[], [""], [indent + "# a remark"], ["# far left"]]))
                inner.append(indent + draw(st.sampled_from(STATEMENTS)))
            if draw(st.booleans()):
                inner += [indent + "if y:", indent + "    y = 2"]
            inner += draw(st.sampled_from([[], [""], [indent + "# a last remark"]]))
            reference += [indent + BEGIN, *inner, indent + END]
            stub.append(f'{indent}raise NotImplementedError("{function}: write this part")')
            regions.append(inner)
        else:
            head, name = ("if y:", function) if kind == "if" else ("def inner(y):", "inner")
            inside = draw(block(indent + "    ", name, depth - 1))
            reference += [indent + head, *inside[0]]
            stub += [indent + head, *inside[1]]
            regions += inside[2]
    return reference, stub, regions


STATEMENTS = [
    "y = 1",
    "y = [\n1,\n2]",
    "y = 1; z = 2",
    "s = '''\n### text\n'''",
    "return y",
    "raise ValueError",
    "pass",
]


@st.composite
def module(draw: st.DrawFn) -> Pair:
    """Draw a module of functions and methods with at least one solution region."""
    reference, stub, regions = ['"""Doc."""', "import math"], ['"""Doc."""', "import math"], []
    for number in range(draw(st.integers(1, 3))):
        extra = draw(st.sampled_from([[], [""], ["", "# about it"], ["SIZE = 3"], ["@staticmethod"]]))
        method = draw(st.booleans())
        if method and extra == ["@staticmethod"]:
            extra = []
        head = [f"class C{number}:", "    def f(self, y):"] if method else [f"def f{number}(y):"]
        body = draw(block("        " if method else "    ", f"C{number}.f" if method else f"f{number}", 2))
        reference += [*extra, *head, *body[0]]
        stub += [*extra, *head, *body[1]]
        regions += body[2]
    if not regions:
        reference += ["def last():", f"    {BEGIN}", "    return 1", f"    {END}"]
        stub += ["def last():", '    raise NotImplementedError("last: write this part")']
        regions.append(["    return 1"])
    return reference, stub, regions


@given(module())
@settings(max_examples=200, deadline=None)
def test_regions_anywhere_become_one_line_each(drawn: Pair) -> None:
    reference, stub, regions = drawn
    text = "\n".join(reference) + "\n"
    assert derive_stub(text, "m.py") == "\n".join([BANNER, *stub]) + "\n"
    want = ["\n".join(lines).split("\n") for lines in regions]
    assert solution_lines(text) == want


@given(module())
@settings(max_examples=100, deadline=None)
def test_the_notebook_holds_the_same_module(drawn: Pair) -> None:
    stub = "\n".join([BANNER, *drawn[1]]) + "\n"
    parts = (Part("one", "One", 1.0, {"f0": "any", "C0": "class"}), Part("two", "Two", 2.0, {"f1": "any"}))
    assignment = Assignment("m", "M", "m.py", (), (), Limits(), parts, Path("m"), None)
    notebook = json.loads(derive_notebook(stub, assignment))
    code = "\n\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(stub))
    words = [line.strip() for line in stub.split("\n")[1:] if line.strip()]
    assert [line.strip() for line in code.split("\n") if line.strip()] == words


@given(module(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_marker_taken_away_is_always_noticed(drawn: Pair, data: st.DataObject) -> None:
    reference = drawn[0]
    markers = [number for number, line in enumerate(reference) if line.strip() in (BEGIN, END)]
    gone = data.draw(st.sampled_from(markers))
    with pytest.raises(CourseError, match=r"^m\.py:\d+: "):
        derive_stub("\n".join(reference[:gone] + reference[gone + 1 :]) + "\n", "m.py")


@given(st.sampled_from([BEGIN, END]), st.data())
@settings(max_examples=300, deadline=None)
def test_one_wrong_character_in_a_marker_never_leaks(marker: str, data: st.DataObject) -> None:
    """Any single character deleted, replaced, inserted or swapped is an error, not a solution in the stub."""
    position = data.draw(st.integers(0, len(marker) - 1))
    new = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    wrong = data.draw(
        st.sampled_from(
            [
                marker[:position] + marker[position + 1 :],
                marker[:position] + new + marker[position + 1 :],
                marker[:position] + new + marker[position:],
                marker[:position] + marker[position : position + 2][::-1] + marker[position + 2 :],
            ]
        )
    )
    if wrong.strip() == marker:
        return
    text = source("def g():\n    B\n    return 0\n    E\n\n\ndef f(x):\n    B\n    x = 1\n    E\n    return x")
    head, _, tail = text.rpartition(f"    {marker}\n")
    with pytest.raises(CourseError, match=r"^m\.py:\d+: "):
        derive_stub(f"{head}    {wrong}\n{tail}", "m.py")


@given(st.integers(0, 12), st.sampled_from(["delete", "lower"]))
def test_a_pair_spelt_wrong_never_leaks(position: int, kind: str) -> None:
    """Where both markers of a region are wrong, nothing is unbalanced, and only the spelling can tell."""

    def spoil(marker: str) -> str:
        if kind == "lower":
            return marker[:position] + marker[position:].lower()
        return marker[:position] + marker[position + 1 :]

    text = source("def g():\n    B\n    return 0\n    E")
    text += f"\n\ndef f():\n    {spoil(BEGIN)}\n    return 1\n    {spoil(END)}\n"
    with pytest.raises(CourseError, match=r"^m\.py:8: "):
        derive_stub(text, "m.py")


# --- leaks -----------------------------------------------------------------------------------------------

SOLUTION = [
    [
        "    a = x @ W.T",
        "",
        "    a = a + b",
        "    h = np.tanh(a)",
        "    if h:",
        "        return (",
        "            h,",
        "        )",
        "    else:",
        "        return",
    ]
]


def test_three_lines_in_a_row_are_a_leak() -> None:
    text = "See:\n\n  a = x @ W.T\n  a = a + b\n\n\n  h = np.tanh(a)\nend"
    assert leaks(SOLUTION, text) == [("a = x @ W.T", "a = a + b", "h = np.tanh(a)")]


@pytest.mark.parametrize(
    "text",
    [
        "a = x @ W.T\na = a + b",  # two only
        "a = x @ W.T\na = a + b\nsomething()\nh = np.tanh(a)",  # interrupted
        "a = a + b\na = x @ W.T\nh = np.tanh(a)",  # another order
        "a = x @ W.T + 1\na = a + b\nh = np.tanh(a)",  # another line
        ")\nelse:\nreturn",  # says nothing
        "",
    ],
)
def test_what_is_no_leak(text: str) -> None:
    assert leaks(SOLUTION, text) == []


def test_trivial_lines_neither_hide_nor_make_a_leak() -> None:
    # Left out on both sides ...
    assert leaks([["f(", "a,", ")", "b = 2", "c = 3"]], "a,\nb = 2\n)\n\nc = 3") == [("a,", "b = 2", "c = 3")]
    # ... but three lines exactly as they stand count too, if two of them say something.
    assert leaks([["a = (1", ")", "b = 2"]], "a = (1\n)\nb = 2") == [("a = (1", ")", "b = 2")]
    assert leaks([["else:", "return", "b = 2"]], "else:\nreturn\nb = 2") == []


@pytest.mark.parametrize("prefix", ["# ", "> ", "### ", "    "])
def test_quoted_or_commented_out_is_still_a_leak(prefix: str) -> None:
    text = "\n".join(prefix + line.strip() for line in ("a = x @ W.T", "a = a + b", "h = np.tanh(a)"))
    assert leaks(SOLUTION, text)


def test_runs_do_not_reach_over_regions() -> None:
    assert leaks([["a = 1", "b = 2"], ["c = 3"]], "a = 1\nb = 2\nc = 3") == []


def test_a_notebook_is_searched_in_its_strings() -> None:
    cell = {"cell_type": "code", "source": ["a = x @ W.T\n", "a = a + b\n", "h = np.tanh(a)"]}
    assert leaks(SOLUTION, json.dumps({"cells": [cell]}))
    assert leaks(SOLUTION, json.dumps({"cells": [{"source": "".join(cell["source"])}]}))
    assert not leaks(SOLUTION, json.dumps({"cells": [{"source": cell["source"][:2]}]}))


def test_the_stub_of_the_example_does_not_leak_and_the_reference_does() -> None:
    regions = solution_lines(REFERENCE)
    assert leaks(regions, STUB) == []
    assert leaks(regions, REFERENCE)
