"""Serves the page: one server per ledger, by default reachable from this machine only."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from strata_labels.errors import InputError, Problem
from strata_labels.files import only_one
from strata_labels.review.ledger import lock_of
from strata_labels.review.page.app import make_app
from strata_labels.review.page.desk import Desk
from strata_labels.review.page.guard import Headers, Visit, rejection, secret_of
from strata_labels.review.page.review_rows import ReviewSetup
from strata_labels.review.page.team import Team

#: Seconds that a connection may take to send the head of its first request.
HEAD_SECONDS = 10.0


class _Protocol(H11Protocol):
    """HTTP whose connections are closed if they do not ask for anything in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self.cycle is None:
            self.transport.close()


@dataclass(frozen=True)
class Served:
    """A page that is bound to its port and answers once it is run."""

    address: str
    server: uvicorn.Server
    socket: socket.socket

    def run(self) -> None:
        """Answers until the process is interrupted (Ctrl-C), terminated, or its terminal closed.

        What is being recorded then is recorded first.
        """
        with suppress(KeyboardInterrupt), self._ended_by(signal.SIGHUP):
            self.server.run(sockets=[self.socket])

    @contextmanager
    def _ended_by(self, number: signal.Signals) -> Iterator[None]:
        """Lets a signal that the server does not know end it as SIGTERM does."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(number)
        if before != signal.SIG_IGN:
            signal.signal(number, self.server.handle_exit)
        try:
            yield
        finally:
            # A shell passes on the terminal's SIGHUP: a second one must not stop the rebuild.
            again = number in self.server._captured_signals
            signal.signal(number, signal.SIG_IGN if again else before)


class _Alone:
    """The entrance of one reviewer on this machine."""

    def __init__(self, desk: Desk, port: int) -> None:
        self._desk, self.secret = desk, secrets.token_urlsafe(24)
        self.hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self.origins = frozenset(f"http://{host}" for host in self.hosts)

    def visit(self, scope: Scope, headers: Headers) -> Visit | Response:
        """See `Entrance`."""
        if not secrets.compare_digest(secret_of(scope).encode(), self.secret.encode()):
            return rejection(403, "Open the address that `strata review` printed, all of it.")
        return Visit(self._desk, self.secret)

    def log(self, scope: Scope, headers: Headers, visit: Visit | None, status: int) -> None:
        """See `Entrance`: nothing is noted."""


@contextmanager
def open_page(desk: Desk, port: int = 0) -> Iterator[Served]:
    """Binds the page to 127.0.0.1, as the only one on its ledger.

    Args:
        desk: what it shows.
        port: 0 for any that is free.

    Raises:
        InputError: the port is taken.
        RetryError: another page is open on the ledger.
    """
    with _bound(desk.setup, "127.0.0.1", port, "--port") as (bound, port):
        alone = _Alone(desk, port)
        address = f"http://127.0.0.1:{port}/{alone.secret}/"
        yield Served(address, _server(make_app(alone)), bound)


@contextmanager
def open_team(
    setup: ReviewSetup, host: str, port: int, team_of: Callable[[str], Team]
) -> Iterator[tuple[Served, Team]]:
    """Binds the page for several curators, as the only one on its ledger.

    Args:
        setup: what is reviewed.
        host: name or address to bind to.
        port: 0 for any that is free.
        team_of: makes the curators' entrance, for the `HOST:PORT` that is bound.

    Raises:
        InputError: host or port cannot be bound; what `team_of` raises.
        RetryError: another page is open on the ledger.
    """
    with _bound(setup, host, port, "--serve") as (bound, port):
        own = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        team = team_of(own)
        team.audit.write("start", address=own)
        try:
            yield Served(f"http://{own}/", _server(make_app(team, team)), bound), team
        finally:
            team.audit.write("end", address=own)


@contextmanager
def _bound(
    setup: ReviewSetup, host: str, port: int, option: str
) -> Iterator[tuple[socket.socket, int]]:
    """A listening socket and its port, under the lock of the ledger's page."""
    lock_file = lock_of(setup.ledgers[-1].resolve())
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with only_one(lock_file, "review page") as lock, socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen()  # a browser that is quicker than the server waits
        except OSError as error:
            fix = "Give another port, or none."
            what = f"cannot be bound ({error.strerror}):"
            raise InputError(Problem(option, what, fix, value=port)) from None
        port = bound.getsockname()[1]
        os.pwrite(lock, f"process {os.getpid()} (review page on port {port})\n".encode(), 0)
        yield bound, port


def _server(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # where a request comes from is for the entrance to say
        ws="none",
        http=_Protocol,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
