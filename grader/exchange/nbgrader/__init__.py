"""The nbgrader classroom: source notebooks, hardened reading, grading by our engine inside nbgrader's own commands."""
