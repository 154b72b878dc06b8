"""Rosters: the columns that are understood, and a line number for everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import SubmissionError
from grader.submissions.roster import RosterEntry, read_roster


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "roster.csv"


def read(path: Path, text: str | bytes) -> list[RosterEntry]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_roster(path)


TWO = [RosterEntry("s001", "Student One", "one@example.org"), RosterEntry("s002", "Student Two", "")]


@pytest.mark.parametrize(
    "text",
    [
        "id,name,email\ns001,Student One,one@example.org\ns002,Student Two,\n",
        "id;name;email\r\ns001;Student One;one@example.org\r\ns002;Student Two;\r\n",
        "student_id\tname\temail\ns001\tStudent One\tone@example.org\ns002\tStudent Two\n",
        "\ufeffusername,name,email\ns001,Student One,one@example.org\ns002,Student Two,",
        "Student ID,First Name,Last Name,E-mail\ns001,Student,One,one@example.org\ns002,Student,Two,\n",
        "email,last_name,student,first_name\none@example.org,One,s001,Student\n,Two,s002,Student\n",
        'ID,Student,email\ns001,"Student One",one@example.org\n\n , ,\ns002,Student Two,\n',
        "id,first_name,last_name,email,lms_user_id\ns001,Student,One,one@example.org,7\ns002,Student,Two,,8\n",
    ],
)
def test_understood_forms(path: Path, text: str) -> None:
    assert read(path, text) == TWO


def test_ids_alone_and_quoted_commas(path: Path) -> None:
    assert read(path, "id\ns001\n") == [RosterEntry("s001", "")]
    assert read(path, 'id,name\ns001,"One, Student"\n') == [RosterEntry("s001", "One, Student")]


def test_ids_are_normalised_as_folder_names_are(path: Path) -> None:
    assert read(path, "id\ne\u0301va\n") == [RosterEntry("\u00e9va", "")]


def test_names_are_made_printable(path: Path) -> None:
    assert read(path, "id,name\ns001,\x1b[31mRed\u202e\n")[0].name == "\\x1b[31mRed\\u202e"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name,email\nStudent One,x\n", ":1", "no column of student ids among: name, email"),
        ("s001,Student One\n", ":1", "no column of student ids"),
        ("id,name\ns001,A\ns002,B\ns001,C\n", ":4", "the student s001 is already on line 2"),
        ("id,name\ns001,A\n,B\n", ":3", "no student id on this line"),
        ("id,name\ns001,One, Student\n", ":2", "3 fields, but the header has 2"),
        ('id,name\ns001,"A\ns002,B\n', ":3", "not CSV"),
        ('id,name\ns001,"A"B\n', ":2", "not CSV"),
        ("id,name\na/b,A\n", ":2", "the id a/b is too long or has characters"),
        ("id\na\x1bb\n", ":2", "the id a\\x1bb is too long"),
        ("id\n" + "x" * 129 + "\n", ":2", "is too long or has characters"),
        ("id,id,name\ns001,s002,A\n", ":1", "two columns are called id"),
        (b"id,name\ns001,A\ns002,\xe9\n", ":3", "not UTF-8 text"),
        ("id,name\n".encode("utf-16"), ":1", "not UTF-8 text"),
        ("id,name\n", "", "the roster names no student"),
        ("", "", "the roster names no student"),
        ("\n\n", "", "the roster names no student"),
        ("id,name\n\0,\0\n", ":2", "not UTF-8 text"),
        ("id\n" + "x" * 200_000, ":2", "not CSV"),
    ],
    ids=range(18),
)
def test_what_is_wrong_is_told_with_its_line(path: Path, text: str | bytes, line: str, said: str) -> None:
    with pytest.raises(SubmissionError) as error:
        read(path, text)
    assert str(error.value).startswith(f"{path}{line}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path, path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"nowhere\.csv: the roster cannot be read: No such file"):
        read_roster(tmp_path / "nowhere.csv")
    with pytest.raises(SubmissionError, match="not a regular file"):
        read_roster(tmp_path)
    with open(path, "wb") as file:
        file.truncate(5 * 1024 * 1024)
    with pytest.raises(SubmissionError, match=r"5\.0 MiB large"):
        read_roster(path)


@settings(max_examples=300, deadline=1000)
@given(st.text(st.sampled_from('id,;\t"\n name01') | st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_gives_entries_or_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    try:
        entries = read(path, "id,name\n" + text)
    except SubmissionError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert entries
    assert len({entry.id for entry in entries}) == len(entries)
