"""Collecting from the exchange without being led astray: students make the names and the contents of its folders."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.exchange.default import ExchangeCollect

from grader.exchange.nbgrader.handed_in import STAMP
from grader.exchange.nbgrader.tidy import copy_without_links
from grader.submissions.reading import Refused, Unreadable
from grader.submissions.text import safe_text

LATE_SECONDS = 600  # a copy that is written so much after the time that it claims is reported


class CollectWithoutLinks(ExchangeCollect):  # type: ignore[misc]  # nbgrader has no types
    """Collect what each student handed in; report names, owners and times that do not fit."""

    src_records: list[dict[str, Any]]

    def _path_to_record(self, path: str) -> dict[str, Any]:
        """Return what the name of an inbound folder says; `username` is None where it is not to be collected."""
        refused = {"username": None, "filename": os.path.basename(path), "timestamp": datetime.min}
        shown = safe_text(os.path.basename(path), 200)
        try:
            record: dict[str, Any] = super()._path_to_record(path)
        except Exception:  # a student can make a folder of any name, and it must not stop the class
            self.log.error("%s is not collected: its name is none that `nbgrader submit` makes", shown)
            return refused
        student = record["username"]
        if not student or student.startswith(".") or "\0" in student:
            self.log.error("%s is not collected: `%s` is nobody's id", shown, safe_text(student, 60))
            return refused
        if os.path.islink(path) or not os.path.isdir(path):
            self.log.error("%s is not collected: it is no folder", shown)
            return refused
        owner = _owner(path)
        if self.check_owner and owner not in (None, student) and owner in self._students():
            self.log.error("%s is not collected: it was put there by the student %s", shown, owner)
            return refused
        return record

    def _students(self) -> frozenset[str]:
        if not hasattr(self, "_known_students"):
            with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
                self._known_students = frozenset(student.id for student in gradebook.students)
        return self._known_students

    def copy_files(self) -> None:
        """Copy the newest submission of each student."""
        self.src_records = [record for record in self.src_records if record["username"] is not None]
        super().copy_files()

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copy one submission; the time in its name is what it is stamped with."""
        shown = safe_text(os.path.basename(src), 200)
        try:
            notes = copy_without_links(
                Path(src),
                Path(dest),
                file_bytes=1000 * self.coursedir.max_file_size,
                all_bytes=1000 * self.coursedir.max_dir_size,
            )
        except (Refused, Unreadable) as error:
            self.log.error("%s is not collected: %s", shown, error)
            return
        for note in notes:
            self.log.warning("%s: %s", shown, note)
        claimed = super()._path_to_record(src)["timestamp"].replace(tzinfo=UTC)
        stamp = Path(dest) / STAMP
        stamp.unlink(missing_ok=True)
        stamp.write_text(f"{claimed:%Y-%m-%d %H:%M:%S.%f} UTC", encoding="ascii")
        # nobody but the system sets this time: files that appeared long after the claimed one are worth a look
        written = datetime.fromtimestamp(os.lstat(src).st_ctime, UTC)
        if (written - claimed).total_seconds() > LATE_SECONDS:
            self.log.warning(
                "%s says that it was handed in at %s, but was put there at %s: was the time forged?",
                shown,
                f"{claimed:%Y-%m-%d %H:%M:%S} UTC",
                f"{written:%Y-%m-%d %H:%M:%S} UTC",
            )


def _owner(path: str) -> str | None:
    if sys.platform == "win32":
        return None
    import pwd

    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (KeyError, OSError):
        return None
