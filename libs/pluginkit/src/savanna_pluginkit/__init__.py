"""What a plugin author needs; ``savanna_pluginkit.conformance`` says whether it was used well."""

from savanna_kit.errors import InvalidArgument
from savanna_kit.settings import prefixed
from savanna_pluginkit.about import ENABLED, HIDDEN, STABLE, About, JobKind, Label, Version
from savanna_pluginkit.jobs import JobView
from savanna_pluginkit.options import (
    CLUSTER,
    NODE,
    AnyOption,
    BoolOption,
    ChoiceOption,
    IntOption,
    Option,
    TextOption,
)
from savanna_pluginkit.plugin import Plugin
from savanna_pluginkit.problems import Problems, Reason
from savanna_pluginkit.service import PluginSettings, build, installed, serve
from savanna_pluginkit.steps import (
    CONFIGURED,
    NO_STATE,
    NOT_YET,
    READY,
    Steps,
    address_of,
    binary,
    file,
)
from savanna_pluginkit.views import ClusterView, GroupView, InstanceView

__all__ = [
    "CLUSTER",
    "CONFIGURED",
    "ENABLED",
    "HIDDEN",
    "NODE",
    "NOT_YET",
    "NO_STATE",
    "READY",
    "STABLE",
    "About",
    "AnyOption",
    "BoolOption",
    "ChoiceOption",
    "ClusterView",
    "GroupView",
    "InstanceView",
    "IntOption",
    "InvalidArgument",
    "JobKind",
    "JobView",
    "Label",
    "Option",
    "Plugin",
    "PluginSettings",
    "Problems",
    "Reason",
    "Steps",
    "TextOption",
    "Version",
    "address_of",
    "binary",
    "build",
    "file",
    "installed",
    "prefixed",
    "serve",
]
