"""What a task passes through, each a process of its own: conductor, scheduler, two engines whose
steps do nothing, and the database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, text

from bench import clocks, meshes, no_op_engine
from savanna.cluster.v1.cluster_pb2 import Cluster, NodeGroup
from savanna.conductor.v1.cluster_service_pb2 import CreateClusterRequest
from savanna.conductor.v1.cluster_service_pb2_grpc import ClusterServiceStub
from savanna.operation.v1.operation_pb2 import Operation
from savanna_all_in_one.mesh import Mesh, MeshPlan
from savanna_kit.channels import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SLOTS = 64
"""Tasks that each engine holds at once."""

_LOOK_SECONDS = 0.01
_STOP_SECONDS = 10.0
_OPEN = (Operation.STATE_HELD, Operation.STATE_PENDING, Operation.STATE_RUNNING)


@dataclass(frozen=True)
class TaskPlan(MeshPlan):
    """A mesh of conductor and scheduler, and a gateway for those who watch."""

    is_watched: bool = False

    def names(self) -> list[str]:
        """List the processes; engines are started apart."""
        return ["conductor", "scheduler-1", *(["api"] if self.is_watched else [])]


@dataclass(frozen=True)
class Note:
    """An attempt at an engine: when it began and ended, by the machine's clock."""

    operation_id: str
    key: str
    begun: float
    ended: float


@dataclass(frozen=True)
class Counts:
    """What was spent and stored so far."""

    cpu: dict[str, float]
    commits: int
    journal: int


class TaskBench:
    """A running mesh, and what can be seen of it."""

    def __init__(
        self, mesh: Mesh, database: Engine, engines: dict[str, int], database_pid: int | None
    ) -> None:
        self.mesh = mesh
        self.database = database
        self._engines = engines
        self._database_pid = database_pid

    def counts(self) -> Counts:
        """Give the CPU seconds of each service, commits of the scheduler, entries of the
        journal."""
        cpu = {
            "conductor": clocks.spent(self.mesh.pid("conductor")),
            "scheduler": clocks.spent(self.mesh.pid("scheduler-1")),
            "engines": sum(clocks.spent(each) for each in self._engines.values()),
        }
        if "api" in self.mesh.plan.names():
            cpu["gateway"] = clocks.spent(self.mesh.pid("api"))
        if self._database_pid is not None:
            cpu["database"] = clocks.spent_below([self._database_pid])
        return Counts(
            cpu,
            self._number("SELECT sum(last_commit) FROM scheduler"),
            self._number("SELECT value FROM counter WHERE name = 'journal'"),
        )

    def notes(self) -> list[Note]:
        """Read what the engines noted so far."""
        found = []
        for name in self._engines:
            for line in notes_file(self.mesh.plan, name).read_text().splitlines():
                operation_id, key, begun, ended = line.split()
                found.append(Note(operation_id, key, float(begun), float(ended)))
        return found

    def task_states(self, operation_ids: Sequence[str]) -> dict[int, int]:
        """Count the stored tasks of operations by state."""
        names = ", ".join(f"'{each}'" for each in operation_ids)
        chosen = f"FROM task WHERE operation_id IN ({names}) GROUP BY state"
        query = f"SELECT state, count(*) AS number {chosen}"
        with self.database.connect() as connection:
            return {row.state: row.number for row in connection.execute(text(query))}

    async def submit(self, project_id: str, names: Sequence[str]) -> list[Operation]:
        """Ask for operations, all at once: each is the launch of a cluster with such a name."""
        async with connect(self.mesh.plan.address("conductor")) as channel:
            stub = ClusterServiceStub(channel)
            requests = [
                CreateClusterRequest(
                    project_id=project_id,
                    cluster=Cluster(
                        name=name,
                        plugin_name="none",
                        plugin_version="0",
                        node_groups=[NodeGroup(name="none", count=1)],
                    ),
                )
                for name in names
            ]
            answers = await asyncio.gather(*(stub.CreateCluster(each) for each in requests))
        return [each.operation for each in answers]

    async def ended(self, operations: Sequence[Operation]) -> None:
        """Wait until operations have ended; the look costs the services nothing."""
        ids = ", ".join(f"'{each.id}'" for each in operations)
        states = ", ".join(str(int(each)) for each in _OPEN)
        query = f"SELECT count(*) FROM operation WHERE id IN ({ids}) AND state IN ({states})"
        while self._number(query):
            await asyncio.sleep(_LOOK_SECONDS)

    def _number(self, query: str) -> int:
        with self.database.connect() as connection:
            return int(connection.execute(text(query)).scalar_one() or 0)


def notes_file(plan: MeshPlan, name: str) -> Path:
    """Say where an engine notes its attempts."""
    return plan.folder / f"{name}.notes"


@contextmanager
def running(database: str, *, is_watched: bool = False) -> Iterator[TaskBench]:
    """Run the mesh on an empty database of a kind; with a gateway if it is to be watched."""
    with ExitStack() as stack:
        folder = stack.enter_context(meshes.scratch_folder())
        url, pid = stack.enter_context(meshes.database_of(database, folder))
        (folder / "sockets").mkdir(mode=0o700)
        plan = TaskPlan(
            folder=folder / "data",
            sockets=folder / "sockets",
            database_url=url,
            rest="127.0.0.1:0",
            grpc=f"unix:{folder / 'sockets' / 'api'}",
            plugins=(),
            engines=0,
            is_watched=is_watched,
        )
        mesh = stack.enter_context(Mesh(plan))
        engines = {
            name: stack.enter_context(_engine(mesh, name)) for name in ("engine-1", "engine-2")
        }
        seen = create_engine(url)
        stack.callback(seen.dispose)
        yield TaskBench(mesh, seen, engines, pid)


@contextmanager
def _engine(mesh: Mesh, name: str) -> Iterator[int]:
    """Run an engine; gives its process id."""
    environment = {
        **os.environ,
        **mesh.plan.environment(name),
        "SAVANNA_ENGINE_SSH_SLOTS": str(SLOTS),
        no_op_engine.NOTES: str(notes_file(mesh.plan, name)),
    }
    with mesh.log(name).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.no_op_engine"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_met(mesh, name, process)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_met(mesh: Mesh, name: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until an engine talks to the scheduler."""
    deadline = time.monotonic() + _STOP_SECONDS * 3
    while "scheduler_met" not in (told := mesh.log(name).read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{name} does not meet the scheduler; its log:\n{told[-2000:]}")
        time.sleep(0.05)
