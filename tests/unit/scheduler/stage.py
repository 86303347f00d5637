"""A scheduler's core between a conductor and engines that are played by hand: no wire, no clock."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from savanna_scheduler.core.scheduler import SchedulerCore
from tests.unit.scheduler.consistency import check
from tests.unit.scheduler.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Failure = operation_pb2.Failure
Operation = operation_pb2.Operation
Task = operation_pb2.Task
TaskSpec = operation_pb2.TaskSpec

SLOTS = {"plan": 4, "ssh": 8}


def step(key: str, *needs: str, **more: object) -> TaskSpec:
    """Ask for a task that is no plan."""
    return TaskSpec(key=key, kind="run", pool="ssh", needs=needs, **more)  # type: ignore[arg-type]  # fields of a message


class Stage:
    """One scheduler and its world."""

    def __init__(
        self,
        database: Database | None = None,
        *,
        scheduler_id: str = "s1",
        policy: Policy | None = None,
        core: type[SchedulerCore] = SchedulerCore,
    ) -> None:
        self.database = database or Database()
        self.id = scheduler_id
        self.core = core(scheduler_id, policy or Policy(), Random(1))
        self.engines: dict[str, Engine] = {}
        self.commits: deque[events.Commit] = deque()
        self.sent_commits: list[events.Commit] = []
        self.abandoned = ""
        self.holds_commits = False
        self.chokes_on = b""
        """A commit with these bytes in it can not be stored."""

        self.choked = 0
        self.database.renew_scheduler(self.id)

    @property
    def now(self) -> float:
        return self.database.now

    def tell(self, event: events.Event) -> None:
        """Tell the core, do what it wants, record what it commits."""
        self._tell(event)
        while self.commits and not self.holds_commits:
            self.record()

    def _tell(self, event: events.Event) -> None:
        for command in self.core.handle(event, self.now):
            if isinstance(command, events.Commit):
                self.commits.append(command)
                self.sent_commits.append(command)
            elif isinstance(command, events.Send):
                self.engines[command.session_id].hear(command.message)
            else:
                self.abandoned = command.reason
        if not self.abandoned:
            check(self.core)

    def store(self) -> execution.CommitResponse:
        """Apply the commit under way; its answer is lost for now."""
        commit = self.commits[0]
        return self.database.commit(
            execution.CommitRequest(
                scheduler_id=self.id, number=commit.number, changes=commit.changes
            )
        )

    def record(self) -> None:
        """Apply the commit under way and tell the core."""
        commit = self.commits[0]
        if self.chokes_on and any(
            self.chokes_on in each.SerializeToString() for each in commit.changes
        ):
            self.commits.popleft()
            self.choked += 1
            void = execution.CommitRequest(scheduler_id=self.id, number=commit.number)
            assert not self.database.commit(void).verdicts
            self._tell(events.CommitRefused(commit.number, "a fault"))
            return
        answer = self.store()
        self.commits.popleft()
        self._tell(events.Committed(commit.number, list(answer.verdicts)))

    def go_on(self) -> None:
        """Record what was held back, and all that follows."""
        self.holds_commits = False
        while self.commits:
            self.record()

    def claim(self) -> None:
        """Take free operations, and hear of cancels."""
        known = {
            graph.id for graph in self.core.operations.values() if graph.operation.cancel_requested
        }
        answer = self.database.claim(self.id, known)
        for event in events.claimed(answer):
            self.tell(event)

    def wait(self, seconds: float, *alive: Engine) -> None:
        """Let time pass; the engines given stay alive."""
        end = self.now + seconds
        while True:
            due = self.core.next_timer()
            self.database.now = min(end, self.now + 1.0 if due is None else due, self.now + 1.0)
            for engine in alive:
                engine.beat()
            self.tell(events.Tick())
            if self.now >= end:
                return

    def begin(self, *specs: TaskSpec, slots: Mapping[str, int] = SLOTS) -> Engine:
        """Begin an operation; its first plan, done by a new engine, asks for the tasks given."""
        engine = self.engine(slots=slots)
        self.database.create("op")
        self.claim()
        engine.succeed("plan/1", spawn=specs)
        return engine

    def engine(self, name: str = "e1", slots: Mapping[str, int] = SLOTS, *, of: str = "") -> Engine:
        """Connect a session of an engine, which has the same name unless another is given."""
        engine = Engine(self, name, slots, of or name)
        engine.hello()
        return engine

    def state(self, key: str, operation_id: str = "op") -> str:
        """Give the state of a task in the database."""
        state = self.database.task(key, operation_id).state
        return Task.State.Name(state).removeprefix("STATE_")

    def outcome(self, operation_id: str = "op") -> str:
        """Give the state of an operation in the database."""
        state = self.database.operations[operation_id].message.state
        return Operation.State.Name(state).removeprefix("STATE_")


class Engine:
    """An engine that notes what it is told, and says what the test wants."""

    def __init__(
        self, stage: Stage, name: str, slots: Mapping[str, int], engine_id: str = ""
    ) -> None:
        self.stage = stage
        self.session_id = name
        self.engine_id = engine_id
        self.slots = dict(slots)
        self.runs: list[stream.Assignment] = []
        self.running: dict[str, stream.Assignment] = {}
        """By key, what it was told to do and has not ended."""
        self.acknowledged: list[tuple[str, int]] = []
        self.stopped: list[str] = []
        self.distrusted: list[stream.Distrust] = []
        self.welcome = stream.Welcome()
        self.connected = False

    def hello(self, running: Iterable[stream.Assignment] | None = None) -> None:
        """Open a stream."""
        assert self.stage.database.renew_session(self.session_id), "the session is over"
        self.stage.engines[self.session_id] = self
        self.connected = True
        kept = self.running.values() if running is None else running
        refs = {each.attempt.task_id: each.attempt.epoch for each in kept}
        lease = self.stage.database.lease
        self.stage.tell(events.Hello(self.session_id, self.slots, refs, lease, self.engine_id))

    def beat(self) -> None:
        """Have the lease renewed; the scheduler hears of it while connected."""
        alive = self.stage.database.renew_session(self.session_id)
        if not alive:
            self.stage.tell(events.SessionEnded(self.session_id))
        elif self.connected:
            self.stage.tell(events.Renewed(self.session_id, self.stage.database.lease))

    def disconnect(self) -> None:
        self.connected = False
        self.stage.tell(events.Disconnected(self.session_id))

    def hear(self, message: stream.ConnectResponse) -> None:
        assert self.connected, "something was said to nobody"
        kind = message.WhichOneof("message")
        if kind == "welcome":
            self.welcome = message.welcome
        elif kind == "run":
            for each in message.run.assignments:
                attempt = (each.attempt.task_id, each.attempt.epoch, self.session_id)
                assert attempt in self.stage.database.assigned, "not recorded, but handed out"
                self.runs.append(each)
                self.running[each.key] = each
        elif kind == "done_ack":
            for ref in message.done_ack.attempts:
                self.acknowledged.append((ref.task_id, ref.epoch))
        elif kind == "distrust":
            self.distrusted.append(message.distrust)
        elif kind == "cancel":
            self.stopped += [ref.task_id.partition(":")[2] for ref in message.cancel.attempts]

    # Results.

    def succeed(
        self,
        key: str,
        *,
        spawn: Iterable[TaskSpec] = (),
        end: Operation.State.ValueType | None = None,
        unwanted: Iterable[str] = (),
        facts: bytes = b"",
    ) -> None:
        outcome = stream.Succeeded(spawn=spawn, unwanted=unwanted, facts=facts)
        if end is not None:
            outcome.conclusion.state = end
        self.answer(key, stream.Result(succeeded=outcome))

    def fail(self, key: str, *, retryable: bool = False) -> None:
        failure = Failure(reason="BROKEN", message="it broke", retryable=retryable)
        self.answer(key, stream.Result(failed=failure))

    def not_yet(self, key: str, seconds: float) -> None:
        outcome = stream.NotYet()
        outcome.retry_after.FromMilliseconds(int(seconds * 1000))
        self.answer(key, stream.Result(not_yet=outcome))

    def stop(self, key: str) -> None:
        self.answer(key, stream.Result(cancelled=stream.Cancelled()))

    def answer(self, key: str, result: stream.Result) -> None:
        result.attempt.CopyFrom(self.running.pop(key).attempt)
        self.say(result)

    def say(self, result: stream.Result) -> None:
        self.stage.tell(events.Done(self.session_id, [result]))

    def refuse(self, key: str, reason: str) -> None:
        ref = self.running.pop(key).attempt
        self.stage.tell(events.Refused(self.session_id, ref.task_id, ref.epoch, reason))
