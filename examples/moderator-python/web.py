"""What the plugin serves below /plugins/com.example.moderator. `ROUTES`, at the end, lists it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable
from typing import Callable, NamedTuple

from counters import Counters
from http_exchange import CHUNK, ClientGone, Exchange
from server_api import ApiError, ServerApi

# Seconds between the lines of /count.
COUNT_PAUSE = 0.1
# Every byte of /bytes is its own position, modulo 256.
PATTERN = bytes(range(256)) * (CHUNK // 256)
BINARY = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


class Web:
    """The HTTP side of the plugin."""

    def __init__(self, api: ServerApi, counters: Counters, stopping: asyncio.Event) -> None:
        self._api = api
        self._counters = counters
        self._stopping = stopping
        self._cancelled = 0

    async def serve(self, exchange: Exchange) -> None:
        """Answer a request."""
        found = [
            (route, match)
            for route in ROUTES
            for match in [re.fullmatch(route.path, exchange.path)]
            if match
        ]
        for route, match in found:
            if route.method == exchange.method:
                return await route.handler(self, exchange, *match.groups())
        if found:
            allow = ", ".join(sorted({route.method for route, _ in found}))
            return await exchange.reply_json(405, {"error": "wrong method"}, allow=allow)
        await exchange.reply_json(404, {"error": "no such page"})

    async def status(self, exchange: Exchange) -> None:
        """The server's version and all counters."""
        try:
            version, counters = await asyncio.gather(
                self._api.server_version(), self._counters.all()
            )
        except ApiError as failure:
            return await exchange.reply_json(503, {"error": str(failure)})
        await exchange.reply_json(200, {"server_version": version, "counters": counters})

    async def count(self, exchange: Exchange, last: str) -> None:
        """The numbers from 1, a line each, and each line at its own time."""
        await exchange.start(200, content_type=TEXT)
        for number in range(1, int(last) + 1):
            if number > 1:
                await asyncio.sleep(COUNT_PAUSE)
            await exchange.write(b"%d\n" % number, flush=True)
        await exchange.finish()

    async def echo(self, exchange: Exchange) -> None:
        """The request's body, each chunk sent back before the next one is read."""
        await exchange.start(200, content_type=BINARY)
        async for chunk in exchange.body():
            await exchange.write(chunk, flush=True)
        await exchange.finish()

    async def upload(self, exchange: Exchange) -> None:
        """The length and the SHA-256 of the request's body."""
        length, digest = 0, hashlib.sha256()
        async for chunk in exchange.body():
            length += len(chunk)
            # Of 64 KiB: less than a millisecond, so that the event loop can spare it.
            digest.update(chunk)
        await exchange.reply_json(200, {"bytes": length, "sha256": digest.hexdigest()})

    async def early(self, exchange: Exchange) -> None:
        """A refusal when most of the body is still to come. It is never read."""
        await exchange.reply_json(413, {"error": "too large"})

    async def download(self, exchange: Exchange, length: str) -> None:
        """So many bytes."""
        left = int(length)
        await exchange.start(200, content_type=BINARY, content_length=str(left))
        while left:
            chunk = PATTERN[: min(left, CHUNK)]
            await exchange.write(chunk)
            left -= len(chunk)
        await exchange.finish()

    async def whoami(self, exchange: Exchange) -> None:
        """The user that the server has logged in. It removes this header from what clients send."""
        user = exchange.header("Mattermost-User-Id")
        if user:
            await exchange.reply_json(200, {"user_id": user})
        else:
            await exchange.reply_json(401, {"error": "log in first"})

    async def headers(self, exchange: Exchange) -> None:
        """The request's headers, as the plugin gets them."""
        await exchange.reply_json(200, exchange.headers())

    async def slow(self, exchange: Exchange) -> None:
        """A line, and then nothing until the client leaves or the plugin is stopped."""
        await exchange.start(200, content_type=TEXT)
        try:
            # The client may have read the line, and left, before the write returns.
            await exchange.write(b"waiting\n", flush=True)
            await self._stopping.wait()
        except (asyncio.CancelledError, ClientGone):
            self._cancelled += 1
            raise
        await exchange.finish()

    async def cancelled(self, exchange: Exchange) -> None:
        """How many clients have left /slow since the plugin was started."""
        await exchange.reply_json(200, {"cancelled": self._cancelled})

    async def fail(self, exchange: Exchange) -> None:
        """Half of a reply. The length was told before, so that its reader can tell."""
        await exchange.start(200, content_type=BINARY, content_length=str(2 * CHUNK))
        await exchange.write(PATTERN, flush=True)
        raise RuntimeError("/fail fails, as it should")


class Route(NamedTuple):
    """A page: its method, its whole path as a pattern, and what gets the groups of the pattern."""

    method: str
    path: str
    handler: Callable[..., Awaitable[None]]


ROUTES = (
    Route("GET", "/", Web.status),
    Route("GET", "/count/([0-9]{1,6})", Web.count),
    Route("POST", "/echo", Web.echo),
    Route("POST", "/upload", Web.upload),
    Route("POST", "/early", Web.early),
    Route("GET", "/bytes/([0-9]{1,15})", Web.download),
    Route("GET", "/whoami", Web.whoami),
    Route("GET", "/headers", Web.headers),
    Route("GET", "/slow", Web.slow),
    Route("GET", "/cancelled", Web.cancelled),
    Route("GET", "/fail", Web.fail),
)
