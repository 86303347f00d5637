"""What a plugin is and what it can do, said as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.plugin.v1 import plugin_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna_pluginkit.options import AnyOption

SPI_VERSION = 1
"""The version of the plugin interface that this kit speaks."""


@dataclass(frozen=True)
class Label:
    """Something said of a plugin or version that operators may be allowed to change."""

    description: str
    mutable: bool
    status: bool = True

    def describe(self) -> pb.Label:
        """Give the message."""
        return pb.Label(description=self.description, mutable=self.mutable, status=self.status)


ENABLED = Label("Plugin or its version is enabled and can be used by user.", mutable=True)
HIDDEN = Label("Existence of plugin or its version is hidden.", mutable=True)
STABLE = Label("The plugin or version is tested and kept working.", mutable=False)


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    ``required_configs`` must be given by every run of it.     ``hints`` are options of a run that
    are worth a hint; the kit checks the kinds of their values.
    """

    name: str
    needs_main: bool = True
    required_configs: tuple[str, ...] = ()
    hints: tuple[AnyOption, ...] = ()

    def describe(self) -> pb.JobType:
        """Give the message."""
        return pb.JobType(
            name=self.name,
            needs_main=self.needs_main,
            required_configs=self.required_configs,
            config_hints=[each.describe() for each in self.hints],
        )


@dataclass(frozen=True)
class Version:
    """A version of the distribution.

    ``services`` are processes by service.
    """

    version: str
    services: Mapping[str, tuple[str, ...]]
    options: tuple[AnyOption, ...] = ()
    image_tags: tuple[str, ...] = ()
    job_kinds: tuple[JobKind, ...] = ()
    labels: Mapping[str, Label] = field(default_factory=lambda: {"enabled": ENABLED})

    def describe(self) -> pb.Version:
        """Give the message."""
        return pb.Version(
            version=self.version,
            services=[
                pb.ServiceProcesses(service=service, processes=processes)
                for service, processes in self.services.items()
            ],
            configs=[each.describe() for each in self.options],
            required_image_tags=self.image_tags,
            job_types=[each.describe() for each in self.job_kinds],
            labels={name: each.describe() for name, each in self.labels.items()},
        )


@dataclass(frozen=True)
class About:
    """A plugin.

    ``versions`` has the newest first.
    """

    name: str
    title: str
    description: str
    versions: tuple[Version, ...]
    labels: Mapping[str, Label] = field(default_factory=lambda: {"enabled": ENABLED})

    def describe(self) -> pb.Plugin:
        """Give the message."""
        return pb.Plugin(
            name=self.name,
            title=self.title,
            description=self.description,
            spi_version=SPI_VERSION,
            versions=[each.describe() for each in self.versions],
            labels={name: each.describe() for name, each in self.labels.items()},
        )

    def find(self, version: str) -> Version | None:
        """Look a version up."""
        return next((each for each in self.versions if each.version == version), None)
