"""Putting the gateway together: ``savanna-api``, or ``build`` for a process that has more in it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from savanna.api.v1 import (
    catalog_service_pb2_grpc,
    cluster_service_pb2_grpc,
    job_service_pb2_grpc,
    mesh_service_pb2_grpc,
    orphan_service_pb2_grpc,
)
from savanna_api_gateway.auth.none import NoAuthentication
from savanna_api_gateway.auth.tokens import TokensFileError, read
from savanna_api_gateway.cloud import Cloud
from savanna_api_gateway.conductor import RETRIES, Conductor
from savanna_api_gateway.core.api import Api
from savanna_api_gateway.grpc.catalog import CatalogServicer
from savanna_api_gateway.grpc.clusters import ClusterServicer, OperationServicer
from savanna_api_gateway.grpc.door import Door
from savanna_api_gateway.grpc.jobs import JobServicer
from savanna_api_gateway.grpc.mesh import MeshServicer
from savanna_api_gateway.grpc.orphans import OrphanServicer
from savanna_api_gateway.plugins import PluginDirectory
from savanna_api_gateway.rest import v2
from savanna_api_gateway.rest.app import App
from savanna_api_gateway.rest.listener import listening
from savanna_api_gateway.settings import ApiSettings
from savanna_kit import serving
from savanna_kit.addresses import is_loopback
from savanna_kit.channels import connect, peer
from savanna_kit.clock import SystemClock
from savanna_kit.settings import SettingsError
from savanna_kit.watches import Watches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from savanna_api_gateway.auth.base import Authenticator


@dataclass
class Gateway(serving.Parts):
    """The gateway: the gRPC API, and REST in the same process over the same core."""

    rest_address: str = ""
    """Filled in when it serves: where REST really listens, host:port."""


_CALLERS = frozenset({"envoy", "user"})
"""Roles that may call where certificates are shown: no service of the mesh is a user."""


def build(settings: ApiSettings) -> Gateway:
    """Put the gateway together.

    Raises ``SettingsError`` for settings that can not be used.
    """
    authenticator = _authenticator(settings)
    _check_doors(settings)
    parts = Gateway(
        name="api",
        listen=settings.listen,
        identity=settings.identity(),
        is_public=True,
        drain_seconds=settings.drain_seconds,
    )
    parts.resources.append(_assembled(parts, settings, authenticator))
    return parts


@asynccontextmanager
async def _assembled(
    parts: Gateway, settings: ApiSettings, authenticator: Authenticator
) -> AsyncIterator[None]:
    """Open channels, which belong to the running loop, and fill in what is served over them."""

    async with AsyncExitStack() as stack:

        def channel(address: str, role: str) -> grpc.aio.Channel:
            retries = RETRIES if role == "conductor" else None
            return connect(address, peer=peer(parts.identity, role), retries=retries)

        opened = stack.enter_async_context
        conductor = await opened(channel(settings.conductor, "conductor"))
        plugins = {each: await opened(channel(each, "plugin")) for each in settings.plugins}
        engines = {each: await opened(channel(each, "engine")) for each in settings.engines}
        clock = SystemClock()
        api = Api(
            Conductor(conductor),
            PluginDirectory(plugins, clock=clock, cache_seconds=settings.plugin_cache_seconds),
            Cloud(engines, clock=clock, cache_seconds=settings.cloud_cache_seconds),
            job_binary_limit=settings.job_binary_limit,
        )
        watches = Watches()
        parts.drains[:] = [watches.end]
        parts.served[:] = _served(api, authenticator, watches)
        app = App({v2.MOUNT: v2.table(api)}, authenticator, callers=_CALLERS)
        parts.rest_address = await stack.enter_async_context(
            listening(
                app,
                settings.rest_listen,
                drain_seconds=settings.drain_seconds,
                identity=parts.identity,
            )
        )
        yield


def _served(api: Api, authenticator: Authenticator, watches: Watches) -> list[serving.Served]:
    clusters, jobs = cluster_service_pb2_grpc, job_service_pb2_grpc
    catalog = catalog_service_pb2_grpc
    return [
        serving.Served(
            f"savanna.api.v1.{name}", add, Door(servicer, authenticator), callers=_CALLERS
        )
        for name, add, servicer in (
            ("CatalogService", catalog.add_CatalogServiceServicer_to_server, CatalogServicer(api)),
            ("ClusterService", clusters.add_ClusterServiceServicer_to_server, ClusterServicer(api)),
            (
                "OperationService",
                clusters.add_OperationServiceServicer_to_server,
                OperationServicer(api, watches),
            ),
            ("JobService", jobs.add_JobServiceServicer_to_server, JobServicer(api)),
            (
                "MeshService",
                mesh_service_pb2_grpc.add_MeshServiceServicer_to_server,
                MeshServicer(api),
            ),
            (
                "OrphanService",
                orphan_service_pb2_grpc.add_OrphanServiceServicer_to_server,
                OrphanServicer(api),
            ),
        )
    ]


def _doors(settings: ApiSettings) -> tuple[tuple[str, str], ...]:
    """Give the settings that say where users are served, and what they say."""
    return ("LISTEN", settings.listen), ("REST_LISTEN", settings.rest_listen)


def _check_doors(settings: ApiSettings) -> None:
    """Refuse to serve others in clear, unless that is wished."""
    if settings.clear_text or settings.tls_certificate is not None:
        return
    for name, listen in _doors(settings):
        if not is_loopback(listen):
            raise SettingsError(
                f"SAVANNA_API_{name}={listen} can be reached by others, and tokens would travel in "
                "clear: set SAVANNA_API_TLS_AUTHORITY, _CERTIFICATE and _KEY, listen on 127.0.0.1, "
                "or set SAVANNA_API_CLEAR_TEXT=true where a proxy before it has TLS"
            )


def _authenticator(settings: ApiSettings) -> Authenticator:
    if settings.auth == "none":
        for name, listen in _doors(settings):
            if ":" not in listen:
                raise SettingsError(f"SAVANNA_API_{name}={listen} is no address: give host:port")
            if not is_loopback(listen):
                raise SettingsError(
                    f"SAVANNA_API_{name}={listen} can be reached by others, and SAVANNA_API_AUTH="
                    "none lets everyone in: listen on 127.0.0.1 or set SAVANNA_API_AUTH=tokens=FILE"
                )
        return NoAuthentication()
    kind, _, path = settings.auth.partition("=")
    if kind != "tokens" or not path:
        raise SettingsError(
            f"SAVANNA_API_AUTH={settings.auth} is not known; use none or tokens=FILE"
        )
    try:
        return read(Path(path))
    except TokensFileError as error:
        raise SettingsError(f"SAVANNA_API_AUTH: {error}") from error


def main() -> None:
    """Run ``savanna-api``."""
    serving.main(ApiSettings, build)
