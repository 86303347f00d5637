"""What a conductor measures."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.operation.v1.operation_pb2 import Operation, Task, TaskSpec
from savanna_conductor.launches import between, longest_boot
from savanna_kit import metrics
from tests.scrapes import scrape
from tests.unit.conductor.changes import assign, codes, end, finish, spawn
from tests.unit.conductor.conftest import PROJECT, new_owner

if TYPE_CHECKING:
    from tests.unit.conductor.conftest import Conductor

LAUNCHING = "savanna_clusters_launching"


async def scraped(where: str, name: str, value: float) -> dict[str, float]:
    """Look until a metric has a value."""
    async with asyncio.timeout(20):
        while True:
            found = await scrape(where)
            if found.get(name) == value:
                return found
            await asyncio.sleep(0.05)


async def test_a_launch_is_seen_from_its_request_to_its_end(conductor: Conductor) -> None:
    async with metrics.endpoint("127.0.0.1:0", "conductor") as where:
        begun = await conductor.create()
        request = messages.WatchJournalRequest(project_id=PROJECT, operation_id=begun.operation.id)
        watch = conductor.operations.WatchJournal(request)
        await watch.read()
        found = await scraped(where, LAUNCHING, 1)
        assert found["savanna_oldest_unowned_operation_seconds"] > 0
        assert found['savanna_operations{goal="launch",state="pending"}'] == 1
        owner = await new_owner(conductor)
        [graph] = (await owner.claim()).graphs
        session = await conductor.session()
        plan = graph.tasks[0]
        await owner.commit(assign(plan, 1, session))
        await watch.read()
        boot = TaskSpec(key="await/w-0", kind="await_server", pool="ssh")
        verdicts = await owner.commit(finish(plan, 1, session), spawn(graph.operation.id, boot))
        [await_server] = verdicts[1].spawned
        await owner.commit(assign(await_server, 1, session))
        await owner.commit(finish(await_server, 1, session))
        late = finish(plan, 1, session)
        over = end(graph.operation.id, Operation.STATE_SUCCEEDED)
        verdicts = await owner.commit(late, over)
        assert len(codes(verdicts)) == 2
        # An empty commit under its number asks what became of it.
        assert codes(await owner.commit_again()) == codes(verdicts)
        found = await scraped(where, LAUNCHING, 0)
        watch.cancel()
    assert found["savanna_oldest_unowned_operation_seconds"] == 0
    assert found['savanna_living{kind="scheduler"}'] == 1
    assert found['savanna_living{kind="engine"}'] == 1
    assert found['savanna_conductor_changes_total{verdict="applied"}'] == 6
    assert found['savanna_conductor_changes_total{verdict="stale"}'] == 1
    assert found["savanna_conductor_transaction_seconds_count"] >= 8
    writes = "savanna_conductor_transaction_writes"
    assert found[f"{writes}_sum"] >= found[f"{writes}_count"] >= 8
    assert found["savanna_conductor_watch_lag_seconds_count"] >= 1
    assert 0 <= found["savanna_conductor_watch_lag_seconds_sum"] < 5
    [created] = [
        name for name in found if name.startswith("savanna_cluster_creation_seconds_count")
    ]
    assert (found[created], 'engines="1"' in created) == (1, True)
    whole = found[created.replace("_count", "_sum")]
    boot_left_out = found[created.replace("_seconds_count", "_without_boot_seconds_sum")]
    assert 0 < boot_left_out < whole < 20


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "1"), (1, "1"), (2, "2-5"), (5, "2-5"), (6, "6-10"), (1000, "501-1000"), (1001, "1001+")],
)
def test_numbers_are_told_by_their_ranges(number: int, expected: str) -> None:
    assert between(number, (1, 5, 10, 500, 1000)) == expected


def test_the_longest_boot_is_from_the_server_made_to_the_first_log_in() -> None:
    def task(key: str, kind: str, ended: int, *needs: str) -> Task:
        spec = TaskSpec(key=key, kind=kind, needs=needs)
        made = Task(id=str(uuid.uuid4()), spec=spec, state=Task.STATE_SUCCEEDED)
        made.create_time.FromSeconds(100)
        made.end_time.FromSeconds(ended)
        return made

    tasks = [
        task("create/a", "create_server", 105),
        task("create/b", "create_server", 120),
        task("await/a", "await_server", 130, "create/a"),
        task("await/b", "await_server", 140, "create/b"),
        task("start/a", "run_script", 200, "await/a"),
    ]
    assert longest_boot(tasks) == 25
    assert longest_boot([]) == 0
