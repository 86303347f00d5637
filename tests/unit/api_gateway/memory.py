"""A conductor that remembers in memory: real gRPC, as small as the gateway's tests need."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import (
    catalog_service_pb2 as cat,
)
from savanna.conductor.v1 import (
    catalog_service_pb2_grpc,
    cluster_service_pb2_grpc,
    facts_service_pb2,
    facts_service_pb2_grpc,
)
from savanna.conductor.v1 import (
    cluster_service_pb2 as pb,
)
from savanna.mesh.v1 import mesh_pb2
from savanna.operation.v1 import operation_pb2
from savanna_kit import context, errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna.job.v1 import job_pb2

FIELDS = {
    cat.ITEM_KIND_NODE_GROUP_TEMPLATE: "node_group_template",
    cat.ITEM_KIND_CLUSTER_TEMPLATE: "cluster_template",
    cat.ITEM_KIND_JOB_BINARY: "job_binary",
    cat.ITEM_KIND_JOB_TEMPLATE: "job_template",
    cat.ITEM_KIND_IMAGE: "image",
}


def now() -> Timestamp:
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp


def _key(request: Any) -> tuple[str, str]:
    return request.DESCRIPTOR.name, request.request_id


class Memory:
    """What is remembered."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Any] = {}
        self.data: dict[str, bytes] = {}
        self.clusters: dict[str, cluster_pb2.Cluster] = {}
        self.operations: dict[str, operation_pb2.Operation] = {}
        self.jobs: dict[str, job_pb2.Job] = {}
        self.steps: list[pb.ProgressStep] = []
        self.looks_at_progress = 0
        self.journal: list[operation_pb2.JournalEntry] = []
        self.requests: dict[tuple[str, str], tuple[str, Any]] = {}
        """By kind of call and key: the digest of what was asked for, and what it made."""

        self.scales: list[pb.ScaleClusterRequest] = []
        self.output = b""
        self.mesh = mesh_pb2.MeshStatus()

    def made(self, request: Any) -> Any:
        """Give what the same request made before, if anything."""
        digest, made = self.requests.get(_key(request), ("", None))
        if made is None and request.known_only:
            raise errors.NotFound("this request has made nothing", reason="REQUEST_UNKNOWN")
        if made is not None and digest != context.current().digest:
            text = "request_id was used for another request"
            raise errors.InvalidArgument(text, reason="REQUEST_ID_USED")
        return made

    def remember(self, request: Any, made: Any) -> None:
        """Remember what a request made."""
        self.requests[_key(request)] = (context.current().digest, made)

    def begin(
        self, project_id: str, cluster: cluster_pb2.Cluster, goal: Any
    ) -> operation_pb2.Operation:
        operation = operation_pb2.Operation(
            id=str(uuid.uuid4()),
            project_id=project_id,
            cluster_id=cluster.id,
            cluster_name=cluster.name,
            goal=goal,
            state=operation_pb2.Operation.STATE_PENDING,
            create_time=now(),
        )
        self.operations[operation.id] = operation
        entry = operation_pb2.JournalEntry(
            sequence=len(self.journal) + 1,
            project_id=project_id,
            cluster_id=cluster.id,
            operation_id=operation.id,
            kind=operation_pb2.JournalEntry.KIND_OPERATION_CREATED,
        )
        self.journal.append(entry)
        return operation


def visible(thing: Any, project_id: str) -> bool:
    return bool(thing.project_id == project_id or getattr(thing, "is_public", False))


class CatalogService(catalog_service_pb2_grpc.CatalogServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def _wrapped(self, kind: Any, inner: Any) -> cat.Item:
        item = cat.Item()
        getattr(item, FIELDS[kind]).CopyFrom(inner)
        return item

    async def CreateItem(
        self, request: cat.CreateItemRequest, context: object
    ) -> cat.CreateItemResponse:
        if (made := self.memory.made(request)) is not None:
            return cat.CreateItemResponse(item=made)
        field = request.item.WhichOneof("item") or ""
        inner = getattr(request.item, field)
        image = field == "image"
        if not image:
            for (kind, _), each in self.memory.items.items():
                if (
                    kind == field
                    and each.name == inner.name
                    and each.project_id == request.project_id
                ):
                    raise errors.AlreadyExists(f"{inner.name} is taken")
            inner.create_time.CopyFrom(now())
        inner.id = inner.id or str(uuid.uuid4())
        inner.project_id = request.project_id
        inner.revision = 1
        self.memory.items[field, inner.id] = inner
        self.memory.remember(request, request.item)
        return cat.CreateItemResponse(item=request.item)

    async def GetItems(self, request: cat.GetItemsRequest, context: object) -> cat.GetItemsResponse:
        answer = cat.GetItemsResponse()
        for name in request.names:
            inner = self.memory.items.get((FIELDS[name.kind], name.id))
            item = answer.items.add()
            if inner is not None and visible(inner, name.project_id):
                item.CopyFrom(self._wrapped(name.kind, inner))
        return answer

    async def ListItems(
        self, request: cat.ListItemsRequest, context: object
    ) -> cat.ListItemsResponse:
        found = [
            each
            for (kind, _), each in self.memory.items.items()
            if kind == FIELDS[request.kind]
            and visible(each, request.project_id)
            and (not request.name or each.name == request.name)
            and (not request.plugin_name or each.plugin_name == request.plugin_name)
            and (not request.plugin_version or each.plugin_version == request.plugin_version)
        ]
        start = int(request.page_token or 0)
        end = start + (request.page_size or 1000)
        items = [self._wrapped(request.kind, each) for each in found[start:end]]
        token = str(end) if end < len(found) else ""
        return cat.ListItemsResponse(items=items, next_page_token=token)

    async def UpdateItem(
        self, request: cat.UpdateItemRequest, context: object
    ) -> cat.UpdateItemResponse:
        field = request.item.WhichOneof("item") or ""
        values = getattr(request.item, field)
        stored = self.memory.items[field, values.id]
        if values.revision not in (0, stored.revision):
            raise errors.Aborted("someone else wrote")
        request.update_mask.MergeMessage(values, stored, True, True)
        stored.update_time.CopyFrom(now())
        stored.revision += 1
        item = cat.Item()
        getattr(item, field).CopyFrom(stored)
        return cat.UpdateItemResponse(item=item)

    async def DeleteItem(
        self, request: cat.DeleteItemRequest, context: object
    ) -> cat.DeleteItemResponse:
        name = request.name
        templates = [
            each for (kind, _), each in self.memory.items.items() if kind == "cluster_template"
        ]
        holders = [
            group
            for each in (*templates, *self.memory.clusters.values())
            for group in each.node_groups
        ]
        used = any(each.node_group_template_id == name.id for each in holders)
        used |= any(each.cluster_template_id == name.id for each in self.memory.clusters.values())
        used |= any(
            name.id in (*each.mains, *each.libs)
            for (kind, _), each in self.memory.items.items()
            if kind == "job_template"
        )
        if used:
            raise errors.FailedPrecondition("it is in use")
        del self.memory.items[FIELDS[name.kind], name.id]
        return cat.DeleteItemResponse()

    async def WriteJobBinary(
        self, request: AsyncIterator[cat.WriteJobBinaryRequest], context: object
    ) -> cat.WriteJobBinaryResponse:
        name, data, whole = cat.ItemName(), b"", False
        async for each in request:
            if each.HasField("name"):
                name = each.name
            data += each.data
            whole = each.is_last
        if not whole:
            raise errors.InvalidArgument("the upload was cut off")
        binary = self.memory.items["job_binary", name.id]
        binary.size = len(data)
        binary.sha256 = hashlib.sha256(data).hexdigest()
        self.memory.data[name.id] = data
        return cat.WriteJobBinaryResponse(job_binary=binary)


class ClusterService(cluster_service_pb2_grpc.ClusterServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    async def CreateCluster(
        self, request: pb.CreateClusterRequest, context: object
    ) -> pb.CreateClusterResponse:
        answer: pb.CreateClusterResponse | None = self.memory.made(request)
        if answer is not None:
            return answer
        cluster = request.cluster
        if any(each.name == cluster.name for each in self.memory.clusters.values()):
            raise errors.AlreadyExists("taken")
        cluster.id = str(uuid.uuid4())
        cluster.project_id = request.project_id
        cluster.state = cluster_pb2.Cluster.STATE_VALIDATING
        cluster.management_public_key = "ssh-ed25519 AAAA Generated-by-Savanna"
        cluster.revision = 1
        cluster.create_time.CopyFrom(now())
        for group in cluster.node_groups:
            group.id = str(uuid.uuid4())
            group.create_time.CopyFrom(now())
        self.memory.clusters[cluster.id] = cluster
        operation = self.memory.begin(
            request.project_id, cluster, operation_pb2.Operation.GOAL_LAUNCH
        )
        answer = pb.CreateClusterResponse(cluster=cluster, operation=operation)
        operation.on_failure = request.on_failure
        answer.operation.CopyFrom(operation)
        self.memory.remember(request, answer)
        return answer

    async def GetClusters(
        self, request: pb.GetClustersRequest, context: object
    ) -> pb.GetClustersResponse:
        answer = pb.GetClustersResponse()
        for name in request.names:
            each = self.memory.clusters.get(name.id)
            found = each is not None and visible(each, name.project_id)
            answer.clusters.append(each if found and each is not None else cluster_pb2.Cluster())
        return answer

    async def ListClusters(
        self, request: pb.ListClustersRequest, context: object
    ) -> pb.ListClustersResponse:
        found = [
            each
            for each in self.memory.clusters.values()
            if visible(each, request.project_id)
            and (not request.name or each.name == request.name)
            and (not request.plugin_name or each.plugin_name == request.plugin_name)
            and (not request.plugin_version or each.plugin_version == request.plugin_version)
        ]
        start = int(request.page_token or 0)
        end = start + (request.page_size or 1000)
        token = str(end) if end < len(found) else ""
        return pb.ListClustersResponse(clusters=found[start:end], next_page_token=token)

    async def UpdateCluster(
        self, request: pb.UpdateClusterRequest, context: object
    ) -> pb.UpdateClusterResponse:
        stored = self.memory.clusters[request.cluster.id]
        request.update_mask.MergeMessage(request.cluster, stored, True, True)
        return pb.UpdateClusterResponse(cluster=stored)

    async def ScaleCluster(
        self, request: pb.ScaleClusterRequest, context: object
    ) -> pb.ScaleClusterResponse:
        cluster = self.memory.clusters[request.name.id]
        if (made := self.memory.made(request)) is not None:
            return pb.ScaleClusterResponse(cluster=cluster, operation=made)
        if cluster.state != cluster_pb2.Cluster.STATE_ACTIVE:
            raise errors.FailedPrecondition("it is being changed", reason="CLUSTER_NOT_ACTIVE")
        self.memory.scales.append(request)
        present = {each.name: each for each in cluster.node_groups}
        for group in request.node_groups:
            if group.name in present:
                present[group.name].count = group.count
            else:
                group.id = str(uuid.uuid4())
                cluster.node_groups.append(group)
        cluster.state = cluster_pb2.Cluster.STATE_SCALING
        operation = self.memory.begin(
            request.name.project_id, cluster, operation_pb2.Operation.GOAL_SCALE
        )
        operation.on_failure = request.on_failure
        self.memory.remember(request, operation)
        return pb.ScaleClusterResponse(cluster=cluster, operation=operation)

    async def DeleteCluster(
        self, request: pb.DeleteClusterRequest, context: object
    ) -> pb.DeleteClusterResponse:
        cluster = self.memory.clusters[request.name.id]
        cluster.state = cluster_pb2.Cluster.STATE_DELETING
        operation = self.memory.begin(
            request.name.project_id, cluster, operation_pb2.Operation.GOAL_DELETE
        )
        return pb.DeleteClusterResponse(operation=operation)

    async def GetProgress(
        self, request: pb.GetProgressRequest, context: object
    ) -> pb.GetProgressResponse:
        self.memory.looks_at_progress += 1
        return pb.GetProgressResponse(steps=self.memory.steps)


class FactsService(facts_service_pb2_grpc.FactsServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    async def GetPlanFacts(self, request: Any, context: object) -> Any:
        raise NotImplementedError

    async def ListInstanceIds(self, request: Any, context: object) -> Any:
        raise NotImplementedError

    async def GetAccess(
        self, request: facts_service_pb2.GetAccessRequest, context: object
    ) -> facts_service_pb2.GetAccessResponse:
        cluster = self.memory.clusters[request.cluster_id]
        instances = [each for group in cluster.node_groups for each in group.instances]
        return facts_service_pb2.GetAccessResponse(instances=instances, private_key="PRIVATE")

    async def ReadJobBinary(
        self, request: facts_service_pb2.ReadJobBinaryRequest, context: object
    ) -> AsyncIterator[facts_service_pb2.ReadJobBinaryResponse]:
        data = self.memory.data.get(request.job_binary_id)
        if data is None:
            raise errors.FailedPrecondition("it has no bytes")
        yield facts_service_pb2.ReadJobBinaryResponse(data=data)
