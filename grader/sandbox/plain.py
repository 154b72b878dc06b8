"""Tier 0: a plain process with time limits and no containment at all, for a student's own code."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time

from grader.course.assignment import Limits
from grader.errors import SandboxError
from grader.sandbox.box import Bound
from grader.sandbox.contents import ENVIRONMENT, INSIDE, Contents, base_python
from grader.sandbox.session import Ending

TIER = 0
NAME = "plain"
START_SECONDS = 120.0

BOOT = (
    "import importlib.util,sys;"
    "s=importlib.util.spec_from_file_location('inside',{place!r}+'/__init__.py',submodule_search_locations=[{place!r}]);"
    "m=importlib.util.module_from_spec(s);sys.modules['inside']=m;s.loader.exec_module(m);"
    "from inside import plain_start;plain_start.main()"
)


class PlainProcess:
    """A worker that is an ordinary child process, reached over the loopback interface."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket, output: int) -> None:
        self.sock = sock
        self.output = output
        self._process = process
        self._started = time.monotonic()
        self._last = 0.0

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used, where the system tells (Linux); else 0, and wall time must do."""
        if sys.platform == "linux" and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._last = max(self._last, time.clock_gettime((~self._process.pid << 3) | 2))
        return self._last

    def kill(self) -> None:
        """Kill the process."""
        self.cpu_seconds()
        with contextlib.suppress(OSError):
            self._process.kill()

    def ending(self, timeout: float) -> Ending:
        """Wait for the process to end."""
        try:
            code: int | None = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        return Ending(code, self._last, 0.0)

    def close(self) -> None:
        """Close the examiner's descriptors."""
        with contextlib.suppress(OSError):
            self.sock.close()
        with contextlib.suppress(OSError):
            os.close(self.output)


class PlainSandbox:
    """No sandbox: the student's code has all the rights of whoever runs it. For practice only."""

    tier = TIER
    name = NAME

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def start(self, limits: Limits, cpu_seconds: float) -> PlainProcess:
        """Start a worker in a new process; raise SandboxError where that fails."""
        token = secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(START_SECONDS)
            config = {
                "port": server.getsockname()[1],
                "token": token,
                "places": self._contents.places,
                "imports": list(self._contents.imports),
                "memory_mb": limits.memory_mb,
                "cpu_seconds": cpu_seconds,
            }
            environment = {**os.environ, **{k: v for k, v in ENVIRONMENT.items() if k.endswith("_THREADS")}}
            # a loopback connection instead of a pipe for what is printed, so that one `select` serves all systems
            try:
                process = subprocess.Popen(
                    [base_python(), "-I", "-S", "-B", "-c", BOOT.format(place=str(INSIDE))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment,
                )
            except OSError as error:
                raise SandboxError(f"a process for the student's code could not be started: {error}") from None
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(config).encode() + b"\n")
                process.stdin.close()
            try:
                sock, _ = server.accept()
                sock.settimeout(START_SECONDS)
                if sock.recv(len(token), socket.MSG_WAITALL) != token.encode():
                    raise OSError("an unknown process answered")
            except OSError as error:
                process.kill()
                words = process.stdout.read(500).decode("utf-8", "replace")
                raise SandboxError(f"the student's process did not start: {words or error}") from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        output = os.dup(process.stdout.fileno())
        process.stdout.close()
        if sys.platform == "win32":  # pipes there cannot be waited for together with sockets
            output = _relay(output)
        os.set_blocking(output, False)
        return PlainProcess(process, sock, output)

    def alive(self) -> bool:
        """Tell that a worker can always be had: each is a process of its own."""
        return True

    def close(self) -> None:
        """Do nothing: every worker ends with its submission."""


def _relay(pipe: int) -> int:
    """Copy a pipe into a socket from a thread and return the socket's descriptor."""
    ours, theirs = socket.socketpair()

    def copy() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(pipe, 1 << 16):
                theirs.sendall(data)
        theirs.close()
        os.close(pipe)

    threading.Thread(target=copy, daemon=True).start()
    return ours.detach()


def open_box(contents: Contents, bound: Bound | None = None) -> PlainSandbox:
    """Return a tier 0 sandbox; it always starts, and bounds nothing as a whole."""
    return PlainSandbox(contents)
