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
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # it does not run either
    aliases: dict[str, str] = {}
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
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = _dotted(node)
            head, _, rest = name.partition(".")
            yield (f"{aliases.get(head, head)}.{rest}" if rest else name), node.lineno


def forbidden_uses(chunks: Sequence[tuple[str, str]], forbidden: Sequence[str]) -> tuple[str, ...]:
    """Return a line for each use of a forbidden name: "torch.nn.GRU at gru_copy.py, line 12".

    `chunks` are (label, source). A rule without a dot stands for a package, one with dots for a dotted name.
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
