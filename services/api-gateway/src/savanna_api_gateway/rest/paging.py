"""Pages of lists: sorted, cut at a marker, with the markers of their neighbours.

Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from savanna_api_gateway.rest.schemas import Json


class Identified(Protocol):
    """What has an id."""

    id: str


T = TypeVar("T", bound=Identified)

PARAMETERS = ("marker", "limit", "sort_by")
_DEFAULT_SORT = "id"
_LATER_NAMES = {"hadoop_version": "plugin_version"}
"""Sahara sorts by the old name in v2 too; both are taken."""


@dataclass(frozen=True)
class Wish:
    """Which page is wanted, in which order."""

    marker: str = ""
    limit: int = 0
    """0 for all."""

    field: str = _DEFAULT_SORT
    descending: bool = False


@dataclass(frozen=True)
class Page(Generic[T]):
    """The page, and what goes beside it: nothing unless there are other pages."""

    things: Sequence[T]
    markers: Mapping[str, str | None] | None

    def wrapped(self, name: str, shown: Sequence[Json]) -> dict[str, Json]:
        """Give the body of the answer: the things as JSON, and the markers if there are any."""
        body: dict[str, Json] = {name: shown}
        if self.markers is not None:
            body["markers"] = self.markers
        return body


def wish(parameters: Mapping[str, str], sortable: Collection[str]) -> Wish:
    """Read the parameters of a list.

    Raises ``InvalidArgument``.
    """
    limit = parameters.get("limit", "")
    if limit and not (limit.isascii() and limit.isdigit() and int(limit[:10]) > 0):
        raise errors.InvalidArgument(
            f"limit must be a positive whole number, not '{limit}'", reason="BAD_REQUEST"
        )
    sort_by = parameters.get("sort_by", _DEFAULT_SORT)
    name = sort_by.removeprefix("-")
    name = _LATER_NAMES.get(name, name)
    if name not in sortable:
        raise errors.InvalidArgument(
            f"sort_by must be one of {', '.join(sorted(sortable))}, with '-' before it for "
            f"the reverse order, not '{sort_by}'",
            reason="BAD_REQUEST",
        )
    return Wish(parameters.get("marker", ""), int(limit[:10] or 0), name, sort_by.startswith("-"))


def page(things: Sequence[T], wanted: Wish, key: Callable[[T, str], Json]) -> Page[T]:
    """Cut the page out of all things.

    Raises ``NotFound`` when the marker is not among them.
    """

    def place(thing: T) -> tuple[bool, Json, str]:
        value = key(thing, wanted.field)
        return value is not None, "" if value is None else value, thing.id

    ordered = sorted(things, key=place, reverse=wanted.descending)
    start = _after(ordered, wanted.marker) if wanted.marker else 0
    end = start + wanted.limit if wanted.limit else len(ordered)
    following = ordered[end - 1].id if end < len(ordered) else None
    before = start - wanted.limit - 1
    previous = ordered[before].id if wanted.limit and before >= 0 else None
    beside = {"prev": previous, "next": following}
    worth_saying = wanted.marker or any(beside.values())
    return Page(ordered[start:end], beside if worth_saying else None)


def _after(ordered: Sequence[T], marker: str) -> int:
    for index, thing in enumerate(ordered):
        if thing.id == marker:
            return index + 1
    raise errors.NotFound(
        "the marker must be the id of the last thing of the page before",
        reason="NOT_FOUND",
        metadata={"id": marker},
    )
