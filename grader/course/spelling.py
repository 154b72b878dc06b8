"""Advice for a word that nobody knows: the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like `word`, or None if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


def suggestion(word: str, known: Iterable[str], kind: str = "names") -> str:
    """Return advice that names the nearest known word, if one is near, and lists the known ones."""
    choices = list(known)
    listed = f"Known {kind}: {', '.join(choices)}." if choices else f"There are no {kind} yet."
    near = nearest(word, choices)
    return f"Did you mean `{near}`? {listed}" if near is not None else listed
