"""Tier 2: Landlock, seccomp and rlimits, for machines where no namespace may be made (containers, some Ubuntus)."""

from __future__ import annotations

import os

from grader.errors import SandboxError
from grader.sandbox.box import Bound, Box, Plan, boot_code
from grader.sandbox.contents import INSIDE, Contents, hidden_in_stdlib
from grader.sandbox.inside import lockdown

TIER = 2
NAME = "landlock"


def _rules(contents: Contents) -> list[tuple[str, int]]:
    rules: list[tuple[str, int]] = []
    for folder in contents.stdlib:
        hidden = set(hidden_in_stdlib(folder))
        # the folder may be listed, its files read, but not those of packages installed inside it
        rules.append((folder, lockdown.LIST))
        rules += [
            (path, lockdown.READ)
            for entry in sorted(os.listdir(folder))
            if (path := os.path.join(folder, entry)) not in hidden
        ]
    readable = [
        *contents.libraries,
        *contents.places.values(),
        *contents.extras,
        str(INSIDE),
        contents.python,
    ]
    rules += [(os.path.realpath(path), lockdown.READ) for path in readable]
    rules += [(f"/dev/{d}", lockdown.WRITE_DEVICE) for d in ("null", "zero")]
    rules += [(f"/dev/{d}", lockdown.READ) for d in ("random", "urandom")]
    return rules


def open_box(contents: Contents, bound: Bound | None = None) -> Box:
    """Start a tier 2 box; raise SandboxError where the kernel lacks Landlock or the files are out of reach."""
    if lockdown.landlock_version() < 1:
        raise SandboxError("this kernel has no Landlock", advice="Linux 5.13 or newer with Landlock enabled is needed")

    def plan(contents: Contents, control: int, config: int) -> Plan:
        argv = [contents.python, "-I", "-S", "-B", "-c", boot_code("zygote", control, config)]
        return Plan(argv=argv, namespaces=False, landlock=_rules(contents), paths=contents.paths, extra_fds=[])

    return Box(TIER, NAME, contents, plan, bound)
