"""`grader quiz serve` and `grader quiz page` at the command line: one clear line for bad input, and nothing lost."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")

from grader.cli.main import run as run_command_line

from .conftest import STRANGE, Told
from .quiz_banks import course_with, written

NUMBER = {"type": "numeric", "prompt": "How much?", "answer": {"value": 42, "exact": True}}


@pytest.fixture
def quiz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Run `grader quiz ...` in a course with one bank for practice and a graded one."""
    course = course_with(tmp_path / "course", written([NUMBER]))
    secret = course.root / "solutions" / "quizzes"
    secret.mkdir(parents=True)
    (secret / "exam.yaml").write_text(written([NUMBER], "exam"))
    for name in STRANGE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Told:
        with pytest.raises(SystemExit) as stop:
            run_command_line(["--course", str(course.root), "quiz", *map(str, arguments)])
        said = capsys.readouterr()
        return Told(int(stop.value.code or 0), said.out, said.err)

    return run


def test_page_is_written_and_told(quiz: Callable[..., Told], tmp_path: Path) -> None:
    told = quiz("page", "bank")
    assert told.code == 0
    assert "1 question, " in told.out
    assert "carries the key" in told.out
    assert "<article" in (tmp_path / "bank.html").read_text()
    assert quiz("page", "bank", "--out", tmp_path / "other.html").code == 0
    assert (tmp_path / "other.html").read_bytes() == (tmp_path / "bank.html").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("page", "bnak"), "bank"),
        (("page", "exam"), "carries its key"),
        (("page", "bank", "--tag", "nothing"), "no question of bank has these tags"),
        (("page", "bank", "--out", "no/such/folder.html"), "No such file or directory"),
        (("serve", "bnak"), "bank"),
        (("serve", "exam"), "must be known who answers"),
        (("serve", "bank", "--tag", "nothing"), "no question of bank has these tags"),
        (("serve", "bank", "--roster", "none.csv"), "roster cannot be read"),
        (("serve", "bank", "--codes", "codes.csv"), "codes are for the students of a roster"),
        (("serve", "bank", "--host", "256.0.0.1", "--port", "0"), "cannot be listened on"),
    ],
)
def test_bad_input_is_told_in_a_line(quiz: Callable[..., Told], arguments: tuple[str, ...], words: str) -> None:
    told = quiz(*arguments)
    assert told.code == 1
    assert words in told.error


def test_a_port_that_is_taken(quiz: Callable[..., Told]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        told = quiz("serve", "bank", "--port", str(other.getsockname()[1]))
    assert told.code == 1
    assert "choose one with --port" in told.error


def test_a_bad_roster_leaves_an_old_file_of_codes_alone(quiz: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "class.csv").write_text("id\ns001\ns001\n")
    (tmp_path / "codes.csv").write_text("handed out already")
    told = quiz("serve", "bank", "--roster", "class.csv", "--codes", "codes.csv")
    assert "already on line 2" in told.error
    assert (tmp_path / "codes.csv").read_text() == "handed out already"


@pytest.mark.parametrize(("arguments", "library"), [(("serve", "bank"), "starlette"), (("page", "bank"), "jinja2")])
def test_a_missing_library_is_told_in_a_line(
    quiz: Callable[..., Told], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], library: str
) -> None:
    import grader.web

    monkeypatch.setattr(grader, "web", grader.web)  # imported anew below, and put back for the tests that follow
    for name in [name for name in sys.modules if name.startswith("grader.web") or name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)

    class Missing:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.split(".")[0] == library:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    from grader.web import forms  # the templates are read once and would hide that the library is missing

    forms.templates.cache_clear()
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    for name in [name for name in sys.modules if name.startswith("grader.web") or name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    told = quiz(*arguments)
    assert told.code == 1
    assert f"need {library}" in told.error
    assert "unrolled[web]" in told.error
