"""The examiner host: one process that holds a warm suite and a box, and forks an examiner per submission.

It talks to the grading engine over one connection: a job goes in, a report comes out. The mutants' evidence is
computed here when the first failure needs it and kept on disk. Run as `python -m grader.checking.host FD`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from grader.checking import catalogue
from grader.checking.diagnosis import Evidence, Explanation, Fingerprint, explain, same_answers
from grader.checking.evidence import as_lists
from grader.checking.examiner import Check, Suite, limit_examiner, open_session, with_suite
from grader.checking.flags import scan
from grader.checking.report import CheckResult, Diagnosis, Outcome, PartResult, Report, as_dict
from grader.course.assignment import Assignment
from grader.course.loading import load_assignment
from grader.course.mutants import Mutant, apply_mutant, load_mutants
from grader.errors import CourseError, GraderError
from grader.sandbox.box import Bound
from grader.sandbox.inside import lockdown
from grader.sandbox.inside.codec import HEADER, Decoder, Unsendable, WireError, pack, read_head, unpack
from grader.sandbox.probe import open_strongest, open_tier
from grader.sandbox.session import Sandbox

GRACE_SECONDS = 120.0  # what an examiner may take beside the student's own time
TRIES = 2  # a submission that our side failed on is tried again


@dataclass(frozen=True)
class Job:
    """One submission to be examined, as the engine sends it."""

    number: int
    submission: Mapping[str, Any]
    shuffle: int | None = None
    isolate: bool = False
    only: tuple[str, ...] | None = None
    details: bool = False
    diagnose: bool = True
    seed: int | None = None  # other than the run's
    mutant: str | None = None  # this is a mutant: its evidence goes into the catalogue


@dataclass
class _Running:
    """A forked examiner and what it has written so far."""

    job: Job
    pid: int
    pipe: int
    started: float
    tries: int
    data: bytearray = field(default_factory=bytearray)


@dataclass
class _Catalogue:
    """The mutants' evidence for one seed, and the jobs that wait for it."""

    fingerprints: list[Fingerprint] | None = None
    started: bool = False
    recorded: dict[str, Fingerprint | None] = field(default_factory=dict)
    complete: bool = True  # our side failed on no mutant
    waiting: list[tuple[Job, dict[str, Any]]] = field(default_factory=list)


class Host:
    """The loop: take jobs, keep at most `jobs` examiners running, diagnose, answer."""

    def __init__(
        self, connection: Connection, config: Mapping[str, Any], open_sandbox: Callable[[], Sandbox], suite: Suite
    ) -> None:
        self.connection = connection
        self.config = config
        self._open_sandbox = open_sandbox
        self.sandbox = open_sandbox()
        self.suite = suite
        self.assignment = suite.assignment
        self.queue: deque[tuple[Job, int]] = deque()
        self.running: dict[int, _Running] = {}
        self.open = True
        self.catalogues: dict[int, _Catalogue] = {}
        self._mutants: tuple[Mutant, ...] | None = None
        self._refused: set[str] = set()  # modules that cannot be imported by their name

    def serve(self) -> None:
        """Serve until the engine hangs up and everything is answered."""
        _keep_pages()
        while self.open or self.queue or self.running:
            while self.queue and len(self.running) < int(self.config["jobs"]):
                self._start(*self.queue.popleft())
            sources: list[Any] = [r.pipe for r in self.running.values()]
            if self.open:
                sources.append(self.connection)
            if not sources:
                continue
            for ready in wait(sources, timeout=1.0):
                if ready is self.connection:
                    self._take()
                elif isinstance(ready, int):
                    self._read(self.running[ready])
            self._watch()

    def _take(self) -> None:
        try:
            message = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self.open = False
            return
        only = message.get("only")
        self.queue.append((Job(**{**message, "only": tuple(only) if only is not None else None}), 1))

    # --- examiners ----------------------------------------------------------------------------------------------

    def _start(self, job: Job, tries: int) -> None:
        submission = job.submission
        if submission.get("unreadable") or submission.get("problem"):
            self._finished(job, {"checks": {}, "meter": {}})
            return
        if not self.sandbox.alive():  # something outside has ended it; what ran in it is tried again
            self.sandbox.close()
            self.sandbox = self._open_sandbox()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            self._examine(job, write)
        os.close(write)
        os.set_blocking(read, False)
        self.running[read] = _Running(job, pid, read, time.monotonic(), tries)

    def _examine(self, job: Job, write: int) -> None:
        """Be the examiner of one submission; never returns."""
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if sys.platform == "linux":
                lockdown.die_with_parent()
            limit_examiner()
            self.connection.close()
            known = set(sys.modules)
            session = open_session(self.sandbox, self.assignment, [tuple(c) for c in job.submission["chunks"]])
            results = self.suite.run(
                session,
                self._seed(job),
                shuffle=job.shuffle,
                isolate=job.isolate,
                only=job.only,
                details=job.details,
            )
            meter = session.meter
            answer = {
                "checks": results,
                "meter": {
                    "cpu_seconds": meter.cpu_seconds,
                    "peak_mb": meter.peak_mb,
                    "workers": meter.workers,
                    "printed": meter.printed,
                },
                "imported": sorted(set(sys.modules) - known),
                "flags": list(scan([tuple(c) for c in job.submission["chunks"]], self.assignment.forbidden)),
            }
            try:
                pieces = pack(*catalogue.pack_evidence(answer))
            except Unsendable:  # a student decides how much there is: the outcomes go before the evidence
                for result in results.values():
                    result.update(output="", evidence=None, pictures={})
                pieces = pack(*catalogue.pack_evidence(answer))
            with os.fdopen(write, "wb", closefd=False) as stream:
                for piece in pieces:
                    stream.write(piece)
            code = 0
        except BaseException:
            # A host that was killed takes the pipe's other end with it: whoever started it starts another and says so.
            if not _unread(write):
                with contextlib.suppress(OSError):
                    os.write(2, traceback.format_exc()[-2000:].encode("utf-8", "replace"))
        finally:
            os._exit(code)

    def _read(self, running: _Running) -> None:
        try:
            data = os.read(running.pipe, 1 << 20)
        except BlockingIOError:
            return
        if data:
            running.data += data
            return
        os.close(running.pipe)
        del self.running[running.pipe]
        os.waitpid(running.pid, 0)
        try:
            head = read_head(running.data[: HEADER.size], 1 << 40)
            tree, buffers = unpack(head, memoryview(running.data)[HEADER.size :])
            answer = Decoder(buffers).value(tree)
        except (WireError, Exception):
            answer = {"checks": {}, "meter": {}, "reason": "the examiner ended before it was done"}
        self._import(answer.get("imported") or ())
        self._judge(running, answer)

    def _import(self, names: Sequence[str]) -> None:
        """Import what an examiner imported when it was needed, so that the next ones are forked with it.

        The names are the examiner's own, which never imports a line of student code.
        """
        new = [name for name in names if name not in sys.modules and name not in self._refused]
        for name in new:
            try:
                importlib.import_module(name)
            except Exception:  # a name that only lives inside another module
                self._refused.add(name)
        if new:
            _keep_pages()

    def _watch(self) -> None:
        """End examiners that take longer than a submission can."""
        allowed = self.assignment.limits.wall_seconds * 2 + GRACE_SECONDS
        for running in self.running.values():
            if time.monotonic() - running.started > allowed:
                with contextlib.suppress(OSError):
                    os.kill(running.pid, signal.SIGKILL)

    def _judge(self, running: _Running, answer: dict[str, Any]) -> None:
        """Try again what failed on our side, hand on the rest."""
        expected = {c.id for c in self.suite.checks if running.job.only is None or c.id in running.job.only}
        complete = expected <= set(answer["checks"])
        ours = [c for c in answer["checks"].values() if c["outcome"] == Outcome.UNGRADED.value]
        if (not complete or ours) and running.tries < TRIES:
            self.queue.appendleft((running.job, running.tries + 1))
            return
        self._finished(running.job, answer)

    # --- diagnosis ----------------------------------------------------------------------------------------------

    def _seed(self, job: Job) -> int:
        return int(self.config["seed"]) if job.seed is None else job.seed

    def _mutant_list(self) -> tuple[Mutant, ...]:
        if self._mutants is None:
            self._mutants = load_mutants(self.assignment) if self.assignment.secret is not None else ()
        return self._mutants

    def try_mutants(self) -> None:
        """Raise CourseError where a mutant cannot be applied: before the first submission, not after some."""
        place = self.config.get("catalogue")
        if self.config["record"] is not True or self.assignment.secret is None or (place and Path(place).is_file()):
            return
        reference = (self.assignment.secret / self.assignment.module).read_text(encoding="utf-8")
        for mutant in self._mutant_list():
            apply_mutant(mutant, reference)

    def _finished(self, job: Job, answer: dict[str, Any]) -> None:
        catalogue_ = self.catalogues.setdefault(self._seed(job), _Catalogue())
        if job.mutant is not None:
            self._record(job, answer, catalogue_)
            if job.number < 0:
                return
        failing = any(c["outcome"] != Outcome.PASSED.value for c in answer["checks"].values())
        if failing and job.diagnose and not self._ready(self._seed(job), catalogue_):
            catalogue_.waiting.append((job, answer))
        else:
            self._answer(job, answer, catalogue_)

    def _ready(self, seed: int, of_seed: _Catalogue) -> bool:
        """Tell whether the mutants' evidence is there; start recording it where nobody else does."""
        if of_seed.fingerprints is not None:
            return True
        if of_seed.started or self.config["record"] == "given":  # the engine sends every mutant itself
            return False
        of_seed.started = True
        place = self.config.get("catalogue")
        if place and Path(place).is_file():
            try:
                of_seed.fingerprints, _ = catalogue.from_bytes(Path(place).read_bytes(), Path(place))
                return True
            except CourseError:
                pass  # a damaged cache is made anew
        mutants = self._mutant_list() if self.config["record"] else ()
        if not mutants:
            of_seed.fingerprints = []
            return True
        assert self.assignment.secret is not None
        reference = (self.assignment.secret / self.assignment.module).read_text(encoding="utf-8")
        cheap = tuple(c.id for c in self.suite.checks if not c.training)
        for number, mutant in enumerate(mutants):
            submission = {"chunks": [[self.assignment.module, apply_mutant(mutant, reference)]]}
            job = Job(-1 - number, submission, only=cheap, diagnose=False, seed=seed, mutant=mutant.id)
            self.queue.appendleft((job, 1))
        return False

    def _record(self, job: Job, answer: dict[str, Any], of_seed: _Catalogue) -> None:
        """Keep what a mutant answered; once all are there, diagnose what has waited for them."""
        mutant = next(m for m in self._mutant_list() if m.id == job.mutant)
        failing = self._failing(answer)
        ours = any(c["outcome"] == Outcome.UNGRADED.value for c in answer["checks"].values())
        of_seed.complete = of_seed.complete and not ours
        # evidence with NaN in it agrees with nothing, not even with itself: such a mutant can never be told
        usable = failing and not ours and not mutant.facts_only and all(same_answers(e, e) for e in failing.values())
        of_seed.recorded[mutant.id] = (
            Fingerprint(mutant.id, mutant.misconception, mutant.hint, failing) if usable else None
        )
        if len(of_seed.recorded) < len(self._mutant_list()):
            return
        ordered = [of_seed.recorded[m.id] for m in self._mutant_list()]
        of_seed.fingerprints = [f for f in ordered if f is not None]
        place = self.config.get("catalogue")
        if place and of_seed.complete and self._seed(job) == int(self.config["seed"]):
            with contextlib.suppress(OSError):  # it is only a cache
                catalogue.write(
                    Path(place),
                    catalogue.to_bytes(of_seed.fingerprints, dict(self.config.get("about") or {})),
                )
        waiting, of_seed.waiting = of_seed.waiting, []
        for held, result in waiting:
            self._answer(held, result, of_seed)

    def _answer(self, job: Job, answer: dict[str, Any], of_seed: _Catalogue) -> None:
        explanations: list[Explanation] = []
        if job.diagnose and of_seed.fingerprints:
            absent = frozenset(
                key for key, c in answer["checks"].items() if c["outcome"] == Outcome.NOT_ATTEMPTED.value
            )
            failing = {k: e for k, e in self._failing(answer).items() if k not in absent}
            if failing:
                explanations = explain(failing, of_seed.fingerprints, absent)
        report = make_report(
            self.suite.checks, self.assignment, job, answer, explanations, self.config, self.sandbox.tier
        )
        margins = {key: c.get("margins", []) for key, c in answer["checks"].items()}
        pictures = {name: value for c in answer["checks"].values() for name, value in c.get("pictures", {}).items()}
        self._send({"job": job.number, "report": as_dict(report), "margins": margins, "pictures": as_lists(pictures)})

    def _failing(self, answer: Mapping[str, Any]) -> dict[str, Evidence]:
        """Return the evidence of the failing checks; what training comes to is nobody's fingerprint."""
        training = {c.id for c in self.suite.checks if c.training}
        return {
            key: Evidence([(name, value) for name, value in c["evidence"] or []], bool(c["strong"]))
            for key, c in answer["checks"].items()
            if c["outcome"] != Outcome.PASSED.value and key not in training
        }

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.connection.send_bytes(json.dumps(message).encode())
        except OSError:
            os._exit(0)  # the engine is gone


def _unread(pipe: int) -> bool:
    """Tell whether nobody holds the reading end of `pipe` (a writing end) any more."""
    poll = select.poll()
    poll.register(pipe, 0)  # POLLERR is reported unasked
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _keep_pages() -> None:
    """Keep the collector of forked examiners off what is here already: each page that it touched would be copied."""
    gc.collect()
    gc.freeze()


def make_report(
    checks: tuple[Check, ...],
    assignment: Assignment,
    job: Job,
    answer: Mapping[str, Any],
    explanations: list[Explanation],
    config: Mapping[str, Any],
    tier: int,
) -> Report:
    """Put a submission's results together; what did not run did not pass."""
    submission = job.submission
    problem, unreadable = submission.get("problem"), submission.get("unreadable")
    told = {check: e for e in explanations for check in e.checks}
    results = []
    reason = unreadable or answer.get("reason")
    for check in checks:
        if job.only is not None and check.id not in job.only:
            continue
        got = answer["checks"].get(check.id)
        if problem and not unreadable:
            outcome, facts, detail = Outcome.FAILED, [str(problem)], ""
        elif got is None:
            outcome, facts, detail = Outcome.UNGRADED, [], "the check did not run"
        else:
            outcome, facts, detail = Outcome(got["outcome"]), list(got["facts"]), got["detail"]
        if outcome is Outcome.UNGRADED and reason is None:
            reason = detail.splitlines()[0][:300] if detail else "the grader failed"
        explanation = told.get(check.id) if outcome is not Outcome.PASSED else None
        results.append(
            CheckResult(
                id=check.id,
                part=check.part,
                title=check.title,
                outcome=outcome,
                points=check.points,
                earned=check.points if outcome is Outcome.PASSED else 0.0,
                facts=tuple(facts),
                hint=explanation.hint if explanation else None,
                misconception=explanation.misconception if explanation else None,
                mutant=explanation.mutant if explanation else None,
                detail=detail,
                location=(got or {}).get("location") or check.location.rsplit("/", 1)[-1],
                output=(got or {}).get("output", ""),
            )
        )
    parts = tuple(
        PartResult(
            part.id,
            part.title,
            sum(r.earned for r in results if r.part == part.id),
            sum(r.points for r in results if r.part == part.id),
        )
        for part in assignment.parts
    )
    ungraded = any(r.outcome is Outcome.UNGRADED for r in results)
    meter = answer.get("meter") or {}
    return Report(
        assignment=assignment.id,
        student=str(submission.get("student", "")),
        name=str(submission.get("name", "")),
        submission=str(submission.get("sha256", "")),
        checks=tuple(results),
        parts=parts,
        outcome="ungraded" if ungraded else "graded",
        earned=sum(r.earned for r in results),
        possible=sum(r.points for r in results),
        tier=tier,
        seed_id=str(config.get("seed_id", "")),
        fingerprint=str(config.get("fingerprint", "")),
        cpu_seconds=float(meter.get("cpu_seconds", 0.0)),
        peak_mb=float(meter.get("peak_mb", 0.0)),
        set_aside=tuple(submission.get("set_aside", ())),
        problem=problem,
        flags=tuple(str(flag) for flag in answer.get("flags", ())),
        diagnosis=Diagnosis(tuple((e.mutant, e.misconception, e.hint, e.checks) for e in explanations)),
        reason=str(reason) if ungraded and reason else None,
    )


def main(fd: int) -> None:
    """Serve the engine on the connection `fd`: the first message is the configuration."""
    connection = Connection(fd)
    if sys.platform == "linux":
        lockdown.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine decides what Ctrl-C means

    def say(message: dict[str, Any]) -> None:
        connection.send_bytes(json.dumps(message).encode())

    try:
        config = json.loads(connection.recv_bytes())
        secret = Path(config["secret"]) if config["secret"] else None
        assignment = load_assignment(Path(config["folder"]), secret)
        tier = config["tier"]
        bound = Bound(int(config["jobs"]), assignment.limits.memory_mb)
        if tier is None:
            sandbox, refusals = open_strongest(assignment.packages, bound)
        else:
            sandbox, refusals = open_tier(tier, assignment.packages, bound), []
        opened = [sandbox]  # before the suite is collected: an examiner is forked with what it imports

        def once_more() -> Sandbox:
            return opened.pop() if opened else open_tier(sandbox.tier, assignment.packages, bound)

        def use(suite: Suite) -> None:
            host = Host(connection, config, once_more, suite)
            try:
                serve(host, suite)
            finally:
                host.sandbox.close()

        def serve(host: Host, suite: Suite) -> None:
            host.try_mutants()
            say(
                {
                    "ready": {
                        "tier": sandbox.tier,
                        "sandbox": sandbox.name,
                        "refusals": [[r.tier, r.name, r.reason] for r in refusals],
                        "checks": [[c.id, c.part, c.title, c.points] for c in suite.checks],
                        "kept": {c.id: c.kept for c in suite.checks if c.kept},
                        "training": [c.id for c in suite.checks if c.training],
                    }
                }
            )
            host.serve()

        try:
            with_suite(Path(config["suite"]), assignment, use)
        finally:
            for unused in opened:
                unused.close()
    except GraderError as error:
        with contextlib.suppress(OSError):
            say({"fatal": str(error), "kind": type(error).__name__})
    except (EOFError, BrokenPipeError):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
