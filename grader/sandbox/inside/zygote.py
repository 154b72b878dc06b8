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
import select
import signal
import socket
import sys
from typing import Any

from . import lockdown, packages, worker

WORKER_FD = 3
THREADS = 64  # of a worker whose threads are counted apart from everybody else's
THREADS_BESIDE = 512  # where they are counted together with all that the user runs


def scratch_folder(config: dict[str, Any]) -> str:
    """Return where the private writable folder goes: /tmp, unless what is imported lies there."""
    needed = [*config["places"].values(), __file__, os.__file__, sys.executable]
    return lockdown.SCRATCH if any(str(path).startswith("/tmp/") for path in needed) else "/tmp"


def _become_worker(config: dict[str, Any], sock: int, output: int) -> None:
    """Lock this process down and serve; never returns."""
    pid = os.getpid()
    lockdown.die_with_parent()
    # a private /tmp takes a mount; without one the calls that write would reach files of the user's own
    scratch = int(config["scratch_mb"]) if config["namespaces"] else 0
    if scratch:
        options = f"size={scratch}m,nr_inodes=1024,mode=0700"
        flags = lockdown.MS_NOSUID | lockdown.MS_NODEV | lockdown.MS_NOEXEC
        folder = scratch_folder(config)
        lockdown.mount("tmpfs", folder, "tmpfs", flags, options)
        os.chdir(folder)
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
    threads = lockdown.tasks_of_user() + THREADS_BESIDE
    if config["namespaces"]:
        # threads are counted for each user of a user namespace; in one of its own a worker counts alone
        lockdown.unshare(lockdown.CLONE_NEWUSER)
        threads = THREADS
    lockdown.limit_resources(
        memory_mb=int(config["memory_mb"]),
        cpu_seconds=float(config["cpu_seconds"]),
        scratch_mb=scratch,
        threads=threads,
    )
    lockdown.drop_capabilities()
    lockdown.die_with_parent()  # once more: a change of rights may have cleared it
    lockdown.no_new_privileges()
    if config["landlock"] is not None:
        lockdown.landlock([(str(path), int(access)) for path, access in config["landlock"]])
    lockdown.install_filter(lockdown.worker_filter(pid, bool(scratch)))
    # the first byte says that the door is shut; the kernel vouches for the process id that comes with it
    os.write(WORKER_FD, b"!")
    worker.run(WORKER_FD)


def _outlive(child: int, status: int) -> None:
    """Wait until the worker has ended; kill it where its examiner is gone, for nobody else would."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(status, 0)  # a hang-up is told in any case
    if ended not in (fd for fd, _ in poll.poll()):
        os.kill(child, signal.SIGKILL)
    os.close(ended)


def _serve_one(config: dict[str, Any], control: int, fds: list[int]) -> None:
    """Own the namespaces of one worker, wait for its end and report it; never returns."""
    sock, output, status = fds
    os.close(control)
    lockdown.die_with_parent()
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
        _outlive(child, status)
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


def _reap(*, wait: bool) -> None:
    """Collect the keepers that have ended, so that their CPU time is accounted for; at the end, all of them."""
    try:
        while os.waitpid(-1, 0 if wait else os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main(control_fd: int, config: dict[str, Any]) -> None:
    """Import, report readiness and serve requests until the control socket closes."""
    control = socket.socket(fileno=control_fd)
    lockdown.die_with_parent()
    packages.allow(config["places"])
    # torch wants a writable folder while it warms up; the workers find it read-only
    flags = lockdown.MS_NOSUID | lockdown.MS_NODEV | lockdown.MS_NOEXEC
    if config["namespaces"]:
        folder = scratch_folder(config)
        os.environ.update(HOME=folder, TMPDIR=folder)
        lockdown.mount("tmpfs", folder, "tmpfs", flags, "size=16m,nr_inodes=1024,mode=0755")
    packages.warm(config["imports"])
    if config["namespaces"]:
        lockdown.mount("none", folder, None, flags | lockdown.MS_REMOUNT | lockdown.MS_RDONLY)
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the examiner's to handle
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": True, "pid": os.getpid()}).encode())
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1 << 16, 8)
        _reap(wait=not data)
        if not data:
            os._exit(0)
        request = {**config, **json.loads(data)}
        pid = os.fork()
        if pid == 0:
            _serve_one(request, control_fd, list(fds))
        for fd in fds:
            os.close(fd)
