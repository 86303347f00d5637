"""What a plugin author gives to the suite: clusters and jobs to be taken or refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.cluster.v1.template_pb2 import NodeGroupSpec
from savanna.common.v1.config_pb2 import Configs, ConfigValue
from savanna.job.v1.job_pb2 import Job, JobBinary, JobConfigs, JobTemplate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ID = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class JobExample:
    """A job with its template and binaries.

    ``field`` names what is wrong; empty for a good one.
    """

    job: Job
    template: JobTemplate
    binaries: Sequence[JobBinary]
    field: str = ""


@dataclass(frozen=True)
class Refused:
    """A change that makes the good cluster a bad one, and a field that must be named for it."""

    change: Callable[[Cluster], None]
    field: str


@dataclass(frozen=True)
class Example:
    """Everything that the suite asks about.

    ``cluster`` is a good one, without instances. ``elastic`` names a group of it that may have any
    number of nodes; ``decommissions`` says whether its nodes hand something over when they leave.
    """

    cluster: Cluster
    elastic: str
    decommissions: bool = True
    refused: Sequence[Refused] = ()
    jobs: Sequence[JobExample] = field(default_factory=tuple)


def cluster(
    plugin: str,
    version: str,
    groups: Mapping[str, tuple[int, Sequence[str]]],
    *,
    name: str = "c1",
) -> Cluster:
    """Make a cluster out of groups: name to number of nodes and processes."""
    made = Cluster(id=_ID, project_id="p", name=name, plugin_name=plugin, plugin_version=version)
    for group, (count, processes) in groups.items():
        made.node_groups.add(name=group, count=count, spec=NodeGroupSpec(node_processes=processes))
    return made


def job(
    kind: str,
    *,
    mains: Sequence[str] = (),
    libs: Sequence[str] = (),
    configs: Mapping[str, str | int | bool] | None = None,
    params: Mapping[str, str | int | bool] | None = None,
    args: Sequence[str] = (),
    wrong_field: str = "",
) -> JobExample:
    """Make a job out of file names of its binaries, options and arguments."""
    binaries = [JobBinary(id=f"id-of-{each}", name=each) for each in (*mains, *libs)]
    template = JobTemplate(
        id=_ID,
        name="example",
        type=kind,
        mains=[f"id-of-{each}" for each in mains],
        libs=[f"id-of-{each}" for each in libs],
    )
    given = JobConfigs(args=args)
    for target, pairs in ((given.configs, configs), (given.params, params)):
        for name, value in (pairs or {}).items():
            target[name].CopyFrom(config_value(value))
    run = Job(id=_ID, job_template_id=_ID, cluster_id=_ID, configs=given)
    return JobExample(run, template, binaries, wrong_field)


def config_value(value: str | int | bool) -> ConfigValue:
    """Make a configuration value."""
    if isinstance(value, bool):
        return ConfigValue(flag=value)
    if isinstance(value, int):
        return ConfigValue(number=value)
    return ConfigValue(text=value)


def set_config(configs: Configs, target: str, name: str, value: str | int | bool) -> None:
    """Set one value."""
    configs.sections[target].values[name].CopyFrom(config_value(value))
