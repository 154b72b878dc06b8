"""The architecture, read from the imports: rooms use lower floors only, and heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import grader

PACKAGE = Path(grader.__file__).resolve().parent
FLOORS = (
    "errors",
    "course",
    "submissions",
    "sandbox",
    "checking",
    "gradebook",
    "grading",
    "quiz",
    "reports",
    "exchange",
    "web",
    "cli",
)
#: library -> the places (dotted, below `grader`) that may import it at all
CONFINED = {
    "torch": ("sandbox.inside",),
    "nbgrader": ("exchange.nbgrader",),
    "sqlalchemy": ("gradebook",),
    "matplotlib": ("reports",),
    **dict.fromkeys(("starlette", "uvicorn", "anyio", "jinja2", "markdown_it", "latex2mathml"), ("web",)),
}
#: never imported by merely importing a module of the command line
HEAVY = frozenset(
    {"numpy", "torch", "pytest", "sqlalchemy", "rich", "yaml", "nbgrader", "psycopg", "hypothesis", "matplotlib"}
    | {"pydantic", "rapidfuzz"}
    | {"starlette", "uvicorn", "anyio", "jinja2", "markdown_it", "latex2mathml"}
)
INSIDE = "sandbox.inside"


@dataclass(frozen=True)
class Import:
    """One import: the absolute dotted target, the relative level, the line, and when it is carried out."""

    target: str
    level: int
    line: int
    at_import: bool  # False inside functions and under TYPE_CHECKING


def dotted(path: Path, package: Path) -> str:
    """Return a module's dotted name below the package: "" for the package itself."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, name: str, is_package: bool) -> list[Import]:
    """Return every import of a module, wherever it stands; relative ones are made absolute."""
    base = ["grader", *name.split(".")] if name else ["grader"]

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, 0, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            above = base if is_package else base[:-1]
            start = above[: len(above) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(f"{module}.{alias.name}", node.level, node.lineno, at_import)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in [*node.body, *node.orelse]:
                yield from walk(child, False)
        else:
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, at_import and not later)

    return list(walk(ast.parse(source), True))


def within(name: str, places: tuple[str, ...]) -> bool:
    """Say whether a dotted name is one of the places or lies below one."""
    return any(name == place or name.startswith(place + ".") for place in places)


def faults(name: str, source: str, is_package: bool = False) -> list[str]:
    """Return what a module imports against the rules, a line each."""
    found = []
    room = name.split(".")[0]
    for one in imports(source, name, is_package):
        head, _, rest = one.target.partition(".")
        where = f"{name}:{one.line}"
        if name != INSIDE and within(name, (INSIDE,)):
            if head == "grader" and one.level != 1:
                found.append(f"{where}: {one.target} is imported, but inside the box there is no `grader`")
            elif head == "grader" and not within(rest, (INSIDE,)):
                found.append(f"{where}: {one.target} lies outside the box")
        elif head == "grader" and room in FLOORS:
            other = rest.split(".")[0]
            if other in FLOORS and FLOORS.index(other) > FLOORS.index(room):
                found.append(f"{where}: {room} imports from {other}, which is a higher floor")
        if head in CONFINED and not within(name, CONFINED[head]):
            found.append(f"{where}: {head} belongs in {', '.join(CONFINED[head])}")
        if head == "torch" and one.at_import:
            found.append(f"{where}: torch must be imported where it is used")
    return found


MODULES = {dotted(path, PACKAGE): path for path in sorted(PACKAGE.rglob("*.py")) if "_course" not in path.parts}


def read(name: str) -> tuple[str, bool]:
    """Return a module's source, and whether it is a package."""
    path = MODULES[name]
    return path.read_text(encoding="utf-8"), path.name == "__init__.py"


def test_every_room_is_on_a_floor() -> None:
    rooms = {name.split(".")[0] for name in MODULES} - {"", "__main__"}
    assert rooms <= set(FLOORS)
    assert {"errors", "course", "submissions", "sandbox", "checking", "gradebook", "grading", "cli"} <= rooms


@pytest.mark.parametrize("name", MODULES)
def test_module_keeps_to_its_floor(name: str) -> None:
    source, is_package = read(name)
    assert faults(name, source, is_package) == []


def test_command_line_imports_nothing_heavy_when_it_starts() -> None:
    """Follow every import that is carried out by importing a module of `grader.cli`."""
    todo = [(name, name) for name in MODULES if within(name, ("cli",))]
    seen: set[str] = set()
    found = []
    while todo:
        name, by = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        source, is_package = read(name)
        for one in imports(source, name, is_package):
            if not one.at_import:
                continue
            head, _, rest = one.target.partition(".")
            if head in HEAVY:
                found.append(f"{name}:{one.line} imports {head} ({by} needs it)")
            if head != "grader":
                continue
            # `from grader.a import b`: b may be a module; what lies above it is imported as well
            parts = rest.split(".")
            todo += [(part, by) for n in range(len(parts) + 1) if (part := ".".join(parts[:n])) in MODULES]
    assert found == []
    assert "errors" in seen  # the walk does follow imports


@pytest.mark.parametrize("name", MODULES)
def test_module_and_what_is_public_in_it_have_docstrings(name: str) -> None:
    tree = ast.parse(read(name)[0])
    without = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        # pytest calls its hooks by name, and their meaning is pytest's
        if not ast.get_docstring(node) and not node.name.startswith(("_", "pytest_")):
            without.append(node.name)
    assert without == []


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("course.x", "from grader.cli.main import run", "higher floor"),
        ("course.x", "def f():\n    import grader.reports.text", "higher floor"),
        ("course.x", "if TYPE_CHECKING:\n    from grader.grading import engine", "higher floor"),
        ("course.x", "from ..checking import report", "higher floor"),
        ("errors", "from grader.course import files", "higher floor"),
        ("sandbox.inside.x", "from grader.errors import GraderError", "no `grader`"),
        ("sandbox.inside.x", "from ..limits import Meter", "no `grader`"),
        ("checking.x", "def f():\n    import torch", "torch belongs"),
        ("sandbox.inside.x", "import torch", "where it is used"),
        ("grading.x", "from sqlalchemy import select", "sqlalchemy belongs"),
        ("exchange.moodle", "import nbgrader", "nbgrader belongs"),
    ],
)
def test_the_rules_find_what_they_forbid(name: str, source: str, words: str) -> None:
    assert any(words in fault for fault in faults(name, source))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cli.x", "from grader.course import files"),
        ("sandbox.x", "from grader.sandbox.inside import codec"),
        ("sandbox.inside.x", "from . import codec\nfrom .codec import pack\n\n\ndef f():\n    import torch"),
        ("gradebook.x", "import sqlalchemy as sa"),
        ("exchange.nbgrader.x", "import nbgrader"),
    ],
)
def test_the_rules_allow_what_is_right(name: str, source: str) -> None:
    assert faults(name, source) == []


def test_standard_library_is_not_shadowed() -> None:
    top = {name for name in MODULES if name and "." not in name}
    assert not top & sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: dotted(path, PACKAGE))
def test_no_module_uses_the_private_names_of_another(path: Path) -> None:
    """What begins with an underscore belongs to its module: `_exit` and the like of Python's own are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("grader")):
            private = [one.name for one in node.names if one.name.startswith("_") and not one.name.startswith("__")]
            assert private == [], f"line {node.lineno}"
            ours |= {one.asname or one.name for one in node.names}
    strange = [
        f"line {node.lineno}: {node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours
        if node.value.id.islower() and node.attr.startswith("_") and not node.attr.startswith("__")
    ]
    assert strange == []
