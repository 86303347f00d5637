"""Any sequence of changes does to stored tasks what a model of twenty lines says."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import hypothesis
from hypothesis import strategies as st

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from tests.unit.conductor.changes import assign, codes, defer, end, finish, lose, skip, spawn
from tests.unit.conductor.conftest import PROJECT, Conductor, Owner, new_owner, running

if TYPE_CHECKING:
    from savanna_conductor.settings import ConductorSettings

Attempt = operation_pb2.Attempt
Operation = operation_pb2.Operation
Task = operation_pb2.Task
Verdict = execution.Verdict

APPLIED, STALE = Verdict.CODE_APPLIED, Verdict.CODE_STALE
KEYS = ("plan/1", "a", "b")
SESSIONS = 2

Action = tuple[str, str, int, int]
"""What to do: kind, key of the task, difference to the right epoch, number of the session."""

actions = st.tuples(
    st.sampled_from(("assign", "finish", "defer", "lose", "skip", "spawn", "close", "end")),
    st.sampled_from(KEYS),
    st.sampled_from((0, 0, 0, -1, 1)),
    st.integers(0, SESSIONS - 1),
)


@dataclass
class Model:
    """What the stored tasks must be, by key: state, epoch, session."""

    tasks: dict[str, tuple[str, int, int]] = field(
        default_factory=lambda: {"plan/1": ("PENDING", 0, -1)}
    )
    closed: set[int] = field(default_factory=set)
    ended: bool = False

    def apply(self, action: Action) -> Verdict.Code.ValueType:
        """Do it; gives the verdict that the conductor must give."""
        kind, key, shift, session = action
        if self.ended:
            return Verdict.CODE_NOT_OWNED
        if kind == "end":
            self.ended = True
            self.tasks = {
                each: ("SKIPPED" if state in ("PENDING", "ASSIGNED") else state, epoch, holder)
                for each, (state, epoch, holder) in self.tasks.items()
            }
            return APPLIED
        if kind == "spawn":
            self.tasks.setdefault(key, ("PENDING", 0, -1))
            return APPLIED
        return self._change(kind, key, shift, session)

    def _change(self, kind: str, key: str, shift: int, session: int) -> Verdict.Code.ValueType:
        state, epoch, holder = self.tasks[key]
        if kind in ("assign", "skip"):
            if state != "PENDING" or (kind == "assign" and shift):
                return STALE
            if kind == "assign" and session in self.closed:
                return Verdict.CODE_SESSION_ENDED
            self.tasks[key] = (
                ("ASSIGNED", epoch + 1, session) if kind == "assign" else ("SKIPPED", epoch, holder)
            )
            return APPLIED
        if state != "ASSIGNED" or shift or session != holder:
            return STALE
        if kind == "lose" and session not in self.closed:
            return Verdict.CODE_SESSION_ALIVE
        self.tasks[key] = ("SUCCEEDED" if kind == "finish" else "PENDING", epoch, holder)
        return APPLIED


@dataclass
class Run:
    """One operation, changed as the model is."""

    conductor: Conductor
    owner: Owner
    operation: Operation
    tasks: dict[str, Task]
    sessions: list[str]
    model: Model = field(default_factory=Model)

    @classmethod
    async def begin(cls, conductor: Conductor) -> Run:
        created = await conductor.create(f"c{uuid.uuid4().hex}")
        owner = await new_owner(conductor)
        graph = (await owner.claim()).graphs[0]
        sessions = [await conductor.session() for _ in range(SESSIONS)]
        return cls(conductor, owner, created.operation, {"plan/1": graph.tasks[0]}, sessions)

    async def do(self, batch: list[Action]) -> None:
        """Commit a batch of actions, twice: the second time changes nothing."""
        for action in batch:
            if action[0] == "close":
                await self._close(action[3])
        changes, expected = [], []
        for action in batch:
            if action[0] != "close":
                changes.append(self._change(action))
                expected.append(self._expected(action))
        verdicts = await self.owner.commit(*changes)
        assert codes(verdicts) == expected
        assert await self.owner.commit_again(*changes) == verdicts
        for verdict in verdicts:
            self.tasks.update({each.spec.key: each for each in verdict.spawned})
        await self._check()

    async def _close(self, number: int) -> None:
        self.model.closed.add(number)
        session = execution.Session(session_id=self.sessions[number], closing=True)
        request = execution.RenewSessionsRequest(sessions=[session])
        await self.conductor.execution.RenewSessions(request)

    def _change(self, action: Action) -> execution.Change:
        kind, key, shift, number = action
        task = self.tasks.get(key, Task(id=f"none/{key}"))
        epoch = self._epoch(key)
        session = self.sessions[number]
        if kind == "assign":
            return assign(task, epoch + 1 + shift, session)
        if kind == "end":
            return end(self.operation.id, Operation.STATE_FAILED)
        if kind == "spawn":
            return spawn(self.operation.id, operation_pb2.TaskSpec(key=key))
        if kind == "skip":
            return skip(task)
        if kind == "finish":
            return finish(task, epoch + shift, session)
        return (defer if kind == "defer" else lose)(task, epoch + shift, session)

    def _expected(self, action: Action) -> Verdict.Code.ValueType:
        if action[0] not in ("spawn", "end") and action[1] not in self.tasks:
            return Verdict.CODE_NOT_OWNED
        return self.model.apply(action)

    def _epoch(self, key: str) -> int:
        return self.model.tasks.get(key, ("", 0, -1))[1]

    async def _check(self) -> None:
        name = pb.OwnedName(project_id=PROJECT, id=self.operation.id)
        answer = await self.conductor.operations.GetOperation(pb.GetOperationRequest(name=name))
        stored = [each.task for each in answer.tasks]
        assert {
            each.spec.key: (
                Task.State.Name(each.state).removeprefix("STATE_"),
                each.epoch,
                self.sessions.index(each.session_id) if each.session_id else -1,
            )
            for each in stored
        } == self.model.tasks
        assert (answer.operation.state == Operation.STATE_FAILED) == self.model.ended


def test_commits_do_what_the_model_says(settings: ConductorSettings) -> None:
    with asyncio.Runner() as runner:
        context = running(settings)
        conductor = runner.run(context.__aenter__())

        @hypothesis.settings(max_examples=30, deadline=None, derandomize=True, database=None)
        @hypothesis.given(st.lists(st.lists(actions, min_size=1, max_size=4), max_size=8))
        def hold(batches: list[list[Action]]) -> None:
            runner.run(follow(conductor, batches))

        try:
            hold()
        finally:
            runner.run(context.__aexit__(None, None, None))


async def follow(conductor: Conductor, batches: list[list[Action]]) -> None:
    run = await Run.begin(conductor)
    for batch in batches:
        await run.do(batch)
