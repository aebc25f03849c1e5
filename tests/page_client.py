"""A client of the review page that sends what a test wants, byte for byte."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit


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
