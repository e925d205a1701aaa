"""Sends the server what a well-meant client does not, and refuses to be active if it minds.

Synchronous, unlike examples/hello-python: both ways of grpcio are met.
"""

import logging
import os
import signal
import sys
from concurrent import futures
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "generated"))

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from mattermost.pluginapi.v1 import (
    api_kv_pb2,
    api_server_pb2,
    common_pb2,
    hooks_lifecycle_pb2,
    plugin_api_pb2_grpc,
    plugin_hooks_pb2_grpc,
)

MIB = 1024 * 1024
API = "/mattermost.pluginapi.v1.PluginAPI/"
READY = grpc.ChannelConnectivity.READY

log = logging.getLogger("wire")


class Broken(Exception):
    pass


def want(what, seen, wanted):
    if seen != wanted:
        raise Broken(f"{what}: {seen!r}, not {wanted!r}")
    log.info("%s: %r", what, seen)


def code(call, request):
    """The status code of a call whose request is bytes."""
    try:
        call(request, timeout=60)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def try_everything(channel):
    states = []
    channel.subscribe(states.append, try_to_connect=True)
    api = plugin_api_pb2_grpc.PluginAPIStub(channel)

    def version(when):
        answer = api.GetServerVersion(api_server_pb2.GetServerVersionRequest(), timeout=10)
        want(f"the version {when}", answer.version, "11.2.0")

    version("at first")

    value = bytes(range(256)) * (20 * MIB // 256)
    answer = api.KVSet(api_kv_pb2.KVSetRequest(key="large", value=value), timeout=60)
    want("KVSet of 20 MiB has an error", answer.HasField("error"), False)

    # Field 1000, a varint, and field 1001, bytes: a newer client's.
    unknown = b"\xc0\x3e\x01" + b"\xca\x3e\x05hello"
    request = api_kv_pb2.KVGetRequest(key="known").SerializeToString() + unknown
    want("KVGet with unknown fields", code(channel.unary_unary(API + "KVGet"), request), "OK")

    # Field 1 says that it has five bytes, and has two.
    want("KVGet with half a field", code(channel.unary_unary(API + "KVGet"), b"\x0a\x05ab"), "INTERNAL")
    # Field 1 is a string, and this is no UTF-8.
    want("KVGet with a bad string", code(channel.unary_unary(API + "KVGet"), b"\x0a\x02\xff\xfe"), "INTERNAL")
    version("after corrupt messages")

    want("an RPC that is none", code(channel.unary_unary(API + "GetNothing"), b""), "UNIMPLEMENTED")

    over = bytes(100 * MIB + 1)
    want("KVSet of more than 100 MiB", code(channel.unary_unary(API + "KVSet"), over), "RESOURCE_EXHAUSTED")
    del over
    version("after a message that was too large")

    pending = [
        api.GetServerVersion.future(api_server_pb2.GetServerVersionRequest(), timeout=30)
        for _ in range(50)
    ]
    want("50 calls at once", {call.result().version for call in pending}, {"11.2.0"})

    # One connection carried all of it.
    after_ready = states[states.index(READY) :] if READY in states else states
    want("the channel's states", after_ready, [READY])


class Hooks(plugin_hooks_pb2_grpc.PluginHooksServicer):
    def __init__(self, channel):
        self.channel = channel

    def Implemented(self, request, context):
        return hooks_lifecycle_pb2.ImplementedResponse(hooks=["OnActivate"])

    def OnActivate(self, request, context):
        try:
            try_everything(self.channel)
        except (Broken, grpc.RpcError) as failure:
            error = common_pb2.AppError(id="wire.broken", message=str(failure), status_code=500)
            return hooks_lifecycle_pb2.OnActivateResponse(error=error)
        return hooks_lifecycle_pb2.OnActivateResponse()


def main():
    # Blocked in all threads that are started from here on, and taken by sigwait at the end.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    options = [
        # No limit of our own: the server's is what is tried.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", 100 * MIB),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.insecure_channel(os.environ["MATTERMOST_PLUGIN_API_TARGET"], options) as channel:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        plugin_hooks_pb2_grpc.add_PluginHooksServicer_to_server(Hooks(channel), server)
        status = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        status.set("plugin", health_pb2.HealthCheckResponse.SERVING)
        print(f"1|1|tcp|127.0.0.1:{port}|grpc", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        status.enter_graceful_shutdown()
        server.stop(5).wait()


if __name__ == "__main__":
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    )
    main()
