"""What an assignment is: the frozen form of `assignment.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: What a function hands back. A leaf is "array", "number", "opaque" or "any"; a tuple asks for a tuple or
#: list of that length; a mapping asks for a dict with at least these keys.
ReturnSpec = "str | tuple[ReturnSpec, ...] | Mapping[str, ReturnSpec]"


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Times in seconds, sizes in MiB."""

    call_cpu_seconds: float = 2.0
    call_wall_seconds: float = 10.0
    training_cpu_seconds: float = 0.0  # for one call in a check that trains, by `student.limit`
    cpu_seconds: float = 20.0
    wall_seconds: float = 90.0
    memory_mb: int = 1024
    output_mb: float = 4.0
    reply_mb: float = 64.0
    callbacks: int = 5000
    callback_depth: int = 32
    scratch_mb: int = 0  # size of a private /tmp; 0 means that nothing is writable


@dataclass(frozen=True)
class Part:
    """A section of the assignment: its own points, handout section and notebook cells."""

    id: str
    title: str
    points: float
    names: Mapping[str, object] = field(default_factory=dict)  # top-level name -> ReturnSpec, or "class"


@dataclass(frozen=True)
class Assignment:
    """An assignment as its `assignment.yaml` describes it.

    `folder` is what a student gets (assignments/<id>); `secret` is solutions/<id>, or None where the
    course was installed without it (a student's machine).
    """

    id: str
    title: str
    module: str  # file name that a student hands in, "<id>.py"
    packages: tuple[str, ...]
    forbidden: tuple[str, ...]
    limits: Limits
    parts: tuple[Part, ...]
    folder: Path
    secret: Path | None

    @property
    def points(self) -> float:
        """Return the points of all parts together."""
        return sum(part.points for part in self.parts)

    @property
    def names(self) -> dict[str, object]:
        """Return every declared top-level name with its return spec, in handout order."""
        return {name: spec for part in self.parts for name, spec in part.names.items()}

    @property
    def notebook(self) -> str:
        """Return the file name of the notebook form."""
        return Path(self.module).stem + ".ipynb"
