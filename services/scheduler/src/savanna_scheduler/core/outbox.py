"""What is to be said to engines at the end of an event: many small things in few messages."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from savanna.scheduler.v1 import scheduler_service_pb2 as stream

if TYPE_CHECKING:
    from savanna_scheduler.core.graph import TaskNode

Response = stream.ConnectResponse
_RUN_BYTES = 2**20
"""Bytes after which a message with work is full."""


class Outbox:
    """Collects by session; work is said before the wish to stop it."""

    def __init__(self, offer_ttl: float) -> None:
        self._offer_ttl = Duration()
        self._offer_ttl.FromMilliseconds(int(offer_ttl * 1000))
        self._welcomes: dict[str, stream.Welcome] = {}
        self._distrusts: dict[str, stream.Distrust] = {}
        self._acks: dict[str, list[stream.AttemptRef]] = defaultdict(list)
        self._runs: dict[str, list[Response]] = defaultdict(list)
        self._room: dict[str, int] = {}
        """Bytes that the last of a session's messages with work still takes."""

        self._stops: dict[str, list[stream.AttemptRef]] = defaultdict(list)

    def welcome(self, session_id: str, message: stream.Welcome) -> None:
        """Greet an engine."""
        self._welcomes[session_id] = message

    def distrust(self, session_id: str, message: stream.Distrust) -> None:
        """Tell an engine that it is drained."""
        self._distrusts[session_id] = message

    def acknowledge(self, session_id: str, task_id: str, epoch: int) -> None:
        """Tell an engine that a result need not be sent again."""
        self._acks[session_id].append(stream.AttemptRef(task_id=task_id, epoch=epoch))

    def run(self, session_id: str, node: TaskNode) -> None:
        """Give an engine work."""
        if self._room.get(session_id, 0) <= 0:
            self._runs[session_id].append(Response())
            self._room[session_id] = _RUN_BYTES
        spec = node.spec
        self._room[session_id] -= len(spec.body)
        assignment = self._runs[session_id][-1].run.assignments.add(
            operation_id=node.graph.id,
            key=spec.key,
            kind=spec.kind,
            pool=spec.pool,
            body=spec.body,
            number=node.failed + 1,
            timeout=spec.timeout,
            traceparent=node.graph.operation.traceparent,
            instance=spec.instance,
            offer_ttl=self._offer_ttl,
        )
        assignment.attempt.task_id, assignment.attempt.epoch = node.attempt

    def stop(self, session_id: str, task_id: str, epoch: int) -> None:
        """Ask an engine to stop an attempt."""
        self._stops[session_id].append(stream.AttemptRef(task_id=task_id, epoch=epoch))

    def take(self) -> list[tuple[str, Response]]:
        """Give everything, in the order in which it is to be said, and keep nothing."""
        found = [(each, Response(welcome=said)) for each, said in self._welcomes.items()]
        found += [(each, Response(distrust=said)) for each, said in self._distrusts.items()]
        for each, refs in self._acks.items():
            found.append((each, Response(done_ack=stream.DoneAck(attempts=refs))))
        for each, messages in self._runs.items():
            found += [(each, message) for message in messages]
        for each, refs in self._stops.items():
            found.append((each, Response(cancel=stream.Cancel(attempts=refs))))
        kept = (self._welcomes, self._distrusts, self._acks, self._runs, self._room, self._stops)
        for each_kept in kept:
            each_kept.clear()
        return found
