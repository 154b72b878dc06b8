"""Look for names that an exercise asks not to use; what is found is for a human, never an automatic zero."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence


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
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
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
    """
    found: dict[str, None] = {}
    for label, source in chunks:
        for name, line in _uses(source):
            for rule in forbidden:
                if name == rule or name.startswith(rule + ".") or ("." in rule and name.endswith("." + rule)):
                    found[f"{rule} at {label}, line {line}"] = None
    return tuple(found)
