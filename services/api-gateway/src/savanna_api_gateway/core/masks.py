"""Changing named fields of a stored message."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from savanna_api_gateway.core.problems import Problems, Reason
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

M = TypeVar("M", bound=Message)

_RACES = 4


def changed(current: M, values: M, paths: Sequence[str], settable: Collection[str]) -> M:
    """Replace the named fields of a message.

    Raises ``InvalidArgument`` for other fields.
    """
    mask = FieldMask(paths=paths)
    problems = Problems()
    for path in paths:
        top = path.partition(".")[0]
        if top not in settable or not _is_field(values, path):
            hint = f"These can be changed: {', '.join(sorted(settable))}"
            problems.add("update_mask", Reason.INVALID_DATA, f"'{path}' can not be changed", hint)
    problems.raise_any()
    result = type(current)()
    result.CopyFrom(current)
    mask.MergeMessage(values, result, True, True)
    return result


def _is_field(message: Message, path: str) -> bool:
    first, _, rest = path.partition(".")
    if first not in message.DESCRIPTOR.fields_by_name:
        return False
    if not rest:
        return True
    inner = getattr(message, first)
    return isinstance(inner, Message) and _is_field(inner, rest)


def tops(paths: Sequence[str]) -> list[str]:
    """Give the top fields that paths lie in."""
    return sorted({path.partition(".")[0] for path in paths})


async def raced(write: Callable[[], Awaitable[M]], *, again: bool) -> M:
    """Read, change and write; once more when someone else wrote in between, if ``again``."""
    for _ in range(_RACES - 1):
        try:
            return await write()
        except errors.Aborted:
            if not again:
                raise
    return await write()
