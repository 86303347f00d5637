"""What the processes of a mesh measure, read as Prometheus does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Operation
from tests.e2e.meshes import user_of
from tests.scrapes import scrape

if TYPE_CHECKING:
    from savanna_all_in_one.mesh import Mesh


async def measured(mesh: Mesh, name: str) -> dict[str, float]:
    """Scrape a process, at the address that its log tells."""
    lines = mesh.log(name).read_text().splitlines()
    ready = [json.loads(line) for line in lines if '"metrics_ready"' in line]
    return await scrape(ready[-1]["address"])


def total(found: dict[str, float], begin: str, *labels: str) -> float:
    """Add up all that begins so and has these labels."""
    return sum(
        value
        for name, value in found.items()
        if name.startswith(begin) and all(label in name for label in labels)
    )


async def test_a_launch_shows_in_the_metrics_of_every_process(mesh: Mesh) -> None:
    async with user_of(mesh) as user:
        begun = await user.launch("measured", workers=2)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure

        conductor = await measured(mesh, "conductor")
        assert 'savanna_living{kind="engine"}' in conductor
        assert "savanna_clusters_launching" in conductor
        assert total(conductor, "savanna_cluster_creation_seconds_count", 'nodes="2-5"') >= 1
        took = total(conductor, "savanna_cluster_creation_seconds_sum")
        assert 0 < total(conductor, "savanna_cluster_creation_without_boot_seconds_sum") < took
        commits = total(conductor, "savanna_rpc_seconds_count", "ExecutionService/Commit", '"OK"')
        assert 0 < commits <= total(conductor, "savanna_conductor_transaction_writes_sum")

        scheduler = await measured(mesh, "scheduler-1")
        assert scheduler["savanna_scheduler_lives_total"] >= 1
        assert scheduler["savanna_scheduler_commit_seconds_count"] >= 1
        assert scheduler["savanna_scheduler_commit_changes_sum"] >= 13, "steps of three nodes"
        assert scheduler["savanna_scheduler_unacknowledged_offers"] == 0
        assert scheduler["savanna_scheduler_stale_results_total"] >= 0
        assert 0 < scheduler["savanna_scheduler_lease_margin_seconds"] <= 2
        assert scheduler['savanna_scheduler_slots{pool="ssh",state="free"}'] <= 32

        engines = [await measured(mesh, name) for name in ("engine-1", "engine-2")]
        for engine in engines:
            assert engine['savanna_engine_slots{pool="ssh"}'] == 16
            assert engine['savanna_engine_slots_busy{pool="ssh"}'] == 0
            assert 0 < engine["savanna_engine_fence_margin_seconds"] <= 2
            assert engine["process_resident_memory_bytes"] > 10e6
        for name in ("step", "cloud_call", "ssh_call"):
            begin = f"savanna_engine_{name}_seconds_count"
            assert sum(total(engine, begin, "outcome=") for engine in engines) >= 3, name

        gateway = await measured(mesh, "api")
        assert total(gateway, "savanna_rpc_seconds_count", "ClusterService/CreateCluster") >= 1
        await user.delete("measured")
