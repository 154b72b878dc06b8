"""Run examiner hosts on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from grader import errors
from grader.checking.report import Report, from_dict
from grader.errors import SandboxError

RESTARTS = 3
IN_FLIGHT = 4  # jobs in the host's hands for each examiner, so that none waits


@dataclass(frozen=True)
class Ready:
    """What a host says when it has come up: the tier, the sandbox, what was refused, and the suite's checks."""

    tier: int
    sandbox: str
    refusals: tuple[tuple[int, str, str], ...]
    checks: tuple[tuple[str, str, str, float], ...]
    kept: Mapping[str, str]  # check -> why it stays although it may kill no mutant of its own
    training: frozenset[str]  # the checks that train a model


@dataclass(frozen=True)
class Examined:
    """A finished job: its number, the report, and what does not go into the gradebook.

    `margins` holds for each check the (error, tolerance) of its comparisons; `pictures` what the student's code did
    that the assignment's figures show, as nested lists by name.
    """

    job: int
    report: Report
    margins: Mapping[str, list[tuple[float, float]]] = field(repr=False)
    pictures: Mapping[str, Any] = field(repr=False)


class Host:
    """A host process and the connection to it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Start the host; raise the error that it reports where it does not come up."""
        self.config = dict(config)
        self._start()

    def _start(self) -> None:
        ours, theirs = Pipe()
        environment = {
            **os.environ,
            # one thread: a process that ran OpenMP threads must not fork
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        }
        # -P: a numpy.py in the current folder must not be imported
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "grader.checking.host", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=environment,
            process_group=0,  # Ctrl-C is this process's to handle, also while the host is still coming up
        )
        theirs.close()
        self.connection: Connection = ours
        try:
            ours.send_bytes(json.dumps(self.config).encode())
            message = json.loads(ours.recv_bytes())
        except (OSError, EOFError):
            self.close()
            raise SandboxError(
                "the examiner did not start", advice="Run the command again; its own words are above"
            ) from None
        if "fatal" in message:
            self.close()
            raise _told(message)
        ready = message["ready"]
        self.ready = Ready(
            ready["tier"],
            ready["sandbox"],
            tuple((int(t), str(n), str(r)) for t, n, r in ready["refusals"]),
            tuple((str(i), str(p), str(t), float(x)) for i, p, t, x in ready["checks"]),
            {str(key): str(why) for key, why in ready["kept"].items()},
            frozenset(str(check) for check in ready["training"]),
        )

    def run(self, jobs: Iterable[Mapping[str, Any]]) -> Iterator[Examined]:
        """Examine the jobs and yield each as it is done; a host that dies is started anew.

        Raise SandboxError where it dies again and again.
        """
        waiting = list(jobs)
        tries = RESTARTS
        while tries:
            before = len(waiting)
            waiting = yield from self._run_once(waiting)
            if not waiting:
                return
            # what kills one host after another does so at once; deaths in between of a long run are forgiven
            tries = RESTARTS if len(waiting) < before else tries - 1
            self.close()
            self._start()
        raise SandboxError(
            "the examiner died again and again",
            advice="What was graded is kept; look at the machine's memory and run the command again",
        )

    def _run_once(self, jobs: Sequence[Mapping[str, Any]]) -> Generator[Examined, None, list[Mapping[str, Any]]]:
        """Yield what is examined; return the jobs that a dying host has left behind."""
        left = {int(job["number"]): job for job in jobs}
        # where the diagnosis waits for every mutant, all jobs must be on their way before the first answer
        room = len(jobs) if self.config["record"] == "given" else IN_FLIGHT * int(self.config["jobs"])
        free = threading.Semaphore(room)
        over = threading.Event()

        def send() -> None:
            # a thread of its own: the host may be busy writing to us while we write to it
            for job in jobs:
                free.acquire()
                if over.is_set():
                    return
                try:
                    self.connection.send_bytes(json.dumps(job).encode())
                except (OSError, ValueError):
                    return

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            while left:
                try:
                    message = json.loads(self.connection.recv_bytes())
                except (OSError, EOFError):
                    break
                if "fatal" in message:
                    raise _told(message)
                free.release()
                if left.pop(message["job"], None) is not None:
                    yield Examined(
                        message["job"], from_dict(message["report"]), message["margins"], message["pictures"]
                    )
        finally:
            over.set()
            free.release()
        return list(left.values())

    def close(self) -> None:
        """End the host and everything it started."""
        with contextlib.suppress(OSError):
            self.connection.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):  # what it started without a box is in its group
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _told(message: Mapping[str, Any]) -> errors.GraderError:
    kind = getattr(errors, str(message.get("kind")), errors.GraderError)
    error: errors.GraderError = kind(str(message["fatal"]))
    return error
