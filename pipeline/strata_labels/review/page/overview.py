"""The page's requests that look over a review: filters, jumps, and what was decided."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strata_labels.review.page.desk import Desk
from strata_labels.review.page.facets import Facets

#: Letters of a search, at most.
LONGEST = 200


def overview_routes(
    desk_of: Callable[[Request], Desk], answer: Callable[..., Awaitable[Response]]
) -> list[Route]:
    """Routes beside those of the row that is shown; nothing here writes.

    Args:
        desk_of: the desk of whom a request comes from.
        answer: runs a function and makes its value or its error a response.
    """

    async def facets(request: Request) -> Response:
        return await answer(desk_of(request).facets, Facets.read(request.query_params))

    async def find(request: Request) -> Response:
        return await answer(desk_of(request).find, request.query_params.get("q", "")[:LONGEST])

    async def decided(request: Request) -> Response:
        asked = request.query_params
        only, text, start = asked.get("by", ""), asked.get("q", "")[:LONGEST], asked.get("start")
        first = int(start) if start and start.isdecimal() and len(start) < 9 else 0
        return await answer(desk_of(request).answers, only, text, first)

    return [Route("/facets", facets), Route("/find", find), Route("/decided", decided)]


def read_view(given: dict[str, Any]) -> dict[str, Any]:
    """How a request wants its row: `single`, `reopen` and `facets`, as `Desk.show` takes them."""
    return {
        "single": given.get("single", "") == "yes",
        "reopen": given.get("reopen", "") == "yes",
        "facets": Facets.read(given),
    }
