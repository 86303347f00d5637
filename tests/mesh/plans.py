"""A whole mesh: several of each service, each in its own network, mutual TLS, Envoy between."""

from __future__ import annotations

import json
import ssl
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from bench.envoy import running
from savanna_all_in_one.mesh import Mesh, MeshPlan, role_of
from savanna_client import Client, Tls
from savanna_engine.cloud.local.driver import purge
from tests.certificates import Certificates
from tests.e2e.doors import wait_until_open
from tests.e2e.meshes import QUICK_WITH_HOSTS
from tests.mesh.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.collector import Collector

TOKEN = "an-operator-of-the-mesh"
ENVOY = "envoy"
_PORTS = {"conductor": 8388, "scheduler": 8389, "engine": 8390, "plugin": 8395, "api": 8387}
_REST, _SIMULATOR = 8386, 8396
_DOOR = 10_000
"""Envoy listens for a service at its port and so much more, as in deploy/envoy."""

_SECOND = 100


@dataclass(frozen=True)
class WholePlan(MeshPlan):
    """Two gateways, conductors and schedulers, three engines. All that services call goes by
    Envoy's doors, but for the engines of the local cloud, which differ."""

    at: Mapping[str, str] = field(default_factory=dict)
    """The address of each process, and of Envoy."""

    nets: Networks = field(default_factory=Networks)
    collector: Collector | None = None
    """Who collects traces, if anybody."""

    engines: int = 3
    schedulers: int = 2
    gateways: int = 2
    conductors: int = 2

    def names(self) -> list[str]:
        """List the processes, in the order in which they are started."""
        numbers = {
            "conductor": self.conductors,
            "scheduler": self.schedulers,
            "engine": self.engines,
            "api": self.gateways,
        }
        numbered = {
            kind: [f"{kind}-{number}" for number in range(1, most + 1)]
            for kind, most in numbers.items()
        }
        return [
            *numbered["conductor"],
            *(["simulator"] if self.cloud == "simulated" else []),
            *(f"plugin-{each}" for each in self.plugins),
            *numbered["scheduler"],
            *numbered["engine"],
            *numbered["api"],
        ]

    def address(self, name: str) -> str:
        """Say where a service is reached, apart from Envoy."""
        port = _SIMULATOR if name == "simulator" else _PORTS[role_of(name)]
        # The plan below asks for kinds that have one process; here the first stands for all.
        return f"{self.at.get(name) or self.at.get(f'{name}-1')}:{port}"

    def rest_of(self, gateway: str) -> str:
        """Say where a gateway serves REST, apart from Envoy."""
        return f"{self.at[gateway]}:{_REST}"

    def door(self, name: str) -> str:
        """Say where Envoy listens for a service; each scheduler has a door of its own."""
        second = _SECOND if name in ("scheduler-2", "plugin-spark") else 0
        return f"{self.at[ENVOY]}:{_PORTS[role_of(name)] + _DOOR + second}"

    def command(self, name: str) -> list[str]:
        """Give the words that start a process, in its own network."""
        return [*self.nets.enter(name), *super().command(name)]

    def environment(self, name: str) -> dict[str, str]:
        """Give the settings of one process, as variables."""
        role = role_of(name)
        plugins = json.dumps([self.door(f"plugin-{each}") for each in self.plugins])
        conductor = self.door("conductor-1")
        engines = [self.address(f"engine-{n}") for n in range(1, self.engines + 1)]
        if self.cloud != "local":
            # Where hosts are those of the engine's machine, each engine must be asked itself.
            engines = [self.door("engine-1")]
        more = {
            "scheduler": {
                "SAVANNA_SCHEDULER_CONDUCTOR": conductor,
                "SAVANNA_SCHEDULER_ADVERTISE": self.door(name) if role == "scheduler" else "",
            },
            "engine": {
                "SAVANNA_ENGINE_CONDUCTOR": conductor,
                "SAVANNA_ENGINE_PLUGINS": plugins,
                "SAVANNA_ENGINE_LOCAL_NETWORK": str(self.nets.hub),
            },
            "api": {
                "SAVANNA_API_LISTEN": self.address(name),
                "SAVANNA_API_REST_LISTEN": f"{self.at[name]}:{_REST}",
                "SAVANNA_API_CONDUCTOR": conductor,
                "SAVANNA_API_ENGINES": json.dumps(engines),
                "SAVANNA_API_PLUGINS": plugins,
                "FORWARDED_ALLOW_IPS": self.at[ENVOY],
            },
        }
        return {**super().environment(name), **more.get(role, {}), **self._traces()}

    def _traces(self) -> dict[str, str]:
        if self.collector is None:
            return {}
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.collector.address}",
            # Spans are told soon, not after the default five seconds.
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }

    def description(self, log: Path) -> dict[str, Any]:
        """Describe this mesh as ``savanna-manage envoy`` wants it."""
        assert self.certificates is not None
        tls = {
            "certificate": str(self.certificates / "envoy.pem"),
            "key": str(self.certificates / "envoy.key"),
        }
        ours: dict[str, list[str]] = defaultdict(list)
        for each in self.names():
            ours[role_of(each)].append(each)
        return {
            "services": {
                "rest": {
                    "listen": self.rest,
                    "tls": tls,
                    "at": [f"{self.at[each]}:{_REST}" for each in ours["api"]],
                },
                "grpc": {
                    "listen": self.grpc,
                    "tls": tls,
                    "at": [self.address(each) for each in ours["api"]],
                },
                "conductor": {
                    "listen": self.door("conductor-1"),
                    "at": [self.address(each) for each in ours["conductor"]],
                },
                "schedulers": {
                    each: {"listen": self.door(each), "at": self.address(each)}
                    for each in ours["scheduler"]
                },
                "engines": {
                    "listen": self.door("engine-1"),
                    "at": [self.address(each) for each in ours["engine"]],
                },
                "plugins": {
                    each: {
                        "listen": self.door(f"plugin-{each}"),
                        "at": [self.address(f"plugin-{each}")],
                    }
                    for each in self.plugins
                },
            },
            "tls": {"authority": str(self.certificates / "ca.pem"), **tls},
            "folder": str(self.folder),
            "access_log": str(log),
            **({"traces": f"unix:{self.collector.socket}"} if self.collector else {}),
        }

    def client(self) -> Client:
        """Give a user who comes in by Envoy, not yet connected."""
        assert self.certificates is not None
        return Client(self.grpc, TOKEN, tls=Tls(self.certificates / "ca.pem"))


def plan_of(mesh: Mesh) -> WholePlan:
    """Give the plan of a whole mesh."""
    assert isinstance(mesh.plan, WholePlan)
    return mesh.plan


def trusting(plan: WholePlan) -> ssl.SSLContext:
    """Trust the authority of a mesh, for HTTPS."""
    assert plan.certificates is not None
    return ssl.create_default_context(cafile=plan.certificates / "ca.pem")


def known(plan: WholePlan) -> ssl.SSLContext:
    """Trust a mesh, and show it the certificate of a user, as it asks of all who come without
    Envoy; its own say roles, and no addresses."""
    context = trusting(plan)
    context.check_hostname = False
    assert plan.certificates is not None
    context.load_cert_chain(plan.certificates / "user.pem", plan.certificates / "user.key")
    return context


@contextmanager
def whole_mesh(folder: Path, database_url: str, nets: Networks, **more: Any) -> Iterator[Mesh]:
    """Run all of it: networks, certificates, Envoy, services; in the end nothing is left."""
    with ExitStack() as stack:
        stack.callback(purge, folder / "hosts")
        draft = WholePlan(
            folder=folder,
            sockets=folder,
            database_url=database_url,
            auth=f"tokens={_tokens(folder)}",
            settings=QUICK_WITH_HOSTS,
            nets=nets,
            **more,
        )
        at = {each: nets.join(each) for each in (*draft.names(), ENVOY)}
        plan = replace(
            draft,
            rest=f"{at[ENVOY]}:{_REST + _DOOR}",
            grpc=f"{at[ENVOY]}:{_PORTS['api'] + _DOOR}",
            certificates=Certificates(folder / "certificates").make_all({ENVOY: [at[ENVOY]]}),
            at=at,
        )
        log = folder / "access.log"
        stack.enter_context(running(folder, plan.description(log), inside=nets.enter(ENVOY)))
        mesh = stack.enter_context(Mesh(plan))
        wait_until_open(
            f"https://{plan.rest}", verify=trusting(plan), headers={"X-Auth-Token": TOKEN}
        )
        yield mesh


def _tokens(folder: Path) -> Path:
    path = folder / "tokens.yaml"
    entry = {
        "token": TOKEN,
        "user_id": "u",
        "user_name": "anna",
        "project_id": "default",
        "project_name": "default",
        "roles": ["admin", "member"],
    }
    path.write_text(yaml.safe_dump([entry]))
    return path
