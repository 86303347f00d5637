"""What a service says to the settings that a file of deploy/ gives it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from savanna_api_gateway.settings import ApiSettings
from savanna_conductor.settings import ConductorSettings
from savanna_engine.settings import EngineSettings
from savanna_kit import settings
from savanna_plugin_fake.main import FakeSettings
from savanna_plugin_spark.main import SparkSettings
from savanna_scheduler.settings import SchedulerSettings
from savanna_simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

KINDS: dict[str, type[settings.ServiceSettings]] = {
    "savanna-api": ApiSettings,
    "savanna-conductor": ConductorSettings,
    "savanna-engine": EngineSettings,
    "savanna-plugin-fake": FakeSettings,
    "savanna-plugin-spark": SparkSettings,
    "savanna-scheduler": SchedulerSettings,
    "savanna-simulator": SimulatorSettings,
}
"""Settings by the command of the service."""

ROLES = {command: command.split("-")[1] for command in KINDS}
"""Roles as certificates name them."""


def read_by(
    command: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> settings.ServiceSettings:
    """Read an environment as the service does.

    Raises ``SettingsError`` for a name that it does not know, or a value that it does not take.
    """
    with monkeypatch.context() as patch:
        for name in os.environ:
            if name.startswith("SAVANNA_"):
                patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return settings.load(KINDS[command])


def prefix_of(command: str) -> str:
    """Give what the settings of a service begin with."""
    return str(KINDS[command].model_config["env_prefix"])


def port_of(address: str) -> int:
    """Give the port of "host:port"."""
    return int(address.rpartition(":")[2])


def no_ones(environment: Mapping[str, str]) -> set[str]:
    """Name the settings that begin like those of no service."""
    prefixes = tuple(map(prefix_of, KINDS))
    return {
        name
        for name in environment
        if name.startswith("SAVANNA_") and not name.startswith(prefixes)
    }
