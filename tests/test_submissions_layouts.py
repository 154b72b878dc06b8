"""The layouts in which a class hands in, and what is said about paths that hold nothing."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from grader.course.assignment import Assignment, Limits, Part
from grader.errors import SubmissionError
from grader.submissions import reading
from grader.submissions.discover import missing, not_on_roster, read_one, read_submissions
from grader.submissions.roster import RosterEntry
from grader.submissions.submission import Submission

STUB = "def forward(x):\n    raise NotImplementedError\n"
WORK = "def forward(x):\n    return x\n"


def notebook(*cells: str) -> bytes:
    code = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": code}).encode()


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), text)
    return buffer.getvalue()


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")


def write(path: Path, content: str | bytes = WORK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ids(submissions: list[Submission]) -> list[str]:
    return [one.student for one in submissions]


def only(assignment: Assignment, path: Path) -> Submission:
    (one,) = read_submissions(assignment, [path])
    return one


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    folder = tmp_path / "course" / "assignments" / "bptt"
    write(folder / "bptt.py", STUB)
    write(folder / "bptt.ipynb", notebook(STUB))
    part = Part("forward", "Forward", 3.0, {"forward": "array"})
    return Assignment("bptt", "Through time", "bptt.py", ("numpy",), (), Limits(), (part,), folder=folder, secret=None)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


# -------- layouts


def test_folder_of_students(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s002" / "bptt.py", WORK)
    write(inbox / "s001" / "bptt.ipynb", notebook("x = 1", WORK))
    write(inbox / "s003" / "work.zip", zipped(hw__bptt_dot_py=WORK))
    found = read_submissions(assignment, [inbox])
    assert ids(found) == ["s001", "s002", "s003"]
    assert [[chunk.label for chunk in one.chunks] for one in found] == [
        ["cell 1", "cell 2"],
        ["bptt.py"],
        ["bptt.py"],
    ]
    assert [one.chunks[-1].source for one in found] == [WORK] * 3
    assert found[1].files == (("bptt.py", WORK.encode()),)
    assert found[1].sha256 == found[2].sha256  # the same work, whatever it came in
    assert [one.problem or one.unreadable for one in found] == [None] * 3
    assert all(one.assignment == "bptt" for one in found)
    assert found[1].source == str(inbox / "s002")


def test_folder_of_files_and_archives(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001.py")
    write(inbox / "s002.ipynb", notebook(WORK))
    write(inbox / "s003.zip", zipped(bptt_dot_py=WORK))
    for name, mode in (("s004.tar.gz", "w:gz"), ("s005.tgz", "w:gz"), ("s006.tar", "w")):
        with tarfile.open(inbox / name, mode) as archive:
            member = tarfile.TarInfo("bptt/bptt.py")
            member.size = len(WORK)
            archive.addfile(member, io.BytesIO(WORK.encode()))
    write(inbox / "bptt-s007.zip", zipped(bptt_dot_py=WORK))
    write(inbox / "README.md", "not a submission")
    write(inbox / "test_public.py", "not a submission either")
    found = read_submissions(assignment, [inbox])
    assert ids(found) == [f"s00{n}" for n in range(1, 8)]
    assert [one.chunks[0].source for one in found] == [WORK] * 7
    assert len({one.sha256 for one in found if one.student != "s002"}) == 1


def test_nbgrader_layout(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "bptt" / "bptt.ipynb", notebook(WORK))
    write(inbox / "s001" / "bptt" / "timestamp.txt", "2024-02-03 15:00:07.123456 UTC")
    write(inbox / "s001" / "lstm" / "lstm.ipynb", notebook("other work"))
    write(inbox / "s002" / "bptt" / "bptt.py")
    write(inbox / "s003" / "lstm" / "lstm.py", "has not handed in this one")
    write(inbox / "s004" / "bptt" / "notes.txt", "handed in the wrong thing")
    found = read_submissions(assignment, [inbox])
    assert ids(found) == ["s001", "s002", "s004"]
    assert found[0].received == "2024-02-03T15:00:07+00:00"
    assert found[0].set_aside == ()
    assert found[2].problem == "no bptt.py or bptt.ipynb was handed in"
    assert ids(read_submissions(assignment, [inbox / "s001"])) == ["s001"]
    assert ids(read_submissions(assignment, [inbox / "s001", inbox / "s002"])) == ["s001", "s002"]
    assert only(assignment, inbox / "s002" / "bptt" / "bptt.py").student == "s002"


def test_one_file_takes_its_folder_or_its_own_name(assignment: Assignment, inbox: Path) -> None:
    assert only(assignment, write(inbox / "s042" / "bptt.py")).student == "s042"
    assert only(assignment, write(inbox / "s042" / "s001.py")).student == "s001"
    assert only(assignment, write(inbox / "submissions" / "bptt.py")).student == "bptt"
    assert only(assignment, write(inbox / "s9" / "bptt-s010.zip", zipped(bptt_dot_py=WORK))).student == "s010"
    assert only(assignment, write(inbox / "s011" / "bptt-submission.zip", zipped(bptt_dot_py=WORK))).student == ("s011")


def test_relative_paths(assignment: Assignment, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(inbox / "s001" / "bptt.py")
    monkeypatch.chdir(inbox / "s001")
    assert only(assignment, Path(".")).student == "s001"
    assert only(assignment, Path("bptt.py")).student == "bptt"
    assert only(assignment, Path("../s001/bptt.py")).student == "s001"
    assert ids(read_submissions(assignment, [Path("..")])) == ["s001"]


def test_several_paths_are_students_each(assignment: Assignment, inbox: Path) -> None:
    paths = [
        write(inbox / "s003" / "bptt.py").parent,
        write(inbox / "s001" / "anything.zip", zipped(bptt_dot_py=WORK)).parent,
        write(inbox / "s002" / "draft.txt", "nothing usable").parent,
        write(inbox / "s004.py"),
        write(inbox / "README.txt", "the shell named it too"),
    ]
    found = read_submissions(assignment, paths)
    assert ids(found) == ["s001", "s002", "s003", "s004"]
    assert [one.problem for one in found] == [None, "no bptt.py or bptt.ipynb was handed in", None, None]


def test_students_named_by_the_shell_keep_their_names(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "bptt.py")
    write(inbox / "s002" / "BPTT.py")
    write(inbox / "s003" / "homework" / "bptt.py")
    write(inbox / "s004" / "one.zip", zipped(bptt_dot_py=WORK))
    write(inbox / "s004" / "two.zip", zipped(bptt_dot_py=WORK))
    (inbox / "s005").mkdir()
    found = read_submissions(assignment, sorted(inbox.iterdir()))
    assert ids(found) == ["s001", "s002", "s003", "s004", "s005"]
    assert [one.problem is None for one in found] == [True, False, True, False, False]


def test_several_classes(assignment: Assignment, inbox: Path) -> None:
    for name in ("a/s003", "a/s001", "b/s002"):
        write(inbox / name / "bptt.py")
    assert ids(read_submissions(assignment, [inbox / "b", inbox / "a"])) == ["s001", "s002", "s003"]


def test_the_roster_says_what_a_lone_folder_is(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "copy" / "bptt.py")
    roster = [RosterEntry("s001", "Student One")]
    assert ids(read_submissions(assignment, [inbox / "s001"], roster)) == ["s001"]
    assert ids(read_submissions(assignment, [inbox / "s001"])) == ["copy"]


def test_hidden_files_and_caches_are_passed_over(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "bptt.py")
    for junk in (".git/bptt.py", "__pycache__/bptt.py", ".ipynb_checkpoints/bptt.ipynb", ".bptt.py.swp"):
        write(inbox / "s001" / junk, "junk")
    write(inbox / ".DS_Store", "junk")
    write(inbox / "__pycache__" / "bptt.py", "junk")
    found = read_submissions(assignment, [inbox])
    assert ids(found) == ["s001"]
    assert found[0].set_aside == ()


def test_the_shallowest_wins_and_the_rest_is_named(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "hw" / "bptt.py", WORK)
    write(inbox / "s001" / "hw" / "old" / "bptt.py", "old = True")
    write(inbox / "s001" / "hw" / "plot.py", "")
    write(inbox / "s001" / "a" / "b" / "c" / "d" / "bptt.py", "too deep to be seen")
    one = read_submissions(assignment, [inbox])[0]
    assert one.chunks[0].source == WORK
    assert one.set_aside == ("hw/plot.py: not asked for", "hw/old/bptt.py: another one lies higher up")


def test_two_equally_good_files_are_a_problem(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "first" / "bptt.py")
    write(inbox / "s001" / "second" / "bptt.py")
    one = read_submissions(assignment, [inbox])[0]
    assert one.problem == "bptt.py or bptt.ipynb lies in 2 folders (first, second); one is asked for"
    assert one.chunks == ()


def test_a_folder_without_the_file_is_told(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "bptt.py")
    write(inbox / "s002" / "BPTT.py")
    (inbox / "s003").mkdir()
    write(inbox / "s004" / "work.rar", b"Rar!")
    found = read_submissions(assignment, [inbox])
    assert ids(found) == ["s001", "s002", "s003", "s004"]
    assert found[1].problem == "no bptt.py or bptt.ipynb was handed in; found BPTT.py"
    assert found[1].set_aside == ("BPTT.py: the name must be exactly bptt.py",)
    assert found[2].problem == "no bptt.py or bptt.ipynb was handed in"
    assert found[3].problem == "no bptt.py or bptt.ipynb was handed in; found work.rar"
    assert all(one.chunks == () and one.unreadable is None for one in found[1:])


def test_a_loose_archive_of_another_kind_is_not_lost(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001.py")
    write(inbox / "s002.7z", b"7z")
    assert (read_submissions(assignment, [inbox])[1].problem or "").startswith("a .7z archive is not read")


def test_several_archives_of_one_student(assignment: Assignment, inbox: Path) -> None:
    for name in ("s001/bptt.zip", "s001/data.zip", "s002/a.zip", "s002/b.zip"):
        write(inbox / name, zipped(bptt_dot_py=WORK))
    found = read_submissions(assignment, [inbox])
    assert found[0].chunks[0].source == WORK
    assert found[0].set_aside == ("data.zip: bptt.zip is taken instead",)
    assert found[1].problem == "2 archives were handed in (a.zip, b.zip); one is asked for"


def test_students_code_beside_its_packed_form(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s001" / "bptt.py")
    write(inbox / "s001" / "bptt-submission.zip", zipped(bptt_dot_py="old = 1"))
    write(inbox / "s001" / "test_public.py", "")
    write(inbox / "s001" / "bptt.ipynb", notebook(STUB))
    one = only(assignment, inbox / "s001")
    assert one.student == "s001"
    assert one.chunks[0].source == WORK


# -------- a module and a notebook at once


@pytest.mark.parametrize(
    ("module", "book", "winner", "loser"),
    [
        (WORK, notebook(WORK), "bptt.py", "bptt.ipynb"),
        (STUB, notebook(WORK), "bptt.ipynb", "bptt.py"),
        (STUB.replace("\n", "\r\n") + "\n", notebook(WORK), "bptt.ipynb", "bptt.py"),
        ("\n", notebook(WORK), "bptt.ipynb", "bptt.py"),
        (STUB, notebook(STUB), "bptt.py", "bptt.ipynb"),
        (WORK, notebook(STUB), "bptt.py", "bptt.ipynb"),
        (STUB, b"not a notebook", "bptt.py", "bptt.ipynb"),
    ],
)
def test_which_of_both_counts(
    assignment: Assignment, inbox: Path, module: str, book: bytes, winner: str, loser: str
) -> None:
    write(inbox / "s001" / "bptt.py", module)
    write(inbox / "s001" / "bptt.ipynb", book)
    write(inbox / "s002.py", module)
    write(inbox / "s002.ipynb", book)
    for one in read_submissions(assignment, [inbox]):
        assert [name for name, _ in one.files] == [winner]
        assert f"{loser}: {winner} is taken instead" in one.set_aside


# -------- wrong paths


def fails(assignment: Assignment, *paths: Path) -> str:
    with pytest.raises(SubmissionError) as error:
        read_submissions(assignment, list(paths))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_there(assignment: Assignment, inbox: Path) -> None:
    said = fails(assignment, inbox)
    assert said.startswith(f"{inbox}: nothing here looks like a submission of bptt.")
    for layout in ("STUDENT/bptt.py", "STUDENT.zip", "STUDENT/bptt/bptt.py"):
        assert layout in said


def test_nothing_that_looks_like_a_submission(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "photos" / "cat.jpg", b"")
    write(inbox / "projects" / "main.py", "")
    write(inbox / "notes.txt", "")
    assert "nothing here looks like" in fails(assignment, inbox)
    assert "nothing here looks like" in fails(assignment, inbox / "notes.txt", inbox / "photos")
    with pytest.raises(SubmissionError, match="nothing here"):
        read_submissions(assignment, [])


def test_paths_that_cannot_be(assignment: Assignment, inbox: Path) -> None:
    assert fails(assignment, inbox / "nowhere") == f"{inbox / 'nowhere'}: there is no such file or folder. " + (
        "Check the path"
    )
    text = write(inbox / "notes.txt", "")
    assert "not a kind of file that is read" in fails(assignment, text)
    assert "no such file" in fails(assignment, text / "below")
    assert "no such file" in fails(assignment, Path("a\0b"))
    os.mkfifo(inbox / "pipe")
    assert "neither a file nor a folder" in fails(assignment, inbox / "pipe")


def test_one_student_twice(assignment: Assignment, inbox: Path) -> None:
    first, second = (
        write(inbox / "a" / "s001" / "bptt.py").parent,
        write(inbox / "b" / "s001" / "bptt.py").parent,
    )
    said = fails(assignment, inbox / "a", inbox / "b")
    assert said.startswith(f"two submissions of s001: {first} and {second}")
    write(inbox / "c" / "s002.py")
    write(inbox / "c" / "bptt-s002.py")
    write(inbox / "c" / "s003.py")
    assert "two submissions of s002" in fails(assignment, inbox / "c")
    write(inbox / "d" / "s004.zip", zipped(bptt_dot_py=WORK))
    write(inbox / "d" / "s004" / "bptt.py")
    assert "two submissions of s004" in fails(assignment, inbox / "d")


def test_a_students_folder_or_a_class(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "bptt.py")
    write(inbox / "s001" / "bptt.py")
    said = fails(assignment, inbox)
    assert "bptt.py lies beside what looks like other submissions: s001" in said
    assert f"For one student give {inbox / 'bptt.py'}" in said
    write(inbox / "class" / "bptt.py")
    write(inbox / "class" / "s001.py")
    write(inbox / "class" / "s002.py")
    assert "s001.py, s002.py" in fails(assignment, inbox / "class")


# -------- links, devices, permissions


def test_links_are_never_followed(assignment: Assignment, inbox: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret" / "bptt.py", "SECRET = 1")
    write(inbox / "s001" / "bptt.py")
    (inbox / "s002").mkdir()
    (inbox / "s002" / "bptt.py").symlink_to(secret)
    (inbox / "s003").symlink_to(secret.parent)
    (inbox / "s004.py").symlink_to(secret)
    (inbox / "s005").mkdir()
    (inbox / "s005" / "hw").symlink_to(secret.parent)
    (inbox / "s006").mkdir()
    (inbox / "s006" / "bptt").symlink_to(secret.parent)
    (inbox / "s007.zip").symlink_to(secret)
    found = read_submissions(assignment, [inbox])
    assert ids(found) == [f"s00{n}" for n in range(1, 8)]
    assert all("SECRET" not in repr((one.chunks, one.files)) for one in found)
    assert [one.student for one in found if one.problem is None] == ["s001"]
    link = "a symbolic link, which is not followed"
    assert found[1].problem == f"no bptt.py or bptt.ipynb was handed in (bptt.py: {link})"
    assert found[2].problem == found[3].problem == found[6].problem == f"what was handed in is {link}"
    assert found[4].set_aside == (f"hw: {link}",)
    assert found[5].set_aside == (f"bptt: {link}",)


def test_a_link_among_the_named_paths(assignment: Assignment, inbox: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret" / "bptt.py", "SECRET = 1")
    (inbox / "s001").symlink_to(secret.parent)
    (inbox / "s002.py").symlink_to(secret)
    write(inbox / "s003" / "bptt.py")
    assert "symbolic link" in fails(assignment, inbox / "s001")
    assert "symbolic link" in fails(assignment, inbox / "s002.py")
    found = read_submissions(assignment, sorted(inbox.iterdir()))
    assert [(one.student, one.problem is None) for one in found] == [
        ("s001", False),
        ("s002", False),
        ("s003", True),
    ]


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_a_link_put_there_while_it_is_read(
    assignment: Assignment, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    secret = write(tmp_path / "secret" / "bptt.py", "SECRET = 1")
    write(inbox / "s001" / "hw" / "bptt.py")
    write(inbox / "s002" / "bptt.py")
    real = os.open

    def race(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        # After every look and before the open: what O_NOFOLLOW is there for.
        if swapped == "file" and path == "bptt.py" and not (inbox / "s001" / "hw" / "bptt.py").is_symlink():
            (inbox / "s001" / "hw" / "bptt.py").unlink()
            (inbox / "s001" / "hw" / "bptt.py").symlink_to(secret)
        if swapped == "folder" and path == "hw" and not (inbox / "s001" / "hw").is_symlink():
            (inbox / "s001" / "hw").rename(inbox / "s001" / ".moved")
            (inbox / "s001" / "hw").symlink_to(secret.parent)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(reading.os, "open", race)
    found = read_submissions(assignment, [inbox])
    assert "SECRET" not in repr([(one.chunks, one.files) for one in found])
    assert found[0].problem is not None
    assert "symbolic link" in found[0].problem + " ".join(found[0].set_aside)
    assert found[1].problem is None


def test_a_pipe_does_not_hang(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "s002" / "bptt.py")
    (inbox / "s001").mkdir()
    os.mkfifo(inbox / "s001" / "bptt.py")
    os.mkfifo(inbox / "s003.py")
    found = read_submissions(assignment, [inbox])
    assert ids(found) == ["s001", "s002"]
    assert found[0].problem == "no bptt.py or bptt.ipynb was handed in (bptt.py: not a regular file)"


@needs_proc
def test_what_the_machine_cannot_read_is_not_the_students_fault(
    assignment: Assignment, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s001/bptt.py", "s002/bptt.py", "s003/hw/bptt.py"):
        write(inbox / name)
    write(inbox / "s004.py")
    write(inbox / "s005.zip", zipped(bptt_dot_py=WORK))
    write(inbox / "s006" / "bptt.py")
    real = os.open
    closed = {
        inbox / "s001" / "bptt.py",
        inbox / "s002",
        inbox / "s003" / "hw",
        inbox / "s004.py",
        inbox / "s005.zip",
    }

    def deny(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        whole = Path(os.readlink(f"/proc/self/fd/{dir_fd}"), path) if dir_fd is not None else Path(path)
        if whole in closed:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(reading.os, "open", deny)
    found = read_submissions(assignment, [inbox])
    assert ids(found) == ["s001", "s002", "s003", "s004", "s005", "s006"]
    for one in found[:5]:
        assert one.problem is None
        assert one.chunks == ()
        assert one.unreadable is not None
        assert one.unreadable.startswith(str(inbox / one.student))
        assert one.unreadable.endswith("Permission denied")
    assert found[5].unreadable is None
    assert found[5].chunks
    closed.add(inbox)
    assert fails(assignment, inbox) == f"{inbox}: the folder cannot be read: Permission denied. Check its permissions"


@needs_proc
def test_no_descriptor_is_left_open(assignment: Assignment, inbox: Path) -> None:
    for number in range(5):
        write(inbox / f"s{number}" / "a" / "b" / "bptt.py")
        write(inbox / f"t{number}.zip", b"damaged")
    before = len(os.listdir("/proc/self/fd"))
    read_submissions(assignment, [inbox])
    assert len(os.listdir("/proc/self/fd")) == before


# -------- sizes and counts


def test_a_file_that_is_too_large_is_not_read(assignment: Assignment, inbox: Path) -> None:
    with open(write(inbox / "s001" / "bptt.py", ""), "wb") as file:
        file.truncate(3 * 1024 * 1024)
    with open(write(inbox / "s002.zip", ""), "wb") as file:
        file.truncate(200 * 1024 * 1024)
    with open(write(inbox / "s003.ipynb", ""), "wb") as file:
        file.truncate(30 * 1024 * 1024)
    found = read_submissions(assignment, [inbox])
    assert [one.problem for one in found] == [
        "bptt.py: 3.0 MiB large; at most 2.0 MiB is taken",
        "the archive is not read: 200.0 MiB large; at most 100.0 MiB is taken",
        "bptt.ipynb: 30.0 MiB large; at most 20.0 MiB is taken",
    ]
    assert [one.files for one in found] == [(), (), ()]


def test_a_folder_with_very_many_files(assignment: Assignment, inbox: Path) -> None:
    for number in range(2100):
        write(inbox / "s001" / "hw" / f"x{number:04}", "")
    write(inbox / "s001" / "bptt.py")
    one = only(assignment, inbox / "s001")
    assert one.chunks[0].source == WORK
    assert len(one.set_aside) == 21
    assert one.set_aside[0] == "only the first 2000 entries of the folder were looked at"
    assert one.set_aside[-1].startswith("and ")


# -------- roster, time


def test_the_roster_adds_names(assignment: Assignment, inbox: Path) -> None:
    for student in ("s001", "s003", "stranger"):
        write(inbox / student / "bptt.py")
    roster = [
        RosterEntry("s003", "Student Three"),
        RosterEntry("s002", "Student Two"),
        RosterEntry("s001", ""),
    ]
    found = read_submissions(assignment, [inbox], roster)
    assert [(one.student, one.name) for one in found] == [
        ("s001", ""),
        ("s003", "Student Three"),
        ("stranger", ""),
    ]
    assert missing(roster, found) == [RosterEntry("s002", "Student Two")]
    assert ids(not_on_roster(roster, found)) == ["stranger"]


def test_received_is_the_time_of_the_newest_file(assignment: Assignment, inbox: Path) -> None:
    path = write(inbox / "s001" / "bptt.py")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    book = write(inbox / "s001" / "bptt.ipynb", notebook(STUB))
    os.utime(book, (1_700_000_060, 1_700_000_060))
    archive = write(inbox / "s002.zip", zipped(bptt_dot_py=WORK))
    os.utime(archive, (1_600_000_000, 1_600_000_000))
    odd = write(inbox / "s003.py")
    os.utime(odd, (2**33 * 60, 2**33 * 60))
    found = read_submissions(assignment, [inbox])
    assert [one.received for one in found[:2]] == ["2023-11-14T22:14:20+00:00", "2020-09-13T12:26:40+00:00"]
    assert found[2].received is None or found[2].received > "2400"


def test_odd_names_become_safe_ids(assignment: Assignment, inbox: Path) -> None:
    for name in ("e\u0301va", "red\x1b[31m", "rtl\u202egpj", "back\\slash", "n" * 200, "=1+1"):
        write(inbox / name / "bptt.py")
    found = {one.student for one in read_submissions(assignment, [inbox])}
    assert "\u00e9va" in found
    assert "=1+1" in found
    assert len(found) == 6
    for student in found:
        assert student.isprintable()
        assert len(student) <= 128
        assert not {"/", "\\", "\u202e"} & set(student)


# -------- one student


def test_read_one(assignment: Assignment, inbox: Path) -> None:
    write(inbox / "bptt.py")
    write(inbox / "s001" / "bptt.py")  # would make a class unclear
    assert read_one(assignment, inbox, "me").student == "me"
    assert read_one(assignment, inbox).chunks[0].source == WORK
    assert read_one(assignment, inbox / "s001" / "bptt.py").student == "s001"
    (inbox / "empty").mkdir()
    assert read_one(assignment, inbox / "empty").problem == "no bptt.py or bptt.ipynb was handed in"
    with pytest.raises(SubmissionError, match="no such file"):
        read_one(assignment, inbox / "nowhere")
    with pytest.raises(SubmissionError, match="not a kind of file"):
        read_one(assignment, write(inbox / "notes.md", ""))
