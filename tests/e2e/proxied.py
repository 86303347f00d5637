"""A mesh in which every call goes through the real Envoy, users' and the services' own, and
everything inside of it speaks mutual TLS."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.envoy import running
from savanna_all_in_one.mesh import Mesh, MeshPlan
from tests.certificates import Certificates
from tests.e2e.doors import wait_until_open
from tests.e2e.meshes import QUICK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GATEWAYS = ("api-1", "api-2")
DOORS = ("conductor", "scheduler", "engine", "plugin")
"""Roles that are called through Envoy inside of the mesh."""


@dataclass(frozen=True)
class ProxiedPlan(MeshPlan):
    """Two gateways; who calls another service calls Envoy."""

    rests: Mapping[str, str] = field(default_factory=dict)
    """Where each gateway serves REST."""

    doors: Mapping[str, str] = field(default_factory=dict)
    """Where Envoy listens, by the name of the service."""

    def names(self) -> list[str]:
        """List the processes, in the order in which they are started."""
        return [*(each for each in super().names() if each != "api"), *GATEWAYS]

    def environment(self, name: str) -> dict[str, str]:
        """Give the settings of one process, as variables."""
        conductor = self.doors["conductor"]
        plugins = json.dumps([self.doors["plugin"]])
        more = {
            "scheduler-1": {
                "SAVANNA_SCHEDULER_CONDUCTOR": conductor,
                "SAVANNA_SCHEDULER_ADVERTISE": self.doors["scheduler"],
            },
            "engine-1": {
                "SAVANNA_ENGINE_CONDUCTOR": conductor,
                "SAVANNA_ENGINE_PLUGINS": plugins,
            },
        }
        if name in GATEWAYS:
            more[name] = {
                "SAVANNA_API_LISTEN": self.address(name),
                "SAVANNA_API_REST_LISTEN": self.rests[name],
                "SAVANNA_API_CONDUCTOR": conductor,
                "SAVANNA_API_ENGINES": json.dumps([self.doors["engine"]]),
                "SAVANNA_API_PLUGINS": plugins,
            }
        return {**super().environment(name), **more.get(name, {})}

    def description(self, log: Path) -> dict[str, Any]:
        """Describe this mesh as ``savanna-manage envoy`` wants it."""
        return {
            "services": {
                "rest": {"listen": self.rest, "at": [self.rests[each] for each in GATEWAYS]},
                "grpc": {"listen": self.grpc, "at": [self.address(each) for each in GATEWAYS]},
                "conductor": self._entry("conductor", [self.address("conductor")]),
                "schedulers": {"one": self._entry("scheduler", self.address("scheduler-1"))},
                "engines": self._entry("engine", [self.address("engine-1")]),
                "plugins": {"fake": self._entry("plugin", [self.address("plugin-fake")])},
            },
            "tls": {
                name: str(self.folder / "tls" / file)
                for name, file in (
                    ("authority", "ca.pem"),
                    ("certificate", "envoy.pem"),
                    ("key", "envoy.key"),
                )
            },
            "folder": str(self.folder),
            "access_log": str(log),
        }

    def _entry(self, name: str, at: str | list[str]) -> dict[str, Any]:
        return {"listen": self.doors[name], "at": at}


@dataclass(frozen=True)
class Proxied:
    """A mesh behind Envoy."""

    mesh: Mesh
    access_log: Path

    @property
    def rest(self) -> str:
        """Where users reach REST."""
        return f"http://{self.mesh.plan.rest}"

    @property
    def rests(self) -> set[str]:
        """Where the gateways themselves serve REST."""
        plan = self.mesh.plan
        assert isinstance(plan, ProxiedPlan)
        return set(plan.rests.values())

    def logged(self, listener: str) -> list[dict[str, Any]]:
        """Read what Envoy has logged of the calls at a listener."""
        lines = [json.loads(each) for each in self.access_log.read_text().splitlines()]
        return [each for each in lines if each["listener"] == listener]


@contextmanager
def proxied_mesh(folder: Path, database_url: str) -> Iterator[Proxied]:
    """Run Envoy and a mesh of two gateways and one of each other service."""
    with tempfile.TemporaryDirectory(prefix="savanna-") as sockets:
        plan = ProxiedPlan(
            folder=folder,
            sockets=Path(sockets),
            database_url=database_url,
            rest=f"127.0.0.1:{free_port()}",
            grpc=f"unix:{sockets}/front",
            cloud="simulated",
            plugins=("fake",),
            engines=1,
            settings=QUICK,
            certificates=Certificates(folder / "tls").make_all(),
            rests={each: f"127.0.0.1:{free_port()}" for each in GATEWAYS},
            doors={each: f"unix:{sockets}/envoy-{each}" for each in DOORS},
        )
        log = folder / "access.log"
        with running(folder, plan.description(log)), Mesh(plan) as mesh:
            proxied = Proxied(mesh, log)
            wait_until_open(proxied.rest)
            yield proxied
