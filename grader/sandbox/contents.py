"""What of this machine a box needs: interpreter, standard library, shared libraries, the allowed packages."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.errors import CourseError

INSIDE = Path(__file__).parent / "inside"

#: Warm state must not depend on the examiner's environment, and one thread is a rule (see inside.packages).
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "PATH": "/nonexistent",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Contents:
    """What a box is made of.

    `python` is the interpreter's real path; `stdlib` its library folders (site-packages inside them stay
    invisible); `libraries` the system's shared-library folders and files; `places` maps each importable
    top-level name to its file or folder; `extras` are folders beside packages that hold their shared libraries.
    """

    python: str
    stdlib: tuple[str, ...]
    libraries: tuple[str, ...]
    places: dict[str, str]
    extras: tuple[str, ...]
    imports: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """Return every path of the machine that must be readable in the box."""
        package_paths = sorted({*self.places.values(), *self.extras})
        return [self.python, *self.stdlib, *self.libraries, *package_paths, str(INSIDE)]


def hidden_in_stdlib(folder: str) -> list[str]:
    """Return the folders of installed packages that lie inside a standard library folder."""
    return [path for name in ("site-packages", "dist-packages") if os.path.isdir(path := os.path.join(folder, name))]


def base_python() -> str:
    """Return the interpreter that this environment was made from, symbolic links resolved."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _libraries() -> list[str]:
    candidates = ["/lib64", "/usr/lib64", "/etc/ld.so.cache"]
    for multiarch in {sysconfig.get_config_var("MULTIARCH"), os.uname().machine + "-linux-gnu"}:
        if multiarch:
            candidates += [f"/lib/{multiarch}", f"/usr/lib/{multiarch}"]
    if not any(os.path.isdir(c) for c in candidates[3:]):
        candidates += ["/lib", "/usr/lib"]  # a distribution without multiarch folders
    shared = sysconfig.get_config_var("LIBDIR")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and shared:
        name = sysconfig.get_config_var("INSTSONAME")
        candidates.append(os.path.realpath(os.path.join(shared, str(name))))
    return [c for c in dict.fromkeys(candidates) if os.path.exists(c)]


def _closure(distributions: Sequence[str]) -> list[importlib.metadata.Distribution]:
    """Return the distributions and what they require at run time, without extras."""
    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, importlib.metadata.Distribution] = {}
    queue = list(distributions)
    wanted = {_normal(d) for d in distributions}
    while queue:
        name = _normal(queue.pop())
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name in wanted:
                raise CourseError(
                    f"the exercise needs the package {name}, which is not installed",
                    advice=f"Install it: pip install {name}",
                ) from None
            continue
        found[name] = distribution
        for text in distribution.requires or []:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    return [found[name] for name in sorted(found)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def contents(packages: tuple[str, ...]) -> Contents:
    """Return what a box for these distributions is made of; raise CourseError where one is not installed."""
    places: dict[str, str] = {}
    extras: set[str] = set()
    for distribution in _closure(packages):
        tops = {file.parts[0] for file in distribution.files or () if file.parts and file.parts[0] != ".."}
        for top in tops:
            path = os.path.realpath(str(distribution.locate_file(top)))
            if top.endswith((".dist-info", ".egg-info", ".pth", ".data")) or top == "__pycache__":
                continue
            if os.path.isdir(path):
                if os.path.exists(os.path.join(path, "__init__.py")):
                    places[top] = path
                else:
                    extras.add(path)  # numpy.libs and its like
            elif top.endswith(".py"):
                places[top.removesuffix(".py")] = path
            elif ".so" in top:
                places[top.split(".", 1)[0]] = path
    return Contents(
        python=base_python(),
        # the folder that the running os.py lies in is the standard library of every kind of installation
        stdlib=(os.path.dirname(os.path.realpath(os.__file__)),),
        libraries=tuple(_libraries()) if sys.platform == "linux" else (),
        places=places,
        extras=tuple(sorted(extras)),
        imports=tuple(_import_names(packages, places)),
    )


def _import_names(packages: Sequence[str], places: dict[str, str]) -> list[str]:
    return [name for p in packages if (name := p.replace("-", "_")) in places]
