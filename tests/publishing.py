"""A real HTTP server on loopback that publishes bytes, with ranges, and can misbehave."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server publishes and how it misbehaves.

    Attributes:
        files: body by path.
        faults: one is taken for each request, in order, until there are none: `503`, `429`,
            `cut` (half of the announced body, then an end), `reset`, `html` (a web page),
            `damage` (a byte changed).
        ranges: whether ranges are understood.
        etags: whether an MD5 ETag is sent.
        retry_after: the header sent with 429.
        slow: seconds to wait between pieces of 64 kB.
        log: `(path, Range header, status)` of each request.
    """

    files: dict[str, bytes]
    faults: list[str] = field(default_factory=list)
    ranges: bool = True
    etags: bool = True
    retry_after: str = "0"
    slow: float = 0.0
    log: list[tuple[str, str, int]] = field(default_factory=list)
    url: str = ""


def serve(site: Site) -> ThreadingHTTPServer:
    """Starts the server on a free port and sets `site.url`; shut it down after use."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            fault = site.faults.pop(0) if site.faults else ""
            wanted = self.headers.get("Range", "")
            body = site.files.get(self.path)
            if fault == "reset":
                # A linger of nothing makes the kernel send a reset instead of an end.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                os.close(self.connection.detach())
                self.close_connection = True
                return None
            if fault in ("503", "429"):
                extra = {"Retry-After": site.retry_after} if fault == "429" else {}
                return self._answer(int(fault), b"busy", extra)
            if fault == "html":
                return self._answer(200, b"<html>log in</html>", {"Content-Type": "text/html"})
            if body is None:
                return self._answer(404, b"no", {})
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            extra = {"ETag": etag} if site.etags else {}
            status, piece = 200, body
            if wanted and site.ranges and self.headers.get("If-Range", etag) == etag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    extra["Content-Range"] = f"bytes */{len(body)}"
                    return self._answer(416, b"", extra)
                status, piece = 206, body[start:]
                extra["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            if fault == "damage":
                piece = piece[:-1] + bytes([piece[-1] ^ 1])
            self._answer(status, piece, extra, cut=fault == "cut")

        def _answer(
            self, status: int, body: bytes, extra: dict[str, str], cut: bool = False
        ) -> None:
            site.log.append((self.path, self.headers.get("Range", ""), status))
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent = body[: len(body) // 2] if cut else body
            try:
                for at in range(0, len(sent), 1 << 16):
                    self.wfile.write(sent[at : at + (1 << 16)])
                    if site.slow:
                        time.sleep(site.slow)
            except (BrokenPipeError, ConnectionResetError):
                pass
            if cut:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # Resets are asked for.

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    return server
