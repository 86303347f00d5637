"""What a resource is: its fields, declared once; showing, reading and schemas follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import Message

from savanna_api_gateway.rest.schemas import Schema, mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from savanna_api_gateway.rest.codecs import Codec
    from savanna_api_gateway.rest.schemas import Json

M = TypeVar("M", bound=Message)


class Shown(StrEnum):
    """When a field is part of an answer."""

    ALWAYS = "always"
    WRITTEN = "written"
    """Always, but in the answer to a create only when it is not null, as Sahara does."""

    LATER = "later"
    """Always, but never in the answer to a create."""

    ALONE = "alone"
    """In answers about one thing, not in lists."""
    NEVER = "never"
    """Written by users, never shown: secrets, and what only steers the request."""


class Answer(StrEnum):
    """What kind of answer a thing is shown in."""

    ONE = "one"
    LIST = "list"
    CREATED = "created"


_LEFT_OUT = {
    Answer.ONE: (Shown.NEVER,),
    Answer.LIST: (Shown.NEVER, Shown.ALONE),
    Answer.CREATED: (Shown.NEVER, Shown.LATER),
}


@dataclass(frozen=True)
class Field:
    """A field: its name in v2, how it passes to and from the message, its schema if given."""

    name: str
    codec: Codec
    body: Schema | None = None
    v1: str = ""
    """Its name in v1.1, where that differs."""

    shown: Shown = Shown.ALWAYS
    fixed: bool = False
    """Given when created, and never changed."""


class Resource(Generic[M]):
    """A kind of thing: the fields in the order in which Sahara shows them."""

    def __init__(
        self, message: type[M], fields: Iterable[Field], *, required: Iterable[str] = ()
    ) -> None:
        self.message = message
        self.fields = tuple(fields)
        self._by_name = {each.name: each for each in self.fields}
        self.required = tuple(required)
        self._shows = {
            answer: [
                (each.name, each.codec.show, each.shown is Shown.WRITTEN and _is_created(answer))
                for each in self.fields
                if each.shown not in left_out
            ]
            for answer, left_out in _LEFT_OUT.items()
        }

    def show(self, message: M, answer: Answer = Answer.ONE) -> dict[str, Json]:
        """Write a message as JSON."""
        shown = {}
        for name, show, unless_null in self._shows[answer]:
            value = show(message)
            if value is not None or not unless_null:
                shown[name] = value
        return shown

    def show_field(self, message: M, name: str) -> Json:
        """Write one field as JSON."""
        return self._by_name[name].codec.show(message)

    def read(self, body: Mapping[str, Json]) -> tuple[M, list[str]]:
        """Read JSON that has passed the schema: the message, and the paths of the given fields."""
        message = self.message()
        paths = []
        for name, value in body.items():
            field = self._by_name.get(name)
            if field is not None and field.codec.store is not None:
                field.codec.store(message, value)
                paths.append(field.codec.path)
        return message, paths

    def properties(self, *, changing: bool = False) -> dict[str, Schema]:
        """Give the schemas of what users may give, when creating or when changing."""
        return {
            each.name: each.body
            for each in self.fields
            if each.body is not None and not (changing and each.fixed)
        }

    def create_schema(self, **more: Schema) -> Schema:
        """Give the schema of the body of a create; ``more`` are properties that steer it."""
        return mapping({**self.properties(), **more}, *self.required)

    def update_schema(self) -> Schema:
        """Give the schema of the body of an update."""
        return mapping(self.properties(changing=True))


def _is_created(answer: Answer) -> bool:
    return answer is Answer.CREATED
