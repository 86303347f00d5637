"""The gateway's neighbours in these tests: a plugin, an engine's view of a cloud, a conductor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from savanna.cluster.v1 import cloud_pb2, orphan_pb2
from savanna.common.v1 import violation_pb2
from savanna.conductor.v1 import (
    catalog_service_pb2_grpc,
    cluster_service_pb2_grpc,
    facts_service_pb2_grpc,
    mesh_service_pb2_grpc,
)
from savanna.engine.v1 import cloud_service_pb2, cloud_service_pb2_grpc
from savanna.plugin.v1 import plugin_service_pb2 as pb
from savanna.plugin.v1 import plugin_service_pb2_grpc
from savanna_kit import errors
from savanna_kit.serving import Parts, Served
from tests.unit.api_gateway import memory, memory_of_work

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "11111111-1111-4111-8111-111111111111"
PLAIN_IMAGE = "22222222-2222-4222-8222-222222222222"
NETWORK = "33333333-3333-4333-8333-333333333333"

OPTION = pb.ConfigOption


class Plugin(plugin_service_pb2_grpc.PluginServiceServicer):
    """Wants exactly one namenode; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[pb.ValidateRequest] = []

    async def Describe(self, request: pb.DescribeRequest, context: object) -> pb.DescribeResponse:
        enabled = pb.Label(description="It can be used.", mutable=True, status=True)
        version = pb.Version(
            version="0.1",
            services=[
                pb.ServiceProcesses(service="HDFS", processes=["namenode", "datanode"]),
                pb.ServiceProcesses(service="MapReduce", processes=["tasktracker", "jobtracker"]),
            ],
            configs=[
                OPTION(
                    name="Timeout for disk preparing",
                    applicable_target="general",
                    scope=OPTION.SCOPE_CLUSTER,
                    type=OPTION.TYPE_INT,
                    default_value="300",
                    is_optional=True,
                    priority=1,
                ),
                OPTION(
                    name="dfs.replication",
                    applicable_target="HDFS",
                    scope=OPTION.SCOPE_NODE,
                    type=OPTION.TYPE_STRING,
                    is_optional=True,
                    priority=2,
                ),
            ],
            required_image_tags=["fake", "0.1"],
            job_types=[
                pb.JobType(name="Shell", needs_main=True),
                pb.JobType(name="Spark", required_configs=["edp.java.main_class"]),
            ],
            labels={"enabled": enabled},
        )
        plugin = pb.Plugin(
            name="fake",
            title="Fake Plugin",
            description="For tests.",
            spi_version=1,
            versions=[version],
            labels={"enabled": enabled},
        )
        return pb.DescribeResponse(plugin=plugin)

    async def Validate(self, request: pb.ValidateRequest, context: object) -> pb.ValidateResponse:
        self.asked.append(request)
        masters = sum(
            group.count
            for group in request.cluster.node_groups
            if "namenode" in group.spec.node_processes
        )
        if masters == 1:
            return pb.ValidateResponse()
        violation = violation_pb2.Violation(
            field="node_groups",
            message="Hadoop cluster should contain 1 namenode component(s). "
            f"Actual namenode count is {masters}",
            reason="INVALID_COMPONENT_COUNT",
        )
        return pb.ValidateResponse(violations=[violation])

    async def GetRequirements(self, request: Any, context: object) -> Any:
        raise NotImplementedError

    async def Plan(self, request: Any, context: object) -> Any:
        raise NotImplementedError


class CloudService(cloud_service_pb2_grpc.CloudServiceServicer):
    """A small cloud with one registered image; tests say what was left in it."""

    def __init__(self) -> None:
        self.orphans: list[orphan_pb2.Orphan] = []
        self.foreign_servers = 0
        self.stuck: set[str] = set()
        self.slow: set[str] = set()
        self.alive: set[str] = set()
        self.is_full = False
        """Whether nothing more fits into it, and it offers no flavors any more."""

    async def GetCatalog(
        self, request: cloud_service_pb2.GetCatalogRequest, context: object
    ) -> cloud_service_pb2.GetCatalogResponse:
        catalog = cloud_pb2.CloudCatalog(
            cloud="simulated",
            flavors=[
                cloud_pb2.Flavor(id="1", name="tiny", vcpus=1, ram=64, disk=1),
                cloud_pb2.Flavor(id="2", name="small", vcpus=1, ram=1024, disk=10),
            ],
            images=[
                cloud_pb2.Image(
                    id=IMAGE,
                    name="fake-0.1",
                    username="ubuntu",
                    description="d",
                    tags=["0.1", "fake"],
                    status="ACTIVE",
                    size=1234,
                    created="2026-01-01T00:00:00Z",
                    updated="2026-01-01T00:00:00Z",
                ),
                cloud_pb2.Image(id=PLAIN_IMAGE, name="plain", status="ACTIVE"),
            ],
            networks=[cloud_pb2.Network(id=NETWORK, name="net")],
            availability_zones=["nova"],
            quotas=[cloud_pb2.Quota(name="instances", limit=50, used=50 * self.is_full)],
        )
        if self.is_full:
            del catalog.flavors[:]
        return cloud_service_pb2.GetCatalogResponse(catalog=catalog)

    async def ListOrphans(
        self, request: cloud_service_pb2.ListOrphansRequest, context: object
    ) -> cloud_service_pb2.ListOrphansResponse:
        return cloud_service_pb2.ListOrphansResponse(
            orphans=self.orphans, foreign_servers=self.foreign_servers
        )

    async def CleanOrphan(
        self, request: cloud_service_pb2.CleanOrphanRequest, context: object
    ) -> cloud_service_pb2.CleanOrphanResponse:
        if request.id in self.stuck:
            raise errors.Unavailable(f"the cloud does not let go of {request.id}")
        if request.id in self.alive:
            raise errors.FailedPrecondition(
                f"server {request.id} is no orphan", reason="NOT_AN_ORPHAN"
            )
        if request.id in self.slow:
            outcome = orphan_pb2.CLEAN_OUTCOME_REMOVING
        elif any(each.id == request.id for each in self.orphans):
            self.orphans = [each for each in self.orphans if each.id != request.id]
            outcome = orphan_pb2.CLEAN_OUTCOME_REMOVED
        else:
            outcome = orphan_pb2.CLEAN_OUTCOME_ABSENT
        return cloud_service_pb2.CleanOrphanResponse(outcome=outcome)

    def leave(self, server_id: str, **marks: Any) -> None:
        """Let a server be left behind, from the first minute of 2026."""
        orphan = orphan_pb2.Orphan(id=server_id, **marks)
        orphan.create_time.FromJsonString("2026-01-01T00:00:00Z")
        self.orphans.append(orphan)


def conductor(where: Path, remembered: memory.Memory) -> Parts:
    parts = Parts(name="conductor", listen=f"unix:{where}/conductor.sock", drain_seconds=0.2)
    clusters, facts = cluster_service_pb2_grpc, facts_service_pb2_grpc
    for name, add, servicer in (
        (
            "CatalogService",
            catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server,
            memory.CatalogService(remembered),
        ),
        (
            "ClusterService",
            clusters.add_ClusterServiceServicer_to_server,
            memory.ClusterService(remembered),
        ),
        (
            "JobService",
            clusters.add_JobServiceServicer_to_server,
            memory_of_work.JobService(remembered),
        ),
        (
            "OperationService",
            clusters.add_OperationServiceServicer_to_server,
            memory_of_work.OperationService(remembered),
        ),
        ("FactsService", facts.add_FactsServiceServicer_to_server, memory.FactsService(remembered)),
        (
            "MeshService",
            mesh_service_pb2_grpc.add_MeshServiceServicer_to_server,
            memory_of_work.MeshService(remembered),
        ),
    ):
        parts.served.append(Served(f"savanna.conductor.v1.{name}", add, servicer))
    return parts


def plugin(where: Path, servicer: Plugin) -> Parts:
    add = plugin_service_pb2_grpc.add_PluginServiceServicer_to_server
    served = Served("savanna.plugin.v1.PluginService", add, servicer)
    return Parts(
        name="plugin", listen=f"unix:{where}/plugin.sock", served=[served], drain_seconds=0.2
    )


def engine(where: Path, cloud: CloudService) -> Parts:
    add = cloud_service_pb2_grpc.add_CloudServiceServicer_to_server
    served = Served("savanna.engine.v1.CloudService", add, cloud)
    return Parts(
        name="engine", listen=f"unix:{where}/engine.sock", served=[served], drain_seconds=0.2
    )
