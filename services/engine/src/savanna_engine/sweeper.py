"""The sweeper: compares the cloud with the conductor, and removes what belongs to nobody.

Any number of engines may sweep at once: looking changes nothing, and removing can be repeated.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.cluster.v1.orphan_pb2 import (
    CLEAN_OUTCOME_ABSENT,
    CLEAN_OUTCOME_REMOVED,
    CLEAN_OUTCOME_REMOVING,
    CleanOutcome,
)
from savanna.conductor.v1.facts_service_pb2 import GetAccessRequest, ListInstanceIdsRequest
from savanna_engine import metrics
from savanna_engine.cloud.errors import CloudError
from savanna_engine.orphans import Found, Known, is_copy, objection, orphan
from savanna_engine.steps.threads import run_whole
from savanna_kit import errors, logs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from random import Random
    from typing import TypeVar

    from savanna.cluster.v1.orphan_pb2 import Orphan
    from savanna.conductor.v1.facts_service_pb2_grpc import FactsServiceAsyncStub
    from savanna_engine.cloud.base import Cloud, Server
    from savanna_engine.settings import EngineSettings
    from savanna_kit.clock import Clock
    from savanna_kit.executors import BoundedExecutor

    T = TypeVar("T")

log = logs.get_logger(__name__)
_ASK_SECONDS = 20.0
_MOST_NAMED = 20
_WORDS = {
    CLEAN_OUTCOME_REMOVED: "removed",
    CLEAN_OUTCOME_REMOVING: "removing",
    CLEAN_OUTCOME_ABSENT: "absent",
}


class Sweeper:
    """Looks for orphans and removes them.

    ``grace`` is how old a server must be to be called one.
    """

    def __init__(
        self,
        cloud: Cloud,
        facts: FactsServiceAsyncStub,
        *,
        grace: timedelta,
        clock: Clock,
        look_threads: BoundedExecutor,
        cloud_threads: BoundedExecutor,
    ) -> None:
        self._cloud = cloud
        self._facts = facts
        self._grace = grace
        self._clock = clock
        self._look_threads = look_threads
        self._cloud_threads = cloud_threads
        self.last: Found | None = None
        """What the last look has found; None before the first."""

    async def look(self) -> Found:
        """Look for orphans; they come oldest first.

        Raises ``Unavailable`` when the cloud or the conductor does not answer.
        """
        self.last = await self._look()
        return self.last

    async def _look(self) -> Found:
        # First the cloud, then the conductor. A server's instance is stored before the cloud is
        # asked for it, so the conductor knows all that the cloud has listed by then, also what is
        # just being made. The other way round, whatever is begun in between looks like an orphan.
        servers = await self._ask(self._look_threads, self._cloud.find_servers)
        known = await self._known(servers)
        foreign = sum(each.deployment_id != known.deployment_id for each in servers)
        suspects = [each for each in servers if not self._objection(each, known)]
        if not suspects:
            return Found(foreign=foreign)
        # What was removed in between was listed too, and is known no more: look once again.
        again = await self._ask(self._look_threads, self._cloud.find_servers)
        there = {each.provider_id for each in again}
        found = [orphan(each, known) for each in suspects if each.provider_id in there]
        found.sort(key=lambda each: each.create_time.ToNanoseconds())
        return Found(tuple(found), foreign)

    async def clean(self, server_id: str) -> CleanOutcome.ValueType:
        """Remove an orphan, and with the last one of a cluster what its servers shared.

        Raises ``FailedPrecondition`` when it is none (any more), and ``Unavailable``.
        """
        try:
            outcome = await self._clean(server_id)
        except errors.SavannaError as error:
            is_refused = isinstance(error, errors.FailedPrecondition)
            metrics.ORPHANS_CLEANED.add(1, "refused" if is_refused else "failed")
            raise
        metrics.ORPHANS_CLEANED.add(1, _WORDS[outcome])
        return outcome

    async def _clean(self, server_id: str) -> CleanOutcome.ValueType:
        server = await self._ask(self._look_threads, self._cloud.get_server, server_id)
        if server is None:
            return CLEAN_OUTCOME_ABSENT
        find = partial(self._cloud.find_servers, instance_id=server.instance_id)
        # Whoever asks has seen a list that may be hours old. From here on it stays true: the ids of
        # instances and clusters are never used again.
        known = await self._known(await self._ask(self._look_threads, find))
        why_not = self._objection(server, known)
        if why_not:
            name = f"server {server_id} ({server.name})" if server.name else f"server {server_id}"
            raise errors.FailedPrecondition(
                f"{name} is no orphan and was left alone: {why_not}", reason="NOT_AN_ORPHAN"
            )
        if is_copy(server, known):
            gone = await self._ask(self._cloud_threads, self._cloud.delete_copy, server_id)
        else:
            gone = await self._ask(
                self._cloud_threads, self._cloud.delete_server, server.instance_id
            )
        log.info(
            "orphan_cleaned",
            server_id=server_id,
            server=server.name,
            instance_id=server.instance_id,
            cluster_id=server.cluster_id,
            project_id=server.project_id,
            gone=gone,
        )
        if not gone:
            return CLEAN_OUTCOME_REMOVING
        await self._clean_cluster(server.cluster_id, known)
        return CLEAN_OUTCOME_REMOVED

    async def _clean_cluster(self, cluster_id: str, known: Known) -> None:
        """Remove what the servers of a cluster shared, when neither they nor the cluster are."""
        if not cluster_id or cluster_id in known.cluster_ids:
            return
        find = partial(self._cloud.find_servers, cluster_id=cluster_id)
        try:
            if not await self._ask(self._look_threads, find):
                await self._ask(self._cloud_threads, self._cloud.remove_cluster, cluster_id)
        except errors.Unavailable as error:
            raise errors.Unavailable(
                f"the server is removed, but not what the servers of cluster {cluster_id} shared: "
                f"{error}",
                reason=error.reason,
            ) from error

    def _objection(self, server: Server, known: Known) -> str:
        return objection(server, known, now=self._clock.now(), grace=self._grace)

    async def _known(self, servers: Sequence[Server]) -> Known:
        carried = Counter(each.instance_id for each in servers)
        if not carried:
            # Naming none would ask for all.
            return Known("", frozenset(), frozenset())
        answer = await self._facts.ListInstanceIds(
            ListInstanceIdsRequest(
                instance_ids=carried, cluster_ids={each.cluster_id for each in servers}
            ),
            timeout=_ASK_SECONDS,
        )
        return Known(
            answer.deployment_id,
            frozenset(answer.instance_ids),
            frozenset(answer.cluster_ids),
            await self._in_use([each for each in servers if carried[each.instance_id] > 1]),
        )

    async def _in_use(self, servers: Sequence[Server]) -> dict[str, str]:
        """Say which of several servers of an instance is used, where that is settled: once it has
        answered, no step takes another one."""
        ids = {each.provider_id for each in servers}
        found = {}
        for cluster_id in {each.cluster_id for each in servers}:
            request = GetAccessRequest(cluster_id=cluster_id)
            try:
                answer = await self._facts.GetAccess(request, timeout=_ASK_SECONDS)
            except errors.NotFound:
                continue
            for each in answer.instances:
                is_settled = Instance.STATE_REACHABLE <= each.state < Instance.STATE_FAILED
                if is_settled and each.provider_id in ids:
                    found[each.id] = each.provider_id
        return found

    async def _ask(self, threads: BoundedExecutor, call: Callable[..., T], *arguments: object) -> T:
        try:
            return await run_whole(threads, call, *arguments)
        except CloudError as error:
            raise errors.Unavailable(
                f"the cloud '{self._cloud.name}' does not do its part: {error}; try again",
                reason=error.reason,
            ) from error


class Rounds:
    """Sweeps from time to time, for as long as the engine lives."""

    def __init__(self, sweeper: Sweeper, given: EngineSettings, chance: Random) -> None:
        self._sweeper = sweeper
        self._interval = given.sweep_interval_seconds
        self._clean_most = given.sweep_clean
        self._chance = chance

    async def run(self) -> None:
        """Make one round after the other; none at all when the interval is 0."""
        async with metrics.ORPHANS.read_by(self._measured):
            while self._interval:
                # Engines that were started together do not sweep together.
                await asyncio.sleep(self._interval * (0.5 + self._chance.random()))
                try:
                    await self.sweep()
                except errors.SavannaError as error:
                    log.warning("sweep_failed", error=str(error))
                    metrics.SWEEPS.add(1, "failed")
                else:
                    metrics.SWEEPS.add(1, "ended")

    async def sweep(self) -> None:
        """Make one round: tell what was found, and clean it if that is wished and not too much.

        One that can not be removed is told and passed by. Raises ``Unavailable`` when nobody says
        what there is.
        """
        found = await self._sweeper.look()
        number = len(found.orphans)
        if not number:
            log.info("sweep_ended", orphans=0, foreign=found.foreign)
            return
        is_cleaned = number <= self._clean_most
        failed = 0
        if is_cleaned:
            for each in found.orphans:
                failed += not await self._clean(each)
        log.warning(
            "sweep_ended",
            orphans=number,
            foreign=found.foreign,
            cleaned=number - failed if is_cleaned else 0,
            failed=failed,
            server_ids=[each.id for each in found.orphans[:_MOST_NAMED]],
            next="" if is_cleaned and not failed else "savanna orphans list",
        )

    def _measured(self) -> Mapping[tuple[str, ...], float]:
        last = self._sweeper.last
        return {} if last is None else {(): len(last.orphans)}

    async def _clean(self, each: Orphan) -> bool:
        try:
            await self._sweeper.clean(each.id)
        except errors.SavannaError as error:
            log.warning("orphan_not_cleaned", server_id=each.id, error=str(error))
            return False
        return True
