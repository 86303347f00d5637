"""Every service as a process of its own, on this machine: for the demo, for tests and benchmarks.

Services talk over sockets in a closed folder; only the gateway has ports. Processes belong to
whoever made the mesh: ``close`` ends them, and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from savanna_kit.channels import Peer, connect_blocking
from savanna_kit.errors import Unavailable
from savanna_kit.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

START_SECONDS = 60.0
"""A busy machine may need long until seven interpreters have started."""

STOP_SECONDS = 20.0
_TAIL_LINES = 20


@dataclass(frozen=True)
class MeshPlan:
    """What a mesh is made of, and where."""

    folder: Path
    """Of logs, key and local hosts."""

    sockets: Path
    """Of sockets; its path must be short (107 bytes with a name, unix(7))."""

    database_url: str
    rest: str = "127.0.0.1:8386"
    grpc: str = "127.0.0.1:8387"
    auth: str = "none"
    cloud: str = "local"
    plugins: tuple[str, ...] = ("spark",)
    schedulers: int = 1
    engines: int = 2
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further settings by service, for example {"CONDUCTOR": {"READERS": "2"}}."""

    certificates: Path | None = None
    """Folder that ``savanna-manage certs`` filled: everything speaks mutual TLS."""

    def address(self, name: str) -> str:
        """Say where a service is reached inside the mesh."""
        return f"unix:{self.sockets / name}"

    def names(self) -> list[str]:
        """List the processes, in the order in which they are started."""
        return [
            "conductor",
            *(["simulator"] if self.cloud == "simulated" else []),
            *(f"plugin-{each}" for each in self.plugins),
            *_numbered("scheduler", self.schedulers),
            *_numbered("engine", self.engines),
            "api",
        ]

    def command(self, name: str) -> list[str]:
        """Give the words that start a process."""
        return [_command(name)]

    def environment(self, name: str) -> dict[str, str]:
        """Give the settings of one process, as variables."""
        kind = _kind(name)
        prefix = f"SAVANNA_{kind.replace('-', '_').upper()}_"
        further = self.settings.get(prefix[8:-1], {})
        values = {**self._own(kind, name), **self._tls(role_of(name)), **further}
        return {prefix + key: value for key, value in values.items()}

    def peer(self, name: str) -> Peer | None:
        """Say whom a user of the mesh meets under certificates; None where there are none."""
        folder = self.certificates
        if folder is None:
            return None
        user = Identity(
            authority=folder / "ca.pem", certificate=folder / "user.pem", key=folder / "user.key"
        )
        return Peer(user, role_of(name))

    def _tls(self, role: str) -> dict[str, str]:
        if self.certificates is None:
            return {}
        return {
            "TLS_AUTHORITY": str(self.certificates / "ca.pem"),
            "TLS_CERTIFICATE": str(self.certificates / f"{role}.pem"),
            "TLS_KEY": str(self.certificates / f"{role}.key"),
        }

    def _own(self, kind: str, name: str) -> dict[str, str]:
        listen = {"LISTEN": self.address(name)}
        plugins = json.dumps([self.address(f"plugin-{each}") for each in self.plugins])
        conductor = {"CONDUCTOR": self.address("conductor")}
        if kind == "conductor":
            key_file = str(self.folder / "savanna.key")
            return {**listen, "DATABASE_URL": self.database_url, "KEY_FILE": key_file}
        if kind == "scheduler":
            return {**listen, **conductor}
        if kind == "engine":
            return {
                **listen,
                **conductor,
                "ENGINE_ID": name,
                "PLUGINS": plugins,
                "CLOUD": self.cloud,
                "LOCAL_DIR": str(self.folder / "hosts"),
                "SIMULATOR": self.address("simulator"),
            }
        if kind == "api":
            engines = [self.address(each) for each in _numbered("engine", self.engines)]
            return {
                **conductor,
                "LISTEN": self.grpc,
                "REST_LISTEN": self.rest,
                "AUTH": self.auth,
                "ENGINES": json.dumps(engines),
                "PLUGINS": plugins,
            }
        return listen


class Mesh:
    """The processes of a plan."""

    def __init__(self, plan: MeshPlan) -> None:
        self.plan = plan
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Mesh:
        """Bring the database to this version, start everything, wait until all serve."""
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.migrate()
            for name in self.plan.names():
                self.start(name)
            for name in self.plan.names():
                self.wait(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        """End everything."""
        self.close()

    def migrate(self) -> None:
        """Bring the database to this version.

        Raises ``Unavailable`` with what the conductor's command says when it can not be.
        """
        conductor = next(each for each in self.plan.names() if role_of(each) == "conductor")
        done = subprocess.run(
            [_command("conductor"), "migrate"],
            env={**os.environ, **self.plan.environment(conductor)},
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"the database can not be brought to this version: {done.stderr}")

    def start(self, name: str, further: Mapping[str, str] | None = None) -> None:
        """Start a process, with further variables; it need not serve yet."""
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self.plan.command(name),
                env={**os.environ, **self.plan.environment(name), **(further or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is for whoever made the mesh, who ends it in order.
                start_new_session=True,
            )

    def wait(self, name: str) -> None:
        """Wait until a process serves.

        Raises ``Unavailable`` with the last lines of its log when it does not.
        """
        address = self.plan.grpc if name == "api" else self.plan.address(name)
        deadline = time.monotonic() + START_SECONDS
        peer = self.plan.peer(name)
        while not _serves(address, peer):
            ended = self._processes[name].poll() is not None
            if ended or time.monotonic() > deadline:
                lines = self.log(name).read_text(errors="replace").splitlines()[-_TAIL_LINES:]
                raise Unavailable(f"{name} does not serve; its log ends so:\n" + "\n".join(lines))
            time.sleep(0.05)

    def pid(self, name: str) -> int:
        """Give the process id."""
        return self._processes[name].pid

    def has_ended(self, name: str) -> bool:
        """Say whether a process that was started has ended by itself."""
        return self._processes[name].poll() is not None

    def kill(self, name: str) -> None:
        """End a process with SIGKILL, as a power cut would."""
        self._processes[name].kill()
        self._processes.pop(name).wait(STOP_SECONDS)

    def kill_if_running(self, name: str) -> None:
        """End a process with SIGKILL unless it has ended."""
        if name in self._processes:
            self.kill(name)

    def stop(self, name: str) -> int:
        """End a process with SIGTERM, so that it drains; gives its exit code, which is 0 unless it
        did not end in order."""
        process = self._processes.pop(name)
        process.terminate()
        return _wait_or_kill(process)

    def close(self) -> None:
        """End all processes, those that depend on others first."""
        for name in reversed(self.plan.names()):
            if name in self._processes:
                self._processes[name].terminate()
                if not name.startswith("engine"):
                    _wait_or_kill(self._processes.pop(name))
        for process in self._processes.values():
            _wait_or_kill(process)
        self._processes.clear()

    def log(self, name: str) -> Path:
        """Say where a process writes its log."""
        return self.plan.folder / f"{name}.log"


def _numbered(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number}" for number in range(1, count + 1)]


def _command(name: str) -> str:
    """Find the command of a service beside the running interpreter."""
    kind = _kind(name)
    return str(Path(sys.executable).parent / f"savanna-{kind}")


def role_of(name: str) -> str:
    """Give the role of a process, as certificates name it."""
    kind = _kind(name)
    return "plugin" if kind.startswith("plugin-") else kind


def _kind(name: str) -> str:
    return name.rpartition("-")[0] if name[-1].isdigit() else name


def _serves(address: str, peer: Peer | None) -> bool:
    with connect_blocking(address, peer=peer) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=1.0
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _wait_or_kill(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(STOP_SECONDS)
