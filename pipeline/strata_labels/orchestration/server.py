"""A temporary Prefect server: on this machine only, with its data in a workspace.

`serve` is the server's own process. It ends when its standard input does, and so with the process
that started it, whatever ends that one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, RetryError
from strata_labels.messages import say
from strata_labels.progress import activity

_HOST = "127.0.0.1"
_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
}

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Any]


@contextmanager
def prefect_server(folder: Path) -> Iterator[None]:
    """Gives Prefect a server: the one that is set (PREFECT_API_URL), else a temporary one.

    Args:
        folder: a temporary server keeps its data in `.prefect` below it.

    Raises:
        RetryError: the server did not start.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_without_traceback)
    if PREFECT_API_URL.value():
        yield
        return
    say("Starting a temporary server for it.")  # the imports took a while
    home, fresh = folder / ".prefect", not folder.exists()
    try:
        with (
            temporary_server(home) as address,
            temporary_settings({PREFECT_API_URL: address, PREFECT_HOME: home}),
        ):
            try:
                yield
            finally:
                APILogWorker.drain_all(at_exit=False)
                EventsWorker.drain_all(at_exit=False)
    except InputError:
        # A folder whose name was mistyped shall not be there afterwards.
        with suppress(OSError):
            if fresh and [each.name for each in folder.iterdir()] == [home.name]:
                shutil.rmtree(folder)
        raise


def _without_traceback(record: logging.LogRecord) -> bool:
    """Logs an error that a user can correct without its traceback; no page that has no server."""
    if record.exc_info and isinstance(record.exc_info[1], InputError | RetryError):
        record.exc_info = None
    return not record.getMessage().startswith("View at ")


@contextmanager
def temporary_server(home: Path) -> Iterator[str]:
    """Runs a server in a process of its own; yields the address of its API.

    Args:
        home: folder of its data.

    Raises:
        RetryError: it did not start.
    """
    home.mkdir(parents=True, exist_ok=True)
    kept = kept_database()
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()", str(home), str(kept)]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdin and process.stdout
    try:
        with activity("Starting a temporary Prefect server"):
            address = process.stdout.readline().strip()
        if not address:
            raise RetryError(f"Prefect's server did not start; see {home / 'server.log'}")
        yield address
    finally:
        process.stdin.close()
        process.wait()


def kept_database() -> Path:
    """Where the first server keeps its empty database, for the next ones to begin with a copy."""
    from strata_labels.files import user_cache  # imports pandas, which the server does not need

    return user_cache() / f"prefect-{version('prefect')}.db"


class LocalRequests:
    """ASGI middleware that refuses requests by pages of another origin or host name."""

    def __init__(self, app: App, authority: str) -> None:
        self.app, self.authority = app, authority.encode()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answers 403, or closes a websocket, where `Origin` or `Host` is not the server's own."""
        if scope["type"] in ("http", "websocket"):
            headers = dict(scope["headers"])
            own = b"http://" + self.authority
            foreign = headers.get(b"origin", own) != own
            if foreign or headers.get(b"host") != self.authority:
                if scope["type"] == "http":
                    await send({"type": "http.response.start", "status": 403, "headers": []})
                    await send({"type": "http.response.body", "body": b"foreign origin"})
                else:
                    await send({"type": "websocket.close", "code": 1008})
                return
        await self.app(scope, receive, send)


def serve() -> None:
    """Serves Prefect's API until standard input ends; prints the API's address when it answers."""
    home, kept = map(Path, sys.argv[1:])
    listening = socket.create_server((_HOST, 0))
    authority = f"{_HOST}:{listening.getsockname()[1]}"
    os.environ |= _QUIET | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{authority}",
        "PREFECT_UI_ENABLED": "false",
    }
    os.environ.pop("PREFECT_API_URL", None)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError, sqlite3.Error):  # the server makes it itself
        _make_database(home / "prefect.db", kept)

    import uvicorn
    from prefect.server.api.server import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(f"http://{authority}/api", flush=True)

    app = LocalRequests(create_app(ephemeral=True, final=True), authority)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    Server(config).run([listening])


def _make_database(database: Path, kept: Path) -> None:
    """Makes the database of a new server: a copy of the empty one that an earlier server has kept.

    Prefect makes it by all its migrations, which take longer than the rest of the start. A database
    of the user's own is left to Prefect.
    """
    from prefect.settings import get_current_settings

    chosen = get_current_settings().server.database
    url = chosen.connection_url.get_secret_value() if chosen.connection_url else ""
    if database.exists() or not url.endswith(str(database)) or not chosen.migrate_on_start:
        return
    if _is_whole(kept):
        _copy_database(_kept_uri(kept), database)
        return
    from prefect.server.database import provide_database_interface

    asyncio.run(provide_database_interface().create_db())
    kept.parent.mkdir(parents=True, exist_ok=True)
    _copy_database(database.absolute().as_uri(), kept)


def _is_whole(kept: Path) -> bool:
    """Whether a kept database can be read and has its tables; a damaged one is made anew."""
    try:
        with closing(sqlite3.connect(_kept_uri(kept), uri=True)) as one:
            sound = one.execute("PRAGMA quick_check").fetchone() == ("ok",)
            return sound and one.execute("SELECT 1 FROM alembic_version").fetchone() is not None
    except sqlite3.DatabaseError:
        return False


def _kept_uri(kept: Path) -> str:
    # Nobody writes to it, and its folder may be one that nobody can write to.
    return f"{kept.absolute().as_uri()}?mode=ro&immutable=1"


def _copy_database(source: str, target: Path) -> None:
    """Copies a database, named by its address, to a file that appears whole."""
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with (
            closing(sqlite3.connect(source, uri=True)) as one,
            closing(sqlite3.connect(beside)) as other,
        ):
            one.backup(other)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
