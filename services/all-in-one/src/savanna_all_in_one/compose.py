"""Every service in one process: the same builders, the same wire, sockets in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import savanna_api_gateway.main as gateway
import savanna_conductor.main as conductor
import savanna_engine.main as engine
import savanna_scheduler.main as scheduler
import savanna_simulator.main as simulator
from savanna_api_gateway.settings import ApiSettings
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_engine.settings import EngineSettings
from savanna_kit import settings
from savanna_pluginkit import service as plugin_service
from savanna_scheduler.settings import SchedulerSettings
from savanna_simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path

    from savanna_all_in_one.folder import DataFolder
    from savanna_all_in_one.settings import AllSettings
    from savanna_kit.serving import Parts


def compose(given: AllSettings, folder: DataFolder, sockets: Path) -> list[Parts]:
    """Build all services, in the order in which they start."""

    def at(name: str) -> str:
        return f"unix:{sockets / name}"

    plugins = {
        at(f"plugin-{name}"): plugin_service.build(
            kind(),
            plugin_service.PluginSettings(
                _env_prefix=f"SAVANNA_PLUGIN_{name.upper()}_",
                listen=at(f"plugin-{name}"),
                drain_seconds=given.drain_seconds,
            ),
        )
        for name, kind in plugin_service.installed().items()
    }
    common = {"drain_seconds": given.drain_seconds}
    addresses = [*plugins, *given.plugins]
    parts = [
        conductor.build(
            settings.load(
                ConductorSettings,
                listen=at("conductor"),
                database_url=folder.database_url,
                key_file=folder.key_file,
                **common,
            )
        ),
        *plugins.values(),
    ]
    if given.cloud == "simulated":
        parts.append(
            simulator.build(
                settings.load(
                    SimulatorSettings,
                    listen=at("simulator"),
                    boot_seconds=given.boot_seconds,
                    **common,
                )
            )
        )
    parts.append(
        scheduler.build(
            settings.load(
                SchedulerSettings, listen=at("scheduler"), conductor=at("conductor"), **common
            )
        )
    )
    parts.append(
        engine.build(
            settings.load(
                EngineSettings,
                listen=at("engine"),
                engine_id="engine",
                conductor=at("conductor"),
                plugins=addresses,
                cloud=given.cloud,
                local_dir=folder.hosts,
                local_hosts=given.local_hosts,
                simulator=at("simulator"),
                **common,
            )
        )
    )
    parts.append(
        gateway.build(
            settings.load(
                ApiSettings,
                listen=given.grpc,
                rest_listen=given.rest,
                auth=given.auth,
                conductor=at("conductor"),
                engines=[at("engine")],
                plugins=addresses,
                **common,
            )
        )
    )
    return parts


def prepare_database(folder: DataFolder) -> None:
    """Bring the database to this version."""
    database = dialect.open_engine(folder.database_url, readers=1)
    try:
        migrate(database)
    finally:
        database.dispose()
