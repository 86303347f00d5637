"""Getting the ground that a request is checked against: a plugin's version and the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.core.checks import Ground, check_enabled, find_version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from savanna.cluster.v1 import cloud_pb2, template_pb2
    from savanna_api_gateway.core.images import Images
    from savanna_api_gateway.core.problems import Problems
    from savanna_api_gateway.plugins import PluginDirectory
    from savanna_kit.context import RequestContext

    class _Named(Protocol):
        @property
        def id(self) -> str: ...
        @property
        def name(self) -> str: ...


class Survey:
    """Reads plugins and the cloud for checks."""

    def __init__(self, plugins: PluginDirectory, images: Images) -> None:
        self.plugins = plugins
        self._images = images

    async def ground(
        self,
        caller: RequestContext,
        plugin_name: str,
        version: str,
        *,
        problems: Problems,
        enabled: bool = False,
    ) -> Ground:
        """Read both.

        Raises ``InvalidArgument``, with all problems so far, if it is not there.
        """
        plugin = await self.plugins.find(plugin_name)
        found = find_version(problems, plugin, plugin_name, version)
        if plugin is not None and found is not None and enabled:
            check_enabled(problems, plugin, found)
        problems.raise_any()
        assert found is not None
        return Ground(found, await self._images.catalog(caller))


def name_to_ids(spec: template_pb2.NodeGroupSpec, cloud: cloud_pb2.CloudCatalog) -> None:
    """Replace names of flavor, image and external network by ids, in place; unknown ones stay."""
    spec.flavor_id = _id_of(spec.flavor_id, cloud.flavors)
    spec.image_id = _id_of(spec.image_id, cloud.images)
    spec.floating_ip_pool = _id_of(
        spec.floating_ip_pool, [each for each in cloud.networks if each.external]
    )


def image_id_of(given: str, cloud: cloud_pb2.CloudCatalog) -> str:
    """Give the id of an image given by id or name."""
    return _id_of(given, cloud.images)


def network_id_of(given: str, cloud: cloud_pb2.CloudCatalog) -> str:
    """Give the id of a network given by id or name."""
    return _id_of(given, cloud.networks)


def _id_of(given: str, offered: Iterable[_Named]) -> str:
    if not given:
        return given
    named = []
    for each in offered:
        if each.id == given:
            return given
        if each.name == given:
            named.append(each.id)
    return named[0] if len(named) == 1 else given
