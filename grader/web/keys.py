"""The keys of a practice page: what its script needs to mark a response by itself, as JSON data.

Only practice pages carry them. Numbers travel as text: `12` is whole, `12.0` a float64, so nothing is lost.
"""

from __future__ import annotations

from typing import Any

from grader.quiz import carrying, marks
from grader.quiz.arithmetic import number
from grader.quiz.mathematics.polynomial import points
from grader.quiz.model import Item
from grader.quiz.schema import Tolerance, WrongSpec
from grader.quiz.types import choice, cloze, match, matrix, multi, numeric, order, shape
from grader.web import typesetting

#: the types that static/marking.js marks; for the others the learner compares with the model answer
MARKED = ("choice", "cloze", "match", "matrix", "multi", "numeric", "order", "shape")


def key_of(item: Item) -> dict[str, Any] | None:
    """Return what marks a response to this item, None where the page cannot; raise ArithmeticProblem."""
    spec = item.question.spec
    match spec:
        case choice.Spec():
            return {"options": _options(item, spec.options)}
        case multi.Spec():
            return {"options": _options(item, spec.options), "scoring": spec.scoring}
        case order.Spec():
            return _order(item, spec)
        case match.Spec():
            return _match(item, spec)
        case numeric.Spec():
            return _numeric(item, spec.answer, spec.wrong)
        case matrix.Spec():
            return {
                "rule": _rule(item, spec.answer),
                "value": _rows(item, spec.answer.value),
                "scoring": spec.scoring,
                "wrong": [_wrong(item, one) | {"value": _rows(item, one.value)} for one in spec.wrong],
            }
        case shape.Spec():
            return _shape(item, spec)
        case cloze.Spec():
            return {
                "scoring": spec.scoring,
                "fields": [{"id": name} | _blank(item, one, name) for name, one in spec.fields.items()],
            }
    return None


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def _html(item: Item, text: str | None) -> str | None:
    return str(typesetting.line(marks.shown(item, text))) if text else None


def _options(item: Item, options: list[choice.Option]) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "correct": one.correct, "credit": one.credit, "why": _html(item, one.why)}
        | {"held": one.misconception}
        for one in options
    ]


def _wrong(item: Item, one: WrongSpec) -> dict[str, Any]:
    return {
        "credit": one.credit,
        "note": marks.name_of(one),
        "why": _html(item, one.feedback),
        "held": one.misconception,
    }


def _rule(item: Item, rule: Tolerance) -> dict[str, Any]:
    if rule.within is not None:
        return {"within": [_text(number(bound, item.variant.values)) for bound in rule.within]}
    if rule.exact:
        return {"exact": True}
    return {"rel": _text(float(rule.rel))} if rule.rel is not None else {"abs": _text(float(rule.abs or 0.0))}


def _numeric(item: Item, answer: numeric.Answer, wrong: list[numeric.Wrong]) -> dict[str, Any]:
    values = item.variant.values
    figures = answer.sigfigs
    return {
        "rule": _rule(item, answer),
        "value": _text(number(answer.value, values)),
        "unit": answer.unit or "",
        "figures": figures and {"min": figures.min, "max": figures.max, "penalty": figures.penalty},
        "wrong": [
            _wrong(item, one) | {"value": _text(number(one.value, values))} for one in wrong
        ],
    }  # fmt: skip


def _rows(item: Item, value: Any) -> list[list[str]]:
    return [[_text(cell) for cell in row] for row in matrix.rows_of(value, item)]


def _order(item: Item, spec: order.Spec) -> dict[str, Any]:
    before = order.closure(spec) or {}
    return {
        "before": {name: sorted(others) for name, others in before.items()},
        "strange": {
            one.id: {"why": _html(item, one.why), "held": one.misconception} for one in spec.blocks if one.distractor
        },
        "scoring": spec.scoring,
    }


def _match(item: Item, spec: match.Spec) -> dict[str, Any]:
    lefts = {left: name for name, left, _ in map(match.left_of, spec.pairs)}
    rights = match.rights_of(spec, item.question.name)
    return {
        "pairs": match.keys(item)[0],
        "rights": sorted(rights.values()),
        "scoring": spec.scoring,
        "wrong": [
            _wrong(item, one) | {"left": lefts[one.left], "right": rights[one.right]}
            for one in spec.wrong
            if one.left in lefts and one.right in rights
        ],
    }


def _shape(item: Item, spec: shape.Spec) -> dict[str, Any]:
    def axes(texts: list[Any]) -> list[list[str]]:
        return [[str(value) for value in axis] for axis in shape.axes_of(texts, item, spec)]

    return {
        "dims": spec.dims,
        "points": [{name: str(at) for name, at in one.items()} for one in points(spec.dims, "shape")],
        "scoring": spec.scoring,
        "fields": [
            {"id": one.id, "label": marks.shown(item, one.label), "axes": axes(one.answer)} for one in spec.fields
        ],
        "wrong": [_wrong(item, one) | {"field": one.field, "axes": axes(one.value)} for one in spec.wrong],
    }


def _blank(item: Item, one: Any, name: str) -> dict[str, Any]:
    shared = {"type": one.type, "label": one.label or name, "weight": one.weight}
    match one:
        case cloze.NumberBlank():
            ecf = None if one.ecf is None else carrying.tree(one.ecf, item.variant.values)
            return shared | _numeric(item, one.answer, one.wrong) | {"ecf": ecf}
        case cloze.ChoiceBlank():
            return shared | {"options": _options(item, one.options)}
    return shared | {
        "accept": one.accept,
        "reject": one.reject,
        "typos": one.typos,
        "wrong": [_wrong(item, wrong) | {"text": wrong.text} for wrong in one.wrong],
    }
