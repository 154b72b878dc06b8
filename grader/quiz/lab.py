"""Where keys are recomputed: oracle files, the sandbox they run in, and what each call needs to be told."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.course.files import read_text
from grader.course.spelling import suggestion
from grader.errors import CourseError
from grader.quiz.arithmetic import ArithmeticProblem, compute
from grader.quiz.model import Item
from grader.quiz.running import CodeBox, OracleFailed
from grader.quiz.schema import OracleSpec

#: how near an oracle must come where it does not say itself
CLOSE = 1e-9


class NotInstalled(Exception):
    """An oracle that cannot run here because a package is missing."""


@dataclass
class Lab:
    """What witnesses of one bank work with: a box, and the folder of the bank's oracles."""

    box: CodeBox
    folder: Path
    _sources: dict[str, str] = field(default_factory=dict)

    def compute(self, oracle: OracleSpec, item: Item, given: Mapping[str, Any] | None = None) -> Any:
        """Return what a `call` oracle says for an item's parameters, and for `given` besides.

        Raises OracleFailed and NotInstalled.
        """
        file, function, source = self._function(oracle.name)
        arguments, whole = self._arguments(oracle, item, given)
        try:
            return self.box.oracle(source, file, function, arguments, packages=_packages(oracle), whole=whole)
        except OracleFailed as failure:
            raise OracleFailed(f"the oracle {oracle.name} could not be run: {failure}") from None

    def gradient(self, oracle: OracleSpec, given: Mapping[str, Any]) -> tuple[Any, float]:
        """Return (gradient, relative error) of a `gradient` oracle; raise OracleFailed, NotInstalled."""
        file, function, source = self._function(oracle.name)
        wrt = oracle.wrt or ""
        if wrt not in given:
            raise OracleFailed(f"the oracle {oracle.name} is to be differentiated by `{wrt}`, no symbol here")
        try:
            return self.box.gradient(source, file, function, given, wrt, packages=_packages(oracle))
        except OracleFailed as failure:
            raise OracleFailed(f"the oracle {oracle.name} could not be run: {failure}") from None

    def source(self, file: str) -> str:
        """Return the text of oracles/<file>; raise OracleFailed where there is none."""
        if file not in self._sources:
            try:
                self._sources[file] = read_text(self.folder / file)
            except CourseError:
                known = sorted(path.name for path in self.folder.glob("[!_.]*.py"))
                advice = suggestion(file, known, "oracle files")
                raise OracleFailed(f"there is no oracle file {self.folder.name}/{file}. {advice}") from None
        return self._sources[file]

    def function_source(self, name: str) -> str:
        """Return the text of one oracle function; raise OracleFailed where there is none."""
        import ast

        _, function, source = self._function(name)
        found = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == function)
        return ast.get_source_segment(source, found) or ""

    def _function(self, name: str) -> tuple[str, str, str]:
        file, _, function = name.partition(":")
        source = self.source(f"{file}.py")
        known = _functions(source, f"{file}.py")
        if function not in known:
            raise OracleFailed(f"{file}.py has no function `{function}`. {suggestion(function, known, 'functions')}")
        return f"{file}.py", function, source

    @staticmethod
    def _arguments(oracle: OracleSpec, item: Item, given: Mapping[str, Any] | None) -> tuple[dict[str, Any], bool]:
        values = {**item.variant.values, **(given or {})}
        if oracle.args is None:
            return values, False
        try:
            return {name: _argument(text, values) for name, text in oracle.args.items()}, True
        except ArithmeticProblem as problem:
            raise OracleFailed(f"the arguments of {oracle.name} cannot be computed: {problem}") from None


def _argument(text: Any, values: Mapping[str, Any]) -> Any:
    # an array of a probe is handed on as it is, not computed with
    return values[text] if isinstance(text, str) and text in values else compute(text, values)


def _functions(source: str, file: str) -> list[str]:
    import ast

    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise OracleFailed(f"{file}, line {error.lineno}: {error.msg}") from None
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


def _packages(oracle: OracleSpec) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(["numpy", *oracle.requires]))
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise NotInstalled(f"the oracle {oracle.name} needs {', '.join(missing)}, which is not installed here")
    return wanted


def far_apart(got: Any, want: Any, rel: float) -> bool:
    """Say whether an oracle's number or array differs from the key by more than `rel` of the larger one."""
    import numpy as np

    try:
        x = np.asarray(got, dtype=np.float64)
        y = np.asarray(want, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return True
    if x.size != y.size or not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        return True
    if not x.size:
        return False
    x, y = x.reshape(-1), y.reshape(-1)
    scale = max(float(np.max(np.abs(x))), float(np.max(np.abs(y))))
    return float(np.max(np.abs(x - y))) > rel * scale
