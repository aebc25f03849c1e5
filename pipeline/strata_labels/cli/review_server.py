"""`strata review --serve`: the review page for several curators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from strata_labels.errors import Problem, refuse
from strata_labels.messages import warn

if TYPE_CHECKING:
    from strata_labels.build import Workspace
    from strata_labels.review.page import ReviewSetup


@dataclass(frozen=True)
class Address:
    """Where a review is served.

    Attributes:
        host, port: what the server binds to.
        url: where curators reach it, "" for the same.
        proxy: whose word on a request's address counts, "" for nobody's.
    """

    host: str
    port: int
    url: str
    proxy: str


def address_of(
    serve: str | None,
    curators: Path | None,
    url: str | None,
    proxy: str | None,
    others: Sequence[str],
) -> Address:
    """Where a review is served, from the options.

    Args:
        serve: `HOST:PORT`.
        curators: the file that names them.
        url: where they reach the page.
        proxy: its address.
        others: options that were given and are for one reviewer alone.

    Raises:
        InputError: everything that is wrong with them.
    """
    problems = []
    if serve is None:
        fix = "Add --serve HOST:PORT, such as 127.0.0.1:8000."
        problems.append(Problem("--curators", "is for a served page", fix))
    if curators is None:
        fix = "Add --curators FILE, which has a table for each curator, such as [ann]."
        problems.append(Problem("--serve", "does not say who may answer", fix))
    problems += [Problem(name, "is not for a served page", "Leave it out.") for name in others]
    host, _, number = (serve or "127.0.0.1:0").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    port = int(number) if number.isdecimal() and len(number) < 6 else -1
    if not host or not 0 <= port < 65536:
        fix = "Write HOST:PORT, such as 127.0.0.1:8000."
        problems.append(Problem("--serve", "no address to serve at:", fix, value=serve))
    if url is not None:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if not whole or parts.path.strip("/") or parts.query or parts.fragment:
            fix = "Write a whole origin, such as https://labels.example.org."
            problems.append(Problem("--url", "no address of a site:", fix, value=url))
    elif host in ("0.0.0.0", "::"):
        fix = "Add --url with the address that the curators open."
        problems.append(Problem("--serve", "every address of this machine:", fix, value=serve))
    if proxy is not None and not _is_address(proxy):
        fix = "Write the proxy's IP address as this machine sees it, such as 127.0.0.1."
        problems.append(Problem("--proxy", "no IP address:", fix, value=proxy))
    refuse(problems)
    return Address(host, port, (url or "").rstrip("/"), proxy or "")


def serve_curators(
    workspace: Workspace,
    setup: ReviewSetup,
    at: Address,
    curators: Path,
    blind: bool,
    twice: float,
) -> None:
    """Serves the page until it is ended. Tree and sheet are not rebuilt, so that it ends at once.

    Args:
        workspace: a finished build.
        setup: what is reviewed.
        at: where it is served.
        curators: the file that names them.
        blind: hide what is proposed.
        twice: share of the open item rows, the most doubtful ones, that two are asked.
    """
    from strata_labels.cli.review import learning
    from strata_labels.review.page import Review, Team, open_team

    def tell(name: str, link: str) -> None:
        print(f"Link of {name}, told this once: {link}", flush=True)

    def remark(text: str) -> None:
        warn(f"warning: {text}")

    with learning(workspace) as learn:

        def team_of(own: str) -> Team:
            review = Review(replace(setup, learn=learn), twice=twice)
            url = at.url or f"http://{own}"
            return Team(review, curators, url, own, at.proxy, blind, tell, remark)

        with open_team(setup, at.host, at.port, team_of) as (page, team):
            parts = urlsplit(at.url or page.address)
            if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
                remark("links and answers travel unencrypted: put a proxy with TLS before the page")
            if not team.has_owner:
                remark(f"nobody in {curators} has `owner = true` and sees what all do")
            print(f"Review page for {', '.join(team.names)}: {page.address}", flush=True)
            print("Ctrl-C ends it.", flush=True)
            page.run()
    print(f"\n{team.recorded} lines added to {setup.ledgers[-1]}", flush=True)
    print(
        f"To bring them into tree and sheet: strata review {workspace.folder} --sheet", flush=True
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
