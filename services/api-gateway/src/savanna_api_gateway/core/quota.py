"""Whether the cloud's quotas leave room for a cluster.

Pure functions.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from savanna_api_gateway.core.problems import Problems, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from savanna.cluster.v1 import cloud_pb2, cluster_pb2

_WORDS = {
    "ram": "RAM",
    "cores": "VCPU",
    "instances": "instance",
    "floatingips": "floating ip",
    "security_groups": "security group",
    "ports": "port",
    "volumes": "volume",
    "gigabytes": "volume storage",
}
UNLIMITED = -1


def check_quota(
    problems: Problems,
    cloud: cloud_pb2.CloudCatalog,
    groups: Sequence[cluster_pb2.NodeGroup],
    present: Mapping[str, int],
) -> None:
    """What the groups need beyond the present nodes (by group name) fits into the quotas."""
    wanted = needed(cloud, groups, present)
    quotas = {each.name: each for each in cloud.quotas}
    for name, word in _WORDS.items():
        quota = quotas.get(name)
        if quota is None or quota.limit == UNLIMITED or wanted[name] <= 0:
            continue
        available = quota.limit - quota.used
        if wanted[name] > available:
            problems.add(
                "node_groups",
                Reason.QUOTA_ERROR,
                f"Quota exceeded for {word}: Requested {wanted[name]}, but available {available}",
                "Choose fewer nodes or smaller flavors, or remove other clusters first",
            )


def needed(
    cloud: cloud_pb2.CloudCatalog,
    groups: Sequence[cluster_pb2.NodeGroup],
    present: Mapping[str, int],
) -> Counter[str]:
    """Add up what the groups need, by name of the quota; what shrinks counts against what grows."""
    flavors = {each.id: each for each in cloud.flavors}
    wanted: Counter[str] = Counter()
    for group in groups:
        spec = group.spec
        nodes = group.count - present.get(group.name, 0)
        flavor = flavors.get(spec.flavor_id)
        wanted["instances"] += nodes
        wanted["ports"] += nodes
        wanted["volumes"] += nodes * spec.volumes_per_node
        wanted["gigabytes"] += nodes * spec.volumes_per_node * spec.volumes_size
        if flavor is not None:
            wanted["ram"] += nodes * flavor.ram
            wanted["cores"] += nodes * flavor.vcpus
        if spec.floating_ip_pool:
            wanted["floatingips"] += nodes
        if spec.auto_security_group and group.name not in present:
            wanted["security_groups"] += 1
    return wanted
