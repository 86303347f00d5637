"""Things that users write down and keep: read, listed, created, changed and removed all alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from savanna_api_gateway.rest import paging
from savanna_api_gateway.rest.fields import Answer
from savanna_api_gateway.rest.routing import Route
from savanna_api_gateway.rest.schemas import BodySchema
from savanna_api_gateway.shelf import is_uuid
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from savanna_api_gateway.rest.fields import Resource
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json
    from savanna_api_gateway.shelf import Shelf
    from savanna_kit.context import RequestContext

M = TypeVar("M", bound=Any)


class Core(Protocol[M]):
    """What the core can do with each kind."""

    @property
    def shelf(self) -> Shelf[M]:
        """Where they lie."""

    async def delete(self, caller: RequestContext, item_id: str) -> None:
        """Remove one."""


class Items(Generic[M]):
    """The routes of one kind.

    Kinds say how they are stored and changed.
    """

    path = ""
    one = ""
    """Key around one of them."""

    many = ""
    """Key around a list."""

    sortable: tuple[str, ...] = ("id", "name", "created_at", "updated_at")
    filters: tuple[str, ...] = ("name",)

    def __init__(self, core: Core[M], resource: Resource[M]) -> None:
        self._core = core
        self.resource = resource

    def routes(self) -> list[Route]:
        """Give the routes that every kind has."""
        single = f"{self.path}/{{id}}"
        create = BodySchema(self.resource.create_schema())
        change = BodySchema(self.resource.update_schema())
        return [
            Route("GET", self.path, self.index, query=self.filters),
            Route("POST", self.path, self.create, body=create),
            Route("GET", single, self.show, find=self.find),
            Route("PATCH", single, self.change, find=self.find, body=change),
            Route("DELETE", single, self.remove, find=self.find),
        ]

    async def find(self, caller: RequestContext, path: Mapping[str, str]) -> M:
        """Read the one that a path names."""
        return await self._core.shelf.get(caller.project_id, item_id(path))

    async def index(self, call: Call) -> Json:
        """List them."""
        wish = paging.wish(call.query, self.sortable)
        named = {name: call.query[name] for name in self.filters if name in call.query}
        asked = {name: named.pop(name) for name in _ASKED if name in named}
        things = [
            each
            for each in await self._core.shelf.all(call.caller.project_id, **asked)
            if all(self.resource.show_field(each, name) == named[name] for name in named)
        ]
        page = paging.page(things, wish, self.resource.show_field)
        return page.wrapped(self.many, await self.shown(call, page.things, Answer.LIST))

    async def create(self, call: Call) -> Json:
        """Store one."""
        stored = await self.store(call, *self.resource.read(given(call.body)))
        return await self._wrapped(call, stored, Answer.CREATED)

    async def show(self, call: Call) -> Json:
        """Show one."""
        return await self._wrapped(call, call.subject, Answer.ONE)

    async def change(self, call: Call) -> Json:
        """Replace fields of one."""
        values, paths = self.resource.read(call.body)
        changed = await self.replace(call, values, paths) if paths else call.subject
        return await self._wrapped(call, changed, Answer.ONE)

    async def remove(self, call: Call) -> Json:
        """Remove one."""
        await self._core.delete(call.caller, call.subject.id)

    async def store(self, call: Call, message: M, paths: Sequence[str]) -> M:
        """Store a message whose given fields have these paths."""
        raise NotImplementedError

    async def replace(self, call: Call, values: M, paths: Sequence[str]) -> M:
        """Replace the fields at these paths."""
        raise NotImplementedError

    async def shown(self, call: Call, things: Sequence[M], answer: Answer) -> list[dict[str, Json]]:
        """Write them as JSON."""
        del call
        return [self.resource.show(each, answer) for each in things]

    async def _wrapped(self, call: Call, thing: M, answer: Answer) -> Json:
        (shown,) = await self.shown(call, [thing], answer)
        return {self.one: shown}


_ASKED = ("name", "plugin_name", "plugin_version")
"""Filters that the conductor applies itself."""


def item_id(path: Mapping[str, str]) -> str:
    """Give the id in a path.

    Raises ``NotFound`` when nothing can have it.
    """
    if not is_uuid(path["id"]):
        raise errors.NotFound(
            "ids are UUIDs; list to see which there are",
            reason="NOT_FOUND",
            metadata={"id": path["id"]},
        )
    return path["id"]


def given(body: Mapping[str, Json]) -> dict[str, Json]:
    """Give what a new thing is given: null means that nothing is."""
    return {name: value for name, value in body.items() if value is not None}
