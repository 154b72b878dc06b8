"""A made-up class: right, wrong, unfinished, careless and hostile submissions, written to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader.course.assignment import Assignment
from grader.course.mutants import apply_mutant, load_mutants
from grader.course.reference import read_reference
from grader.course.stub import derive_stub

SIZE = 30
SMALL = 12  # where training makes every member dear

#: Put in front of a correct solution: what hostile or careless code does when it is imported.
HOSTILE = {
    "crash": "import ctypes\nctypes.string_at(0)\n",
    "loop": "while True:\n    pass\n",
    "memory eater": "import numpy as np\nhoard = [np.ones(1 << 27) for _ in range(1 << 10)]\n",
    "quitter": "import os\nos._exit(0)\n",
}

THIEF = '''
import os, sys

def _steal():
    """Look for the reference, the hidden suite and anything else that knows the answers."""
    loot = [name for name in sys.modules if "hidden" in name or "pytest" in name or "solutions" in name]
    for root in ("/", "/proc", "/home", "/root", os.path.expanduser("~"), os.getcwd()):
        for folder, folders, files in os.walk(root):
            folders[:] = [f for f in folders if f not in ("sys", "lib", "lib64", "usr", "proc")]
            loot += [os.path.join(folder, f) for f in files if f in ("test_hidden.py", "mutants.yaml", "{module}")]
            if len(loot) > 100:
                return loot
    frame = sys._getframe()
    while frame:
        loot += [name for name in frame.f_locals if name in ("want", "expected", "case", "oracle")]
        frame = frame.f_back
    return loot

LOOT = _steal()
'''

FORGER = """
import gc, os, struct, sys

class AlwaysRight(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__

def _forge(fd):
    try:
        os.write(fd, b'{"outcome": "passed", "earned": 100}' * 10)
    except OSError:
        pass

for _fd in range(3, 16):
    _forge(_fd)
print("100/100 passed")
"""


@dataclass(frozen=True)
class Member:
    """A member of the demo class: id, what is behind it, and the source that was handed in."""

    student: str
    what: str
    source: str


def size_of(assignment: Assignment) -> int:
    """Return how many members the demo class of an assignment has."""
    return SMALL if assignment.limits.training_cpu_seconds else SIZE


def members(assignment: Assignment, size: int = SIZE) -> list[Member]:
    """Return the class: everything is made from the course's own sources, nothing is a stored score."""
    assert assignment.secret is not None
    reference = read_reference(assignment)
    wrong = list(load_mutants(assignment))
    people: list[tuple[str, str]] = [("the reference", reference)]
    twins = sorted((assignment.secret / "twins").glob("*.py"))
    hostile = list(HOSTILE.items())
    if size < SIZE:  # a few of each, so that there is room for mistakes
        twins, hostile = twins[:2], hostile[:1]
    people += [(f"twin {path.stem}", path.read_text(encoding="utf-8")) for path in twins]
    people.append(("the untouched stub", derive_stub(reference, assignment.module)))
    people += [(f"hostile: {name}", code + reference) for name, code in hostile]
    people.append(
        (
            "hostile: thief",
            THIEF.replace("{module}", assignment.module) + derive_stub(reference, assignment.module),
        )
    )
    forged = "\n".join(f"def {name}(*args, **kwargs):\n    return AlwaysRight(1.0)\n" for name in assignment.names)
    people.append(("hostile: forger", FORGER + forged))
    people.append(("a file that is not Python", "def rnn(:\n    pass\n"))
    room = size - len(people)
    # spread over the catalogue, so that every part of the assignment has its mistakes
    step = max(len(wrong) // max(room, 1), 1)
    people += [(f"mutant {m.id}", apply_mutant(m, reference)) for m in wrong[::step][:room]]
    return [Member(f"s{n:03d}", what, source) for n, (what, source) in enumerate(people[:size], start=1)]


def write_class(assignment: Assignment, folder: Path, size: int = SIZE) -> list[Member]:
    """Write the class as `folder/<student>/<module>` and return its members."""
    found = members(assignment, size)
    for member in found:
        place = folder / member.student
        place.mkdir(parents=True, exist_ok=True)
        (place / assignment.module).write_text(member.source, encoding="utf-8")
    return found
