"""Reading Python source where several threads do it at once, as the server's do.

`ast.parse` keeps its depth in a place that all threads share (CPython issue 106905), so that two at a time may end in a
SystemError although nothing is wrong with the source. One at a time it is right.
"""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.Lock()


def module_of(source: str) -> ast.Module:
    """Return the tree of a source file; raise what `ast.parse` raises."""
    with _ONE_AT_A_TIME:
        return ast.parse(source)


def expression_of(source: str) -> ast.expr:
    """Return the tree of one expression; raise what `ast.parse` raises."""
    with _ONE_AT_A_TIME:
        return ast.parse(source, mode="eval").body
