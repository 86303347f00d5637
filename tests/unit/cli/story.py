"""A launch as the conductor's journal tells it, and what is stored of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from savanna.cluster.v1.cluster_pb2 import Cluster, ClusterInfo, InfoSection, Instance
from savanna.operation.v1.operation_pb2 import (
    Attempt,
    Failure,
    JournalEntry,
    Operation,
    Task,
    TaskHistory,
    TaskSpec,
)

if TYPE_CHECKING:
    from tests.unit.client.stage import Stage

Entry = JournalEntry
PAGE = "http://198.18.0.2:8080"
FAILURE = Failure(
    reason="COMMAND_FAILED",
    message="the script to push configs ended with exit code 3; look at its last lines",
    instance="demo-w-1",
    command="bash /home/savanna/.savanna/scripts/configure",
    exit_code=3,
    output_tail="mkdir: cannot create directory '/opt/spark': Read-only file system\nmkdir: 3\n",
    task_key="configure/demo-w-1",
)


@dataclass(frozen=True)
class Part:
    """A step of the story: its times are seconds after the beginning."""

    title: str
    host: str
    begin: float
    end: float
    outcome: Attempt.Outcome.ValueType = Attempt.OUTCOME_SUCCEEDED
    kind: str = "run_script"

    @property
    def id(self) -> str:
        return f"{self.title}/{self.host}"


def launch_parts() -> list[Part]:
    start = "Start the following process(es): {}"
    return [
        Part("Plan", "", 0.0, 0.1, kind="plan"),
        Part("Prepare the cluster", "", 0.1, 0.2, kind="prepare_cluster"),
        *(Part("Create servers", each, 0.2, 0.4, kind="create_server") for each in HOSTS),
        Part("Wait for servers", "demo-m-0", 0.4, 1.1, kind="await_server"),
        Part("Wait for servers", "demo-w-0", 0.4, 1.2, kind="await_server"),
        Part("Wait for servers", "demo-w-1", 0.4, 1.6, kind="await_server"),
        Part("Push configs to nodes", "demo-m-0", 1.1, 1.3),
        Part("Push configs to nodes", "demo-w-0", 1.2, 1.5),
        Part("Push configs to nodes", "demo-w-1", 1.6, 1.7, Attempt.OUTCOME_FAILED),
        Part("Push configs to nodes", "demo-w-1", 2.7, 2.9),
        Part(start.format("namenode"), "demo-m-0", 1.3, 2.6),
        Part(start.format("datanode"), "demo-w-0", 2.6, 3.2),
        Part(start.format("datanode"), "demo-w-1", 2.9, 3.4),
        Part("Plan", "", 3.4, 3.5, kind="plan"),
    ]


HOSTS = ("demo-m-0", "demo-w-0", "demo-w-1")
_STATES = ((0.2, "Spawning"), (0.4, "Waiting"), (1.6, "Configuring"), (2.9, "Starting"))
_END = 3.5


class Story:
    """Tells a launch into the journal of a stage, ``pace`` times as fast as it was."""

    def __init__(self, stage: Stage, *, pace: float = 1000.0, fails: bool = False) -> None:
        self._stage = stage
        self._pace = pace
        self._fails = fails
        self._epochs: dict[str, int] = {}

    async def play(self) -> None:
        """Wait for a launch to be stored, then tell it to its end."""
        while not self._stage.memory.operations:
            await asyncio.sleep(0.005)
        operation = list(self._stage.memory.operations.values())[-1]
        self._operation = operation
        self._begin = operation.create_time.seconds + operation.create_time.nanos / 1e9
        self._stage.memory.journal[-1].time.CopyFrom(operation.create_time)
        parts = launch_parts()
        for each in {part.id: part for part in parts}.values():
            self._tell(0.0, Entry.KIND_TASK_CREATED, each)
        now = 0.0
        for at, kind, part in sorted(_moments(parts), key=lambda each: each[0]):
            if self._fails and at > 2.0:
                break
            await asyncio.sleep((at - now) / self._pace)
            now = at
            if isinstance(part, str):
                self._say(part, at)
            else:
                self._tell(at, kind, part)
        self._finish(parts)

    def _finish(self, parts: list[Part]) -> None:
        cluster = self._stage.memory.clusters[self._operation.cluster_id]
        self._stage.operations.tasks[self._operation.id] = self._histories(parts)
        ended = self._time(2.1 if self._fails else _END)
        if self._fails:
            cluster.state = Cluster.STATE_ERROR
            cluster.status_description = f"Creating cluster failed: {FAILURE.message}"
            self._stage.end(
                self._operation.id, state=Operation.STATE_FAILED, failure=FAILURE, end_time=ended
            )
            self._say("Error", 2.1)
            return
        serve(cluster)
        self._operation.tasks.total = self._operation.tasks.succeeded = 13
        self._stage.end(self._operation.id, state=Operation.STATE_SUCCEEDED, end_time=ended)
        self._say("Active", _END)

    def _say(self, state: str, at: float) -> None:
        self._stage.tell(
            operation_id=self._operation.id,
            kind=Entry.KIND_CLUSTER_CHANGED,
            state=state,
            time=self._time(at),
        )

    def _tell(self, at: float, kind: Entry.Kind.ValueType, part: Part) -> None:
        if kind == Entry.KIND_TASK_ASSIGNED:
            self._epochs[part.id] = self._epochs.get(part.id, 0) + 1
        failed = part.outcome == Attempt.OUTCOME_FAILED
        over = kind in (Entry.KIND_TASK_ENDED, Entry.KIND_TASK_RETRIED)
        self._stage.tell(
            operation_id=self._operation.id,
            kind=kind,
            task_id=part.id,
            title=part.title,
            instance=part.host,
            task_kind=part.kind,
            epoch=self._epochs.get(part.id, 0),
            engine_id="engine-1",
            outcome=part.outcome if over else None,
            failure=FAILURE if failed and over else None,
            time=self._time(at),
        )

    def _histories(self, parts: list[Part]) -> list[TaskHistory]:
        histories: dict[str, TaskHistory] = {}
        for number, part in enumerate(parts):
            spec = TaskSpec(
                key=part.id,
                kind=part.kind,
                title=part.title,
                instance=part.host,
                is_plan=part.kind == "plan",
            )
            history = histories.setdefault(part.id, TaskHistory(task=Task(id=part.id, spec=spec)))
            failed = part.outcome == Attempt.OUTCOME_FAILED
            if self._fails and part.begin > 2.0:
                history.task.state = history.task.state or Task.STATE_SKIPPED
                continue
            history.task.state = Task.STATE_FAILED if failed else Task.STATE_SUCCEEDED
            history.task.failed_attempts += failed
            history.task.end_time.CopyFrom(self._time(part.end))
            history.attempts.add(
                epoch=len(history.attempts) + 1,
                engine_id=f"engine-{number % 2 + 1}",
                start_time=self._time(part.begin),
                end_time=self._time(part.end),
                outcome=part.outcome,
                failure=FAILURE if failed else None,
            )
        return list(histories.values())

    def _time(self, at: float) -> Timestamp:
        stamp = Timestamp()
        stamp.FromMicroseconds(int((self._begin + at) * 1_000_000))
        return stamp


def serve(cluster: Cluster) -> None:
    """Make a stored cluster one that serves."""
    cluster.state = Cluster.STATE_ACTIVE
    cluster.info.CopyFrom(ClusterInfo(sections={"HDFS": InfoSection(values={"Web UI": PAGE})}))
    number = 2
    for group in cluster.node_groups:
        del group.instances[:]
        for index in range(group.count):
            group.instances.add(
                id=f"{group.name}-{index}",
                name=f"{cluster.name}-{group.name}-{index}",
                index=index,
                state=Instance.STATE_READY,
                management_ip=f"198.18.0.{number}",
                ssh_user="savanna",
                ssh_port=22,
                host_key="ssh-ed25519 AAAAC3host",
            )
            number += 1


def _moments(parts: list[Part]) -> list[tuple[float, Entry.Kind.ValueType, Part | str]]:
    moments: list[tuple[float, Entry.Kind.ValueType, Part | str]] = [
        (at, Entry.KIND_CLUSTER_CHANGED, state) for at, state in _STATES
    ]
    for part in parts:
        failed = part.outcome == Attempt.OUTCOME_FAILED
        end = Entry.KIND_TASK_RETRIED if failed else Entry.KIND_TASK_ENDED
        moments += [(part.end, end, part), (part.begin, Entry.KIND_TASK_ASSIGNED, part)]
    return moments
