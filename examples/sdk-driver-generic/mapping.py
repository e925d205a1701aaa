"""From a request in JSON to a method's arguments, and from what it returns to a response in JSON."""

from __future__ import annotations

import base64
import dataclasses
import enum
import inspect
import typing
from typing import Any, Callable

from contract import is_json_like, is_map, is_repeated
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

# How a message is kept where an SDK has a plain value for it.
FLATTENED = {"AppError": "message"}


@dataclasses.dataclass
class NotOffered:
    """Fields that the SDK has no place for, by their paths."""

    request: set[str] = dataclasses.field(default_factory=set)
    response: set[str] = dataclasses.field(default_factory=set)

    def as_json(self) -> dict[str, list[str]]:
        return {"request": sorted(self.request), "response": sorted(self.response)}


def plain(name: str) -> str:
    return name.replace("_", "").lower()


def fields_of(message: Descriptor) -> list[FieldDescriptor]:
    """In the order of their numbers, without `error`, which is an exception in Python."""
    fields = sorted(message.fields, key=lambda field: field.number)
    is_response = message.name.endswith("Response")
    return [field for field in fields if not (is_response and field.name == "error")]


def hints_of(thing: Any) -> dict[str, Any]:
    """The type hints of a function or a class, as far as they can be understood."""
    try:
        return typing.get_type_hints(thing)
    except Exception:  # names that only a type checker imports
        return dict(getattr(thing, "__annotations__", {}))


def without_optional(hint: Any) -> Any:
    """X for Optional[X] and for X | None."""
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        rest = [argument for argument in arguments if argument is not type(None)]
        return rest[0] if len(rest) == 1 else Any
    return hint


def is_kind(hint: Any, kind: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, kind)


def is_message_class(hint: Any) -> bool:
    """Whether it is a class that protoc generated."""
    return isinstance(hint, type) and hasattr(hint, "DESCRIPTOR")


def fits(field: FieldDescriptor, hint: Any) -> bool:
    """Whether an argument of this type may carry the field."""
    hint = without_optional(hint)
    origin = typing.get_origin(hint) or hint
    if not isinstance(origin, type) or origin is object:
        return True
    if is_map(field) or is_json_like(field.message_type):
        return issubclass(origin, (dict, bool, int, float, str)) or not is_builtin(origin)
    if is_repeated(field):
        return issubclass(origin, (list, tuple, set)) or not is_builtin(origin)
    if field.message_type is not None:
        return issubclass(origin, dict) or not is_builtin(origin)
    kinds = {
        FieldDescriptor.CPPTYPE_BOOL: (bool,),
        FieldDescriptor.CPPTYPE_ENUM: (str, int),
        FieldDescriptor.CPPTYPE_STRING: (bytes,) if field.type == field.TYPE_BYTES else (str,),
        FieldDescriptor.CPPTYPE_DOUBLE: (float,),
        FieldDescriptor.CPPTYPE_FLOAT: (float,),
    }.get(field.cpp_type, (int,))
    return issubclass(origin, kinds) and (origin is not bool or bool in kinds)


def is_builtin(kind: type) -> bool:
    return kind.__module__ in ("builtins", "collections.abc", "typing")


def enum_word(name: str) -> str:
    """How SDKs write an enum's value where they have a text for it: O for TEAM_TYPE_OPEN."""
    return name.rsplit("_", 1)[-1][:1]


def enum_name(field: FieldDescriptor, value: Any) -> Any:
    """The contract's name for whatever stands for an enum's value."""
    value = value.value if isinstance(value, enum.Enum) else value
    for known in field.enum_type.values[1:]:
        last = known.name.rsplit("_", 1)[-1]
        if value in (known.name, known.number, last, last.lower(), enum_word(known.name)):
            return known.name
    return value


class Mapping:
    """Puts values where they belong, by name first and by type second."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def name_of(self, field: FieldDescriptor) -> str:
        """What the SDK calls a field, without its spelling."""
        known = self.names.get(f"{field.containing_type.name}.{field.name}")
        return plain(known or field.name)

    # --- to the SDK ---

    def arguments(
        self, method: Callable[..., Any], asked: Descriptor, request: dict[str, Any], lacking: set[str]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments for a request; what finds no place goes into `lacking`."""
        hints = hints_of(method)
        parameters = list(inspect.signature(method).parameters.values())
        variadic = [p for p in parameters if p.kind is p.VAR_KEYWORD]
        open_ones = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if len(open_ones) == 1 and is_message_class(without_optional(hints.get(open_ones[0].name))):
            whole = without_optional(hints[open_ones[0].name])
            if whole.DESCRIPTOR.full_name == asked.full_name:
                return [json_format.ParseDict(request, whole())], {}
        fields = fields_of(asked)
        values: dict[str, Any] = {}

        def take(parameter: inspect.Parameter, field: FieldDescriptor, value: Any, path: str) -> None:
            hint = hints.get(parameter.name, Any)
            values[parameter.name] = self.to_sdk(field, value, hint, path, lacking)
            open_ones.remove(parameter)

        def pair(rule: Callable[[inspect.Parameter, FieldDescriptor], bool]) -> None:
            """Pairs what the rule leaves no choice for."""
            for parameter in list(open_ones):
                found = [field for field in fields if rule(parameter, field)]
                rivals = [p for p in open_ones if found and rule(p, found[0])]
                if len(found) == 1 and len(rivals) == 1:
                    fields.remove(found[0])
                    take(parameter, found[0], request.get(found[0].name), found[0].name)

        def fitting(parameter: inspect.Parameter, field: FieldDescriptor) -> bool:
            return fits(field, hints.get(parameter.name, Any))

        def alike(parameter: inspect.Parameter, field: FieldDescriptor) -> bool:
            one, other = plain(parameter.name), self.name_of(field)
            return (one.endswith(other) or other.endswith(one)) and fitting(parameter, field)

        pair(lambda parameter, field: plain(parameter.name) == self.name_of(field))
        # A message of the request may be spread over several arguments. It is, if one of them is
        # named after a field of it.
        for field in [f for f in fields if f.message_type is not None and not is_repeated(f)]:
            inner = {}
            for part in fields_of(field.message_type):
                names = (self.name_of(part), plain(field.name) + self.name_of(part))
                inner.update({name: part for name in names})
            spread = [p for p in open_ones if plain(p.name) in inner]
            if not spread or any(alike(p, field) for p in open_ones if p not in spread):
                continue
            fields.remove(field)
            inside = request.get(field.name) or {}
            used = set()
            for parameter in spread:
                part = inner[plain(parameter.name)]
                used.add(part.name)
                take(parameter, part, inside.get(part.name), f"{field.name}.{part.name}")
            for part in fields_of(field.message_type):
                if part.name not in used:
                    lacking.add(f"{field.name}.{part.name}")
        pair(alike)
        pair(fitting)
        # The same number of both, of the same types in the same order.
        if len(open_ones) == len(fields) and all(map(fitting, open_ones, fields)):
            for parameter, field in zip(list(open_ones), list(fields)):
                fields.remove(field)
                take(parameter, field, request.get(field.name), field.name)
        for field in list(fields) if variadic else []:
            pairs = self.as_keywords(field, request.get(field.name))
            if pairs is not None:
                fields.remove(field)
                values.update(pairs)
                break
        lacking.update(field.name for field in fields)
        # What the contract has no field for gets nothing, so that the call is made all the same.
        for parameter in open_ones:
            if parameter.default is inspect.Parameter.empty:
                values[parameter.name] = nothing(hints.get(parameter.name, Any))
        positional = []
        for parameter in parameters:
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in values:
                positional.append(values.pop(parameter.name))
        return positional, values

    def as_keywords(self, field: FieldDescriptor, value: Any) -> dict[str, Any] | None:
        """A map, or a list of keys and values, as keyword arguments."""
        if is_map(field):
            return dict(value or {})
        message = field.message_type
        if is_repeated(field) and message is not None:
            if {part.name for part in message.fields} == {"key", "value"}:
                return {item["key"]: item.get("value") for item in value or []}
        return None

    def to_sdk(self, field: FieldDescriptor, value: Any, hint: Any, path: str, lacking: set[str]) -> Any:
        """A field's value, as the SDK wants it."""
        hint = without_optional(hint)
        if value is None:
            return None
        inner = typing.get_args(hint)
        if is_map(field):
            of = field.message_type.fields_by_name["value"]
            wanted = inner[1] if len(inner) == 2 else Any
            return {key: self.one_to_sdk(of, item, wanted, path, lacking) for key, item in value.items()}
        if is_repeated(field):
            wanted = inner[0] if inner else Any
            return [self.one_to_sdk(field, item, wanted, path, lacking) for item in value]
        return self.one_to_sdk(field, value, hint, path, lacking)

    def one_to_sdk(self, field: FieldDescriptor, value: Any, hint: Any, path: str, lacking: set[str]) -> Any:
        hint = without_optional(hint)
        message = field.message_type
        if is_message_class(hint):
            return json_format.ParseDict(value, hint())
        if message is not None and not is_json_like(message):
            if dataclasses.is_dataclass(hint):
                return self.to_dataclass(message, value, hint, path, lacking)
            parts = ((part, value.get(part.name)) for part in fields_of(message))
            return {
                part.name: self.to_sdk(part, item, Any, f"{path}.{part.name}", lacking)
                for part, item in parts
                if item is not None
            }
        if field.enum_type is not None:
            return self.to_enum(field, value, hint)
        if field.type == field.TYPE_BYTES:
            return base64.b64decode(value)
        if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
            return int(value)
        return value

    def to_enum(self, field: FieldDescriptor, value: Any, hint: Any) -> Any:
        known = field.enum_type.values_by_name[value]
        if is_kind(hint, enum.Enum):
            return next(member for member in hint if enum_name(field, member) == known.name)
        return known.number if is_kind(hint, int) else enum_word(known.name)

    def to_dataclass(
        self, message: Descriptor, value: dict[str, Any], kind: type, path: str, lacking: set[str]
    ) -> Any:
        hints = hints_of(kind)
        attributes = {plain(part.name): part.name for part in dataclasses.fields(kind) if part.init}
        values = {}
        for field in fields_of(message):
            below = f"{path}.{field.name}"
            name = attributes.get(self.name_of(field))
            if name is None:
                lacking.add(below)
            elif value.get(field.name) is not None:
                hint = hints.get(name, Any)
                values[name] = self.to_sdk(field, value[field.name], hint, below, lacking)
        return kind(**values)

    # --- from the SDK ---

    def response(self, result: Any, answered: Descriptor, lacking: set[str]) -> dict[str, Any]:
        """What a method returned, as the response; fields that it has no place for go into `lacking`."""
        fields = fields_of(answered)
        if result is None or not fields:
            return {}
        if getattr(getattr(result, "DESCRIPTOR", None), "full_name", None) == answered.full_name:
            return json_format.MessageToDict(result, preserving_proto_field_name=True)
        if len(fields) == 1:
            (field,) = fields
            return {field.name: self.from_sdk(field, result, field.name, lacking)}
        if isinstance(result, tuple) and not hasattr(result, "_fields"):
            return {
                field.name: self.from_sdk(field, item, field.name, lacking)
                for field, item in zip(fields, result)
                if item is not None
            }
        if attributes_of(result) is not None and any(self.has(result, field) for field in fields):
            return self.from_object(answered, result, "", lacking)
        # One of the fields, and not the others.
        chosen = next((field for field in fields if fits(field, type(result))), fields[0])
        lacking.update(field.name for field in fields if field is not chosen)
        return {chosen.name: self.from_sdk(chosen, result, chosen.name, lacking)}

    def has(self, value: Any, field: FieldDescriptor) -> bool:
        return self.name_of(field) in (attributes_of(value) or {})

    def from_sdk(self, field: FieldDescriptor, value: Any, path: str, lacking: set[str]) -> Any:
        """A value of the SDK, as proto3 JSON."""
        if value is None:
            return None
        if is_map(field):
            of = field.message_type.fields_by_name["value"]
            items = dict(value).items()
            return {str(key): self.one_from_sdk(of, item, path, lacking) for key, item in items}
        if is_repeated(field):
            return [self.one_from_sdk(field, item, path, lacking) for item in value]
        return self.one_from_sdk(field, value, path, lacking)

    def one_from_sdk(self, field: FieldDescriptor, value: Any, path: str, lacking: set[str]) -> Any:
        if hasattr(value, "DESCRIPTOR") and hasattr(value, "SerializeToString"):
            return json_format.MessageToDict(value, preserving_proto_field_name=True)
        message = field.message_type
        if message is not None and not is_json_like(message):
            if attributes_of(value) is not None:
                return self.from_object(message, value, path, lacking)
            return self.from_plain(message, value, path, lacking)
        if field.enum_type is not None:
            return enum_name(field, value)
        if isinstance(value, enum.Enum):
            value = value.value
        if message is not None:
            return plain_json(value)
        if field.type == field.TYPE_BYTES:
            data = value.encode() if isinstance(value, str) else bytes(value)
            return base64.b64encode(data).decode()
        return value

    def from_plain(self, message: Descriptor, value: Any, path: str, lacking: set[str]) -> Any:
        """A message for which the SDK has a plain value: one of its fields."""
        fields = fields_of(message)
        name = FLATTENED.get(message.name)
        chosen = next((field for field in fields if field.name == name), None)
        chosen = chosen or next((field for field in fields if fits(field, type(value))), None)
        if chosen is None:
            return value
        lacking.update(f"{path}.{field.name}" for field in fields if field is not chosen)
        return {chosen.name: self.from_sdk(chosen, value, f"{path}.{chosen.name}", lacking)}

    def from_object(self, message: Descriptor, value: Any, path: str, lacking: set[str]) -> dict[str, Any]:
        attributes = attributes_of(value) or {}
        found = {}
        for field in fields_of(message):
            below = f"{path}.{field.name}" if path else field.name
            if self.name_of(field) not in attributes:
                lacking.add(below)
                continue
            item = self.from_sdk(field, attributes[self.name_of(field)], below, lacking)
            if item is not None:
                found[field.name] = item
        return found


def attributes_of(value: Any) -> dict[str, Any] | None:
    """The attributes of an object of the SDK's own, or the entries of a dict, without their spelling."""
    if isinstance(value, dict):
        return {plain(str(name)): item for name, item in value.items()}
    if dataclasses.is_dataclass(value):
        return {plain(part.name): getattr(value, part.name) for part in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return {plain(name): item for name, item in value._asdict().items()}
    if not is_builtin(type(value)) and hasattr(value, "__dict__"):
        return {plain(name): item for name, item in vars(value).items() if not name.startswith("_")}
    return None


def plain_json(value: Any) -> Any:
    """Any JSON, of which parts may still be protobuf's Structs."""
    if hasattr(value, "DESCRIPTOR") and hasattr(value, "SerializeToString"):
        return json_format.MessageToDict(value)
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    return value


def nothing(hint: Any) -> Any:
    """A value for an argument that no field is for."""
    hint = without_optional(hint)
    origin = typing.get_origin(hint) or hint
    if origin in (str, bytes, int, float, bool, list, dict, tuple, set):
        return origin()
    return None
