"""Reading assignment.yaml: what is understood, and what every mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.course.assignment import Limits
from grader.course.loading import is_id, load_assignment
from grader.course.marked_yaml import parse_document
from grader.errors import CourseError

GOOD = """\
schema: assignment/1
id: bptt
title: Backpropagation through time
packages: [numpy, torch]
forbidden: [torch.nn.RNN, eval]
limits: {call_cpu_seconds: 0.5, memory_mb: 512, scratch_mb: 0}
parts:
  - id: step
    title: One step
    points: 12.5
    names:
      forward: [array, opaque]
      backward: {x: array, cache: [number, any]}
      Cell: class
  - id: whole
    title: The whole
    points: 7
    names:
      run: array
  - id: extra
    title: No names of its own
    points: 1
"""


def load(tmp_path: Path, text: str, name: str = "bptt"):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "assignment.yaml").write_text(text)
    return load_assignment(folder, None)


def test_everything_is_read(tmp_path: Path) -> None:
    got = load(tmp_path, GOOD)
    assert (got.id, got.title, got.module, got.notebook) == (
        "bptt",
        "Backpropagation through time",
        "bptt.py",
        "bptt.ipynb",
    )
    assert got.packages == ("numpy", "torch")
    assert got.forbidden == ("torch.nn.RNN", "eval")
    assert got.limits == Limits(call_cpu_seconds=0.5, memory_mb=512)
    assert isinstance(got.limits.memory_mb, int)
    assert [(part.id, part.title, part.points) for part in got.parts] == [
        ("step", "One step", 12.5),
        ("whole", "The whole", 7.0),
        ("extra", "No names of its own", 1.0),
    ]
    assert got.names == {
        "forward": ("array", "opaque"),
        "backward": {"x": "array", "cache": ("number", "any")},
        "Cell": "class",
        "run": "array",
    }
    assert list(got.names) == ["forward", "backward", "Cell", "run"]
    assert got.points == 20.5
    assert (got.folder, got.secret) == (tmp_path / "bptt", None)


def test_what_may_be_left_out(tmp_path: Path) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(("pack", "forb", "lim")))
    got = load(tmp_path, text)
    assert (got.packages, got.forbidden, got.limits) == ((), (), Limits())


MISTAKES = [
    ("schema: assignment/1", "schema: assignment/2", "1:9", "schema `assignment/2` cannot be read"),
    ("schema: assignment/1\n", "", "1:1", "the key `schema` is missing"),
    ("id: bptt", "id: lstm", "2:5", "differs from the folder's name `bptt`"),
    ("id: bptt", "id: 7", "2:5", "id must be text, not a whole number. Put it in quotes."),
    ("id: bptt", "id: B-ptt", "2:5", "id `B-ptt` is no id"),
    ("title: Back", "titel: Back", "3:1", "unknown key `titel`. Did you mean `title`?"),
    ("title: Backpropagation through time", "title: [a]", "3:8", "title must be text, not a list"),
    ("title: Backpropagation through time", "title:", "3:7", "title must be text, not nothing"),
    ("title: Backpropagation through time", "title: ' '", "3:8", "title is empty"),
    ("title: Backpropagation through time", 'title: "a\\nb"', "3:8", "title must be one line"),
    ("title: Backpropagation through time", "title: yes", "3:8", "title must be text, not true or false"),
    ("title: Backpropagation through time", "title: 2024-01-01", "3:8", "not a value of type timestamp"),
    ("[numpy, torch]", "numpy", "4:11", "packages must be a list, not text"),
    ("[numpy, torch]", "[numpy, numpy]", "4:19", "packages names `numpy` twice"),
    ("[numpy, torch]", "['numpy>=1']", "4:12", "`numpy>=1` is no distribution name"),
    ("eval]", "a..b]", "5:27", "`a..b` is no dotted Python name"),
    ("eval]", "3]", "5:27", "forbidden[1] must be text"),
    ("memory_mb", "memory_mib", "6:33", "unknown key `memory_mib`. Did you mean `memory_mb`?"),
    ("memory_mb: 512", "memory_mb: 0", "6:44", "limits.memory_mb must be above 0"),
    ("memory_mb: 512", "memory_mb: 1.5", "6:44", "limits.memory_mb must be a whole number, not a number"),
    ("call_cpu_seconds: 0.5", "call_cpu_seconds: -1", "6:28", "limits.call_cpu_seconds must be above 0"),
    ("call_cpu_seconds: 0.5", "call_cpu_seconds: .inf", "6:28", "must be a finite number"),
    ("call_cpu_seconds: 0.5", "call_cpu_seconds: true", "6:28", "must be a number, not true or false"),
    ("scratch_mb: 0", "scratch_mb: -1", "6:61", "limits.scratch_mb must be above 0"),
    ("points: 12.5", "points: 0", "10:13", "parts[0].points must be above 0"),
    ("points: 12.5", "points: .nan", "10:13", "parts[0].points must be a finite number"),
    ("points: 12.5", "points: '12'", "10:13", "parts[0].points must be a number, not text"),
    ("points: 12.5", f"points: {'9' * 400}", "10:13", "parts[0].points must be a finite number"),
    ("points: 12.5", f"points: {'9' * 9000}", "10:13", "parts[0].points is not a number that can be read"),
    ("    points: 12.5\n", "", "8:5", "the key `points` is missing"),
    ("id: whole", "id: step", "15:9", "two parts have the id `step`"),
    ("id: whole", "id: lambda", "15:9", "parts[1].id `lambda` is no id"),
    ("run: array", "forward: array", "19:7", "`forward` is declared already, in part `step`"),
    ("run: array", "run time: array", "19:7", "`run time` is no Python name"),
    ("run: array", "class: array", "19:7", "`class` is no Python name"),
    ("run: array", "1: array", "19:7", "a key of parts[1].names must be text"),
    ("run: array", "run: aray", "19:12", "`aray` is no return spec. Did you mean `array`?"),
    ("run: array", "run: []", "19:12", "is an empty list"),
    ("run: array", "run: {}", "19:12", "is an empty mapping"),
    ("run: array", "run:", "19:11", "must be text, not nothing"),
    ("run: array", "run: [array, class]", "19:20", "`class` cannot stand inside a return spec"),
    ("run: array", "run: [array, [number, {a: nmber}]]", "19:33", "`nmber` is no return spec"),
    ("cache: [number, any]", "x: any", "13:28", "`x` stands twice (first in line 13)"),
    ("    title: The whole\n", "    title: The whole\n    id: other\n", "17:5", "`id` stands twice"),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), MISTAKES)
def test_every_mistake_has_its_place(tmp_path: Path, old: str, new: str, place: str, message: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(CourseError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/bptt/assignment.yaml:{place}: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the file is empty"),
        ("# nothing\n", ":1: the file is empty"),
        ("- a\n", ":1:1: the file must be a mapping, not a list"),
        ("hello", ":1:1: the file must be a mapping, not text"),
        ("a: [1,\nb: 2", "this is not valid YAML"),
        ("a: 1\n\tb: 2", ":2:1: this is not valid YAML"),
        ("a: &x 1\nb: *x\n", "YAML aliases are not read here"),
        ("a: &x [*x]\n", "YAML aliases are not read here"),
        ("a: 1\n---\nb: 2\n", "this is not valid YAML"),
        ("a: \x01", "this is not valid YAML"),
        ("a: " + "[" * 5000, "this is not valid YAML"),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CourseError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "assignment.yaml" in str(caught.value)


def test_no_names_at_all(tmp_path: Path) -> None:
    text = "schema: assignment/1\nid: a\ntitle: A\nparts: [{id: p, title: P, points: 1}]\n"
    with pytest.raises(CourseError, match=r":4:8: no part declares a name"):
        load(tmp_path, text, "a")
    with pytest.raises(CourseError, match=r":4:8: no part declares a name"):
        load(tmp_path, "schema: assignment/1\nid: a\ntitle: A\nparts: []\n", "a")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(CourseError, match=r"a/assignment.yaml: the file is missing"):
        load_assignment(tmp_path / "a", None)
    (tmp_path / "a" / "assignment.yaml").write_bytes(b"schema: assignment/1\nid: \xff\n")
    with pytest.raises(CourseError, match=r"assignment.yaml:2: the file is not UTF-8"):
        load_assignment(tmp_path / "a", None)
    (tmp_path / "b" / "assignment.yaml").mkdir(parents=True)
    with pytest.raises(CourseError, match="cannot be read"):
        load_assignment(tmp_path / "b", None)


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    folder = tmp_path / "bptt"
    folder.mkdir()
    (folder / "assignment.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_assignment(folder, None).points == 20.5


def test_ids() -> None:
    assert all(is_id(text) for text in ("a", "bptt", "gru_copy", "a1"))
    assert not any(is_id(text) for text in ("", "A", "1a", "_a", "a-b", "a b", "a\n", "class", "é", "a."))


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_gives_an_assignment_or_one_line(tmp_path: Path, text: str) -> None:
    try:
        load(tmp_path, text.encode("utf-8", "ignore").decode())
    except CourseError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_of_a_good_file_gives_an_assignment_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    stop = data.draw(st.integers(start, min(len(GOOD), start + 10)))
    new = data.draw(st.text(st.sampled_from("ab:[]{},-#&*!|>'\"\n 0.%@"), max_size=6))
    try:
        load(tmp_path, GOOD[:start] + new + GOOD[stop:])
    except CourseError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


def test_places_count_from_one() -> None:
    root = parse_document("a:\n  b: 1\n", Path("f.yaml"))
    (_, inner) = root.mapping()["a"]
    assert inner.mapping()["b"][1].where == "f.yaml:2:6"
