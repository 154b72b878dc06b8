"""Copies and tidies folders that students control: links and devices never lead anywhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from grader.exchange.nbgrader.handed_in import LINK_TEXT
from grader.submissions.reading import Folder, Refused, Unreadable
from grader.submissions.text import safe_text

MAX_DEPTH = 20  # folders below the one that is copied


def without_links(folder: Path) -> list[str]:
    """Put a text in place of every link, pipe or device below a folder; return a line for each.

    nbgrader copies what a link leads to, here with the instructor's rights.
    """
    found = []
    for place, folders, files in os.walk(folder):  # links to folders are listed and not entered
        for name in (*folders, *files):
            path = Path(place) / name
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                continue
            path.unlink()
            with path.open("x", encoding="utf-8") as stream:
                stream.write(LINK_TEXT)
            found.append(
                f"{safe_text(str(path.relative_to(folder)), 100)} was a link or a device; a text stands there now"
            )
    return found


def copy_without_links(source: Path, target: Path, *, file_bytes: int, all_bytes: int) -> list[str]:
    """Copy what a student put into a folder, opening no link; return a line for whatever was not copied.

    Where a link or a device stood, a text stands in the copy. Hidden files and caches are left out. Raises Refused
    or Unreadable where the folder itself cannot be read.
    """
    notes: list[str] = []
    left = all_bytes

    def copy(folder: Folder, place: Path, depth: int) -> None:
        nonlocal left
        place.mkdir(parents=True)
        for entry in folder.entries():
            name = safe_text(entry.name, 100)
            try:
                if entry.kind == "folder" and depth < MAX_DEPTH:
                    with folder.folder(entry.name) as inner:
                        copy(inner, place / entry.name, depth + 1)
                elif entry.kind == "file":
                    with folder.file(entry.name, min(file_bytes, left)) as file:
                        content = file.read()
                    left -= len(content)
                    (place / entry.name).write_bytes(content)
                else:
                    (place / entry.name).write_text(LINK_TEXT, encoding="utf-8")
                    notes.append(f"{name}: a link, a device or too deep; not copied")
            except (Refused, Unreadable) as error:
                notes.append(f"{name}: {error}")

    with Folder(source) as opened:
        copy(opened, target, 0)
    return notes
