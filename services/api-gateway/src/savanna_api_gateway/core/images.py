"""The cloud with what was registered of its images: user name, description and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1 import cloud_pb2, template_pb2
from savanna_api_gateway.core.problems import Reason
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from savanna_api_gateway.cloud import Cloud
    from savanna_api_gateway.shelf import Shelf
    from savanna_kit.context import RequestContext


class Images:
    """Reads the cloud, registers images."""

    def __init__(self, cloud: Cloud, shelf: Shelf[template_pb2.ImageRegistration]) -> None:
        self._cloud = cloud
        self._shelf = shelf

    async def catalog(self, caller: RequestContext) -> cloud_pb2.CloudCatalog:
        """Give what the cloud offers, with registrations.

        Raises ``Unavailable``.
        """
        offered = await self._cloud.catalog(caller.project_id)
        registrations = await self._shelf.all(caller.project_id)
        return with_registrations(offered, registrations)

    async def registered(self, caller: RequestContext) -> Sequence[cloud_pb2.Image]:
        """List the registered images."""
        return [each for each in (await self.catalog(caller)).images if each.username]

    async def look(self, caller: RequestContext, image_id: str) -> cloud_pb2.Image:
        """Read an image, registered or not.

        Raises ``NotFound``.
        """
        for each in (await self.catalog(caller)).images:
            if each.id == image_id:
                return each
        raise errors.NotFound(
            f"the cloud has no image {image_id!r}; list its images to see which there are",
            reason="NOT_FOUND",
            metadata={"id": image_id},
        )

    async def get(self, caller: RequestContext, image_id: str) -> cloud_pb2.Image:
        """Read a registered image.

        Raises ``NotFound``; ``InvalidArgument`` if not registered.
        """
        image = await self.look(caller, image_id)
        if not image.username:
            raise errors.InvalidArgument(
                f"Image {image_id} not registered in Sahara\nRegister it with its user name first",
                reason=Reason.IMAGE_NOT_REGISTERED,
            )
        return image

    async def register(
        self, caller: RequestContext, image_id: str, *, username: str, description: str
    ) -> cloud_pb2.Image:
        """Say which user to log in as; tags stay as they are."""
        image = await self.look(caller, image_id)
        return await self._store(
            caller, image, username=username, description=description, tags=image.tags
        )

    async def set_tags(
        self, caller: RequestContext, image_id: str, tags: Sequence[str]
    ) -> cloud_pb2.Image:
        """Replace the tags."""
        image = await self.look(caller, image_id)
        return await self._store(
            caller, image, username=image.username, description=image.description, tags=tags
        )

    async def unregister(self, caller: RequestContext, image_id: str) -> None:
        """Forget user name, description and tags, also those that the cloud itself gives."""
        image = await self.look(caller, image_id)
        await self._store(caller, image, username="", description="", tags=())

    async def _store(
        self,
        caller: RequestContext,
        image: cloud_pb2.Image,
        *,
        username: str,
        description: str,
        tags: Iterable[str],
    ) -> cloud_pb2.Image:
        registration = template_pb2.ImageRegistration(
            id=image.id,
            username=username,
            description=description,
            tags=sorted(set(tags)),
            tags_set=True,
        )
        stored = await self._shelf.create(caller.project_id, registration, "")
        return _laid_over(image, stored)


def with_registrations(
    offered: cloud_pb2.CloudCatalog, registrations: Iterable[template_pb2.ImageRegistration]
) -> cloud_pb2.CloudCatalog:
    """Lay registrations over the images of a catalog.

    What the cloud says of the rest stays.
    """
    by_id = {each.id: each for each in registrations}
    merged = cloud_pb2.CloudCatalog()
    merged.CopyFrom(offered)
    for image in merged.images:
        if image.id in by_id:
            image.CopyFrom(_laid_over(image, by_id[image.id]))
    return merged


def _laid_over(
    image: cloud_pb2.Image, registration: template_pb2.ImageRegistration
) -> cloud_pb2.Image:
    merged = cloud_pb2.Image()
    merged.CopyFrom(image)
    merged.username = registration.username
    merged.description = registration.description
    if registration.tags_set:
        del merged.tags[:]
        merged.tags.extend(registration.tags)
    return merged
