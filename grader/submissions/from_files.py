"""Makes a Submission of the bytes of a module or a notebook, from wherever they came."""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from collections.abc import Mapping, Sequence

from grader.course.assignment import Assignment
from grader.errors import SubmissionError
from grader.submissions.choosing import asked_for, shown_name, wanted
from grader.submissions.limits import MAX_MODULE_BYTES, size_text
from grader.submissions.notebook import read_cells, read_notebook, slim_notebook
from grader.submissions.submission import Chunk, Submission
from grader.submissions.text import safe_text

# Encodings of text that people write Python in. Others that Python knows (punycode, idna, unicode_escape) are
# slow on purpose-made input or say something else than the file shows.
_ENCODINGS = re.compile(
    r"utf-8(-sig)?|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|gb\d+|gbk|big5(hkscs)?|euc_\w+|shift_jis\w*|mac-\w+"
)


def submission_from_files(
    assignment: Assignment,
    student: str,
    files: Mapping[str, bytes],
    *,
    source: str = "",
    received: str | None = None,
    set_aside: Sequence[str] = (),
    problem: str | None = None,
    name: str = "",
) -> Submission:
    """Return the Submission that `files` (official name -> bytes) make.

    Of a module and a notebook the module counts, unless it is the untouched stub (or blank) and the notebook
    is not; the other one is named in `set_aside`. Bytes that cannot be text or a notebook make a `problem`,
    as does an empty mapping. Called again with a submission's own `files` (and `set_aside`, `problem`) it
    gives the same submission: that is how one is rebuilt from the gradebook. Raises nothing.
    """
    notes = list(set_aside)
    others = [f"{shown_name(other)}: not asked for" for other in files if other not in wanted(assignment)]
    taken: tuple[tuple[str, bytes], ...] = ()
    chunks: tuple[Chunk, ...] = ()
    chosen = _which(assignment, files)
    if problem is None and chosen is None:
        problem = f"no {asked_for(assignment)} was handed in"
    if chosen is not None:
        content = files[chosen]
        others += [
            f"{other}: {chosen} is taken instead" for other in wanted(assignment) if other in files and other != chosen
        ]
        try:
            if chosen == assignment.module:
                _check_size(chosen, content)
                taken = ((chosen, content),)
                chunks = (Chunk(chosen, decoded(content, chosen)),)
            else:
                # A broken notebook is kept, so that somebody can look at it, unless it is huge.
                taken = ((chosen, content),) if len(content) <= MAX_MODULE_BYTES else ()
                content = slim_notebook(content, chosen)
                cells, aside = read_notebook(content, chosen)
                taken, chunks, others = ((chosen, content),), tuple(cells), others + aside
                if not chunks:
                    raise SubmissionError("the notebook has no code", where=chosen)
        except SubmissionError as error:
            problem = problem or str(error)
    notes += [note for note in others if note not in notes]
    return Submission(
        student=student,
        assignment=assignment.id,
        chunks=chunks if problem is None else (),
        name=name,
        source=source,
        received=received,
        set_aside=tuple(notes),
        problem=problem,
        files=taken,
    )


def decoded(content: bytes, label: str) -> str:
    r"""Return the text of a Python file, its encoding told by BOM or PEP 263 line, lines ending in "\n".

    Raises SubmissionError with the line where it is not text.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        encoding = codecs.lookup(encoding).name
    except (SyntaxError, LookupError, ValueError):
        encoding = "utf-8"
        if content.isascii() or _decodes(content):
            raise SubmissionError(
                "its first lines name an encoding that does not fit",
                where=f"{label}, line 1",
                advice="Save the file as UTF-8 and remove that line",
            ) from None
    if not _ENCODINGS.fullmatch(encoding):
        raise SubmissionError(
            f"the encoding {safe_text(encoding, 30)} is not taken",
            where=f"{label}, line 1",
            advice="Save the file as UTF-8",
        )
    if (nul := content.find(b"\0")) >= 0:
        raise SubmissionError(
            "it holds a NUL byte, so it is not a text file",
            where=f"{label}, line {_line(content, nul)}",
            advice="Save the file as UTF-8 text",
        )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise SubmissionError(
            f"it holds the byte 0x{content[error.start]:02x}, which is not {encoding} text",
            where=f"{label}, line {_line(content, error.start)}",
            advice="Save the file as UTF-8",
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _which(assignment: Assignment, files: Mapping[str, bytes]) -> str | None:
    present = [name for name in wanted(assignment) if name in files]
    if len(present) < 2:
        return present[0] if present else None
    module, notebook = present
    if _is_untouched_module(assignment, files[module]) and not _is_untouched_notebook(assignment, files[notebook]):
        return notebook
    return module


def _is_untouched_module(assignment: Assignment, content: bytes) -> bool:
    return not content.strip() or _words(content) == _words(_given(assignment, assignment.module))


def _is_untouched_notebook(assignment: Assignment, content: bytes) -> bool:
    try:
        code = [cell.source.strip() for cell in read_cells(content, "") if cell.kind == "code"]
    except SubmissionError:
        return True  # nothing that could count instead of the module
    try:
        stub = [
            cell.source.strip()
            for cell in read_cells(_given(assignment, assignment.notebook), "")
            if cell.kind == "code"
        ]
    except SubmissionError:
        return not any(code)
    return not any(code) or code == stub


def _given(assignment: Assignment, name: str) -> bytes:
    try:
        return (assignment.folder / name).read_bytes()
    except OSError:
        return b""


def _words(content: bytes) -> list[bytes]:
    return [line.rstrip() for line in content.strip().splitlines()]


def _check_size(label: str, content: bytes) -> None:
    if len(content) > MAX_MODULE_BYTES:
        raise SubmissionError(
            f"{size_text(len(content))} large; at most {size_text(MAX_MODULE_BYTES)} is taken", where=label
        )


def _decodes(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
