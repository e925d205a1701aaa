"""A Mattermost plugin with gRPC alone: no SDK, every step of the protocol in sight."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

# The stubs that ./set-up generated.
sys.path.insert(0, str(Path(__file__).resolve().parent / "generated"))

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from mattermost.pluginapi.v1 import (
    api_server_pb2,
    common_pb2,
    hooks_lifecycle_pb2,
    hooks_message_pb2,
    plugin_api_pb2_grpc,
    plugin_hooks_pb2_grpc,
)

TARGET = "MATTERMOST_PLUGIN_API_TARGET"
MIB = 1024 * 1024

# The Python SDK opens its channel to the server with these limits and pings.
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", 100 * MIB),
    ("grpc.max_receive_message_length", 100 * MIB),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # The server is on this machine, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
]
SERVER_OPTIONS = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
]
# Calls under way have this long, in seconds, when the plugin is told to stop.
GRACE = 5

log = logging.getLogger("hello")


class Hooks(plugin_hooks_pb2_grpc.PluginHooksServicer):
    """What the server calls. A hook that is not here is answered UNIMPLEMENTED."""

    def __init__(self, api):
        self.api = api

    async def Implemented(self, request, context):
        hooks = ["OnActivate", "OnDeactivate", "MessageWillBePosted"]
        return hooks_lifecycle_pb2.ImplementedResponse(hooks=hooks)

    async def OnActivate(self, request, context):
        try:
            answer = await self.api.GetServerVersion(
                api_server_pb2.GetServerVersionRequest(), timeout=10
            )
        except grpc.aio.AioRpcError as failure:
            log.error("GetServerVersion failed: %s: %s", failure.code().name, failure.details())
            # An error here refuses the activation, and the server tells its admin why.
            error = common_pb2.AppError(
                id="hello.get_server_version",
                message="The server did not tell its version.",
                detailed_error=failure.details(),
                status_code=500,
                where="OnActivate",
            )
            return hooks_lifecycle_pb2.OnActivateResponse(error=error)
        log.info("active on Mattermost %s", answer.version)
        return hooks_lifecycle_pb2.OnActivateResponse()

    async def OnDeactivate(self, request, context):
        log.info("deactivated")
        return hooks_lifecycle_pb2.OnDeactivateResponse()

    async def MessageWillBePosted(self, request, context):
        answer = hooks_message_pb2.MessageWillBePostedResponse()
        if request.post.message == "hello":
            # The whole post goes back, not only what changed.
            answer.modified_post.CopyFrom(request.post)
            answer.modified_post.message = "hello from Python"
        return answer


async def main(target):
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    # grpcio takes both forms of the target as they are: host:port and unix:///path.
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        api = plugin_api_pb2_grpc.PluginAPIStub(channel)
        plugin_hooks_pb2_grpc.add_PluginHooksServicer_to_server(Hooks(api), server)
        status = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await status.set("plugin", health_pb2.HealthCheckResponse.SERVING)

        # The first line of stdout, when everything is ready: the server connects as soon as it
        # reads it. Nothing else may be printed before.
        print(f"1|1|tcp|127.0.0.1:{port}|grpc", flush=True)

        await stop.wait()
        log.info("stopping")
        await status.set("plugin", health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.stop(GRACE)


if __name__ == "__main__":
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    )
    if not os.environ.get(TARGET):
        log.error("%s is not set: a Mattermost server sets it when it starts this plugin", TARGET)
        sys.exit(1)
    asyncio.run(main(os.environ[TARGET]))
