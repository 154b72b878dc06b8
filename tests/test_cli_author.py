"""What an author meets: new, build, build --check, and a verify that finds what is wrong with a suite."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from grader.checking.catalogue import from_bytes

from .quiz_banks import written


def snapshot(root: Path) -> dict[str, bytes]:
    """Return every file of the course but its state, by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".grader" not in path.parts and "__pycache__" not in path.parts
    }


@pytest.fixture
def verify(inside, tiny):
    """Run `grader verify leaky` on one seed, as far as nothing else is said."""

    def run(*arguments):
        return inside("verify", "leaky", *(arguments or ("--seeds", "1")))

    return run


def findings(told) -> list[str]:
    """Return what was found; nothing may have gone wrong otherwise."""
    assert "Traceback" not in told.out + told.err, told.err
    assert not [line for line in told.err.splitlines() if line.startswith("Error:")], told.err
    found = [line.strip().removeprefix("FOUND ") for line in told.out.splitlines() if line.strip().startswith("FOUND ")]
    assert told.code == (1 if found else 0)
    return found


# --- new -------------------------------------------------------------------------------------------------------------


def test_new_assignment_is_complete_and_sound(inside, tiny):
    """What `new` lays is listed, up to date after `build`, and passes `verify` as it is."""
    told = inside("new", "assignment", "gru_words", "--title", "A GRU that counts words")
    assert told.code == 0, told.err
    *paths, advice = told.out.splitlines()
    assert all(Path(path).is_file() for path in paths)
    assert tiny.root / "solutions" / "gru_words" / "test_hidden.py" in map(Path, paths)
    assert advice == "Next: grader build gru_words && grader verify gru_words"
    assert "gru_words  A GRU that counts words" in inside("list").out
    assert inside("build", "gru_words").code == 0
    assert inside("build", "gru_words", "--check").code == 0
    assert findings(inside("verify", "gru_words", "--seeds", "1")) == []


def test_new_assignment_in_an_empty_folder_that_is_named(inside, tmp_path):
    """The first assignment of a course: there is nothing yet by which a course would be found."""
    empty = tmp_path / "mine"
    empty.mkdir()
    done = inside("--course", str(empty), "new", "assignment", "first")
    assert done.code == 0, done.err
    assert inside("--course", str(empty), "build").code == 0
    listed = inside("--course", str(empty), "list")
    assert listed.out.startswith("first"), listed.out
    missing = inside("--course", str(tmp_path / "nowhere"), "new", "assignment", "first")
    assert missing.code == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("leaky", "this is there already"),
        ("numpy", "the name of a module"),
        ("Gru-Words", "cannot be the id of an assignment"),
        ("../gru", "cannot be the id of an assignment"),
        ("class", "it is a word of Python"),
    ],
)
def test_new_refuses_a_bad_id_and_leaves_nothing(inside, tiny, name, words):
    """An id that is taken or cannot be one is refused in a line; the course stays as it is."""
    before = snapshot(tiny.root)
    told = inside("new", "assignment", name)
    assert told.code == 1
    assert words in told.error
    assert snapshot(tiny.root) == before


# --- build -----------------------------------------------------------------------------------------------------------


def test_build_of_what_is_up_to_date(inside, tiny):
    """Nothing is written where nothing has changed, not even by another build."""
    before = snapshot(tiny.root)
    for arguments in (["build"], ["build", "--check"], ["build", "leaky"]):
        told = inside(*arguments)
        assert told.code == 0, told.err
        assert told.out == "leaky: up to date\n"
    assert snapshot(tiny.root) == before


def test_build_check_names_what_is_stale_and_writes_nothing(inside, tiny):
    """A generated file that was edited by hand is stale: named with the command that mends it, exit code 1."""
    stub = tiny.folder / "leaky.py"
    stub.write_text(stub.read_text().replace('"""Return the state after one step:', '"""Return the single step:'))
    before = snapshot(tiny.root)
    told = inside("build", "--check")
    assert told.code == 1
    assert told.err == f"stale: {stub}; run `grader build leaky`\n"
    assert "Traceback" not in told.err
    assert snapshot(tiny.root) == before
    told = inside("build")
    assert told.code == 0
    assert f"written: {stub}" in told.out
    assert inside("build", "--check").code == 0
    assert "single step" not in stub.read_text()


def test_build_derives_stub_and_notebook_from_the_reference(inside, tiny):
    """A change of the reference reaches the stub and the notebook, its solution does not."""
    reference = tiny.secret / "leaky.py"
    old = '"""Return the state after one step:'
    assert reference.read_text().count(old) == 1
    reference.write_text(reference.read_text().replace(old, '"""Return the state after a single step:'))
    told = inside("build", "--check")
    assert told.code == 1
    stale = {Path(line.split("; ")[0].removeprefix("stale: ")) for line in told.err.splitlines()}
    assert {tiny.folder / "leaky.py", tiny.folder / "leaky.ipynb"} <= stale
    told = inside("build")
    assert told.code == 0, told.err
    for name in ("leaky.py", "leaky.ipynb"):
        text = (tiny.folder / name).read_text()
        assert "a single step" in text
        assert "kept" not in text
    assert inside("build", "--check").code == 0


def test_build_renews_the_preview(inside, tiny):
    """The preview follows the catalogue of mutants, and is made anew where it is missing or damaged."""
    place = tiny.folder / "preview.npz"
    original, _ = from_bytes(place.read_bytes(), place)
    tiny.edit("mutants.yaml", "The old state enters whole.", "All of the old state enters.")
    told = inside("build", "--check")
    assert told.code == 1
    assert told.err == f"stale: {place}; run `grader build leaky`\n"
    assert inside("build").code == 0
    renewed, _ = from_bytes(place.read_bytes(), place)
    assert [f.mutant for f in renewed] == [f.mutant for f in original]
    changed = [(a.hint, b.hint) for a, b in zip(original, renewed, strict=True) if a.hint != b.hint]
    assert [new.split(".")[0] for _, new in changed] == ["All of the old state enters"]
    for damage in (b"", b"garbage" * 100):
        place.write_bytes(damage)
        assert inside("build", "--check").code == 1
    place.unlink()
    assert inside("build").out == f"written: {place}\n"
    assert inside("build", "--check").code == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    kept = a * h\n    taken", "    ### BEGIN SOLUTION\n    kept = a * h\n    taken"),
        ("    return kept + taken\n    ### END SOLUTION\n", "    return kept + taken\n"),
        ("    return kept + taken\n    ### END SOLUTION", "    return kept + taken\n    ### END SOLUTON"),
    ],
    ids=["nested", "unclosed", "misspelt"],
)
def test_build_names_the_line_of_a_bad_marker(inside, tiny, old, new):
    """Markers that do not fit are one line with the place, and nothing is written."""
    reference = tiny.secret / "leaky.py"
    assert reference.read_text().count(old) == 1
    reference.write_text(reference.read_text().replace(old, new))
    before = snapshot(tiny.root)
    told = inside("build")
    assert told.code == 1
    assert re.search(rf"{re.escape(str(reference))}:\d+: ", told.error)
    assert snapshot(tiny.root) == before


# --- verify ----------------------------------------------------------------------------------------------------------


def test_verify_of_a_sound_suite(verify):
    """A sound suite exits with 0 and says what was tried, and how near to the tolerance anything came."""
    told = verify("--seeds", "2", "--checks")
    assert findings(told) == []
    assert "leaky: Leaky" in told.out
    assert "4 worth 100 points" in told.out
    assert re.search(r"graded +\d+ times over 2 seeds, sandbox tier [12]", told.out)
    assert re.search(r"twins +1, beside the reference", told.out)
    assert re.search(r"mutants +7 of 8 mutants told their own hint on every seed", told.out), "one shows facts only"
    assert re.search(r"margin, right +\S+ of the tolerance used by", told.out)
    assert re.search(r"margin, wrong +\S+ times the tolerance missed by mutant", told.out)
    assert "test_step [step, 40]: 3: keeps_everything, swaps_the_shares, takes_all_input" in told.out
    assert "test_run_from_rest: it tells a wrong start from a wrong step." in told.out
    assert told.out.splitlines()[-1].strip() == "the suite holds"


def test_verify_leaves_no_trace(verify, tiny):
    """Verifying writes nothing into the course, and no grade anywhere."""
    before = snapshot(tiny.root)
    verify()
    assert snapshot(tiny.root) == before
    assert not (tiny.root / ".grader" / "gradebook.db").exists()


def test_verify_finds_a_mutant_that_survives(verify, tiny):
    """A patch that changes no answer proves nothing: no check kills it, the one it names does not catch it."""
    tiny.edit("mutants.yaml", 'replace: "kept = h"', 'replace: "kept = h * a"')
    told = verify()
    found = findings(told)
    assert "mutant keeps_everything: no check kills it (seed 1000)" in found
    assert "mutant keeps_everything: it passes test_step, which should catch it (seed 1000)" in found
    # a long run says at once what it finds
    assert "found: mutant keeps_everything: no check kills it (seed 1000)" in told.err.splitlines()


def test_verify_finds_a_twin_that_fails(verify, tiny):
    """Another right answer that loses points is a finding with the check and the fact."""
    tiny.edit("twins/weights.py", "return h + (1 - a) * (x - h)", "return h + 1.01 * (1 - a) * (x - h)")
    (line,) = [line for line in findings(verify()) if "twin weights" in line]
    assert line.startswith("twin weights: test_step failed:")


def test_verify_finds_a_reference_that_fails(verify, tiny):
    """An oracle that disagrees with the reference is found on the reference and on the twin."""
    tiny.edit("test_hidden.py", "weights=[a, 1 - a]", "weights=[1 - a, a]")
    found = findings(verify())
    assert any(line.startswith("reference: test_step failed:") for line in found)
    assert any(line.startswith("twin weights: test_step failed:") for line in found)


def test_verify_finds_points_that_are_not_100(verify, tiny):
    """Points must come to 100, and each part's checks to what assignment.yaml says."""
    tiny.edit("test_hidden.py", "@pytest.mark.points(15)", "@pytest.mark.points(10)")
    assert findings(verify()) == [
        "suite: the checks are worth 95 points, not 100",
        "suite: part run says 60 points, its checks are worth 55",
    ]


LAZY = '''

@pytest.mark.part("run")
@pytest.mark.points(5)
def test_run_does_not_fail(student, rng):
    """run returns something."""
    student.run(rng.normal(size=7), 1.0, 0.6)
'''


def test_verify_finds_points_for_nothing(verify, tiny):
    """A check that functions pass which never look at their inputs gives points away."""
    tiny.edit("test_hidden.py", "@pytest.mark.points(15)", "@pytest.mark.points(10)")
    suite = tiny.secret / "test_hidden.py"
    suite.write_text(suite.read_text() + LAZY)
    found = findings(verify())
    given = [line for line in found if "functions that answer without looking pass" in line]
    assert given
    assert all("test_run_does_not_fail (5 points)" in line for line in given)
    assert "test_run_does_not_fail: no mutant fails this check, so nothing shows that it works" in found


DOUBLE = """
  - id: keeps_it_all
    misconception: leaky/never-carries
    patch:
      - {find: "kept = a * h", replace: "kept = 1.0 * h"}
    caught_by: [test_step]
    hint: "Another belief, the same numbers."
"""


def test_verify_finds_an_ambiguous_hint(verify, tiny):
    """Two beliefs that give the same numbers everywhere are told apart by nothing: neither hint is ever shown."""
    listing = tiny.secret / "mutants.yaml"
    listing.write_text(listing.read_text() + DOUBLE)
    found = findings(verify())
    silent = "its own hint is not told: another misconception fits as well, or its evidence is weak (seed 1000)"
    assert f"mutant keeps_everything: {silent}" in found
    assert f"mutant keeps_it_all: {silent}" in found
    assert len(found) == 2


def test_verify_finds_a_stub_that_is_attempted(verify, tiny):
    """A check that the untouched handout fails in another way than by not being written is a finding."""
    tiny.edit("test_hidden.py", "    xs = rng.normal(size=5)\n", "    require(False, 'too early')\n    xs = 0\n")
    tiny.edit("test_hidden.py", "from grader.checking import close", "from grader.checking import close, require")
    found = findings(verify())
    assert "stub: test_run_from_rest is failed, not `not attempted` (seed 1000)" in found


STATEFUL = """

READY = False
_step, _run = step, run


def step(x, h, a):
    global READY
    READY = True
    return _step(x, h, a)


def run(xs, h0, a):
    return _run(xs, h0, a) if READY else np.zeros(len(xs))
"""


def test_verify_finds_what_depends_on_an_earlier_check(verify, tiny):
    """An answer that is right only after another call shows where each check has a worker of its own."""
    twin = tiny.secret / "twins" / "weights.py"
    twin.write_text(twin.read_text() + STATEFUL)
    found = findings(verify())
    assert "twin weights: test_run is failed isolated, passed otherwise" in found


def test_verify_finds_a_check_that_proves_nothing_of_its_own(verify, tiny):
    """A check whose mutants other checks kill too must say why it stays."""
    tiny.edit("test_hidden.py", '@pytest.mark.kept("it tells a wrong start from a wrong step.")\n', "")
    (line,) = findings(verify())
    assert line.startswith("test_run_from_rest: every mutant that fails it fails another check too; say why it stays")


def test_verify_finds_a_mutant_that_loses_too_much(verify, tiny):
    """A mutant that says where alone it may lose points is held to it."""
    tiny.edit("mutants.yaml", "caught_by: [test_run, test_run_from_rest]\n    hint: \"Every", "caught_by: [test_run]\n    loses_only: [test_run]\n    hint: \"Every")  # fmt: skip  # noqa: E501
    found = findings(verify())
    assert "mutant never_carries: it loses points in test_run_from_rest, outside test_run (seed 1000)" in found


def test_verify_finds_a_check_that_is_not_there(verify, tiny):
    """A mutant that names no check of the suite is a finding."""
    tiny.edit("mutants.yaml", 'caught_by: [test_step]\n    hint: "State', 'caught_by: [test_stepp]\n    hint: "State')
    assert any("caught_by names test_stepp, which is not a check" in line for line in findings(verify()))


def test_verify_finds_a_suite_that_breaks(verify, tiny):
    """A check that breaks before it asks the student anything is ungraded, and a finding for everybody."""
    tiny.edit("test_hidden.py", "    xs = rng.normal(size=5)\n", "    xs = rng.normall(size=5)\n")
    found = findings(verify())
    assert any(line.startswith("reference: test_run_from_rest is ungraded: AttributeError") for line in found)


def test_verify_of_a_misconception_that_is_not_listed(verify, tiny):
    """A misspelt misconception is one line with the place and the nearest that is there."""
    tiny.edit("mutants.yaml", "misconception: leaky/never-carries", "misconception: leaky/never-carry")
    told = verify()
    assert told.code == 1
    assert str(tiny.secret / "mutants.yaml") in told.error
    assert "leaky/never-carries" in told.error


def test_verify_without_solutions(verify, tiny):
    """A student's installation has nothing to verify, and says so."""
    shutil.rmtree(tiny.root / "solutions")
    told = verify()
    assert told.code == 1
    assert "leaky" in told.error


def test_build_keeps_the_locks_of_banks(inside, tiny):
    """What is not frozen is stale; what means another thing needs a new rev, and until then nothing is written."""
    asked = {"id": "count", "type": "numeric", "prompt": "Twice {{n}}?", "params": {"n": {"choice": [3, 5, 7]}},
             "answer": {"value": "2*n", "exact": True}}  # fmt: skip
    folder = tiny.root / "quizzes"
    folder.mkdir()
    (folder / "bank.yaml").write_text(written([asked]))
    found = inside("build", "bank", "--check")
    assert (found.code, "stale" in found.err, "bank.lock.json" in found.err) == (1, True, True)
    assert "grader build bank" in found.err
    assert not (folder / "bank.lock.json").exists()
    assert "written" in inside("build", "bank").out
    assert inside("build", "bank", "--check").out == "bank: up to date\n"
    # another key under the same rev is refused by --check and by build alike, and the lock stays
    frozen = (folder / "bank.lock.json").read_bytes()
    (folder / "bank.yaml").write_text(written([{**asked, "answer": {"value": "3*n", "exact": True}}]))
    for arguments in (["build", "bank", "--check"], ["build", "bank"]):
        told = inside(*arguments)
        assert (told.code, "rev: 2" in told.err) == (1, True), told.err
    assert (folder / "bank.lock.json").read_bytes() == frozen
    (folder / "bank.yaml").write_text(written([{**asked, "rev": 2, "answer": {"value": "3*n", "exact": True}}]))
    assert inside("build", "--check").code == 1
    assert inside("build", "bank").code == 0
    assert inside("build", "bank", "--check").code == 0


@pytest.mark.parametrize("graded", [False, True])
def test_new_bank_can_be_proved_and_handed_on(inside, tiny, graded):
    """What is laid passes the strict check once it is frozen; nothing is laid over something."""
    more = ("--graded",) if graded else ()
    laid = inside("new", "bank", "masked-sums", "--title", "Sums: it's all masks", *more)
    assert laid.code == 0, laid.err
    bank, oracles = map(Path, laid.out.splitlines()[:2])
    folder = tiny.root / "solutions" / "quizzes" if graded else tiny.root / "quizzes"
    assert (bank, oracles) == (folder / "masked-sums.yaml", folder / "oracles" / "masked_sums.py")
    assert "Sums: it's all masks" in inside("quiz", "list").out
    assert inside("build", "masked-sums", "--check").code == 1
    proved = inside("quiz", "check", "masked-sums", "--strict", "--freeze")
    assert proved.code == 0, proved.out
    assert "no errors, no warnings" in proved.out
    before = snapshot(tiny.root)
    for name in ("masked-sums", "leaky"):
        assert f"there is something called `{name}` already" in inside("new", "bank", name, *more).error
    assert "is no id of a bank" in inside("new", "bank", "Masked_Sums").error
    assert snapshot(tiny.root) == before
