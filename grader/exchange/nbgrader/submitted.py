"""Whose folders lie in nbgrader's `submitted`."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Any

from grader.errors import GraderError


def submitted_folders(directory: Any, assignment: str) -> dict[str, Path]:
    """Return `submitted/<student>/<assignment>` by nbgrader's id of the student, sorted by folder; raise GraderError.

    `directory` is nbgrader's CourseDirectory; where it names students, only theirs are returned.
    """
    found = glob.glob(directory.format_path(directory.submitted_directory, directory.student_id, assignment))
    owner = directory.format_path(directory.submitted_directory, "(?P<student_id>.*)", assignment, escape=True)
    folders = {}
    for folder in sorted(found):
        match = re.fullmatch(owner, folder)
        if match is None:
            raise GraderError(f"whose folder is {folder}?", advice="See CourseDirectory.directory_structure")
        folders[match["student_id"]] = Path(folder)
    return folders
