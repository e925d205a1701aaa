"""An SDK with a method for every RPC, made from the descriptors: dataclasses, letters for enums, results
without their message around them. All of it is right, so nothing of it may be accused."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

sys.path.insert(0, str(Path(__file__).parent / "generated"))

import grpc  # noqa: E402
from google.protobuf import json_format, message_factory  # noqa: E402
from mattermost.pluginapi.v1 import plugin_api_pb2, plugin_api_pb2_grpc  # noqa: E402

SERVICE = plugin_api_pb2.DESCRIPTOR.services_by_name["PluginAPI"]
CLASSES: Dict[str, type] = {}


class WholeError(Exception):
    """A call failed."""

    def __init__(self, message: str, error_id: Optional[str] = None, status_code: Optional[int] = None):
        super().__init__(message)
        self.error_id = error_id
        self.status_code = status_code


def is_google(message: Any) -> bool:
    return message is not None and message.full_name.startswith("google.protobuf.")


def is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_list(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)
    if repeated is None:
        repeated = field.label == field.LABEL_REPEATED
    return repeated and not is_map(field)


def class_of(message: Any) -> type:
    if message.full_name not in CLASSES:
        # Known before it is whole, for messages that stand in themselves.
        made = CLASSES[message.full_name] = type(message.name, (), {})
        made.__annotations__ = {field.name: hint_of(field) for field in message.fields}
        for field in message.fields:
            setattr(made, field.name, None)
        CLASSES[message.full_name] = dataclasses.dataclass(made)
    return CLASSES[message.full_name]


def hint_of(field: Any) -> Any:
    if is_map(field):
        return Dict[str, bare_hint(field.message_type.fields_by_name["value"])]
    if is_list(field):
        return List[bare_hint(field)]
    return Optional[bare_hint(field)] if field.has_presence else bare_hint(field)


def bare_hint(field: Any) -> Any:
    if is_google(field.message_type):
        return Any
    if field.message_type is not None:
        return class_of(field.message_type)
    return {
        field.CPPTYPE_BOOL: bool,
        field.CPPTYPE_ENUM: str,
        field.CPPTYPE_STRING: bytes if field.type == field.TYPE_BYTES else str,
        field.CPPTYPE_DOUBLE: float,
        field.CPPTYPE_FLOAT: float,
    }.get(field.cpp_type, int)


def letters(field: Any) -> Dict[str, int]:
    return {value.name.rsplit("_", 1)[-1][0]: value.number for value in field.enum_type.values[1:]}


def put(message: Any, field: Any, value: Any) -> None:
    if value is None:
        return
    if is_map(field):
        entry, target = field.message_type.fields_by_name["value"], getattr(message, field.name)
        for key, item in value.items():
            if entry.message_type is None:
                target[key] = item
            else:
                fill(target[key], item)
    elif is_list(field):
        target = getattr(message, field.name)
        for item in value:
            if field.message_type is None:
                target.append(item)
            else:
                fill(target.add(), item)
    elif field.message_type is not None:
        fill(getattr(message, field.name), value)
    else:
        setattr(message, field.name, letters(field)[value] if field.enum_type else value)


def fill(message: Any, value: Any) -> None:
    if is_google(message.DESCRIPTOR):
        json_format.ParseDict(value, message)
        return
    message.SetInParent()
    for field in message.DESCRIPTOR.fields:
        put(message, field, getattr(value, field.name))


def get(field: Any, value: Any) -> Any:
    if is_map(field):
        entry = field.message_type.fields_by_name["value"]
        return {key: one(entry, value[key]) for key in value}
    if is_list(field):
        return [one(field, item) for item in value]
    return one(field, value)


def one(field: Any, value: Any) -> Any:
    if is_google(field.message_type):
        return json_format.MessageToDict(value)
    if field.message_type is not None:
        return objects(value)
    if field.enum_type is not None:
        return {number: letter for letter, number in letters(field).items()}.get(value, "")
    return value


def objects(message: Any) -> Any:
    values = {}
    for field in message.DESCRIPTOR.fields:
        if not field.has_presence or message.HasField(field.name):
            values[field.name] = get(field, getattr(message, field.name))
    return class_of(message.DESCRIPTOR)(**values)


def result_of(response: Any) -> Any:
    """A result without fields is None, the only field itself, and several are an object."""
    fields = [field for field in response.DESCRIPTOR.fields if field.name != "error"]
    if not fields:
        return None
    if len(fields) == 1:
        (field,) = fields
        if field.has_presence and not response.HasField(field.name):
            return None
        return get(field, getattr(response, field.name))
    return objects(response)


class Client:
    """Its methods are added below."""

    def __init__(self) -> None:
        self._channel: Any = None
        self._stub: Any = None

    def connect(self) -> None:
        target = os.environ["MATTERMOST_PLUGIN_API_TARGET"]
        self._channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
        self._stub = plugin_api_pb2_grpc.PluginAPIStub(self._channel)


def snake(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def add(rpc: Any) -> None:
    def method(self: Client, **values: Any) -> Any:
        request = message_factory.GetMessageClass(rpc.input_type)()
        for field in rpc.input_type.fields:
            put(request, field, values.get(field.name))
        try:
            response = getattr(self._stub, rpc.name)(request)
        except grpc.RpcError as failure:
            error_id, colon, text = (failure.details() or "").partition(": ")
            codes = {"INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
                     "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429,
                     "UNIMPLEMENTED": 501, "UNAVAILABLE": 503}
            status = codes.get(failure.code().name, 500)
            raise WholeError(text, error_id if colon else None, status) from failure
        if response.HasField("error"):
            raise WholeError(response.error.message, response.error.id, response.error.status_code)
        return result_of(response)

    method.__annotations__ = {}
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for field in rpc.input_type.fields:
        hint = hint_of(field)
        method.__annotations__[field.name] = hint
        parameters.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, annotation=hint))
    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    setattr(Client, snake(rpc.name), method)


for _rpc in SERVICE.methods:
    add(_rpc)
