"""Laying a new assignment: a small, complete one that passes `grader verify` and is there to be replaced."""

from __future__ import annotations

import json
import keyword
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from grader.course.building import generated_files, write_generated
from grader.course.catalog import PACKAGED, Course
from grader.course.files import read_text, write_whole
from grader.course.loading import is_id, load_assignment
from grader.course.marked_yaml import NOTHING, parse_document
from grader.course.misconceptions import SCHEMA, misconceptions_file, read_misconceptions
from grader.course.mutants import apply_mutant, load_mutants
from grader.course.reference import read_reference
from grader.course.skeleton_files import HANDOUT, MISCONCEPTIONS, SOLUTION
from grader.errors import CourseError

EMPTY_LISTING = f"""\
# What students of this course believe, and where to read on. Mutants and quizzes share these ids.
schema: {SCHEMA}
misconceptions:
"""

#: Modules that students' code or the examiner imports: an assignment of that name would stand in their way.
TAKEN = frozenset({"numpy", "torch", "pytest", "yaml", "click", "rich", "sqlalchemy", "grader", "conftest"})


def new_assignment(course: Course, assignment_id: str, title: str | None = None) -> list[Path]:
    """Lay a working assignment in the two trees of a course and return the paths; raise CourseError.

    The example in it is a leaky integrator: two functions, both suites, mutants, a twin, misconceptions. The
    latter are appended to misconceptions.yaml, whose comments stay. On an error nothing is left behind.
    """
    if course.root == PACKAGED:
        raise CourseError(
            "the installed course cannot be added to",
            advice="Name a course of your own with --course or GRADER_COURSE.",
        )
    heading = title if title is not None else assignment_id.replace("_", " ").capitalize()
    _check_names(assignment_id, heading)
    folder = course.root / "assignments" / assignment_id
    secret = course.root / "solutions" / assignment_id
    for place in (folder, secret):
        if place.exists() or place.is_symlink():
            raise CourseError("this is there already", where=place, advice="Choose another id, or remove it first.")
    listing = misconceptions_file(course)
    listed = with_misconceptions(listing, assignment_id)

    made: list[Path] = []  # what to take back, newest first
    try:
        for parent in (folder.parent, secret.parent):
            if not parent.exists():
                parent.mkdir(parents=True)
                made.insert(0, parent)
        # Everything is written and checked out of sight first; two renames then make it appear.
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        made.insert(0, draft)
        secret_draft = Path(tempfile.mkdtemp(prefix=".new-", dir=secret.parent))
        made.insert(0, secret_draft)
        names = _lay(assignment_id, heading, draft / assignment_id, secret_draft / assignment_id)
        made.insert(0, secret)
        (secret_draft / assignment_id).rename(secret)
        made.insert(0, folder)
        (draft / assignment_id).rename(folder)
        draft.rmdir()
        secret_draft.rmdir()
        if listed is not None:
            write_whole(listing, listed.encode())
    except BaseException as error:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, OSError):
            raise CourseError(
                f"the assignment cannot be written ({error.strerror})",
                where=course.root,
                advice="Check the folder's permissions and free space.",
            ) from None
        raise
    paths = [folder / name for name in names[0]] + [secret / name for name in names[1]]
    return paths + ([listing] if listed is not None else [])


def with_misconceptions(path: Path, assignment_id: str) -> str | None:
    """Return the text of misconceptions.yaml with the example's ones added, None if all are there.

    Comments and layout stay. Raises CourseError if the file is not as it should be, or if text cannot simply
    be added to it.
    """
    text = read_text(path) if path.exists() else EMPTY_LISTING
    root = parse_document(text, path)
    root.fields(("schema", "misconceptions"))
    top = root.mapping()
    key, place = top["misconceptions"]
    empty = place.node.tag == NOTHING or place.node.value == []
    known = {} if empty else read_misconceptions(root)
    wanted = {f"{assignment_id}/{name}": words for name, words in MISCONCEPTIONS.items()}
    missing = {name: words for name, words in wanted.items() if name not in known}
    if not missing:
        return None
    lines = text.rstrip("\n").split("\n")
    if empty:
        # `misconceptions:`, `misconceptions: {}` and `misconceptions: null` become an open mapping.
        cut, indent = key.node.start_mark.line + 1, 2
        lines[cut - 1] = "misconceptions:"
    else:
        pairs = list(place.mapping().values())
        indent = pairs[0][0].node.start_mark.column
        end = pairs[-1][1].node.end_mark
        last = list(top)[-1] == "misconceptions"
        cut = len(lines) if last else end.line + (1 if end.column else 0)
        lines.insert(cut, "")
        cut += 1
    lines[cut:cut] = _entries(missing, indent)
    candidate = "\n".join(lines) + "\n"
    # Adding text to YAML is a guess about its layout; reading the result back makes it safe.
    try:
        now = read_misconceptions(parse_document(candidate, path))
    except CourseError:
        now = {}
    if set(now) != {*known, *missing} or any(now[name] != known[name] for name in known):
        raise CourseError(
            "misconceptions cannot be added to this file as text",
            where=place.where,
            advice="Write them as an indented block under `misconceptions:`, the last key of the file.",
        )
    return candidate


def _entries(missing: Mapping[str, tuple[str, str]], indent: int) -> list[str]:
    """Return the lines that add misconceptions to a block mapping of this indentation."""
    lines: list[str] = []
    for name, (belief, section) in missing.items():
        assignment_id = name.partition("/")[0]
        lines += [
            f"{name}:",
            f"  belief: {json.dumps(belief)}",
            f'  read: "{assignment_id}, section {section}"',
        ]
    return [" " * indent + line for line in lines]


def _check_names(assignment_id: str, title: str) -> None:
    if not is_id(assignment_id):
        word = " (it is a word of Python)" if keyword.iskeyword(assignment_id) else ""
        raise CourseError(
            f"`{assignment_id}` cannot be the id of an assignment{word}",
            advice="Use lower-case letters, digits and _, starting with a letter.",
        )
    if assignment_id in TAKEN or assignment_id in sys.stdlib_module_names or assignment_id.startswith("test_"):
        raise CourseError(
            f"`{assignment_id}` is the name of a module that something else imports or pytest collects",
            advice="Choose another id: students hand in a file of that name.",
        )
    if not title.strip() or not title.isprintable():
        raise CourseError("the title must be one line of printable text")


def _lay(assignment_id: str, title: str, folder: Path, secret: Path) -> tuple[list[str], list[str]]:
    """Write the example into two new folders, check it, and return the names written in each."""
    # The title comes last: what looks like a placeholder in it stays as it is.
    words = {
        "@ID@": assignment_id,
        "@QUOTED_TITLE@": json.dumps(title, ensure_ascii=False),
        "@TITLE@": title,
    }
    trees = ((folder, HANDOUT), (secret, SOLUTION))
    for place, texts in trees:
        for name, text in texts.items():
            for word, value in words.items():
                text = text.replace(word, value)
            path = place / name.replace("@ID@", assignment_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    assignment = load_assignment(folder, secret)
    reference = read_reference(assignment)
    for mutant in load_mutants(assignment):
        apply_mutant(mutant, reference)
    write_generated(generated_files(assignment))
    handout, solution = (
        sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()) for place, _ in trees
    )
    return handout, solution
