"""The pytest plugin: the `student`, `rng` and `seed` fixtures and the marks of a suite.

In a grading run an `Examination` is already there. Under plain `pytest assignments/bptt` the plugin makes one for
each suite: the module beside the suite, in a process of its own, with full assertion details.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from grader.sandbox.session import Session

PUBLIC_SEED = 20


class Examination:
    """One submission being checked: its session, its proxy and the seed of its inputs."""

    def __init__(self, session: Session, names: dict[str, Any], seed: int) -> None:
        from grader.sandbox.proxy import Student

        self.session = session
        self.student = Student(session, names)
        self.seed = seed


EXAMINATION = pytest.StashKey[Examination]()
OPENED = pytest.StashKey[dict[Path, "Examination | None"]]()


def check_id(item: pytest.Item) -> str:
    """Return the id of a check: its name in the suite, with class and parameters."""
    return item.nodeid.split("::", 1)[-1]


def check_seed(seed: int, check: str) -> int:
    """Return the seed of one check's own generator, so that checks do not depend on each other's order."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{check}".encode()).digest()[:8], "big")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("unrolled")
    group.addoption("--submission", default=None, help="the file to check instead of the module beside the suite")
    group.addoption("--check-seed", type=int, default=PUBLIC_SEED, help="seed of the checks' inputs")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "points(n): what the check is worth")
    config.addinivalue_line("markers", "kept(why): why a check stays that kills no mutant of its own")
    config.addinivalue_line("markers", "training: the check trains a model: dear, and no part of the diagnosis")
    config.addinivalue_line("markers", "part(id): the part of the assignment that the check belongs to")


def _open(item: pytest.Item) -> Examination:
    """Return the examination of a suite that was started by plain pytest."""
    config = item.config
    opened = config.stash.setdefault(OPENED, {})
    folder = item.path.parent
    if folder not in opened:
        from grader.checking.selfcheck import examination_for

        opened[folder] = examination_for(item.path, config.getoption("--submission"), config.getoption("--check-seed"))
    found = opened[folder]
    if found is None:
        raise pytest.UsageError(f"{item.path}: no assignment.yaml belongs to this suite")
    return found


@pytest.fixture
def _examination(request: pytest.FixtureRequest) -> Iterator[Examination]:
    found = request.config.stash.get(EXAMINATION, None)
    if found is not None:
        yield found
        return
    from grader.checking import evidence

    found = _open(request.node)
    found.session.begin_check()
    evidence.begin()
    yield found
    printed = found.session.take_output()
    if printed:
        print(printed)


@pytest.fixture
def student(_examination: Examination) -> Any:
    """The submission under examination: call its functions, get plain data back."""
    return _examination.student


@pytest.fixture
def seed(_examination: Examination) -> int:
    """The seed of this run, the same for every check."""
    return _examination.seed


@pytest.fixture
def rng(request: pytest.FixtureRequest, _examination: Examination) -> Any:
    """A numpy Generator of this check's own."""
    import numpy as np

    return np.random.default_rng(check_seed(_examination.seed, check_id(request.node)))


def pytest_unconfigure(config: pytest.Config) -> None:
    for found in config.stash.get(OPENED, {}).values():
        if found is not None:
            found.session.close()
