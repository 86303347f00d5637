"""Plugins, the cloud and templates over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.api.v1 import catalog_service_pb2 as pb
from savanna.api.v1 import catalog_service_pb2_grpc
from savanna_kit.context import current

if TYPE_CHECKING:
    from savanna_api_gateway.core.api import Api


class CatalogServicer(catalog_service_pb2_grpc.CatalogServiceServicer):
    """Translates."""

    def __init__(self, api: Api) -> None:
        self._plugins = api.plugins
        self._images = api.images
        self._groups = api.node_group_templates
        self._clusters = api.cluster_templates

    async def ListPlugins(
        self, request: pb.ListPluginsRequest, context: object
    ) -> pb.ListPluginsResponse:
        """List those that answer."""
        return pb.ListPluginsResponse(plugins=await self._plugins.plugins())

    async def GetPlugin(
        self, request: pb.GetPluginRequest, context: object
    ) -> pb.GetPluginResponse:
        """Read one."""
        return pb.GetPluginResponse(plugin=await self._plugins.get(request.name))

    async def GetCloud(self, request: pb.GetCloudRequest, context: object) -> pb.GetCloudResponse:
        """Read what the cloud offers."""
        return pb.GetCloudResponse(cloud=await self._images.catalog(current()))

    async def CreateNodeGroupTemplate(
        self, request: pb.CreateNodeGroupTemplateRequest, context: object
    ) -> pb.CreateNodeGroupTemplateResponse:
        """Check and store."""
        template = await self._groups.create(
            current(), request.template, request_id=request.request_id
        )
        return pb.CreateNodeGroupTemplateResponse(template=template)

    async def GetNodeGroupTemplate(
        self, request: pb.GetNodeGroupTemplateRequest, context: object
    ) -> pb.GetNodeGroupTemplateResponse:
        """Read one by id or name."""
        template = await self._groups.shelf.find(current().project_id, request.id)
        return pb.GetNodeGroupTemplateResponse(template=template)

    async def ListNodeGroupTemplates(
        self, request: pb.ListNodeGroupTemplatesRequest, context: object
    ) -> pb.ListNodeGroupTemplatesResponse:
        """Read a page."""
        templates, token = await self._groups.shelf.page(
            current().project_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListNodeGroupTemplatesResponse(templates=templates, next_page_token=token)

    async def UpdateNodeGroupTemplate(
        self, request: pb.UpdateNodeGroupTemplateRequest, context: object
    ) -> pb.UpdateNodeGroupTemplateResponse:
        """Check and replace fields."""
        template = await self._groups.update(
            current(), request.template.id, request.template, request.update_mask.paths
        )
        return pb.UpdateNodeGroupTemplateResponse(template=template)

    async def DeleteNodeGroupTemplate(
        self, request: pb.DeleteNodeGroupTemplateRequest, context: object
    ) -> pb.DeleteNodeGroupTemplateResponse:
        """Remove one by id or name."""
        caller = current()
        template = await self._groups.shelf.find(caller.project_id, request.id)
        await self._groups.delete(caller, template.id)
        return pb.DeleteNodeGroupTemplateResponse()

    async def CreateClusterTemplate(
        self, request: pb.CreateClusterTemplateRequest, context: object
    ) -> pb.CreateClusterTemplateResponse:
        """Fill in, check and store."""
        template = await self._clusters.create(
            current(), request.template, request_id=request.request_id
        )
        return pb.CreateClusterTemplateResponse(template=template)

    async def GetClusterTemplate(
        self, request: pb.GetClusterTemplateRequest, context: object
    ) -> pb.GetClusterTemplateResponse:
        """Read one by id or name."""
        template = await self._clusters.shelf.find(current().project_id, request.id)
        return pb.GetClusterTemplateResponse(template=template)

    async def ListClusterTemplates(
        self, request: pb.ListClusterTemplatesRequest, context: object
    ) -> pb.ListClusterTemplatesResponse:
        """Read a page."""
        templates, token = await self._clusters.shelf.page(
            current().project_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListClusterTemplatesResponse(templates=templates, next_page_token=token)

    async def UpdateClusterTemplate(
        self, request: pb.UpdateClusterTemplateRequest, context: object
    ) -> pb.UpdateClusterTemplateResponse:
        """Check and replace fields."""
        template = await self._clusters.update(
            current(), request.template.id, request.template, request.update_mask.paths
        )
        return pb.UpdateClusterTemplateResponse(template=template)

    async def DeleteClusterTemplate(
        self, request: pb.DeleteClusterTemplateRequest, context: object
    ) -> pb.DeleteClusterTemplateResponse:
        """Remove one by id or name."""
        caller = current()
        template = await self._clusters.shelf.find(caller.project_id, request.id)
        await self._clusters.delete(caller, template.id)
        return pb.DeleteClusterTemplateResponse()
