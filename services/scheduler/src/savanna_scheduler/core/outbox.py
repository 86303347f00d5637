"""What is to be said to engines at the end of an event: many small things in few messages."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from savanna.scheduler.v1 import scheduler_service_pb2 as stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from savanna_scheduler.core.graph import TaskNode

Response = stream.ConnectResponse
_RUN_BYTES = 2**20
"""Bytes after which a message with work is full."""


class Outbox:
    """Collects by session; work is said before the wish to stop it."""

    def __init__(self, offer_ttl: float) -> None:
        self._offer_ttl = offer_ttl
        self._welcomes: dict[str, stream.Welcome] = {}
        self._distrusts: dict[str, stream.Distrust] = {}
        self._acks: dict[str, list[stream.AttemptRef]] = defaultdict(list)
        self._runs: dict[str, list[stream.Assignment]] = defaultdict(list)
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
        self._runs[session_id].append(_assignment(node, self._offer_ttl))

    def stop(self, session_id: str, task_id: str, epoch: int) -> None:
        """Ask an engine to stop an attempt."""
        self._stops[session_id].append(stream.AttemptRef(task_id=task_id, epoch=epoch))

    def take(self) -> list[tuple[str, Response]]:
        """Give everything, in the order in which it is to be said, and keep nothing."""
        found = [(each, Response(welcome=said)) for each, said in self._welcomes.items()]
        found += [(each, Response(distrust=said)) for each, said in self._distrusts.items()]
        for each, refs in self._acks.items():
            found.append((each, Response(done_ack=stream.DoneAck(attempts=refs))))
        for each, assignments in self._runs.items():
            parts = _in_parts(assignments)
            found.extend((each, Response(run=stream.Run(assignments=part))) for part in parts)
        for each, refs in self._stops.items():
            found.append((each, Response(cancel=stream.Cancel(attempts=refs))))
        for kept in (self._welcomes, self._distrusts, self._acks, self._runs, self._stops):
            kept.clear()
        return found


def _assignment(node: TaskNode, offer_ttl: float) -> stream.Assignment:
    spec = node.spec
    assignment = stream.Assignment(
        attempt=stream.AttemptRef(task_id=node.id, epoch=node.epoch),
        operation_id=node.graph.id,
        key=spec.key,
        kind=spec.kind,
        pool=spec.pool,
        body=spec.body,
        number=node.failed + 1,
        timeout=spec.timeout,
        traceparent=node.graph.operation.traceparent,
        instance=spec.instance,
    )
    assignment.offer_ttl.FromMilliseconds(int(offer_ttl * 1000))
    return assignment


def _in_parts(assignments: Iterable[stream.Assignment]) -> Iterator[list[stream.Assignment]]:
    part: list[stream.Assignment] = []
    size = 0
    for each in assignments:
        part.append(each)
        size += len(each.body)
        if size >= _RUN_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
