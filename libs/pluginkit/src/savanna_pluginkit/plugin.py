"""What a plugin author implements: five plain functions over facts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from savanna_kit.errors import InvalidArgument
from savanna_pluginkit.problems import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from savanna.common.v1.config_pb2 import ConfigValue
    from savanna_pluginkit.about import About, JobKind, Version
    from savanna_pluginkit.jobs import JobView
    from savanna_pluginkit.options import AnyOption
    from savanna_pluginkit.problems import Problems
    from savanna_pluginkit.steps import Steps
    from savanna_pluginkit.views import ClusterView, GroupView


class Plugin(ABC):
    """A plugin knows a distribution: facts in, steps out.

    Every method is pure: it reads its arguments and nothing else, no clock, no random number, no
    file, and the same arguments always give the same answer. Methods are called from several
    threads at once.
    """

    @property
    @abstractmethod
    def about(self) -> About:
        """Say what the plugin is and what it can do."""

    @abstractmethod
    def validate(
        self, cluster: ClusterView, current: ClusterView | None, problems: Problems
    ) -> None:
        """Note what is wrong with a cluster as it shall be.

        ``current`` is the cluster as it is, for a scale. Version, processes and the kinds of all
        option values have been checked before.
        """

    def validate_job(self, cluster: ClusterView, job: JobView, problems: Problems) -> None:
        """Note what is wrong with a job; its type is one of the version's."""
        del cluster, job, problems

    def ports(self, group: GroupView) -> Sequence[int]:
        """List TCP ports that the other nodes and users must reach on the nodes of a group."""
        del group
        return ()

    @abstractmethod
    def plan(self, cluster: ClusterView, steps: Steps) -> None:
        """Add all steps that lead from the cluster as it is to the cluster as it shall be.

        One function for launch and scale: what is there already needs nothing, what is new is
        configured and started, what leaves is decommissioned. The plan is asked for again and again
        while it is carried out; what was added before is recognised by its key. Raises
        ``InvalidArgument`` when the goal can not be reached.
        """

    def plan_job(self, cluster: ClusterView, job: JobView, steps: Steps) -> None:
        """Add the steps that run a job, among them exactly one ``run_job``.

        Raises ``InvalidArgument`` when the job can not be run.
        """
        del cluster, steps
        raise InvalidArgument(f"the plugin {self.about.name} runs no jobs of type {job.type}")


def check(version: Version, cluster: ClusterView, problems: Problems) -> None:
    """Note what the description alone forbids: unknown processes, values of a wrong kind."""
    known = {each for processes in version.services.values() for each in processes}
    for group in cluster.groups:
        for process in sorted(set(group.processes) - known):
            problems.add(
                f"{group.field}.node_processes",
                f"There is no process '{process}'; choose from {', '.join(sorted(known))}.",
                reason=Reason.INVALID_REFERENCE,
            )
    for option in version.options:
        places = [("cluster_configs", cluster.message.cluster_configs)]
        places += [
            (f"{group.field}.node_configs", group.message.spec.node_configs)
            for group in cluster.groups
        ]
        for field, configs in places:
            if option.target in configs.sections:
                values = configs.sections[option.target].values
                _check_value(option, values, f"{field}.{option.target}", problems)


def check_job(kind: JobKind, job: JobView, problems: Problems) -> None:
    """Note what the description alone forbids: options left out, values of a wrong kind."""
    configs = job.message.configs.configs
    for name in kind.required_configs:
        if name not in configs:
            problems.add(f"configs.configs.{name}", f"A job of type {kind.name} needs '{name}'.")
    for option in kind.hints:
        _check_value(option, configs, "configs.configs", problems)


def _check_value(
    option: AnyOption, values: Mapping[str, ConfigValue], field: str, problems: Problems
) -> None:
    if option.name in values:
        try:
            option.read(values[option.name])
        except ValueError as error:
            problems.add(
                f"{field}.{option.name}",
                f"The value of '{option.name}' can not be used: {error}.",
            )
