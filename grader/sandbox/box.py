"""A running box: the warm parent behind its control socket, and the workers that it forks on request."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from grader.course.assignment import Limits
from grader.errors import SandboxError
from grader.sandbox import cgroup
from grader.sandbox.contents import ENVIRONMENT, INSIDE, Contents, base_python
from grader.sandbox.session import Ending

NOBODY = 65534
START_SECONDS = 60.0  # importing torch on a busy machine takes a while
HELLO_SECONDS = 20.0
BOOT = (
    "import importlib.util,sys;"
    "s=importlib.util.spec_from_file_location('inside',{place!r}+'/__init__.py',submodule_search_locations=[{place!r}]);"
    "m=importlib.util.module_from_spec(s);sys.modules['inside']=m;s.loader.exec_module(m);"
    "import json,os;from inside import {module};"
    "c=os.fdopen({config},'rb');t=json.loads(c.read());c.close();{module}.main({fd},t)"
)


def boot_code(module: str, control: int, config: int) -> str:
    """Return the `-c` program that imports `inside.<module>` without any folder on the path."""
    return BOOT.format(place=str(INSIDE), module=module, fd=control, config=config)


@dataclass(frozen=True)
class Bound:
    """What a box may use as a whole: so many workers at a time, each with so many MiB."""

    workers: int
    memory_mb: int


@dataclass(frozen=True)
class Plan:
    """How to start a box: the command, what workers inside apply, and what the launcher must make reachable."""

    argv: list[str]
    namespaces: bool  # each worker gets namespaces of its own
    landlock: list[tuple[str, int]] | None
    paths: list[str]
    extra_fds: list[int]


def _as_file(data: bytes) -> int:
    """Return a descriptor from which `data` can be read once, whatever its size."""
    fd = os.memfd_create("unrolled", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class BoxProcess:
    """A worker in a box, held by its pidfd: what the kernel says about it cannot be forged from inside."""

    def __init__(self, sock: socket.socket, output: int, status: socket.socket, pid: int, pidfd: int) -> None:
        self.sock = sock
        self.output = output
        self._status = status
        self._pidfd = pidfd
        self._clock = (~pid << 3) | 2  # the process CPU clock of another process, see clock_getcpuclockid(3)
        self._last = 0.0
        self._ending: Ending | None = None

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the worker has used."""
        if self._ending is None:
            with contextlib.suppress(OSError):
                self._last = max(self._last, time.clock_gettime(self._clock))
        return self._last

    def kill(self) -> None:
        """Kill the worker; its process namespace dies with it."""
        self.cpu_seconds()
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def ending(self, timeout: float) -> Ending:
        """Wait for the keeper's report of the end."""
        if self._ending is not None:
            return self._ending
        ready, _, _ = select.select([self._status], [], [], timeout)
        data = b""
        if ready:
            with contextlib.suppress(OSError):
                data = self._status.recv(4096)
        elif timeout < 2.0:
            return Ending(None, self._last, 0.0)
        try:
            report = json.loads(data) if data else {}
        except ValueError:
            report = {}
        self._ending = Ending(
            report.get("exit"),
            max(float(report.get("cpu_seconds", 0.0)), self._last),
            float(report.get("peak_mb", 0.0)),
            lost=not data,
        )
        return self._ending

    def close(self) -> None:
        """Close the examiner's descriptors."""
        for end in (self.sock, self._status):
            with contextlib.suppress(OSError):
                end.close()
        for fd in (self.output, self._pidfd):
            with contextlib.suppress(OSError):
                os.close(fd)


class Box:
    """A sandbox whose workers are forked from one warm parent (tiers 1 and 2).

    Several examiners (forked from one process) may ask it for workers at the same time: a request is one datagram
    that carries everything, and the answer comes over sockets of its own.
    """

    def __init__(self, tier: int, name: str, contents: Contents, plan_of: Any, bound: Bound | None = None) -> None:
        """Start the box; raise SandboxError with the program's own words where it does not come up.

        `plan_of(contents, control_fd, config_fd)` returns the Plan; `bound` is what the box may use as a whole,
        kept where this process may make control groups.
        """
        self._group = cgroup.make(workers=bound.workers, memory_mb=bound.memory_mb) if bound else None
        self.tier = tier
        self.name = name
        self._contents = contents
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read_errors, write_errors = os.pipe()
        config_fd = os.memfd_create("unrolled-config", os.MFD_CLOEXEC)
        plan: Plan = plan_of(contents, theirs.fileno(), config_fd)
        config = {
            "places": contents.places,
            "imports": list(contents.imports),
            "namespaces": plan.namespaces,
            "landlock": plan.landlock,
        }
        os.write(config_fd, json.dumps(config).encode())
        os.lseek(config_fd, 0, os.SEEK_SET)
        launch = {
            "inside_parent": str(INSIDE.parent),
            "uid": NOBODY if os.geteuid() == 0 else None,
            "groups": self._group.procs if self._group else [],
            "paths": plan.paths,
            "keep_fds": [theirs.fileno(), config_fd, *plan.extra_fds],
            "argv": plan.argv,
            "environment": ENVIRONMENT,
        }
        launch_fd = _as_file(json.dumps(launch).encode())
        try:
            self._process = subprocess.Popen(
                [base_python(), "-I", "-S", "-B", str(INSIDE / "launcher.py"), str(launch_fd)],
                stdin=subprocess.DEVNULL,
                stdout=write_errors,
                stderr=write_errors,
                pass_fds=[launch_fd, theirs.fileno(), config_fd, *plan.extra_fds],
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxError(f"the sandbox program could not be started: {error}") from None
        finally:
            theirs.close()
            os.close(write_errors)
            for fd in (launch_fd, config_fd, *plan.extra_fds):
                os.close(fd)
        self._control = ours
        self._errors = read_errors
        self._owner = os.getpid()
        self._await_ready()
        self._try_out()

    def _await_ready(self) -> None:
        ready, _, _ = select.select([self._control], [], [], START_SECONDS)
        data = b""
        if ready:
            with contextlib.suppress(OSError):
                data = self._control.recv(4096)
        if not data:
            words = self._words()
            self.close()
            raise SandboxError(
                f"the {self.name} sandbox did not start: {words or 'no reason given'}",
                advice="`grader doctor` tells what this machine offers",
            )

    def _try_out(self) -> None:
        """Start a worker and end it: a box that cannot shut one in is no box."""
        try:
            process = self.start(Limits(), 1.0)
        except SandboxError:
            self.close()
            raise
        process.kill()
        process.close()

    def _words(self) -> str:
        """Return what the box printed, as one line."""
        os.set_blocking(self._errors, False)
        try:
            text = os.read(self._errors, 4096).decode("utf-8", "replace")
        except OSError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "; ".join(lines[-2:])[:300]

    def start(self, limits: Limits, cpu_seconds: float) -> BoxProcess:
        """Fork a worker; raise SandboxError where the box does not answer."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        status, status_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output, output_theirs = os.pipe2(os.O_CLOEXEC)
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            request = {
                "memory_mb": limits.memory_mb,
                "cpu_seconds": cpu_seconds,
                "scratch_mb": limits.scratch_mb,
            }
            socket.send_fds(
                self._control,
                [json.dumps(request).encode()],
                [theirs.fileno(), output_theirs, status_theirs.fileno()],
            )
            theirs.close()
            status_theirs.close()
            os.close(output_theirs)
            output_theirs = -1
            pid = self._hello(ours)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
            pidfd = os.pidfd_open(pid)
            ours.setblocking(False)
            os.set_blocking(output, False)
            return BoxProcess(ours, output, status, pid, pidfd)
        except OSError as error:
            words = b""
            with contextlib.suppress(OSError):
                ready, _, _ = select.select([status], [], [], 0.5)
                words = status.recv(4096) if ready else b""
                os.set_blocking(output, False)
                words = os.read(output, 4096) or words
            for end in (ours, theirs, status, status_theirs):
                end.close()
            os.close(output)
            if output_theirs >= 0:
                os.close(output_theirs)
            reason = words.decode("utf-8", "replace") or str(error) or self._words()
            raise SandboxError(f"the {self.name} sandbox could not start a worker: {reason[:300]}") from None

    def _hello(self, sock: socket.socket) -> int:
        """Return the worker's process id as this process sees it, vouched for by the kernel."""
        sock.settimeout(HELLO_SECONDS)
        try:
            data, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(struct.calcsize("3i")))
        except TimeoutError:
            raise OSError("no answer in time") from None
        for level, kind, value in ancillary:
            if data == b"!" and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = int(struct.unpack("3i", value[: struct.calcsize("3i")])[0])
                if pid > 0:
                    return pid
        raise OSError(self._words() or "the worker ended before it was ready")

    def alive(self) -> bool:
        """Tell whether the box still runs; only the process that opened it can tell."""
        return self._process.poll() is None

    def close(self) -> None:
        """Hang up, which ends the warm parent and all its workers."""
        with contextlib.suppress(OSError):
            self._control.close()
        if os.getpid() != self._owner:
            return  # a forked examiner only drops its copy
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
        with contextlib.suppress(OSError):
            os.close(self._errors)
        if self._group is not None:
            self._group.close()


def platform_is_linux() -> bool:
    """Tell whether the kernel features that boxes need can exist here at all."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and hasattr(os, "memfd_create")
