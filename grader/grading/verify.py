"""Grade the suite itself: reference, twins, stub, mutants and vandals through the path of a submission.

Over several seeds, in another order, and with a worker for each check. What the mutants prove about the checks,
and what the numbers say about tolerances, goes into one result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from grader.checking.report import Outcome, Report
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.course.misconceptions import load_misconceptions
from grader.course.mutants import Mutant, apply_mutant, check_misconceptions, load_mutants
from grader.course.reference import read_reference
from grader.course.stub import derive_stub
from grader.grading.engine import hidden_examination
from grader.grading.executors.local import Examined, Host

BASE_SEED = 1000
POINTS = 100.0
THOROUGH = 10  # from so many seeds on, every mutant also runs shuffled and with a worker for each check
TRAINING_SEEDS = 3  # training is dear, and its thresholds leave room: so many seeds show that they hold
FEW = 3  # with fewer seeds, only the first has every mutant, the next a sample of them
SAMPLE = 10

#: Functions that answer without looking: each must earn nothing and break nothing.
VANDALS = {
    "none": "None",
    "zero": "0.0",
    "text": "'x'",
    "empty list": "[]",
    "nothing in a dict": "{}",
    "echo": "args[0] if args else None",
    "all arguments": "args",
    "object": "object()",
    "nan": "float('nan')",
}


@dataclass(frozen=True)
class Subject:
    """Something that is graded to prove the suite: its kind, its name and its source."""

    kind: str  # reference, twin, stub, mutant, vandal
    name: str
    source: str
    mutant: Mutant | None = None


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with the suite."""

    subject: str
    what: str


@dataclass
class Verification:
    """What verifying an assignment came to.

    `killed_by` maps each check to the mutants that fail it (over all seeds); `margin_right` is the largest share
    of a tolerance that a right answer used, with the check it was in; `margin_wrong` the smallest multiple of a
    tolerance by which a mutant's deciding comparison missed it, with mutant and check.
    """

    assignment: str
    seeds: int
    checks: tuple[tuple[str, str, str, float], ...] = ()
    findings: list[Finding] = field(default_factory=list)
    killed_by: dict[str, set[str]] = field(default_factory=dict)
    mutants: int = 0
    told: int = 0
    twins: int = 0
    runs: int = 0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    tier: int = 0
    margin_right: tuple[float, str, str] = (0.0, "", "")
    margin_wrong: tuple[float, str, str] = (float("inf"), "", "")
    kept_because: dict[str, str] = field(default_factory=dict)
    training: frozenset[str] = frozenset()  # checks that train a model
    training_of: str = "all"  # who ran them: all, right (reference and twins), none
    sample: int = 1  # every n-th mutant took part

    @property
    def idle_checks(self) -> list[str]:
        """Return the checks that kill no mutant of their own: each mutant they fail, another check fails too."""
        idle: list[str] = []
        if self.sample > 1:
            return idle
        for check, mutants in self.killed_by.items():
            if check in self.training and self.training_of != "all":
                continue
            own = [m for m in mutants if not any(m in other for c, other in self.killed_by.items() if c != check)]
            if not own:
                idle.append(check)
        return idle


def subjects(assignment: Assignment) -> list[Subject]:
    """Return everything that is graded to prove the suite; raise CourseError where something is missing."""
    assert assignment.secret is not None
    reference = read_reference(assignment)
    out = [Subject("reference", "reference", reference)]
    for path in sorted((assignment.secret / "twins").glob("*.py")):
        out.append(Subject("twin", path.stem, path.read_text(encoding="utf-8")))
    out.append(Subject("stub", "stub", derive_stub(reference, assignment.module)))
    for mutant in load_mutants(assignment):
        out.append(Subject("mutant", mutant.id, apply_mutant(mutant, reference), mutant))
    for name, value in VANDALS.items():
        body = "\n".join(
            f"def {function}(*args, **kwargs):\n    return {value}\n"
            if spec != "class"
            else f"class {function}:\n    def __init__(self, *args, **kwargs): pass\n"
            f"    def __getattr__(self, name): return lambda *args, **kwargs: {value}\n"
            for function, spec in assignment.names.items()
        )
        out.append(Subject("vandal", name, body))
    return out


def verify(
    course: Course,
    assignment: Assignment,
    *,
    seeds: int,
    jobs: int,
    tier: int | None = None,
    training: str = "all",
    sample: int = 1,
    on_start: Callable[[int], None] = lambda total: None,
    on_run: Callable[[], None] = lambda: None,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Verification:
    """Verify one assignment and return what was found; `findings` is empty where the suite holds.

    `training` says who runs the checks that train a model, on three seeds at most: "all" is the reference, the
    twins and those mutants that name such a check; "right" is the reference and the twins, on one seed; "none".
    With a `sample` of n only every n-th mutant takes part, hints are not tried, and nothing is said about checks that
    no mutant fails: a quick look, not a proof.
    `on_finding` gets what is found while it runs, which may be long before its end.
    Raises CourseError for content that cannot even be tried.
    """
    check_misconceptions(load_mutants(assignment), load_misconceptions(course))
    everyone = subjects(assignment)
    examination = hidden_examination(course, assignment, tier=tier, seed=BASE_SEED)
    result = Verification(assignment.id, seeds)
    result.mutants = sum(s.kind == "mutant" for s in everyone)
    result.twins = sum(s.kind == "twin" for s in everyone)
    config = {**examination.config(jobs), "record": "given", "catalogue": None}
    reports: dict[tuple[str, str, str], dict[str, Outcome]] = {}
    with Host(config) as host:
        result.tier = host.ready.tier
        result.checks = host.ready.checks
        result.kept_because = dict(host.ready.kept)
        result.training, result.training_of, result.sample = host.ready.training, training, sample
        plan = list(_plan(everyone, seeds, [c[0] for c in host.ready.checks], host.ready.training, training, sample))
        on_start(len(plan))
        result.killed_by = {check[0]: set() for check in host.ready.checks}
        _check_points(result, assignment)
        of_job = {job["number"]: (subject, mode, seed) for job, subject, mode, seed in plan}
        told: dict[str, bool] = {}
        for examined in host.run([job for job, *_ in plan]):
            subject, mode, seed = of_job[examined.job]
            on_run()
            result.runs += 1
            result.cpu_seconds += examined.report.cpu_seconds
            result.peak_mb = max(result.peak_mb, examined.report.peak_mb)
            reports[subject.kind + " " + subject.name, mode, str(seed)] = {
                c.id: c.outcome for c in examined.report.checks
            }
            if mode == "plain":
                known = len(result.findings)
                _judge(result, subject, seed, examined, told)
                for finding in result.findings[known:]:
                    on_finding(finding)
        result.told = sum(told.values())
    _compare_modes(result, reports)
    _judge_checks(result)
    return result


def _plan(
    everyone: list[Subject], seeds: int, checks: list[str], training: frozenset[str], training_of: str, sample: int
) -> Iterator[tuple[dict[str, Any], Subject, str, int]]:
    """Yield every job: all subjects on every seed, and on the first seed also shuffled and isolated."""
    number = 0
    cheap = [check for check in checks if check not in training]

    def trains(subject: Subject, offset: int, mode: str) -> bool:
        if training_of == "none" or mode != "plain":
            return False
        if subject.mutant is not None:
            return training_of == "all" and offset < TRAINING_SEEDS and _names_training(subject.mutant, training)
        return offset < (TRAINING_SEEDS if training_of == "all" else 1)

    def job(subject: Subject, seed: int, mode: str) -> tuple[dict[str, Any], Subject, str, int]:
        nonlocal number
        number += 1
        options: dict[str, Any] = {"seed": seed}
        if training and not trains(subject, seed - BASE_SEED, mode):
            options["only"] = cheap
        if mode == "shuffled":
            options |= {"shuffle": seed, "diagnose": False}
        elif mode == "isolated":
            options |= {"isolate": True, "diagnose": False}
        elif not _diagnosed(seeds, seed, sample):
            options |= {"diagnose": False}
        elif subject.kind == "mutant":
            options |= {"mutant": subject.name}
        submission = {"chunks": [["submission", subject.source]], "student": subject.name}
        return {"number": number, "submission": submission, **options}, subject, mode, seed

    turn = 0
    of_first_seed: list[Subject] = []
    for offset in range(seeds):
        for subject in everyone:
            if subject.kind in ("vandal", "stub") and offset:
                continue  # they never look at their inputs
            every = max(sample, SAMPLE) if offset and seeds < FEW else sample
            if subject.mutant is not None and (turn := turn + 1) % every:
                continue  # one seed has shown all of them; the next ones show that it was not luck
            if not offset and subject.kind != "vandal":
                of_first_seed.append(subject)
            yield job(subject, BASE_SEED + offset, "plain")
    # Twice more for each mutant is dear: with few seeds a sample does, of those that have a plain run to be like.
    every = 1 if seeds >= THOROUGH and sample == 1 else max(1, SAMPLE // sample)
    mutants = 0
    for subject in of_first_seed:
        mutants += subject.kind == "mutant"
        if subject.kind != "mutant" or mutants % every == 0:
            yield job(subject, BASE_SEED, "shuffled")
            yield job(subject, BASE_SEED, "isolated")


def _diagnosed(seeds: int, seed: int, sample: int) -> bool:
    """Tell whether hints are tried on a seed: that takes every mutant, and a sampled seed has not got them."""
    return sample == 1 and (seeds >= FEW or seed == BASE_SEED)


def _names_training(mutant: Mutant, training: frozenset[str]) -> bool:
    """Tell whether a mutant is to be caught by a check that trains."""
    return any(check in mutant.caught_by or check.split("[")[0] in mutant.caught_by for check in training)


def _judge(result: Verification, subject: Subject, seed: int, examined: Examined, told: dict[str, bool]) -> None:
    report = examined.report
    name = f"{subject.kind} {subject.name}" if subject.kind != subject.name else subject.name
    failing = [c for c in report.checks if c.outcome is not Outcome.PASSED]

    def find(what: str) -> None:
        finding = Finding(name, f"{what} (seed {seed})")
        if sum(f.subject == name for f in result.findings) < 5:
            result.findings.append(finding)

    for check in failing:
        if check.outcome is Outcome.UNGRADED:
            find(f"{check.id} is ungraded: {check.detail.splitlines()[0] if check.detail else report.reason}")
    graded = [c for c in report.checks if c.outcome is not Outcome.UNGRADED]  # of the others all is said
    if subject.kind in ("reference", "twin"):
        for check in graded:
            if check.outcome is not Outcome.PASSED:
                find(f"{check.id} {check.outcome.value}: {'; '.join(check.facts) or check.detail[:200]}")
        for check_id, margins in examined.margins.items():
            for error, tolerance in margins:
                if tolerance > 0 and error / tolerance > result.margin_right[0]:
                    result.margin_right = (error / tolerance, name, check_id)
    elif subject.kind == "stub":
        for check in graded:
            if check.outcome is not Outcome.NOT_ATTEMPTED:
                find(f"{check.id} is {check.outcome.value}, not `not attempted`")
    elif subject.kind == "vandal":
        for check in report.checks:
            if check.outcome is Outcome.PASSED:
                find(f"functions that answer without looking pass {check.id} ({check.points:g} points)")
    elif subject.mutant is not None:
        diagnosed = _diagnosed(result.seeds, seed, result.sample)
        _judge_mutant(result, subject.mutant, report, examined, find, told if diagnosed else None)


def _judge_mutant(
    result: Verification,
    mutant: Mutant,
    report: Report,
    examined: Examined,
    find: Callable[[str], None],
    told: dict[str, bool] | None,
) -> None:
    failing = {c.id for c in report.checks if c.outcome is not Outcome.PASSED}
    for failed in failing:
        result.killed_by[failed].add(mutant.id)
    ran = {c.id for c in report.checks}
    unseen = [c for c in result.training if c not in ran]  # not run this time: nothing can be said about them
    if not failing and not (unseen and _names_training(mutant, result.training)):
        find("no check kills it")
    for named in mutant.caught_by:
        known = [c[0] for c in result.checks]
        if any(c == named or c.split("[")[0] == named for c in unseen):
            continue
        if "[" not in named and not any(c == named or c.startswith(named + "[") for c in known):
            find(f"caught_by names {named}, which is not a check")
        elif not any(c == named or ("[" not in named and c.startswith(named + "[")) for c in failing):
            find(f"it passes {named}, which should catch it")
    if mutant.loses_only:
        for check in report.checks:
            if check.id in failing and not {check.id, check.part, check.id.split("[")[0]} & set(mutant.loses_only):
                find(f"it loses points in {check.id}, outside {', '.join(mutant.loses_only)}")
    hints = report.diagnosis.hints
    if told is None:
        pass
    elif mutant.facts_only:
        if hints:
            find(f"it earns the hint of {hints[0][0]}, but shows facts only")
    else:
        own = [h for h in hints if h[1] == mutant.misconception]
        told[mutant.id] = told.get(mutant.id, True) and bool(own) and len(hints) == 1
        if not hints:
            find("its own hint is not told: another misconception fits as well, or its evidence is weak")
        elif len(own) != len(hints):
            find(f"it is told the hint of {', '.join(h[0] for h in hints if h not in own)}")
    for check_id, margins in examined.margins.items():
        if check_id in failing and margins:
            error, tolerance = margins[-1]  # the comparison at which the check stopped
            if error > tolerance and error / tolerance < result.margin_wrong[0]:
                result.margin_wrong = (error / tolerance, f"mutant {mutant.id}", check_id)


def _check_points(result: Verification, assignment: Assignment) -> None:
    total = sum(points for *_, points in result.checks)
    if abs(total - POINTS) > 1e-9:
        result.findings.append(Finding("suite", f"the checks are worth {total:g} points, not {POINTS:g}"))
    for part in assignment.parts:
        worth = sum(points for _, of, _, points in result.checks if of == part.id)
        if abs(worth - part.points) > 1e-9:
            result.findings.append(
                Finding("suite", f"part {part.id} says {part.points:g} points, its checks are worth {worth:g}")
            )


def _compare_modes(result: Verification, reports: dict[tuple[str, str, str], dict[str, Outcome]]) -> None:
    """Outcomes must not depend on the order of the checks or on what an earlier check left behind."""
    first = str(BASE_SEED)
    for (name, mode, seed), outcomes in reports.items():
        if mode == "plain" or seed != first:
            continue
        plain = reports.get((name, "plain", first), {})
        for check, outcome in outcomes.items():
            if plain.get(check) is not outcome:
                was = plain.get(check)
                result.findings.append(
                    Finding(name, f"{check} is {outcome.value} {mode}, {was.value if was else 'absent'} otherwise")
                )


def _judge_checks(result: Verification) -> None:
    """A check that no mutant fails proves nothing; one that no mutant needs says why it stays."""
    for check, mutants in result.killed_by.items():
        if result.sample > 1:
            break
        if check in result.training and result.training_of != "all":
            continue
        if not mutants:
            result.findings.append(Finding(check, "no mutant fails this check, so nothing shows that it works"))
    for check in result.idle_checks:
        if result.killed_by[check] and check not in result.kept_because:
            what = "every mutant that fails it fails another check too; say why it stays: @pytest.mark.kept(...)"
            result.findings.append(Finding(check, what))


def misconceptions_by_name(assignment: Assignment) -> dict[str, set[str]]:
    """Return for each top-level name the misconceptions whose patches lie inside it in the reference."""
    import ast

    reference = read_reference(assignment)
    spans = {
        node.name: (node.lineno, node.end_lineno or node.lineno)
        for node in ast.parse(reference).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    found: dict[str, set[str]] = defaultdict(set)
    for mutant in load_mutants(assignment):
        for patch in mutant.patches:
            line = reference[: max(reference.find(patch.find), 0)].count("\n") + 1
            line += len(patch.find) - len(patch.find.lstrip("\n"))
            for name, (low, high) in spans.items():
                if low <= line <= high:
                    found[name].add(mutant.misconception)
    return dict(found)
