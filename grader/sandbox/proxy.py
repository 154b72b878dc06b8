"""`student`: what a check sees of a submission. Calls go out, plain data that fits its return spec comes back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from grader.sandbox.faults import StudentFault
from grader.sandbox.session import Handle, Session, known_exception


def describe(value: Any) -> str:
    """Return a few words on what kind of value this is; never its numbers, nor a name that the student gave."""
    if value is None:
        return "None"
    if isinstance(value, Handle):
        return "an object that is not plain data"
    shape = getattr(value, "shape", None)
    if shape is not None and shape != ():
        return f"an array of shape {tuple(shape)}"
    if isinstance(value, bool):
        return "a bool"
    if isinstance(value, int | float) or shape == ():
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return f"a dict of {len(value)}" if value else "an empty dict"
    return "an object that is not plain data"


def describe_spec(spec: Any) -> str:
    """Return in words what a return spec asks for."""
    if isinstance(spec, str):
        return {"array": "an array", "number": "a number", "opaque": "anything", "any": "anything"}.get(spec, spec)
    if isinstance(spec, Mapping):
        return "a dict with the keys " + ", ".join(repr(k) for k in spec)
    return "(" + ", ".join(_short(s) for s in spec) + ")"


def _short(spec: Any) -> str:
    if spec == "opaque":
        return "cache"
    return spec if isinstance(spec, str) else describe_spec(spec)


def fit(value: Any, spec: Any, name: str) -> Any:
    """Return `value` in the form that `spec` asks for; raise StudentFault with a plain fact where it does not fit."""

    def misfit() -> StudentFault:
        return StudentFault("failed", f"{name} returned {describe(value)} where {describe_spec(spec)} is asked")

    if spec is None or spec in ("any", "opaque"):
        return value
    if spec == "array":
        dtype = getattr(value, "dtype", None)
        if dtype is None or isinstance(value, Handle):
            raise misfit()
        return value
    if spec == "number":
        if isinstance(value, bool) or value is None or isinstance(value, str | list | tuple | dict | Handle):
            raise misfit()
        shape = getattr(value, "shape", ())
        if (
            tuple(shape) != ()
            or isinstance(value, complex)
            or getattr(getattr(value, "dtype", None), "kind", "f") in "bc"
        ):
            raise misfit()
        try:
            return float(value)
        except OverflowError:  # an integer beyond every float
            return math.inf
        except (TypeError, ValueError):
            raise misfit() from None
    if isinstance(spec, Mapping):
        if isinstance(value, tuple | list) and len(value) == len(spec):
            value = dict(zip(spec, value, strict=True))
        if not isinstance(value, dict):
            raise misfit()
        missing = [key for key in spec if key not in value]
        if missing:
            raise StudentFault("failed", f"{name} returned no {', '.join(map(repr, missing))}")
        return {key: fit(value[key], spec[key], f"{name}[{key!r}]") for key in spec}
    if isinstance(value, dict) or not hasattr(value, "__len__") or not isinstance(value, tuple | list):
        record = getattr(value, "fields", None)  # a namedtuple arrives as a record
        if not isinstance(record, tuple) or len(record) != len(spec):
            raise misfit()
        value = tuple(item for _, item in record)
    if len(value) != len(spec):
        raise misfit()
    return tuple(fit(v, s, f"{name}[{i}]") for i, (v, s) in enumerate(zip(value, spec, strict=True)))


def wire_spec(spec: Any) -> Any:
    """Return a return spec as the worker reads it: what stays there is marked opaque."""
    if isinstance(spec, Mapping):
        return {key: wire_spec(value) for key, value in spec.items()}
    if isinstance(spec, tuple | list):
        return [wire_spec(value) for value in spec]
    return "opaque" if spec == "opaque" else None


class Function:
    """One declared function of the submission."""

    def __init__(self, student: Student, name: str, spec: Any) -> None:
        self._student = student
        self.__name__ = name
        self._spec = spec
        self._wire = wire_spec(spec)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in the worker; return plain data that fits the spec."""
        session = self._student._ready(self.__name__)
        return fit(session.request("call", self.__name__, args, kwargs, self._wire, False), self._spec, self.__name__)

    def returning_args(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Call it and bring back, besides the result, the arguments as they are in the worker afterwards."""
        session = self._student._ready(self.__name__)
        result, after = session.call_returning_args(self.__name__, args, kwargs, self._wire)
        return fit(result, self._spec, self.__name__), after


class Student:
    """A proxy that knows the names declared in assignment.yaml and refuses to be written to."""

    _session: Session
    _names: Mapping[str, Any]

    def __init__(self, session: Session, names: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_names", names)

    def _ready(self, name: str) -> Session:
        """Return the session with the submission loaded and `name` defined in it; raise StudentFault."""
        session = self._session
        session.load()
        if name not in session.defined:
            failures = session.load_failures
            if failures:
                first = failures[0]
                label, line = session.place(first.get("label"), first.get("line"))
                where = f" at {label}, line {line}" if line else ""
                raise StudentFault(
                    "out of memory" if first.get("kind") == "out of memory" else "raised",
                    f"{name} is not there: loading the file raised {known_exception(str(first.get('type')))}{where}",
                    str(first.get("message", ""))[:400],
                )
            raise StudentFault("not attempted", f"{name} is not defined")
        return session

    def __getattr__(self, name: str) -> Function:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"{name} is not declared in assignment.yaml")
        return Function(self, name, self._names[name] if self._names[name] != "class" else "opaque")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("`student` is a proxy: nothing can be set on it")

    def __dir__(self) -> list[str]:
        return sorted(self._names)

    def returning_args(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Call `name` and return (result, arguments after the call)."""
        return getattr(self, name).returning_args(*args, **kwargs)  # type: ignore[no-any-return]

    def limit(self, *, cpu_seconds: float) -> contextlib.AbstractContextManager[None]:
        """Set the CPU limit of each call in a `with` block: lower, or up to the assignment's limit for training."""
        return self._session.limit(cpu_seconds=cpu_seconds)

    def value(self, name: str) -> Any:
        """Read a declared name that is a plain value."""
        return self._ready(name).request("attribute", None, name, None)

    def grad(
        self,
        call: str | Handle,
        *args: Any,
        wrt: Sequence[int | str],
        module: Handle | None = None,
        path: Sequence[int | str] = (),
        upstream: Any = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[Any, list[Any]]:
        """Run `call` under autograd in the worker and return (value, gradients).

        `wrt` names positional arguments by index and parameters of `module` (or of the called handle) by name;
        a gradient without a path is None. `path` picks the tensor out of a structured result; the scalar is
        sum(result * upstream), or sum(result).
        """
        session = self._ready(call) if isinstance(call, str) else self._session
        got = session.request("grad", call, args, dict(kwargs or {}), list(wrt), module, list(path), upstream)
        if not isinstance(got, tuple) or len(got) != 2 or not isinstance(got[1], list) or len(got[1]) != len(wrt):
            raise StudentFault("failed", "no gradient could be computed")
        return got[0], got[1]
