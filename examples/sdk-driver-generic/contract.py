"""The contract's messages, from the file that `check sdk` names in the environment.

The descriptors live in a pool of their own, so that they are in nobody's way: an SDK brings its own
generated code for messages of the same names.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

PLUGIN_API = "mattermost.pluginapi.v1.PluginAPI"


class Contract:
    """What is known of each RPC's messages."""

    def __init__(self, file: str) -> None:
        with open(file, "rb") as opened:
            files = descriptor_pb2.FileDescriptorSet.FromString(opened.read())
        pool = descriptor_pool.DescriptorPool()
        for file_proto in files.file:
            pool.AddSerializedFile(file_proto.SerializeToString())
        self.service = pool.FindServiceByName(PLUGIN_API)

    def messages(self, rpc: str) -> tuple[Descriptor, Descriptor]:
        """The request and the response of an RPC."""
        method = self.service.methods_by_name[rpc]
        return method.input_type, method.output_type


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether the field is a list or a map."""
    # Newer versions of protobuf have a property, older ones a label.
    repeated = getattr(field, "is_repeated", None)
    return field.label == FieldDescriptor.LABEL_REPEATED if repeated is None else repeated


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    message = field.message_type
    return message is not None and message.GetOptions().map_entry


def is_json_like(message: Descriptor | None) -> bool:
    """Whether the message is any JSON (Struct, Value) or stands for one value (Int32Value)."""
    return message is not None and message.full_name.startswith("google.protobuf.")
