"""Shelves: the items of one kind that the conductor keeps, with their own message type."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from savanna.conductor.v1 import catalog_service_pb2 as pb
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1 import template_pb2
    from savanna.job.v1 import job_pb2
    from savanna_api_gateway.conductor import Conductor

M = TypeVar("M", bound=Message)

MAX_PAGE = 1000
"""Items of the largest page."""


class Shelf(Generic[M]):
    """Items of one kind: ``field`` names it in ``Item``, ``noun`` is what users call it."""

    def __init__(
        self, conductor: Conductor, kind: pb.ItemKind.ValueType, *, field: str, noun: str
    ) -> None:
        self._conductor = conductor
        self._kind = kind
        self._field = field
        self.noun = noun

    async def look(self, project_id: str, item_id: str) -> M | None:
        """Read an item by id; None when there is none that the project may see."""
        item = await self._conductor.item(project_id, self._kind, item_id)
        return self._unwrap(item)

    async def get(self, project_id: str, item_id: str) -> M:
        """Read an item by id.

        Raises ``NotFound``.
        """
        found = await self.look(project_id, item_id)
        if found is None:
            raise self.not_found(item_id)
        return found

    async def find(self, project_id: str, id_or_name: str) -> M:
        """Read an item by id or name.

        Raises ``NotFound``.
        """
        found = await self.look(project_id, id_or_name) if is_uuid(id_or_name) else None
        if found is None and id_or_name:
            page, _ = await self.page(project_id, page_size=2, name=id_or_name)
            found = next(iter(page), None)
        if found is None:
            raise self.not_found(id_or_name)
        return found

    async def page(
        self,
        project_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        name: str = "",
        plugin_name: str = "",
        plugin_version: str = "",
    ) -> tuple[Sequence[M], str]:
        """Read a page, oldest first, and the token of the next; empty at the end."""
        request = pb.ListItemsRequest(
            project_id=project_id,
            kind=self._kind,
            page_size=checked_page_size(page_size),
            page_token=page_token,
            name=name,
            plugin_name=plugin_name,
            plugin_version=plugin_version,
        )
        response = await self._conductor.catalog.ListItems(request)
        items = [self._unwrap(each) for each in response.items]
        return [each for each in items if each is not None], response.next_page_token

    async def all(
        self, project_id: str, *, name: str = "", plugin_name: str = "", plugin_version: str = ""
    ) -> Sequence[M]:
        """Read all items."""
        items: list[M] = []
        token = ""
        while True:
            page, token = await self.page(
                project_id,
                page_token=token,
                name=name,
                plugin_name=plugin_name,
                plugin_version=plugin_version,
            )
            items.extend(page)
            if not token:
                return items

    async def create(self, project_id: str, message: M, request_id: str) -> M:
        """Store an item.

        Raises ``AlreadyExists``.
        """
        request = pb.CreateItemRequest(
            project_id=project_id, item=self._wrap(message), request_id=request_id or new_id()
        )
        response = await self._conductor.catalog.CreateItem(request)
        return self._must(response.item)

    async def known(self, project_id: str, request_id: str) -> M:
        """Give what a request has made before.

        Raises ``NotFound`` when it has made nothing.
        """
        request = pb.CreateItemRequest(
            project_id=project_id, request_id=request_id, known_only=True
        )
        getattr(request.item, self._field).SetInParent()
        return self._must((await self._conductor.catalog.CreateItem(request)).item)

    async def update(self, project_id: str, message: M, paths: Sequence[str]) -> M:
        """Replace fields.

        Raises ``NotFound``, ``AlreadyExists``, ``FailedPrecondition`` and ``Aborted``.
        """
        request = pb.UpdateItemRequest(
            project_id=project_id, item=self._wrap(message), update_mask=FieldMask(paths=paths)
        )
        response = await self._conductor.catalog.UpdateItem(request)
        return self._must(response.item)

    async def delete(self, project_id: str, item_id: str) -> None:
        """Remove an item.

        Raises ``NotFound`` and ``FailedPrecondition``.
        """
        name = self.name(project_id, item_id)
        await self._conductor.catalog.DeleteItem(pb.DeleteItemRequest(name=name))

    def name(self, project_id: str, item_id: str) -> pb.ItemName:
        """Name an item as the conductor does."""
        return pb.ItemName(project_id=project_id, kind=self._kind, id=item_id)

    def not_found(self, given: str) -> errors.NotFound:
        """Give the error for an item that is not there."""
        return errors.NotFound(
            f"there is no {self.noun} {given!r}; list them to see which there are",
            reason="NOT_FOUND",
            metadata={"id": given},
        )

    def _wrap(self, message: M) -> pb.Item:
        item = pb.Item()
        inner: M = getattr(item, self._field)
        inner.CopyFrom(message)
        inner.SetInParent()
        return item

    def _unwrap(self, item: pb.Item) -> M | None:
        if item.WhichOneof("item") != self._field:
            return None
        inner: M = getattr(item, self._field)
        return inner

    def _must(self, item: pb.Item) -> M:
        inner = self._unwrap(item)
        if inner is None:
            raise errors.Internal("the conductor answered with another kind of item")
        return inner


class Shelves:
    """All shelves."""

    def __init__(self, conductor: Conductor) -> None:
        self.node_group_templates: Shelf[template_pb2.NodeGroupTemplate] = Shelf(
            conductor,
            pb.ITEM_KIND_NODE_GROUP_TEMPLATE,
            field="node_group_template",
            noun="node group template",
        )
        self.cluster_templates: Shelf[template_pb2.ClusterTemplate] = Shelf(
            conductor,
            pb.ITEM_KIND_CLUSTER_TEMPLATE,
            field="cluster_template",
            noun="cluster template",
        )
        self.job_binaries: Shelf[job_pb2.JobBinary] = Shelf(
            conductor, pb.ITEM_KIND_JOB_BINARY, field="job_binary", noun="job binary"
        )
        self.job_templates: Shelf[job_pb2.JobTemplate] = Shelf(
            conductor, pb.ITEM_KIND_JOB_TEMPLATE, field="job_template", noun="job template"
        )
        self.images: Shelf[template_pb2.ImageRegistration] = Shelf(
            conductor, pb.ITEM_KIND_IMAGE, field="image", noun="image registration"
        )


def new_id() -> str:
    """Make a UUID."""
    return str(uuid.uuid4())


def is_uuid(text: str) -> bool:
    """Whether a text looks like a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def checked_page_size(page_size: int) -> int:
    """Give a page size that the conductor takes.

    Raises ``InvalidArgument`` for a negative one.
    """
    if page_size < 0:
        raise errors.InvalidArgument(
            "page_size must not be negative; 0 asks for as many as there are, up to 1000",
            violations=[errors.FieldViolation("page_size", "must not be negative", "INVALID_DATA")],
        )
    return min(page_size, MAX_PAGE)
