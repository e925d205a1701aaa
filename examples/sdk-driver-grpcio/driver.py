"""A driver for `plugin-conformance check sdk` around plain grpcio stubs.

It reads a case a line, makes the call, and writes what came of it:

    {"case": 7, "rpc": "GetUser", "request": {"user_id": "abc"}}
    {"case": 7, "response": {"user": {"id": "abc"}}}

There is no SDK in between, so it passes everything. docs/check-sdk.md has the whole contract.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "generated"))

import grpc  # noqa: E402
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool  # noqa: E402
from google.protobuf import json_format, message_factory  # noqa: E402
from mattermost.pluginapi.v1 import common_pb2, plugin_api_pb2, plugin_api_pb2_grpc  # noqa: E402

SERVICE = plugin_api_pb2.DESCRIPTOR.services_by_name["PluginAPI"]
LIMIT = 100 * 1024 * 1024


def rich_status_class() -> type:
    """google.rpc.Status, in which a failure's details travel; grpcio does not bring it along."""
    field = descriptor_pb2.FieldDescriptorProto
    status = descriptor_pb2.DescriptorProto(name="Status")
    status.field.add(name="code", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    status.field.add(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    status.field.add(
        name="details",
        number=3,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=".google.protobuf.Any",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="rich_status.proto", package="google.rpc", syntax="proto3"
    )
    file.dependency.append("google/protobuf/any.proto")
    file.message_type.append(status)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))


RichStatus = rich_status_class()


def app_error_of(failure: grpc.RpcError) -> common_pb2.AppError | None:
    """The AppError in the details of a gRPC status."""
    for key, value in failure.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in RichStatus.FromString(value).details:
                if detail.type_url.endswith("/mattermost.pluginapi.v1.AppError"):
                    return common_pb2.AppError.FromString(detail.value)
    return None


def error_of(app_error: common_pb2.AppError) -> dict[str, Any]:
    return {
        "error": {
            "kind": "AppError",
            "id": app_error.id,
            "status_code": app_error.status_code,
            "message": app_error.message,
        }
    }


def call(stub: plugin_api_pb2_grpc.PluginAPIStub, rpc: str, request: dict[str, Any]) -> dict[str, Any]:
    """Makes one call; what came of it, as the kit wants it."""
    method = SERVICE.methods_by_name.get(rpc)
    if method is None:
        return {"missing": f"there is no {rpc} in these stubs"}
    message = json_format.ParseDict(request, message_factory.GetMessageClass(method.input_type)())
    try:
        response = getattr(stub, rpc)(message)
    except grpc.RpcError as failure:
        app_error = app_error_of(failure)
        if app_error is not None:
            return error_of(app_error)
        return {"error": {"kind": failure.code().name, "message": failure.details()}}
    if response.HasField("error"):
        return error_of(response.error)
    return {"response": json_format.MessageToDict(response, preserving_proto_field_name=True)}


def main() -> None:
    target = os.environ.get("MATTERMOST_PLUGIN_API_TARGET")
    if not target:
        sys.exit("MATTERMOST_PLUGIN_API_TARGET is not set: run this under `check sdk`")
    options = [
        ("grpc.max_send_message_length", LIMIT),
        ("grpc.max_receive_message_length", LIMIT),
        # The server is on this machine.
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.insecure_channel(target, options=options) as channel:
        stub = plugin_api_pb2_grpc.PluginAPIStub(channel)
        for line in sys.stdin:
            case = json.loads(line)
            answer = {"case": case["case"], **call(stub, case["rpc"], case["request"])}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
