"""States, goals and times in words for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.job.v1.job_pb2 import Job
from savanna.operation.v1.operation_pb2 import Attempt, Operation, Task

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

GOALS = {
    Operation.GOAL_LAUNCH: "launch",
    Operation.GOAL_SCALE: "scale",
    Operation.GOAL_DELETE: "delete",
    Operation.GOAL_RUN_JOB: "run job",
}

# Green for what is well, yellow for what goes on, red for what is not.
_STYLES = {
    "active": "green",
    "ready": "green",
    "alive": "green",
    "succeeded": "green",
    "error": "red",
    "failed": "red",
    "done with error": "red",
    "lost": "red",
    "silent": "red",
    "killed": "yellow",
    "cancelled": "yellow",
    "skipped": "dim",
    "ended": "dim",
}


def cluster_state(state: Cluster.State.ValueType) -> str:
    """Give "Active", "Scaling: waiting" and the like."""
    word = _plain(Cluster.State.Name(state))
    if word.startswith("scaling "):
        word = word.replace("scaling ", "scaling: ", 1)
    return word[:1].upper() + word[1:]


def instance_state(state: Instance.State.ValueType) -> str:
    """Give "ready" and the like."""
    return _plain(Instance.State.Name(state))


def job_state(state: Job.State.ValueType) -> str:
    """Give "running" and the like."""
    return _plain(Job.State.Name(state))


def operation_state(state: Operation.State.ValueType) -> str:
    """Give "succeeded" and the like."""
    return _plain(Operation.State.Name(state))


def task_state(state: Task.State.ValueType) -> str:
    """Give "succeeded" and the like."""
    return _plain(Task.State.Name(state))


def outcome(value: Attempt.Outcome.ValueType) -> str:
    """Give "failed" and the like; an attempt that has none is under way."""
    return _plain(Attempt.Outcome.Name(value)) if value else "running"


def goal(operation: Operation) -> str:
    """Give "launch of demo" and the like."""
    if operation.goal == Operation.GOAL_RUN_JOB:
        return f"job on {operation.cluster_name}"
    word = GOALS.get(operation.goal, "operation")
    back = "way back of the " if operation.rollback_of else ""
    return f"{back}{word} of {operation.cluster_name}"


def style_of(word: str) -> str:
    """Give the colour of a state."""
    return _STYLES.get(word.lower(), "yellow")


def _plain(name: str) -> str:
    _, _, rest = name.partition("_")
    return rest.lower().replace("_", " ").replace("unspecified", "unknown")


def seconds(value: float) -> str:
    """Give a length of time: "0.4 s", "2 min 03 s", "1 h 02 min"."""
    if value < 59.95:
        return f"{max(0.0, value):.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(stamp: Timestamp) -> float:
    """Give a time as seconds of the epoch; 0 for one that is not set."""
    return stamp.seconds + stamp.nanos / 1e9


def between(start: Timestamp, end: Timestamp, now: datetime) -> str:
    """Give how long something took, or takes so far; "" when it has not begun."""
    if not moment(start):
        return ""
    return seconds((moment(end) or now.timestamp()) - moment(start))


def date(stamp: Timestamp) -> str:
    """Give "2026-03-31 23:59 UTC"."""
    return f"{datetime.fromtimestamp(moment(stamp), UTC):%Y-%m-%d %H:%M} UTC"


def ago(stamp: Timestamp, now: datetime) -> str:
    """Give "3 min ago"; "" for a time that is not set."""
    if not moment(stamp):
        return ""
    passed = max(0, int(now.timestamp() - moment(stamp)))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed // size} {unit} ago"
    return f"{passed} s ago"


def until(stamp: Timestamp, now: datetime) -> str:
    """Give "in 1 h 59 min" or "passed"; "" for a time that is not set."""
    if not moment(stamp):
        return ""
    rest = moment(stamp) - now.timestamp()
    return f"in {seconds(rest)}" if rest > 0 else "passed"


def size(number: int) -> str:
    """Give a number of bytes: "812 B", "1.3 MiB"."""
    value, units = float(number), ("B", "KiB", "MiB", "GiB")
    for unit in units[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {units[-1]}"
