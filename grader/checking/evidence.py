"""What a check looked at: the ordered values that it compared or observed, kept for the diagnosis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LOOSE = 1e-4  # two float32 computations of the same thing
TIGHT = 1e-6  # two float64 computations of the same thing
ROOM = 4 << 20  # bytes that a check's evidence may take: a student decides how much comes back
PER_VALUE = 1024  # bytes that each value counts for, however small
LONG_TEXT = 1000


@dataclass
class Record:
    """The evidence of one running check.

    `items` are (name, value) in order; `margins` are (error, tolerance) of each comparison; `strong` tells that a
    comparison failed on a finite, right-shaped value other than 0, 1 or -1; `pictures` are values that figures are
    drawn from, which take no part in the diagnosis.
    """

    items: list[tuple[str, Any]] = field(default_factory=list)
    margins: list[tuple[float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: dict[str, Any] = field(default_factory=dict)
    strong: bool = False
    judged: bool = False  # a failing comparison has decided on `strong`
    room: int = ROOM


_current: Record | None = None


def begin() -> Record:
    """Start the record of a check and make it the current one."""
    global _current
    _current = Record()
    return _current


def current() -> Record:
    """Return the running check's record; outside a check, a fresh one that nobody reads."""
    return _current if _current is not None else Record()


def plain(value: Any) -> Any:
    """Return `value` with tensors as arrays and without anything that cannot be kept.

    What has no room in the running check's record becomes NaN, which agrees with nothing.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    record = current()
    record.room -= PER_VALUE + int(getattr(value, "nbytes", 0))
    if record.room < 0 or (isinstance(value, str) and len(value) > LONG_TEXT):
        return float("nan")
    if isinstance(value, dict | list | tuple) and len(value) * PER_VALUE > record.room:
        return float("nan")
    if isinstance(value, dict):
        return {str(key)[:LONG_TEXT]: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "dtype"):
        return value.copy() if hasattr(value, "copy") else value
    if value is None or isinstance(value, bool | int | float | complex | str):
        return value
    return f"<{type(value).__name__}>"


def _scalar_like(value: Any) -> bool:
    return isinstance(value, int | float | complex) or hasattr(value, "dtype")


def agree(a: Any, b: Any) -> bool:
    """Tell whether two pieces of evidence are the same answer: same structure, shapes, and numbers.

    Numbers agree within 1e-6 of the scaled error max|a-b| / max(|a|+|b|), within 1e-4 where either is float32.
    NaN agrees with nothing.
    """
    import numpy as np

    if isinstance(a, dict) or isinstance(b, dict):
        return (
            isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys() and all(agree(a[k], b[k]) for k in a)
        )
    if isinstance(a, list | tuple) or isinstance(b, list | tuple):
        return (
            isinstance(a, list | tuple)
            and isinstance(b, list | tuple)
            and len(a) == len(b)
            and all(agree(x, y) for x, y in zip(a, b, strict=True))
        )
    if _scalar_like(a) and _scalar_like(b):
        x, y = np.asarray(a), np.asarray(b)
        if x.shape != y.shape or x.dtype.kind not in "fiubc" or y.dtype.kind not in "fiubc":
            return False
        single = any(z.dtype.kind in "fc" and z.dtype.itemsize <= (4 if z.dtype.kind == "f" else 8) for z in (x, y))
        if not x.size:
            return True
        x, y = x.astype(complex), y.astype(complex)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return False
        scale = float((np.abs(x) + np.abs(y)).max())
        if not np.isfinite(scale):  # too large to be held against each other
            return False
        return scale == 0.0 or float(np.abs(x - y).max()) <= (LOOSE if single else TIGHT) * scale
    return type(a) is type(b) and bool(a == b)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def has_telling_number(items: list[tuple[str, Any]]) -> bool:
    """Tell whether any observed number is finite and other than 0, 1 and -1."""
    import numpy as np

    for leaf in _leaves([value for _, value in items]):
        if _scalar_like(leaf) and not isinstance(leaf, bool):
            x = np.asarray(leaf)
            if x.dtype.kind in "fiu" and x.size:
                x = x.astype(float)
                if bool((np.isfinite(x) & (x != 0) & (np.abs(x) != 1)).any()):
                    return True
    return False


def as_lists(value: Any) -> Any:
    """Return recorded values with arrays as nested lists, for JSON."""
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_lists(item) for item in value]
    if hasattr(value, "tolist"):
        value = value.tolist()
        return as_lists(value) if isinstance(value, list) else value
    return str(value) if isinstance(value, complex) else value
