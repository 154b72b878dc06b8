"""Drawing a question's variants from its parameters, the same ones from the same seed on every machine."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping

from grader.quiz.arithmetic import ArithmeticProblem, Value, compute
from grader.quiz.model import Variant
from grader.quiz.schema import ParameterSpec, QuestionSpec

ENUMERABLE = 20_000  # spaces of at most this many combinations are listed in full
TRIES = 20_000  # draws from larger ones before giving up
REAL_DIGITS = 3  # digits after the first of a real number, unless the author says otherwise


class Stream:
    """Numbers from a seed by SHA-256 in counter mode: they will be the same in every version of Python."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0

    def below(self, bound: int) -> int:
        """Return a whole number in 0..bound-1, all equally likely."""
        span = 1 << 64
        while True:
            digest = hashlib.sha256(self._seed + b"\0" + self._count.to_bytes(8, "big")).digest()
            self._count += 1
            value = int.from_bytes(digest[:8], "big")
            if value < span - span % bound:
                return value % bound

    def uniform(self, low: float, high: float) -> float:
        """Return a real number in low..high."""
        return low + (high - low) * self.below(1 << 53) / (1 << 53)

    def shuffled(self, things: list[int]) -> list[int]:
        """Return the things in a random order."""
        mixed = list(things)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed


def options_of(spec: ParameterSpec) -> list[Value] | None:
    """Return every value that a parameter may take, or None where they cannot be listed (a real without step)."""
    if spec.choice is not None:
        return list(spec.choice)
    if spec.whole is not None:
        return list(range(spec.whole[0], spec.whole[1] + 1, int(spec.step or 1)))
    if spec.real is not None and spec.step is not None:
        low, high = spec.real
        count = math.floor((high - low) / spec.step + 1e-9) + 1
        return [round(low + n * spec.step, 12) for n in range(min(count, ENUMERABLE + 1))]
    if spec.logspace is not None:
        low, high, count = *spec.logspace, spec.num or 4
        return [_rounded(low * (high / low) ** (n / (count - 1)), spec.digits) for n in range(count)]
    return None


def _rounded(value: float, digits: int | None) -> float:
    if digits is not None:
        return round(value, digits)
    return float(f"{value:.{REAL_DIGITS}g}")


def draw(spec: QuestionSpec, name: str) -> list[Variant]:
    """Return the variants of a question, numbered from 0 and all different; raise ArithmeticProblem.

    `name` is bank/id. Without parameters there is one variant. Where the parameters allow fewer than are asked
    for, all there are come back.
    """
    if not spec.params:
        return [Variant(0, {})]
    stream = Stream(f"{name}\0{spec.rev}\0{spec.variants.seed}")
    found: list[Variant] = []
    seen: set[str] = set()
    for values in _candidates(spec.params, stream):
        if len(found) >= spec.variants.count:
            break
        whole = with_derived(spec.params, values)
        if spec.where is not None and not compute(spec.where, whole):
            continue
        key = json.dumps(whole, sort_keys=True)
        if key not in seen:
            seen.add(key)
            found.append(Variant(len(found), whole))
    if not found:
        raise ArithmeticProblem("no values of the parameters satisfy `where`")
    return found


def with_derived(params: Mapping[str, ParameterSpec], values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values with the derived ones computed, in the order of the file; raise ArithmeticProblem."""
    whole: dict[str, Value] = {}
    for name, spec in params.items():
        whole[name] = values[name] if spec.derived is None else compute(spec.derived, whole)
    return whole


def _candidates(params: Mapping[str, ParameterSpec], stream: Stream) -> Iterator[dict[str, Value]]:
    free = {name: spec for name, spec in params.items() if spec.derived is None}
    lists = {name: options_of(spec) for name, spec in free.items()}
    size = math.prod(len(found) if found is not None else ENUMERABLE + 1 for found in lists.values())
    if size <= ENUMERABLE:
        everything = list(itertools.product(*(found or () for found in lists.values())))
        for index in stream.shuffled(list(range(len(everything)))):
            yield dict(zip(free, everything[index], strict=True))
        return
    for _ in range(TRIES):
        values: dict[str, Value] = {}
        for name, spec in free.items():
            found = lists[name]
            if found is not None:
                values[name] = found[stream.below(len(found))]
            elif spec.real is not None:
                values[name] = _rounded(stream.uniform(*spec.real), spec.digits)
        yield values
