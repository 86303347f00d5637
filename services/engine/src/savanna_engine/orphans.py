"""Which servers in the cloud belong to nobody.

Pure functions: two lists in, orphans out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.cluster.v1.orphan_pb2 import Orphan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from savanna_engine.cloud.base import Server


@dataclass(frozen=True)
class Found:
    """What a look at the cloud has found: orphans, and how many servers are not of this
    deployment."""

    orphans: tuple[Orphan, ...] = ()
    foreign: int = 0


@dataclass(frozen=True)
class Known:
    """What the conductor knows of, asked after the cloud was."""

    deployment_id: str
    instance_ids: frozenset[str]
    cluster_ids: frozenset[str]
    in_use: Mapping[str, str] = field(default_factory=dict)
    """Of instances for which the cloud holds several servers: the id of the one that is used, where
    that is settled."""


def objection(server: Server, known: Known, *, now: datetime, grace: timedelta) -> str:
    """Say why a server is no orphan; empty when it is one.

    ``grace`` is how old one must be: no list is asked at the very moment when another one is, and
    clocks differ.
    """
    if not server.deployment_id:
        return "it does not say which deployment of Savanna made it"
    if server.deployment_id != known.deployment_id:
        return f"another deployment of Savanna made it, {server.deployment_id}"
    if server.instance_id in known.instance_ids and not is_copy(server, known):
        return f"it is instance {server.instance_id} of cluster {server.cluster_id}"
    if server.made_at is None:
        return "the cloud does not say when it was made"
    age = now - server.made_at
    if age < grace:
        left = (grace - age).total_seconds()
        return f"it was made only just now; ask again in {left:.0f} s"
    return ""


def is_copy(server: Server, known: Known) -> bool:
    """Say whether an instance that lives uses another server in its place."""
    used = known.in_use.get(server.instance_id, server.provider_id)
    return server.instance_id in known.instance_ids and used != server.provider_id


def orphan(server: Server, known: Known) -> Orphan:
    """Describe a server that is one."""
    if is_copy(server, known):
        reason = Orphan.REASON_DUPLICATE
    elif server.cluster_id in known.cluster_ids:
        reason = Orphan.REASON_INSTANCE_UNKNOWN
    else:
        reason = Orphan.REASON_CLUSTER_UNKNOWN
    found = Orphan(
        id=server.provider_id,
        name=server.name,
        instance_id=server.instance_id,
        cluster_id=server.cluster_id,
        project_id=server.project_id,
        reason=reason,
    )
    if server.made_at is not None:
        found.create_time.FromDatetime(server.made_at)
    return found
