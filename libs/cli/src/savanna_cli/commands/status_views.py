"""How the mesh looks to people: tables of who is there, who has what, and what waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from savanna.mesh.v1.mesh_pb2 import LIVENESS_ALIVE, Liveness
from savanna.operation.v1.operation_pb2 import Operation
from savanna_cli import output, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import Console

    from savanna.mesh.v1.mesh_pb2 import (
        Drain,
        Engine,
        MeshStatus,
        OperationInHand,
        ProjectLoad,
        Scheduler,
        Wait,
    )

    Row = Sequence[str | Text]

_ID = 8
"""Letters of an id that tell few things apart."""


def tell(to: Console, mesh: MeshStatus) -> None:
    """Show everything; parts without anything in them are left out."""
    now = mesh.time.ToDatetime(tzinfo=UTC)
    to.print(_head(mesh))
    for line in _alarms(mesh):
        to.print(Text(f"  {line}", style="red"))
    pools = sorted({load.pool for each in mesh.engines for load in each.pools})
    drained = _drained(mesh)
    waits = [(each, wait) for each in mesh.operations for wait in each.waits]
    _table(
        to,
        ("scheduler", "state", "since", "lease", "operations", "runs", "address"),
        [_scheduler(each, now) for each in mesh.schedulers],
    )
    _table(
        to,
        ("engine", "state", "since", "lease", *pools, "longest step"),
        [_engine(each, pools, now, drained=each.engine_id in drained) for each in mesh.engines],
    )
    _table(
        to,
        ("project", "operations", "runs", "ready", "waits longest"),
        [_project(each, now) for each in mesh.projects],
    )
    _table(
        to,
        ("operation", "what", "begun", "steps", "runs", "owner"),
        [_operation(each, now) for each in mesh.operations],
    )
    if mesh.more_operations:
        to.print(Text(f"{mesh.more_operations} more, which are newer", style="dim"))
    _table(
        to,
        ("operation", "waits", "for", "longest", "why"),
        [_wait(each, wait, now) for each, wait in waits],
    )


def _head(mesh: MeshStatus) -> Text:
    schedulers = sum(each.liveness == LIVENESS_ALIVE for each in mesh.schedulers)
    engines = sum(each.liveness == LIVENESS_ALIVE for each in mesh.engines)
    under_way = len(mesh.operations) + mesh.more_operations
    parts = (
        _counted(schedulers, "scheduler"),
        _counted(engines, "engine"),
        f"{_counted(under_way, 'operation')} under way",
    )
    return Text(", ".join(parts), style="bold")


def _alarms(mesh: MeshStatus) -> Iterator[str]:
    """Name what keeps everything from going on."""
    if not any(each.liveness == LIVENESS_ALIVE for each in mesh.schedulers):
        yield "no scheduler is there: nothing is handed out; start savanna-scheduler"
    if not any(each.liveness == LIVENESS_ALIVE for each in mesh.engines):
        yield "no engine is there: nothing is done; start savanna-engine"
    now = mesh.time.ToSeconds()
    for each in _drained(mesh).values():
        rest = words.seconds(max(0, each.until_time.ToSeconds() - now))
        yield f"engine '{each.engine_id}' is drained for {rest} more: {each.reason}"


def _drained(mesh: MeshStatus) -> dict[str, Drain]:
    """Give the engines that are drained, by name: several schedulers may say the same."""
    return {each.engine_id: each for scheduler in mesh.schedulers for each in scheduler.drains}


def _table(to: Console, heads: Sequence[str], rows: Sequence[Row]) -> None:
    if rows:
        to.print()
        output.show_table(to, heads, rows)


def _scheduler(each: Scheduler, now: datetime) -> Row:
    return (
        each.scheduler_id[:_ID],
        _liveness(each.liveness),
        words.ago(each.start_time, now),
        _lease(each.lease_end_time, now),
        str(each.operations),
        str(each.running_tasks),
        each.address,
    )


def _engine(each: Engine, pools: Sequence[str], now: datetime, *, drained: bool) -> Row:
    loads = {load.pool: f"{load.running}/{load.slots or '?'}" for load in each.pools}
    longest = ""
    if each.HasField("oldest"):
        task = each.oldest
        step = _step(task.title or task.task_key, task.instance, task.cluster_name)
        longest = f"{_long(task.start_time, now)}  {step}"
    is_alive = each.liveness == LIVENESS_ALIVE
    return (
        each.engine_id,
        Text("drained", style="yellow") if drained and is_alive else _liveness(each.liveness),
        words.ago(each.start_time, now),
        _lease(each.lease_end_time, now),
        *(loads.get(pool, "") for pool in pools),
        longest,
    )


def _project(each: ProjectLoad, now: datetime) -> Row:
    wait = each.oldest_wait
    longest = ""
    if each.HasField("oldest_wait"):
        what = _step(wait.title or wait.task_key, wait.instance, wait.cluster_name)
        longest = f"{_long(wait.since_time, now)}  {what}: {wait.message}"
    numbers = (each.operations, each.running_tasks, each.ready_tasks)
    return (each.project_id, *map(str, numbers), longest)


def _operation(each: OperationInHand, now: datetime) -> Row:
    found = each.operation
    state = words.operation_state(found.state)
    what = Text(words.goal(found))
    if found.state != Operation.STATE_RUNNING:
        what.append(f", {state}", style=words.style_of(state))
    return (
        found.id,
        what,
        words.ago(found.create_time, now),
        f"{found.tasks.succeeded}/{found.tasks.total}",
        str(found.tasks.running),
        each.scheduler_id[:_ID] or Text("nobody", style="yellow"),
    )


def _wait(each: OperationInHand, wait: Wait, now: datetime) -> Row:
    until = ""
    if wait.HasField("until_time"):
        rest = words.moment(wait.until_time) - now.timestamp()
        until = f", in {words.seconds(rest)}"
    return (
        each.operation.id[:_ID],
        _counted(wait.tasks, "step") if wait.tasks else "all",
        _long(wait.since_time, now),
        _step(wait.title or wait.task_key, wait.instance),
        f"{wait.message}{until}",
    )


def _step(title: str, instance: str, cluster: str = "") -> str:
    """Name a step: what it does, and where."""
    where = instance or cluster
    if not title:
        return where
    return f"{title} ({where})" if where else title


def _liveness(value: Liveness.ValueType) -> Text:
    word = Liveness.Name(value).removeprefix("LIVENESS_").lower()
    return Text(word, style=words.style_of(word))


def _lease(end: Timestamp, now: datetime) -> str:
    left = words.moment(end) - now.timestamp()
    return f"{words.seconds(left)} left" if left >= 0 else f"over {words.ago(end, now)}"


def _long(since: Timestamp, now: datetime) -> str:
    return words.seconds(now.timestamp() - words.moment(since))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"
