"""All conversations of an engine: with every living scheduler, one life of a session after the
other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_engine import metrics
from savanna_engine.conversation import Conversation, SessionOver
from savanna_engine.session import Session
from savanna_kit import errors, logs
from savanna_kit.channels import connect
from savanna_kit.retry import Backoff

if TYPE_CHECKING:
    from random import Random

    from savanna.conductor.v1 import execution_service_pb2_grpc
    from savanna_engine.attempt_log import AttemptLog
    from savanna_engine.runner import Runner
    from savanna_engine.settings import EngineSettings
    from savanna_kit.channels import Peer

log = logs.get_logger(__name__)
_BACKOFF = Backoff(initial=0.1, cap=1.0)
_LIST_SECONDS = 5.0
_STOP_SECONDS = 2.0


class Schedulers:
    """Finds schedulers and takes work from each of them."""

    def __init__(
        self,
        conductor: execution_service_pb2_grpc.ExecutionServiceAsyncStub,
        runner: Runner,
        given: EngineSettings,
        chance: Random,
        *,
        attempts: AttemptLog | None = None,
        peer: Peer | None = None,
    ) -> None:
        self._conductor = conductor
        self._runner = runner
        self._attempts = attempts
        self._peer = peer
        self._given = given
        self._chance = chance
        self.slots = {
            "ssh": given.ssh_slots,
            "cloud": given.cloud_slots,
            "plan": given.plan_slots,
        }
        self.session: Session | None = None
        """The one that lives; None before the first."""

        self._conversations: dict[str, Conversation] = {}
        self._told = dict(self.slots)
        self._ending = False

    async def run(self) -> None:
        """Live one session after the other until the engine ends."""
        while not self._ending:
            metrics.SESSIONS.add()
            session = self.session = Session(self._runner, attempts=self._attempts)
            log.info("session_started", session_id=session.id, engine_id=self._given.engine_id)
            await self._live(session)
            session.end()
            if not self._ending:
                log.warning("session_over", session_id=session.id)

    async def drain(self) -> None:
        """Take nothing more, let what runs end, hand back what does not end in time."""
        self._ending = True
        session = self.session
        if session is None:
            return
        session.leave()
        self._say(stream.ConnectRequest(goodbye=stream.Goodbye()))
        try:
            async with asyncio.timeout(max(0.0, self._given.drain_seconds - _STOP_SECONDS)):
                await session.idle()
        except TimeoutError:
            session.cancel(session.running())
            await session.idle()

    async def _live(self, session: Session) -> None:
        """Keep conversations until the session is fenced or refused."""
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(session.watch())
            look = group.create_task(self._look_for_schedulers(session, group))
            await watch
            look.cancel()
            session.end()

    async def _look_for_schedulers(self, session: Session, group: asyncio.TaskGroup) -> None:
        talks: dict[str, asyncio.Task[None]] = {}
        try:
            while not session.is_over:
                living = {each.scheduler_id: each.address for each in await self._list()}
                for scheduler_id, address in living.items():
                    if scheduler_id not in talks or talks[scheduler_id].done():
                        talk = self._talk(session, scheduler_id, address)
                        talks[scheduler_id] = group.create_task(talk)
                self._share(len(living))
                await asyncio.sleep(self._given.find_schedulers_seconds)
        finally:
            for talk_task in talks.values():
                talk_task.cancel()

    async def _list(self) -> list[execution.Scheduler]:
        try:
            answer = await self._conductor.ListSchedulers(
                execution.ListSchedulersRequest(), timeout=_LIST_SECONDS
            )
        except errors.SavannaError as error:
            log.warning("schedulers_unknown", error=str(error))
            return []
        return list(answer.schedulers)

    async def _talk(self, session: Session, scheduler_id: str, address: str) -> None:
        """Hold one conversation; when it ends, whoever looks for schedulers begins the next."""
        try:
            async with connect(address, peer=self._peer) as channel:
                conversation = Conversation(session, self._given.engine_id, channel)
                self._conversations[scheduler_id] = conversation
                slots = self._slots_for(len(self._conversations))
                await conversation.hold(slots, self.slots)
        except SessionOver:
            session.end()
        except (errors.SavannaError, TimeoutError) as error:
            log.warning("scheduler_lost", scheduler_id=scheduler_id, error=str(error))
            await asyncio.sleep(_BACKOFF.delay(1, self._chance.random()))
        finally:
            self._conversations.pop(scheduler_id, None)

    def _share(self, schedulers: int) -> None:
        """Split the slots: each scheduler may hand out its part."""
        slots = self._slots_for(schedulers)
        if slots != self._told:
            self._told = slots
            self._say(stream.ConnectRequest(credit=stream.Credit(slots=slots)))

    def _slots_for(self, schedulers: int) -> dict[str, int]:
        return {pool: max(1, size // max(1, schedulers)) for pool, size in self.slots.items()}

    def _say(self, message: stream.ConnectRequest) -> None:
        for each in self._conversations.values():
            each.say(message)
