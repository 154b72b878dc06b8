"""A control group around a box, where this process may make one: a bound on memory and tasks as a whole.

Limits on single processes hold without it; the group also bounds what they use together.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
TASKS_PER_WORKER = 64
SPARE_MB = 2048  # the warm parent with torch imported, and the pages that workers share with it


@dataclass(frozen=True)
class Group:
    """Control groups made for one box; `procs` are the files to which a process writes itself."""

    folders: tuple[Path, ...]

    @property
    def procs(self) -> list[str]:
        """Return the files that a process must write 0 to in order to join."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def close(self) -> None:
        """Remove the groups; their processes are gone or going."""
        for folder in self.folders:
            for _ in range(20):
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)  # the kernel is still taking down the last process


def _own() -> dict[str, str]:
    """Return this process's groups: controller ("" for version 2) -> path."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    out = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            out[controller] = path
    return out


def make(*, workers: int, memory_mb: int) -> Group | None:
    """Return a group for a box of so many workers of `memory_mb` each; None where none can be made."""
    name = f"unrolled-{os.getpid()}-{time.monotonic_ns()}"
    memory = str((workers * memory_mb + SPARE_MB) << 20)
    tasks = str(workers * TASKS_PER_WORKER)
    own = _own()
    made: list[Path] = []

    def lay(parent: Path, limits: dict[str, str]) -> bool:
        folder = parent / name
        with contextlib.suppress(OSError):  # what a killed grader left behind; one in use cannot be removed
            for old in parent.glob("unrolled-*"):
                with contextlib.suppress(OSError):
                    old.rmdir()
        try:
            folder.mkdir()
        except OSError:
            return False
        try:
            for file, value in limits.items():
                (folder / file).write_text(value, encoding="ascii")
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            return False
        made.append(folder)
        return True

    # on a machine with version 1 groups the root is an ordinary file system, where writing would prove nothing
    if (
        "" in own
        and (ROOT / "cgroup.controllers").is_file()
        and lay(ROOT / own[""].lstrip("/"), {"memory.max": memory, "pids.max": tasks})
    ):
        return Group(tuple(made))
    for controller, limits in (("memory", {"memory.limit_in_bytes": memory}), ("pids", {"pids.max": tasks})):
        if controller in own and (ROOT / controller / "cgroup.procs").is_file():
            lay(ROOT / controller / own[controller].lstrip("/"), limits)
    return Group(tuple(made)) if made else None
