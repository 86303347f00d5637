"""The state of a cluster, from its goal and how far its instances are: pure decisions, states as
data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAUNCH = {
    Instance.STATE_PLANNED: Cluster.STATE_SPAWNING,
    Instance.STATE_CREATED: Cluster.STATE_WAITING,
    Instance.STATE_REACHABLE: Cluster.STATE_CONFIGURING,
    Instance.STATE_CONFIGURED: Cluster.STATE_STARTING,
    Instance.STATE_READY: Cluster.STATE_STARTING,
}
_SCALE = {
    Instance.STATE_PLANNED: Cluster.STATE_SCALING_SPAWNING,
    Instance.STATE_CREATED: Cluster.STATE_SCALING_WAITING,
    Instance.STATE_REACHABLE: Cluster.STATE_SCALING_CONFIGURING,
    Instance.STATE_CONFIGURED: Cluster.STATE_SCALING_CONFIGURING,
}
_WORDS = {
    Cluster.STATE_VALIDATING: "Validating",
    Cluster.STATE_SPAWNING: "Spawning",
    Cluster.STATE_WAITING: "Waiting",
    Cluster.STATE_CONFIGURING: "Configuring",
    Cluster.STATE_STARTING: "Starting",
    Cluster.STATE_ACTIVE: "Active",
    Cluster.STATE_SCALING: "Scaling",
    Cluster.STATE_DECOMMISSIONING: "Decommissioning",
    Cluster.STATE_SCALING_SPAWNING: "Scaling: Spawning",
    Cluster.STATE_SCALING_WAITING: "Scaling: Waiting",
    Cluster.STATE_SCALING_CONFIGURING: "Configuring",
    Cluster.STATE_ERROR: "Error",
    Cluster.STATE_DELETING: "Deleting",
}


def word(state: Cluster.State.ValueType) -> str:
    """Give the word that users know for a state."""
    return _WORDS.get(state, "")


def advance(
    goal: Operation.Goal.ValueType,
    current: Cluster.State.ValueType,
    counts: Mapping[Instance.State.ValueType, int],
) -> Cluster.State.ValueType:
    """Give the state of a cluster under way: the earliest phase of its living instances, never
    going back.

    ``counts`` are the cluster's instances by state.
    """
    if current == Cluster.STATE_ACTIVE:
        # Of use already: the rest is completed in the background.
        return current
    if goal == Operation.GOAL_LAUNCH:
        reached = _earliest(_LAUNCH, counts)
    elif goal == Operation.GOAL_SCALE:
        reached = _earliest(_SCALE, counts)
        if reached is None and counts.get(Instance.STATE_LEAVING):
            reached = Cluster.STATE_DECOMMISSIONING
    else:
        return current
    # The numbers of the states grow along a launch and along a scale.
    return current if reached is None else max(current, reached)


def ended(
    goal: Operation.Goal.ValueType,
    outcome: Operation.State.ValueType,
    current: Cluster.State.ValueType,
    wanted: Cluster.State.ValueType = Cluster.STATE_UNSPECIFIED,
) -> Cluster.State.ValueType:
    """Give the state of a cluster whose exclusive operation has ended.

    ``wanted`` is what its plan asked for, if anything.
    """
    if goal == Operation.GOAL_DELETE:
        return Cluster.STATE_ERROR
    if current == Cluster.STATE_DELETING:
        return current
    if wanted:
        return wanted
    if goal == Operation.GOAL_LAUNCH and outcome != Operation.STATE_SUCCEEDED:
        return Cluster.STATE_ERROR
    return Cluster.STATE_ACTIVE


def _earliest(
    phases: Mapping[Instance.State.ValueType, Cluster.State.ValueType],
    counts: Mapping[Instance.State.ValueType, int],
) -> Cluster.State.ValueType | None:
    for instance_state, phase in phases.items():
        if counts.get(instance_state):
            return phase
    return None
