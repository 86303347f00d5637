"""The conductor's composition root, and its command: serve, or migrate the database."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from savanna.conductor.v1 import (
    catalog_service_pb2_grpc,
    cluster_service_pb2_grpc,
    execution_service_pb2_grpc,
    facts_service_pb2_grpc,
    mesh_service_pb2_grpc,
)
from savanna_conductor import deadlines, lookout, retention, upkeep
from savanna_conductor.keys import Secrets
from savanna_conductor.pulse import Pulse
from savanna_conductor.readings import Readings
from savanna_conductor.services.catalog import CatalogService
from savanna_conductor.services.clusters import ClusterService
from savanna_conductor.services.execution import ExecutionService
from savanna_conductor.services.facts import FactsService
from savanna_conductor.services.jobs import JobService
from savanna_conductor.services.mesh import MeshService
from savanna_conductor.services.operations import OperationService
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate, require_current
from savanna_conductor.store.transaction import Store
from savanna_kit import commands, logs, serving, settings
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_GATEWAYS = frozenset({"api"})
_CALLERS = {
    "ExecutionService": frozenset({"scheduler", "engine"}),
    "FactsService": frozenset({"engine"}),
}
"""Roles that may call a service; the others are for gateways."""


def build(given: ConductorSettings) -> serving.Parts:
    """Build the service.

    Raises ``FailedPrecondition`` when the database is not at this version's schema.
    """
    identity = given.identity()
    store, secrets = _opened(given)

    @asynccontextmanager
    async def closing() -> AsyncIterator[None]:
        try:
            yield
        finally:
            store.close()

    readings = Readings(store)
    parts = serving.Parts(
        name="conductor",
        listen=given.listen,
        identity=identity,
        drain_seconds=given.drain_seconds,
        resources=[closing(), readings.given()],
        loops=[
            partial(upkeep.keep_tidy, store),
            partial(lookout.keep, store, given.look_seconds),
            partial(deadlines.keep, store),
            partial(retention.keep, store, retention.rules(given)),
            readings.keep,
            store.keep_patience,
        ],
        served=_served(store, secrets, given),
    )
    parts.loops.append(Pulse(store, lambda well: parts.say_well(well)).keep)
    return parts


def _opened(given: ConductorSettings) -> tuple[Store, Secrets]:
    limit = given.statement_seconds
    engine = dialect.open_engine(given.database_url, readers=given.readers, statement_seconds=limit)
    try:
        version = require_current(engine)
        secrets = Secrets.from_file(given.key_file)
    except BaseException:
        engine.dispose()
        raise
    store = Store(
        engine,
        readers=given.readers,
        limits=deadlines.limits(given),
        statement_seconds=limit,
        version=version,
    )
    return store, secrets


def _served(store: Store, secrets: Secrets, given: ConductorSettings) -> list[serving.Served]:
    parts = (
        (
            "ExecutionService",
            execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server,
            ExecutionService(store, given),
        ),
        (
            "ClusterService",
            cluster_service_pb2_grpc.add_ClusterServiceServicer_to_server,
            ClusterService(store, secrets),
        ),
        (
            "JobService",
            cluster_service_pb2_grpc.add_JobServiceServicer_to_server,
            JobService(store),
        ),
        (
            "OperationService",
            cluster_service_pb2_grpc.add_OperationServiceServicer_to_server,
            OperationService(store),
        ),
        (
            "CatalogService",
            catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server,
            CatalogService(store, secrets, given),
        ),
        (
            "FactsService",
            facts_service_pb2_grpc.add_FactsServiceServicer_to_server,
            FactsService(store, secrets),
        ),
        (
            "MeshService",
            mesh_service_pb2_grpc.add_MeshServiceServicer_to_server,
            MeshService(store),
        ),
    )
    return [
        serving.Served(
            f"savanna.conductor.v1.{name}", add, servicer, callers=_CALLERS.get(name, _GATEWAYS)
        )
        for name, add, servicer in parts
    ]


def main() -> None:
    """Run ``savanna-conductor [migrate]``."""
    words = sys.argv[1:]
    usage = settings.usage(ConductorSettings, {"migrate": "bring the database to this version"})
    commands.answer(words, command="savanna-conductor", usage=usage)
    if words not in ([], ["migrate"]):
        commands.refuse(usage)
    try:
        if words == ["migrate"]:
            given = settings.load(ConductorSettings)
            logs.configure(level=given.log_level, form=given.log_format)
            engine = dialect.open_engine(given.database_url, readers=1)
            try:
                migrate(engine)
            finally:
                engine.dispose()
        else:
            serving.main(ConductorSettings, build)
    except (settings.SettingsError, SavannaError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
