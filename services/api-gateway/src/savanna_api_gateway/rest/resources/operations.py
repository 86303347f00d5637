"""Operations, as JSON: Savanna's own, so that the names are those of the gRPC API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import OnFailure, Operation
from savanna_api_gateway.rest import codecs
from savanna_api_gateway.rest.fields import Field, Resource
from savanna_api_gateway.rest.resources.basics import CREATED, ID, PROJECT

if TYPE_CHECKING:
    from savanna_api_gateway.rest.schemas import Json

_GOALS = {value: name.removeprefix("GOAL_").lower() for name, value in Operation.Goal.items()}
_ON_FAILURE = {
    value: name.removeprefix("ON_FAILURE_").lower().replace("unspecified", "rollback")
    for name, value in OnFailure.items()
}
_STATES = {value: name.removeprefix("STATE_") for name, value in Operation.State.items()}


def _failure(operation: Operation) -> dict[str, Json] | None:
    if not operation.HasField("failure"):
        return None
    failure = operation.failure
    return {
        "reason": failure.reason,
        "message": failure.message,
        "instance": failure.instance or None,
        "command": failure.command or None,
        "exit_code": failure.exit_code if failure.HasField("exit_code") else None,
        "output_tail": failure.output_tail or None,
    }


def _tasks(operation: Operation) -> dict[str, int]:
    counts = operation.tasks
    return {
        "total": counts.total,
        "running": counts.running,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "skipped": counts.skipped,
    }


OPERATION = Resource(
    Operation,
    (
        CREATED,
        ID,
        Field("goal", codecs.words("goal", _GOALS)),
        Field("state", codecs.words("state", _STATES)),
        Field("held_reason", codecs.text("held_reason")),
        Field("failure", codecs.computed(_failure)),
        Field("cluster_id", codecs.text("cluster_id")),
        Field("cluster_name", codecs.text("cluster_name")),
        Field("job_id", codecs.text("job_id")),
        Field("cancel_requested", codecs.flag("cancel_requested")),
        Field("on_failure", codecs.words("on_failure", _ON_FAILURE)),
        Field("retry_of", codecs.text("retry_of")),
        Field("rollback_of", codecs.text("rollback_of")),
        Field("tasks", codecs.computed(_tasks)),
        Field("deadline", codecs.time("deadline")),
        Field("started_at", codecs.time("start_time")),
        Field("ended_at", codecs.time("end_time")),
        PROJECT,
    ),
)
