"""The simulator's composition root."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from savanna.simulator.v1 import simulator_service_pb2_grpc as stubs
from savanna_kit import serving
from savanna_kit.clock import SystemClock
from savanna_simulator.behaviors import Behaviors, from_json
from savanna_simulator.cloud import SimulatedServers
from savanna_simulator.hosts import Hosts
from savanna_simulator.service import (
    SimulatedCloudService,
    SimulatedHostService,
    SimulatorControlService,
)
from savanna_simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from savanna_kit.clock import Clock


def build(given: SimulatorSettings, clock: Clock | None = None) -> serving.Parts:
    """Build the service; nothing is started.

    A given clock takes the place of the machine's.
    """
    clock = clock or SystemClock()
    behaviors = Behaviors(seed=given.seed, boot_seconds=given.boot_seconds)
    behaviors.add(from_json(given.behaviors))
    hosts = Hosts(behaviors, clock, kept_commands=given.kept_commands)
    servers = SimulatedServers(
        behaviors, hosts, clock, chance=Random(given.seed), max_servers=given.max_servers
    )
    return serving.Parts(
        name="simulator",
        listen=given.listen,
        identity=given.identity(),
        drain_seconds=given.drain_seconds,
        served=[
            serving.Served(
                "savanna.simulator.v1.SimulatedCloudService",
                stubs.add_SimulatedCloudServiceServicer_to_server,
                SimulatedCloudService(servers),
                callers=frozenset({"engine"}),
            ),
            serving.Served(
                "savanna.simulator.v1.SimulatedHostService",
                stubs.add_SimulatedHostServiceServicer_to_server,
                SimulatedHostService(hosts),
                callers=frozenset({"engine"}),
            ),
            serving.Served(
                "savanna.simulator.v1.SimulatorControlService",
                stubs.add_SimulatorControlServiceServicer_to_server,
                SimulatorControlService(behaviors, hosts),
            ),
        ],
    )


def main() -> None:
    """Run ``savanna-simulator``."""
    serving.main(SimulatorSettings, build)
