"""What a session says over a real stream."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Facts
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna.scheduler.v1 import scheduler_service_pb2_grpc
from savanna_engine.conversation import Conversation
from savanna_engine.session import Session
from savanna_engine.steps.base import Done
from savanna_kit import serving
from savanna_kit.channels import MAX_MESSAGE, connect
from tests.unit.engine.attempts import Hands, assignment, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Listener(scheduler_service_pb2_grpc.SchedulerServiceServicer):
    """A scheduler that greets, and hears results."""

    def __init__(self) -> None:
        self.results: dict[str, stream.Result] = {}
        self.heard = asyncio.Condition()

    async def Connect(
        self, request_iterator: AsyncIterator[stream.ConnectRequest], context: object
    ) -> AsyncIterator[stream.ConnectResponse]:
        welcome = stream.Welcome(scheduler_id="s1")
        welcome.beat_interval.FromSeconds(60)
        welcome.self_fence.FromSeconds(60)
        yield stream.ConnectResponse(welcome=welcome)
        async for request in request_iterator:
            async with self.heard:
                for each in request.done.results:
                    self.results[each.attempt.task_id] = each
                self.heard.notify_all()


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[tuple[Listener, str]]:
    listener = Listener()
    parts = serving.Parts(
        name="scheduler",
        listen=f"unix:{folder}/scheduler",
        drain_seconds=0.1,
        served=[
            serving.Served(
                "savanna.scheduler.v1.SchedulerService",
                scheduler_service_pb2_grpc.add_SchedulerServiceServicer_to_server,
                listener,
            )
        ],
    )
    async with serving.running([parts]):
        yield listener, parts.listen


async def test_results_that_fit_into_no_message_together_are_told_in_several(
    tmp_path: Path,
) -> None:
    hands = Hands()
    hands.outcome = Done(Facts(status_description="x" * (MAX_MESSAGE // 4)))
    hands.may_end.set()
    session = Session(hands.runner)
    names = {f"t{number}" for number in range(4)}
    session.begin(assignment(name) for name in names)
    await settle()

    async with listening(tmp_path) as (listener, address), connect(address) as channel:
        talk = asyncio.create_task(Conversation(session, "e1", channel).hold({}, {}))
        async with asyncio.timeout(20), listener.heard:
            await listener.heard.wait_for(lambda: listener.results.keys() == names)
        talk.cancel()
    session.end()
