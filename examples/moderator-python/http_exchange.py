"""One HTTP exchange over the ServeHTTP stream. Neither body is ever held as a whole.

A message is read only when the handler wants one, and a write returns when gRPC's flow control has
room for it: a slow client slows the handler down, and a slow handler the client.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc
from mattermost.pluginapi.v1 import hooks_http_pb2

# Bytes of body in a message; what the server sends, and wants to get, at most.
CHUNK = 64 * 1024


class ClientGone(Exception):
    """The client has left, or the server has; nobody reads the reply."""


class BodyCut(Exception):
    """The request's body ended before it was complete."""


class Exchange:
    """A request to read from and a reply to write, in any order and both at once."""

    def __init__(self, context: grpc.aio.ServicerContext) -> None:
        self._context = context
        self._message = hooks_http_pb2.ServeHTTPRequest()
        self.method = ""
        self.path = ""
        #: Whether the status line is out, so that it is too late for another one.
        self.started = False

    async def open(self) -> None:
        """Read the first message: all of the request but its body."""
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise ClientGone
        self._message = message
        self.method = message.init.method
        # Not urlsplit: it would take what follows two slashes for a host.
        self.path = message.init.url.partition("?")[0] or "/"
        self._headers = message.init.headers

    def headers(self) -> dict[str, list[str]]:
        """The request's headers as they came, each with all its values."""
        return {header.key: list(header.values) for header in self._headers}

    def header(self, name: str) -> str:
        """A header's first value; empty if there is none. The case of the name is no matter."""
        for header in self._headers:
            if header.key.lower() == name.lower() and header.values:
                return header.values[0]
        return ""

    async def body(self) -> AsyncIterator[bytes]:
        """The request's body, as it arrives."""
        while True:
            if self._message.body_chunk:
                yield self._message.body_chunk
            if self._message.body_complete:
                return
            message = await self._context.read()
            if message is grpc.aio.EOF:
                raise BodyCut
            self._message = message

    async def start(self, status: int, **headers: str) -> None:
        """Begin a reply of any length. Underscores in the names of headers become hyphens."""
        self.started = True
        await self._write(init=_init(status, headers))

    async def write(self, chunk: bytes, flush: bool = False) -> None:
        """Write a part of the body; `flush` asks the server not to wait for more."""
        await self._write(body_chunk=chunk, flush=flush)

    async def finish(self) -> None:
        """End the reply. One that ends without this was cut."""
        await self._write(body_complete=True)

    async def reply_json(self, status: int, value: object, **headers: str) -> None:
        """Reply with a small JSON document, in one message."""
        body = json.dumps(value).encode() + b"\n"
        headers.update(content_type="application/json", content_length=str(len(body)))
        self.started = True
        await self._write(init=_init(status, headers), body_chunk=body, body_complete=True)

    async def _write(self, **fields) -> None:
        try:
            await self._context.write(hooks_http_pb2.ServeHTTPResponse(**fields))
        except (grpc.aio.InternalError, grpc.aio.UsageError):
            # All that grpcio says of a stream that its other side has left.
            raise ClientGone from None


def _init(status: int, headers: dict[str, str]) -> hooks_http_pb2.ServeHTTPResponseInit:
    return hooks_http_pb2.ServeHTTPResponseInit(
        status_code=status,
        headers=[
            hooks_http_pb2.HTTPHeader(key=name.replace("_", "-").title(), values=[value])
            for name, value in headers.items()
        ],
    )
