"""The facts of a cluster, read the way that plugins ask about them.

Nothing here can be changed.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna_pluginkit.options import NODE, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna.cluster.v1.cluster_pb2 import Cluster, NodeGroup
    from savanna.common.v1.config_pb2 import Configs, ConfigValue
    from savanna_pluginkit.options import Option

T = TypeVar("T")


class InstanceView:
    """A host of the cluster, known by its name."""

    def __init__(self, message: Instance, group: GroupView) -> None:
        self.message = message
        self.group = group

    @property
    def name(self) -> str:
        """Its name, unique in the cluster for ever."""
        return self.message.name

    @property
    def address(self) -> str:
        """Its address inside the cluster's network; empty in early facts.

        Steps refer to it by ``address_of``, which is resolved when they run.
        """
        return self.message.internal_ip

    @property
    def public_address(self) -> str:
        """The address at which users reach it, as far as is known; empty in early facts."""
        return self.message.management_ip or self.message.internal_ip

    @property
    def needs_configuring(self) -> bool:
        """Whether no configuring step has succeeded on it yet."""
        return self.message.state < Instance.STATE_CONFIGURED

    @property
    def needs_starting(self) -> bool:
        """Whether no starting step has succeeded on it yet."""
        return self.message.state < Instance.STATE_READY

    @property
    def is_leaving(self) -> bool:
        """Whether it is to be decommissioned."""
        return self.message.state == Instance.STATE_LEAVING

    def runs(self, process: str) -> bool:
        """Say whether a process runs on it."""
        return self.group.runs(process)


class GroupView:
    """A group of equal nodes.

    ``field`` is its path in requests, for example "node_groups[1]".
    """

    def __init__(self, message: NodeGroup, number: int, cluster: ClusterView) -> None:
        self.message = message
        self.field = f"node_groups[{number}]"
        self.cluster = cluster
        self.instances = tuple(InstanceView(each, self) for each in message.instances)

    @property
    def name(self) -> str:
        """Its name, unique in the cluster."""
        return self.message.name

    @property
    def count(self) -> int:
        """The wanted number of nodes."""
        return self.message.count

    @property
    def processes(self) -> tuple[str, ...]:
        """The processes of each node."""
        return tuple(self.message.spec.node_processes)

    def runs(self, process: str) -> bool:
        """Say whether a process runs on its nodes."""
        return process in self.message.spec.node_processes

    def get(self, option: Option[T]) -> T:
        """Give the value for these nodes: the group's own, else the cluster's, else the default.

        Raises ``ValueError`` for a value of another kind; the kit refuses such ones on validation.
        """
        value = self._values(option.target).get(option.name) if option.scope == NODE else None
        return self.cluster.get(option) if value is None else option.read(value)

    def field_of(self, option: Option[T]) -> str:
        """Give the path of the field that the value for these nodes comes from."""
        is_own = option.scope == NODE and option.name in self._values(option.target)
        place = f"{self.field}.node_configs" if is_own else "cluster_configs"
        return f"{place}.{option.target}.{option.name}"

    def given(self, target: str) -> Mapping[str, str]:
        """Give all values of a target that users gave to these nodes or to the cluster, as text."""
        own = {name: as_text(value) for name, value in self._values(target).items()}
        return {**self.cluster.given(target), **own}

    def _values(self, target: str) -> Mapping[str, ConfigValue]:
        return values(self.message.spec.node_configs, target)


class ClusterView:
    """A cluster with its groups and the hosts that live or leave."""

    def __init__(self, message: Cluster) -> None:
        self.message = message
        self.groups = tuple(
            GroupView(each, number, self) for number, each in enumerate(message.node_groups)
        )

    @property
    def name(self) -> str:
        """Its name."""
        return self.message.name

    @property
    def version(self) -> str:
        """The version of the distribution."""
        return self.message.plugin_version

    @cached_property
    def instances(self) -> tuple[InstanceView, ...]:
        """All its hosts, those that leave too, in order of group and index."""
        return tuple(each for group in self.groups for each in group.instances)

    @cached_property
    def staying(self) -> tuple[InstanceView, ...]:
        """The hosts that do not leave."""
        return tuple(each for each in self.instances if not each.is_leaving)

    @cached_property
    def leaving(self) -> tuple[InstanceView, ...]:
        """The hosts that are to be decommissioned."""
        return tuple(each for each in self.instances if each.is_leaving)

    def running(self, process: str) -> tuple[InstanceView, ...]:
        """List the hosts that run a process and do not leave."""
        return tuple(each for each in self.staying if each.runs(process))

    def groups_of(self, process: str) -> tuple[GroupView, ...]:
        """List the groups whose nodes run a process."""
        return tuple(each for each in self.groups if each.runs(process))

    def count(self, process: str) -> int:
        """Give the wanted number of nodes that run a process."""
        return sum(each.count for each in self.groups_of(process))

    def get(self, option: Option[T]) -> T:
        """Give the cluster's value, else the default.

        Raises ``ValueError`` for a value of another kind.
        """
        value = values(self.message.cluster_configs, option.target).get(option.name)
        return option.default if value is None else option.read(value)

    def given(self, target: str) -> Mapping[str, str]:
        """Give all values of a target that users gave to the cluster, as text."""
        found = values(self.message.cluster_configs, target)
        return {name: as_text(value) for name, value in found.items()}


def values(configs: Configs, target: str) -> Mapping[str, ConfigValue]:
    """Give the values of one target; a section that is not there is not made by looking."""
    return dict(configs.sections[target].values) if target in configs.sections else {}
