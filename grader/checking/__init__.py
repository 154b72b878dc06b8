"""What a suite uses: `close`, `observe`, `note` and `require`, beside the `student`, `rng` and `seed` fixtures."""

from grader.checking.compare import CheckFailed, close, note, observe, require

__all__ = ["CheckFailed", "close", "note", "observe", "require"]
