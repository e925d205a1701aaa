#!/usr/bin/env python3
"""Drives a running moderator over HTTP, as its clients would, and says what does not hold.

    ./drive.py [--small] http://127.0.0.1:8065/plugins/com.example.moderator

Needs the standard library only. One line for each check; exit status 1 if one fails.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Callable
from urllib.parse import urlsplit

CHUNK = 64 * 1024
PATTERN = bytes(range(256)) * (CHUNK // 256)
SIZES = (0, 1, CHUNK, CHUNK + 1)
LARGE = 100_000_000
EARLY = 8_000_000
# Seconds that the other side may be silent.
PATIENCE = 60


class Failed(Exception):
    """A check that does not hold."""


def want(what: str, seen: object, wanted: object) -> None:
    """Fail unless two values are the same."""
    if seen != wanted:
        raise Failed(f"{what} is {seen!r}, not {wanted!r}")


def pieces(size: int) -> Iterator[bytes]:
    """`size` bytes of the pattern, a chunk at a time."""
    for start in range(0, size, CHUNK):
        yield PATTERN[: min(CHUNK, size - start)]


def digest_of(size: int) -> str:
    """The SHA-256 of `size` bytes of the pattern."""
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()


def drain(response: http.client.HTTPResponse) -> tuple[int, str]:
    """The length and the SHA-256 of what is left of a reply."""
    length, digest = 0, hashlib.sha256()
    while True:
        piece = response.read(CHUNK)
        if not piece:
            return length, digest.hexdigest()
        length += len(piece)
        digest.update(piece)


class Plugin:
    """The plugin, behind the server that forwards to it."""

    def __init__(self, base: str) -> None:
        url = urlsplit(base)
        if url.scheme != "http" or not url.hostname:
            raise ValueError(f"{base} is no http:// URL")
        self._host, self._port = url.hostname, url.port or 80
        self._prefix = url.path.rstrip("/")

    @contextlib.contextmanager
    def sending(self, method: str, path: str, *headers: tuple[str, str]) -> Iterator[Request]:
        """A request whose body is still to come, on a connection of its own."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        try:
            connection.putrequest(method, self._prefix + path)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            yield Request(connection)
        finally:
            connection.close()

    @contextlib.contextmanager
    def asking(
        self, method: str, path: str, *headers: tuple[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """The response to a request without a body."""
        with self.sending(method, path, *headers) as request, request.response() as response:
            yield response

    def json(self, method: str, path: str, status: int, *headers: tuple[str, str]):
        """The JSON that a request without a body is answered with."""
        with self.asking(method, path, *headers) as response:
            return decoded(response, status)

    def cancelled(self) -> int:
        """How many clients the plugin has seen leave /slow."""
        return self.json("GET", "/cancelled", 200)["cancelled"]


class Request:
    """A request on its way. It can be sent and be answered at once."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        # The connection forgets its socket when the response says that it will be closed.
        self._socket = connection.sock

    def send(self, data: bytes) -> None:
        """Send a part of the body as it is."""
        self._socket.sendall(data)

    def send_chunk(self, data: bytes) -> None:
        """Send a part of a chunked body; an empty one ends it."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def response(self) -> http.client.HTTPResponse:
        """Wait for the status line and the headers."""
        return self._connection.getresponse()

    def hang_up(self) -> None:
        """Leave, whatever is under way."""
        self._socket.shutdown(socket.SHUT_RDWR)


def decoded(response: http.client.HTTPResponse, status: int):
    """The JSON in a response, which must have this status."""
    body = response.read()
    if response.status != status:
        raise Failed(f"the status is {response.status}, not {status}: {body[:200]!r}")
    want("the content type", response.getheader("Content-Type"), "application/json")
    return json.loads(body)


def body_of(size: int) -> tuple[str, str]:
    """The header for a body of so many bytes."""
    return "Content-Length", str(size)


def status(plugin: Plugin) -> None:
    answer = plugin.json("GET", "/", 200)
    if not answer["server_version"] or not isinstance(answer["counters"], dict):
        raise Failed(f"no version or no counters in {answer!r}")


def unknown_page(plugin: Plugin) -> None:
    plugin.json("GET", "/no/such/page?of=any&kind", 404)


def wrong_method(plugin: Plugin) -> None:
    with plugin.asking("DELETE", "/upload") as response:
        decoded(response, 405)
        want("Allow", response.getheader("Allow"), "POST")


def headers_cross(plugin: Plugin) -> None:
    sent = [("X-Drive", "one"), ("X-Drive", "two")]
    seen = plugin.json("GET", "/headers", 200, *sent)
    values = [value for name, value in seen.items() if name.lower() == "x-drive"]
    want("X-Drive", values, [["one", "two"]])


def identity_cannot_be_forged(plugin: Plugin) -> None:
    plugin.json("GET", "/whoami", 401)
    for name in ("Mattermost-User-Id", "mattermost-user-id"):
        plugin.json("GET", "/whoami", 401, (name, "somebody-else"))


def lines_come_one_by_one(plugin: Plugin) -> None:
    count, arrivals = 10, []
    with plugin.asking("GET", f"/count/{count}") as response:
        want("the status", response.status, 200)
        for number in range(1, count + 1):
            want("the line", response.readline(), b"%d\n" % number)
            arrivals.append(time.monotonic())
        want("the rest", response.read(), b"")
    # The plugin takes 0.9 seconds between the first and the last: none if somebody collects them.
    between = arrivals[-1] - arrivals[0]
    if between < 0.3:
        raise Failed(f"all lines arrived within {between:.3f} s")


def upload(size: int) -> Callable[[Plugin], None]:
    """Send a body and have it counted."""

    def check(plugin: Plugin) -> None:
        with plugin.sending("POST", "/upload", body_of(size)) as request:
            for piece in pieces(size):
                request.send(piece)
            with request.response() as response:
                answer = decoded(response, 200)
        want("the answer", answer, {"bytes": size, "sha256": digest_of(size)})

    return check


def chunked_upload(plugin: Plugin) -> None:
    with plugin.sending("POST", "/upload", ("Transfer-Encoding", "chunked")) as request:
        for data in (b"a", PATTERN, b"the end", b""):
            request.send_chunk(data)
        with request.response() as response:
            answer = decoded(response, 200)
    whole = b"a" + PATTERN + b"the end"
    wanted = {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    want("the answer", answer, wanted)


def download(size: int) -> Callable[[Plugin], None]:
    """Fetch a body."""

    def check(plugin: Plugin) -> None:
        with plugin.asking("GET", f"/bytes/{size}") as response:
            want("the status", response.status, 200)
            want("length and SHA-256", drain(response), (size, digest_of(size)))

    return check


def echo(size: int) -> Callable[[Plugin], None]:
    """Send a body, and read it again at the same time."""

    def check(plugin: Plugin) -> None:
        problems: list[OSError] = []

        def send(request: Request) -> None:
            try:
                for piece in pieces(size):
                    request.send(piece)
            except OSError as error:
                problems.append(error)

        with plugin.sending("POST", "/echo", body_of(size)) as request:
            sender = threading.Thread(target=send, args=(request,), daemon=True)
            sender.start()
            with request.response() as response:
                want("the status", response.status, 200)
                seen = drain(response)
            sender.join(PATIENCE)
        if problems or sender.is_alive():
            raise Failed(f"the body could not be sent: {problems or 'nobody reads it'}")
        want("length and SHA-256", seen, (size, digest_of(size)))

    return check


def echo_ping_pong(plugin: Plugin) -> None:
    """Each chunk comes back before the next one is sent: nothing on the way may collect them."""
    with plugin.sending("POST", "/echo", ("Transfer-Encoding", "chunked")) as request:
        request.send_chunk(b"ball 0")
        with request.response() as response:
            want("the echo", response.read(6), b"ball 0")
            for number in range(1, 10):
                ball = b"ball %d" % number
                request.send_chunk(ball)
                want("the echo", response.read(len(ball)), ball)
            request.send_chunk(b"")
            want("the rest", response.read(), b"")


def early_refusal(plugin: Plugin) -> None:
    """The answer is there before the body is, and arrives although nobody has read the body."""
    with plugin.sending("POST", "/early", body_of(EARLY)) as request:
        # A server may stop reading, but not before its answer can be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces(EARLY):
                request.send(piece)
        with request.response() as response:
            decoded(response, 413)


def disconnect_is_seen(plugin: Plugin) -> None:
    before = plugin.cancelled()
    with plugin.sending("GET", "/slow") as request, request.response() as response:
        want("the line", response.readline(), b"waiting\n")
        request.hang_up()
    deadline = time.monotonic() + PATIENCE
    while plugin.cancelled() != before + 1:
        if time.monotonic() > deadline:
            raise Failed(f"the plugin has not noticed in {PATIENCE} s")
        time.sleep(0.05)


def cut_reply_is_seen(plugin: Plugin) -> None:
    with plugin.asking("GET", "/fail") as response:
        want("the status", response.status, 200)
        try:
            whole = response.read()
        except http.client.IncompleteRead as error:
            if not PATTERN.startswith(error.partial):
                raise Failed("what came is not what was sent") from None
        else:
            raise Failed(f"{len(whole)} bytes came, as if they were all")


def checks(small: bool) -> Iterator[tuple[str, Callable[[Plugin], None]]]:
    """Every check, by its name."""
    sizes = SIZES if small else SIZES + (LARGE,)
    yield "GET / tells the server's version and the counters", status
    yield "an unknown page is 404", unknown_page
    yield "a wrong method is 405, and Allow names the right one", wrong_method
    yield "a header with two values crosses", headers_cross
    yield "GET /whoami is 401 for a stranger, and for a forged header", identity_cannot_be_forged
    yield "GET /count/10 sends its lines one by one", lines_come_one_by_one
    for size in sizes:
        yield f"POST /upload of {size} bytes", upload(size)
    yield "POST /upload, chunked", chunked_upload
    for size in sizes:
        yield f"GET /bytes/{size}", download(size)
    for size in sizes:
        yield f"POST /echo of {size} bytes", echo(size)
    yield "POST /echo sends each chunk back at once", echo_ping_pong
    yield "POST /early is 413 for a client that sends 8 MB before it reads", early_refusal
    yield "GET /slow notices that its client has left", disconnect_is_seen
    yield "GET /fail is seen to be cut", cut_reply_is_seen
    yield "GET / still answers", status


def main() -> int:
    parser = argparse.ArgumentParser(description="Drives a running moderator plugin over HTTP.")
    parser.add_argument("base", help="such as http://127.0.0.1:8065/plugins/com.example.moderator")
    parser.add_argument("--small", action="store_true", help=f"no bodies of {LARGE} bytes")
    arguments = parser.parse_args()
    try:
        plugin = Plugin(arguments.base)
    except ValueError as error:
        parser.error(str(error))

    failures = 0
    for name, check in checks(arguments.small):
        began = time.monotonic()
        try:
            check(plugin)
        except Exception as error:
            failures += 1
            text = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
            print(f"FAILED  {name}: {text}", flush=True)
        else:
            print(f"ok      {name} ({time.monotonic() - began:.2f} s)", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
