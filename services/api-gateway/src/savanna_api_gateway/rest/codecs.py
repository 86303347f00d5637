"""How values pass between JSON and messages: one codec for each kind of value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from savanna.cluster.v1 import template_pb2
from savanna.common.v1.config_pb2 import Configs, ConfigValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

    from savanna_api_gateway.rest.schemas import Json

Message = Any
"""A message of the resource that the codec is declared for: attributes are found by their path."""


@dataclass(frozen=True)
class Codec:
    """Shows a value of a message as JSON and stores JSON into it; ``path`` as "spec.flavor_id"."""

    path: str
    show: Callable[[Message], Json]
    store: Callable[[Message, Json], None] | None = None


def text(path: str) -> Codec:
    """Text; empty is null."""
    get = attrgetter(path)
    put = _setter(path)
    return Codec(path, lambda it: get(it) or None, lambda it, value: put(it, value or ""))


def plain(path: str) -> Codec:
    """A value that is shown as it is."""
    get = attrgetter(path)
    put = _setter(path)
    return Codec(path, get, put)


def number(path: str) -> Codec:
    """A number; null is 0."""
    get = attrgetter(path)
    put = _setter(path)
    return Codec(path, get, lambda it, value: put(it, value or 0))


def flag(path: str) -> Codec:
    """A truth value; null is false."""
    get = attrgetter(path)
    put = _setter(path)
    return Codec(path, get, lambda it, value: put(it, bool(value)))


def flag_or_true(path: str) -> Codec:
    """A truth value that is true unless someone said otherwise."""
    owner, name = _owner(path)

    def show(it: Message) -> Json:
        holder = owner(it)
        return getattr(holder, name) if holder.HasField(name) else True

    def store(it: Message, value: Json) -> None:
        if value is None:
            owner(it).ClearField(name)
        else:
            setattr(owner(it), name, value)

    return Codec(path, show, store)


def flavor(path: str) -> Codec:
    """The id of a flavor: text, also when it was given as a number."""
    get = attrgetter(path)
    put = _setter(path)
    return Codec(path, lambda it: get(it) or None, lambda it, value: put(it, str(value)))


def texts(path: str) -> Codec:
    """A list of texts."""
    get = attrgetter(path)
    return Codec(path, lambda it: list(get(it)), lambda it, value: _refill(get(it), value))


def texts_or_null(path: str) -> Codec:
    """A list of texts; an empty one is null."""
    get = attrgetter(path)
    return Codec(path, lambda it: list(get(it)) or None, lambda it, value: _refill(get(it), value))


def time(path: str) -> Codec:
    """A time; null until it is set.

    Never stored.
    """
    owner, name = _owner(path)

    def show(it: Message) -> Json:
        holder = owner(it)
        return shown_time(getattr(holder, name)) if holder.HasField(name) else None

    return Codec(path, show)


def configs(path: str) -> Codec:
    """Configuration: {target: {name: value}}."""
    get = attrgetter(path)

    def store(it: Message, value: Json) -> None:
        get(it).CopyFrom(stored_configs(value or {}))

    return Codec(path, lambda it: shown_configs(get(it)), store)


def values(path: str) -> Codec:
    """A mapping of names to values."""
    get = attrgetter(path)
    return Codec(
        path, lambda it: shown_values(get(it)), lambda it, value: store_values(get(it), value or {})
    )


def shares(path: str) -> Codec:
    """Shared file systems; none is null."""
    get = attrgetter(path)

    def show(it: Message) -> Json:
        return [
            {"id": each.id, "path": each.path or None, "access_level": each.access_level or "rw"}
            for each in get(it)
        ] or None

    def store(it: Message, value: Json) -> None:
        made = [
            template_pb2.Share(
                id=each["id"],
                path=each.get("path") or "",
                access_level=each.get("access_level") or "",
            )
            for each in value or []
        ]
        _refill(get(it), made)

    return Codec(path, show, store)


def node_policy(path: str) -> Codec:
    """What may go wrong with nodes; null is the default, grace is in seconds."""
    get = attrgetter(path)

    def store(it: Message, value: Json) -> None:
        policy = template_pb2.NodePolicy()
        for name in ("min_ready", "replace"):
            if name in value:
                setattr(policy, name, value[name])
        if "grace" in value:
            policy.grace.FromSeconds(value["grace"])
        get(it).CopyFrom(policy)

    return Codec(path, lambda _: None, store)


def words(path: str, by_value: Mapping[Any, str]) -> Codec:
    """An enumeration in Sahara's words.

    Never stored.
    """
    get = attrgetter(path)
    return Codec(path, lambda it: by_value[get(it)])


def fixed(value: Json) -> Codec:
    """A value that is always the same.

    Never stored.
    """
    return Codec("", lambda _: value)


def computed(show: Callable[[Message], Json]) -> Codec:
    """A value made from the whole message.

    Never stored.
    """
    return Codec("", show)


def shown_time(stamp: Timestamp) -> str:
    """Write a time as Sahara does: UTC without zone and fraction."""
    return _shown_second(stamp.seconds)


@lru_cache(maxsize=16_384)
def _shown_second(seconds: int) -> str:
    # A list shows the same few seconds again and again.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def shown_configs(message: Configs) -> dict[str, dict[str, Json]]:
    """Write configuration as JSON."""
    return {target: shown_values(section.values) for target, section in message.sections.items()}


def shown_values(section: Mapping[str, ConfigValue]) -> dict[str, Json]:
    """Write named values as JSON."""
    return {
        name: getattr(value, value.WhichOneof("value") or "text") for name, value in section.items()
    }


def stored_configs(value: Mapping[str, Mapping[str, Json]]) -> Configs:
    """Read configuration from JSON."""
    message = Configs()
    for target, section in value.items():
        message.sections[target].SetInParent()
        store_values(message.sections[target].values, section)
    return message


def store_values(into: Any, section: Mapping[str, Json]) -> None:  # noqa: ANN401 - protobuf's map
    """Read named values from JSON into a map of a message."""
    for name, value in section.items():
        if isinstance(value, bool):
            into[name].flag = value
        elif isinstance(value, int):
            into[name].number = value
        else:
            into[name].text = value


def _refill(repeated: Any, value: Iterable[Any] | None) -> None:  # noqa: ANN401 - protobuf's list
    del repeated[:]
    repeated.extend(value or [])


def _owner(path: str) -> tuple[Callable[[Message], Message], str]:
    holder, _, name = path.rpartition(".")
    return (attrgetter(holder) if holder else lambda it: it), name


def _setter(path: str) -> Callable[[Message, Json], None]:
    owner, name = _owner(path)
    return lambda it, value: setattr(owner(it), name, value)
