"""The clouds that an engine can be told to use; each is imported only when it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_kit.settings import SettingsError

if TYPE_CHECKING:
    from savanna_engine.cloud.base import Cloud
    from savanna_engine.remote.base import Remote
    from savanna_engine.settings import EngineSettings
    from savanna_kit.channels import Peer


def open_cloud(given: EngineSettings, peer: Peer | None = None) -> tuple[Cloud, Remote]:
    """Give the cloud and the channel to its hosts; ``peer`` is who a simulator must be.

    Raises ``SettingsError`` for a cloud that does not exist.
    """
    if given.cloud == "local":
        from savanna_engine.cloud.local import LocalCloud
        from savanna_engine.remote.fabric import FabricRemote

        namespace = str(given.local_network or "")
        cloud = LocalCloud(given.local_dir, hosts=given.local_hosts, namespace=namespace)
        return cloud, FabricRemote()
    if given.cloud == "simulated":
        from savanna_engine.cloud.simulated import SimulatedCloud
        from savanna_engine.remote.simulated import SimulatedRemote

        return (
            SimulatedCloud(given.simulator, peer),
            SimulatedRemote(given.simulator, peer),
        )
    raise SettingsError(f"SAVANNA_ENGINE_CLOUD={given.cloud} is not known; use local or simulated")
