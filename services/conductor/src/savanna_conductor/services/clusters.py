"""Clusters and operations, as the gateway asks."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.conductor.v1 import cluster_service_pb2_grpc as stubs
from savanna.operation.v1 import operation_pb2
from savanna_conductor import clusters, convert, operations, queries
from savanna_conductor.store import schema
from savanna_kit.errors import FailedPrecondition, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc
    from sqlalchemy import Connection

    from savanna.cluster.v1 import cluster_pb2
    from savanna_conductor.keys import Secrets
    from savanna_conductor.settings import ConductorSettings
    from savanna_conductor.store.transaction import Store, Transaction

    Context = grpc.aio.ServicerContext[object, object]

_ENTRIES_AT_ONCE = 500


class ClusterService(stubs.ClusterServiceServicer):
    """Keeps clusters."""

    def __init__(self, store: Store, secrets: Secrets) -> None:
        self._store = store
        self._secrets = secrets

    async def CreateCluster(
        self, request: messages.CreateClusterRequest, context: Context
    ) -> messages.CreateClusterResponse:
        """Store a cluster and its launch."""
        cluster_id = await self._store.write(
            lambda tx: clusters.create(
                tx,
                self._secrets,
                project_id=request.project_id,
                wanted=request.cluster,
                request_id=request.request_id,
            )
        )
        cluster = await self._cluster(request.project_id, cluster_id)
        operation = await self._operation(cluster.operation_id)
        return messages.CreateClusterResponse(cluster=cluster, operation=operation)

    async def GetClusters(
        self, request: messages.GetClustersRequest, context: Context
    ) -> messages.GetClustersResponse:
        """Read clusters by id."""
        found = await self._store.read(lambda c: queries.clusters(c, request.names))
        return messages.GetClustersResponse(clusters=found)

    async def ListClusters(
        self, request: messages.ListClustersRequest, context: Context
    ) -> messages.ListClustersResponse:
        """List clusters."""
        found, token = await self._store.read(lambda c: queries.list_clusters(c, request))
        return messages.ListClustersResponse(clusters=found, next_page_token=token)

    async def UpdateCluster(
        self, request: messages.UpdateClusterRequest, context: Context
    ) -> messages.UpdateClusterResponse:
        """Replace fields of a cluster."""
        cluster_id = await self._store.write(
            lambda tx: clusters.change(
                tx,
                project_id=request.project_id,
                news=request.cluster,
                fields=request.update_mask.paths,
            )
        )
        return messages.UpdateClusterResponse(
            cluster=await self._cluster(request.project_id, cluster_id)
        )

    async def ScaleCluster(
        self, request: messages.ScaleClusterRequest, context: Context
    ) -> messages.ScaleClusterResponse:
        """Store a change of size."""
        operation_id = await self._store.write(
            lambda tx: clusters.scale(
                tx,
                project_id=request.name.project_id,
                cluster_id=request.name.id,
                groups=request.node_groups,
                revision=request.revision,
                request_id=request.request_id,
            )
        )
        return messages.ScaleClusterResponse(
            cluster=await self._cluster(request.name.project_id, request.name.id),
            operation=await self._operation(operation_id),
        )

    async def DeleteCluster(
        self, request: messages.DeleteClusterRequest, context: Context
    ) -> messages.DeleteClusterResponse:
        """Store a delete."""
        operation_id = await self._store.write(
            lambda tx: clusters.remove(
                tx,
                project_id=request.name.project_id,
                cluster_id=request.name.id,
                force=request.force,
            )
        )
        return messages.DeleteClusterResponse(operation=await self._operation(operation_id))

    async def GetProgress(
        self, request: messages.GetProgressRequest, context: Context
    ) -> messages.GetProgressResponse:
        """Group the tasks of a cluster's exclusive operations by title."""
        steps = await self._store.read(lambda c: _progress(c, request.name))
        return messages.GetProgressResponse(steps=steps)

    async def _cluster(self, project_id: str, cluster_id: str) -> cluster_pb2.Cluster:
        name = messages.OwnedName(project_id=project_id, id=cluster_id)
        found = await self._store.read(lambda c: queries.clusters(c, [name]))
        return found[0]

    async def _operation(self, operation_id: str) -> operation_pb2.Operation:
        return await self._store.read(lambda c: queries.operation(c, operation_id))


class OperationService(stubs.OperationServiceServicer):
    """Reads operations and the journal."""

    def __init__(self, store: Store, settings: ConductorSettings) -> None:
        self._store = store
        self._settings = settings

    async def GetOperation(
        self, request: messages.GetOperationRequest, context: Context
    ) -> messages.GetOperationResponse:
        """Read an operation with all that was done."""

        def read(connection: Connection) -> messages.GetOperationResponse:
            operation = _owned(connection, request.name)
            return messages.GetOperationResponse(
                operation=operation, tasks=queries.history(connection, operation.id)
            )

        return await self._store.read(read)

    async def ListOperations(
        self, request: messages.ListOperationsRequest, context: Context
    ) -> messages.ListOperationsResponse:
        """List operations, newest first."""

        def read(connection: Connection) -> messages.ListOperationsResponse:
            table = schema.operation
            query = select(table).where(table.c.project_id == request.project_id)
            if request.cluster_id:
                query = query.where(table.c.cluster_id == request.cluster_id)
            rows, token = queries.page(
                connection,
                query,
                table,
                request.page_size or 100,
                request.page_token,
                newest_first=True,
            )
            return messages.ListOperationsResponse(
                operations=queries.counted(connection, rows), next_page_token=token
            )

        return await self._store.read(read)

    async def CancelOperation(
        self, request: messages.CancelOperationRequest, context: Context
    ) -> messages.CancelOperationResponse:
        """Ask for the end of an operation."""

        def write(transaction: Transaction) -> None:
            operation = _owned(transaction.connection, request.name)
            if operation.goal == operation_pb2.Operation.GOAL_DELETE:
                raise FailedPrecondition(
                    "a delete can not be cancelled: what it removed is gone",
                    reason="OPERATION_NOT_CANCELLABLE",
                )
            if operation.state in operations.OPEN:
                operations.request_cancel(transaction, operation)

        await self._store.write(write)
        found = await self._store.read(lambda c: _owned(c, request.name))
        return messages.CancelOperationResponse(operation=found)

    async def WatchJournal(
        self, request: messages.WatchJournalRequest, context: Context
    ) -> AsyncIterator[messages.WatchJournalResponse]:
        """Follow the journal."""
        position = request.after_sequence
        while True:
            look = partial(
                queries.journal_after, request=request, sequence=position, limit=_ENTRIES_AT_ONCE
            )
            entries = await self._store.read(look)
            if entries:
                position = entries[-1].sequence
                yield messages.WatchJournalResponse(entries=entries)
                if request.until_operation_ends and any(map(_is_end, entries)):
                    return
            if len(entries) < _ENTRIES_AT_ONCE:
                await self._store.wait_for_change(self._settings.look_seconds)


def _is_end(entry: operation_pb2.JournalEntry) -> bool:
    ended = ("SUCCEEDED", "FAILED", "CANCELLED")
    return entry.kind == entry.KIND_OPERATION_CHANGED and entry.state in ended


def _owned(connection: Connection, name: messages.OwnedName) -> operation_pb2.Operation:
    operation = queries.operation(connection, name.id)
    if operation.project_id != name.project_id:
        raise NotFound(f"there is no operation {name.id}", reason="OPERATION_NOT_FOUND")
    return operation


def _progress(connection: Connection, name: messages.OwnedName) -> list[messages.ProgressStep]:
    table = schema.operation
    rows = connection.execute(
        select(table)
        .where(
            table.c.cluster_id == name.id,
            table.c.project_id == name.project_id,
            table.c.goal.in_(operations.EXCLUSIVE),
        )
        .order_by(table.c.created)
    ).all()
    found = {row.id: convert.operation(row) for row in rows}
    steps: dict[tuple[str, str], messages.ProgressStep] = {}
    for task in queries.tasks(connection, found):
        key = (task.operation_id, task.spec.title)
        if key not in steps:
            steps[key] = messages.ProgressStep(
                id=str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(key))),
                operation_id=task.operation_id,
                goal=found[task.operation_id].goal,
                title=task.spec.title,
            )
        task.spec.ClearField("body")
        steps[key].tasks.append(task)
    return list(steps.values())
