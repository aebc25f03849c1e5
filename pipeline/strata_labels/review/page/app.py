"""The page's HTTP application, and the requests it refuses."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from strata_labels.errors import InputError, RetryError
from strata_labels.review.page.answer_check import Refused
from strata_labels.review.page.desk import Desk
from strata_labels.review.page.guard import Entrance, Guard, Visit, rejection
from strata_labels.review.page.overview import overview_routes, read_view
from strata_labels.review.page.review import Stale
from strata_labels.review.page.team import Team
from strata_labels.review.page.tree_page import tree_routes

_FOLDER = Path(__file__).parent
_MARK = "__NONCE__"

#: The page's own files besides the document, with their types.
_FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "grid.js": "text/javascript",
    "overview.js": "text/javascript",
    "tree.js": "text/javascript",
    "viewer.js": "text/javascript",
}


def make_app(entrance: Entrance, team: Team | None = None) -> ASGIApp:
    """The page's application.

    Args:
        entrance: who may come in.
        team: the curators, whose owner sees what they do; None for one reviewer alone.
    """

    async def page(request: Request) -> Response:
        desk = desk_of(request)
        values = {
            "__TITLE__": desk.setup.title,
            "__REVIEWER__": desk.reviewer,
            "__BLIND__": "blind" if desk.blind else "",
        }
        return _document("page.html", values, filter(None, [desk.setup.online_server]))

    async def curators(request: Request) -> Response:
        desk = desk_of(request)
        if not request.scope["visit"].owner:
            return rejection(403, "This page is for the owner of the review.")
        return _document("curators.html", {"__TITLE__": desk.setup.title})

    async def report(request: Request) -> Response:
        if team is None or not request.scope["visit"].owner:
            return rejection(403, "This page is for the owner of the review.")
        return await _answer(team.report)

    async def file(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response((_FOLDER / name).read_bytes(), media_type=_FILES[name])

    async def row(request: Request) -> Response:
        asked, desk = dict(request.query_params), desk_of(request)
        return await _answer(
            partial(desk.show, asked.get("row", ""), asked.get("after", ""), **read_view(asked))
        )

    async def search(request: Request) -> Response:
        asked = request.query_params
        word = asked.get("for", "move")
        search, text = desk_of(request).search, asked.get("q", "")[:200]
        return await _answer(search, text, asked.get("row", ""), word)

    async def decide(request: Request) -> Response:
        given, desk = await _given(request), desk_of(request)
        if given is None:
            return rejection(400, "A decision is a JSON object of texts and a list of rows.")

        def act() -> dict[str, Any]:
            state, word, target = given["state"], given["decision"], given["target"]
            message = desk.decide(state, rows, word, target, given["note"], view.pop("reopen"))
            return {"message": message, **desk.show(given["then"], given["row_id"], **view)}

        rows, view = given["rows"] or [given["row_id"]], read_view(_view_of(given))
        about = {"row": rows[0], "rows": len(rows)}
        request.scope["visit"].about |= about | {k: given[k] for k in ("decision", "target")}
        return await _answer(act, again=_again(desk, given))

    async def undo(request: Request) -> Response:
        given, desk = await _given(request), desk_of(request)
        if given is None:
            return rejection(400, "An undo is a JSON object of texts.")

        def act() -> dict[str, Any]:
            message, row_id = desk.undo(given["state"])
            request.scope["visit"].about["row"] = row_id
            shown = desk.show(row_id, **read_view(_view_of(given)))
            return {"message": message or "Nothing is left to take back", **shown}

        return await _answer(act, again=_again(desk, given))

    async def withdraw(request: Request) -> Response:
        given, desk = await _given(request), desk_of(request)
        if given is None:
            return rejection(400, "A withdrawal is a JSON object of texts.")

        def act() -> dict[str, Any]:
            of_answer = (given["time"], given["decision"], given["target"])
            message = desk.withdraw(given["state"], *of_answer)
            shown = desk.show(given["row_id"], **read_view(_view_of(given)))
            return {"message": message, **shown}

        request.scope["visit"].about |= {k: given[k] for k in ("time", "decision", "target")}
        return await _answer(act, again=_again(desk, given))

    async def picture(request: Request) -> Response:
        asked = request.query_params
        of = (asked.get("item", ""), asked.get("id", ""), asked.get("size", ""))
        drawn = await run_in_threadpool(desk_of(request).picture, *of)
        if drawn is None:
            return rejection(404, "No such picture in this workspace.")
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
        *overview_routes(desk_of, _answer),
        *tree_routes(desk_of, _answer, _given, rejection),
    ]
    if team:
        routes += [Route("/curators", curators), Route("/curators.json", report)]
    return Guard(Starlette(routes=[Mount("/{secret}", routes=routes)]), entrance)


def desk_of(request: Request) -> Desk:
    """The desk of whom a request comes from."""
    visit: Visit = request.scope["visit"]
    return visit.desk


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


def _again(desk: Desk, given: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Shows the row of a request that came too late, as it is now."""
    return partial(desk.show, given["row_id"], **read_view(_view_of(given)))


async def _answer(
    act: Callable[..., dict[str, Any]],
    *args: Any,
    again: Callable[[], dict[str, Any]] = dict,
) -> Response:
    """Runs what may wait for the disk beside the event loop; errors become answers."""

    def run() -> tuple[int, dict[str, Any]]:
        try:
            return 200, act(*args)
        except Stale as stale:
            return 409, {"message": str(stale), **again()}
        except Refused as refused:
            return 422, {"message": str(refused)}
        except (RetryError, OSError) as error:
            return 503, {"message": f"Nothing was recorded: {error}"}
        except InputError as error:
            return 500, {"message": f"The ledger or a table cannot be read: {error}"}

    status, value = await run_in_threadpool(run)
    return JSONResponse(value, status)


def _document(name: str, values: dict[str, str], pictures: Iterable[str] = ()) -> Response:
    """One of the page's documents with values for its marks; nothing from elsewhere runs in it."""
    nonce = secrets.token_urlsafe(16)
    text = (_FOLDER / name).read_text(encoding="utf-8").replace(_MARK, nonce)
    for mark, value in values.items():
        text = text.replace(mark, _escaped(value))
    images = " ".join(["'self'", "data:", *pictures])
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        f"img-src {images}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"content-security-policy": policy})


def _escaped(text: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(letter, entity)
    return text
