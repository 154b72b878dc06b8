"""Packing: the same work gives the same zip, and the grader reads back what the receipt says."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from grader.course.assignment import Assignment, Limits
from grader.errors import SubmissionError
from grader.submissions.discover import read_one, read_submissions
from grader.submissions.packing import Receipt, pack

WORK = "def forward(x):\n    return x\n"
STUB = "def forward(x):\n    raise NotImplementedError\n"


def notebook(source: str, output: str = "") -> str:
    cell = {"cell_type": "code", "source": source, "outputs": [{"text": output}], "metadata": {}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]})


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    folder = tmp_path / "course" / "bptt"
    folder.mkdir(parents=True)
    (folder / "bptt.py").write_text(STUB)
    (folder / "bptt.ipynb").write_text(notebook(STUB))
    return Assignment("bptt", "T", "bptt.py", ("numpy",), (), Limits(), (), folder=folder, secret=None)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A student's folder as `grader start` leaves it, with the module filled in."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bptt.py").write_text(WORK)
    (folder / "bptt.ipynb").write_text(notebook(STUB))
    (folder / "README.md").write_text("the handout")
    (folder / "test_public.py").write_text("")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("form", ["folder", "module", "notebook", "worked notebook"])
def test_the_grader_reads_back_what_the_receipt_says(assignment: Assignment, work: Path, out: Path, form: str) -> None:
    if "notebook" in form:
        (work / "bptt.py").write_text(STUB)
        (work / "bptt.ipynb").write_text(notebook("%pwd\n" + WORK, "o" * 1000))
    path = {"module": work / "bptt.py", "notebook": work / "bptt.ipynb"}.get(form, work)
    receipt = pack(assignment, path, "s001", out)
    assert receipt.path == out / "bptt-s001.zip"
    assert receipt.files == (("bptt.ipynb",) if "notebook" in form else ("bptt.py",))
    (back,) = read_submissions(assignment, [out])
    assert back.student == "s001"
    assert back.sha256 == receipt.sha256
    assert back.problem is None
    assert back.chunks == read_one(assignment, path).chunks
    assert read_one(assignment, path).sha256 == receipt.sha256


def test_the_same_work_gives_the_same_bytes(assignment: Assignment, work: Path, out: Path) -> None:
    digests = set()
    for moment in (1_500_000_000, 1_600_000_000):
        os.utime(work / "bptt.py", (moment, moment))
        receipt = pack(assignment, work, "s001", out)
        digests.add(hashlib.sha256(receipt.path.read_bytes()).hexdigest())
    assert len(digests) == 1
    with zipfile.ZipFile(out / "bptt-s001.zip") as archive:
        (member,) = archive.infolist()
    assert (member.filename, member.date_time) == ("bptt.py", (1980, 1, 1, 0, 0, 0))
    assert sorted(entry.name for entry in out.iterdir()) == ["bptt-s001.zip"]


def test_the_receipt_in_full(assignment: Assignment, work: Path, out: Path) -> None:
    moment = datetime(2024, 2, 3, 6, 5, 7, 89, tzinfo=timezone(timedelta(hours=2)))
    receipt = pack(assignment, work, None, out, now=moment)
    assert receipt == Receipt(
        path=out / "bptt-submission.zip",
        files=("bptt.py",),
        sha256=read_one(assignment, work / "bptt.py").sha256,
        when="2024-02-03T04:05:07+00:00",
        set_aside=(
            "README.md: not asked for",
            "test_public.py: not asked for",
            "bptt.ipynb: bptt.py is taken instead",
        ),
    )
    now = datetime.fromisoformat(pack(assignment, work, None, out).when)
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_packing_twice_into_the_students_own_folder(assignment: Assignment, work: Path) -> None:
    first = pack(assignment, work, None, work)
    (work / "bptt.py").write_text(WORK + "# better\n")
    second = pack(assignment, work, None, work)
    assert second.path == first.path
    assert second.sha256 != first.sha256
    assert read_one(assignment, second.path).sha256 == second.sha256


def test_an_odd_student_name_stays_inside_the_folder(assignment: Assignment, work: Path, out: Path) -> None:
    receipt = pack(assignment, work, "../../s001", out)
    assert receipt.path.parent == out
    assert receipt.path.is_file()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no bptt.py or bptt.ipynb was handed in"),
        (b"x = '\xff'\n", "bptt.py, line 1: it holds the byte 0xff"),
        (b"#" * 3_000_000, "at most 2.0 MiB is taken"),
    ],
)
def test_what_cannot_be_handed_in_is_not_packed(
    assignment: Assignment, tmp_path: Path, out: Path, content: bytes | None, said: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    if content is not None:
        (folder / "bptt.py").write_bytes(content)
    with pytest.raises(SubmissionError) as error:
        pack(assignment, folder, "s001", out)
    assert said in str(error.value)
    assert str(error.value).endswith("Nothing was packed")
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_written(
    assignment: Assignment, work: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SubmissionError, match="the zip cannot be written: No such file"):
        pack(assignment, work, "s001", out / "nowhere")
    old = pack(assignment, work, "s001", out)
    (work / "bptt.py").write_text(WORK + "# more\n")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SubmissionError, match="the zip cannot be written: No space left on device"):
        pack(assignment, work, "s001", out)
    assert [entry.name for entry in out.iterdir()] == ["bptt-s001.zip"]  # the old one, and nothing half-written
    assert read_one(assignment, old.path).sha256 == old.sha256


def test_a_zip_that_does_not_read_back_is_told(
    assignment: Assignment, work: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grader.submissions.packing._zipped", lambda files: b"PK\3\4damaged")
    with pytest.raises(SubmissionError, match="does not read back"):
        pack(assignment, work, "s001", out)
