"""Users at work on a mesh: many small requests by REST, and launches, while it is being changed."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from savanna.operation.v1.operation_pb2 import Attempt, JournalEntry, Operation
from tests.e2e.user import User
from tests.mesh.plans import TOKEN, known, trusting
from tests.mesh.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.mesh.plans import WholePlan

RATE = 50
"""Requests a second that must have been answered, over the whole time."""

_SENT = 60
"""Requests a second that are sent, whatever becomes of those before."""

_WRITES_EVERY = 5
_LAUNCHERS = 2
_WRITERS = 4
_WRITER_PAUSE = 0.03
"""Seconds: most of the time at least one of the writers waits for its answer."""
_PATIENCE = 30.0
_NEVER = float("inf")


@dataclass(frozen=True)
class Failure:
    """A first try of a request that failed."""

    request: str
    why: str
    begun: float
    ended: float

    def is_within(self, begin: float, seconds: float) -> bool:
        """Say whether it was under way then or begun soon after, and ended soon after."""
        return self.begun <= begin + seconds and begin <= self.ended <= begin + seconds


@dataclass
class Story:
    """What became of everything that was asked for."""

    seconds: list[float] = field(default_factory=list)
    """Of each request that was answered as it should, perhaps after another try."""

    failures: list[Failure] = field(default_factory=list)
    """First tries alone: the second try of what failed is not another request."""

    lost: list[str] = field(default_factory=list)
    """What was refused for good, or never answered as it should."""

    launches: int = 0
    failed_launches: list[str] = field(default_factory=list)
    journal: list[JournalEntry] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    written: set[str] = field(default_factory=set)
    """Names of templates whose creation was acknowledged."""

    written_again: set[str] = field(default_factory=set)
    """Those of them whose first try had failed."""

    @property
    def rate(self) -> float:
        """Give the requests that were answered in a second."""
        return len(self.seconds) / (self.ended - self.begun)

    def waits(self, begin: float, end: float) -> list[tuple[float, str]]:
        """Give for each hand-out in a span of wall clock time, or whose wait reaches into it, how
        long the step had lacked nothing, and which it was. One that was lost with its engine lacked
        nothing since its last hand-out, if that was told: looks that changed nothing are not. Plans
        are left out: they wait for one another."""
        ready: dict[str, float] = {}
        ended: dict[tuple[str, str], float] = {}
        assigned: dict[tuple[str, int], float] = {}
        needs: dict[str, list[str]] = {}
        why: dict[str, str] = {}
        found = []
        for each in self.journal:
            time, step = each.time.ToNanoseconds() / 1e9, each.task_id
            if each.kind == JournalEntry.KIND_TASK_CREATED:
                ready[step], needs[step] = time, list(each.needs)
            elif each.kind == JournalEntry.KIND_TASK_ENDED:
                ended[each.operation_id, each.task_key] = time
            elif each.kind == JournalEntry.KIND_TASK_RETRIED:
                # Who failed, or said "not yet", waits for its own time.
                again = {
                    Attempt.OUTCOME_CANCELLED: time,
                    Attempt.OUTCOME_LOST: assigned.get((step, each.epoch), time),
                }
                ready[step] = again.get(each.outcome, _NEVER)
                needs[step] = []
                why[step] = f", {Attempt.Outcome.Name(each.outcome)} before"
            elif each.kind == JournalEntry.KIND_TASK_ASSIGNED:
                assigned[step, each.epoch] = time
                since = max(
                    ready[step], *(ended.get((each.operation_id, n), 0) for n in needs[step]), 0
                )
                if each.task_kind != "plan" and time > begin and since < end:
                    found.append((time - since, f"{each.task_key}{why.get(step, '')}"))
        return found

    def __str__(self) -> str:
        taken = sorted(self.seconds)
        return (
            f"{len(taken)} requests ({self.rate:.0f}/s, {len(self.written)} of them POST), "
            f"{len(self.failures)} failed at their first try, {len(self.written_again)} of them "
            f"POST, {len(self.lost)} for good; p50 {1000 * taken[len(taken) // 2]:.0f} ms, "
            f"p99 {1000 * taken[int(0.99 * len(taken))]:.0f} ms; "
            f"{self.launches} launches and deletes, {len(self.failed_launches)} failed"
        )


class Users:
    """Sends requests; ``again`` says whether a failed one is sent once more, with its key, as
    clients do that know of keys. First tries may go another way."""

    def __init__(self, wire: Wire, story: Story, *, again: bool, first: Wire | None = None) -> None:
        self._wire = wire
        self._first = first or wire
        self._story = story
        self._again = again
        self._number = 0

    async def request(self) -> None:
        """Send one request, of which every fifth is a write."""
        self._number += 1
        begun = time.monotonic()
        if self._number % _WRITES_EVERY:
            done = await self._send("GET", "/v2/node-group-templates?limit=5")
        else:
            done = await self.write()
        if done:
            self._story.seconds.append(time.monotonic() - begun)

    async def write(self) -> int:
        """Create something; gives the tries that it took, 0 when it failed for good."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        body = {
            "name": name,
            "plugin_name": "fake",
            "plugin_version": "0.1",
            "flavor_id": "2",
            "node_processes": ["datanode"],
        }
        key = {"Idempotency-Key": uuid.uuid4().hex}
        tries = await self._send("POST", "/v2/node-group-templates", body, key)
        if tries:
            self._story.written.add(name)
        if tries > 1:
            self._story.written_again.add(name)
        return tries

    async def _send(self, *request: Any) -> int:
        """Send until it is answered as it should; gives the tries, 0 when it never was."""
        tries, begun = 0, time.monotonic()
        while True:
            tries, tried = tries + 1, time.monotonic()
            try:
                wire = self._first if tries == 1 else self._wire
                answer = await wire.send(*request)
            except (OSError, EOFError) as error:
                status, why = 0, repr(error)
            else:
                status, why = answer.status, f"{answer.status} {answer.body[:300]!r}"
            if 200 <= status < 300:
                return tries
            told = f"{request[0]} {request[1]}"
            now = time.monotonic()
            if tries == 1:
                self._story.failures.append(Failure(told, why, tried, now))
            # What the mesh refuses with 4xx would be refused again.
            if not self._again or 400 <= status < 500 or now > begun + _PATIENCE:
                self._story.lost.append(f"{told}, try {tries}: {why}")
                return 0
            await asyncio.sleep(0.1)


@asynccontextmanager
async def at_work(
    plan: WholePlan, *, again: bool = False, direct: str = ""
) -> AsyncIterator[Story]:
    """Let users work until the block ends, and what they began come to its end.

    Some write to the gateway named ``direct`` without Envoy, which would send again by itself.
    """
    story, ended = Story(), asyncio.Event()
    wire = Wire(plan.rest, trusting(plan), {"X-Auth-Token": TOKEN})
    users = Users(wire, story, again=again)
    wires = [wire]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_steadily(users, story, ended))
            if direct:
                wires.append(Wire(plan.rest_of(direct), known(plan), {"X-Auth-Token": TOKEN}))
                for _ in range(_WRITERS):
                    group.create_task(
                        _until_one_fails(Users(wire, story, again=True, first=wires[1]))
                    )
            for _ in range(_LAUNCHERS):
                group.create_task(_launch_and_delete(plan, story, ended))
            try:
                yield story
            finally:
                ended.set()
    finally:
        for each in wires:
            await each.close()


async def _until_one_fails(users: Users) -> None:
    while await users.write() == 1:
        await asyncio.sleep(_WRITER_PAUSE)


async def _steadily(users: Users, story: Story, ended: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        story.begun = due = time.monotonic()
        while not ended.is_set():
            group.create_task(users.request())
            due += 1 / _SENT
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    story.ended = time.monotonic()


async def _launch_and_delete(plan: WholePlan, story: Story, ended: asyncio.Event) -> None:
    async with plan.client() as client:
        user = User(client)
        while not ended.is_set():
            name = f"c-{uuid.uuid4().hex[:8]}"
            begun = await user.launch(name, 3)
            for end in (await client.wait(begun.operation.id), await user.delete(name)):
                if end.state != Operation.STATE_SUCCEEDED:
                    story.failed_launches.append(f"{name}: {end.failure}")
                story.journal += [each async for each in client.watch(operation_id=end.id)]
            story.launches += 1
