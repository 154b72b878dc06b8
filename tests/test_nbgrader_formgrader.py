"""formgrader in a real Chromium, on a class graded by the engine: what is there, and that marks by hand stay.

`SHOTS=FOLDER` in the environment keeps pictures of the pages, for people to look at.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader")
pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright import sync_api

from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .conftest import TINY, TinyCourse
from .nbgrader_class import Classroom, environment, filled
from .quiz_web import CHROMIUM_FLAGS, chromium
from .test_nbgrader_hostile import room_for

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed (name one in CHROMIUM)"),
    pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here"),
    pytest.mark.skipif(not os.environ.get("UNROLLED_FULL"), reason="takes long: UNROLLED_FULL=1 runs it"),
]

COMMENT = "Read the sign in the last line again."
RIGHT, WRONG, OURS = "s1", "s2", "s4"


@dataclass(frozen=True)
class Served:
    """A classroom with its class graded, and the address of its formgrader."""

    room: Classroom
    url: str


@pytest.fixture(scope="module")
def served(shared_tiny: TinyCourse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Grade a class, and serve its course folder on loopback."""
    from grader.exchange.nbgrader.sync import synchronise

    room = room_for(shared_tiny, tmp_path_factory.mktemp("nb-form"))
    assignment = room.course.assignment(TINY)
    released = room.released(assignment)
    for student, source in {RIGHT: shared_tiny.reference, WRONG: shared_tiny.mutant("keeps_everything")}.items():
        room.hand_in(assignment, student, {assignment.notebook: filled(released, source)})
    assert room.here("autograde", TINY) == 0
    subs = shared_tiny.hand_in(room.top / "subs", {OURS: shared_tiny.reference})
    assert room.grader("grade", TINY, subs, "--quiet").code == 0
    with environment(room.env):
        assert synchronise(room.course, room.folder).given == 1
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "ip": "127.0.0.1",
        "port": port,
        "port_retries": 0,
        "open_browser": False,
        "root_dir": room.folder,
        "jpserver_extensions": "{'nbgrader.server_extensions.formgrader': True}",
        "password": "",
    }
    argv = [sys.executable, "-m", "jupyter_server", "--IdentityProvider.token=", "--allow-root"]
    argv += [f"--ServerApp.{name}={value}" for name, value in options.items()]
    url = f"http://127.0.0.1:{port}/formgrader"
    with (room.top / "server.log").open("wb") as log:
        server = subprocess.Popen(argv, cwd=room.folder, env=room.env, stdout=log, stderr=log)
        try:
            wait_for(f"{url}/manage_assignments", server, room.top / "server.log")
            yield Served(room, url)
        finally:
            server.terminate()
            server.wait(30)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers."""
    for _ in range(600):
        assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-3000:]
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            raise AssertionError(log.read_text(encoding="utf-8", errors="replace")[-3000:]) from error
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.fixture(scope="module")
def page(served: Served) -> Iterator[Any]:
    """Open a page of a Chromium that reaches nothing but this machine."""
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        one = browser.new_page(viewport={"width": 1300, "height": 1000})
        one.set_default_timeout(30_000)
        one.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        yield one
        browser.close()


def shot(page: Any, name: str) -> None:
    """Keep a picture of a page."""
    folder = os.environ.get("SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"formgrader-{name}.png"), full_page=True)


def rows(page: Any, words: str) -> list[str]:
    """Return the rows of the page's table as text, as soon as one of them holds the words."""
    page.locator("table tbody tr", has_text=words).first.wait_for()
    return [" ".join(row.inner_text().split()) for row in page.locator("table tbody tr").all()]


def test_assignment_submissions_and_scores_are_there(served: Served, page: Any) -> None:
    """The pages of formgrader show what the engine graded, and what `sync` brought."""
    page.goto(f"{served.url}/manage_assignments")
    assert any(row.startswith(TINY) for row in rows(page, TINY))
    shot(page, "assignments")
    page.goto(f"{served.url}/manage_submissions/{TINY}")
    found = rows(page, RIGHT)
    for student, total in served.room.totals(served.room.course.assignment(TINY)).items():
        assert total is not None
        assert [row for row in found if f" {student} " in row and row.endswith(f"graded {total:g} / 100")], found
    assert len(found) == 3
    shot(page, "submissions")
    page.goto(f"{served.url}/gradebook/{TINY}")
    assert any("100" in row for row in rows(page, TINY))
    page.goto(f"{served.url}/manage_students")
    assert any(OURS in row and "100" in row for row in rows(page, OURS))
    shot(page, "students")


def test_a_comment_and_a_score_by_hand_survive_another_autograde(served: Served, page: Any) -> None:
    """They are typed into formgrader; then its own button, and our command, grade again."""
    from nbgrader.api import Gradebook

    def by_hand() -> tuple[list[str], list[float], list[float | None]]:
        with Gradebook(f"sqlite:///{served.room.folder / 'gradebook.db'}", "rnn") as gradebook:
            book = gradebook.find_submission_notebook(TINY, TINY, WRONG)
            comments = [comment.manual_comment for comment in book.comments if comment.manual_comment]
            manual = [grade.manual_score for grade in book.grades if grade.manual_score is not None]
            automatic = [grade.auto_score for grade in sorted(book.grades, key=lambda grade: str(grade.name))]
            return comments, manual, automatic

    with Gradebook(f"sqlite:///{served.room.folder / 'gradebook.db'}", "rnn") as gradebook:
        submission = gradebook.find_submission_notebook(TINY, TINY, WRONG).id
    before = by_hand()
    page.goto(f"{served.url}/submissions/{submission}/?index=0")
    box = page.locator("textarea.comment").first
    box.wait_for()
    page.wait_for_function("() => formgrader.comments?.loaded && formgrader.grades?.loaded")
    with page.expect_response(lambda response: "/api/comment/" in response.url and response.request.method == "PUT"):
        box.fill(COMMENT)
        box.blur()
    points = page.locator("input.score").first
    with page.expect_response(lambda response: "/api/grade/" in response.url and response.request.method == "PUT"):
        points.fill("3.5")
        points.blur()
    shot(page, "submission")
    assert by_hand() == ([COMMENT], [3.5], before[2])
    assert "points" in page.locator("body").inner_text()
    # formgrader's button
    page.goto(f"{served.url}/manage_submissions/{TINY}")
    rows(page, WRONG)
    row = page.locator("table tbody tr", has=page.locator("td", has_text=re.compile(rf"^\s*{WRONG}\s*$")))
    row.locator(".autograde a").click()
    page.locator("#success-modal").wait_for(timeout=120_000)
    assert "Successfully autograded" in page.locator("#success-modal").inner_text()
    shot(page, "autograded")
    assert by_hand() == ([COMMENT], [3.5], before[2])
    again = served.room.nbgrader("autograde", TINY, "--student", WRONG, "--force")
    assert again.code == 0, again.err
    assert by_hand() == ([COMMENT], [3.5], before[2])
    page.goto(f"{served.url}/submissions/{submission}/?index=0")
    page.wait_for_function("() => formgrader.comments?.loaded")
    assert page.locator("textarea.comment").first.input_value() == COMMENT
