from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Facts
from savanna.engine.v1.step_pb2 import StepBody
from savanna.plugin.v1 import plugin_service_pb2 as pb
from savanna.plugin.v1 import plugin_service_pb2_grpc
from savanna_engine.planner.answer import Limits
from savanna_engine.plugins import Plugins
from savanna_engine.runner import Runner
from savanna_engine.steps.plan import PlanStep
from savanna_kit import errors, serving
from savanna_kit.channels import MAX_MESSAGE, connect
from savanna_plugin_spark.example import EXAMPLE
from savanna_plugin_spark.plugin import SparkPlugin
from savanna_pluginkit import servicer
from tests.unit.engine.attempts import assignment
from tests.unit.engine.beginnings import launch
from tests.unit.engine.walk import OPERATION_ID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from savanna.scheduler.v1 import scheduler_service_pb2 as stream
    from tests.unit.engine.conftest import Engine


class MoodyPlugin(plugin_service_pb2_grpc.PluginServiceServicer):
    """The Spark plugin, until a test gives it an error."""

    def __init__(self) -> None:
        self.plugin = SparkPlugin()
        self.error: Exception | None = None
        self.error_of_ports: Exception | None = None
        self.ballast = 0
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def Describe(self, request: pb.DescribeRequest, context: object) -> pb.DescribeResponse:
        return pb.DescribeResponse(plugin=self.plugin.about.describe())

    async def Validate(self, request: pb.ValidateRequest, context: object) -> pb.ValidateResponse:
        return servicer.validate(self.plugin, request)

    async def GetRequirements(
        self, request: pb.GetRequirementsRequest, context: object
    ) -> pb.GetRequirementsResponse:
        if self.error_of_ports is not None:
            raise self.error_of_ports
        return servicer.requirements(self.plugin, request)

    async def Plan(self, request: pb.PlanRequest, context: object) -> pb.PlanResponse:
        self.asked.set()
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        response = servicer.plan(self.plugin, request)
        response.steps[0].run_script.text += "#" * self.ballast
        return response


class Planning:
    def __init__(self, engine: Engine, plugin: MoodyPlugin, step: PlanStep) -> None:
        self.conductor = engine.conductor
        self.plugin = plugin
        self._runner = Runner({"plan": step.plan}, lambda _: _nothing())

    async def plan(self, epoch: int = 1) -> stream.Result:
        body = StepBody(cluster_id="c1")
        body.plan.operation_id = OPERATION_ID
        return await self._runner.attempt(assignment(epoch=epoch, kind="plan", body=body))


async def _nothing() -> None:
    return


@asynccontextmanager
async def served(plugin: MoodyPlugin, folder: Path) -> AsyncIterator[str]:
    parts = serving.Parts(
        name="plugin",
        listen=f"unix:{folder}/plugin",
        drain_seconds=0.1,
        served=[
            serving.Served(
                "savanna.plugin.v1.PluginService",
                plugin_service_pb2_grpc.add_PluginServiceServicer_to_server,
                plugin,
            )
        ],
    )
    async with serving.running([parts]):
        yield parts.listen


@pytest.fixture
async def planning(engine: Engine, tmp_path: Path) -> AsyncIterator[Planning]:
    engine.conductor.plan_facts.CopyFrom(launch(SparkPlugin(), EXAMPLE.cluster).facts())
    plugin = MoodyPlugin()
    async with served(plugin, tmp_path) as address, connect(address) as channel:
        yield Planning(engine, plugin, PlanStep(engine.facts, Plugins([channel]), Limits()))


async def test_a_plan_gives_the_tasks_of_a_launch_and_opens_the_ports_of_the_plugin(
    planning: Planning,
) -> None:
    result = await planning.plan()

    specs = {each.key: each for each in result.succeeded.spawn}
    assert "start/worker/c1-worker-0" in specs
    ports = StepBody.FromString(specs["prepare-cluster"].body).prepare_cluster.ports
    assert 7077 in ports
    assert len(Facts.FromString(result.succeeded.facts).instances) == 4


@pytest.mark.parametrize("of_ports", [False, True])
async def test_a_plugin_that_refuses_ends_the_operation_with_its_words(
    planning: Planning, *, of_ports: bool
) -> None:
    error = errors.InvalidArgument("Spark needs a master")
    if of_ports:
        planning.plugin.error_of_ports = error
    else:
        planning.plugin.error = error

    end = (await planning.plan()).succeeded.conclusion

    assert (end.failure.reason, end.failure.message) == ("PLUGIN_REFUSED", "Spark needs a master")


async def test_a_plugin_that_breaks_is_asked_again_and_users_are_told_once(
    planning: Planning,
) -> None:
    planning.plugin.error = ZeroDivisionError("a fault of its own")

    first = await planning.plan()
    second = await planning.plan(epoch=2)

    told = Facts.FromString(first.not_yet.facts).status_description
    assert told.startswith("waits for the plugin 'spark'")
    assert (second.WhichOneof("outcome"), second.not_yet.facts) == ("not_yet", b"")


async def test_a_plugin_that_breaks_again_and_again_is_given_up(planning: Planning) -> None:
    planning.plugin.error = ZeroDivisionError("a fault of its own")

    for epoch in range(1, 20):
        result = await planning.plan(epoch)
        if result.WhichOneof("outcome") != "not_yet":
            break

    assert epoch == 10
    failure = result.succeeded.conclusion.failure
    assert failure.reason == "PLUGIN_FAULT"
    assert "it broke 10 times in a row" in failure.message


async def test_a_plugin_that_breaks_now_and_then_is_not_given_up(planning: Planning) -> None:
    for epoch in range(1, 30):
        planning.plugin.error = ZeroDivisionError("a fault of its own") if epoch % 5 else None
        result = await planning.plan(epoch)
        assert result.WhichOneof("outcome") == ("not_yet" if epoch % 5 else "succeeded")
        assert not result.succeeded.HasField("conclusion")


async def test_a_plugin_that_dies_in_the_middle_of_a_plan_is_asked_again(
    engine: Engine, tmp_path: Path
) -> None:
    engine.conductor.plan_facts.CopyFrom(launch(SparkPlugin(), EXAMPLE.cluster).facts())
    plugin = MoodyPlugin()
    plugin.may_answer.clear()
    async with connect(f"unix:{tmp_path}/plugin") as channel:
        planning = Planning(engine, plugin, PlanStep(engine.facts, Plugins([channel]), Limits()))
        async with served(plugin, tmp_path):
            first = asyncio.create_task(planning.plan())
            await plugin.asked.wait()
        assert (await first).WhichOneof("outcome") == "not_yet"

        plugin.may_answer.set()
        async with served(plugin, tmp_path):
            # Until it is found again the plan is put off, as the one before was.
            await channel.channel_ready()
            assert (await planning.plan(epoch=2)).succeeded.spawn


async def test_a_plugin_that_is_away_is_waited_for_however_long(planning: Planning) -> None:
    planning.plugin.error = errors.Unavailable("begins anew")

    results = [await planning.plan(epoch) for epoch in range(1, 30)]

    assert {each.WhichOneof("outcome") for each in results} == {"not_yet"}


async def test_a_plan_that_no_message_holds_is_the_plugins_fault(planning: Planning) -> None:
    planning.plugin.ballast = MAX_MESSAGE

    failure = (await planning.plan()).succeeded.conclusion.failure

    assert failure.reason == "PLUGIN_FAULT"
    assert "no message holds" in failure.message


async def test_what_users_were_told_is_taken_back_when_the_plugin_answers(
    planning: Planning,
) -> None:
    planning.conductor.plan_facts.cluster.status_description = "waits for the plugin 'spark': no"

    facts = Facts.FromString((await planning.plan()).succeeded.facts)

    assert facts.HasField("status_description")
    assert facts.status_description == ""


async def test_a_plugin_that_nobody_serves_is_waited_for(planning: Planning) -> None:
    planning.conductor.plan_facts.cluster.plugin_name = "hive"

    result = await planning.plan()

    told = Facts.FromString(result.not_yet.facts).status_description
    assert "SAVANNA_ENGINE_PLUGINS" in told


async def test_an_operation_that_is_not_known_is_a_failure(planning: Planning) -> None:
    planning.conductor.plan_facts.operation.id = "another"

    result = await planning.plan()

    assert result.failed.reason == "NOT_FOUND"
