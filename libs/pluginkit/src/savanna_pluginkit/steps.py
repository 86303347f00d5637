"""Steps, built one by one: what to run where, after what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import RetryPolicy
from savanna.plugin.v1 import plugin_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from savanna_pluginkit.views import InstanceView

NO_STATE = Instance.STATE_UNSPECIFIED
"""The instance stays as far as it is."""

CONFIGURED = Instance.STATE_CONFIGURED
"""The instance has all it needs to start its processes."""

READY = Instance.STATE_READY
"""The processes of the instance run."""
NOT_YET = 75
"""Exit code of a script that shall be run again later; it uses up no try."""

_LONGEST_KEY = 200
_LARGEST_FILE = 2**20


class Steps:
    """Gathers the steps of one plan.

    A key is a step's identity: the same facts, the same keys.
    """

    def __init__(self) -> None:
        self._steps: dict[str, pb.Step] = {}
        self._info: dict[str, dict[str, str]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._steps

    def among(self, *keys: str) -> list[str]:
        """Give those keys that were added already: what is done needs no step and no waiting."""
        return [each for each in keys if each in self._steps]

    def run_script(
        self,
        key: str,
        *,
        on: InstanceView,
        title: str,
        text: str,
        environment: Mapping[str, str | pb.Value] | None = None,
        files: Sequence[pb.File] = (),
        needs: Sequence[str] = (),
        reaches: Instance.State.ValueType = NO_STATE,
        tries: int | None = None,
        timeout: float | None = None,
        patience: float | None = None,
    ) -> str:
        """Add a script that runs to its end; gives the key.

        It may be cut off anywhere and run again, so it looks first and then makes. ``timeout`` is
        of one try, ``patience`` of all "not yet" answers together, both in seconds.
        """
        step = self._add(key, on=on, title=title, needs=needs, tries=tries)
        step.reaches = reaches
        step.run_script.CopyFrom(_script(text, environment, files))
        if timeout is not None:
            step.timeout.CopyFrom(_seconds(timeout))
        if patience is not None:
            step.patience.CopyFrom(_seconds(patience))
        return key

    def put_files(
        self,
        key: str,
        *,
        on: InstanceView,
        title: str,
        files: Sequence[pb.File],
        needs: Sequence[str] = (),
        reaches: Instance.State.ValueType = NO_STATE,
    ) -> str:
        """Add files that are put in place, nothing more; gives the key."""
        return self.run_script(
            key, on=on, title=title, text=":\n", files=files, needs=needs, reaches=reaches
        )

    def run_job(
        self,
        key: str,
        *,
        on: InstanceView,
        title: str,
        text: str,
        environment: Mapping[str, str | pb.Value] | None = None,
        files: Sequence[pb.File] = (),
        needs: Sequence[str] = (),
    ) -> str:
        """Add the program of a job: started once, looked after until it ends; gives the key."""
        if any(each.HasField("run_job") for each in self._steps.values()):
            raise ValueError("a plan has one run_job step at most")
        step = self._add(key, on=on, title=title, needs=needs, tries=None)
        step.run_job.CopyFrom(_script(text, environment, files))
        return key

    def tell(self, section: str, name: str, value: str) -> None:
        """Tell users something about the cluster, for example where a web page is."""
        self._info.setdefault(section, {})[name] = value

    def response(self) -> pb.PlanResponse:
        """Give the message.

        Raises ``ValueError`` for a need that is not a step of this plan.
        """
        for step in self._steps.values():
            if missing := [each for each in step.needs if each not in self._steps]:
                raise ValueError(f"step {step.key} needs {missing}, not steps of this plan")
        response = pb.PlanResponse(steps=self._steps.values())
        for section, pairs in self._info.items():
            response.info.sections[section].values.update(pairs)
        return response

    def _add(
        self, key: str, *, on: InstanceView, title: str, needs: Sequence[str], tries: int | None
    ) -> pb.Step:
        if not key or len(key) > _LONGEST_KEY:
            raise ValueError(f"the key {key!r} has {len(key)} characters, not 1 to {_LONGEST_KEY}")
        if key in self._steps:
            raise ValueError(f"the key {key} is used twice")
        step = pb.Step(key=key, title=title, instance=on.name, needs=needs)
        if tries is not None:
            step.retry.CopyFrom(RetryPolicy(max_attempts=tries))
        self._steps[key] = step
        return step


def address_of(instance: InstanceView) -> pb.Value:
    """Refer to the address of an instance; the step waits until it is known."""
    return pb.Value(address_of=instance.name)


def file(path: str, content: str | bytes, *, mode: int = 0o644) -> pb.File:
    """Make a file of at most 1 MiB; a relative path lies in the script's working directory."""
    data = content.encode() if isinstance(content, str) else content
    if len(data) > _LARGEST_FILE:
        raise ValueError(f"{path} has {len(data)} bytes; give large files as job binaries")
    return pb.File(path=path, content=data, mode=mode)


def binary(path: str, job_binary_id: str, *, mode: int = 0o644) -> pb.File:
    """Make a file out of a job binary's bytes."""
    return pb.File(path=path, job_binary_id=job_binary_id, mode=mode)


def _script(
    text: str, environment: Mapping[str, str | pb.Value] | None, files: Sequence[pb.File]
) -> pb.Script:
    values = {
        name: pb.Value(literal=value) if isinstance(value, str) else value
        for name, value in (environment or {}).items()
    }
    return pb.Script(text=text, environment=values, files=files)


def _seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(int(value * 1_000_000))
    return duration
