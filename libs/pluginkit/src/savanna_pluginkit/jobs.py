"""A job to run, with its template and the binaries that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from savanna_pluginkit.options import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from savanna.job.v1.job_pb2 import Job, JobBinary, JobTemplate
    from savanna_pluginkit.options import Option

T = TypeVar("T")


class JobView:
    """What a plugin needs to know to run a job."""

    def __init__(self, message: Job, template: JobTemplate, binaries: Sequence[JobBinary]) -> None:
        by_id = {each.id: each for each in binaries}
        self.message = message
        self.template = template
        self.mains = tuple(by_id[each] for each in template.mains if each in by_id)
        self.libs = tuple(by_id[each] for each in template.libs if each in by_id)

    @property
    def id(self) -> str:
        """Its UUID."""
        return self.message.id

    @property
    def name(self) -> str:
        """The name of its template, for people."""
        return self.template.name

    @property
    def type(self) -> str:
        """The kind of job, for example "Spark"."""
        return self.template.type

    @property
    def args(self) -> Sequence[str]:
        """The arguments of its command line, in order."""
        return tuple(self.message.configs.args)

    @property
    def params(self) -> Mapping[str, str]:
        """Its parameters by name, as text."""
        return {name: as_text(each) for name, each in self.message.configs.params.items()}

    @property
    def configs(self) -> Mapping[str, str]:
        """Its configuration by name, as text; what begins with "edp." speaks to the plugin."""
        return {name: as_text(each) for name, each in self.message.configs.configs.items()}

    def get(self, option: Option[T]) -> T:
        """Give the value of an option of the job, else its default.

        Raises ``ValueError`` for a value of another kind.
        """
        configs = self.message.configs.configs
        return option.read(configs[option.name]) if option.name in configs else option.default
