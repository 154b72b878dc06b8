"""A mistake is charged once: who is wrong in the forward pass and backward consistent with it loses only forward."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from grader.checking.report import Outcome, Report
from grader.course.catalog import Course
from grader.course.mutants import Mutant, apply_mutant, load_mutants
from grader.grading.engine import hidden_examination
from grader.grading.executors.local import Host

PARTS = ("step", "sequence", "truncation")  # those with forward and backward passes
FORWARD = {"rnn_step_forward", "rnn_forward"}
EDITS = "bptt/edits-its-inputs"  # it spoils what the backward pass works on, so it is no mistake of the forward alone
EXCUSED = "your forward pass is not the handout's"
# a mistake of the backward passes alone, and the check that charges it
BACKWARD = {"step_carry_transposed": "test_step_backward[dh_prev]", "w_hh_t_in_carry": "test_backward[h0]"}


def places(one: Mutant, reference: str) -> set[str]:
    """Return the functions of the reference that a mutant's patches lie in."""
    found = set()
    for patch in one.patches:
        line = reference[: reference.index(patch.find)].count("\n") + 1
        line += len(patch.find) - len(patch.find.lstrip("\n"))
        for node in ast.parse(reference).body:
            if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0):
                found.add(node.name)
    return found


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, Report]:
    """Examine, live: the reference, all who are wrong in the forward pass, and one of them with one more mistake.

    The names of those who say in mutants.yaml what alone they may lose begin with "consistent", of those who are
    wrong in a forward function only with "forward", of those with two mistakes with "both".
    """
    course = Course(Path(__file__).parents[1], tmp_path_factory.mktemp("state"))
    assignment = course.assignment("bptt")
    reference = (assignment.secret / assignment.module).read_text(encoding="utf-8")
    mutants = {m.id: m for m in load_mutants(assignment)}
    sources = {"reference": reference}
    for one in mutants.values():
        if one.loses_only:
            sources[f"consistent {one.id}"] = apply_mutant(one, reference)
        elif places(one, reference) <= FORWARD and not one.facts_only and one.misconception != EDITS:
            sources[f"forward {one.id}"] = apply_mutant(one, reference)
    wrong = {"step_carry_transposed": mutants["step_linear"], "w_hh_t_in_carry": mutants["forward_without_bias"]}
    for name, first in wrong.items():
        both = replace(first, patches=first.patches + mutants[name].patches)
        sources[f"both {name}"] = apply_mutant(both, reference)
    examination = replace(hidden_examination(course, assignment, seed=3), record=False, catalogue=None)
    with Host(examination.config(2)) as host:
        checks = [check for check, part, *_ in host.ready.checks if part in PARTS]
        jobs = [
            {"number": n, "submission": {"student": "s001", "chunks": [["bptt.py", source]]}, "only": checks}
            for n, source in enumerate(sources.values())
        ]
        examined = sorted(host.run(jobs), key=lambda one: one.job)
    return dict(zip(sources, (one.report for one in examined), strict=True))


def lost(report: Report) -> set[str]:
    """Return the ids of the checks that earned nothing."""
    assert report.outcome == "graded", report.reason
    assert {check.part for check in report.checks} == set(PARTS)
    return {check.id for check in report.checks if check.outcome is not Outcome.PASSED}


def test_the_reference_loses_nothing(reports):
    """What follows is not a suite that fails everybody."""
    assert lost(reports["reference"]) == set()


def test_consistent_mistakes_lose_forward_points_only(reports):
    """Whoever differentiates a wrong forward pass rightly loses the points of the forward pass, and no other."""
    found = {name: report for name, report in reports.items() if name.startswith("consistent ")}
    assert len(found) >= 2, "one with another nonlinearity and one with another layout of the weights"
    for name, report in found.items():
        failing = lost(report)
        assert "test_step_forward" in failing, name
        assert all("forward" in check for check in failing), name
        assert not [check for check in failing if "backward" in check or "truncated" in check], name
        earned = {part.id: part.earned for part in report.parts}
        full = {part.id: part.earned for part in reports["reference"].parts}
        assert earned == {**full, "step": full["step"] - sum(c.points for c in report.checks if c.id in failing)}, name


def test_any_wrong_forward_pass_leaves_the_backward_points(reports):
    """The handout's backward pass earns its points on whatever states the wrong forward pass has made."""
    found = {name: report for name, report in reports.items() if name.startswith("forward ")}
    assert len(found) >= 10
    for name, report in found.items():
        failing = lost(report)
        assert failing, name
        assert not [check for check in failing if "backward" in check or "truncated" in check], name


@pytest.mark.parametrize(("name", "charged"), BACKWARD.items())
def test_one_more_mistake_is_charged_too(reports, name, charged):
    """A wrong forward pass excuses no mistake of the backward pass: it is charged where it belongs, and says so."""
    report = reports[f"both {name}"]
    failing = lost(report)
    assert {"test_step_forward", "test_forward"} & failing
    assert charged in failing
    (check,) = [check for check in report.checks if check.id == charged]
    assert any(EXCUSED in fact for fact in check.facts)
