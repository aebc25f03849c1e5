"""A local Commons and Wikidata: both APIs in their own form, with seeded faults.

It has an eye on manners: everything a request must not do is noted in `violations`.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import struct
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

FAULTS = (
    "429 seconds", "429 date", "429", "503", "maxlag", "ratelimited", "readonly", "internal",
    "reset", "cut", "hang", "html", "left out", "empty", "continued",
)  # fmt: skip
AGENT = re.compile(r"strata/\S+ \((\S+@\S+|https?://\S+)\) requests/\S+")


@dataclass
class World:
    """Pages and entities.

    Attributes:
        pages: by full title: `item`, or `redirect` (a hard one), and `text`.
        entities: raw entities by id; a string is the id that it was merged into.
    """

    pages: dict[str, dict[str, str]] = field(default_factory=dict)
    entities: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def recorded(cls, path: Path) -> World:
        """The recorded entities; a category belongs to the first that names it."""
        world = cls()
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            entities = [json.loads(line) for line in file]
        for raw in entities:
            world.entities[raw["id"]] = raw
            link = raw.get("sitelinks", {}).get("commonswiki", {}).get("title", "")
            if link.startswith("Category:"):
                world.pages[link] = {"item": raw["id"]}
        for raw in entities:
            for statement in raw["claims"].get("P373", []):
                name = statement["mainsnak"].get("datavalue", {}).get("value")
                if name:
                    world.pages.setdefault(f"Category:{name}", {"item": raw["id"]})
        return world


def item(qid: str, label: str = "", **claims: Any) -> dict[str, Any]:
    """An entity in the API's form; claims as `P31=["Q1"]`, `("Q1", rank)`, or None (unknown)."""
    statements: dict[str, Any] = {}
    for name, values in claims.items():
        for entry in values:
            value, rank = entry if isinstance(entry, tuple) else (entry, "normal")
            snak: dict[str, Any] = {"snaktype": "value", "property": name, "hash": "x"}
            if value is None:
                snak["snaktype"] = "somevalue"
            elif name in ("P373", "P625"):
                snak["datavalue"] = {"value": value, "type": "string"}
            else:
                number = {"entity-type": "item", "numeric-id": int(value[1:]), "id": value}
                snak["datavalue"] = {"value": number, "type": "wikibase-entityid"}
            statement = {"mainsnak": snak, "type": "statement", "rank": rank, "references": [{}]}
            statements.setdefault(name, []).append(statement)
    labels = {"en": {"language": "en", "value": label}} if label else {}
    # PHP writes empty objects as lists.
    return {
        "type": "item", "id": qid, "lastrevid": int(qid[1:]) + 1000, "labels": labels,
        "descriptions": {}, "aliases": [], "claims": statements or [], "sitelinks": [],
    }  # fmt: skip


class MediaWiki:
    """The server.

    Args:
        world: what it knows.
        faults: kinds of faults to inject.
        rate: of the requests that get one.
        seed: of the faults.
        most: faults altogether.
        hang: seconds that a hanging request is held.
    """

    def __init__(
        self,
        world: World,
        faults: Iterable[str] = (),
        rate: float = 0.0,
        seed: int = 0,
        hang: float = 1.0,
        most: int = 1_000_000,
    ) -> None:
        self.world, self.faults, self.rate, self.hang = world, list(faults), rate, hang
        self.most = most
        self.violations: list[str] = []
        self.asked: list[tuple[str, tuple[str, ...]]] = []  # action and titles or ids, per request
        self.injected: list[str] = []
        self.lock = threading.Lock()
        self.random = random.Random(seed)
        self.busy = 0
        self.not_before = 0.0

    @property
    def commons(self) -> str:
        return f"http://127.0.0.1:{self.port}/commons/w/api.php"

    @property
    def wikidata(self) -> str:
        return f"http://127.0.0.1:{self.port}/wikidata/w/api.php"

    @property
    def sparql(self) -> str:
        return self.commons.replace("/commons/w/api.php", "/sparql")

    def batches(self, action: str) -> list[tuple[str, ...]]:
        """Titles (`query`) or ids (`wbgetentities`) of each request so far."""
        return [keys for what, keys in self.asked if what == action]

    @contextmanager
    def running(self) -> Iterator[MediaWiki]:
        """Serves on a free local port."""
        handler = type("Handler", (_Handler,), {"wiki": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def query(self, params: dict[str, str], path: str) -> dict[str, Any]:
        """`action=query`: site information, or pages with their properties."""
        if params.get("meta") == "siteinfo":
            wiki = "wikidatawiki" if "/wikidata/" in path else "commonswiki"
            return {"batchcomplete": True, "query": {"general": {"wikiid": wiki}}}
        normalized, redirects, pages = [], {}, {}
        for title in params["titles"].split("|"):
            end = _normal(title)
            if end != title:
                coded = unicodedata.normalize("NFC", title) != title
                shown = quote(title) if coded else title
                normalized.append({"fromencoded": coded, "from": shown, "to": end})
            seen = []
            while "redirect" in self.world.pages.get(end, {}) and end not in seen:
                seen.append(end)
                redirects[end] = self.world.pages[end]["redirect"]
                end = redirects[end]
            if end not in seen:  # the API leaves out pages that redirect in a circle
                pages[end] = self.page(end, params)
        query: dict[str, Any] = {"pages": list(pages.values())}
        if normalized:
            query["normalized"] = normalized
        if redirects:
            query["redirects"] = [{"from": a, "to": b} for a, b in redirects.items()]
        return {"batchcomplete": True, "query": query}

    def page(self, title: str, params: dict[str, str]) -> dict[str, Any]:
        page = self.world.pages.get(title)
        if page is None:
            return {"ns": 14, "title": title, "missing": True}
        text = page.get("text", "{{Wikidata Infobox}}\n[[Category:Things|x]]")
        number = len(title)
        result: dict[str, Any] = {"pageid": number, "ns": 14, "title": title}
        props = params["prop"].split("|")
        if "pageprops" in props and "item" in page:
            result["pageprops"] = {"wikibase_item": page["item"]}
        if "templates" in props and "{{category redirect" in text.casefold():
            result["templates"] = [{"ns": 10, "title": params["tltemplates"]}]
        if "revisions" in props:
            main = {"contentmodel": "wikitext", "contentformat": "text/x-wiki", "content": text}
            result["revisions"] = [{"revid": number, "parentid": 0, "slots": {"main": main}}]
        return result

    def select(self, query: str) -> dict[str, Any]:
        """SPARQL: which items name a category of the `VALUES` in P373."""
        rows = []
        for qid, raw in self.world.entities.items():
            claims = raw["claims"] if isinstance(raw, dict) else {}
            for statement in claims.get("P373", []) if claims else ():
                name = statement["mainsnak"]["datavalue"]["value"]
                if json.dumps(name, ensure_ascii=False) in query:
                    address = f"http://www.wikidata.org/entity/{qid}"
                    named = {"type": "literal", "value": name}
                    rows.append({"category": named, "item": {"type": "uri", "value": address}})
        return {"head": {"vars": ["category", "item"]}, "results": {"bindings": rows}}

    def entities(self, params: dict[str, str]) -> dict[str, Any]:
        """`action=wbgetentities`."""
        found = {}
        for qid in params["ids"].split("|"):
            raw = self.world.entities.get(qid)
            if raw == "refused":
                info = f"Could not find an entity with the ID {qid}"
                return {"error": {"code": "no-such-entity", "info": info, "id": qid}}
            if raw is None:
                found[qid] = {"id": qid, "missing": ""}
            elif isinstance(raw, str):
                merged = {"from": qid, "to": raw}
                found[qid] = {**self.world.entities[raw], "redirects": merged}
            else:
                found[qid] = raw
        return {"entities": found, "success": 1}


def _normal(title: str) -> str:
    text = " ".join(unicodedata.normalize("NFC", title).replace("_", " ").split())
    namespace, _, name = text.partition(":")
    name = name.strip()
    first = name[:1].upper() if len(name[:1].upper()) == 1 else name[:1]
    return f"{namespace.capitalize()}:{first}{name[1:]}"


class _Handler(BaseHTTPRequestHandler):
    wiki: MediaWiki
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        if (
            "/sparql" not in self.path
            and self.headers.get("Promise-Non-Write-API-Action") != "true"
        ):
            self.wiki.violations.append("a POST that does not say that it only reads")
        length = int(self.headers["Content-Length"])
        self.serve(self.rfile.read(length).decode())

    def do_GET(self) -> None:
        if len(self.path) > 8000:
            self.wiki.violations.append("an address that is too long")
        self.serve(urlsplit(self.path).query)

    def serve(self, query: str) -> None:
        wiki = self.wiki
        params = {key: values[0] for key, values in parse_qs(query).items()}
        keys = tuple((params.get("titles") or params.get("ids") or "").split("|"))
        if "query" in params:
            values = re.search(r"VALUES \?category \{ (.*) \}\n", params["query"])
            keys = tuple(json.loads(f"[{values[1].replace(chr(34) + ' ', chr(34) + ',')}]"))
        with wiki.lock:
            self.check(params, keys)
            wiki.busy += 1
            action = "sparql" if "query" in params else params.get("action", "")
            wiki.asked.append((action if keys != ("",) else "siteinfo", keys))
            now = wiki.faults and len(wiki.injected) < wiki.most
            fault = ""
            if now and wiki.random.random() < wiki.rate:
                fault = wiki.random.choice(wiki.faults)
            if fault:
                wiki.injected.append(fault)
        self.answer(params, fault)

    def check(self, params: dict[str, str], keys: tuple[str, ...]) -> None:
        bad = self.wiki.violations.append
        if not AGENT.fullmatch(self.headers.get("User-Agent", "")):
            bad(f"User-Agent {self.headers.get('User-Agent')!r}")
        if "gzip" not in self.headers.get("Accept-Encoding", ""):
            bad("no gzip")
        if len(keys) > 50 or len(set(keys)) < len(keys):
            bad(f"{len(keys)} keys in a batch")
        if "query" in params:
            if "P279" in params["query"]:
                bad("a SPARQL query about subclasses")
        elif params.get("maxlag") != "5" or params.get("formatversion") != "2":
            bad("no maxlag or formatversion")
        if self.wiki.busy:
            bad("a second request at the same time")
        if time.time() < self.wiki.not_before:
            bad(f"{self.wiki.not_before - time.time():.2f} s before Retry-After has passed")

    def answer(self, params: dict[str, str], fault: str) -> None:
        wiki = self.wiki
        if fault == "429 seconds":
            return self.send(b"", 429, {"Retry-After": "1"}, wait=1.0)
        if fault == "429 date":
            moment = int(time.time()) + 2
            date = formatdate(moment, usegmt=True)
            return self.send(b"", 429, {"Retry-After": date}, wait=moment - time.time())
        if fault in ("429", "503"):
            return self.send(b"<html>busy</html>", int(fault))
        if fault in ("maxlag", "ratelimited", "readonly", "internal"):
            code = {"internal": "internal_api_error_DBQueryError"}.get(fault, fault)
            error = {"error": {"code": code, "info": "Waiting for all: 3.45 seconds lagged."}}
            headers = {"Retry-After": "1"} if fault == "maxlag" else {}
            return self.send(json.dumps(error).encode(), 200, headers, wait=float(len(headers)))
        if fault == "html":
            return self.send(b"<!DOCTYPE html><html>Wikimedia Error</html>")
        if fault in ("reset", "hang"):
            self.done()
            if fault == "hang":
                time.sleep(wiki.hang)
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            return None
        if "query" in params:
            answer = wiki.select(params["query"])
        elif params["action"] == "query":
            answer = wiki.query(params, self.path)
        else:
            answer = wiki.entities(params)
        if "query" in answer and "pages" in answer["query"]:
            pages = answer["query"]["pages"]
            if "rvcontinue" in params:
                for page in pages:
                    page.pop("pageprops", None)
            elif fault == "continued":
                for page in pages:
                    page.pop("revisions", None)
                answer["continue"] = {"rvcontinue": "1|2", "continue": "||pageprops"}
                del answer["batchcomplete"]
        if fault == "left out":
            self.leave_out(answer)
        if fault == "empty":
            answer = {"batchcomplete": True}
        body = json.dumps(answer).encode()
        return self.send(body, cut=fault == "cut")

    def leave_out(self, answer: dict[str, Any]) -> None:
        choose = self.wiki.random.random
        if "entities" in answer:
            answer["entities"] = {k: v for k, v in answer["entities"].items() if choose() < 0.5}
        elif "pages" in answer.get("query", {}):
            answer["query"]["pages"] = [p for p in answer["query"]["pages"] if choose() < 0.5]

    def done(self, wait: float = 0.0) -> None:
        with self.wiki.lock:
            self.wiki.busy -= 1
            self.wiki.not_before = time.time() + wait

    def send(
        self,
        body: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        cut: bool = False,
        wait: float = 0.0,
    ) -> None:
        if len(body) > 500:
            body = gzip.compress(body, 1)
            headers = {**(headers or {}), "Content-Encoding": "gzip"}
        # Done before the last byte: the client may be back before this thread is on again.
        self.done(wait)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True
