"""The whole configuration of Envoy, as text: the same description gives the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from savanna_manage.envoy import clusters, listeners
from savanna_manage.envoy.routes import KINDS
from savanna_manage.envoy.rules import entries
from savanna_manage.envoy.transport import Secrets
from savanna_manage.envoy.typed import extension

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna_manage.envoy.description import Mesh

_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_MOST_CONNECTIONS = 20000

_SOONER = {
    "name": "traces",
    "static_layer": {"tracing.opentelemetry.flush_interval_ms": 1000},
}
"""A trace shall be whole soon after its call; left to itself Envoy waits for five seconds."""


@dataclass(frozen=True)
class Configuration:
    """The files of a configuration."""

    bootstrap: str
    """The one that Envoy is started with."""

    secrets: Mapping[str, str]
    """Those that tell of certificates, by name; they lie beside it."""


def configuration(mesh: Mesh, source: str) -> Configuration:
    """Make the configuration; ``source`` is the name of the description, for the comment."""
    secrets = Secrets(mesh.folder or "")
    found = [(each, KINDS[str(each.place[1])]) for each in entries(mesh)]
    bootstrap: dict[str, Any] = {"node": {"id": "savanna-envoy", "cluster": "savanna"}}
    if mesh.admin is not None:
        bootstrap["admin"] = {"address": mesh.admin.as_envoy()}
    bootstrap["static_resources"] = {
        "listeners": [listeners.listener(entry, kind, mesh, secrets) for entry, kind in found],
        "clusters": [
            *(clusters.cluster(entry, kind, mesh.tls, secrets) for entry, kind in found),
            *([clusters.collector(mesh.traces)] if mesh.traces is not None else []),
        ],
    }
    if mesh.traces is not None:
        bootstrap["layered_runtime"] = {"layers": [_SOONER]}
    bootstrap["overload_manager"] = {"resource_monitors": [_connections()]}
    header = (
        f"# Made by `savanna-manage envoy` from {source}.\n"
        f"# Do not edit: change {source} and make it again.\n"
    )
    return Configuration(
        bootstrap=header + _text(bootstrap),
        secrets={name: header + _text(each) for name, each in sorted(secrets.files.items())},
    )


def _connections() -> dict[str, Any]:
    return extension(
        _CONNECTIONS,
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=_MOST_CONNECTIONS,
    )


class _Dumper(yaml.SafeDumper):
    """Writes everything out where it stands, and lists further in than their names."""

    def ignore_aliases(self, data: object) -> bool:
        """Write nothing as a reference to what stands elsewhere."""
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists too."""
        del indentless
        super().increase_indent(flow, False)


def _text(content: object) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000)
    return text
