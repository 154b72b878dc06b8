"""Hold a submission's evidence against the mutants': the cover rule.

A hint is shown only when misconceptions that answer the very same wrong numbers explain every failing check.
Checks that were not attempted take no part on either side: a half-written submission can still be told what is
wrong with the written half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grader.checking.evidence import agree, has_telling_number

Items = list[tuple[str, Any]]


@dataclass(frozen=True)
class Evidence:
    """What one failing check looked at; `strong` as in `grader.checking.evidence.Record`."""

    items: Items
    strong: bool


@dataclass(frozen=True)
class Fingerprint:
    """How one mutant answers: its evidence in every check that it fails."""

    mutant: str
    misconception: str
    hint: str
    failing: Mapping[str, Evidence] = field(repr=False)

    @property
    def footprint(self) -> frozenset[str]:
        """Return the ids of the checks that the mutant fails."""
        return frozenset(self.failing)


@dataclass(frozen=True)
class Explanation:
    """A mutant that answers the same wrong numbers as the submission, and the checks it explains."""

    mutant: str
    misconception: str
    hint: str
    checks: tuple[str, ...]


def same_answers(a: Evidence, b: Evidence) -> bool:
    """Tell whether two failing checks looked at the same values in the same order."""
    return (
        len(a.items) == len(b.items)
        and bool(a.items)
        and all(n == m and agree(x, y) for (n, x), (m, y) in zip(a.items, b.items, strict=True))
    )


def explain(
    failing: Mapping[str, Evidence],
    fingerprints: Sequence[Fingerprint],
    not_attempted: frozenset[str] = frozenset(),
) -> list[Explanation]:
    """Return the explanations that together cover every failing check, or none at all.

    `failing` maps each failing, attempted check to its evidence; `not_attempted` are left out of account.
    """
    supported: list[tuple[Fingerprint, frozenset[str]]] = []
    for candidate in fingerprints:
        footprint = candidate.footprint - not_attempted
        if not footprint or not footprint <= failing.keys():
            continue
        if not all(same_answers(failing[check], candidate.failing[check]) for check in footprint):
            continue
        if any(failing[check].strong for check in footprint):
            supported.append((candidate, footprint))
    kept = []
    for index, (candidate, footprint) in enumerate(supported):
        rivals = [(c, f) for j, (c, f) in enumerate(supported) if j != index]
        if any(footprint < f for _, f in rivals):
            continue  # a larger explanation says the same and more
        twins = [(j, c) for j, (c, f) in enumerate(supported) if j != index and f == footprint]
        if any(c.misconception != candidate.misconception for _, c in twins):
            continue  # two beliefs fit equally well: neither is told
        if any(j < index for j, _ in twins):
            continue  # the same belief once is enough
        if any(footprint & f and not f < footprint and f != footprint for _, f in rivals):
            continue  # they overlap, so at least one of them is a coincidence
        kept.append((candidate, footprint))
    covered = frozenset().union(*(footprint for _, footprint in kept)) if kept else frozenset()
    if covered != frozenset(failing):
        return []
    return [Explanation(c.mutant, c.misconception, c.hint, tuple(sorted(f))) for c, f in kept]


def is_strong(record_strong: bool, judged: bool, items: Items) -> bool:
    """Tell whether a failing check's evidence is strong: decided by the comparison, else by what was observed."""
    return record_strong if judged else has_telling_number(items)
