"""The server's API: a deadline for each call, and one exception for every kind of failure."""

from __future__ import annotations

import itertools

import grpc
from mattermost.pluginapi.v1 import (
    api_command_pb2,
    api_kv_pb2,
    api_server_pb2,
    command_pb2,
    plugin_api_pb2_grpc,
)

# Seconds that a call may take. The server gives a hook 30 seconds, with all calls that it makes.
DEADLINE = 10
# So many keys are asked for at once.
KEYS_PER_PAGE = 100


class ApiError(Exception):
    """A call of the API that failed, whichever way the server told so."""


class ServerApi:
    """The calls that this plugin makes. Each one raises `ApiError`, and nothing else."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = plugin_api_pb2_grpc.PluginAPIStub(channel)

    async def server_version(self) -> str:
        """The server's version, such as 11.2.0."""
        request = api_server_pb2.GetServerVersionRequest()
        return (await self._call("GetServerVersion", request)).version

    async def register_command(self, command: command_pb2.Command) -> None:
        """Offer a slash command, until the plugin is stopped."""
        request = api_command_pb2.RegisterCommandRequest(command=command)
        await self._call("RegisterCommand", request)

    async def get(self, key: str) -> bytes:
        """The value of a key; empty if the key is missing."""
        return (await self._call("KVGet", api_kv_pb2.KVGetRequest(key=key))).value

    async def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Replace `old`, empty for a missing key, by `new`. False: the value is another by now."""
        request = api_kv_pb2.KVCompareAndSetRequest(key=key, old_value=old, new_value=new)
        return (await self._call("KVCompareAndSet", request)).success

    async def delete(self, key: str) -> None:
        """Remove a key; it may be missing."""
        await self._call("KVDelete", api_kv_pb2.KVDeleteRequest(key=key))

    async def keys(self) -> list[str]:
        """All keys of this plugin. A page that is not full is the last one."""
        found: list[str] = []
        for page in itertools.count():
            request = api_kv_pb2.KVListRequest(page=page, per_page=KEYS_PER_PAGE)
            keys = (await self._call("KVList", request)).keys
            found.extend(keys)
            if len(keys) < KEYS_PER_PAGE:
                return found

    async def _call(self, name: str, request):
        """The answer to a call. A failure is a gRPC status or the answer's `error`, by RPC."""
        try:
            answer = await getattr(self._stub, name)(request, timeout=DEADLINE)
        except grpc.aio.AioRpcError as failure:
            raise ApiError(f"{name}: {failure.code().name}: {failure.details()}") from None
        if answer.HasField("error"):
            raise ApiError(f"{name}: {answer.error.id}: {answer.error.message}")
        return answer
