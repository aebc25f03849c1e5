"""The review page in a process of its own, and a client that sends what a test wants."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from building import strata_environment
from strata_labels.review.page.serve import Served


class ReviewCommand:
    """`strata review`, as a curator or an owner starts it.

    Attributes:
        address: of the page.
        links: of the curators, by name, as far as they were told.
    """

    def __init__(self, workspace: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "strata_labels.cli", "review", str(workspace), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=workspace,
            env=strata_environment(Path(os.environ["HOME"])),
        )
        assert self.process.stdout is not None
        self.links: dict[str, str] = {}
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if found := re.match(r"Link of (.+), told this once: (http\S+)", line):
                self.links[found[1]] = found[2]
            if found := re.match(r"Review page.*?: (http\S+)", line):
                self.address = found[1]
                return
        raise AssertionError(self.said)

    def end(self, number: int) -> str:
        """Ends it by a signal; returns what it said then."""
        self.process.send_signal(number)
        return self.process.communicate()[0]


@contextmanager
def running(page: Served) -> Iterator[None]:
    """Runs an opened page in a thread of this process until the block ends."""
    thread = threading.Thread(target=page.run)
    thread.start()
    while not page.server.started:
        thread.join(0.02)
        assert thread.is_alive()
    try:
        yield
    finally:
        page.server.should_exit = True
        thread.join()


class Client:
    """A browser's requests, byte for byte as the test wants them."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname == "127.0.0.1"
        self.port, self.token = parts.port or 0, parts.path.strip("/")
        self.host = f"127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        token: str | None = None,
        **headers: str | None,
    ) -> tuple[int, bytes, dict[str, str]]:
        given = {"Host": self.host}
        if method == "POST":
            given |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        for name, value in headers.items():
            given.pop(name.replace("_", "-"), None)
            if value is not None:
                given[name.replace("_", "-")] = value
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(
            method, f"/{self.token if token is None else token}/{path}", skip_host=True
        )
        for name, value in given.items():
            connection.putheader(name, value)
        if body is not None and "Transfer-Encoding" not in given:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body is not None:
            connection.send(body)
        answer = connection.getresponse()
        found = answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
        connection.close()
        return found

    def decide(self, **headers: str | None) -> tuple[int, bytes, dict[str, str]]:
        shown = json.loads(self.ask("GET", "row")[1])
        given = {"state": shown["state"], "row_id": shown["row"]["row_id"], "decision": "unsure"}
        return self.ask("POST", "decide", json.dumps(given).encode(), **headers)

    def row(self, **asked: str) -> dict[str, Any]:
        """What is shown."""
        status, text, _ = self.ask("GET", "row?" + urlencode(asked))
        assert status == 200, text
        found: dict[str, Any] = json.loads(text)
        return found

    def answer(
        self, shown: dict[str, Any], decision: str = "exclude", **more: object
    ) -> tuple[int, dict[str, Any]]:
        """Answers the row that is shown."""
        given = {"state": shown["state"], "row_id": shown["row"]["row_id"], "decision": decision}
        status, text, _ = self.ask("POST", "decide", json.dumps(given | more).encode())
        return status, json.loads(text) if text.startswith(b"{") else {"message": text.decode()}
