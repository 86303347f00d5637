"""The engine's composition root."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2_grpc, facts_service_pb2_grpc
from savanna.engine.v1 import cloud_service_pb2_grpc
from savanna_engine import metrics
from savanna_engine.access import Access
from savanna_engine.attempt_log import AttemptLog
from savanna_engine.clouds import open_cloud
from savanna_engine.planner.answer import Limits
from savanna_engine.plugins import Plugins
from savanna_engine.readings import readings
from savanna_engine.runner import Runner
from savanna_engine.schedulers import Schedulers
from savanna_engine.service import CloudService
from savanna_engine.settings import EngineSettings
from savanna_engine.steps.plan import PlanStep
from savanna_engine.steps.scripts import ScriptSteps
from savanna_engine.steps.servers import ServerSteps
from savanna_engine.sweeper import Rounds, Sweeper
from savanna_engine.timed import timed
from savanna_kit import serving
from savanna_kit.channels import connect, peer
from savanna_kit.clock import SystemClock
from savanna_kit.executors import BoundedExecutor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from savanna_kit.identity import Identity


class Hands:
    """What an engine works with: its cloud, the channel to its hosts, and threads for both."""

    def __init__(self, given: EngineSettings, identity: Identity | None) -> None:
        self.cloud, self.remote = open_cloud(given, peer(identity, "simulator"))
        self.cloud = timed(self.cloud, metrics.CLOUD_CALL_SECONDS)
        self.remote = timed(self.remote, metrics.SSH_CALL_SECONDS)
        self.cloud_threads = BoundedExecutor("cloud", given.cloud_slots)
        self.ssh_threads = BoundedExecutor("ssh", given.ssh_slots)
        # What is to be stopped may hold all threads of its kind.
        self.stop_threads = BoundedExecutor("stop", given.ssh_slots)
        # Looks at the cloud for users must not wait behind what is being made.
        self.look_threads = BoundedExecutor("look", 2)
        self.attempts: AttemptLog | None = None
        if given.attempt_log is not None:
            self.attempts = AttemptLog(given.attempt_log, given.engine_id)

    def close(self) -> None:
        """Let go of everything; servers and what runs on them stay."""
        for each in (self.cloud_threads, self.ssh_threads, self.stop_threads, self.look_threads):
            each.close()
        self.remote.close()
        self.cloud.close()
        if self.attempts is not None:
            self.attempts.close()


def build(given: EngineSettings) -> serving.Parts:
    """Build the service.

    Raises ``SettingsError`` for a cloud that does not exist.
    """
    identity = given.identity()
    hands = Hands(given, identity)
    conductor = connect(given.conductor, peer=peer(identity, "conductor"))
    plugins = [connect(each, peer=peer(identity, "plugin")) for each in given.plugins]
    runner = make_runner(given, hands, conductor, plugins)
    schedulers = Schedulers(
        execution_service_pb2_grpc.ExecutionServiceStub(conductor),
        runner,
        given,
        Random(),
        attempts=hands.attempts,
        peer=peer(identity, "scheduler"),
    )
    sweeper = make_sweeper(given, hands, conductor)
    return serving.Parts(
        name="engine",
        listen=given.listen,
        identity=identity,
        drain_seconds=given.drain_seconds,
        resources=[_closing(hands, [conductor, *plugins]), readings(runner, schedulers)],
        loops=[schedulers.run, Rounds(sweeper, given, Random()).run],
        drains=[schedulers.drain],
        served=[
            serving.Served(
                "savanna.engine.v1.CloudService",
                cloud_service_pb2_grpc.add_CloudServiceServicer_to_server,
                CloudService(hands.cloud, hands.look_threads, sweeper),
                callers=frozenset({"api"}),
            )
        ],
    )


def make_runner(
    given: EngineSettings,
    hands: Hands,
    conductor: grpc.aio.Channel,
    plugins: list[grpc.aio.Channel],
) -> Runner:
    """Say how each kind of step is done."""
    facts: facts_service_pb2_grpc.FactsServiceAsyncStub = facts_service_pb2_grpc.FactsServiceStub(
        conductor
    )
    access = Access(facts, hands.remote)
    servers = ServerSteps(
        hands.cloud,
        hands.remote,
        access,
        cloud_threads=hands.cloud_threads,
        ssh_threads=hands.ssh_threads,
    )
    scripts = ScriptSteps(
        hands.remote, access, facts, threads=hands.ssh_threads, stop_threads=hands.stop_threads
    )
    limits = Limits(
        boot_patience=given.boot_patience_seconds,
        delete_patience=given.delete_patience_seconds,
        cloud=given.cloud,
        cloud_calls=given.cloud_calls,
        host_steps=given.host_steps,
    )
    kinds = {
        "plan": PlanStep(facts, Plugins(plugins), limits).plan,
        "prepare_cluster": servers.prepare_cluster,
        "create_server": servers.create_server,
        "await_server": servers.await_server,
        "delete_server": servers.delete_server,
        "remove_cluster": servers.remove_cluster,
        "run_script": scripts.run_script,
        "start_job": scripts.start_job,
        "await_job": scripts.await_job,
        "stop_job": scripts.stop_job,
    }
    return Runner(kinds, scripts.interrupt)


def make_sweeper(given: EngineSettings, hands: Hands, conductor: grpc.aio.Channel) -> Sweeper:
    """Say who compares the cloud with the conductor, and how."""
    return Sweeper(
        hands.cloud,
        facts_service_pb2_grpc.FactsServiceStub(conductor),
        grace=timedelta(seconds=given.orphan_grace_seconds),
        clock=SystemClock(),
        look_threads=hands.look_threads,
        cloud_threads=hands.cloud_threads,
    )


@asynccontextmanager
async def _closing(hands: Hands, channels: list[grpc.aio.Channel]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.callback(hands.close)
        for each in channels:
            await stack.enter_async_context(each)
        yield


def main() -> None:
    """Run ``savanna-engine``."""
    serving.main(EngineSettings, build)
