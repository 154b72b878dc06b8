"""Bytes become a Submission: encodings, problems, safe text and ids, and rebuilding from stored bytes."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.course.assignment import Assignment, Limits
from grader.submissions.from_files import submission_from_files
from grader.submissions.submission import Chunk, Submission
from grader.submissions.text import listed, safe_text, student_id

WORK = b"def forward(x):\n    return x\n"
ASSIGNMENT = Assignment(
    "bptt", "Through time", "bptt.py", ("numpy",), (), Limits(), (), folder=Path("nowhere"), secret=None
)


def made(content: bytes) -> Submission:
    return submission_from_files(ASSIGNMENT, "s001", {"bptt.py": content})


def book(*sources: str) -> bytes:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


# -------- encodings


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"x = 1\r\ny = 2\rz = 3\n", "x = 1\ny = 2\nz = 3\n"),
        ("x = 'Ünïcode ✓'\n".encode(), "x = 'Ünïcode ✓'\n"),
        ("\ufeffx = 'é'\n".encode(), "x = 'é'\n"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "# -*- coding: latin-1 -*-\nx = 'é'\n"),
        (
            b"#!/usr/bin/python\n# coding=cp1252\nx = '\x80'\n",
            "#!/usr/bin/python\n# coding=cp1252\nx = '€'\n",
        ),
        (b"", ""),
        (b"# coding: gbk\nx = '\xc4\xe3'", "# coding: gbk\nx = '你'"),
    ],
)
def test_encodings(content: bytes, text: str) -> None:
    one = made(content)
    assert one.problem is None
    assert one.chunks == (Chunk("bptt.py", text),)
    assert one.files == (("bptt.py", content),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x = 1\ny = '\xe9'\n", "bptt.py, line 2: it holds the byte 0xe9, which is not utf-8 text"),
        (
            b"x = 1\n" * 500 + b"y = '\xff'\n",
            "bptt.py, line 501: it holds the byte 0xff, which is not utf-8 text",
        ),
        (b"x = 1\n\ny = '\0'\n", "bptt.py, line 3: it holds a NUL byte"),
        ("x = 1\n".encode("utf-16"), "bptt.py, line 1: it holds a NUL byte"),
        (
            b"# coding: klingon\nx = 1\n",
            "bptt.py, line 1: its first lines name an encoding that does not fit",
        ),
        (b"# coding: rot13\nk = 1\n", "bptt.py, line 1: the encoding rot-13 is not taken"),
        (b"# coding: unicode_escape\nk = 1\n", "the encoding unicode-escape is not taken"),
        (b"# coding: zlib\nk = 1\n", "the encoding zlib is not taken"),
        (b"# coding: utf-7\nk = 1\n", "the encoding utf-7 is not taken"),
        (b"# coding: ascii\nk = '\xe9'\n", "line 2: it holds the byte 0xe9, which is not ascii text"),
        (b"PK\3\4" + b"\0" * 100, "it holds a NUL byte"),
        (b"#" * (2 * 1024 * 1024 + 1), "bptt.py: 2.0 MiB large; at most 2.0 MiB is taken"),
    ],
)
def test_what_is_not_text_is_a_problem(content: bytes, said: str) -> None:
    one = made(content)
    assert one.problem is not None
    assert said in one.problem
    assert one.chunks == ()
    assert "\n" not in one.problem


def test_slow_encodings_are_not_tried() -> None:
    start = time.process_time()
    assert "punycode is not taken" in str(made(b"# coding: punycode\n" + b"a-" * 900_000).problem)
    assert time.process_time() - start < 1


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"# coding: " + tail))
def test_any_bytes_make_a_submission(content: bytes) -> None:
    one = made(content)
    assert (one.problem is None) == (len(one.chunks) == 1)
    assert one.problem is None or (one.problem.isprintable() and len(one.problem) < 300)


# -------- notebooks, other files


def test_a_notebook_is_kept_without_its_outputs() -> None:
    cells = [{"cell_type": "code", "source": "!ls\nx = 1", "outputs": [{"text": "o" * 5000}]}]
    one = submission_from_files(ASSIGNMENT, "s001", {"bptt.ipynb": json.dumps({"cells": cells}).encode()})
    assert one.chunks == (Chunk("cell 1", "# !ls\nx = 1"),)
    assert one.set_aside == ("cell 1, line 1: shell line !ls",)
    assert len(one.files[0][1]) < 500
    again = submission_from_files(
        ASSIGNMENT, "s001", {"bptt.ipynb": json.dumps({"cells": cells, "metadata": {"run": 2}}).encode()}
    )
    assert again.sha256 == one.sha256  # running the notebook again changes nothing


def test_notebooks_that_give_nothing() -> None:
    for content, said in (
        (book(), "bptt.ipynb: the notebook has no code"),
        (book("%%bash\nls"), "bptt.ipynb: the notebook has no code"),
        (b"<html>", "bptt.ipynb: not a notebook: it is not JSON (line 1)"),
    ):
        one = submission_from_files(ASSIGNMENT, "s001", {"bptt.ipynb": content})
        assert str(one.problem).startswith(said)
        assert one.chunks == ()


def test_other_names_are_set_aside() -> None:
    one = submission_from_files(ASSIGNMENT, "s001", {"bptt.py": WORK, "conftest.py": b"evil"}, set_aside=["first"])
    assert one.set_aside == ("first", "conftest.py: not asked for")
    assert submission_from_files(ASSIGNMENT, "s001", {}).problem == "no bptt.py or bptt.ipynb was handed in"


# -------- rebuilding


@pytest.mark.parametrize(
    "files",
    [
        {"bptt.py": WORK},
        {"bptt.py": WORK, "bptt.ipynb": book("x = 1"), "other.txt": b""},
        {"bptt.ipynb": book("%pwd\nx = 1", "%%bash\nls")},
        {"bptt.py": b"x = '\xff'"},
        {"bptt.ipynb": b"not JSON"},
        {"bptt.ipynb": b"x" * 3_000_000},
        {},
    ],
)
def test_a_submission_is_rebuilt_from_what_the_gradebook_keeps(files: dict[str, bytes]) -> None:
    one = submission_from_files(ASSIGNMENT, "s001", files, received="2024-01-02T03:04:05+00:00", source="inbox/s001")
    again = submission_from_files(
        ASSIGNMENT,
        one.student,
        dict(one.files),
        source=one.source,
        received=one.received,
        set_aside=one.set_aside,
        problem=one.problem,
    )
    assert again == one
    assert again.sha256 == one.sha256


def test_the_digest_tells_work_apart() -> None:
    kept = {made(WORK).sha256, made(WORK + b"\n").sha256, made(b"").sha256, made(b"\xff").sha256}
    assert len(kept) == 4
    other = submission_from_files(ASSIGNMENT, "s002", {"bptt.py": WORK}, source="elsewhere", set_aside=["x"])
    assert other.sha256 == made(WORK).sha256


# -------- text and ids


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("plain", 10, "plain"),
        ("exactly ten"[:10], 10, "exactly te"),
        ("exactly eleven", 10, "exactly e…"),
        ("\x1b[31mred", 20, "\\x1b[31mred"),
        ("a\nb\tc\r", 20, "a\\nb\\tc\\r"),
        ("\u202egpj", 20, "\\u202egpj"),
        ("a\u00a0b\u2003c", 20, "a b c"),
        ("\ud800", 20, "\\ud800"),
        ("é✓", 20, "é✓"),
        ("ab\x1b\x1b", 6, "ab…"),
        ("anything", 0, ""),
        ("\U000e0041", 20, "\\U000e0041"),
    ],
)
def test_safe_text(text: str, limit: int, shown: str) -> None:
    assert safe_text(text, limit) == shown


@given(st.text(st.characters(), max_size=80), st.integers(0, 60))
def test_safe_text_is_printable_and_bounded(text: str, limit: int) -> None:
    shown = safe_text(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    if text.isprintable() and len(text) <= limit:
        assert shown == text


def test_safe_text_of_much_text_is_quick() -> None:
    text = "\x1b" * 10_000_000
    start = time.process_time()
    assert len(safe_text(text, 100)) <= 100
    assert time.process_time() - start < 0.5


@given(st.text(st.characters(), min_size=1, max_size=200))
def test_student_ids_are_safe(name: str) -> None:
    identity = student_id(name)
    assert 0 < len(identity) <= 128
    assert identity.isprintable()
    assert not set("/\\\0\n") & set(identity)
    assert identity not in (".", "..")
    assert unicodedata.is_normalized("NFC", identity)
    assert student_id(identity) == identity


def test_student_ids_stay_as_they_are_where_they_can() -> None:
    for name in ("s001", "anna.b-c_d", "Ünï", "=1+1", "学生", "name with spaces"):
        assert student_id(name) == name
    odd = ["a\x1bb", "a\x1cb", "a/b", "a_b", "x" * 200, "x" * 201, "..", "."]
    assert len({student_id(name) for name in odd}) == len(odd)


def test_listed() -> None:
    assert listed([]) == ()
    assert listed(["a"] * 20) == ("a",) * 20
    assert listed(["a"] * 21) == (*("a",) * 20, "and 1 more")
