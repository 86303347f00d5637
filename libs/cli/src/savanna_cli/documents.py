"""Reading what users write: YAML or JSON files into messages, every mistake named with file and
line.

A file is mapped onto a message by the message's own descriptor, so that a field added to the
contract can be written at once. Configurations are written as users know them: ``{section: {name:
value}}``. Where users know a field by a shorter name, a ``Form`` says so.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration

from savanna.common.v1 import config_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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


@dataclass(frozen=True)
class Form:
    """How users write one type of message."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Short names of fields."""

    inside: str = ""
    """A field whose own fields are written directly, as if they were the message's."""

    hidden: frozenset[str] = frozenset()
    """Fields that only Savanna sets."""


@dataclass
class Document:
    """A file that was read, and which field stands in which line."""

    file: str
    places: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Line and written name, by the path of the field in the message."""

    def place_of(self, path: str) -> tuple[str, str]:
        """Give "file:line" and the written name of a field, or of the nearest one around it."""
        for candidate in _ever_shorter(path):
            if candidate in self.places:
                line, written = self.places[candidate]
                return f"{self.file}:{line}", written if candidate == path else path
        return self.file, path


def read_document(
    path: Path, message: Message, forms: Mapping[str, Form] | None = None
) -> Document:
    """Fill ``message`` from a file; ``forms`` are by the full name of the type.

    Raises ``DocumentError``.
    """
    root = compose(path)
    if root is None:
        raise DocumentError(f"{path}: is empty; write the fields of the {message.DESCRIPTOR.name}")
    document = Document(str(path))
    _Filler(document, forms or {}).fill(message, root, _Path())
    return document


def compose(path: Path) -> yaml.Node | None:
    """Read a file as a YAML tree, in which every node knows its line.

    Raises ``DocumentError``.
    """
    try:
        root: yaml.Node | None = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        raise DocumentError(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{path}: can not be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error)
        raise DocumentError(f"{path}{line}: is not YAML: {what}") from error
    return root


def pairs_of(file: str, node: yaml.Node, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Give names and values of a mapping.

    Raises ``DocumentError`` for anything else, and for a name that is written twice.
    """
    if not isinstance(node, yaml.MappingNode):
        raise mistake(file, node, f"{what} must be a mapping of names to values")
    pairs = []
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise mistake(file, key, "a name must be plain text")
        if key.value in seen:
            raise mistake(file, key, f"'{key.value}' is written twice")
        seen.add(key.value)
        pairs.append((key, value))
    return pairs


def mistake(file: str, node: yaml.Node, what: str) -> DocumentError:
    """Give the error of a place in a file."""
    return DocumentError(f"{file}:{node.start_mark.line + 1}: {what}")


def unknown(file: str, node: yaml.ScalarNode, path: str, known: list[str]) -> DocumentError:
    """Give the error of a name that means nothing, with the one that was likely meant."""
    near = difflib.get_close_matches(node.value, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(known)}"
    return mistake(file, node, f"unknown field '{path}'; {hint}")


@dataclass(frozen=True)
class _Path:
    """Where a value stands: as it is written, and in the message."""

    written: str = ""
    actual: str = ""

    def to(self, written: str, actual: str) -> _Path:
        return _Path(_joined(self.written, written), _joined(self.actual, actual))

    def at(self, number: int) -> _Path:
        return _Path(f"{self.written}[{number}]", f"{self.actual}[{number}]")


class _Filler:
    """Walks a YAML tree and a message side by side."""

    def __init__(self, document: Document, forms: Mapping[str, Form]) -> None:
        self._file = document.file
        self._places = document.places
        self._forms = forms

    def fill(self, message: Message, node: yaml.Node, path: _Path) -> None:
        """Fill a message from a mapping."""
        if isinstance(message, config_pb2.Configs):
            self._fill_configs(message, node, path)
            return
        routes = dict(self._routes(message))
        for key, value in pairs_of(self._file, node, _quoted(path)):
            if key.value not in routes:
                written = _joined(path.written, key.value)
                raise unknown(self._file, key, written, list(routes))
            target, name, actual = routes[key.value]
            place = path.to(key.value, actual)
            self._note(key, place)
            descriptor: FieldDescriptor = target.DESCRIPTOR.fields_by_name[name]  # type: ignore[assignment]  # two names of one class
            self._set(target, descriptor, value, place)

    def _routes(self, message: Message) -> Iterator[tuple[str, tuple[Message, str, str]]]:
        """Give for each name that may be written: message, field, and path of that field."""
        form = self._forms.get(message.DESCRIPTOR.full_name, Form())
        shorter = {actual: short for short, actual in form.names.items()}
        for name in message.DESCRIPTOR.fields_by_name:
            if name == form.inside or name in form.hidden:
                continue
            if name in shorter:
                yield shorter[name], (message, name, name)
            yield name, (message, name, name)
        if form.inside:
            inner = getattr(message, form.inside)
            for short, (target, name, actual) in self._routes(inner):
                yield short, (target, name, f"{form.inside}.{actual}")

    def _note(self, node: yaml.Node, path: _Path) -> None:
        place = (node.start_mark.line + 1, path.written)
        self._places[path.actual] = place
        # Plugins speak of a group's fields without the message that they lie in.
        self._places.setdefault(path.actual.replace(".spec.", "."), place)

    def _set(
        self, message: Message, descriptor: FieldDescriptor, node: yaml.Node, path: _Path
    ) -> None:
        if _is_map(descriptor):
            self._fill_map(message, descriptor, node, path)
        elif descriptor.is_repeated:
            if not isinstance(node, yaml.SequenceNode):
                raise self._error(node, f"'{path.written}' must be a list")
            target = getattr(message, descriptor.name)
            for number, each in enumerate(node.value):
                place = path.at(number)
                self._note(each, place)
                if descriptor.message_type:
                    self.fill(target.add(), each, place)
                else:
                    target.append(self._scalar(descriptor, each, place))
        elif descriptor.message_type is Duration.DESCRIPTOR:
            getattr(message, descriptor.name).FromMilliseconds(self._milliseconds(node, path))
        elif descriptor.message_type:
            self.fill(getattr(message, descriptor.name), node, path)
        else:
            setattr(message, descriptor.name, self._scalar(descriptor, node, path))

    def _fill_map(
        self, message: Message, descriptor: FieldDescriptor, node: yaml.Node, path: _Path
    ) -> None:
        value_field = _entry(descriptor).fields_by_name["value"]
        target = getattr(message, descriptor.name)
        for key, value in pairs_of(self._file, node, _quoted(path)):
            place = path.to(key.value, key.value)
            self._note(key, place)
            if value_field.message_type is config_pb2.ConfigValue.DESCRIPTOR:
                target[key.value].CopyFrom(self._config_value(value, place))
            elif value_field.message_type:
                self.fill(target[key.value], value, place)
            else:
                target[key.value] = self._scalar(value_field, value, place)

    def _fill_configs(self, configs: config_pb2.Configs, node: yaml.Node, path: _Path) -> None:
        for section, values in pairs_of(self._file, node, _quoted(path)):
            inner = path.to(section.value, section.value)
            self._note(section, inner)
            into = configs.sections[section.value].values
            for name, value in pairs_of(self._file, values, _quoted(inner)):
                place = inner.to(name.value, name.value)
                self._note(name, place)
                into[name.value].CopyFrom(self._config_value(value, place))

    def _config_value(self, node: yaml.Node, path: _Path) -> config_pb2.ConfigValue:
        value, text = self._plain(node, path)
        if isinstance(value, bool):
            return config_pb2.ConfigValue(flag=value)
        if isinstance(value, int):
            return config_pb2.ConfigValue(number=value)
        if isinstance(value, str | float):
            return config_pb2.ConfigValue(text=text)
        raise self._error(node, f"'{path.written}' must be text, a number, true or false")

    def _scalar(
        self, descriptor: FieldDescriptor, node: yaml.Node, path: _Path
    ) -> str | int | bool:
        value, text = self._plain(node, path)
        kind = descriptor.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            # A version that is written 4.10 is no number: what counts is how it is written.
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                return text
            raise self._error(node, f"'{path.written}' must be text")
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            if isinstance(value, bool):
                return value
            raise self._error(node, f"'{path.written}' must be true or false")
        if kind in _INTEGERS:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            raise self._error(node, f"'{path.written}' must be a whole number, not {text!r}")
        raise self._error(node, f"'{path.written}' can not be set from a file")

    def _milliseconds(self, node: yaml.Node, path: _Path) -> int:
        value, _ = self._plain(node, path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(node, f"'{path.written}' must be a number of seconds")
        return int(value * 1000)

    def _plain(self, node: yaml.Node, path: _Path) -> tuple[object, str]:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, f"'{path.written}' must be a single value")
        return yaml.safe_load(yaml.serialize(node)), node.value

    def _error(self, node: yaml.Node, what: str) -> DocumentError:
        return mistake(self._file, node, what)


def _quoted(path: _Path) -> str:
    return f"'{path.written}'" if path.written else "the file"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _ever_shorter(path: str) -> Iterator[str]:
    while path:
        yield path
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""


def _entry(descriptor: FieldDescriptor) -> Descriptor:
    entry = descriptor.message_type
    if entry is None:
        raise TypeError(f"{descriptor.name} is no map")
    return entry


def _is_map(descriptor: FieldDescriptor) -> bool:
    return bool(
        descriptor.message_type
        and descriptor.message_type.GetOptions().map_entry
        and descriptor.is_repeated
    )
