"""The configuration files of a node."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from savanna_plugin_spark import options
from savanna_plugin_spark.properties import CORES_MAX, OURS, PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna_pluginkit import GroupView

_SMALL_DAEMON, _DAEMON = "256m", "512m"

_DAEMON_JAVA_OPTIONS = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
"""Daemons of Spark wait most of the time: they start faster without the optimising compiler, and
without a second look at classes that come from the image alone."""

_LAUNCHER_JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"


_LATE_COMPILER = (
    "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=10000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"
)
"""Short programs on few cores end in two thirds of the time when the optimising compiler waits
until code is hot indeed; long ones are optimised all the same."""

_SMALL_HEAP = "-XX:+UseSerialGC"


def given_properties(group: GroupView) -> dict[str, str]:
    """Give the properties that users gave to these nodes, as text."""
    given = group.given(options.SERVICE)
    found = {each.name: given[each.name] for each in PROPERTIES if each.name in given}
    if found.get(CORES_MAX.name) == "0":
        del found[CORES_MAX.name]
    return {**found, **pairs(group.get(options.MORE_PROPERTIES))}


def spark_defaults(group: GroupView) -> str:
    """Write spark-defaults.conf: this plugin's defaults, then what users gave."""
    properties = {each.name: each.describe().default_value for each in OURS}
    given = given_properties(group)
    for process in ("driver", "executor"):
        has_small_heap = f"spark.{process}.memory" not in given
        properties[f"spark.{process}.extraJavaOptions"] = (
            f"{_LATE_COMPILER} {_SMALL_HEAP}" if has_small_heap else _LATE_COMPILER
        )
    properties.update(given)
    return "".join(f"{name} {_escaped(value)}\n" for name, value in sorted(properties.items()))


def spark_env(group: GroupView) -> str:
    """Write the part of spark-env.sh that is the same on all nodes of a group."""
    variables = {
        "SPARK_DAEMON_MEMORY": group.get(options.DAEMON_MEMORY) or _daemon_memory(group),
        "SPARK_DAEMON_JAVA_OPTS": _DAEMON_JAVA_OPTIONS,
        "SPARK_LAUNCHER_OPTS": _LAUNCHER_JAVA_OPTIONS,
    }
    if cores := group.get(options.WORKER_CORES):
        variables["SPARK_WORKER_CORES"] = str(cores)
    if memory := group.get(options.WORKER_MEMORY):
        variables["SPARK_WORKER_MEMORY"] = memory
    variables.update(pairs(group.get(options.MORE_ENVIRONMENT)))
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def pairs(text: str) -> Mapping[str, str]:
    """Read pairs such as "a=1; b=2"."""
    parts = [each.strip().partition("=") for each in text.split(";") if each.strip()]
    return {name.strip(): value.strip() for name, _, value in parts}


def _daemon_memory(group: GroupView) -> str:
    only_works = set(group.processes) == {options.WORKER}
    return _SMALL_DAEMON if only_works else _DAEMON


def _escaped(value: str) -> str:
    """Write a value as java.util.Properties reads it: a backslash is doubled."""
    return value.replace("\\", "\\\\")
