"""A publisher on 127.0.0.1 that behaves as it is told, well or badly; it serves the tests of every source.

    from tests.sources.publisher_server import PublisherServer, cut, page, refused, whole, zip_of

    with PublisherServer() as server:
        server.serve("/airdata/annual_aqi_by_county_2023.zip", zip_of({"annual_aqi_by_county_2023.csv": text}))
        server.serve("/lau/laucnty23.xlsx", refused(429, retry_after="1"), content)   # then fine
        with Client(mirror=server.url) as client:
            client.fetch(remote, target=folder / remote.name)
        assert server.paths() == ["/airdata/annual_aqi_by_county_2023.zip"]

`Client(mirror=server.url)` sends every address of a source here, so that a test needs no address but the source's own.

Routes
------
`serve(path, *answers)`: the answers are given in turn, and the last one for ever after. A path may carry a query
(`/data/2022/acs/acs1?for=place:*&in=state:53`): it then answers requests that hold at least these parameters, and the
route with most of them wins. An answer is

- `bytes` or `str`: the file, as a good server gives it (see `whole`);
- one of the answers below;
- a function of the `Request` that gives any of these.

What has no route is 404, and stands in the log as well.

Answers
-------
whole(body)            status 200 with ETag, Last-Modified, Range, If-Range, If-None-Match, If-Modified-Since
without_ranges(body)   the whole file whatever the Range
wrong_range(body)      206 with other bytes than were asked for
refused(status)        an error status; `retry_after="3"` or an HTTP date; `body=` for its text
nothing()              204
cut(body, after=n)     promises the whole length and closes after n bytes
reset(body, after=n)   the same, with a connection reset
dripped(body)          piece by piece, with pauses
stalled(body, after=n) sends n bytes and then nothing more, the connection open
unmeasured(body)       without Content-Length (chunked)
page(title)            an HTML page with status 200
redirected(to)         302 to a path or an address
gzipped(body)          Content-Encoding: gzip
gzip_bomb(size)        some kilobytes that gunzip to `size` bytes
wants_key(body, key)   as api.census.gov: 302 to /data/missing_key.html or /data/invalid_key.html, HTML with status 200
wants_contact(body)    as www.bls.gov: 403 where the User-Agent names no e-mail address
A file that changes between two parts: `serve(path, cut(old, after=9), whole(new))`.

Files: `zip_of({name: content})`, `zip_bomb(size)`.

Log: `requests` (`path`, `query`, `headers` with lower-case names, `connection`, `at` in seconds of a monotonic clock),
`paths()`, `connections` (how many were opened), `everything_said` (all that clients sent, as one text to search in).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import socket
import struct
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit

LAST_MODIFIED = "Tue, 06 May 2025 14:00:00 GMT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    connection: int
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server does with a request."""

    give: Callable[[Exchange], None]


Given = bytes | str | Answer | Callable[[Request], "Given"]


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Request, closing: threading.Event) -> None:
        self.handler, self.request, self.closing = handler, request, closing

    def head(self, status: int, headers: Mapping[str, object]) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, str(value))
        self.handler.end_headers()
        self.handler.wfile.flush()

    def send(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def full(self, status: int, body: bytes, headers: Mapping[str, object]) -> None:
        self.head(status, {**headers, "Content-Length": len(body)})
        self.send(body)

    def hang_up(self) -> None:
        self.handler.close_connection = True


def etag(body: bytes) -> str:
    """The strong validator that a good server gives this content."""
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def whole(
    body: bytes | str, *, content_type: str = "application/octet-stream", headers: Mapping[str, object] | None = None
) -> Answer:
    """The file, as a good server gives it. `headers` adds to or replaces its own; None as a value leaves one out."""
    content = _bytes(body)

    def answer(exchange: Exchange) -> None:
        own = {
            "Content-Type": content_type,
            "ETag": etag(content),
            "Last-Modified": LAST_MODIFIED,
            "Accept-Ranges": "bytes",
            **(headers or {}),
        }
        own = {name: value for name, value in own.items() if value is not None}
        asked = exchange.request.headers
        validators = (own.get("ETag"), own.get("Last-Modified"))
        if "if-none-match" in asked or "if-modified-since" in asked:
            same = asked.get("if-none-match", validators[0]) == validators[0]
            same = same and asked.get("if-modified-since", validators[1]) == validators[1]
            if same:
                exchange.head(304, own)
                return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", ""))
        if wanted is None or ("if-range" in asked and asked["if-range"] not in validators):
            exchange.full(200, content, own)
            return
        start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
        if start >= len(content):
            exchange.full(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        part = content[start : end + 1]
        place = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        exchange.full(206, part, {**own, "Content-Range": place})

    return Answer(answer)


def without_ranges(body: bytes | str) -> Answer:
    """The whole file, whatever range was asked for."""
    content = _bytes(body)
    return Answer(lambda exchange: exchange.full(200, content, {"ETag": etag(content), "Last-Modified": LAST_MODIFIED}))


def wrong_range(body: bytes | str, *, start: int = 0) -> Answer:
    """A 206 with the bytes from `start` on, whatever was asked for."""
    content = _bytes(body)

    def answer(exchange: Exchange) -> None:
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        exchange.full(206, content[start:], {"ETag": etag(content), "Content-Range": place})

    return Answer(answer)


def refused(
    status: int, *, retry_after: str | None = None, body: bytes | str = b"", headers: Mapping[str, object] | None = None
) -> Answer:
    """An error status."""
    own = dict(headers or {}) | ({} if retry_after is None else {"Retry-After": retry_after})
    return Answer(lambda exchange: exchange.full(status, _bytes(body), own))


def nothing() -> Answer:
    """204: the publisher has no such figures."""
    return Answer(lambda exchange: exchange.head(204, {}))


def cut(body: bytes | str, *, after: int, headers: Mapping[str, object] | None = None) -> Answer:
    """The length of the whole file is promised, and the connection closed after `after` bytes of what was asked."""
    return _broken(_bytes(body), after, headers or {}, Exchange.hang_up)


def reset(body: bytes | str, *, after: int, headers: Mapping[str, object] | None = None) -> Answer:
    """As `cut`, with a connection reset (RST)."""

    def rudely(exchange: Exchange) -> None:
        exchange.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.hang_up()

    return _broken(_bytes(body), after, headers or {}, rudely)


def stalled(body: bytes | str, *, after: int) -> Answer:
    """Sends `after` bytes of what was asked and then nothing more, with the connection open."""

    def silent(exchange: Exchange) -> None:
        exchange.closing.wait(30)
        exchange.hang_up()

    return _broken(_bytes(body), after, {}, silent)


def dripped(body: bytes | str, *, piece: int = 1, pause: float = 0.02) -> Answer:
    """Piece by piece, with pauses in seconds."""
    content = _bytes(body)

    def answer(exchange: Exchange) -> None:
        exchange.head(200, {"Content-Length": len(content), "ETag": etag(content)})
        for start in range(0, len(content), piece):
            exchange.send(content[start : start + piece])
            if exchange.closing.wait(pause):
                break

    return Answer(answer)


def unmeasured(body: bytes | str, *, headers: Mapping[str, object] | None = None) -> Answer:
    """Chunked, without Content-Length."""
    content = _bytes(body)

    def answer(exchange: Exchange) -> None:
        exchange.head(200, {"Transfer-Encoding": "chunked", **(headers or {})})
        for start in range(0, len(content), 65536):
            part = content[start : start + 65536]
            exchange.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        exchange.send(b"0\r\n\r\n")

    return Answer(answer)


def page(title: str = "Access Denied", *, status: int = 200) -> Answer:
    """An HTML page, with a status that looks like success."""
    text = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Answer(lambda exchange: exchange.full(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"}))


def redirected(to: str, *, status: int = 302, headers: Mapping[str, object] | None = None) -> Answer:
    """A redirect to a path or an address."""
    return Answer(lambda exchange: exchange.full(status, b"", {"Location": to, **(headers or {})}))


def gzipped(body: bytes | str) -> Answer:
    """The file with Content-Encoding: gzip."""
    content = _bytes(body)
    packed = gzip.compress(content)
    return Answer(lambda exchange: exchange.full(200, packed, {"Content-Encoding": "gzip", "ETag": etag(content)}))


def gzip_bomb(size: int) -> Answer:
    """A short answer that gunzips to `size` bytes of figures that are all alike."""
    packed = gzip.compress(b"1,2\n" * (size // 4))
    return Answer(lambda exchange: exchange.full(200, packed, {"Content-Encoding": "gzip", "Content-Type": "text/csv"}))


def wants_key(body: bytes | str, *, key: str, parameter: str = "key") -> Answer:
    """As api.census.gov does since May 2026: without the right key a redirect to a page that looks like success."""
    good = whole(body, content_type="application/json;charset=utf-8")

    def answer(exchange: Exchange) -> None:
        given = exchange.request.query.get(parameter)
        if given == key:
            good.give(exchange)
            return
        word = "invalid" if given else "missing"
        location = f"http://{exchange.request.headers['host']}/data/{word}_key.html"
        exchange.full(302, b"", {"Location": location, "X-DataWebAPI-KeyError": "1"})

    return Answer(answer)


def wants_contact(body: bytes | str) -> Answer:
    """As www.bls.gov does: 403 where the User-Agent names no e-mail address."""
    good = whole(body)

    def answer(exchange: Exchange) -> None:
        if "@" in exchange.request.headers.get("user-agent", ""):
            good.give(exchange)
        else:
            page("Access Denied", status=403).give(exchange)

    return Answer(answer)


def zip_of(contents: Mapping[str, bytes | str], *, packed: bool = True) -> bytes:
    """A zip file of these members, the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = archive.compression
            archive.writestr(entry, _bytes(content))
    return buffer.getvalue()


def zip_bomb(size: int, *, name: str = "figures.csv") -> bytes:
    """A zip file whose one member unpacks to `size` bytes that are all alike."""
    return zip_of({name: b"\n" * size})


class PublisherServer:
    """The server; see the module's docstring."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._routes: list[tuple[str, dict[str, str], list[Given]]] = []
        self._connections: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._faults: list[BaseException] = []

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        for word, title in (("missing", "Missing Key"), ("invalid", "Invalid Key")):
            self.serve(f"/data/{word}_key.html", page(title))
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._connections.values()):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client has closed it
        self._server.server_close()
        if self._faults:
            raise self._faults[0]

    def serve(self, path: str, *answers: Given) -> None:
        """Answer `path` with these in turn; a second call for the same path replaces the first."""
        assert answers, "a route needs an answer"
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        with self._lock:
            self._routes = [route for route in self._routes if route[:2] != (parts.path, query)]
            self._routes.append((parts.path, query, list(answers)))

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.path for request in self.requests]

    @property
    def connections(self) -> int:
        """How many connections carried a request."""
        return len({request.connection for request in self.requests})

    @property
    def everything_said(self) -> str:
        """All that clients sent, as one text."""
        return "\n".join(
            f"{request.path} {dict(request.query)} {dict(request.headers)}" for request in list(self.requests)
        )

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Log a request and answer it; called by the server's threads."""
        parts = urlsplit(handler.path)
        request = Request(
            method=handler.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in handler.headers.items()},
            connection=handler.client_address[1],
            at=time.monotonic(),
        )
        given = self._next(request)
        exchange = Exchange(handler, request, self._closing)
        while not isinstance(given, bytes | str | Answer):
            given = given(request)
        (given if isinstance(given, Answer) else whole(given)).give(exchange)

    def _next(self, request: Request) -> Given:
        with self._lock:
            self.requests.append(request)
            fitting = [
                route
                for route in self._routes
                if route[0] == request.path and route[1].items() <= dict(request.query).items()
            ]
            if not fitting:
                return page("Not Found", status=404)
            answers = max(fitting, key=lambda route: len(route[1]))[2]
            return answers.pop(0) if len(answers) > 1 else answers[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: PublisherServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            self.owner._faults.append(error)  # a fault of the server fails the test that used it


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        # small answers at once: without it a request waits 40 ms for the other side's acknowledgement
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.owner._connections[self.client_address[1]] = self.connection

    def finish(self) -> None:
        self.server.owner._connections.pop(self.client_address[1], None)
        super().finish()

    def do_GET(self) -> None:
        self.server.owner.answer(self)

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal of a test run."""


def _broken(content: bytes, after: int, headers: Mapping[str, object], then: Callable[[Exchange], None]) -> Answer:
    def answer(exchange: Exchange) -> None:
        own = {"ETag": etag(content), "Last-Modified": LAST_MODIFIED, **headers}
        own = {name: value for name, value in own.items() if value is not None}
        asked = exchange.request.headers
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
        start = 0
        if wanted is not None and asked.get("if-range", own.get("ETag")) in (own.get("ETag"), own.get("Last-Modified")):
            start = int(wanted[1])
            own["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        exchange.head(206 if start else 200, {**own, "Content-Length": len(content) - start})
        exchange.send(content[start : start + after])
        then(exchange)

    return Answer(answer)


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
