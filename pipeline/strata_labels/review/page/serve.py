"""Serves the page: one server per ledger, reachable from this machine only."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from strata_labels.errors import InputError, Problem
from strata_labels.files import only_one
from strata_labels.review.ledger import lock_of
from strata_labels.review.page.app import make_app
from strata_labels.review.page.desk import Desk

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
    lock_file = lock_of(desk.setup.ledgers[-1].resolve())
    with only_one(lock_file, "review page") as lock, socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(("127.0.0.1", port))
            bound.listen()  # a browser that is quicker than the server waits
        except OSError as error:
            fix = "Give another port, or none."
            what = f"cannot be bound ({error.strerror}):"
            raise InputError(Problem("--port", what, fix, value=port)) from None
        port = bound.getsockname()[1]
        token = secrets.token_urlsafe(24)
        os.pwrite(lock, f"process {os.getpid()} (review page on port {port})\n".encode(), 0)
        config = uvicorn.Config(
            make_app(desk, token, port),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            ws="none",
            http=_Protocol,
            timeout_graceful_shutdown=2,
        )
        yield Served(f"http://127.0.0.1:{port}/{token}/", uvicorn.Server(config), bound)
