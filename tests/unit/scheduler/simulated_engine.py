"""An engine of the simulation: it runs, fences itself, resends what nobody acknowledged, and
plans."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.scheduler.database import Database
    from tests.unit.scheduler.simulation import Link, World

Failure = operation_pb2.Failure
Operation = operation_pb2.Operation
Task = operation_pb2.Task
TaskSpec = operation_pb2.TaskSpec
Attempt = tuple[str, int]

SLOTS = {"plan": 2, "ssh": 3}
OPEN = (Task.STATE_PENDING, Task.STATE_ASSIGNED)


class SimulatedEngine:
    """One session of an engine, towards all schedulers."""

    def __init__(self, world: World, session_id: str) -> None:
        self.world = world
        self.session_id = session_id
        self.alive = True
        self.paused = False
        self.running: dict[str, int] = {}
        self.results: dict[Attempt, stream.Result] = {}
        self.links: dict[str, Link] = {}
        self.heard = world.now
        self.fence = 1e9
        self._refused: set[Attempt] = set()
        self._waiting: list[tuple[stream.ConnectResponse, Link]] = []
        self._beat = 0
        self._beats: dict[int, float] = {}
        self._look_around()
        self._beat_on()

    # Its own life.

    def die(self) -> None:
        """Stop at once; nothing is said any more."""
        self.alive = False
        self.running.clear()
        for link in self.links.values():
            link.cut()

    def pause(self, seconds: float) -> None:
        """Freeze; on waking up it looks at its own deadline before anything else."""
        self.paused = True
        self.world.after(seconds, self._wake)

    def _wake(self) -> None:
        self.paused = False
        self._check_fence()
        waiting, self._waiting = self._waiting, []
        for message, link in waiting:
            self.hear(message, link)

    def _check_fence(self) -> None:
        if self.world.faults.self_fence and self.world.now - self.heard > self.fence:
            self.world.replace_engine(self)

    def _look_around(self) -> None:
        if not self.alive:
            return
        if not self.paused:
            self._check_fence()
            self.links = {name: link for name, link in self.links.items() if link.is_open}
            for scheduler in self.world.living_schedulers():
                if self.alive and scheduler.id not in self.links:
                    self._connect(scheduler.id)
            for link in self.links.values():
                self._resend(link)
        self.world.after(0.3, self._look_around)

    def _connect(self, scheduler_id: str) -> None:
        link = self.links[scheduler_id] = self.world.connect(self, scheduler_id)
        running = [*self.running.items(), *self.results]
        refs = [stream.AttemptRef(task_id=task, epoch=epoch) for task, epoch in running]
        hello = stream.Hello(session_id=self.session_id, running=refs)
        hello.credit.slots.update(SLOTS)
        link.hello_at = self.world.now
        link.to_scheduler(stream.ConnectRequest(hello=hello))

    def _resend(self, link: Link) -> None:
        if self.results:
            done = stream.Done(results=self.results.values())
            link.to_scheduler(stream.ConnectRequest(done=done))

    def _beat_on(self) -> None:
        if not self.alive:
            return
        if not self.paused:
            self._beat += 1
            self._beats[self._beat] = self.world.now
            for link in self.links.values():
                link.to_scheduler(stream.ConnectRequest(beat=stream.Beat(number=self._beat)))
        self.world.after(1.0, self._beat_on)

    # What it is told.

    def hear(self, message: stream.ConnectResponse, link: Link) -> None:
        """Take a message of a scheduler; a frozen engine takes it later."""
        if self.paused:
            self._waiting.append((message, link))
        if self.paused or not self.alive or not link.is_open:
            return
        kind = message.WhichOneof("message")
        if kind == "welcome":
            self.fence = message.welcome.self_fence.ToMilliseconds() / 1000
            self.heard = max(self.heard, link.hello_at)
            for ref in message.welcome.drop:
                self._forget(ref)
        elif kind == "beat_ack":
            self.heard = max(self.heard, self._beats.get(message.beat_ack.number, 0.0))
        elif kind == "run":
            for assignment in message.run.assignments:
                self._begin(assignment, link)
        elif kind == "cancel":
            for ref in message.cancel.attempts:
                if self.running.get(ref.task_id) == ref.epoch:
                    self._end(ref, stream.Result(cancelled=stream.Cancelled()))
        elif kind == "done_ack":
            for ref in message.done_ack.attempts:
                self.world.acknowledged(ref.task_id, ref.epoch)
                self.results.pop((ref.task_id, ref.epoch), None)

    def _forget(self, ref: stream.AttemptRef) -> None:
        self.results.pop((ref.task_id, ref.epoch), None)
        if self.running.get(ref.task_id) == ref.epoch:
            del self.running[ref.task_id]

    def _begin(self, assignment: stream.Assignment, link: Link) -> None:
        ref = assignment.attempt
        if (ref.task_id, ref.epoch) in self.results or self.running.get(
            ref.task_id, 0
        ) >= ref.epoch:
            return
        self._check_fence()
        attempt = (ref.task_id, ref.epoch)
        if self.world.happens(self.world.faults.refuse):
            self._refused.add(attempt)
        if not self.alive or attempt in self._refused:
            refused = stream.Refused(attempt=ref, reason="STALE_OFFER")
            link.to_scheduler(stream.ConnectRequest(refused=refused))
            return
        self.world.begun(self, ref.task_id, ref.epoch)
        self.running[ref.task_id] = ref.epoch
        seconds = self.world.chance.expovariate(0.5)
        if assignment.kind == "plan":
            # Facts are read at the beginning, the answer may be old when it arrives.
            result = plan(self.world.database, assignment.operation_id)
        else:
            result = self._work(assignment)
        self.world.after(seconds, lambda: self._end(ref, result))

    def _end(self, ref: stream.AttemptRef, result: stream.Result) -> None:
        if not self.alive or self.running.get(ref.task_id) != ref.epoch:
            return
        if self.paused:
            self.world.after(0.5, lambda: self._end(ref, result))
            return
        del self.running[ref.task_id]
        result.attempt.CopyFrom(ref)
        self.results[ref.task_id, ref.epoch] = result
        for link in self.links.values():
            link.to_scheduler(stream.ConnectRequest(done=stream.Done(results=[result])))

    def _work(self, assignment: stream.Assignment) -> stream.Result:
        draw = self.world.chance.random()
        if draw < 0.1:
            outcome = stream.NotYet()
            outcome.retry_after.FromMilliseconds(300)
            return stream.Result(not_yet=outcome)
        if draw < 0.2:
            return stream.Result(failed=Failure(reason="BROKEN", retryable=draw < 0.18))
        return stream.Result(succeeded=stream.Succeeded())


def plan(database: Database, operation_id: str) -> stream.Result:
    """Plan like an engine: facts in, steps or an end out."""
    tasks = {
        each.spec.key: each for each in database.tasks_of(operation_id) if not each.spec.is_plan
    }
    done = stream.Succeeded()
    if database.operations[operation_id].message.cancel_requested:
        _plan_back(tasks, done)
    elif failed := [each for each in tasks.values() if each.state == Task.STATE_FAILED]:
        _plan_after_failure(operation_id, tasks, failed, done)
    else:
        wanted = list(wanted_steps(operation_id))
        done.spawn.extend(each for each in wanted if each.key not in tasks)
        if not done.spawn and all(tasks[each.key].state == Task.STATE_SUCCEEDED for each in wanted):
            done.conclusion.state = Operation.STATE_SUCCEEDED
    return stream.Result(succeeded=done)


def _plan_back(tasks: dict[str, Task], done: stream.Succeeded) -> None:
    key, number = "undo", 1
    while key in tasks and tasks[key].state == Task.STATE_SKIPPED:
        number += 1
        key = f"undo~{number}"
    if key not in tasks:
        done.spawn.add(key=key, kind="run", pool="ssh")
    elif tasks[key].state not in OPEN:
        done.conclusion.state = Operation.STATE_CANCELLED


def _plan_after_failure(
    operation_id: str, tasks: dict[str, Task], failed: list[Task], done: stream.Succeeded
) -> None:
    patient = Random(operation_id).random() < 0.5
    still_open = [key for key, each in tasks.items() if each.state in OPEN]
    if patient and still_open:
        done.unwanted.extend(still_open)
    else:
        done.conclusion.state = Operation.STATE_FAILED
        done.conclusion.failure.reason = failed[0].failure.reason


def wanted_steps(operation_id: str) -> Iterator[TaskSpec]:
    """Give the steps of an operation: a random graph that depends on its name alone."""
    chance = Random(operation_id)
    for number in range(chance.randint(1, 14)):
        needs = chance.sample(range(number), chance.randint(0, min(2, number)))
        yield TaskSpec(
            key=f"t{number}", kind="run", pool="ssh", needs=[f"t{each}" for each in needs]
        )
