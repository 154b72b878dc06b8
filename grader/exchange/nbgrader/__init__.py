"""The nbgrader classroom: source notebooks, hardened reading, grading by our engine inside nbgrader's own commands."""

import sys

if "jsonschema" not in sys.modules:
    # Importing nbgrader imports jsonschema, which compiles 38 grammars of this package, half of the whole start, to
    # check IRIs. No schema of a notebook has any; without the package jsonschema leaves them unchecked.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
