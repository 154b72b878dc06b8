"""One engine for each database, for nbgrader opens its gradebook seven times for every student."""

from __future__ import annotations

from functools import cache
from typing import Any

import nbgrader.api

_create_engine = nbgrader.api.create_engine


@cache
def _engine(url: str, **options: Any) -> Any:
    return _create_engine(url, **options)


def keep_engines() -> None:
    """Let all gradebooks that nbgrader opens in this process share an engine.

    What SQLAlchemy compiles it keeps with the engine, and a new one compiles every query again: most of what nbgrader
    does for a student. Closing a gradebook closes its connections all the same.
    """
    nbgrader.api.create_engine = _engine
