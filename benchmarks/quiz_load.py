"""Measure `grader quiz serve` under a class that answers at once, and kill it in the middle.

Run `python benchmarks/quiz_load.py [--students 300] [--questions 6] [--no-kill]`. Every student enters with a code,
begins, and then opens and answers one question after the other, without a pause, on a connection of their own. In the
middle the server is ended by SIGKILL and started again; students send again what was not confirmed. At the end the
gradebook is read: every confirmed answer must be there as it was sent, none twice, and none that nobody sent.

Latency is what a student waits for one request; requests that met the dead server are told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

ROOT = Path(__file__).resolve().parents[1]
BANK = "foundations"
HIDDEN = re.compile(r'name="(token|attempt|hints|skips)" value="([^"]*)"')


@dataclass
class Server:
    """The command, as an instructor runs it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in the background."""
        argv = [
            sys.executable, "-m", "grader", "quiz", "serve", BANK, "--roster", str(self.folder / "class.csv"),
            "--codes", str(self.folder / "codes.csv"), "--attempts", "50", "--port", str(self.port),
        ]  # fmt: skip
        environment = {**os.environ, "GRADER_STATE": str(self.folder / "state"), "GRADER_COURSE": str(ROOT)}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, cwd=ROOT)

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the running process has used."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """What the students saw."""

    confirmed: dict[tuple[str, int, int], object] = field(default_factory=dict)
    asked: set[tuple[str, int, int]] = field(default_factory=set)
    get: list[float] = field(default_factory=list)
    post: list[float] = field(default_factory=list)
    broken: list[float] = field(default_factory=list)
    retries: int = 0
    refused: int = 0


async def told(client: httpx.AsyncClient, seen: Seen, method: str, path: str, **more: object) -> httpx.Response:
    """Return an answer; send again until there is one, as the page's script does."""
    began, tried = time.perf_counter(), 0
    while True:
        try:
            answer = await client.request(method, path, **more)  # type: ignore[arg-type]
            if answer.status_code < 500:
                break
        except httpx.TransportError:
            pass
        tried += 1
        seen.retries += 1
        await asyncio.sleep(min(0.25 * 2**tried, 4.0) * random.uniform(0.75, 1.25))
    took = time.perf_counter() - began
    (seen.broken if tried else seen.get if method == "GET" else seen.post).append(took)
    return answer


def something(page: str) -> object:
    """Return a valid response to the question of a page, right or wrong; None for code, which is another benchmark."""
    kind = re.findall(r'data-kind="(\w+)"', page)[0]
    named = re.findall(r'<(select|input)[^>]*name="(?:pair|field)\.([^"]+)"', page)
    # the first thing that each select offers
    offer = r'name="(?:pair|field)\.([^"]+)"[^>]*>\s*<option value="">\w*</option>\s*<option value="([^"]+)"'
    offers = dict(re.findall(offer, page))
    number = str(random.randrange(1, 10_000))
    match kind:
        case "text" | "essay":
            return number
        case "option":
            return random.choice(re.findall(r'name="response" value="([^"]+)"', page))
        case "options":
            return [random.choice(re.findall(r'name="response" value="([^"]+)"', page))]
        case "order":
            return re.findall(r'name="order" value="([^"]+)"', page)
        case "match" | "fields":
            return {name: offers[name] if tag == "select" else number for tag, name in named}
        case "matrix":
            cells = re.findall(r'name="cell\.(\d+)\.(\d+)"', page)
            return [[number] * len({j for _, j in cells})] * len({i for i, _ in cells})
    return None


async def student(url: str, name: str, code: str, questions: int, seen: Seen, gate: asyncio.Event) -> None:
    """Take part of a quiz."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, follow_redirects=True) as client:
        await told(client, seen, "POST", "/enter", data={"code": code})
        front = await told(client, seen, "GET", "/")
        token = dict(HIDDEN.findall(front.text))["token"]
        await told(client, seen, "POST", "/begin", data={"token": token})
        await gate.wait()
        for number in range(1, questions + 1):
            page = (await told(client, seen, "GET", f"/question/{number}")).text
            response = json.dumps(something(page))
            if response == "null":
                continue
            given = dict(HIDDEN.findall(page)) | {"act": "answer", "json": response}
            key = (name, number - 1, int(given["attempt"]))
            seen.asked.add(key)
            answer = await told(
                client, seen, "POST", f"/question/{number}", data=given, headers={"accept": "application/json"}
            )
            reply = answer.json()
            if reply.get("status") in ("right", "partial", "wrong", "undecided"):
                seen.confirmed[key] = response
            else:
                seen.refused += 1


def spread(times: list[float]) -> str:
    """Return the median, the 95th and 99th percentile and the maximum in milliseconds."""
    if len(times) < 2:
        return "none"
    cuts = statistics.quantiles(times, n=100)
    p50, p95, p99 = (f"{1000 * cuts[n]:.0f}" for n in (49, 94, 98))
    return f"p50 {p50} ms, p95 {p95} ms, p99 {p99} ms, longest {1000 * max(times):.0f} ms ({len(times)} requests)"


async def ready(url: str) -> None:
    """Wait until the server answers."""
    async with httpx.AsyncClient(timeout=5) as client:
        for _ in range(600):
            try:
                if (await client.get(f"{url}/health")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise SystemExit("the server does not start")


async def run(server: Server, count: int, questions: int, kill: bool) -> int:
    """Run the class and return the exit code."""
    url = f"http://127.0.0.1:{server.port}"
    server.start()
    await ready(url)
    with (server.folder / "codes.csv").open(newline="") as stream:
        codes = {row["id"]: row["code"] for row in csv.DictReader(stream)}
    seen, gate = Seen(), asyncio.Event()
    began = time.perf_counter()
    tasks = [
        asyncio.create_task(student(url, name, code, questions, seen, gate))
        for name, code in list(codes.items())[:count]
    ]
    while len(seen.post) + len(seen.broken) < 2 * count and not all(task.done() for task in tasks):
        await asyncio.sleep(0.05)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{os.cpu_count()} cores, load before {load}")
    print(f"{count} students came in and began within {time.perf_counter() - began:.1f} s")
    seen.get.clear()
    seen.post.clear()
    began, before = time.perf_counter(), server.cpu_seconds
    gate.set()
    down = 0.0
    if kill:
        while len(seen.confirmed) < count * questions * 0.4 and not all(task.done() for task in tasks):
            await asyncio.sleep(0.02)
        before = server.cpu_seconds - before
        server.kill()
        at_kill, down = len(seen.confirmed), time.perf_counter()
        server.start()
        await ready(url)
        down = time.perf_counter() - down
        print(f"killed after {at_kill} confirmed answers; it answered again after {down:.1f} s")
    await asyncio.gather(*tasks)
    took = time.perf_counter() - began
    cpu = server.cpu_seconds + (before if kill else -before)
    asked = len(seen.asked)
    print(f"{asked} answers in {took:.1f} s ({asked / (took - down):.0f} a second while it was up)")
    print(f"server CPU: {1000 * cpu / (2 * asked):.1f} ms for each page or answer (start-up included)")
    print(f"open a question: {spread(seen.get)}")
    print(f"send an answer:  {spread(seen.post)}")
    if seen.broken:
        print(f"met the dead server: {len(seen.broken)} requests, {spread(seen.broken)}, {seen.retries} tries again")
    server.kill()  # whatever is not on disk now would be lost
    return judge(server.folder / "state" / "gradebook.db", seen)


def judge(path: Path, seen: Seen) -> int:
    """Compare the gradebook with what the students were told; return 1 where anything is lost, doubled or made up."""
    query = """
        SELECT s.student, a.position, a.attempt, a.response FROM quiz_answers a
        JOIN quiz_sittings q ON q.id = a.sitting_id JOIN students s ON s.id = q.student_id
    """
    rows = sqlite3.connect(path).execute(query).fetchall()
    kept = {(name, position, attempt): response for name, position, attempt, response in rows}
    sittings = (
        sqlite3.connect(path).execute("SELECT count(*), count(DISTINCT student_id) FROM quiz_sittings").fetchone()
    )
    lost = [key for key in seen.confirmed if key not in kept]
    changed = [
        key for key, sent in seen.confirmed.items() if key in kept and json.loads(kept[key]) != json.loads(str(sent))
    ]
    unasked = [key for key in kept if key not in seen.asked]
    doubled = len(rows) - len(kept) + sittings[0] - sittings[1]
    print(
        f"confirmed {len(seen.confirmed)}, kept {len(rows)}, asked again {seen.refused}; "
        f"lost {len(lost)}, changed {len(changed)}, doubled {doubled}, made up {len(unasked)}"
    )
    return 1 if lost or changed or doubled or unasked else 0


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--no-kill", dest="kill", action="store_false")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        roster = "".join(f"s{n:04},Student {n}\n" for n in range(given.students))
        (folder / "class.csv").write_text("id,name\n" + roster)
        probe.bind(("127.0.0.1", 0))
        server = Server(folder, probe.getsockname()[1])
        probe.close()
        try:
            return asyncio.run(run(server, given.students, given.questions, given.kill))
        finally:
            if server.process is not None and server.process.poll() is None:
                server.kill()
            log = (folder / "server.log").read_text()
            if "Traceback" in log or "cannot go on" in log:
                print(log[-3000:], file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
