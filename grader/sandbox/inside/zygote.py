"""The warm parent: imports the allowed packages once, then forks one locked-down worker for each request.

It never runs student code. A request is one datagram with three descriptors (the worker's socket, the pipe for
what it prints, a socket for its end); between the warm parent and the worker stands a small process that owns the
worker's namespaces and reports how it ended.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from . import lockdown, packages, worker

WORKER_FD = 3


def _become_worker(config: dict[str, Any], sock: int, output: int) -> None:
    """Lock this process down and serve; never returns."""
    pid = os.getpid()
    lockdown.die_with_parent()
    scratch = int(config["scratch_mb"])
    if scratch and config["namespaces"]:
        options = f"size={scratch}m,nr_inodes=1024,mode=0700"
        flags = lockdown.MS_NOSUID | lockdown.MS_NODEV | lockdown.MS_NOEXEC
        lockdown.mount("tmpfs", "/tmp", "tmpfs", flags, options)
        os.chdir("/tmp")
    else:
        os.chdir("/")
    # out of the way of the numbers they are to get
    sock, output = (fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in (sock, output))
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(sock, WORKER_FD, inheritable=False)
    os.closerange(WORKER_FD + 1, 256)
    # the first byte carries this process's id to the examiner: the kernel vouches for it
    os.write(WORKER_FD, b"!")
    lockdown.limit_resources(
        memory_mb=int(config["memory_mb"]), cpu_seconds=float(config["cpu_seconds"]), scratch_mb=scratch
    )
    lockdown.drop_capabilities()
    lockdown.no_new_privileges()
    if config["landlock"] is not None:
        lockdown.landlock([(str(path), int(access)) for path, access in config["landlock"]])
    lockdown.install_filter(lockdown.worker_filter(pid, bool(scratch)))
    worker.run(WORKER_FD)


def _serve_one(config: dict[str, Any], control: int, fds: list[int]) -> None:
    """Own the namespaces of one worker, wait for its end and report it; never returns."""
    sock, output, status = fds
    os.close(control)
    lockdown.die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    failed = None
    try:
        if config["namespaces"]:
            lockdown.unshare(
                lockdown.CLONE_NEWNS
                | lockdown.CLONE_NEWPID
                | lockdown.CLONE_NEWIPC
                | lockdown.CLONE_NEWNET
                | lockdown.CLONE_NEWUTS
            )
            lockdown.mount("none", "/", None, lockdown.MS_REC | lockdown.MS_PRIVATE)
        child = os.fork()
        if child == 0:
            try:
                os.close(status)
                _become_worker(config, sock, output)
            except BaseException as error:
                os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(71)
        os.close(sock)
        os.close(output)
        lockdown.drop_capabilities()
        _, code, usage = os.wait4(child, 0)
        end: dict[str, Any] = {
            "exit": os.waitstatus_to_exitcode(code),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024,
        }
    except BaseException as error:
        failed = f"{type(error).__name__}: {error}"
        end = {"failed": failed[:300]}
    try:
        os.write(status, json.dumps(end).encode())
    finally:
        os._exit(0)


def main(control_fd: int, config: dict[str, Any]) -> None:
    """Import, report readiness and serve requests until the control socket closes."""
    control = socket.socket(fileno=control_fd)
    lockdown.die_with_parent()
    packages.allow(config["places"])
    # torch wants a writable folder while it warms up; the workers find it read-only
    flags = lockdown.MS_NOSUID | lockdown.MS_NODEV | lockdown.MS_NOEXEC
    if config["namespaces"]:
        lockdown.mount("tmpfs", "/tmp", "tmpfs", flags, "size=16m,nr_inodes=1024,mode=0755")
    packages.warm(config["imports"])
    if config["namespaces"]:
        lockdown.mount("none", "/tmp", None, flags | lockdown.MS_REMOUNT | lockdown.MS_RDONLY)
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the examiner's to handle
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": True, "pid": os.getpid()}).encode())
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1 << 16, 8)
        if not data:
            os._exit(0)
        request = {**config, **json.loads(data)}
        pid = os.fork()
        if pid == 0:
            _serve_one(request, control_fd, list(fds))
        for fd in fds:
            os.close(fd)
