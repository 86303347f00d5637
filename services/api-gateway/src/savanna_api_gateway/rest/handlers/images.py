"""Images of the cloud, and what is registered of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.rest import schemas
from savanna_api_gateway.rest.routing import Route
from savanna_api_gateway.rest.schemas import BodySchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna.cluster.v1 import cloud_pb2
    from savanna_api_gateway.core.images import Images
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json
    from savanna_kit.context import RequestContext

_ONE = "/images/{id}"
_TAGS = f"{_ONE}/tags"


class ImageRoutes:
    """The routes of images."""

    def __init__(self, core: Images) -> None:
        self._images = core

    def routes(self) -> list[Route]:
        """Give the routes."""
        register = schemas.mapping(
            {"username": schemas.FILLED, "description": schemas.TEXT},
            "username",
        )
        tags = BodySchema(schemas.mapping({"tags": schemas.TAGS}, "tags"))
        return [
            Route("GET", "/images", self.index, query=("name", "tags", "username")),
            Route("GET", _ONE, self.show, find=self.find),
            Route("POST", _ONE, self.register, find=self.find, body=BodySchema(register)),
            Route("DELETE", _ONE, self.unregister, find=self.find),
            Route("GET", _TAGS, self.tags, find=self.find),
            Route("PUT", _TAGS, self.set_tags, find=self.find, body=tags, code=200),
            Route("DELETE", _TAGS, self.remove_tags, find=self.find),
        ]

    async def find(self, caller: RequestContext, path: Mapping[str, str]) -> cloud_pb2.Image:
        """Read the one that a path names, registered or not."""
        return await self._images.look(caller, path["id"])

    async def index(self, call: Call) -> Json:
        """List the registered ones."""
        name = call.query.get("name")
        tags = set(call.query.getlist("tags"))
        return {
            "images": [
                _image(each)
                for each in await self._images.registered(call.caller)
                if (name is None or each.name == name) and tags <= set(each.tags)
            ]
        }

    async def show(self, call: Call) -> Json:
        """Show a registered one."""
        return {"image": _image(await self._images.get(call.caller, call.subject.id))}

    async def register(self, call: Call) -> Json:
        """Say which user to log in as."""
        registered = await self._images.register(
            call.caller,
            call.subject.id,
            username=call.body["username"],
            description=call.body.get("description", ""),
        )
        return {"image": _image(registered)}

    async def unregister(self, call: Call) -> Json:
        """Forget what was registered."""
        await self._images.unregister(call.caller, call.subject.id)

    async def tags(self, call: Call) -> Json:
        """Give the tags, bare; Sahara says {} when there are none."""
        return list(call.subject.tags) or {}

    async def set_tags(self, call: Call) -> Json:
        """Replace the tags."""
        tagged = await self._images.set_tags(call.caller, call.subject.id, call.body["tags"])
        return {"image": _image(tagged)}

    async def remove_tags(self, call: Call) -> Json:
        """Remove all tags."""
        await self._images.set_tags(call.caller, call.subject.id, ())


def _image(image: cloud_pb2.Image) -> dict[str, Json]:
    metadata: dict[str, str] = {}
    if image.username:
        metadata["_sahara_username"] = image.username
    if image.description:
        metadata["_sahara_description"] = image.description
    metadata |= {f"_sahara_tag_{each}": "True" for each in image.tags}
    return {
        "OS-EXT-IMG-SIZE:size": image.size,
        "metadata": metadata,
        "minDisk": image.min_disk,
        "minRam": image.min_ram,
        "progress": 100,
        "status": image.status,
        "created": image.created,
        "updated": image.updated,
        "username": image.username,
        "description": image.description,
        "tags": list(image.tags),
        "id": image.id,
        "name": image.name,
    }
