"""Opening the page: one server a ledger, on this machine only."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from strata_labels.errors import InputError, Problem
from strata_labels.review.page.app import make_app
from strata_labels.review.page.desk import Desk


@dataclass(frozen=True)
class Served:
    """A page that is bound to its port and answers once it is run."""

    address: str
    server: uvicorn.Server
    socket: socket.socket

    def run(self) -> None:
        """Answers until the process is told to stop (Ctrl-C)."""
        with suppress(KeyboardInterrupt):
            self.server.run(sockets=[self.socket])


@contextmanager
def open_page(desk: Desk, port: int = 0) -> Iterator[Served]:
    """Binds the page to 127.0.0.1, as the only one on its ledger.

    Args:
        desk: what it shows.
        port: 0 for any that is free.

    Raises:
        InputError: another page is open on the ledger, or the port is taken.
    """
    with _only_one(desk.setup.ledgers[-1]) as lock, socket.socket() as bound:
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
        os.ftruncate(lock, 0)
        os.write(lock, f"process {os.getpid()}, port {port}\n".encode())
        config = uvicorn.Config(
            make_app(desk, token, port),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=2,
        )
        yield Served(f"http://127.0.0.1:{port}/{token}/", uvicorn.Server(config), bound)


@contextmanager
def _only_one(ledger: Path) -> Iterator[int]:
    """Holds `<ledger>.lock`; the system lets go of it however the process ends."""
    ledger = ledger.resolve()
    path = ledger.with_name(ledger.name + ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.read(descriptor, 100).decode("utf-8", "replace").strip()
            what = f"a review page is already open on this ledger ({who})"
            fix = "Go on there, or end it first."
            raise InputError(Problem(ledger, what, fix)) from None
        yield descriptor
    finally:
        os.close(descriptor)
