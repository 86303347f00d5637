"""Sahara's words for the states of clusters and jobs."""

from __future__ import annotations

from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.job.v1.job_pb2 import Job

CLUSTER_STATUS: dict[Cluster.State.ValueType, str] = {
    Cluster.STATE_UNSPECIFIED: "undefined",
    Cluster.STATE_VALIDATING: "Validating",
    Cluster.STATE_SPAWNING: "Spawning",
    Cluster.STATE_WAITING: "Waiting",
    Cluster.STATE_CONFIGURING: "Configuring",
    Cluster.STATE_STARTING: "Starting",
    Cluster.STATE_ACTIVE: "Active",
    # A scale that was stored and not begun: Sahara says the same as for a new cluster.
    Cluster.STATE_SCALING: "Validating",
    Cluster.STATE_DECOMMISSIONING: "Decommissioning",
    Cluster.STATE_SCALING_SPAWNING: "Scaling: Spawning",
    Cluster.STATE_SCALING_WAITING: "Scaling: Waiting",
    Cluster.STATE_SCALING_CONFIGURING: "Configuring",
    Cluster.STATE_ERROR: "Error",
    Cluster.STATE_DELETING: "Deleting",
}

JOB_STATUS: dict[Job.State.ValueType, str] = {
    Job.STATE_UNSPECIFIED: "PENDING",
    Job.STATE_PENDING: "PENDING",
    Job.STATE_RUNNING: "RUNNING",
    Job.STATE_SUCCEEDED: "SUCCEEDED",
    Job.STATE_DONE_WITH_ERROR: "DONEWITHERROR",
    Job.STATE_FAILED: "FAILED",
    Job.STATE_TO_BE_KILLED: "TOBEKILLED",
    Job.STATE_KILLED: "KILLED",
}
