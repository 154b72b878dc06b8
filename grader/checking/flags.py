"""Look for names that an exercise asks not to use; what is found is for a human, never an automatic zero."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Sequence

SCAN_SECONDS = 5
SCAN_MEMORY = 1 << 30  # bytes of address space beyond what the process has
MAX_FLAGS = 50
MAX_FLAG = 300
UNSCANNED = "the source could not be searched for forbidden names"


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def _uses(source: str) -> Iterable[tuple[str, int]]:
    """Yield the dotted names that a source uses and the line of each; nothing that it binds itself."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # it does not run either
    aliases: dict[str, str] = {}

    def resolved(node: ast.AST) -> str:
        head, _, rest = _dotted(node).partition(".")
        head = aliases.get(head, head)
        return f"{head}.{rest}" if rest else head

    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = full
                yield full, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    for node in ast.walk(tree):  # another name for a module: layers = torch.nn
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            of = resolved(node.value)
            if "." in of:
                aliases.setdefault(node.targets[0].id, of)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield resolved(node), node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in own | aliases.keys():
            yield node.id, node.lineno
        elif isinstance(node, ast.Call) and _dotted(node.func) == "getattr" and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield f"{resolved(node.args[0])}.{name.value}", node.lineno


def forbidden_uses(chunks: Sequence[tuple[str, str]], forbidden: Sequence[str]) -> tuple[str, ...]:
    """Return a line for each use of a forbidden name: "torch.nn.GRU at gru_copy.py, line 12".

    `chunks` are (label, source). A rule without a dot stands for a package or a builtin, one with dots for the end of
    a dotted name; renamed imports, `layers = torch.nn` and `getattr(nn, "GRU")` are seen through.
    Raise RecursionError or MemoryError for a source that is too much for the parser.
    """
    found: dict[str, None] = {}
    for label, source in chunks:
        for name, line in _uses(source):
            for rule in forbidden:
                if name == rule or name.startswith(rule + ".") or ("." in rule and name.endswith("." + rule)):
                    found[f"{rule} at {label}, line {line}"] = None
    return tuple(found)


def scan(chunks: Sequence[tuple[str, str]], forbidden: Sequence[str]) -> tuple[str, ...]:
    """Return what `forbidden_uses` finds, from a process of its own that is limited in time and memory.

    Python's parser is no match for a hostile source: two MiB of it can take minutes, gigabytes, or the process.
    """
    if not forbidden or not chunks:
        return ()
    if not hasattr(os, "fork"):  # Windows: tier 0 only
        return forbidden_uses(chunks, forbidden)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (SCAN_SECONDS, SCAN_SECONDS))
            with open("/proc/self/statm", encoding="ascii") as stream:
                own = int(stream.read().split()[0]) * resource.getpagesize()
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (own + SCAN_MEMORY, hard))
        except (OSError, ValueError):
            pass  # no /proc: the examiner's own limit holds
        try:
            found = [flag[:MAX_FLAG] for flag in forbidden_uses(chunks, forbidden)[:MAX_FLAGS]]
            with os.fdopen(write, "w", encoding="ascii") as stream:
                json.dump(found, stream)
        except (RecursionError, MemoryError):
            pass  # nothing is written, which says it
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="ascii") as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    try:
        return tuple(json.loads(text))
    except ValueError:
        return (UNSCANNED,)
