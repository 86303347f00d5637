"""What users of gRPC order in tests: templates and clusters of the fake plugin."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from savanna.api.v1 import catalog_service_pb2, cluster_service_pb2, job_service_pb2
from savanna.cluster.v1 import cluster_pb2, template_pb2
from tests.unit.api_gateway.neighbours import IMAGE, NETWORK

if TYPE_CHECKING:
    from tests.unit.api_gateway.conftest import Front

cat, clu, jobs = catalog_service_pb2, cluster_service_pb2, job_service_pb2
Spec = template_pb2.NodeGroupSpec


def group_template(**changes: object) -> template_pb2.NodeGroupTemplate:
    template = template_pb2.NodeGroupTemplate(
        name="worker",
        plugin_name="fake",
        plugin_version="0.1",
        spec=Spec(flavor_id="2", node_processes=["datanode", "tasktracker"]),
    )
    for name, value in changes.items():
        setattr(template, name, value)
    return template


def cluster(name: str = "c1", **changes: object) -> cluster_pb2.Cluster:
    made = cluster_pb2.Cluster(
        name=name,
        plugin_name="fake",
        plugin_version="0.1",
        default_image_id=IMAGE,
        neutron_management_network=NETWORK,
        node_groups=[
            cluster_pb2.NodeGroup(
                name="m", count=1, spec=Spec(flavor_id="2", node_processes=["namenode"])
            ),
            cluster_pb2.NodeGroup(
                name="w", count=2, spec=Spec(flavor_id="1", node_processes=["datanode"])
            ),
        ],
    )
    for field, value in changes.items():
        setattr(made, field, value)
    return made


async def launch(front: Front, name: str = "c1") -> cluster_pb2.Cluster:
    answer = await front.clusters.CreateCluster(clu.CreateClusterRequest(cluster=cluster(name)))
    return answer.cluster


async def active(front: Front) -> cluster_pb2.Cluster:
    """A cluster as it is when its launch has ended."""
    made = await launch(front)
    stored = front.memory.clusters[made.id]
    stored.state = cluster_pb2.Cluster.STATE_ACTIVE
    for group in stored.node_groups:
        for index in range(group.count):
            group.instances.add(
                id=str(uuid.uuid4()),
                name=f"c1-{group.name}-{index}",
                index=index,
                state=cluster_pb2.Instance.STATE_READY,
                provider_id=str(uuid.uuid4()),
            )
    return stored
