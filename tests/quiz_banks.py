"""What the tests of quizzes share: banks written in a few lines, and a course folder to put them in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from grader.quiz.findings import Finding
from grader.quiz.loading import parse_bank
from grader.quiz.model import Bank, Item, Question

ROOT = Path(__file__).resolve().parent.parent

BASE: dict[str, Any] = {
    "tags": ["lstm"],
    "level": "apply",
    "difficulty": 2,
    "source": ["000/QZ01"],
    "prompt": "What is asked?",
    "explain": "Because it is so.",
}


class _Plain(yaml.SafeDumper):
    """Writes everything out: banks know no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(questions: list[dict[str, Any]], bank_id: str = "bank") -> str:
    """Return the text of a bank of these questions; what every question needs is added where it is missing."""
    whole = [{"id": f"q{n}", **BASE, **one} for n, one in enumerate(copy.deepcopy(questions), 1)]
    content = {"schema": "quizbank/1", "id": bank_id, "title": "A bank", "questions": whole}
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=1000)


def read(*questions: dict[str, Any]) -> tuple[Bank | None, list[Finding]]:
    """Return a bank of these questions and its findings."""
    return parse_bank(written(list(questions)), Path("bank.yaml"))


def question(**keys: Any) -> Question:
    """Return one question; fail where it has any finding."""
    bank, findings = read(keys)
    assert findings == [], [str(finding) for finding in findings]
    assert bank is not None
    return bank.questions[0]


def item(number: int = 0, shuffle: int = 0, **keys: Any) -> Item:
    """Return one variant of one question."""
    one = question(**keys)
    return Item(one, one.variants[number], shuffle)


def course_with(tmp_path: Path, text: str, oracles: str = "", name: str = "bank") -> Any:
    """Return a course that holds a bank, its oracles, and an assignment, without which it would be none."""
    from grader.course.catalog import Course

    folder = tmp_path / "assignments" / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "assignment.yaml").write_text("schema: assignment/1\n")
    (tmp_path / "assignments" / "misconceptions.yaml").write_text(
        "schema: misconceptions/1\nmisconceptions:\n  counting/one-gate:\n    belief: One.\n    read: here\n"
    )
    (tmp_path / "quizzes" / "oracles").mkdir(parents=True, exist_ok=True)
    (tmp_path / "quizzes" / f"{name}.yaml").write_text(text, encoding="utf-8")
    if oracles:
        (tmp_path / "quizzes" / "oracles" / "made.py").write_text(oracles)
    return Course(tmp_path, tmp_path / ".grader")
