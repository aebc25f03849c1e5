"""The requests that the page refuses before anything is done, and the log of the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strata_labels.review.page.desk import Desk

#: No decision is longer than this, nor takes so many seconds to arrive.
LARGEST_BODY, BODY_SECONDS = 64 * 1024, 10.0

#: Headers of a request by name, as often as each was sent.
Headers = dict[str, list[str]]


@dataclass
class Visit:
    """A request of somebody who may come in.

    Attributes:
        desk: answers it.
        secret: first part of the path.
        owner: whether the page of all curators may be shown.
        address: where it comes from.
        about: what it turned out to be about, for the log.
    """

    desk: Desk
    secret: str
    owner: bool = False
    address: str = ""
    about: dict[str, object] = field(default_factory=dict)


class Entrance(Protocol):
    """Who may come in, from where.

    Attributes:
        hosts: names that the page answers to, with their ports.
        origins: of the page's own addresses.
    """

    hosts: frozenset[str]
    origins: frozenset[str]

    def visit(self, scope: Scope, headers: Headers) -> Visit | Response:
        """The visit that a request is, or its refusal."""
        ...

    def log(self, scope: Scope, headers: Headers, visit: Visit | None, status: int) -> None:
        """Notes how a request was answered."""
        ...


class Guard:
    """Lets through only what the page itself, opened from its full address, asks for.

    Args:
        app: is given requests with their `Visit` as `scope["visit"]`.
        entrance: who may come in.
    """

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        self._app, self._entrance = app, entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers: Headers = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        visit, found = None, self._from_elsewhere(scope, headers)
        came = found or self._entrance.visit(scope, headers)
        if not isinstance(came, Visit):
            found = came
        else:
            visit, scope["visit"] = came, came
            found = self._no_decision(scope, headers)
            if found is None and scope["method"] == "POST":
                body = await _body(receive)
                if body is None:
                    text = f"More than {LARGEST_BODY} bytes, or {BODY_SECONDS:.0f} s."
                    found = rejection(413, text)
                else:
                    receive = _replayed(body, receive)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
                self._entrance.log(scope, headers, visit, message["status"])
            await send(message)

        await (found or self._app)(scope, receive, guarded)

    def _from_elsewhere(self, scope: Scope, headers: Headers) -> Response | None:
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or hosts[0] not in self._entrance.hosts:
            return rejection(421, f"This page answers on {min(self._entrance.hosts)} only.")
        if any(origin not in self._entrance.origins for origin in origins):
            return rejection(403, "Another site may not ask here.")
        sites = headers.get("sec-fetch-site", [])
        if any(site not in ("same-origin", "none") for site in sites) and scope["method"] != "GET":
            return rejection(403, "Another site may not ask here.")
        if any(site == "cross-site" for site in sites):
            top = headers.get("sec-fetch-dest", []) == ["document"]
            if not top:
                return rejection(403, "Another site may not ask here.")
        return None

    @staticmethod
    def _no_decision(scope: Scope, headers: Headers) -> Response | None:
        if scope["method"] != "POST":
            return None
        if not headers.get("origin"):
            return rejection(403, "A decision comes from the page: it must name its origin.")
        if headers.get("content-type", [""])[0].partition(";")[0] != "application/json":
            return rejection(415, "Send JSON.")
        length = headers.get("content-length", ["0"])[0]
        if not length.isdecimal() or len(length) > 18 or int(length) > LARGEST_BODY:
            return rejection(413, f"More than {LARGEST_BODY} bytes.")
        return None


def secret_of(scope: Scope) -> str:
    """The first part of a request's path."""
    return str(scope["path"]).lstrip("/").partition("/")[0]


def rejection(status: int, text: str) -> Response:
    """A refusal in words."""
    return PlainTextResponse(text + "\n", status)


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
