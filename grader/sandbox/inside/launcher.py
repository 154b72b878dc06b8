"""Prepare a box as root or as an ordinary user, then become it.

Run as a script: `python -I -S launcher.py FD`, where FD holds a JSON plan. When root starts the grader, root's
own file rights would reach into the box. So root makes a private mount namespace, binds what the box needs to
places that an unprivileged user can reach, gives up its uid, and only then starts the sandbox program.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

STAGE = "/run/unrolled"


def _unreachable(path: str) -> str | None:
    """Return the topmost folder on the way to `path` that others may not enter, None if all may."""
    current = "/"
    for part in path.strip("/").split("/")[:-1]:
        current = os.path.join(current, part)
        if not os.path.isdir(current) or not os.stat(current).st_mode & 0o001:
            return current
    return None


def _stage_for_user(paths: list[str], lockdown: Any) -> None:
    """Make `paths` reachable for an unprivileged user, at their own names, in a private mount namespace."""
    lockdown.unshare(lockdown.CLONE_NEWNS)
    lockdown.mount("none", "/", None, lockdown.MS_REC | lockdown.MS_PRIVATE)
    hidden: dict[str, list[str]] = {}
    for path in paths:
        top = _unreachable(path)
        if top is not None and os.path.exists(path):
            hidden.setdefault(top, []).append(path)
    if not hidden:
        return
    lockdown.mount("tmpfs", "/run", "tmpfs", lockdown.MS_NOSUID | lockdown.MS_NODEV, "mode=0755,size=1m")
    os.mkdir(STAGE, 0o755)
    staged: dict[str, str] = {}
    for group in hidden.values():
        for path in group:
            place = f"{STAGE}/{len(staged)}"
            _bind(path, place, lockdown)
            staged[path] = place
    for top, group in hidden.items():
        # an empty, enterable folder covers the private one; only what the box needs shows through
        lockdown.mount("tmpfs", top, "tmpfs", lockdown.MS_NOSUID | lockdown.MS_NODEV, "mode=0755,size=1m")
        for path in group:
            parent = os.path.dirname(path)
            os.makedirs(parent, mode=0o755, exist_ok=True)
            _bind(staged[path], path, lockdown)


def _bind(source: str, target: str, lockdown: Any) -> None:
    if os.path.isdir(source):
        os.mkdir(target, 0o755) if not os.path.isdir(target) else None
    elif not os.path.exists(target):
        with open(target, "w"):
            pass
    lockdown.mount(source, target, None, lockdown.MS_BIND | lockdown.MS_REC)


def launch(plan: dict[str, Any]) -> None:
    """Carry out a plan: stage, give up root, close descriptors, exec. Never returns."""
    sys.path.insert(0, plan["inside_parent"])
    import importlib

    lockdown = importlib.import_module("inside.lockdown")
    for procs in plan["groups"]:
        with contextlib.suppress(OSError), open(procs, "w") as stream:
            stream.write("0")  # this process, and so everything that it becomes and starts
    uid = plan["uid"]
    if uid is not None:
        os.umask(0o022)
        _stage_for_user(plan["paths"], lockdown)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    lockdown.die_with_parent()
    keep = sorted(plan["keep_fds"])
    for fd in keep:
        os.set_inheritable(fd, True)
    low = 3
    for fd in keep:
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 4096)
    os.chdir("/")
    os.execve(plan["argv"][0], plan["argv"], plan["environment"])


def main() -> None:
    """Read the plan from the descriptor that the command line names and launch it."""
    with os.fdopen(int(sys.argv[1]), "rb") as stream:
        plan = json.loads(stream.read())
    try:
        launch(plan)
    except OSError as error:
        os.write(2, f"cannot start the box: {error}\n".encode())
        os._exit(72)


if __name__ == "__main__":
    main()
