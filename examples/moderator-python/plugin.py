"""A moderator for Mattermost, with gRPC alone. This file starts it and stops it.

rules.py has the rules, hooks.py what the server calls, web.py what it serves, counters.py what it
remembers; server_api.py and http_exchange.py are the two ways to the server.
"""

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
from mattermost.pluginapi.v1 import plugin_hooks_pb2_grpc

from hooks import Hooks
from server_api import ServerApi

TARGET = "MATTERMOST_PLUGIN_API_TARGET"
MIB = 1024 * 1024

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
    # The server is on this machine, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
]
SERVER_OPTIONS = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
]
# Seconds for the calls under way when the plugin is told to stop; it is gone within five.
GRACE = 4

log = logging.getLogger("moderator")


async def main(target: str) -> None:
    """Serve until told to stop. `target` is where the server's API is."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    # grpcio takes both forms of the target as they are: host:port and unix:///path.
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        hooks = Hooks(ServerApi(channel), stopping=stop)
        plugin_hooks_pb2_grpc.add_PluginHooksServicer_to_server(hooks, server)
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
