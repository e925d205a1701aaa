"""A minimal supervisor: launches the plugin of one bundle, and stops it on SIGTERM.

python host.py GENERATED BUNDLE, where GENERATED is the folder with the stubs.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from concurrent import futures
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import grpc
from mattermost.pluginapi.v1 import (
    api_server_pb2,
    hooks_lifecycle_pb2,
    plugin_api_pb2_grpc,
    plugin_hooks_pb2_grpc,
)

START_TIMEOUT = 10
HOOK_TIMEOUT = 30
GRACE = 3
LONGEST_LINE = 64 * 1024


class Refused(Exception):
    pass


class Api(plugin_api_pb2_grpc.PluginAPIServicer):
    def GetServerVersion(self, request, context):
        return api_server_pb2.GetServerVersionResponse(version="11.2.0")


def script_of(bundle):
    """The manifest's script, if it is in the bundle."""
    manifest = json.loads((bundle / "plugin.json").read_text())
    script = os.path.normpath(manifest["server"]["executable"])
    if os.path.isabs(script) or script.startswith(".."):
        raise Refused(f"path traversal: {script}")
    return script


def first_line(stdout):
    """What comes before the first newline, in time and of a bounded length."""
    line = b""
    deadline = threading.Event()
    timer = threading.Timer(START_TIMEOUT, deadline.set)
    timer.start()
    try:
        while b"\n" not in line:
            if deadline.is_set():
                raise Refused("timeout while waiting for the handshake")
            if len(line) >= LONGEST_LINE:
                raise Refused("the first line is too long")
            if select.select([stdout], [], [], 0.1)[0]:
                part = os.read(stdout.fileno(), 4096)
                if not part:
                    raise Refused("the process ended before its handshake")
                line += part
    finally:
        timer.cancel()
    return line.split(b"\n")[0].decode(errors="replace").strip()


def address_of(line):
    """Where the hooks are served, if this is a handshake."""
    fields = line.split("|")
    if len(fields) < 5:
        raise Refused(f"no handshake: {line[:200]}")
    core, app, network, address, protocol, *more = fields
    if (core, app, protocol) != ("1", "1", "grpc"):
        raise Refused(f"another version or protocol: {line[:200]}")
    if network not in ("tcp", "unix"):
        raise Refused(f"unknown network: {network}")
    if more and len(more[0]) > 50:
        raise Refused("TLS is not spoken here")
    return f"unix:{address}" if network == "unix" else address


def drain(stream):
    while os.read(stream.fileno(), 65536):
        pass


def in_background(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


class Plugin:
    def __init__(self, bundle, target):
        script = script_of(bundle)
        environment = dict(os.environ)
        environment |= {
            "MATTERMOST_PLUGIN_API_TARGET": target,
            "MATTERMOST_PLUGIN": "Securely message teams, anywhere.",
            "PLUGIN_PROTOCOL_VERSIONS": "1",
            "PLUGIN_MIN_PORT": "10000",
            "PLUGIN_MAX_PORT": "25000",
        }
        self.hooks = None
        self.claimed = []
        self.process = subprocess.Popen(
            [bundle / "venv/bin/python", script],
            cwd=bundle,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        in_background(drain, self.process.stderr)

    def activate(self):
        address = address_of(first_line(self.process.stdout))
        in_background(drain, self.process.stdout)
        self.hooks = plugin_hooks_pb2_grpc.PluginHooksStub(grpc.insecure_channel(address))
        answer = self.hooks.Implemented(
            hooks_lifecycle_pb2.ImplementedRequest(), timeout=HOOK_TIMEOUT, wait_for_ready=True
        )
        self.claimed = list(answer.hooks)
        if "OnActivate" in self.claimed:
            answer = self.hooks.OnActivate(hooks_lifecycle_pb2.OnActivateRequest(), timeout=HOOK_TIMEOUT)
            if answer.HasField("error"):
                raise Refused(f"OnActivate: {answer.error.message}")

    def deactivate(self):
        if "OnDeactivate" not in self.claimed:
            return
        try:
            self.hooks.OnDeactivate(hooks_lifecycle_pb2.OnDeactivateRequest(), timeout=HOOK_TIMEOUT)
        except grpc.RpcError as error:
            print(f"OnDeactivate: {error.code()}", file=sys.stderr)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main():
    bundle = Path(sys.argv[2]).absolute()
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    api = grpc.server(futures.ThreadPoolExecutor(8))
    plugin_api_pb2_grpc.add_PluginAPIServicer_to_server(Api(), api)
    port = api.add_insecure_port("127.0.0.1:0")
    api.start()
    plugin = None
    try:
        plugin = Plugin(bundle, f"127.0.0.1:{port}")
        plugin.activate()
        asked.wait()
        plugin.deactivate()
    except (Refused, grpc.RpcError) as error:
        print(f"unable to start the plugin: {error}", file=sys.stderr)
        return 1
    finally:
        if plugin:
            plugin.end()
        api.stop(1).wait()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # No thread that waits for a pipe holds the end.
    os._exit(status)
