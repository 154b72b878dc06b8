"""Reads a CSV table that a person filled in: named columns, every row with its place in the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader.errors import SubmissionError
from grader.submissions.limits import MAX_ROSTER_BYTES
from grader.submissions.reading import OpenFile, Refused, Unreadable
from grader.submissions.text import safe_text

_DELIMITERS = ",;\t"


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (file:line, column -> text) of every row; other columns are passed over, empty rows too.

    The file is UTF-8 CSV (comma, semicolon or tab) whose first row names the columns. Raises SubmissionError where it
    cannot be read, or a column is missing.
    """
    try:
        with OpenFile(path, MAX_ROSTER_BYTES) as file:
            text = file.read().decode("utf-8-sig")
    except (Refused, Unreadable) as error:
        raise SubmissionError(f"the table cannot be read: {error}", where=path) from None
    except UnicodeDecodeError:
        raise SubmissionError("not UTF-8 text", where=path, advice='Save it as "CSV UTF-8".') from None
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    places: dict[str, int] | None = None
    try:
        for row in reader:
            where = f"{path}:{reader.line_num}"
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if places is None:
                names = [cell.lower() for cell in cells]
                lacking = [name for name in columns if name not in names]
                if lacking:
                    shown = safe_text(", ".join(cells), 80)
                    raise SubmissionError(f"no column {', '.join(lacking)} among: {shown}", where=where)
                places = {name: names.index(name) for name in columns}
                continue
            yield where, {name: cells[at] if at < len(cells) else "" for name, at in places.items()}
    except csv.Error as error:
        raise SubmissionError(f"not CSV ({error})", where=f"{path}:{reader.line_num}") from None
    if places is None:
        raise SubmissionError("the table is empty", where=path, advice=f"Its columns: {', '.join(columns)}")
