"""Engines that die without a word, in each phase of a launch."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Attempt, JournalEntry, Operation
from savanna.simulator.v1.simulator_service_pb2 import (
    AddBehaviorsRequest,
    Behavior,
    ListCommandsRequest,
)
from tests.e2e.meshes import servers_of, simulator_of, user_of
from tests.e2e.user import instances, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna.operation.v1.operation_pb2 import TaskHistory
    from savanna.simulator.v1.simulator_service_pb2 import CommandRecord
    from savanna_all_in_one.mesh import Mesh
    from tests.e2e.user import User

WORKERS = 9
PHASES = {
    "servers": ("create_server", "create/"),
    "boot": ("await_server", "await/"),
    "configure": ("run_script", "configure/"),
    "start": ("run_script", "start/"),
}
SLOW = {"fake.delay.configure": 600, "fake.delay.start": 600}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_killed_engine_loses_no_step_and_repeats_none_at_the_same_time(
    mesh: Mesh, phase: str
) -> None:
    name = f"kill-{phase}"
    async with user_of(mesh) as user, simulator_of(mesh) as simulator:
        slow = Behavior(name_glob=f"{name}-*")
        slow.create_time.FromMilliseconds(300)
        if phase == "boot":
            # A look at a server that is not there yet takes no time: a kill would fall between two.
            slow.boot_time.FromMilliseconds(0)
            slow.login_time.FromMilliseconds(400)
        else:
            slow.boot_time.FromMilliseconds(500)
        await simulator.AddBehaviors(AddBehaviorsRequest(behaviors=[slow]))
        begun = await user.launch(name, WORKERS, SLOW)
        victim = await _engine_at_work(user, begun.operation, *PHASES[phase])
        mesh.kill(victim)
        try:
            launch = await asyncio.wait_for(user.client.wait(begun.operation.id), 30)
        finally:
            mesh.start(victim)
            mesh.wait(victim)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        cluster = await user.cluster(name)
        assert cluster.state == Cluster.STATE_ACTIVE
        assert {each.state for each in instances(cluster)} == {Instance.STATE_READY}
        history = await user.history(launch)
        assert list(unfinished(history)) == []
        assert _lost(history), "the engine had nothing in its hands"
        assert len(await servers_of(mesh, cluster.id)) == WORKERS + 1
        records = await simulator.ListCommands(ListCommandsRequest(name_glob=f"{name}-*"))
        assert list(_at_the_same_time(records.commands)) == []
        ran = {(each.server, each.key) for each in records.commands if each.exit_code == 0}
        for instance in instances(cluster):
            assert (instance.name, f"configure/{instance.name}") in ran
            assert (instance.name, f"start/{instance.name}") in ran
        await user.delete(name)
        assert await servers_of(mesh, cluster.id) == []


async def _engine_at_work(user: User, operation: Operation, kind: str, prefix: str) -> str:
    """Wait until an engine does such a step; give the engine."""
    async with asyncio.timeout(20):
        async for entry in user.client.watch(operation_id=operation.id):
            wanted = entry.task_kind == kind and entry.task_key.startswith(prefix)
            if wanted and entry.kind == JournalEntry.KIND_TASK_ASSIGNED:
                return entry.engine_id
    raise AssertionError(f"no engine ever began {prefix}")


def _lost(history: Iterable[TaskHistory]) -> list[str]:
    return [
        each.task.spec.key
        for each in history
        for attempt in each.attempts
        if attempt.outcome == Attempt.OUTCOME_LOST
    ]


def _at_the_same_time(records: Iterable[CommandRecord]) -> Iterable[str]:
    """Name steps of which a second run began before the first had ended."""
    runs: dict[tuple[str, str, str], list[CommandRecord]] = defaultdict(list)
    for each in records:
        runs[each.server, each.operation_id, each.key].append(each)
    for (server, _, key), found in runs.items():
        found.sort(key=lambda each: each.begin_order)
        for earlier, later in pairwise(found):
            if not earlier.end_order or earlier.end_order > later.begin_order:
                yield f"{key} on {server}"
