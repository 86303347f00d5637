"""One round: real processes, users, an adversary; then quiet, and a look at all that was seen."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from savanna.api.v1 import cluster_service_pb2 as clusters
from savanna_all_in_one.mesh import Mesh
from savanna_client import Client
from savanna_engine.cloud.local.driver import purge
from tests.chaos.adversary import DATABASE, schedule
from tests.chaos.battle import Battle, Field
from tests.chaos.checker import violations
from tests.chaos.clouds import SeenHosts, SeenSimulator
from tests.chaos.history import History, read_attempts, read_errors, read_swept
from tests.chaos.line import Line
from tests.chaos.load import Crowd
from tests.chaos.recovery import Ledger

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Mapping, Sequence

    from savanna.operation.v1.operation_pb2 import JournalEntry, Operation
    from tests.chaos.adversary import Blow
    from tests.chaos.checker import Violation
    from tests.chaos.clouds import SeenCloud
    from tests.chaos.database import Database
    from tests.chaos.plans import ChaosPlan
    from tests.chaos.recovery import Sample

DATABASE_OWNER = "conductor-1"
CROWDS = {"simulated": (3, 4), "local": (2, 2)}
"""Users, and most workers of a cluster, by cloud: hosts on this machine are real."""

QUIET_SECONDS = 300.0
"""Within this time everything has come to its end once nobody is hurt any more."""


@dataclass
class Outcome:
    """What came of a round."""

    seed: int
    cloud: str
    violations: list[Violation] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    met: Counter[str] | None = None
    kills: int = 0
    operations: list[Operation] = field(default_factory=list)
    attempts: int = 0
    runs: int = 0
    swept: int = 0
    """Servers that engines removed as orphans."""

    seconds: float = 0.0


async def play(plan: ChaosPlan, seed: int, kills: int, database: Database | None = None) -> Outcome:
    """Play the round of a seed."""
    began = time.monotonic()
    blows = schedule(seed, plan.targets(), kills)
    lines = {
        name: Line(plan.line(name), plan.address(name))
        for name in plan.names()
        if plan.line(name) != plan.address(name)
    }
    if database is not None:
        lines[DATABASE] = database.line
    async with AsyncExitStack() as stack:
        for line in lines.values():
            await line.open()
            stack.push_async_callback(line.close)
        mesh = await stack.enter_async_context(_running(plan))
        outcome = await _Round(plan, mesh, seed, lines, database).play(blows)
    outcome.seconds = time.monotonic() - began
    return outcome


@asynccontextmanager
async def _running(plan: ChaosPlan) -> AsyncIterator[Mesh]:
    """Run all processes; lines are carried meanwhile."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    mesh = Mesh(plan)
    try:
        if DATABASE_OWNER in plan.names():
            await asyncio.to_thread(mesh.migrate)
        for name in plan.names():
            mesh.start(name)
        for name in plan.names():
            await asyncio.to_thread(mesh.wait, name)
        yield mesh
    finally:
        await asyncio.to_thread(mesh.close)
        # However it ends, no host is left on this machine.
        await asyncio.to_thread(purge, plan.folder / "hosts")


class _Round:
    """A round under way."""

    def __init__(
        self,
        plan: ChaosPlan,
        mesh: Mesh,
        seed: int,
        lines: Mapping[str, Line],
        database: Database | None,
    ) -> None:
        self._plan = plan
        self._mesh = mesh
        self._seed = seed
        self._lines = lines
        self._database = database
        self._ledger = Ledger(plan.direct_url or plan.database_url)
        self._cloud: SeenCloud = (
            SeenSimulator(plan.address("simulator"))
            if plan.cloud == "simulated"
            else SeenHosts(plan.folder / "hosts")
        )
        self._followed: list[JournalEntry] = []

    async def play(self, blows: Sequence[Blow]) -> Outcome:
        async with AsyncExitStack() as stack:
            stack.callback(self._ledger.close)
            clients = [await stack.enter_async_context(Client(door)) for door in self._plan.doors()]
            users, nodes = CROWDS[self._plan.cloud]
            crowd = Crowd(
                clients,
                self._seed,
                users=users,
                nodes=nodes,
                delays=self._plan.delays,
                servers=self._cloud.servers,
            )
            battle = Battle(
                Field(self._mesh, self._plan, self._ledger, clients, self._lines, self._database)
            )
            offered = await crowd.prepare()
            watching = [
                asyncio.create_task(each)
                for each in (self._follow(clients[0]), self._cloud.watch())
            ]
            living = asyncio.create_task(crowd.live(offered))
            battle.tell("the users come")
            await battle.fight(blows)
            battle.tell("nobody is hurt any more")
            crowd.stopping.set()
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    await living
            except TimeoutError:
                crowd.complaints.append("REQUEST somebody waits for an answer to this day")
            battle.tell("the users have gone")
            history = await self._look_back(clients[-1], crowd, battle)
            for each in watching:
                each.cancel()
        return self._judged(history, battle)

    def _judged(self, history: History, battle: Battle) -> Outcome:
        return Outcome(
            seed=self._seed,
            cloud=self._plan.cloud,
            violations=violations(history),
            story=battle.story,
            samples=battle.samples,
            met=battle.met,
            kills=battle.kills,
            operations=list(history.operations.values()),
            attempts=len(history.attempts),
            runs=len(history.runs),
            swept=len(history.swept),
        )

    async def _follow(self, client: Client) -> None:
        async for entry in client.watch(patience=QUIET_SECONDS):
            self._followed.append(entry)

    async def _look_back(self, client: Client, crowd: Crowd, battle: Battle) -> History:
        told_by_engines = await asyncio.to_thread(Path(self._plan.attempt_log).read_text)
        history = History(
            attempts=read_attempts(told_by_engines.splitlines()),
            deaths=battle.deaths,
            freezes=battle.freezes,
            grace=self._plan.lease / 3 - 0.3,
            followed=list(self._followed),
            promises=list(crowd.promises.values()),
            complaints=[*crowd.complaints, *battle.complaints],
        )
        listed = await client.whole(
            client.operations.ListOperations, clusters.ListOperationsRequest()
        )
        history.operations = {each.id: each for each in listed.operations}
        last = await self._ledger.last_entry()
        async for entry in client.watch():
            history.journal.append(entry)
            if entry.sequence >= last:
                break
        history.runs = await self._cloud.runs()
        history.hosts_told_all = self._cloud.tells_all
        history.left = await self._cloud.left()
        logs = await asyncio.to_thread(self._logs)
        history.errors = [f"{name}: {each}" for name, told in logs for each in read_errors(told)]
        history.swept = [each for _, told in logs for each in read_swept(told)]
        return history

    def _logs(self) -> list[tuple[str, list[str]]]:
        """Read what processes logged, by the name of the file."""
        return [
            (log.name, log.read_text(errors="replace").splitlines())
            for log in sorted(self._plan.folder.glob("*.log"))
            if str(log) != self._plan.attempt_log
        ]
