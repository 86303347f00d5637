"""Plugins and the types of jobs that they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.plugin.v1.plugin_service_pb2 import ConfigOption
from savanna_api_gateway.core.job_templates import JOB_TYPES
from savanna_api_gateway.rest import schemas
from savanna_api_gateway.rest.routing import Route
from savanna_api_gateway.rest.schemas import BodySchema
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from savanna.plugin.v1 import plugin_service_pb2 as pb
    from savanna_api_gateway.plugins import PluginDirectory
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json
    from savanna_kit.context import RequestContext

_SCOPES = {ConfigOption.SCOPE_CLUSTER: "cluster"}
_TYPES = {
    ConfigOption.TYPE_INT: "int",
    ConfigOption.TYPE_BOOL: "bool",
    ConfigOption.TYPE_DROPDOWN: "dropdown",
}
_LABEL = schemas.mapping({"status": schemas.FLAG})
_LABELS = schemas.mapping(dict.fromkeys(("hidden", "stable", "enabled", "deprecated"), _LABEL))
_CHANGE = schemas.mapping(
    {
        "plugin_labels": _LABELS,
        "version_labels": {"type": "object", "additionalProperties": _LABELS},
    }
)


class PluginRoutes:
    """The routes of plugins."""

    def __init__(self, plugins: PluginDirectory) -> None:
        self._plugins = plugins

    def routes(self) -> list[Route]:
        """Give the routes."""
        one = "/plugins/{name}"
        change = BodySchema(_CHANGE)
        types = ("type", "plugin_name", "plugin_version", "hints")
        hints = "/job-templates/config-hints/{type}"
        return [
            Route("GET", "/plugins", self.index),
            Route("GET", one, self.show, find=self.find),
            Route("GET", f"{one}/{{version}}", self.show_version, find=self.find_version),
            Route("PATCH", one, self.change, find=self.find, body=change, role="admin"),
            Route("GET", "/job-types", self.job_types, query=types),
            Route("GET", hints, self.config_hints, find=self.find_type),
        ]

    async def find(self, caller: RequestContext, path: Mapping[str, str]) -> pb.Plugin:
        """Read the one that a path names."""
        del caller
        return await self._plugins.get(path["name"])

    async def find_version(
        self, caller: RequestContext, path: Mapping[str, str]
    ) -> tuple[pb.Plugin, pb.Version]:
        """Read the version that a path names."""
        plugin = await self.find(caller, path)
        for version in plugin.versions:
            if version.version == path["version"]:
                return plugin, version
        raise errors.NotFound(
            f"plugin {plugin.name!r} has the versions "
            f"{', '.join(each.version for each in plugin.versions)}",
            reason="NOT_FOUND",
            metadata={"plugin_name": plugin.name, "version": path["version"]},
        )

    async def find_type(self, caller: RequestContext, path: Mapping[str, str]) -> pb.JobType:
        """Read the type of job that a path names, as the first plugin that runs it says it."""
        del caller
        for plugin in await self._plugins.plugins():
            for version in plugin.versions:
                for each in version.job_types:
                    if each.name == path["type"]:
                        return each
        raise errors.NotFound(
            "list the job types to see which there are",
            reason="NOT_FOUND",
            metadata={"job_type": path["type"]},
        )

    async def index(self, call: Call) -> Json:
        """List them."""
        del call
        return {"plugins": [_plugin(each) for each in await self._plugins.plugins()]}

    async def show(self, call: Call) -> Json:
        """Show one."""
        return {"plugin": _plugin(call.subject)}

    async def show_version(self, call: Call) -> Json:
        """Show one with all that a version of it says."""
        plugin, version = call.subject
        return {"plugin": {**_plugin(plugin), **_details(version)}}

    async def change(self, call: Call) -> Json:
        """Refuse: labels belong to the plugin."""
        raise errors.Unimplemented(
            f"Labels of plugin {call.subject.name} can not be changed\n"
            "They are what the plugin says of itself: to keep it from use, take its address out "
            "of the gateway's setting SAVANNA_API_PLUGINS",
            reason="NOT_IMPLEMENTED",
        )

    async def job_types(self, call: Call) -> Json:
        """List the types of jobs, each with the plugins that run it."""
        wanted = {name: call.query.getlist(name) for name in ("type", *_BY_PLUGIN)}
        with_hints = call.query.get("hints", "").lower() == "true"
        plugins = await self._plugins.plugins()
        shown = []
        for name in JOB_TYPES:
            if wanted["type"] and name not in wanted["type"]:
                continue
            runners = _runners(plugins, name, wanted, with_hints=with_hints)
            if runners:
                shown.append({"name": name, "plugins": runners})
        return {"job_types": shown}

    async def config_hints(self, call: Call) -> Json:
        """Say which configuration a type of job may want."""
        return {"job_config": _hints(call.subject)}


_BY_PLUGIN = ("plugin_name", "plugin_version")


def _plugin(plugin: pb.Plugin) -> dict[str, Json]:
    return {
        "name": plugin.name,
        "title": plugin.title,
        "description": plugin.description,
        "versions": [each.version for each in plugin.versions],
        "plugin_labels": _labels(plugin.labels),
        "version_labels": {each.version: _labels(each.labels) for each in plugin.versions},
    }


def _labels(labels: Mapping[str, pb.Label]) -> dict[str, Json]:
    return {
        name: {"status": each.status, "mutable": each.mutable, "description": each.description}
        for name, each in sorted(labels.items())
    }


def _details(version: pb.Version) -> dict[str, Json]:
    return {
        "configs": [_config(each) for each in version.configs],
        "node_processes": {each.service: list(each.processes) for each in version.services},
        "required_image_tags": list(version.required_image_tags),
    }


def _config(option: ConfigOption) -> dict[str, Json]:
    return {
        "name": option.name,
        "description": option.description or None,
        "config_type": _TYPES.get(option.type, "string"),
        "config_values": [[each, each] for each in option.choices] or None,
        "default_value": _default(option),
        "applicable_target": option.applicable_target,
        "scope": _SCOPES.get(option.scope, "node"),
        "is_optional": option.is_optional,
        "priority": option.priority,
    }


def _default(option: ConfigOption) -> Json:
    text = option.default_value
    if not text:
        return None if option.type != ConfigOption.TYPE_STRING else text
    if option.type == ConfigOption.TYPE_INT:
        return int(text)
    if option.type == ConfigOption.TYPE_BOOL:
        return text.lower() == "true"
    return text


def _runners(
    plugins: Iterable[pb.Plugin],
    name: str,
    wanted: Mapping[str, Sequence[str]],
    *,
    with_hints: bool,
) -> list[dict[str, Json]]:
    runners = []
    for plugin in plugins:
        if wanted["plugin_name"] and plugin.name not in wanted["plugin_name"]:
            continue
        found = {
            version.version: {"job_config": _hints(each)} if with_hints else {}
            for version in plugin.versions
            for each in version.job_types
            if each.name == name
            and (not wanted["plugin_version"] or version.version in wanted["plugin_version"])
        }
        if found:
            about = {"title": plugin.title, "description": plugin.description}
            runners.append({"name": plugin.name, **about, "versions": found})
    return runners


def _hints(job_type: pb.JobType) -> Json:
    configs = [
        {"name": each.name, "value": each.default_value, "description": each.description}
        for each in job_type.config_hints
    ]
    return {"configs": configs, "params": {}, "args": []}
