"""Notebooks: code cells in order, IPython's own lines set aside, and every broken notebook told in a line."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import SubmissionError
from grader.submissions.magics import set_magics_aside
from grader.submissions.notebook import read_cells, read_notebook, slim_notebook


def code(source: object, **more: object) -> dict[str, object]:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], **more}


def prose(source: object, kind: str = "markdown") -> dict[str, object]:
    return {"cell_type": kind, "source": source, "metadata": {}}


def book(*cells: object, **more: object) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells), **more}).encode()


def read(*cells: object) -> tuple[list[tuple[str, str]], list[str]]:
    chunks, notes = read_notebook(book(*cells), "bptt.ipynb")
    return [(chunk.label, chunk.source) for chunk in chunks], notes


def cleaned(source: str) -> str | None:
    return set_magics_aside(source).source


def notes_of(source: str) -> list[tuple[int | None, str]]:
    return list(set_magics_aside(source).notes)


# -------- cells


def test_code_cells_in_order_labelled_as_a_student_counts() -> None:
    chunks, notes = read(prose("# Title"), code("a = 1"), prose("x", "raw"), code(["b = 2\n", "c = 3"]), code("  \n"))
    assert chunks == [("cell 2", "a = 1"), ("cell 4", "b = 2\nc = 3")]
    assert notes == []


def test_line_ends_are_made_alike() -> None:
    assert read(code("a = 1\r\nb = 2\rc = 3"))[0] == [("cell 1", "a = 1\nb = 2\nc = 3")]


def test_version_3_is_tolerated() -> None:
    sheets = [
        {
            "cells": [
                {"cell_type": "heading", "source": "T"},
                {"cell_type": "code", "input": ["a = 1\n", "b = 2"]},
            ]
        },
        {"cells": [{"cell_type": "code", "input": "c = 3"}]},
    ]
    content = json.dumps({"nbformat": 3, "metadata": {}, "worksheets": sheets}).encode()
    chunks, _ = read_notebook(content, "old.ipynb")
    assert [(chunk.label, chunk.source) for chunk in chunks] == [
        ("cell 2", "a = 1\nb = 2"),
        ("cell 3", "c = 3"),
    ]


def test_outputs_and_metadata_are_never_used() -> None:
    loud = code("a = 1", outputs=[{"output_type": "stream", "text": "import os"}], metadata={"source": "evil()"})
    chunks, notes = read_notebook(book(loud, metadata={"kernelspec": {"language": "julia"}}), "n")
    assert [chunk.source for chunk in chunks] == ["a = 1"]
    assert notes == []


def test_byte_order_marks_are_read() -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        content = book(code("a = 'é'")).decode().encode(encoding)
        assert read_notebook(content, "n")[0][0].source == "a = 'é'"


def test_text_that_is_no_text_sets_the_cell_aside() -> None:
    chunks, notes = read(code("a = '\ud800'"), code("b\0 = 1"), code("c = 3"))
    assert chunks == [("cell 3", "c = 3")]
    reason = "the whole cell, it holds characters that are not text"
    assert notes == [f"cell 1: {reason}", f"cell 2: {reason}"]


# -------- magics


@pytest.mark.parametrize(
    ("source", "expected", "note"),
    [
        ("%matplotlib inline", "# %matplotlib inline", "magic %matplotlib inline"),
        ("!pip install numpy", "# !pip install numpy", "shell line !pip install numpy"),
        ("!!ls", "# !!ls", "shell line !!ls"),
        ("?forward", "# ?forward", "help ?forward"),
        ("forward?", "# forward?", "help forward?"),
        ("np.dot??  ", "# np.dot??  ", "help np.dot??"),
        ("files = !ls *.py", "files = None", "shell line files = !ls *.py"),
        ("t =%timeit -o f(x)", "t = None", "magic t =%timeit -o f(x)"),
        ("o.a[1] = %time f()", "o.a[1] = None", "magic o.a[1] = %time f()"),
        ("x: int = !ls", "x: int = None", "shell line x: int = !ls"),
        ("a, b = !ls", "# a, b = !ls", "shell line a, b = !ls"),
        ("!echo 'it is not closed", "# !echo 'it is not closed", "shell line !echo 'it is not closed"),
        ("%time x = (1 +", "# %time x = (1 +", "magic %time x = (1 +"),
    ],
)
def test_one_line(source: str, expected: str, note: str) -> None:
    assert cleaned(source) == expected
    assert notes_of(source) == [(1, note)]
    # The same line between others: theirs stay, and so do their numbers.
    around = set_magics_aside(f"import os\n\n{source}\ndef f():\n    return 1\n")
    assert around.source == f"import os\n\n{expected}\ndef f():\n    return 1\n"
    assert around.notes == ((3, note),)
    ast.parse(around.source)


def test_inside_blocks_a_line_becomes_pass() -> None:
    source = "if True:\n    !ls\n    x = %pwd\nfor i in a:\n\t%time f()\nelse:\n  f?\n"
    assert cleaned(source) == "if True:\n    pass\n    x = None\nfor i in a:\n\tpass\nelse:\n  pass\n"
    ast.parse(str(cleaned(source)))


def test_continued_lines_go_together() -> None:
    source = "!pip install a \\\n  b \\\n  c\nx = !ls \\\n  -l\ny = 1"
    assert cleaned(source) == "# !pip install a \\\n\n\nx = None\n\ny = 1"
    assert [line for line, _ in notes_of(source)] == [1, 4]


def test_future_imports_survive_a_magic_above() -> None:
    compile(str(cleaned("%matplotlib inline\nfrom __future__ import annotations\nx = 1")), "cell", "exec")


PLAIN = [
    "x = (7\n% 3)",
    "x = [1,\n     2\n  % 3]\ny = x\n",
    "x = 7 \\\n% 3\n",
    "s = '''\n%matplotlib inline\n!ls\nwhat?\n'''\n",
    's = """a \\""" still\n%time\n"""\n',
    "s = 'a \\\n%b'\n",
    "s = r'\\'\nt = '%s'\n",
    "x = 5; x %= 3\n",
    "print('=%d' % 3, '= !x')  # really?\n",
    "# %matplotlib inline\n# what?\n",
    "x = 1 if a != b else 2  # = !ls\n",
    "def f(x):\n    '''Why?'''\n    return x\n",
    "s = f'{x!r}'\ns = f'{x:%Y}'\n",
    'd = {"a": "=%",\n"b": 1}\n',
    "x = '''a''' '''\n% b'''\n",
    "await thing()\n",
    "this is not python\n",
    "def broken(:\n  pass",
]


@pytest.mark.parametrize("source", PLAIN)
def test_what_is_not_a_magic_is_not_touched(source: str) -> None:
    assert cleaned(source) == source
    assert notes_of(source) == []


def test_a_magic_beside_lines_that_only_look_like_one() -> None:
    source = "s = '''\n%keep\n'''\n%drop\nx = (1\n% 2)\ny = !drop\n"
    assert cleaned(source) == "s = '''\n%keep\n'''\n# %drop\nx = (1\n% 2)\ny = None\n"


def test_a_syntax_error_elsewhere_does_not_keep_a_magic() -> None:
    assert cleaned("def broken(:\n    pass\n)\n%drop\n") == "def broken(:\n    pass\n)\n# %drop\n"
    assert cleaned("x = 'open\n%drop\n") == "x = 'open\n# %drop\n"


@pytest.mark.parametrize("name", ["bash", "writefile bptt.py", "html", "javascript", "script perl", "!", "python2"])
def test_other_cell_magics_set_the_cell_aside(name: str) -> None:
    chunks, notes = read(code("a = 1"), code(f"\n%%{name}\nrm -rf /\n"), code("b = 2"))
    assert [label for label, _ in chunks] == ["cell 1", "cell 3"]
    assert notes == [f"cell 2: the whole cell, cell magic %%{name.split()[0]}"]


@pytest.mark.parametrize("name", ["time", "timeit -n 3", "capture out"])
def test_cell_magics_that_run_their_body_keep_it(name: str) -> None:
    chunks, notes = read(code(f"%%{name}\nx = 1\n%pwd\ny = 2"))
    assert chunks == [("cell 1", f"# %%{name}\nx = 1\n# %pwd\ny = 2")]
    assert notes == [f"cell 1, line 1: magic %%{name}", "cell 1, line 3: magic %pwd"]
    assert read(code(f"%%{name}\n%%bash\nls"))[0] == []


def test_a_cell_indented_as_a_whole_runs_as_in_jupyter() -> None:
    assert cleaned("\n  x = 1\n  if x:\n    y = 2\n") == "\nx = 1\nif x:\n  y = 2\n"
    assert cleaned("  # only a comment\nx = 1\n") == "  # only a comment\nx = 1\n"


def test_notes_are_printable_and_few() -> None:
    _, notes = read(code("%a \x1b[31m\u202e" + "x" * 500), code("\n".join(["!ls"] * 30)))
    assert len(notes) == 21
    assert notes[0].startswith("cell 1, line 1: magic %a \\x1b[31m\\u202exx")
    assert all(note.isprintable() and len(note) < 120 for note in notes)
    assert notes[-1] == "and 11 more"


def standard_library() -> list[Path]:
    return sorted(Path(ast.__file__).parent.glob("[a-p]*.py"))[::5]


@pytest.mark.parametrize("path", standard_library(), ids=lambda path: path.name)
def test_real_python_is_never_touched(path: Path) -> None:
    source = path.read_text("utf-8")
    # With a magic at the end the scanner has to walk through all of it.
    assert cleaned(source + "\n%time\n") == source + "\n# %time\n"


PIECES = ["x = 1", "%time f()", "!ls 'a", "y = !ls", "f?", "s = '''", "'''", '"""', "z = (1,", "% 2)", ")", "]}"]
BLOCKS = ["if x:", "    !ls", "    pass", "# %no", "w = 'a\\", "b'", "x = 7 \\", "% 3", "", "\t?f", "d = {'k': [", "\\"]
LINES = st.sampled_from(PIECES + BLOCKS)


@settings(max_examples=600, deadline=500)
@given(st.lists(LINES, max_size=12))
def test_python_stays_and_line_numbers_stay(lines: list[str]) -> None:
    source = "\n".join(lines)
    result = set_magics_aside(source)
    assert result.source is not None
    assert result.source.count("\n") == source.count("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(source)
        except SyntaxError:
            pass
        else:
            assert (result.source, result.notes) == (source, ())
    # Doing it again finds nothing more.
    assert set_magics_aside(result.source).notes == ()
    changed = {number for number, _ in result.notes}
    for number, (old, new) in enumerate(zip(source.split("\n"), result.source.split("\n"), strict=True), start=1):
        if number not in changed and old != new:
            assert new in ("", old.strip(" \t"))  # the rest of a continued line; or the cell was indented


@settings(max_examples=400, deadline=500)
@given(st.text(st.sampled_from("ab=%!?'\"\\\n\t ()[]{}#:,.") | st.characters(), max_size=120))
def test_any_text_is_cleaned_without_an_error(text: str) -> None:
    result = set_magics_aside(text.replace("\r", "\n"))
    assert result.source is None or result.source.count("\n") == text.replace("\r", "\n").count("\n")


@pytest.mark.parametrize(
    "source",
    [
        "%x\n" + "(" * 1_000_000,
        "%x\n" + "-" * 1_000_000 + "1",
        "%x\n" + "'''" * 300_001,
        "%x\n" + '"\\\n' * 300_000,
        "%x\n" * 300_000,
        "%%time\n" * 200_000,
        "%x\n" + "a = !b\\\n" * 150_000,
        "%x\n" + "=" * 1_000_000 + "%",
        "%x\n" + "?" * 1_000_000 + "a",
        "%x\n" + "= " * 500_000,
        "%x\n=" + " " * 1_000_000,
        "x" + " " * 1_000_000 + "?y",
        "{" * 150_000 + "\n%x",
        "%x\n1" + "+1" * 90_000,
    ],
    ids=range(14),
)
def test_hostile_cells_cost_little(source: str) -> None:
    start = time.process_time()
    set_magics_aside(source)
    assert time.process_time() - start < 4


# -------- broken notebooks


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "n.ipynb: not a notebook: it is not JSON (line 1)"),
        (b"import numpy as np\n", "not JSON (line 1)"),
        (b'{"cells": [\n\n', "not JSON (line 3)"),
        (b"\xff\xfe\xfd", "not a notebook: it is not JSON"),
        (b'{"cells": [' + b"9" * 10_000 + b"]}", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[]", "it has no list of cells"),
        (b"3", "it has no list of cells"),
        (b'{"cells": 3}', "it has no list of cells"),
        (b'{"worksheets": [3]}', "it has no list of cells"),
        (b"[[],{}," * 200_000, "too intricate"),
        (book(code("a = 1"), 3), "cell 2: not a cell of a notebook"),
        (book({"source": "x"}), "cell 1: not a cell of a notebook"),
        (book({"cell_type": ["code"]}), "cell 1: not a cell of a notebook"),
        (book(prose("x"), code({"a": 1})), "cell 2: its source is not text"),
        (book(code(["a", 3])), "cell 1: its source is not text"),
        (book(code(None)), "cell 1: its source is not text"),
        (book(*[code("x = 1")] * 2001), "it has 2001 cells; at most 2000 are read"),
        (book(code("#" * 1_500_000), code("#" * 700_000)), "it holds 2.1 MiB of code; at most 2.0 MiB"),
        (b" " * (20 * 1024 * 1024 + 1), "20.0 MiB large; at most 20.0 MiB is taken"),
    ],
    ids=range(21),
)
def test_broken_notebooks_are_told_in_a_line(content: bytes, said: str) -> None:
    start = time.process_time()
    for reader in (read_notebook, slim_notebook):
        with pytest.raises(SubmissionError) as error:
            reader(content, "n.ipynb")
        assert said in str(error.value)
        assert str(error.value).startswith("n.ipynb: ")
        assert "\n" not in str(error.value)
    assert time.process_time() - start < 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("code"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["cells", "cell_type", "source", "input", "worksheets", "metadata"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)
CELL = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "raw", "heading", "odd"])},
    optional={
        "source": st.text(max_size=40) | st.lists(st.text(max_size=10), max_size=4) | JSON,
        "input": st.text(max_size=20),
        "outputs": JSON,
        "metadata": JSON,
    },
)


@settings(max_examples=400, deadline=1000)
@given(
    JSON.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.lists(CELL | JSON, max_size=6).map(lambda cells: book(*cells))
)
def test_any_bytes_give_chunks_or_one_line(content: bytes) -> None:
    try:
        chunks, notes = read_notebook(content, "n")
    except SubmissionError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert all(chunk.label.startswith("cell ") and chunk.source.strip() for chunk in chunks)
    assert len(notes) <= 21
    slim = slim_notebook(content, "n")
    assert slim_notebook(slim, "n") == slim
    assert read_notebook(slim, "n") == (chunks, notes)


# -------- the slim form


def test_slim_drops_outputs_and_keeps_cells() -> None:
    fat = book(
        prose("# T\nwords"),
        code("a = 1\nb = 2\n", outputs=[{"data": {"image/png": "x" * 100_000}}]),
        metadata={"k": 1},
    )
    slim = json.loads(slim_notebook(fat, "n"))
    assert slim == {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# T\n", "words"]},
            {
                "cell_type": "code",
                "execution_count": None,
                "metadata": {},
                "outputs": [],
                "source": ["a = 1\n", "b = 2\n"],
            },
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def test_slim_blanks_prose_when_there_is_very_much() -> None:
    slim = slim_notebook(book(prose("p" * 2_000_000), code("a = 1")), "n")
    assert [(cell.kind, cell.source) for cell in read_cells(slim, "n")] == [
        ("markdown", ""),
        ("code", "a = 1"),
    ]
    assert slim_notebook(slim, "n") == slim


def test_the_fattest_notebook_is_still_read_when_slim() -> None:
    hard = "\x01" * 1_000_000  # every character takes six in JSON
    slim = slim_notebook(book(code(hard), code(hard), prose(hard)), "n")
    assert slim_notebook(slim, "n") == slim


def test_reading_needs_no_nbformat() -> None:
    asked = "import sys, grader.submissions.notebook; print('nbformat' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
