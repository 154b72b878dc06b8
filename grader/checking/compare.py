"""Compare what student code returned with what is right, and say in plain facts how it differs."""

from __future__ import annotations

from typing import Any

from grader.checking import evidence

TOLERANCE = 1e-4
PICTURE = "figure:"


class CheckFailed(AssertionError):
    """A check that failed for a reason that the student may read."""

    def __init__(self, fact: str, detail: str = "") -> None:
        self.fact = fact
        self.detail = detail
        super().__init__(f"{fact} [{detail}]" if detail else fact)


def observe(name: str, value: Any) -> None:
    """Record `value` as evidence for the diagnosis without judging it.

    Under a name that begins with `figure:` it is kept for the assignment's figures instead, and is no evidence.
    """
    record = evidence.current()
    if name.startswith(PICTURE):
        record.pictures[name.removeprefix(PICTURE)] = evidence.plain(value)
    else:
        record.items.append((name, evidence.plain(value)))


def note(fact: str) -> None:
    """Attach a plain fact to the running check; the student reads it if the check fails."""
    evidence.current().notes.append(fact)


def require(condition: object, fact: str) -> None:
    """Fail the check with a plain fact unless `condition` is true."""
    __tracebackhide__ = True
    if not condition:
        raise CheckFailed(fact)


def scaled_error(got: Any, want: Any, scale: float = 0.0) -> float:
    """Return max|got - want| / max(|got| + |want|), 0 where both are zero everywhere.

    `scale` is a floor for the denominator. NaN or infinity anywhere gives infinity.
    """
    import numpy as np

    g, w = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    if not g.size:
        return 0.0
    difference = float(np.abs(g - w).max())
    size = max(float((np.abs(g) + np.abs(w)).max()), scale)
    if not np.isfinite(difference) or not np.isfinite(size):
        return float("inf")
    return difference / size if size > 0 else 0.0


def close(got: Any, want: Any, tol: float = TOLERANCE, scale: float | None = None, *, name: str = "got") -> None:
    """Demand that `got` is `want` up to the scaled error `tol`, and keep `got` as evidence.

    Where `want` is an array, `got` must be an array (numpy or torch, any float width) of the same shape; where it
    is a number, `got` may be a Python float, a numpy scalar or a 0-d array. Comparison is in float64; the error is
    max|got - want| / max(|got| + |want|), with `scale` as a floor of the denominator (for answers that may be
    zero). Raises CheckFailed with a plain fact.
    """
    __tracebackhide__ = True
    import numpy as np

    record = evidence.current()
    record.items.append((name, evidence.plain(got)))
    record.judged = True
    want_array = np.asarray(want.detach().cpu() if hasattr(want, "detach") else want)
    asked = "an array" if want_array.ndim else "a number"
    if hasattr(got, "detach"):
        got = got.detach().cpu().numpy()
    if isinstance(got, np.ndarray | np.generic):
        got_array = np.asarray(got)
    elif isinstance(got, int | float) and not isinstance(got, bool):
        got_array = np.asarray(float(got))
    else:
        raise CheckFailed(f"{_kind(got)} was returned where {asked} is asked")
    if got_array.dtype.kind not in "fiu" and not (got_array.dtype.kind == want_array.dtype.kind == "b"):
        raise CheckFailed(f"numbers of type {got_array.dtype} were returned where real numbers are asked")
    if got_array.ndim == 0 and want_array.ndim:
        raise CheckFailed(f"a number was returned where an array of shape {want_array.shape} is asked")
    if got_array.shape != want_array.shape:
        raise CheckFailed(f"wrong shape: {got_array.shape} where {want_array.shape} is asked")
    g, w = got_array.astype(np.float64), want_array.astype(np.float64)
    if not np.isfinite(g).all():
        raise CheckFailed("not finite: it holds " + ("NaN" if np.isnan(g).any() else "infinity"))
    if not np.isfinite(w).all():
        raise ValueError("the expected value of this check is not finite")
    error = scaled_error(g, w, scale or 0.0)
    record.margins.append((error, tol))
    if error <= tol:
        record.judged = False
        return
    size = max(float((np.abs(g) + np.abs(w)).max()), scale or 0.0)
    wrong = np.abs(g - w) > tol * size
    telling = g[wrong]
    record.strong = bool(((telling != 0) & (np.abs(telling) != 1)).any())
    raise CheckFailed(_difference(g, w, wrong), f"scaled error {error:.3g}, tolerance {tol:g}")


def _kind(value: Any) -> str:
    from grader.sandbox.proxy import describe

    return describe(value)


def _difference(g: Any, w: Any, wrong: Any) -> str:
    """Describe how finite, right-shaped values differ, without giving the right ones away."""
    import numpy as np

    def same(a: Any, b: Any) -> bool:
        return scaled_error(a, b) < 1e-6

    if not g.any():
        return "all zeros were returned"
    if same(-g, w):
        return "the values are right but for their sign"
    if w.size > 1 and w.any():  # any single number is some multiple of the right one
        factor = float((g * w).sum() / (w * w).sum())
        told = f"{factor:.4g}"  # under a strict tolerance it may round to 1, and then says nothing
        if factor != 0 and told != "1" and np.isfinite(factor) and same(g, factor * w):
            return f"the values are off by a constant factor of {told}"
    if g.ndim == 2 and g.shape[0] == g.shape[1] and same(g.T, w):
        return "the values are right but transposed"
    share = int(wrong.sum())
    if share < g.size:
        return f"{share} of {g.size} values are wrong"
    return "the values are wrong"
