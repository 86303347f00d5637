"""Reading what users write: YAML or JSON files into messages, every mistake named with file and
line.

A file is mapped onto a message by the message's own descriptor, so that a field added to the
contract can be written at once. Configurations are written as users know them: ``{section: {name:
value}}``.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import yaml
from google.protobuf.descriptor import FieldDescriptor

from savanna.common.v1 import config_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

_INTEGERS = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)


class DocumentError(Exception):
    """A file that can not be understood; the text names file, line and field, and what to do."""


def read_document(
    path: Path, message: Message, *, aliases: Mapping[str, str] | None = None
) -> Message:
    """Fill ``message`` from a file and return it.

    ``aliases`` are further names of top-level fields.
    """
    try:
        root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        raise DocumentError(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{path}: can not be read: {error}") from error
    except yaml.YAMLError as error:
        raise DocumentError(f"{path}: is not YAML: {error}") from error
    if root is None:
        raise DocumentError(f"{path}: is empty; write the fields of the {message.DESCRIPTOR.name}")
    _Filler(str(path), aliases or {}).fill(message, root, "")
    return message


class _Filler:
    """Walks a YAML tree and a message side by side."""

    def __init__(self, file: str, aliases: Mapping[str, str]) -> None:
        self._file = file
        self._aliases = aliases

    def fill(self, message: Message, node: yaml.Node, path: str) -> None:
        """Fill a message from a mapping."""
        if isinstance(message, config_pb2.Configs):
            self._fill_configs(message, node, path)
            return
        known: dict[str, FieldDescriptor] = dict(message.DESCRIPTOR.fields_by_name.items())  # type: ignore[arg-type]
        for key_node, value in self._pairs(node, path):
            name = key_node.value
            field_path = f"{path}.{name}" if path else name
            field = known.get(self._aliases.get(name, name) if not path else name)
            if field is None:
                near = difflib.get_close_matches(name, [*known, *self._aliases], n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(known)}"
                raise self._error(key_node, f"unknown field '{field_path}'; {hint}")
            self._set(message, field, value, field_path)

    def _set(self, message: Message, field: FieldDescriptor, node: yaml.Node, path: str) -> None:
        if _is_map(field):
            self._fill_map(message, field, node, path)
        elif field.is_repeated:
            if not isinstance(node, yaml.SequenceNode):
                raise self._error(node, f"'{path}' must be a list")
            target = getattr(message, field.name)
            for number, each in enumerate(node.value):
                item_path = f"{path}[{number}]"
                if field.message_type:
                    self.fill(target.add(), each, item_path)
                else:
                    target.append(self._scalar(field, each, item_path))
        elif field.message_type:
            self.fill(getattr(message, field.name), node, path)
        else:
            setattr(message, field.name, self._scalar(field, node, path))

    def _fill_map(
        self, message: Message, field: FieldDescriptor, node: yaml.Node, path: str
    ) -> None:
        value_field = _entry(field).fields_by_name["value"]
        target = getattr(message, field.name)
        for key_node, value in self._pairs(node, path):
            item_path = f"{path}.{key_node.value}"
            if value_field.message_type is config_pb2.ConfigValue.DESCRIPTOR:
                target[key_node.value].CopyFrom(self._config_value(value, item_path))
            elif value_field.message_type:
                self.fill(target[key_node.value], value, item_path)
            else:
                target[key_node.value] = self._scalar(value_field, value, item_path)

    def _fill_configs(self, configs: config_pb2.Configs, node: yaml.Node, path: str) -> None:
        for section_node, values in self._pairs(node, path):
            section = configs.sections[section_node.value]
            section_path = f"{path}.{section_node.value}"
            for name_node, value in self._pairs(values, section_path):
                item_path = f"{section_path}.{name_node.value}"
                section.values[name_node.value].CopyFrom(self._config_value(value, item_path))

    def _config_value(self, node: yaml.Node, path: str) -> config_pb2.ConfigValue:
        value = self._plain(node, path)
        if isinstance(value, bool):
            return config_pb2.ConfigValue(flag=value)
        if isinstance(value, int):
            return config_pb2.ConfigValue(number=value)
        if isinstance(value, str):
            return config_pb2.ConfigValue(text=value)
        raise self._error(node, f"'{path}' must be text, a whole number, true or false")

    def _scalar(self, field: FieldDescriptor, node: yaml.Node, path: str) -> str | int | bool:
        value = self._plain(node, path)
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            if isinstance(value, str | int) and not isinstance(value, bool):
                return str(value)
            raise self._error(node, f"'{path}' must be text")
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            if isinstance(value, bool):
                return value
            raise self._error(node, f"'{path}' must be true or false")
        if kind in _INTEGERS:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            raise self._error(node, f"'{path}' must be a whole number")
        raise self._error(node, f"'{path}' can not be set from a file")

    def _plain(self, node: yaml.Node, path: str) -> object:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, f"'{path}' must be a single value")
        return yaml.safe_load(yaml.serialize(node))

    def _pairs(self, node: yaml.Node, path: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f"'{path or 'the file'}' must be a mapping of names to values")
        pairs = []
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a name must be plain text")
            if key.value in seen:
                raise self._error(key, f"'{key.value}' is written twice")
            seen.add(key.value)
            pairs.append((key, value))
        return pairs

    def _error(self, node: yaml.Node, what: str) -> DocumentError:
        return DocumentError(f"{self._file}:{node.start_mark.line + 1}: {what}")


def _entry(field: FieldDescriptor) -> Descriptor:
    entry = field.message_type
    if entry is None:
        raise TypeError(f"{field.name} is no map")
    return entry


def _is_map(field: FieldDescriptor) -> bool:
    return bool(
        field.message_type and field.message_type.GetOptions().map_entry and field.is_repeated
    )
