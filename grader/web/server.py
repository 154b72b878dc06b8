"""The server of quizzes: pages that work without a script, marked here, so that no key ever leaves the machine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import json
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grader.errors import GraderError, QuizError
from grader.quiz.asking import items, view
from grader.quiz.model import Item, Solution
from grader.quiz.model import Response as Given
from grader.quiz.running import CodeBox
from grader.quiz.sitting import Place, Sitting
from grader.quiz.types import free
from grader.web import access, live
from grader.web.desk import Desk
from grader.web.forms import STATIC, Sent, controls, moved, response_of, templates

T = TypeVar("T")

#: what a page may ask for: the script that marks is not among it, it belongs to the practice page
SERVED: Final = {
    "quiz.css": "text/css",
    "quiz.js": "text/javascript",
    "blocks.js": "text/javascript",
    "live.js": "text/javascript",
}
COOKIE: Final = "unrolled_quiz"
LIVE_COOKIE: Final = "unrolled_live"
COOKIE_SECONDS: Final = 60 * 60 * 24 * 30
LARGEST_BODY: Final = 512 * 1024
MOST_FIELDS: Final = 500
#: more threads would only wait for each other: one writes at a time, and Python computes on one core
THREADS: Final = 4

SECURE: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}

#: status -> a sign that is no colour, and words
STATES: Final = {
    "right": ("✓", "Right"),
    "partial": ("◐", "Partly right"),
    "wrong": ("✗", "Not right"),
    "undecided": ("…", "Kept; it is marked later"),
    "kept": ("●", "Your answer is kept"),
    "judge": ("?", "To be judged by you"),
    "open": ("○", "Open"),
    "tried": ("↻", "Tried; there are more tries"),
    "skipped": ("–", "Left out"),
    "lapsed": ("–", "No longer asked"),
}


@dataclass(frozen=True)
class Asked:
    """A request, read: who sends it, and the fields of its form in their order."""

    request: Request
    student: str | None
    cookie: str
    sent: Sent

    @functools.cached_property
    def first(self) -> dict[str, str]:
        """Return the first value of each field."""
        return dict(reversed(self.sent))

    @property
    def wants_json(self) -> bool:
        """Say whether a program asks, rather than a browser."""
        return "application/json" in self.request.headers.get("accept", "")

    @property
    def who(self) -> str:
        """Return the student of a request that was let in."""
        assert self.student is not None
        return self.student


@dataclass(frozen=True)
class Slow:
    """Work that runs code, which may take seconds: it waits in a queue of its own."""

    work: Callable[[CodeBox], Response]


Handler = Callable[[Desk, Asked], "Response | Slow"]


def application(desk: Desk) -> ASGIApp:
    """Return the server of a desk as an ASGI application."""
    limiter = anyio.CapacityLimiter(THREADS)

    def route(path: str, handler: Handler, *, post: bool = False, known: bool = True) -> Route:
        async def endpoint(request: Request) -> Response:
            asked = await _read(desk, request)
            if post:
                _must_be_ours(desk, asked, known)
            if known and asked.student is None:
                return RedirectResponse("/", 303)
            done = await anyio.to_thread.run_sync(handler, desk, asked, limiter=limiter)
            return await asyncio.wrap_future(desk.boxes.submit(done.work)) if isinstance(done, Slow) else done

        return Route(path, endpoint, methods=["POST" if post else "GET"])

    app = Starlette(
        routes=[
            route("/", _front, known=False),
            route("/enter", functools.partial(_enter, desk.door()), post=True, known=False),
            route("/leave", _leave, post=True),
            route("/begin", _begin, post=True),
            route("/question/{number:int}", _question),
            route("/question/{number:int}", _act, post=True),
            route("/finish", _finish_page),
            route("/finish", _finish, post=True),
            route("/result", _result),
            route("/live", _live, known=False),
            Route("/static/{name}", _static),
            Route("/health", _health),
        ],
        exception_handlers={GraderError: _told, HTTPException: _told, Exception: _broken},
        lifespan=functools.partial(_lifespan, desk),
    )
    return _Secured(app)


@contextlib.asynccontextmanager
async def _lifespan(desk: Desk, app: Starlette) -> AsyncIterator[None]:
    yield
    desk.boxes.close()


class _Secured:
    """Puts the headers on every response that forbid a browser everything that these pages do not need."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in SECURE.items() if name.encode() not in given]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, with_headers)


# --- requests --------------------------------------------------------------------------------------------------------


async def _read(desk: Desk, request: Request) -> Asked:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise HTTPException(413, "This is more than an answer may have.")
    except ClientDisconnect:
        raise HTTPException(400, "The connection was lost.") from None
    try:
        sent = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS) if body else []
    except ValueError:
        raise HTTPException(400, "This form cannot be read.") from None
    cookie = request.cookies.get(COOKIE, "")
    student = desk.keys.student(cookie)
    if student is not None and not desk.knows(student):
        student = None
    return Asked(request, student, cookie, sent)


def _must_be_ours(desk: Desk, asked: Asked, known: bool) -> None:
    """Refuse a form that another site sends in a student's name."""
    headers = asked.request.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    foreign = site not in (None, "same-origin", "none")
    foreign = foreign or (site is None and origin is not None and urlsplit(origin).netloc != headers.get("host"))
    if not foreign and known and asked.student is not None:
        token = desk.keys.form_token(asked.cookie)
        foreign = not hmac.compare_digest(token.encode(), asked.first.get("token", "").encode())
    if foreign:
        raise HTTPException(403, "This form was not sent from a page of this quiz. Go back and reload the page.")


def _page(name: str, desk: Desk | None, asked: Asked | None, status: int = 200, **values: Any) -> HTMLResponse:
    token = desk.keys.form_token(asked.cookie) if desk and asked and asked.student else ""
    who = desk.name(asked.student) if desk and asked and asked.student and desk.roster is not None else ""
    page = templates().get_template(name)
    title = (desk.title or desk.bank.title) if desk else "Quiz"
    return HTMLResponse(page.render(bank_title=title, token=token, who=who, states=STATES, **values), status)


def _see(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)


async def _told(request: Request, error: Exception) -> Response:
    """Tell an error in one sentence; none of these is a bug."""
    status = error.status_code if isinstance(error, HTTPException) else 409
    words = error.detail if isinstance(error, HTTPException) else str(error)
    if isinstance(error, GraderError) and not isinstance(error, QuizError):
        status, words = 503, "The quiz cannot go on just now. What was kept is kept: try again in a minute."
        print(f"grader quiz serve: {error}", file=sys.stderr, flush=True)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"error": words}, status)
    return _page("message.html", None, None, status, words=words, title="This did not work")


async def _broken(request: Request, error: Exception) -> Response:
    """Tell that something broke, and nothing of what: the page is for students, the rest for the log."""
    traceback.print_exception(error)
    words = "Something broke. What was kept is kept: go back and try again, or tell your instructor."
    return _page("message.html", None, None, 500, words=words, title="Something broke")


# --- coming and going ------------------------------------------------------------------------------------------------


def _front(desk: Desk, asked: Asked) -> Response:
    return _front_page(desk, asked)


def _front_page(desk: Desk, asked: Asked, problem: str = "", status: int = 200) -> Response:
    latest = desk.latest(asked.student) if asked.student else None
    return _page(
        "front.html", desk, asked, status, about=desk.about or desk.bank.about, rules=desk.rules,
        minutes=(desk.rules.time_limit or 0) / 60,
        questions=_count(desk), known=asked.student is not None, coded=desk.roster is not None, problem=problem,
        going=latest is not None and not latest.finished, taken=latest is not None,
        more=asked.student is None or desk.may_begin(asked.student), sittings=desk.sittings,
    )  # fmt: skip


def _count(desk: Desk) -> int:
    rules = desk.rules
    if desk.draw is not None:
        return len(desk.draw("", 0))
    return len(items(desk.bank, "count", tags=rules.tags, levels=rules.levels, n=rules.n))


def _enter(door: access.Door, desk: Desk, asked: Asked) -> Response:
    if desk.roster is None:
        student = asked.student or access.guest()
    else:
        if door.busy:
            return _front_page(desk, asked, "Too many wrong codes came in. Wait a minute, then try again.", 429)
        found = door.student(asked.first.get("code", ""))
        if found is None:
            return _front_page(desk, asked, "There is no such code. Look at it again: it has twelve characters.", 403)
        student = found
    if desk.roster is None:
        desk.begin(student)
        response = _see("/question/1") if asked.student is None else _see("/")
    else:
        response = _see("/")
    _remember(response, asked, COOKIE, desk.keys.cookie(student))
    return response


def _remember(response: Response, asked: Asked, name: str, value: str) -> None:
    secure = asked.request.url.scheme == "https"
    response.set_cookie(name, value, max_age=COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure, path="/")


def _leave(desk: Desk, asked: Asked) -> Response:
    response = _see("/")
    response.delete_cookie(COOKIE, path="/")
    return response


def _begin(desk: Desk, asked: Asked) -> Response:
    sitting = desk.begin(asked.who)
    current = sitting.current()
    return _see("/finish" if current is None else f"/question/{current + 1}")


# --- a question ------------------------------------------------------------------------------------------------------


def _at(desk: Desk, asked: Asked) -> tuple[Sitting, int] | None:
    """Return the sitting and the position that a request is about; None where nothing was begun."""
    sitting = desk.latest(asked.who)
    if sitting is None:
        return None
    position = int(asked.request.path_params["number"]) - 1
    if not 0 <= position < len(sitting):
        raise HTTPException(404, f"This quiz has {len(sitting)} questions.")
    return sitting, position


def _question(desk: Desk, asked: Asked) -> Response:
    found = _at(desk, asked)
    if found is None:
        return _see("/")
    sitting, position = found
    if sitting.finished and sitting.rules.reveal == "never":
        return _see("/result")
    if not sitting.finished:
        kept = sitting.book.places(sitting.id).get(position)
        if sitting.items[position] is not None and (kept is None or kept.shown is None):
            sitting.show(position)
    return _question_page(desk, asked, sitting, position)


def _question_page(
    desk: Desk,
    asked: Asked,
    sitting: Sitting,
    position: int,
    *,
    draft: Given = None,
    problem: tuple[str, ...] = (),
    focus: str = "",
) -> Response:
    """Return the page of a question: as it stands, or with what was filled in so far."""
    places, item = sitting.places(), sitting.items[position]
    place, finished = places[position], sitting.finished
    if item is None:
        return _page("lapsed.html", desk, asked, position=position, links=_links(sitting, places, position, finished))
    last = place.answers[-1] if place.answers else None
    revealed = sitting.rules.reveal == "now" or (finished and sitting.rules.reveal == "end")
    given = draft if draft is not None else last.response if last else None
    is_open = not finished and place.state in ("open", "skipped")
    shown = sitting.view(position)
    done = finished or not is_open
    solution = _solution(sitting, position) if done else None
    following = _following(sitting, places, position)
    return _page(
        "question.html", desk, asked, view=shown, position=position, total=len(sitting), place=place,
        controls=controls(item, "q", given), is_open=is_open, judging=place.state == "judge" and not finished,
        finished=finished, revealed=revealed, last=last, problem=problem, focus=focus,
        outcome=_outcome(place, revealed, finished), solution=solution,
        whys=_whys(shown, solution), rubric=free.rubric(item) if place.state == "judge" and solution else (),
        hints=sitting.hints_given(position), written=_written(given),
        attempts=sitting.rules.attempts, next=None if finished or following in (None, position) else following + 1,
        seconds_left=sitting.seconds_left if not finished else None,
        links=_links(sitting, places, position, finished), confidence=last.confidence if last else None,
    )  # fmt: skip


def _outcome(place: Place, revealed: bool, finished: bool) -> str | None:
    """Return what to say of the last answer: a key of STATES, None where there is none."""
    if not place.answers:
        return None
    if place.state == "judge" and not finished:
        return "judge"
    return place.answers[-1].status if revealed else "kept"


def _following(sitting: Sitting, places: tuple[Place, ...], here: int) -> int | None:
    """Return the position to go on to: the next one on the way that waits, else what was put off or passed over."""
    ahead = [place.position for place in places[here + 1 :] if place.waits and not place.skips]
    return ahead[0] if ahead else sitting.current(places)


def _written(given: Given) -> str:
    return str(given.get("text", "")) if isinstance(given, dict) else str(given or "")


def _solution(sitting: Sitting, position: int) -> Solution | None:
    try:
        return sitting.solution(position)
    except QuizError:
        return None


def _whys(shown: Any, solution: Solution | None) -> list[tuple[str, str]]:
    """Return (what an option or block says, why it is right or wrong)."""
    if solution is None:
        return []
    texts = {option.id: option.text for option in shown.options}
    texts |= {f"{field.id}.{option.id}": option.text for field in shown.fields for option in field.options}
    return [(texts[name], why) for name, why in solution.whys.items() if name in texts]


def _links(sitting: Sitting, places: tuple[Place, ...], here: int, finished: bool) -> list[dict[str, Any]]:
    """Return the list of questions: number, state in a sign and in words, and which one is on the page."""
    revealed = sitting.rules.reveal == "now" or (finished and sitting.rules.reveal == "end")
    found = []
    for place in places:
        state = place.state
        if place.answers and state != "judge":
            best = max(place.answers, key=lambda one: (one.status != "undecided", one.score))
            state = "tried" if state == "open" and not finished else best.status if revealed else "kept"
        sign, words = STATES[state]
        found.append({"number": place.position + 1, "sign": sign, "words": words, "here": place.position == here})
    return found


def _act(desk: Desk, asked: Asked) -> Response | Slow:
    """Do what a button of a question's form says."""
    found = _at(desk, asked)
    if found is None:
        return _see("/")
    sitting, position = found
    item = sitting.items[position]
    if item is None:
        return _see(f"/question/{position + 1}")
    act = asked.first.get("act", "answer")
    if act.partition(":")[0] in ("up", "down", "in", "out", "move"):
        return _moved(desk, asked, sitting, position, act)
    if act == "hint":
        return _hint(desk, asked, sitting, sitting.place(position))
    if act == "skip":
        if asked.first.get("skips") == str(sitting.place(position).skips):  # sent twice, it is done once
            sitting.skip(position)
        following = _following(sitting, sitting.places(), position)
        return _see("/finish" if following is None else f"/question/{following + 1}")
    if item.question.type == "code":
        return Slow(functools.partial(_answer, desk, asked, sitting, item, position))
    return _answer(desk, asked, sitting, item, position)


def _moved(desk: Desk, asked: Asked, sitting: Sitting, position: int, act: str) -> Response:
    shown = sitting.view(position)
    every = [block.id for block in shown.options]
    now = [value for name, value in asked.sent if name == "order"]
    order = moved(now, every, act, asked.first)
    return _question_page(desk, asked, sitting, position, draft=order, focus=act.partition(":")[2])


def _hint(desk: Desk, asked: Asked, sitting: Sitting, place: Place) -> Response:
    if asked.first.get("hints") == str(place.hints):  # sent twice, it is given and charged once
        sitting.hint(place.position)
    draft = response_of(sitting.view(place.position), asked.sent)
    return _question_page(desk, asked, sitting, place.position, draft=draft, focus="hint")


def _answer(
    desk: Desk, asked: Asked, sitting: Sitting, item: Item, position: int, box: CodeBox | None = None
) -> Response:
    first = asked.first
    shown = view(item)
    response = _from_json(first["json"]) if "json" in first else response_of(shown, asked.sent)
    attempt, confidence = first.get("attempt", ""), first.get("confidence", "")
    reply = sitting.answer(
        position,
        response,
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() and len(attempt) < 4 else None,
        confidence=int(confidence) if confidence in ("1", "2", "3") else None,
        box=box,
    )
    if asked.wants_json:
        return JSONResponse(reply.as_dict())
    if not reply.mark.final:
        return _question_page(
            desk, asked, sitting, position, draft=response, problem=reply.mark.feedback or ("Try again.",)
        )
    if reply.revealed or sitting.place(position).state == "judge":
        return _see(f"/question/{position + 1}?done={reply.attempt}")
    following = _following(sitting, sitting.places(), position)
    return _see("/finish" if following is None else f"/question/{following + 1}")


def _from_json(text: str) -> Given:
    """Return a response that a program sends as JSON; raise HTTPException."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise HTTPException(400, "This response is no JSON.") from None


# --- the end ---------------------------------------------------------------------------------------------------------


def _finish_page(desk: Desk, asked: Asked) -> Response:
    sitting = desk.latest(asked.who)
    if sitting is None:
        return _see("/")
    if sitting.finished:
        return _see("/result")
    places = sitting.places()
    missing = [place.position + 1 for place in places if not place.answers and place.state != "lapsed"]
    return _page(
        "finish.html", desk, asked, missing=missing, links=_links(sitting, places, -1, False),
        seconds_left=sitting.seconds_left,
    )  # fmt: skip


def _finish(desk: Desk, asked: Asked) -> Response:
    sitting = desk.latest(asked.who)
    if sitting is None:
        return _see("/")
    sitting.finish()
    return _see("/result")


def _result(desk: Desk, asked: Asked) -> Response:
    sitting = desk.latest(asked.who)
    if sitting is None:
        return _see("/")
    if not sitting.finished:
        return _see("/finish")
    told = sitting.rules.reveal != "never"
    places = sitting.places()
    score = sitting.score() if told else None
    if asked.wants_json:
        return JSONResponse({"earned": score.earned, "possible": score.possible} if score else {"earned": None})
    return _page(
        "result.html", desk, asked, score=score, links=_links(sitting, places, -1, True), told=told,
        answered=sum(bool(place.answers) for place in places), total=len(places),
        reading=sitting.reading(desk.misconceptions) if told else (), more=desk.may_begin(asked.who),
        counts=_counts(score.counts) if score else (),
    )  # fmt: skip


def _counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    words = {name: text for name, (_, text) in STATES.items()} | {"unanswered": "Not answered"}
    return [(words[name], counts[name]) for name in words if counts.get(name)]


# --- the instructor --------------------------------------------------------------------------------------------------


def _live(desk: Desk, asked: Asked) -> Response:
    token = desk.keys.live_token()
    given = asked.request.query_params.get("token")
    if given is not None:
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(403, "This is not the token that the command printed.")
        # the token leaves the address, which is shown, kept in histories and projected onto walls
        response = _see("/live")
        _remember(response, asked, LIVE_COOKIE, token)
        return response
    if not hmac.compare_digest(asked.request.cookies.get(LIVE_COOKIE, "").encode(), token.encode()):
        raise HTTPException(403, "This page is for instructors: open the address that the command printed.")
    seen = live.look(desk)
    return JSONResponse(live.as_dict(seen)) if asked.wants_json else _page("live.html", desk, None, seen=seen)


# --- files -----------------------------------------------------------------------------------------------------------


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in SERVED:
        raise HTTPException(404, "There is no such file.")
    content = await anyio.to_thread.run_sync((STATIC / name).read_bytes)
    return Response(content, media_type=SERVED[name], headers={"cache-control": "no-cache"})


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok")
