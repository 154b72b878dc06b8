"""The documentation holds: every command is explained, every example line parses, every link leads somewhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from grader.cli import main
from grader.course.catalog import find_course

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
GUIDES = [page for page in PAGES if page.name != "CHANGELOG.md"]
CONTROL = {"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "(", ")"}
HEAVY = ("numpy", "torch", "pytest", "sqlalchemy", "rich", "yaml", "matplotlib", "starlette", "jinja2", "markdown_it")


def walk(command: click.Command, ctx: click.Context, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that call it, groups included."""
    yield " ".join(words), command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from walk(child, click.Context(child, info_name=name, parent=ctx), (*words, name))


COMMANDS = dict(walk(main.grader, click.Context(main.grader, info_name="grader"), ("grader",)))


def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def fenced(text: str) -> Iterator[str]:
    """Yield the lines inside fenced code blocks."""
    inside = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif inside:
            yield line


def calls(line: str) -> Iterator[list[str]]:
    """Yield the arguments of every `grader ...` in a shell line; comments and redirections are left out."""
    lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    lexer.wordchars += "[]@:,"
    run: list[str] = []
    for word in [*lexer, ";"]:
        if word not in CONTROL:
            run.append(word)
            continue
        if run[:1] == ["grader"]:
            yield run[1:]
        run = []


def examples_in_help(command: click.Command) -> list[str]:
    """Return the example lines in the help of a command."""
    lines = (command.help or "").splitlines()
    start = next((n for n, line in enumerate(lines) if line.strip() == "Example:"), len(lines))
    return [line.strip() for line in lines[start + 1 :] if line.strip().startswith("grader ")]


def lines_of_pages() -> list[tuple[str, str]]:
    return [
        (path.name, line.strip())
        for path in GUIDES
        for line in fenced(page(path))
        if line.strip().removeprefix("$ ").startswith("grader ")
    ]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], str]:
    """Let the real command line parse arguments, with every command's action taken out."""
    ran: list[str] = []
    for name, command in COMMANDS.items():
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda *args, _name=name, **options: ran.append(_name))

    def run(arguments: list[str]) -> str:
        ran.clear()
        main.grader.main(args=arguments, prog_name="grader", standalone_mode=False)
        return ran[0] if ran else "help"

    return run


# --- help ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help_and_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.help.strip()
    examples = examples_in_help(command)
    assert examples, f"`{name} --help` has no Example:"
    assert any(line.startswith(name) for line in examples), f"no example of `{name}` calls it"
    with click.Context(command, info_name=name) as ctx:
        assert "Example:" in command.get_help(ctx)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_have_help_and_arguments_are_named(name: str) -> None:
    command = COMMANDS[name]
    with click.Context(command, info_name=name) as ctx:
        shown = command.get_help(ctx)
        for parameter in command.get_params(ctx):
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name}: {parameter.opts}"
                assert parameter.opts[0] in shown
            elif parameter.required:
                # the text takes up what the usage line shows: a reader is not left with a bare metavar
                word = re.sub(r"[^A-Z]", "", parameter.make_metavar(ctx).upper())
                assert re.search(rf"\b{word}\b", command.help or ""), f"{name} does not explain {word}"


def test_section_lists_of_the_help_are_complete() -> None:
    listed = [name for names in main.SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(main.COMMANDS)


# --- pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_in_the_readme_and_in_a_guide(name: str) -> None:
    assert re.search(rf"\b{name}\b", page(ROOT / "README.md")), f"README.md does not name `{name}`"
    called = [line for _, line in lines_of_pages() if re.match(rf"(\$ )?{name}\b", line)]
    assert called, f"no page shows `{name}` in a code block"


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_in_a_guide(name: str) -> None:
    everything = "\n".join(page(path) for path in GUIDES)
    with click.Context(COMMANDS[name], info_name=name) as ctx:
        options = [p for p in COMMANDS[name].get_params(ctx) if isinstance(p, click.Option)]
    long = [opt for option in options for opt in option.opts if opt.startswith("--")]
    assert [opt for opt in long if not re.search(rf"(?<![\w-]){opt}(?![\w-])", everything)] == []


@pytest.mark.parametrize("where_and_line", lines_of_pages(), ids=lambda pair: f"{pair[0]}: {pair[1]}")
def test_example_of_a_page_parses(where_and_line: tuple[str, str], parse: Callable[[list[str]], str]) -> None:
    found = list(calls(where_and_line[1]))
    assert found
    for arguments in found:
        parse(arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_example_of_the_help_parses(name: str, parse: Callable[[list[str]], str]) -> None:
    # a column of explanation may follow an example after two spaces
    found = [re.split(r" {2,}", line)[0] for line in examples_in_help(COMMANDS[name])]
    for line in found:
        for arguments in calls(line):
            assert parse(arguments) == line or parse(arguments) in line


def test_commands_named_in_sentences_exist() -> None:
    """`grader x --y` in running text names a command and options that are there."""
    known = {tuple(name.split()[1:]): command for name, command in COMMANDS.items()}
    for path in PAGES:
        for span in re.findall(r"`grader ([^`]+)`", page(path)):
            words = span.split()
            depth = next((n for n in (2, 1) if tuple(words[:n]) in known and len(words) >= n), 0)
            command = known[tuple(words[:depth])]
            assert depth or words[0].startswith("-"), f"{path.name}: there is no `grader {span}`"
            with click.Context(command) as ctx:
                options = {opt for p in command.get_params(ctx) for opt in p.opts}
            for word in words[depth:]:
                if word.startswith("-"):
                    assert word.split("=")[0] in options, f"{path.name}: `grader {span}`: no {word}"


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"```.*?```", "", page(path), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            pytest.fail(f"{path.name}: {target} leads out of the project")
        name, _, fragment = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        assert other.exists(), f"{path.name}: {target}"
        assert other.is_relative_to(ROOT)
        if fragment:
            headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page(other), flags=re.DOTALL), re.MULTILINE)
            assert fragment in map(anchor, headings), f"{path.name}: {target}"


def test_every_guide_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path in seen or path.suffix != ".md" or not path.is_file():
            continue
        seen.add(path)
        todo += [(path.parent / t.partition("#")[0]).resolve() for t in re.findall(r"\]\(([^)\s]+)\)", page(path))]
    assert [path.name for path in PAGES if path not in seen] == []


def test_readme_lists_every_assignment() -> None:
    text = page(ROOT / "README.md")
    for assignment in find_course(ROOT).assignments():
        row = rf"\| \[?`?{assignment.id}`?[^|]*\| {re.escape(assignment.title)}[^|]* \|.*\| {assignment.points:g} \|"
        assert re.search(row, text), f"README.md has no row of {assignment.id}"


def test_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", page(ROOT / "Makefile"), re.MULTILINE))
    named = {t for path in PAGES for t in re.findall(r"\bmake ([a-z-]+)\b", "\n".join(fenced(page(path))))}
    assert {"demo", "test", "test-full", "lint"} <= targets
    assert named <= targets
    assert {"demo", "test"} <= named


# --- the time that the help takes -------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    """`grader --help`, and the help of each command, must not pay for a library that it does not use."""
    script = (
        "import json, sys\n"
        "from grader.cli.main import run\n"
        f"for words in {[name.split()[1:] for name in COMMANDS]!r}:\n"
        "    try:\n"
        "        run([*words, '--help'])\n"
        "    except SystemExit as stop:\n"
        "        assert stop.code == 0, words\n"
        f"    found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    print(json.dumps([words, found]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(told) == len(COMMANDS)
    assert [entry for entry in told if entry[1]] == []
    assert "Students:" in done.stdout
