"""The suite passes a good plugin and catches each kind of bad one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from savanna_kit.errors import InvalidArgument
from savanna_kit.serving import running
from savanna_pluginkit import CONFIGURED, READY, Plugin, PluginSettings, build
from savanna_pluginkit.conformance import CHECKS, Broken, Refused, checks, name_of, session
from savanna_pluginkit.conformance.__main__ import run
from tests.unit.pluginkit.small import EXAMPLE, SmallPlugin

if TYPE_CHECKING:
    from savanna_pluginkit import ClusterView, JobView, Steps
    from savanna_pluginkit.conformance import Check, Example


async def ask(check: Check, plugin: Plugin, example: Example = EXAMPLE) -> None:
    parts = build(plugin, PluginSettings(listen="127.0.0.1:0"))
    broken: Broken | None = None
    async with running([parts]), session(parts.addresses[0], example) as asked:
        try:
            await check(asked)
        except Broken as error:
            broken = error
    if broken is not None:
        raise broken


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_the_smallest_plugin_keeps_every_promise(check: Check) -> None:
    await ask(check, SmallPlugin())


async def test_a_plan_that_changes_by_itself_is_caught() -> None:
    numbers = itertools.count()

    class Restless(SmallPlugin):
        def plan(self, cluster: ClusterView, steps: Steps) -> None:
            for each in cluster.staying:
                key = f"start/{each.name}/{next(numbers)}"
                steps.run_script(key, on=each, title="Start", text="exit 0\n", reaches=READY)

    with pytest.raises(Broken, match="two plans of the same facts differ"):
        await ask(checks.plans_are_pure, Restless())


async def test_a_plan_that_wants_more_with_every_answer_is_caught() -> None:
    class Greedy(SmallPlugin):
        def plan(self, cluster: ClusterView, steps: Steps) -> None:
            for each in cluster.staying:
                state = each.message.state
                key = f"start/{each.name}/{state}"
                reached = CONFIGURED if each.needs_configuring else READY
                if each.needs_starting:
                    steps.run_script(key, on=each, title="Start", text="exit 0\n", reaches=reached)

    with pytest.raises(Broken, match="unheard of before"):
        await ask(checks.a_launch_ends_in_any_order, Greedy())


async def test_a_plan_that_sets_up_running_nodes_again_is_caught() -> None:
    class Forgetful(SmallPlugin):
        def plan(self, cluster: ClusterView, steps: Steps) -> None:
            for each in cluster.staying:
                steps.run_script(
                    f"start/{each.name}", on=each, title="Start", text="exit 0\n", reaches=READY
                )

    with pytest.raises(Broken, match="set up again"):
        await ask(checks.growing_leaves_running_nodes_alone, Forgetful())


async def test_a_plan_that_lets_nodes_go_without_a_word_is_caught() -> None:
    example = type(EXAMPLE)(cluster=EXAMPLE.cluster, elastic="all", decommissions=True)
    with pytest.raises(Broken, match="no step hands its work over"):
        await ask(checks.shrinking_hands_over_before_the_delete, SmallPlugin(), example)


async def test_a_plan_that_leaves_nodes_behind_is_caught() -> None:
    class Lazy(SmallPlugin):
        def plan(self, cluster: ClusterView, steps: Steps) -> None:
            first = cluster.staying[0]
            steps.run_script("start", on=first, title="Start", text="exit 0\n", reaches=READY)

    with pytest.raises(Broken, match="not ready"):
        await ask(checks.a_launch_ends_in_any_order, Lazy())


async def test_a_script_that_no_shell_reads_is_caught() -> None:
    class Careless(SmallPlugin):
        def plan(self, cluster: ClusterView, steps: Steps) -> None:
            for each in cluster.staying:
                steps.run_script(
                    f"start/{each.name}", on=each, title="Start", text="if\n", reaches=READY
                )

    with pytest.raises(Broken, match="no shell reads its script"):
        await ask(checks.plans_are_well_formed, Careless())


async def test_a_problem_without_its_field_is_caught() -> None:
    refused = Refused(lambda cluster: cluster.node_groups[0].spec.ClearField("node_processes"), "x")
    example = type(EXAMPLE)(cluster=EXAMPLE.cluster, elastic="all", refused=(refused,))
    with pytest.raises(Broken, match="'x' is not named"):
        await ask(checks.names_the_field_that_is_wrong, SmallPlugin(), example)


async def test_a_job_without_a_program_is_caught() -> None:
    class Idle(SmallPlugin):
        def plan_job(self, cluster: ClusterView, job: JobView, steps: Steps) -> None:
            del cluster, job, steps

    with pytest.raises(Broken, match="not one run_job step"):
        await ask(checks.jobs_run_one_program, Idle())


async def test_the_command_counts_broken_promises(capsys: pytest.CaptureFixture[str]) -> None:
    class Refusing(SmallPlugin):
        def plan_job(self, cluster: ClusterView, job: JobView, steps: Steps) -> None:
            raise InvalidArgument("no jobs today")

    parts = build(Refusing(), PluginSettings(listen="127.0.0.1:0"))
    async with running([parts]):
        assert await run(parts.addresses[0], EXAMPLE) == 1
    told = capsys.readouterr().out
    assert "BROKEN  jobs run one program: no jobs today\n" in told
    assert told.count("kept") == len(CHECKS) - 1
