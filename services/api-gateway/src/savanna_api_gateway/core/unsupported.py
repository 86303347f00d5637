"""What Sahara's requests can say and Savanna, or this cloud, does not do: refused, so that nobody
takes for done what is only stored.

Pure functions. What may be said and changes nothing is listed in docs/intended-differences.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.core.problems import Problems, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1 import cloud_pb2, cluster_pb2, template_pb2
    from savanna.job.v1 import job_pb2

_SCHEDULED = "scheduled"


def check_spec(
    problems: Problems, field: str, spec: template_pb2.NodeGroupSpec, cloud: cloud_pb2.CloudCatalog
) -> None:
    """What nodes have is something that this cloud gives."""
    if spec.boot_from_volume and not has(cloud, "volumes"):
        problems.add(
            f"{field}.boot_from_volume",
            Reason.INVALID_REFERENCE,
            "Cinder is not supported",
            f"The cloud '{cloud.cloud}' has no volumes: leave boot_from_volume at false",
        )
    if spec.security_groups and not has(cloud, "security_groups"):
        problems.add(
            f"{field}.security_groups",
            Reason.NOT_FOUND,
            f"Security group '{spec.security_groups[0]}' not found",
            f"The cloud '{cloud.cloud}' has no security groups: leave security_groups empty",
        )
    _check_shares(problems, f"{field}.shares", spec.shares)


def check_cluster(
    problems: Problems, wanted: cluster_pb2.Cluster | template_pb2.ClusterTemplate
) -> None:
    """What a cluster and its template have in common is something that Savanna does."""
    if wanted.anti_affinity:
        problems.add(
            "anti_affinity",
            Reason.NOT_IMPLEMENTED,
            "Keeping processes on different physical hosts is not supported yet",
            "Leave anti_affinity empty",
        )
    _check_shares(problems, "shares", wanted.shares)


def check_launch(problems: Problems, wanted: cluster_pb2.Cluster) -> None:
    """What only a cluster has is something that Savanna does."""
    if wanted.user_keypair_id:
        problems.add(
            "user_keypair_id",
            Reason.NOT_FOUND,
            f"Requested keypair '{wanted.user_keypair_id}' not found",
            "Key pairs of users are not supported yet: leave user_keypair_id out, and log in "
            "with 'savanna cluster ssh'",
        )
    if wanted.is_transient:
        problems.add(
            "is_transient",
            Reason.NOT_IMPLEMENTED,
            "Clusters that end with their last job are not supported yet",
            "Leave is_transient at false, and delete the cluster when its jobs have ended",
        )


def check_job(problems: Problems, job: job_pb2.Job) -> None:
    """A job runs now, and reads and writes by what it is told in its arguments."""
    for field, named in (("input_id", job.input_id), ("output_id", job.output_id)):
        if named:
            problems.add(
                field,
                Reason.INVALID_REFERENCE,
                f"DataSource with id '{named}' doesn't exist",
                "Data sources are not supported yet: give URLs or paths as arguments",
            )
    info = job.configs.job_execution_info
    if "job_execution_type" in info and info["job_execution_type"].text == _SCHEDULED:
        problems.add(
            "configs.job_execution_info",
            Reason.NOT_IMPLEMENTED,
            "Scheduled jobs are not supported yet",
            "Leave job_execution_info out, and run the job when it is time",
        )


def has(cloud: cloud_pb2.CloudCatalog, name: str) -> bool:
    """Whether a cloud has things of a kind: then it counts them, with a quota of this name."""
    return any(each.name == name for each in cloud.quotas)


def _check_shares(problems: Problems, field: str, shares: Sequence[template_pb2.Share]) -> None:
    if shares:
        problems.add(
            field,
            Reason.NOT_IMPLEMENTED,
            "Shares are not supported yet",
            "Leave shares empty; programs can read and write by URL",
        )
