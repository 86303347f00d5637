"""Meshes for tests with real hosts: real processes on this machine, SQLite."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_all_in_one.mesh import Mesh, MeshPlan
from savanna_engine.cloud.local.driver import purge
from tests.e2e.meshes import QUICK_WITH_HOSTS, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def real_mesh(folder: Path, *plugins: str) -> Iterator[Mesh]:
    """Run a mesh of two engines on the local cloud; in the end no host is left."""
    with tempfile.TemporaryDirectory(prefix="savanna-") as sockets:
        plan = MeshPlan(
            folder=folder,
            sockets=Path(sockets),
            database_url=f"sqlite:///{folder}/savanna.db",
            rest=f"127.0.0.1:{free_port()}",
            grpc=f"unix:{sockets}/api",
            plugins=plugins,
            settings=QUICK_WITH_HOSTS,
        )
        try:
            with Mesh(plan) as mesh:
                yield mesh
        finally:
            purge(hosts_of(plan))


def hosts_of(plan: MeshPlan) -> Path:
    """Say where a mesh keeps its hosts."""
    return plan.folder / "hosts"
