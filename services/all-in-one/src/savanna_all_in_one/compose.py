"""Every service in one process: the same builders, the same wire, sockets in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import savanna_api_gateway.main as gateway
import savanna_conductor.main as conductor
import savanna_engine.main as engine
import savanna_scheduler.main as scheduler
import savanna_simulator.main as simulator
from savanna_api_gateway.settings import ApiSettings
from savanna_conductor.alone import end_former_life
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

    S = TypeVar("S", bound=settings.ServiceSettings)


def compose(given: AllSettings, folder: DataFolder, sockets: Path) -> list[Parts]:
    """Build all services, in the order in which they start."""
    return _House(given, folder, sockets).parts()


class _House:
    """All services of one process, and where each finds the others."""

    def __init__(self, given: AllSettings, folder: DataFolder, sockets: Path) -> None:
        self._given = given
        self._folder = folder
        self._sockets = sockets
        self._kinds = plugin_service.installed()
        self._plugins = [*(self._at(f"plugin-{name}") for name in self._kinds), *given.plugins]

    def parts(self) -> list[Parts]:
        """Build them."""
        is_inside = self._given.cloud == "simulated" and not self._given.simulator
        simulated = [self._simulator()] if is_inside else []
        return [
            self._conductor(),
            *(self._plugin(name) for name in self._kinds),
            *simulated,
            self._scheduler(),
            self._engine(),
            self._gateway(),
        ]

    def _at(self, name: str) -> str:
        return f"unix:{self._sockets / name}"

    def _load(self, kind: type[S], **values: object) -> S:
        return settings.load(kind, drain_seconds=self._given.drain_seconds, **values)

    def _conductor(self) -> Parts:
        return conductor.build(
            self._load(
                ConductorSettings,
                listen=self._at("conductor"),
                database_url=self._folder.database_url,
                key_file=self._folder.key_file,
            )
        )

    def _plugin(self, name: str) -> Parts:
        chosen = plugin_service.PluginSettings(
            _env_prefix=f"SAVANNA_PLUGIN_{name.upper()}_",
            listen=self._at(f"plugin-{name}"),
            drain_seconds=self._given.drain_seconds,
        )
        return plugin_service.build(self._kinds[name](), chosen)

    def _simulator(self) -> Parts:
        boot_seconds = self._given.boot_seconds
        listen = self._at("simulator")
        return simulator.build(
            self._load(SimulatorSettings, listen=listen, boot_seconds=boot_seconds)
        )

    def _scheduler(self) -> Parts:
        return scheduler.build(
            self._load(
                SchedulerSettings, listen=self._at("scheduler"), conductor=self._at("conductor")
            )
        )

    def _engine(self) -> Parts:
        return engine.build(
            self._load(
                EngineSettings,
                listen=self._at("engine"),
                engine_id="engine",
                conductor=self._at("conductor"),
                plugins=self._plugins,
                cloud=self._given.cloud,
                local_dir=self._folder.hosts,
                local_hosts=self._given.local_hosts,
                simulator=self._given.simulator or self._at("simulator"),
            )
        )

    def _gateway(self) -> Parts:
        return gateway.build(
            self._load(
                ApiSettings,
                listen=self._given.grpc,
                rest_listen=self._given.rest,
                auth=self._given.auth,
                conductor=self._at("conductor"),
                engines=[self._at("engine")],
                plugins=self._plugins,
            )
        )


def prepare_database(folder: DataFolder) -> None:
    """Bring the database to this version, and end the leases of the process before: the folder is
    held, so it is dead."""
    database = dialect.open_engine(folder.database_url, readers=1)
    try:
        migrate(database)
        end_former_life(database)
    finally:
        database.dispose()
