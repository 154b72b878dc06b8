"""Make only the allowed packages importable: a finder from top-level names to their places."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType


class AllowedPackages:
    """A meta path finder that knows the allowed top-level modules and nothing else."""

    def __init__(self, places: dict[str, str]) -> None:
        self.places = places

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of an allowed top-level module, None for everything else."""
        place = self.places.get(name)
        if place is None:
            return None
        if os.path.isdir(place):
            return importlib.util.spec_from_file_location(
                name, os.path.join(place, "__init__.py"), submodule_search_locations=[place]
            )
        return importlib.util.spec_from_file_location(name, place)


def allow(places: dict[str, str]) -> None:
    """Install the finder; the standard library stays as it is, site-packages do not exist."""
    sys.path[:] = [p for p in sys.path if "site-packages" not in p and "dist-packages" not in p]
    sys.meta_path.append(AllowedPackages(places))


def warm(names: Sequence[str]) -> None:
    """Import the packages and run what is slow the first time, so that forked workers find it done."""
    for name in names:
        importlib.import_module(name)
    if "numpy" in sys.modules:
        numpy = sys.modules["numpy"]
        importlib.import_module("numpy.random")
        importlib.import_module("numpy.linalg")
        importlib.import_module("numpy.ma")  # the codec asks for it, and numpy brings it late
        numpy.linalg.norm(numpy.random.default_rng(0).normal(size=(8, 8)) @ numpy.ones((8, 8)))
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        # with more than one OpenMP thread before the fork, a forked worker can hang
        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
        layer = torch.nn.Linear(3, 2)
        optimiser = torch.optim.Adam(layer.parameters())
        layer(torch.ones(4, 3)).tanh().sum().backward()
        optimiser.step()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
    # a worker finds these loaded: unittest and pdb come late otherwise, json is needed by the wire
    for name in ("json", "inspect", "dataclasses", "collections", "functools", "itertools", "typing", "math"):
        importlib.import_module(name)
