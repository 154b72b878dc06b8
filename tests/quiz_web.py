"""What the tests of quizzes in the browser share: desks, clients, forms filled in, and a Chromium to drive."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from grader.quiz.model import View

ROOT = Path(__file__).resolve().parent.parent
#: flags without which Chromium looks for hosts that a test machine does not reach
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def chromium() -> str | None:
    """Return the path of an installed Chromium, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def fields_of(view: View, response: Any) -> list[tuple[str, str]] | None:
    """Return the fields by which a browser sends a response, None where no form can say it."""
    texts = lambda given: isinstance(given, list) and all(isinstance(one, str) for one in given)  # noqa: E731
    match view.kind:
        case "text" | "code" | "essay" if isinstance(response, str) and "\r" not in response:
            return [("response", response)]
        case "essay" if isinstance(response, dict) and response.keys() == {"text", "points"}:
            points = [(f"points.{name}", str(value)) for name, value in response["points"].items()]
            return [("response", str(response["text"])), *points]
        case "option" if isinstance(response, str):
            return [("response", response)]
        case "options" if texts(response):
            return [("response", one) for one in response]
        case "order" if texts(response):
            return [("order", one) for one in response]
        case "match" | "fields" if isinstance(response, dict) and texts(list(response.values())):
            prefix = "pair." if view.kind == "match" else "field."
            return [(prefix + name, value) for name, value in response.items()]
        case "matrix" if isinstance(response, list) and all(map(texts, response)):
            rows, columns = view.shape
            if len(response) == rows and all(len(row) == columns for row in response):
                return [(f"cell.{i}.{j}", cell) for i, row in enumerate(response) for j, cell in enumerate(row)]
    return None


class _Forms(HTMLParser):
    """Reads the hidden fields of every form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append((given.get("action") or "", {}))
        if tag == "input" and given.get("type") == "hidden" and self.forms:
            self.forms[-1][1].setdefault(given.get("name") or "", given.get("value") or "")


def hidden(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields (token, attempt, hints, skips) of a page's form with that action."""
    reader = _Forms()
    reader.feed(page)
    return next(fields for where, fields in reader.forms if where == action)


@dataclass
class Served:
    """A server that runs as a user runs it, in a process of its own."""

    arguments: list[str]
    environment: Mapping[str, str]
    folder: Path
    port: int
    process: subprocess.Popen[str] | None = None
    live: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [sys.executable, "-m", "grader", *self.arguments, "--port", str(self.port)]
        log = (self.folder / "server.log").open("a")
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(self.environment), cwd=ROOT
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"Live view: (\S+)", line):
                self.live = found.group(1)
            if line.startswith("Ctrl-C"):
                break
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        """End it as a crash would: nothing is told, nothing is tidied up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Served]:
    """Serve a quiz with its state in a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GRADER_", "PYTEST"))}
    environment |= {"GRADER_STATE": str(folder / "state"), "GRADER_COURSE": str(ROOT), "PYTHONUNBUFFERED": "1"}
    server = Served(["quiz", "serve", *arguments], environment, folder, port)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def replay_rows() -> list[dict[str, Any]]:
    """Return the corpus of responses and what must become of them."""
    import yaml

    rows: list[dict[str, Any]] = yaml.load((ROOT / "tests/data/replay.yaml").read_text(), yaml.CSafeLoader)
    assert rows
    return rows


def key_fragments(item: Any) -> list[str]:
    """Return texts of an item that only its key holds: explanations, whys, feedback, values that must be computed."""
    from grader.quiz.asking import solution

    told = solution(item)
    words = [told.explain, *told.whys.values()]
    for one in getattr(item.question.spec, "wrong", None) or ():
        words.append(one.feedback or "")
    for point in getattr(item.question.spec, "rubric", None) or ():
        words.append(point.text)
    # mark-up is set differently in a page: the longest plain stretch of each text is looked for
    plain = [max(re.split(r"[^A-Za-z ,.]", text), key=len).strip() for text in words if text]
    found = [text for text in plain if len(text) >= 25]
    response = told.response
    if item.question.type in ("numeric", "expression") and len(str(response)) >= 5:
        found.append(str(response))
    return found


def as_json(response: Any) -> str:
    """Return a response as the field `json` carries it."""
    return json.dumps(response)
