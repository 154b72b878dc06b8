"""The mutants' evidence on disk: one .npz file without pickles, holding a JSON index and raw buffers."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grader.checking.diagnosis import Evidence, Fingerprint
from grader.errors import CourseError
from grader.sandbox.inside.codec import Decoder, Encoder, WireError

VERSION = 1


def _refuse(value: Any) -> list[Any]:
    raise TypeError(f"evidence of type {type(value).__name__}")


def pack_evidence(value: Any) -> tuple[Any, list[bytes]]:
    """Return evidence as a JSON tree and its buffers."""
    encoder = Encoder(_refuse)
    tree = encoder.tree(value)
    return tree, [bytes(b) for b in encoder.buffers]


def to_bytes(fingerprints: Sequence[Fingerprint], about: dict[str, Any]) -> bytes:
    """Return the file's content; the same input gives the same bytes. `about` says what it belongs to."""
    import numpy as np

    encoder = Encoder(_refuse)
    index = {
        "version": VERSION,
        "about": about,
        "mutants": [
            {
                "id": f.mutant,
                "misconception": f.misconception,
                "hint": f.hint,
                "checks": {
                    check: {
                        "strong": evidence.strong,
                        "items": [[name, encoder.tree(value)] for name, value in evidence.items],
                    }
                    for check, evidence in sorted(f.failing.items())
                },
            }
            for f in fingerprints
        ],
    }
    buffers = [bytes(b) for b in encoder.buffers]
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        index=np.frombuffer(json.dumps(index, sort_keys=True).encode(), dtype=np.uint8),
        sizes=np.asarray([len(b) for b in buffers], dtype="<i8"),
        data=np.frombuffer(b"".join(buffers), dtype=np.uint8),
    )
    return stream.getvalue()


def from_bytes(content: bytes, path: Path) -> tuple[list[Fingerprint], dict[str, Any]]:
    """Read what `to_bytes` wrote; raise CourseError where the file is damaged."""
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            index = json.loads(file["index"].tobytes())
            sizes, data = file["sizes"].tolist(), file["data"].tobytes()
        buffers, start = [], 0
        for size in sizes:
            buffers.append(memoryview(data)[start : start + size])
            start += size
        if index["version"] != VERSION:
            raise ValueError("another version")
        decoder = Decoder(buffers)
        fingerprints = [
            Fingerprint(
                m["id"],
                m["misconception"],
                m["hint"],
                {
                    check: Evidence([(name, decoder.value(tree)) for name, tree in e["items"]], e["strong"])
                    for check, e in m["checks"].items()
                },
            )
            for m in index["mutants"]
        ]
        return fingerprints, index["about"]
    except (ValueError, KeyError, TypeError, OSError, WireError, zipfile.BadZipFile, EOFError):
        raise CourseError(
            "the recorded answers of the mutants cannot be read",
            where=path,
            advice="Delete the file; it is made anew when it is needed",
        ) from None


def write(path: Path, content: bytes) -> None:
    """Write a catalogue whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
