"""Reading banks: every mistake named by file, line and column, with the nearest known key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from grader.course.catalog import Course
from grader.course.spelling import nearest, suggestion
from grader.errors import CourseError
from grader.quiz.arithmetic import ArithmeticProblem
from grader.quiz.findings import Finding, as_error, errors
from grader.quiz.kinds import type_names, type_of
from grader.quiz.lock import frozen_variants, read_lock
from grader.quiz.model import Bank, Hint, Question, Variant
from grader.quiz.parameters import draw
from grader.quiz.places import Places, parse_places, read_places
from grader.quiz.schema import SCHEMA, QuestionSpec, Slug, Strict, Text

TAGS_FILE = "tags.yaml"
SOURCES_FILE = "sources.yaml"  # read in coverage.py
TAGS_SCHEMA = "quiztags/1"

MINUTES = {1: 0.5, 2: 1.0, 3: 1.5, 4: 2.5, 5: 4.0}  # what a question takes by its difficulty, unless it says so


class BankSpec(Strict):
    """The keys of a bank; its questions are read one by one, each by the model of its type."""

    schema_: Literal["quizbank/1"] = Field(alias="schema")
    id: Slug
    title: Text
    about: Text | None = None
    macros: dict[Annotated[str, Field(pattern=r"^\\[a-zA-Z]+$")], str] = Field(default_factory=dict)
    questions: Annotated[list[Any], Field(min_length=1)]


# --- which banks there are ------------------------------------------------------------------------------------------


def bank_paths(course: Course) -> dict[str, tuple[Path, bool]]:
    """Return bank id -> (file, whether it is graded): quizzes/*.yaml, then solutions/quizzes/*.yaml."""
    found: dict[str, tuple[Path, bool]] = {}
    for folder, graded in ((course.root / "quizzes", False), (course.root / "solutions" / "quizzes", True)):
        for path in sorted(folder.glob("[!._]*.yaml")):
            if path.name not in (TAGS_FILE, SOURCES_FILE):
                found.setdefault(path.stem, (path, graded))
    return found


def bank_ids(course: Course) -> tuple[str, ...]:
    """Return the ids of the course's banks, without reading them; practice banks first."""
    return tuple(bank_paths(course))


def bank_path(course: Course, bank_id: str) -> tuple[Path, bool]:
    """Return (file, graded) of a bank; raise CourseError where there is none of that id."""
    paths = bank_paths(course)
    if bank_id not in paths:
        raise CourseError(f"there is no bank `{bank_id}`", advice=suggestion(bank_id, paths, "banks"))
    return paths[bank_id]


def load_bank(course: Course, bank_id: str) -> Bank:
    """Return a bank that has no errors; raise CourseError at the first one otherwise."""
    path, graded = bank_path(course, bank_id)
    bank, findings = read_bank(path, graded)
    wrong = errors(findings)
    if bank is None or wrong:
        raise as_error(wrong or findings, f"`grader quiz check {bank_id}` lists them all.")
    return bank


def load_practice_bank(course: Course, bank_id: str) -> Bank:
    """Return a bank for practice; raise CourseError for a graded one, which is not even opened."""
    _, graded = bank_path(course, bank_id)
    if graded:
        raise CourseError(
            f"{bank_id} is graded, and this is for practice",
            advice=f"Hand it out with `grader quiz form {bank_id}`, or serve it to a class with `--roster`.",
        )
    return load_bank(course, bank_id)


def load_tags(course: Course) -> dict[str, str]:
    """Return tag -> title in the order of quizzes/tags.yaml, none without that file; raise CourseError."""
    path = course.root / "quizzes" / TAGS_FILE
    if not path.is_file():
        return {}
    data, places, findings = read_places(path)
    if not isinstance(data, dict) or data.get("schema") != TAGS_SCHEMA or not isinstance(data.get("tags"), dict):
        findings.append(places.finding((), "schema", f"a file of tags has `schema: {TAGS_SCHEMA}` and `tags`"))
    if findings:
        raise as_error(findings, "Mend the list of tags.")
    return {str(tag): str(title) for tag, title in data["tags"].items()}


# --- reading one ----------------------------------------------------------------------------------------------------


def read_bank(path: Path, graded: bool = False) -> tuple[Bank | None, list[Finding]]:
    """Return a bank of the questions that can be read, and everything that is wrong with the file.

    None where it is no bank at all. A file that cannot be read raises CourseError.
    """
    return _bank(*read_places(path), path, graded)


def parse_bank(text: str, path: Path, graded: bool = False) -> tuple[Bank | None, list[Finding]]:
    """Do as `read_bank` with a text that has been read already."""
    return _bank(*parse_places(text, path), path, graded)


def _bank(
    data: Any, places: Places, findings: list[Finding], path: Path, graded: bool
) -> tuple[Bank | None, list[Finding]]:
    data = _without_extensions(data)
    spec, wrong = validated(BankSpec, data, places)
    findings += wrong
    if spec is None:
        return None, sorted(findings)
    assert isinstance(spec, BankSpec)
    if spec.id != path.stem:
        findings.append(places.finding(("id",), "id", f"the id '{spec.id}' differs from the file's name '{path.stem}'"))
    frozen, wrong = read_lock(path)
    findings += wrong
    questions: list[Question] = []
    lines: dict[str, int] = {}
    for n, one in enumerate(spec.questions):
        here = places.below(("questions", n))
        question, wrong = _question(one, here, spec, frozen, graded)
        findings += wrong
        name = one.get("id") if isinstance(one, dict) else None
        if isinstance(name, str):
            line = places.finding(("questions", n, "id"), "", "").line
            if name in lines:
                said = f"id '{name}' already used at line {lines[name]}"
                findings.append(here.finding(("id",), "duplicate-id", said))
                continue
            lines[name] = line
        if question is not None:
            questions.append(question)
    bank = Bank(
        id=spec.id,
        title=spec.title,
        about=spec.about or "",
        path=path,
        graded=graded,
        macros=spec.macros,
        questions=tuple(questions),
        places=places,
    )
    return bank, sorted(findings)


def _question(
    data: Any, places: Places, bank: BankSpec, frozen: Mapping[str, Any], graded: bool
) -> tuple[Question | None, list[Finding]]:
    if not isinstance(data, dict):
        return None, [places.finding((), "question", "a question is a mapping with id, type, prompt, ...")]
    name = data.get("type")
    if not isinstance(name, str) or name not in type_names():
        if "type" not in data:
            return None, [places.finding((), "missing", f"the key 'type' is missing; types: {', '.join(type_names())}")]
        near = nearest(str(name), type_names())
        hint = f", did you mean '{near}'?" if near else f"; types: {', '.join(type_names())}"
        return None, [places.finding(("type",), "type", f"there is no type '{name}'{hint}")]
    spec, findings = validated(type_of(name).Spec, data, places)
    if spec is None:
        return None, findings
    assert isinstance(spec, QuestionSpec)
    meaning, content = _hash(spec.meaning()), _hash(spec.model_dump(mode="json", exclude_defaults=True))
    variants = frozen_variants(frozen, spec.id, spec.rev, meaning)
    if variants is None:
        try:
            variants = tuple(draw(spec, f"{bank.id}/{spec.id}"))
        except ArithmeticProblem as problem:
            return None, [*findings, places.finding(("params",), "params", str(problem))]
    question = Question(
        bank=bank.id,
        id=spec.id,
        rev=spec.rev,
        type=spec.type,
        tags=tuple(spec.tags),
        level=spec.level,
        difficulty=spec.difficulty,
        prompt=spec.prompt,
        explain=spec.explain,
        hints=tuple(Hint(hint.text, hint.cost) for hint in spec.hints),
        source=tuple(spec.source),
        confidence=spec.confidence,
        minutes=spec.minutes or MINUTES[spec.difficulty],
        supersedes=spec.supersedes,
        spec=spec,
        variants=variants,
        macros=bank.macros,
        meaning=meaning,
        content=content,
        graded=graded,
        places=places,
    )
    return question, findings


def drawn(question: Question) -> tuple[Variant, ...]:
    """Return the variants as they are drawn now, whatever is frozen; raise ArithmeticProblem."""
    return tuple(draw(question.spec, question.name))


def _hash(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def _without_extensions(data: Any) -> Any:
    """Return the data without keys that begin with x-: they are for whoever wrote them."""
    if isinstance(data, dict):
        return {key: _without_extensions(value) for key, value in data.items() if not key.startswith("x-")}
    return [_without_extensions(one) for one in data] if isinstance(data, list) else data


# --- messages -------------------------------------------------------------------------------------------------------


def validated(model: type[BaseModel], data: Any, places: Places) -> tuple[BaseModel | None, list[Finding]]:
    """Return data as a model, None where it is not one, and everything that is wrong with it, each at its place."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found: dict[tuple[int, int], tuple[int, Finding]] = {}
        told = error.errors(include_url=False, include_input=False)
        strange = [one["loc"] for one in told if one["type"] == "extra_forbidden"]
        meant = {(*loc[:-1], nearest(str(loc[-1]), _keys_at(model, loc[:-1]))) for loc in strange}
        for one in told:
            loc, code = one["loc"], one["type"]
            if code == "missing" and loc in meant:
                continue  # it is there, misspelt
            finding = _finding(model, loc, code, one["msg"], places)
            # a union tells once for each of its branches: what went deepest into the file is meant
            depth = len(places.known(loc))
            place = (finding.line, finding.column)
            if code == "missing":
                place = (finding.line, -len(found))  # several keys may be missing in one place
            if place not in found or depth > found[place][0]:
                found[place] = (depth, finding)
        return None, [finding for _, finding in found.values()]


def _finding(model: type[BaseModel], loc: tuple[str | int, ...], code: str, message: str, places: Places) -> Finding:
    if code == "extra_forbidden":
        word = str(loc[-1])
        known = _keys_at(model, loc[:-1])
        near = nearest(word, known)
        hint = f", did you mean '{near}'?" if near else f"; known keys: {', '.join(known)}" if known else ""
        return places.finding(loc, code, f"unknown key '{word}'{hint}", key=True)
    if code == "missing":
        return places.finding(loc[:-1], code, f"the key '{loc[-1]}' is missing")
    if code == "literal_error":
        choices = _choices_at(model, loc)
        return places.finding(loc, code, f"one of {', '.join(choices)} belongs here" if choices else message)
    if loc and loc[-1] == "[key]":
        return places.finding(loc[:-1], code, f"this name cannot be used as a key: {message}", key=True)
    return places.finding(loc, code, message)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation may stand for at this level."""
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if origin is Annotated:
        return _models(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [model for one in get_args(annotation) for model in _models(one)]
    return []


def _inner(annotation: Any) -> list[Any]:
    """Return the annotations of what a list or mapping holds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _inner(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [one for branch in get_args(annotation) for one in _inner(branch)]
    if origin is list:
        return [get_args(annotation)[0]]
    return [get_args(annotation)[1]] if origin is dict else []


def _annotations_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[Any]:
    here: list[Any] = [model]
    for step in loc:
        found: list[Any] = []
        for annotation in here:
            for one in _models(annotation):
                for name, info in one.model_fields.items():
                    if step == (info.alias or name):
                        found.append(info.annotation)
            found += _inner(annotation)
        # a step that leads nowhere is the schema's own: the tag of a union, the name of a branch
        here = found or here
    return here


def _keys_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    found = [
        info.alias or name
        for annotation in _annotations_at(model, loc)
        for one in _models(annotation)
        for name, info in one.model_fields.items()
    ]
    return list(dict.fromkeys(found))


def _choices_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    found = [
        str(choice)
        for annotation in _annotations_at(model, loc)
        if get_origin(annotation) is Literal
        for choice in get_args(annotation)
    ]
    return list(dict.fromkeys(found))


def json_schema() -> dict[str, Any]:
    """Return a JSON Schema of banks, for editors."""
    specs = [type_of(name).Spec for name in type_names()]
    union: Any = Union[tuple(specs)]  # noqa: UP007  # made while running
    questions = TypeAdapter(Annotated[union, Field(discriminator="type")]).json_schema(ref_template="#/$defs/{model}")
    bank = BankSpec.model_json_schema()
    definitions = questions.pop("$defs", {})
    bank["properties"]["questions"] = {"type": "array", "minItems": 1, "items": questions}
    bank["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    bank["$comment"] = f"Generated by `grader quiz schema`: what a bank of the schema {SCHEMA} may hold."
    bank["$defs"] = {**bank.get("$defs", {}), **definitions}
    return bank
