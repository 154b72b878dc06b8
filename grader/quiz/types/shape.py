"""Shapes of tensors: one or more fields, credit by axis, layouts that are often mixed up recognised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from grader.quiz import answers, marks
from grader.quiz.answers import Misread
from grader.quiz.arithmetic import ArithmeticProblem, number
from grader.quiz.kinds import Fault, lacks_oracle, no_whys
from grader.quiz.lab import Lab
from grader.quiz.mathematics.parsing import Alphabet, parse
from grader.quiz.mathematics.polynomial import PRIME, constant, residue, residues
from grader.quiz.mathematics.tree import Unreadable
from grader.quiz.model import Expected, Item, Mark, Question, Response
from grader.quiz.model import Field as Blank
from grader.quiz.parameters import Stream
from grader.quiz.running import CodeBox
from grader.quiz.schema import Expr, Name, OracleSpec, QuestionSpec, Strict, Text, WrongSpec
from grader.quiz.types.numeric import told

KIND = "fields"

_WHOLE = (2, 60)


class FieldSpec(Strict):
    """A shape that is asked for: its axes are expressions in the parameters, or in the symbolic dims."""

    id: Name
    label: Text
    answer: list[Expr]


class Wrong(WrongSpec):
    """A shape that tells what went wrong."""

    field: Name | None = None
    value: list[Expr]


class Spec(QuestionSpec):
    """The keys of a shape question. With `dims` (B, T, H) the answers are symbolic."""

    type: Literal["shape"]
    fields: Annotated[list[FieldSpec], Field(min_length=1, max_length=8)]
    dims: list[Name] = Field(default_factory=list, max_length=8)
    scoring: Literal["per-axis", "per-field", "all-or-nothing"] = "per-axis"
    wrong: list[Wrong] = Field(default_factory=list)
    oracle: OracleSpec | None = None

    @model_validator(mode="after")
    def _fields_are_known(self) -> Self:
        known = [one.id for one in self.fields]
        if len(set(known)) < len(known):
            raise PydanticCustomError("duplicate-id", "two fields have the same id")
        for one in self.wrong:
            if one.field is None and len(known) > 1:
                raise PydanticCustomError("field", "with several fields each wrong shape names its `field`")
            if one.field is not None and one.field not in known:
                raise PydanticCustomError("field", f"there is no field `{one.field}`; known: {', '.join(known)}")
        return self

    def texts(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the shared texts and the labels."""
        return [*super().texts(), *((("fields", n, "label"), one.label) for n, one in enumerate(self.fields))]


def _spec(item: Item) -> Spec:
    assert isinstance(item.question.spec, Spec)
    return item.question.spec


def view(item: Item) -> Mapping[str, Any]:
    """Return the fields."""
    spec = _spec(item)
    how = f" in {', '.join(spec.dims)}" if spec.dims else ""
    fields = tuple(Blank(one.id, marks.shown(item, one.label), "text") for one in spec.fields)
    return {"fields": fields, "rule": f"Write each shape{how} like (2, 3), a number's as ()."}


def axes_of(texts: Sequence[Expr], item: Item, spec: Spec) -> list[tuple[int | None, ...]]:
    """Return what identifies each axis: its size, or its values at random points where dims are symbolic."""
    if not spec.dims:
        found: list[tuple[int | None, ...]] = []
        for one in texts:
            size = number(one, item.variant.values)
            if not isinstance(size, int) or size < 0:
                raise ArithmeticProblem(f"`{one}` is no size of an axis")
            found.append((size,))
        return found
    filled = [marks.shown(item, str(one)) for one in texts]
    return [_symbolic(one, spec) for one in filled]


def _symbolic(text: str, spec: Spec) -> tuple[int | None, ...]:
    node = parse(text, Alphabet.of(spec.dims))
    return tuple(residues(node, spec.dims, "shape"))


def _given(response: Any, spec: Spec, label: str) -> list[tuple[int | None, ...]]:
    """Return the axes of a typed shape; raise Misread."""
    axes = answers.read_axes(response)
    found: list[tuple[int | None, ...]] = []
    for axis in axes:
        try:
            node = parse(axis, Alphabet.of(spec.dims))
            if spec.dims:
                found.append(tuple(residues(node, spec.dims, "shape")))
                continue
            size = constant(node)
        except Unreadable as problem:
            raise Misread(f"{label}: {problem.pointed(axis)}.") from None
        if size is None or size.denominator != 1 or size < 0 or size >= PRIME:
            raise Misread(f"{label}: an axis is a whole number, not `{axis}`.")
        found.append((int(size),))
    return found


def mark(item: Item, response: Response, box: CodeBox | None = None) -> Mark:
    """Mark shapes field by field; a single field's shape may come as a bare text."""
    spec = _spec(item)
    if not isinstance(response, dict):
        if len(spec.fields) > 1:
            raise Misread("Every field needs a shape.")
        response = {spec.fields[0].id: response}
    unknown = [key for key in response if key not in [one.id for one in spec.fields]]
    if unknown:
        raise Misread("There is no such field.")
    given = {}
    for one in spec.fields:
        if one.id not in response:
            raise Misread(f"{one.label}: there is no answer yet.")
        try:
            given[one.id] = _given(response[one.id], spec, one.label)
        except Misread as problem:
            said = str(problem)
            raise Misread(said if said.startswith(one.label) else f"{one.label}: {said}") from None
    scores: list[float] = []
    notes: list[str] = []
    feedback: list[str] = []
    held: list[str] = []
    for one in spec.fields:
        score, note, sentences, belief = _field(item, spec, one, given[one.id])
        scores.append(score)
        notes.append(note)
        feedback += sentences
        held += belief
    total = sum(scores) / len(scores)
    if spec.scoring == "all-or-nothing" and min(scores) < 1:
        total = 0.0
    note = notes[0] if len(notes) == 1 else ",".join(f"{f.id}={n}" for f, n in zip(spec.fields, notes, strict=True))
    evidence = {"fields": {f.id: s for f, s in zip(spec.fields, scores, strict=True)}}
    return marks.graded(total, "key" if total == 1 else note, tuple(feedback), tuple(held), evidence)


def _field(
    item: Item, spec: Spec, field: FieldSpec, given: list[tuple[int | None, ...]]
) -> tuple[float, str, list[str], list[str]]:
    """Return (score, note, feedback, misconceptions) of one field."""
    key = axes_of(field.answer, item, spec)
    if given == key:
        return 1.0, "key", [], []
    for one in spec.wrong:
        if one.field in (None, field.id) and given == axes_of(one.value, item, spec):
            said = [marks.shown(item, one.feedback)] if one.feedback else []
            credit = 0.0 if spec.scoring == "all-or-nothing" else one.credit
            return credit, marks.name_of(one), said, [one.misconception] if one.misconception else []
    if len(given) != len(key):
        return 0.0, "rank", [f"{field.label}: {_axes_word(len(given))} given, {_axes_word(len(key))} asked for."], []
    hits = sum(a == b for a, b in zip(given, key, strict=True))
    if sorted(map(str, given)) == sorted(map(str, key)):
        return 0.0, "permuted", [f"{field.label}: the right sizes in the wrong order."], []
    said = [f"{field.label}: {hits} of {len(key)} axes agree."] if hits else []
    return (hits / len(key) if spec.scoring == "per-axis" else 0.0), f"axes:{hits}/{len(key)}", said, []


def _axes_word(count: int) -> str:
    return f"{count} axis" if count == 1 else f"{count} axes"


def _text(texts: Sequence[Expr], item: Item, spec: Spec) -> str:
    if spec.dims:
        axes = [marks.shown(item, str(one)) for one in texts]
    else:
        axes = [str(number(one, item.variant.values)) for one in texts]
    return f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"


def keys(item: Item) -> Sequence[Response]:
    """Return every field's shape."""
    spec = _spec(item)
    return [{one.id: _text(one.answer, item, spec) for one in spec.fields}]


def wrong_responses(item: Item) -> Sequence[Expected]:
    """Return, for every recognised wrong shape, the key with that field wrong."""
    spec = _spec(item)
    found = []
    for n, one in enumerate(spec.wrong):
        field = one.field or spec.fields[0].id
        response = {**keys(item)[0], field: _text(one.value, item, spec)}
        credit = 0.0 if spec.scoring == "all-or-nothing" else (len(spec.fields) - 1 + one.credit) / len(spec.fields)
        found.append(Expected(response, marks.status_of(credit), credit, one.misconception, ("wrong", n)))
    return found


def answer(item: Item) -> str:
    """Return the shapes with their labels."""
    spec = _spec(item)
    return "; ".join(f"{marks.shown(item, one.label)}: {_text(one.answer, item, spec)}" for one in spec.fields)


whys = no_whys
lacks = lacks_oracle


def witness(item: Item, lab: Lab) -> Iterator[Fault]:
    """Compare every field with the shape that the oracle really gets: a list of sizes, or field id -> sizes."""
    spec = _spec(item)
    if spec.oracle is None:
        return
    stream = Stream(f"oracle\0{item.question.name}\0{item.variant.number}")
    for _ in range(3 if spec.dims else 1):
        sizes = _distinct(spec.dims, stream)
        got = lab.compute(spec.oracle, item, sizes)
        shapes = got if isinstance(got, dict) else {spec.fields[0].id: got}
        for n, one in enumerate(spec.fields):
            if one.id not in shapes:
                yield ("oracle",), "oracle-type", f"the oracle {spec.oracle.name} says nothing of the field `{one.id}`"
                return
            want = [_size(axis, item, sizes, spec) for axis in one.answer]
            told_by = _sizes(shapes[one.id])
            if told_by != want:
                at = ", ".join(f"{name}={size}" for name, size in sizes.items())
                where = f"at {at} " if at else ""
                said = f"{where}key {tuple(want)} but oracle computes {told_by if told_by is None else tuple(told_by)}"
                yield ("fields", n, "answer"), "oracle-mismatch", f"{said} {told(item)}"
                return


def _distinct(dims: Sequence[str], stream: Stream) -> dict[str, int]:
    low, high = _WHOLE
    sizes: dict[str, int] = {}
    for name in dims:
        size = low + stream.below(high - low)
        while size in sizes.values():
            size = low + stream.below(high - low)
        sizes[name] = size
    return sizes


def _size(axis: Expr, item: Item, sizes: Mapping[str, int], spec: Spec) -> Any:
    if not spec.dims:
        return number(axis, item.variant.values)
    # the author's axes are read as learners' are, so 2H and 2*H both do
    node = parse(marks.shown(item, str(axis)), Alphabet.of(spec.dims))
    return residue(node, sizes)


def _sizes(shape: Any) -> list[int] | None:
    if isinstance(shape, list | tuple) and all(isinstance(size, int) for size in shape):
        return list(shape)
    shaped = getattr(shape, "tolist", None)
    return _sizes(shaped()) if shaped is not None else None


def lint(question: Question) -> Iterator[Fault]:
    """Yield axes that cannot be computed."""
    spec = question.spec
    assert isinstance(spec, Spec)
    for variant in question.variants:
        item = Item(question, variant)
        places = [(("fields", n, "answer"), one.answer) for n, one in enumerate(spec.fields)]
        places += [(("wrong", n, "value"), one.value) for n, one in enumerate(spec.wrong)]
        for loc, axes in places:
            try:
                axes_of(axes, item, spec)
            except (ArithmeticProblem, Unreadable) as problem:
                yield loc, "expression", str(problem)
                return
