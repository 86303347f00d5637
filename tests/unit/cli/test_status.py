"""``savanna status``: the mesh at a glance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from savanna.mesh.v1.mesh_pb2 import (
    LIVENESS_ALIVE,
    LIVENESS_ENDED,
    LIVENESS_SILENT,
    Engine,
    MeshStatus,
    OperationInHand,
    PoolLoad,
    ProjectLoad,
    Scheduler,
    TaskInHand,
    Wait,
)
from savanna.operation.v1.operation_pb2 import Operation, TaskCounts
from tests.unit.cli.conftest import Shell
from tests.unit.client.stage import staged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.client.stage import Stage

NOW = 1_800_000_000
TOKENS = """\
- {token: sesame, user_id: u, user_name: ann, project_id: p, project_name: p, roles: [member]}
"""


def at(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(int((NOW + seconds) * 1_000_000))
    return stamp


def busy_mesh() -> MeshStatus:
    slots = Wait(
        reason=Wait.REASON_NO_SLOT,
        message="all 32 ssh slots are taken",
        tasks=12,
        since_time=at(-12.4),
        operation_id="7c9e6679-7425-40de-944b-e07fc1f90ae7",
        cluster_name="demo",
        task_key="start/demo-worker-3",
        title="Start workers",
        instance="demo-worker-3",
        pool="ssh",
    )
    later = Wait(
        reason=Wait.REASON_NOT_YET,
        message="answered 'not yet': it is asked again",
        tasks=1,
        since_time=at(-40),
        until_time=at(0.5),
        title="Wait for servers",
        instance="demo-worker-9",
    )
    held = Wait(
        reason=Wait.REASON_HELD,
        message="waits until the cluster is launched",
        since_time=at(-3),
    )
    launch = Operation(
        id=slots.operation_id,
        project_id="analytics",
        cluster_name="demo",
        goal=Operation.GOAL_LAUNCH,
        state=Operation.STATE_RUNNING,
        create_time=at(-61),
        tasks=TaskCounts(total=61, running=32, succeeded=16),
    )
    job = Operation(
        id="16fd2706-8baf-433b-82eb-8c7fada847da",
        project_id="analytics",
        cluster_name="demo",
        goal=Operation.GOAL_RUN_JOB,
        state=Operation.STATE_HELD,
        create_time=at(-3),
        tasks=TaskCounts(total=1),
    )
    scheduler = "3f2a91b0-0000-4000-8000-000000000000"
    return MeshStatus(
        time=at(0),
        schedulers=[
            Scheduler(
                scheduler_id=scheduler,
                address="10.0.0.5:8389",
                liveness=LIVENESS_ALIVE,
                start_time=at(-7300),
                lease_end_time=at(4.2),
                operations=1,
                running_tasks=32,
            ),
            Scheduler(
                scheduler_id="aa0c4f10-0000-4000-8000-000000000000",
                address="10.0.0.6:8389",
                liveness=LIVENESS_ENDED,
                start_time=at(-7300),
                lease_end_time=at(-130),
            ),
        ],
        engines=[
            engine("engine-1", LIVENESS_ALIVE, 5.1),
            engine("engine-2", LIVENESS_SILENT, -2.5),
        ],
        projects=[
            ProjectLoad(
                project_id="analytics",
                operations=2,
                running_tasks=32,
                ready_tasks=12,
                oldest_wait=slots,
            )
        ],
        operations=[
            OperationInHand(operation=launch, scheduler_id=scheduler, waits=[slots, later]),
            OperationInHand(operation=job, waits=[held]),
        ],
    )


def engine(name: str, liveness: int, lease: float) -> Engine:
    return Engine(
        engine_id=name,
        session_id=f"session of {name}",
        liveness=liveness,  # type: ignore[arg-type]  # a number of the enum
        start_time=at(-7200),
        lease_end_time=at(lease),
        pools=[
            PoolLoad(pool="cloud", slots=16),
            PoolLoad(pool="plan", slots=4),
            PoolLoad(pool="ssh", slots=16, running=16),
        ],
        oldest=TaskInHand(
            task_key="start/demo-worker-1",
            title="Start workers",
            instance="demo-worker-1",
            start_time=at(-34),
        ),
    )


async def test_the_mesh_is_shown_with_who_lives_and_what_waits(stage: Stage, shell: Shell) -> None:
    stage.memory.mesh = busy_mesh()
    result = await shell("status")
    assert (result.code, result.err) == (0, "")
    lines = [" | ".join(re.split(r"  +", line)) for line in result.out.splitlines()]
    assert lines[0] == "1 scheduler, 1 engine, 2 operations under way"
    longest, waits = "34.0 s | Start workers (demo-worker-1)", "Start workers (demo-worker-3)"
    later = "answered 'not yet': it is asked again, in 0.5 s"
    launch, job = "7c9e6679-7425-40de-944b-e07fc1f90ae7", "16fd2706-8baf-433b-82eb-8c7fada847da"
    for expected in (
        "3f2a91b0 | alive | 2 h ago | 4.2 s left | 1 | 32 | 10.0.0.5:8389",
        "aa0c4f10 | ended | 2 h ago | over 2 min ago | 0 | 0 | 10.0.0.6:8389",
        f"engine-1 | alive | 2 h ago | 5.1 s left | 0/16 | 0/4 | 16/16 | {longest}",
        f"engine-2 | silent | 2 h ago | over 2 s ago | 0/16 | 0/4 | 16/16 | {longest}",
        f"analytics | 2 | 32 | 12 | 12.4 s | {waits}: all 32 ssh slots are taken",
        f"{launch} | launch of demo | 1 min ago | 16/61 | 32 | 3f2a91b0",
        f"{job} | job on demo, held | 3 s ago | 0/1 | 0 | nobody",
        f"7c9e6679 | 12 steps | 12.4 s | {waits} | all 32 ssh slots are taken",
        f"7c9e6679 | 1 step | 40.0 s | Wait for servers (demo-worker-9) | {later}",
        "16fd2706 | all | 3.0 s | waits until the cluster is launched",
    ):
        assert expected in lines


async def test_an_engine_that_is_drained_is_shown_with_what_to_do(
    stage: Stage, shell: Shell
) -> None:
    mesh = stage.memory.mesh = busy_mesh()
    for scheduler in mesh.schedulers:
        # Both say so.
        scheduler.drains.add(engine_id="engine-1", reason="look at its log", until_time=at(570))
    lines = (await shell("status")).out.splitlines()
    assert lines[1] == "  engine 'engine-1' is drained for 9 min 30 s more: look at its log"
    assert sum("engine-1" in each and "drained" in each for each in lines[2:]) == 1


async def test_a_mesh_with_nobody_in_it_says_what_to_start(stage: Stage, shell: Shell) -> None:
    stage.memory.mesh = MeshStatus(time=at(0))
    result = await shell("status")
    assert result.out.splitlines() == [
        "0 schedulers, 0 engines, 0 operations under way",
        "  no scheduler is there: nothing is handed out; start savanna-scheduler",
        "  no engine is there: nothing is done; start savanna-engine",
    ]


async def test_the_mesh_is_given_to_programs_whole(stage: Stage, shell: Shell) -> None:
    stage.memory.mesh = busy_mesh()
    data = (await shell("status", "-o", "json")).data
    assert data["schedulers"][0]["liveness"] == "LIVENESS_ALIVE"
    assert data["operations"][0]["waits"][0]["reason"] == "REASON_NO_SLOT"


async def test_who_is_no_operator_is_told_what_is_missing(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(TOKENS)
    async with staged(tmp_path, auth=f"tokens={tokens}") as stage:
        shell = Shell(tmp_path, stage.address)
        refused = await shell("--token", "sesame", "status")
        assert (refused.code, refused.out) == (4, "")
        assert "needs the role admin" in refused.err
