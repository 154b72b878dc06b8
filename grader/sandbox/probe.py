"""Find the strongest sandbox that this machine really offers, and say what it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grader.errors import SandboxError
from grader.sandbox import bubblewrap, landlock, plain
from grader.sandbox.box import Bound, platform_is_linux
from grader.sandbox.contents import Contents, contents
from grader.sandbox.session import Sandbox

#: Every kind of sandbox, strongest first: (tier, name, opener).
KINDS: tuple[tuple[int, str, Callable[[Contents, Bound | None], Sandbox]], ...] = (
    (bubblewrap.TIER, bubblewrap.NAME, bubblewrap.open_box),
    (landlock.TIER, landlock.NAME, landlock.open_box),
    (plain.TIER, plain.NAME, plain.open_box),
)


@dataclass(frozen=True)
class Refusal:
    """Why a tier cannot be had on this machine."""

    tier: int
    name: str
    reason: str


def open_tier(tier: int, packages: tuple[str, ...], bound: Bound | None = None) -> Sandbox:
    """Open the sandbox of the given tier (0, 1 or 2); raise SandboxError where this machine has none."""
    for number, name, opener in KINDS:
        if number == tier:
            if number != plain.TIER and not platform_is_linux():
                raise SandboxError(f"the {name} sandbox needs Linux")
            return opener(contents(packages), bound)
    raise SandboxError(f"there is no sandbox tier {tier}", advice="The tiers are 0, 1 and 2")


def open_strongest(packages: tuple[str, ...], bound: Bound | None = None) -> tuple[Sandbox, list[Refusal]]:
    """Open the strongest sandbox above tier 0, and tell why stronger ones were refused.

    Raise SandboxError where neither tier 1 nor tier 2 can be had: tier 0 is never chosen in silence.
    """
    refusals: list[Refusal] = []
    for number, name, _ in KINDS:
        if number == plain.TIER:
            continue
        try:
            return open_tier(number, packages, bound), refusals
        except SandboxError as error:
            refusals.append(Refusal(number, name, str(error)))
    reasons = "; ".join(f"tier {r.tier} ({r.name}): {r.reason}" for r in refusals)
    raise SandboxError(
        f"no sandbox on this machine, so student code is not run. {reasons}",
        advice="Install bubblewrap (`grader doctor` explains), or pass --tier 0 for code that you trust",
    )
