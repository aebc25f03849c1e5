"""The page's HTTP application, and the requests it refuses."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strata_labels.errors import InputError, RetryError
from strata_labels.review.page.desk import Desk, Refused
from strata_labels.review.page.overview import overview_routes, read_view
from strata_labels.review.page.review import Stale

#: No decision is longer than this, nor takes so many seconds to arrive.
LARGEST_BODY, BODY_SECONDS = 64 * 1024, 10.0

_FOLDER = Path(__file__).parent
_MARK = "__NONCE__"

#: The page's own files besides the document, with their types.
_FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "grid.js": "text/javascript",
    "overview.js": "text/javascript",
}


def make_app(desk: Desk, token: str, port: int) -> ASGIApp:
    """The page's application.

    Args:
        desk: answers.
        token: first part of every path.
        port: where it is served; other hosts and origins are refused.
    """

    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        values = {
            "__TITLE__": desk.setup.title,
            "__REVIEWER__": desk.reviewer,
            "__BLIND__": "blind" if desk.blind else "",
        }
        text = (_FOLDER / "page.html").read_text(encoding="utf-8").replace(_MARK, nonce)
        for mark, value in values.items():
            text = text.replace(mark, _escaped(value))
        pictures = ["'self'", "data:", *filter(None, [desk.setup.online_server])]
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            f"img-src {' '.join(pictures)}; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(text, headers={"content-security-policy": policy})

    async def file(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response((_FOLDER / name).read_bytes(), media_type=_FILES[name])

    async def row(request: Request) -> Response:
        asked = dict(request.query_params)
        return await _answer(
            partial(desk.show, asked.get("row", ""), asked.get("after", ""), **read_view(asked))
        )

    async def search(request: Request) -> Response:
        asked = request.query_params
        word = asked.get("for", "move")
        return await _answer(desk.search, asked.get("q", "")[:200], asked.get("row", ""), word)

    async def decide(request: Request) -> Response:
        given = await _given(request)
        if given is None:
            return _refusal(400, "A decision is a JSON object of texts and a list of rows.")

        def act() -> dict[str, Any]:
            state, word, target = given["state"], given["decision"], given["target"]
            message = desk.decide(state, rows, word, target, given["note"], view.pop("reopen"))
            return {"message": message, **desk.show(given["then"], given["row_id"], **view)}

        rows, view = given.pop("rows") or given["row_id"], read_view(_view_of(given))
        return await _answer(act, desk=desk, row_id=given["row_id"])

    async def undo(request: Request) -> Response:
        given = await _given(request)
        if given is None:
            return _refusal(400, "An undo is a JSON object of texts.")

        def act() -> dict[str, Any]:
            message, row_id = desk.undo(given["state"])
            shown = desk.show(row_id, **read_view(_view_of(given)))
            return {"message": message or "Nothing is left to take back", **shown}

        return await _answer(act, desk=desk, row_id=given["row_id"])

    async def withdraw(request: Request) -> Response:
        given = await _given(request)
        if given is None:
            return _refusal(400, "A withdrawal is a JSON object of texts.")

        def act() -> dict[str, Any]:
            of_answer = (given["time"], given["decision"], given["target"])
            message = desk.withdraw(given["state"], *of_answer)
            shown = desk.show(given["row_id"], **read_view(_view_of(given)))
            return {"message": message, **shown}

        return await _answer(act, desk=desk, row_id=given["row_id"])

    async def picture(request: Request) -> Response:
        asked = request.query_params
        item, image = asked.get("item", ""), asked.get("id", "")
        drawn = await run_in_threadpool(desk.picture, item, image)
        if drawn is None:
            return _refusal(404, "No such picture in this workspace.")
        # Pixels alone are passed on: a file may hold a program for the browser (SVG, polyglots).
        policy = {"content-security-policy": "default-src 'none'; sandbox"}
        return Response(drawn, media_type="image/jpeg", headers=policy)

    routes = [
        Route("/", page),
        *(Route(f"/{name}", file) for name in _FILES),
        Route("/row", row),
        Route("/search", search),
        Route("/picture", picture),
        Route("/decide", decide, methods=["POST"]),
        Route("/undo", undo, methods=["POST"]),
        Route("/withdraw", withdraw, methods=["POST"]),
        *overview_routes(lambda _request: desk, _answer),
    ]
    inner = Starlette(routes=[Mount(f"/{token}", routes=routes)])
    return _Guard(inner, token, port)


class _Guard:
    """Lets through only what the page itself, opened from its full address, asks for."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                refusal = _refusal(413, f"More than {LARGEST_BODY} bytes, or {BODY_SECONDS:.0f} s.")
            else:
                receive = _replayed(body, receive)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: dict[str, list[str]]) -> Response | None:
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return _refusal(421, "This page answers on 127.0.0.1 only.")
        allowed = {f"http://{host}" for host in self._hosts}
        if any(origin not in allowed for origin in origins):
            return _refusal(403, "Another site may not ask here.")
        sites = headers.get("sec-fetch-site", [])
        if any(site not in ("same-origin", "none") for site in sites) and scope["method"] != "GET":
            return _refusal(403, "Another site may not ask here.")
        if any(site == "cross-site" for site in sites):
            top = headers.get("sec-fetch-dest", []) == ["document"]
            if not top:
                return _refusal(403, "Another site may not ask here.")
        given = scope["path"].lstrip("/").partition("/")[0]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return _refusal(403, "Open the address that `strata review` printed, all of it.")
        if scope["method"] == "POST":
            if not origins:
                return _refusal(403, "A decision comes from the page: it must name its origin.")
            if headers.get("content-type", [""])[0].partition(";")[0] != "application/json":
                return _refusal(415, "Send JSON.")
            length = headers.get("content-length", ["0"])[0]
            if not length.isdecimal() or len(length) > 18 or int(length) > LARGEST_BODY:
                return _refusal(413, f"More than {LARGEST_BODY} bytes.")
        return None


_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


async def _body(receive: Receive) -> bytes | None:
    """The body, or None if it is too large or too slow; nothing beyond the limit is kept."""
    parts, size, more = [], 0, True
    while more:
        try:
            message = await asyncio.wait_for(receive(), BODY_SECONDS)
        except TimeoutError:
            return None
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_body() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_body


async def _given(request: Request) -> dict[str, Any] | None:
    """The request's texts and its list `rows`, those left out blank; None if it is none."""
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    rows = value.pop("rows", [])
    if not isinstance(rows, list) or not all(isinstance(v, str) for v in [*value.values(), *rows]):
        return None
    names = ("state", "row_id", "decision", "target", "note", "then", "time", "view")
    return {"rows": rows, **{name: value.get(name, "") for name in names}}


def _view_of(given: dict[str, Any]) -> dict[str, str]:
    """The view that a request carries, which is the query of the page's own address."""
    return dict(parse_qsl(given["view"]))


async def _answer(
    act: Callable[..., dict[str, Any]],
    *args: Any,
    desk: Desk | None = None,
    row_id: str = "",
) -> Response:
    """Runs what may wait for the disk beside the event loop; errors become answers."""

    def run() -> tuple[int, dict[str, Any]]:
        try:
            return 200, act(*args)
        except Stale:
            text = (
                "Somebody decided elsewhere meanwhile, in another window or program. Nothing of "
                "this window was recorded; this is the present state."
            )
            return 409, {"message": text, **(desk.show(row_id) if desk else {})}
        except Refused as refused:
            return 422, {"message": str(refused)}
        except (RetryError, OSError) as error:
            return 503, {"message": f"Nothing was recorded: {error}"}
        except InputError as error:
            return 500, {"message": f"The ledger or a table cannot be read: {error}"}

    status, value = await run_in_threadpool(run)
    return JSONResponse(value, status)


def _refusal(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status)


def _escaped(text: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(letter, entity)
    return text
