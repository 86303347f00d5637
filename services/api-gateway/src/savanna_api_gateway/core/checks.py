"""What can be said of a request from a plugin's description and the cloud's catalog alone.

Pure functions. Each check notes what is wrong in Sahara's words and order. Topology (how many
masters) is the plugin's to judge.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna_api_gateway.core import unsupported
from savanna_api_gateway.core.problems import Problems, Reason, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from savanna.cluster.v1 import cloud_pb2, cluster_pb2, template_pb2
    from savanna.common.v1.config_pb2 import Configs
    from savanna.plugin.v1 import plugin_service_pb2

HOST_NAME = re.compile(
    r"^(([a-zA-Z]|[a-zA-Z][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*"
    r"([A-Za-z]|[A-Za-z][A-Za-z0-9\-]*[A-Za-z0-9])\Z"
)
NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9\-_\.]*\Z")
TEMPLATE_NAME_LENGTH = 50
CLUSTER_NAME_LENGTH = 80
_HOST_NAME_LENGTH = 64
_DEFAULT_DOMAIN = "novalocal"


@dataclass(frozen=True)
class Ground:
    """What a request is checked against."""

    version: plugin_service_pb2.Version
    cloud: cloud_pb2.CloudCatalog


def check_host_name(problems: Problems, field: str, name: str, length: int) -> None:
    """A name that becomes part of host names."""
    if not 0 < len(name) <= length or not HOST_NAME.match(name):
        problems.add(
            field,
            Reason.INVALID_DATA,
            f"{name!r} is not a valid host name of at most {length} characters",
            "Use letters, digits, '-' and '.'; begin with a letter and end with a letter or digit",
        )


def check_name(problems: Problems, field: str, name: str) -> None:
    """A name of a job binary or job template."""
    if not 0 < len(name) <= TEMPLATE_NAME_LENGTH or not NAME.match(name):
        problems.add(
            field,
            Reason.INVALID_DATA,
            f"{name!r} is not a valid name of at most {TEMPLATE_NAME_LENGTH} characters",
            "Use letters, digits, '-', '_' and '.'; begin with a letter or digit",
        )


def find_version(
    problems: Problems, plugin: plugin_service_pb2.Plugin | None, name: str, version: str
) -> plugin_service_pb2.Version | None:
    """The plugin answers and knows the version."""
    if plugin is None:
        problems.add(
            "plugin_name",
            Reason.INVALID_REFERENCE,
            f"Sahara doesn't contain plugin with name '{name}'",
            "List the plugins to see which answer now",
        )
        return None
    for each in plugin.versions:
        if each.version == version:
            return each
    problems.add(
        "plugin_version",
        Reason.INVALID_REFERENCE,
        f"Requested plugin '{name}' doesn't support version '{version}'",
        known((each.version for each in plugin.versions), what="versions"),
    )
    return None


def check_enabled(
    problems: Problems,
    plugin: plugin_service_pb2.Plugin,
    version: plugin_service_pb2.Version,
) -> None:
    """Plugin and version are not switched off by a label."""
    if "enabled" in plugin.labels and not plugin.labels["enabled"].status:
        problems.add(
            "plugin_name", Reason.INVALID_REFERENCE, f"Plugin {plugin.name} is not enabled"
        )
    elif "enabled" in version.labels and not version.labels["enabled"].status:
        problems.add(
            "plugin_version",
            Reason.INVALID_REFERENCE,
            f"Version {version.version} of plugin {plugin.name} is not enabled",
        )


def check_configs(
    problems: Problems, field: str, configs: Configs, version: plugin_service_pb2.Version
) -> None:
    """Every target and name is one that the plugin describes."""
    options: dict[str, set[str]] = {each.service: set() for each in version.services}
    options.setdefault("general", set())
    for option in version.configs:
        options.setdefault(option.applicable_target, set()).add(option.name)
    for target, section in configs.sections.items():
        if target not in options:
            problems.add(
                f"{field}.{target}",
                Reason.INVALID_REFERENCE,
                f"Plugin doesn't contain applicable target '{target}'",
                known(options, what="targets"),
            )
            continue
        for name in section.values:
            if name not in options[target]:
                problems.add(
                    f"{field}.{target}.{name}",
                    Reason.INVALID_REFERENCE,
                    f"Plugin's applicable target '{target}' doesn't contain config "
                    f"with name '{name}'",
                    known(options[target], what=f"configs of '{target}'"),
                )


def check_processes(
    problems: Problems,
    field: str,
    processes: Sequence[str],
    version: plugin_service_pb2.Version,
) -> None:
    """Every process is named once and known to the plugin."""
    repeated = [name for name, count in Counter(processes).items() if count > 1]
    if repeated:
        problems.add(
            field,
            Reason.INVALID_DATA,
            f"Duplicates in node processes have been detected: {repeated}",
        )
    offered = {process for service in version.services for process in service.processes}
    unknown = sorted(set(processes) - offered)
    if unknown:
        problems.add(
            field,
            Reason.INVALID_REFERENCE,
            f"Plugin doesn't support the following node processes: {unknown}",
            known(offered, what="processes"),
        )


def check_image(problems: Problems, field: str, image_id: str, ground: Ground) -> None:
    """The image is registered and carries the tags that the plugin looks for."""
    image = next((each for each in ground.cloud.images if each.id == image_id), None)
    if image is None or not image.username:
        problems.add(
            field,
            Reason.INVALID_REFERENCE,
            f"Requested image '{image_id}' is not registered",
            known((each.id for each in ground.cloud.images if each.username), what="images"),
        )
        return
    missing = sorted(set(ground.version.required_image_tags) - set(image.tags))
    if missing:
        problems.add(
            field,
            Reason.INVALID_REFERENCE,
            f"Requested image '{image_id}' doesn't contain required tags: {missing}",
            "Add the tags to the registered image or choose another one",
        )


def check_network(problems: Problems, network_id: str, cloud: cloud_pb2.CloudCatalog) -> None:
    """The network is there."""
    field = "neutron_management_network"
    if all(each.id != network_id for each in cloud.networks):
        problems.add(
            field,
            Reason.NOT_FOUND,
            f"Network {network_id} not found",
            known((each.id for each in cloud.networks), what="networks"),
        )


def check_spec(
    problems: Problems, field: str, spec: template_pb2.NodeGroupSpec, ground: Ground
) -> None:
    """How the nodes of a group are made."""
    check_configs(problems, f"{field}.node_configs", spec.node_configs, ground.version)
    flavors = {each.id for each in ground.cloud.flavors}
    if spec.flavor_id not in flavors:
        problems.add(
            f"{field}.flavor_id",
            Reason.NOT_FOUND,
            f"Requested flavor '{spec.flavor_id}' not found",
            known(flavors, what="flavors"),
        )
    if not spec.node_processes:
        problems.add(
            f"{field}.node_processes", Reason.INVALID_DATA, "A node needs at least one process"
        )
    check_processes(problems, f"{field}.node_processes", spec.node_processes, ground.version)
    if spec.image_id:
        check_image(problems, f"{field}.image_id", spec.image_id, ground)
    _check_volumes(problems, field, spec, ground.cloud)
    _check_placement(problems, field, spec, ground.cloud)
    unsupported.check_spec(problems, field, spec, ground.cloud)


def check_groups(
    problems: Problems,
    groups: Sequence[cluster_pb2.NodeGroup | template_pb2.TemplateNodeGroup],
    ground: Ground,
) -> None:
    """Names, counts and specs of node groups."""
    check_repeated_names(problems, [each.name for each in groups])
    for index, group in enumerate(groups):
        field = f"node_groups[{index}]"
        check_host_name(problems, f"{field}.name", group.name, TEMPLATE_NAME_LENGTH)
        check_count(problems, field, group.name, group.count)
        check_spec(problems, f"{field}.spec", group.spec, ground)
        _check_policy(problems, f"{field}.spec.node_policy", group)


def check_repeated_names(problems: Problems, names: Iterable[str]) -> None:
    """No two groups share a name."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        problems.add(
            "node_groups",
            Reason.INVALID_DATA,
            f"Duplicates in node group names are detected: {repeated}",
        )


def check_count(problems: Problems, field: str, name: str, count: int) -> None:
    """A number of nodes."""
    if count < 0:
        problems.add(
            f"{field}.count",
            Reason.INVALID_DATA,
            f"Count of node group '{name}' must not be negative: {count}",
        )


def _check_policy(
    problems: Problems, field: str, group: cluster_pb2.NodeGroup | template_pb2.TemplateNodeGroup
) -> None:
    """What may go wrong with nodes is no more than there are, and no less than nothing."""
    policy = group.spec.node_policy
    if policy.HasField("min_ready") and not 0 <= policy.min_ready <= group.count:
        problems.add(
            f"{field}.min_ready",
            Reason.INVALID_DATA,
            f"min_ready of node group '{group.name}' must be from 0 to its count "
            f"{group.count}, not {policy.min_ready}",
        )
    if policy.replace < 0:
        problems.add(f"{field}.replace", Reason.INVALID_DATA, "replace must not be negative")
    if policy.grace.ToMilliseconds() < 0:
        problems.add(f"{field}.grace", Reason.INVALID_DATA, "grace must not be negative")


def check_host_names(
    problems: Problems,
    cluster_name: str,
    domain: str,
    groups: Sequence[cluster_pb2.NodeGroup],
) -> None:
    """The longest host name that the cluster will have fits."""
    names = [
        f"{cluster_name}-{group.name}-{group.count:03d}.{domain or _DEFAULT_DOMAIN}"
        for group in groups
    ]
    longest = max(names, key=len, default="")
    if len(longest) > _HOST_NAME_LENGTH:
        problems.add(
            "name",
            Reason.INVALID_DATA,
            f"Composite hostname {longest} in provisioned cluster exceeds maximum limit "
            f"{_HOST_NAME_LENGTH} characters",
            "Shorten the name of the cluster or of the node group",
        )


def _check_volumes(
    problems: Problems,
    field: str,
    spec: template_pb2.NodeGroupSpec,
    cloud: cloud_pb2.CloudCatalog,
) -> None:
    if spec.volumes_per_node < 0:
        problems.add(
            f"{field}.volumes_per_node", Reason.INVALID_DATA, "volumes_per_node is negative"
        )
    if spec.volumes_per_node <= 0:
        return
    if not unsupported.has(cloud, "volumes"):
        problems.add(
            f"{field}.volumes_per_node",
            Reason.INVALID_REFERENCE,
            "Cinder is not supported",
            f"The cloud '{cloud.cloud}' has no volumes: leave volumes_per_node at 0",
        )
    elif spec.volumes_size <= 0:
        problems.add(
            f"{field}.volumes_size",
            Reason.INVALID_REFERENCE,
            "You must specify a volumes_size parameter",
        )


def _check_placement(
    problems: Problems,
    field: str,
    spec: template_pb2.NodeGroupSpec,
    cloud: cloud_pb2.CloudCatalog,
) -> None:
    pools = {each.id for each in cloud.networks if each.external}
    if spec.floating_ip_pool and spec.floating_ip_pool not in pools:
        problems.add(
            f"{field}.floating_ip_pool",
            Reason.NOT_FOUND,
            f"Floating IP pool {spec.floating_ip_pool} not found",
            known(pools, what="external networks"),
        )
    zones = cloud.availability_zones
    if spec.availability_zone and zones and spec.availability_zone not in zones:
        problems.add(
            f"{field}.availability_zone",
            Reason.NOT_FOUND,
            f"Nova availability zone '{spec.availability_zone}' not found",
            known(zones, what="zones"),
        )
