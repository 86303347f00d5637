"""Walks of operations, begun: on an example, or on what another walk has led to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Wish
from savanna.operation.v1.operation_pb2 import Operation
from savanna_engine.planner.answer import Refusal
from savanna_kit.errors import InvalidArgument
from savanna_pluginkit import servicer
from tests.unit.engine.walk import CLUSTER_ID, Walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
    from savanna_pluginkit import Plugin
    from savanna_pluginkit.conformance import JobExample
    from tests.unit.engine.walk import Reply


def ask(plugin: Plugin) -> Reply:
    """Ask a real plugin, without its server."""

    def reply(request: PlanRequest) -> PlanResponse | Refusal:
        try:
            return servicer.plan(plugin, request)
        except InvalidArgument as error:
            return Refusal(str(error))

    return reply


def launch(plugin: Plugin, example: Cluster, **counts: int) -> Walk:
    """Begin the launch of an example with other counts by group."""
    cluster = Cluster()
    cluster.CopyFrom(example)
    cluster.id = CLUSTER_ID
    cluster.management_public_key = "ssh-ed25519 AAAA"
    cluster.state = Cluster.STATE_VALIDATING
    for group in cluster.node_groups:
        group.count = counts.get(group.name, group.count)
    return Walk(cluster, Operation.GOAL_LAUNCH, ask(plugin))


def scale(before: Walk, *, leaving: Sequence[str] = (), **counts: int) -> Walk:
    """Begin a scale of what another walk has led to."""
    cluster = Cluster()
    cluster.CopyFrom(before.cluster)
    cluster.state = Cluster.STATE_SCALING
    wish = Wish(counts_before={each.name: each.count for each in cluster.node_groups})
    for group in cluster.node_groups:
        group.count = counts.get(group.name, group.count)
        group.leaving[:] = leaving
    asked = Operation(detail=wish.SerializeToString())
    return Walk(cluster, Operation.GOAL_SCALE, before.reply, asked=asked)


def retry(before: Walk) -> Walk:
    """Try again what has failed: as the conductor does, with the counts that were asked for."""
    cluster = _of(before, Cluster.STATE_VALIDATING)
    for group in cluster.node_groups:
        group.count = before.counts[group.name]
    return Walk(cluster, before.goal, before.reply, asked=Operation(retry_of="failed"))


def roll_back(before: Walk) -> Walk:
    """Take back what has failed; no plugin answers."""
    cluster = _of(before, Cluster.STATE_ERROR)
    asked = Operation(rollback_of="failed", detail=before.asked.detail)
    return Walk(cluster, before.goal, no_plugin, asked=asked)


def _of(before: Walk, state: Cluster.State.ValueType) -> Cluster:
    cluster = Cluster()
    cluster.CopyFrom(before.cluster)
    cluster.state = state
    return cluster


def delete(before: Walk) -> Walk:
    """Begin the delete of what another walk has led to; no plugin answers."""
    cluster = Cluster()
    cluster.CopyFrom(before.cluster)
    cluster.state = Cluster.STATE_DELETING
    return Walk(cluster, Operation.GOAL_DELETE, no_plugin)


def run_job(before: Walk, job: JobExample) -> Walk:
    """Begin a job on what another walk has led to."""
    cluster = Cluster()
    cluster.CopyFrom(before.cluster)
    return Walk(cluster, Operation.GOAL_RUN_JOB, before.reply, job)


def no_plugin(request: PlanRequest) -> PlanResponse | Refusal:
    raise AssertionError(f"a plugin was asked: {request}")
