"""The page's HTTP application: its documents, what is looked at, what is done."""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from strata_labels.errors import InputError, RetryError
from strata_labels.review.page.answers import Refused
from strata_labels.review.page.desk import Desk
from strata_labels.review.page.facets import Facets
from strata_labels.review.page.guard import Entrance, Guard, Visit, rejection
from strata_labels.review.page.review import Stale
from strata_labels.review.page.team import Team
from strata_labels.review.page.tree_page import preview_edit, record_edit, shown_node

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

# Characters of a search, and of a name, a description or a list of members, at most.
_LONGEST_QUERY, _LONGEST_EDIT = 200, 20_000

Shown = dict[str, Any]


def make_app(entrance: Entrance, team: Team | None = None) -> ASGIApp:
    """The page's application.

    Args:
        entrance: who may come in.
        team: the curators, whose owner sees what they do; None for one reviewer alone.
    """

    async def report(request: Request) -> Response:
        if team is None or not request.scope["visit"].owner:
            return _for_owner()
        return await _answer(team.report)

    routes = [
        Route("/", _page),
        *(Route(f"/{name}", _file) for name in _FILES),
        Route("/picture", _picture),
        *(Route(f"/{name}", _looking(look)) for name, look in _LOOKS.items()),
        *(Route(f"/{name}", _acting(act), methods=["POST"]) for name, act in _ACTS.items()),
    ]
    if team:
        routes += [Route("/curators", _curators), Route("/curators.json", report)]
    return Guard(Starlette(routes=[Mount("/{secret}", routes=routes)]), entrance)


# --- documents and files ---------------------------------------------------------------------


async def _page(request: Request) -> Response:
    desk = _desk_of(request)
    values = {
        "__TITLE__": desk.setup.title,
        "__REVIEWER__": desk.reviewer,
        "__BLIND__": "blind" if desk.blind else "",
    }
    return _document("page.html", values, filter(None, [desk.setup.online_server]))


async def _curators(request: Request) -> Response:
    if not request.scope["visit"].owner:
        return _for_owner()
    return _document("curators.html", {"__TITLE__": _desk_of(request).setup.title})


def _for_owner() -> Response:
    return rejection(403, "This page is for the owner of the review.")


async def _file(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return Response((_FOLDER / name).read_bytes(), media_type=_FILES[name])


async def _picture(request: Request) -> Response:
    asked = request.query_params
    of = (asked.get("item", ""), asked.get("id", ""), asked.get("size", ""))
    drawn = await run_in_threadpool(_desk_of(request).picture, *of)
    if drawn is None:
        return rejection(404, "No such picture in this workspace.")
    # Pixels alone are passed on: a file may hold a program for the browser (SVG, polyglots).
    policy = {"content-security-policy": "default-src 'none'; sandbox"}
    return Response(drawn, media_type="image/jpeg", headers=policy)


# --- looking: what is asked for with the query of an address -----------------------------------

_Texts = Mapping[str, str]


def _row(desk: Desk, asked: _Texts) -> Shown:
    return desk.show(asked.get("row", ""), asked.get("after", ""), **_view(asked))


def _search(desk: Desk, asked: _Texts) -> Shown:
    return desk.search(_query(asked), asked.get("row", ""), asked.get("for", "move"))


def _decided(desk: Desk, asked: _Texts) -> Shown:
    start = asked.get("start", "")
    first = int(start) if start.isdecimal() and len(start) < 9 else 0
    return desk.answers(asked.get("by", ""), _query(asked), first)


def _tree(desk: Desk, asked: _Texts) -> Shown:
    return shown_node(desk, asked.get("node", ""), _query(asked), asked.get("for", ""))


def _preview(desk: Desk, asked: _Texts) -> Shown:
    names = ("node", "decision", "target")
    return preview_edit(desk, *(asked.get(name, "")[:_LONGEST_EDIT] for name in names))


def _query(asked: _Texts) -> str:
    return asked.get("q", "")[:_LONGEST_QUERY]


_LOOKS: dict[str, Callable[[Desk, _Texts], Shown]] = {
    "row": _row,
    "search": _search,
    "facets": lambda desk, asked: desk.facets(Facets.read(asked)),
    "find": lambda desk, asked: desk.find(_query(asked)),
    "decided": _decided,
    "tree": _tree,
    "preview": _preview,
}


def _looking(look: Callable[[Desk, _Texts], Shown]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await _answer(partial(look, _desk_of(request), request.query_params))

    return handle


def _view(given: _Texts) -> dict[str, Any]:
    """How a request wants its row: `single`, `reopen` and `facets`, as `Desk.show` takes them."""
    return {
        "single": given.get("single", "") == "yes",
        "reopen": given.get("reopen", "") == "yes",
        "facets": Facets.read(given),
    }


# --- acting: what is posted as JSON --------------------------------------------------------


class _Posted(NamedTuple):
    """What a request to act says; texts that it leaves out are blank.

    Attributes:
        rows: ids of rows.
        text: the other texts by name.
        about: what it is about, for the log.
    """

    rows: list[str]
    text: defaultdict[str, str]
    about: dict[str, object]

    @property
    def view(self) -> dict[str, Any]:
        """The view that it carries, which is the query of the page's own address."""
        return _view(dict(parse_qsl(self.text["view"])))

    def note(self, *names: str) -> list[str]:
        """Notes some texts for the log, and gives them."""
        texts = [self.text[name] for name in names]
        self.about.update(zip(names, texts, strict=True))
        return texts


def _decide(desk: Desk, given: _Posted) -> Shown:
    text, view, rows = given.text, given.view, given.rows or [given.text["row_id"]]
    given.about.update({"row": rows[0], "rows": len(rows)})
    answer = (*given.note("decision", "target"), text["note"], view.pop("reopen"))
    said = desk.decide(text["state"], rows, *answer)
    return {"message": said, **desk.show(text["then"], text["row_id"], **view)}


def _undo(desk: Desk, given: _Posted) -> Shown:
    said, row_id = desk.undo(given.text["state"])
    given.about["row"] = row_id
    return {"message": said or "Nothing is left to take back", **desk.show(row_id, **given.view)}


def _withdraw(desk: Desk, given: _Posted) -> Shown:
    answer = given.note("time", "decision", "target")
    said = desk.withdraw(given.text["state"], *answer)
    return {"message": said, **desk.show(given.text["row_id"], **given.view)}


def _edit(desk: Desk, given: _Posted) -> Shown:
    text = given.text
    text["target"] = text["target"][:_LONGEST_EDIT]
    given.about["row"] = text["node"]
    edit = (text["node"], *given.note("decision", "target"), text["note"])
    said = record_edit(desk, text["state"], *edit)
    return {"message": said, **desk.show(text["row_id"])}


_ACTS = {"decide": _decide, "undo": _undo, "withdraw": _withdraw, "edit": _edit}


def _acting(act: Callable[[Desk, _Posted], Shown]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        given, desk = await _posted(request), _desk_of(request)
        if given is None:
            return rejection(400, "A request to act is a JSON object of texts and a list of rows.")
        # Of a request that came too late its row is shown, as it is now.
        again = partial(desk.show, given.text["row_id"], **given.view)
        return await _answer(partial(act, desk, given), again)

    return handle


async def _posted(request: Request) -> _Posted | None:
    """What a request says; None if it is no object of texts and a list of rows."""
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    rows = value.pop("rows", [])
    if not isinstance(rows, list) or not all(isinstance(v, str) for v in [*value.values(), *rows]):
        return None
    return _Posted(rows, defaultdict(str, value), request.scope["visit"].about)


# --- answers -----------------------------------------------------------------------------


def _desk_of(request: Request) -> Desk:
    visit: Visit = request.scope["visit"]
    return visit.desk


async def _answer(act: Callable[[], Shown], again: Callable[[], Shown] = dict) -> Response:
    """Runs what may wait for the disk beside the event loop; errors become answers."""

    def run() -> tuple[int, Shown]:
        try:
            return 200, act()
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
        text = text.replace(mark, escape(value))
    images = " ".join(["'self'", "data:", *pictures])
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        f"img-src {images}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"content-security-policy": policy})
