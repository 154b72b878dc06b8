"""What `grader verify` plans to grade: every run that is compared with a plain one has that plain one."""

from types import SimpleNamespace

import pytest

from grader.grading.verify import BASE_SEED, Subject, _plan


def _everyone(mutants: int) -> list[Subject]:
    mutant = SimpleNamespace(caught_by=["test_a"])
    rest = [Subject(kind, kind, "") for kind in ("reference", "stub", "vandal")]
    return [*rest, Subject("twin", "other", ""), *(Subject("mutant", f"m{i}", "", mutant) for i in range(mutants))]


@pytest.mark.parametrize("seeds", [1, 2, 3, 10, 20])
@pytest.mark.parametrize("sample", [1, 2, 3, 4, 7, 10, 25])
def test_every_shuffled_and_isolated_run_has_its_plain_one(seeds: int, sample: int) -> None:
    plan = [
        (s.name, mode, seed) for _, s, mode, seed in _plan(_everyone(60), seeds, ["test_a"], frozenset(), "all", sample)
    ]
    plain = {name for name, mode, seed in plan if mode == "plain" and seed == BASE_SEED}
    for mode in ("shuffled", "isolated"):
        compared = {name for name, this, _ in plan if this == mode}
        assert {"reference", "other", "stub"} <= compared <= plain
        assert any(name.startswith("m") for name in compared), "not one mutant runs in another order"
    assert len(plan) == len(set(plan))


def test_every_mutant_runs_on_the_first_seed() -> None:
    plan = [(s.name, mode, seed) for _, s, mode, seed in _plan(_everyone(60), 2, ["test_a"], frozenset(), "all", 1)]
    assert {name for name, mode, seed in plan if (mode, seed) == ("plain", BASE_SEED)} >= {f"m{i}" for i in range(60)}
