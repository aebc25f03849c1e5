"""The page answers itself and nobody else: a real server, asked over loopback."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import pytest
from page_client import Client
from page_world import IMAGE
from small_world import item
from strata_labels.errors import InputError, RetryError
from strata_labels.review.page import Desk, open_page
from strata_labels.review.page.serve import Served


@pytest.fixture
def client(desk: Callable[..., Desk], serve: Callable[[Desk], Served]) -> Client:
    return Client(serve(desk()).address)


def test_the_page_itself_is_answered(client: Client, ledger: Callable[[], list]) -> None:
    status, text, headers = client.ask("GET", "")
    assert status == 200 and b"<!doctype html>" in text and not re.search(rb"__[A-Z]+__", text)
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"  # the token stays here
    assert client.decide()[0] == 200
    assert (
        client.decide(Host=f"localhost:{client.port}", Origin=f"http://localhost:{client.port}")[0]
        == 200
    )
    assert len(ledger()) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": None}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 421),  # a name of theirs that points to this machine
        ({"Host": "127.0.0.1"}, 421),
        ({"Content_Type": "text/plain"}, 415),  # what a form of another site can send
        ({"Content_Type": None}, 415),
    ],
)
def test_a_decision_from_elsewhere_is_refused(
    client: Client, ledger: Callable[[], list], headers: dict[str, str | None], status: int
) -> None:
    assert client.decide(**headers)[0] == status
    assert ledger() == []


@pytest.mark.parametrize("path", ["", "row", "search?q=lake", f"picture?item={item(0)}&id={IMAGE}"])
def test_reading_from_elsewhere_is_refused(client: Client, path: str) -> None:
    assert client.ask("GET", path, Origin="http://evil.example")[0] == 403
    assert client.ask("GET", path, Host="evil.example")[0] == 421
    if path:
        assert client.ask("GET", path, Sec_Fetch_Site="cross-site")[0] == 403


@pytest.mark.parametrize("token", ["", "x", "../", "%2e%2e"])
def test_a_wrong_token_is_refused(client: Client, ledger: Callable[[], list], token: str) -> None:
    for path in ("", "row", f"picture?item={item(0)}&id={IMAGE}"):
        assert client.ask("GET", path, token=token)[0] == 403
    assert client.ask("GET", "row", token=client.token[:-1])[0] == 403
    assert client.ask("GET", "row", token=client.token + "x")[0] == 403
    assert client.ask("POST", "undo", b'{"state": "x"}', token=token)[0] == 403
    assert ledger() == []


def test_only_pictures_of_the_workspace_are_served(client: Client) -> None:
    status, data, headers = client.ask("GET", f"picture?item={item(0)}&id={IMAGE}")
    assert status == 200 and data[:2] == b"\xff\xd8" and headers["content-type"] == "image/jpeg"
    for image in (
        "../secret",
        "../../secret.jpg",
        f"../images/a/b/c/{IMAGE}",
        f"{IMAGE}/../{IMAGE}",
        "/etc/passwd",
        "..%2fsecret.jpg",
        "secret",
        "",
    ):
        for written in (image, quote(image, safe=""), quote(quote(image, safe=""), safe="")):
            assert client.ask("GET", f"picture?item={item(0)}&id={written}")[0] == 404, written
    assert client.ask("GET", f"picture?item={item(1)}&id={IMAGE}")[0] == 404  # not its picture
    assert client.ask("GET", f"picture?item=../x&id={IMAGE}")[0] == 404
    assert client.ask("GET", "picture/../../secret.jpg")[0] in (403, 404)


def test_an_oversized_body_is_refused(client: Client, ledger: Callable[[], list]) -> None:
    large = b'{"note": "' + b"x" * 100_000 + b'"}'
    assert client.ask("POST", "decide", large)[0] == 413
    # Without a length, the server has to count.
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (large[:9000],) * 8)
    answer = client.ask("POST", "decide", chunks + b"0\r\n\r\n", Transfer_Encoding="chunked")
    assert answer[0] == 413
    assert ledger() == []


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'{"state": 1}', b"\xff", b'{"state": "x"'])
def test_a_body_that_is_no_decision_is_refused(
    client: Client, ledger: Callable[[], list], body: bytes
) -> None:
    assert client.ask("POST", "decide", body)[0] == 400
    assert client.ask("POST", "undo", body)[0] == 400
    assert client.ask("GET", "decide")[0] == 405
    assert ledger() == []


def test_a_second_page_on_the_same_ledger_is_refused(
    desk: Callable[..., Desk], serve: Callable[[Desk], Served]
) -> None:
    page = serve(desk())
    port = urlsplit(page.address).port
    with pytest.raises(RetryError, match=f"review page on port {port}"), open_page(desk("ben")):
        pass


def test_a_port_that_is_taken_is_told(
    desk: Callable[..., Desk], serve: Callable[[Desk], Served]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InputError, match="--port"), open_page(desk(), other.getsockname()[1]):
            pass
    with open_page(desk()):  # the refused one has let go of the ledger
        pass
