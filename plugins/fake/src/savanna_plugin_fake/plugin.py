"""The shipped test double: real steps on any host, with delays and failures as its options say.

Scripts consist of the lines ``sleep N``, ``echo TEXT`` and ``exit N``, so that simulated hosts run
them like real ones.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from savanna_plugin_fake import about
from savanna_pluginkit import (
    CONFIGURED,
    READY,
    InvalidArgument,
    Plugin,
    address_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna_pluginkit import (
        About,
        ClusterView,
        GroupView,
        InstanceView,
        JobView,
        Problems,
        Steps,
    )

_PLAIN = re.compile(r"[A-Za-z0-9 .,:_/-]*")
"""Text that a shell and a simulated host print alike."""

_HOW_TO_WRITE = "Use letters, digits, blanks and .,:_/- only"


class FakePlugin(Plugin):
    """Makes nothing, as slowly and as badly as it is told to."""

    @property
    def about(self) -> About:
        """Say what Sahara's fake plugin says."""
        return about.ABOUT

    def validate(
        self, cluster: ClusterView, current: ClusterView | None, problems: Problems
    ) -> None:
        """Accept any topology; only the scripted message must be printable everywhere."""
        del current
        for group in cluster.groups:
            if not _PLAIN.fullmatch(group.get(about.FAIL_MESSAGE)):
                problems.add(group.field_of(about.FAIL_MESSAGE), f"{_HOW_TO_WRITE} in the message.")

    def validate_job(self, cluster: ClusterView, job: JobView, problems: Problems) -> None:
        """Accept any job; only the line that it prints must be printable everywhere."""
        del cluster
        if not _PLAIN.fullmatch(job.get(about.JOB_MESSAGE)):
            problems.add(
                f"configs.configs.{about.JOB_MESSAGE.name}", f"{_HOW_TO_WRITE} in the message."
            )

    def plan(self, cluster: ClusterView, steps: Steps) -> None:
        """Configure all that is new; start name nodes first; decommission what leaves."""
        for each in cluster.staying:
            if each.needs_configuring:
                _configure(steps, each)
        masters = cluster.running(about.NAMENODE)
        others = [each for each in cluster.staying if not each.runs(about.NAMENODE)]
        for each in (*masters, *others):
            if each.needs_starting:
                _start(steps, each, masters if each in others else ())
        for each in cluster.leaving:
            _decommission(steps, each)

    def plan_job(self, cluster: ClusterView, job: JobView, steps: Steps) -> None:
        """Run one script on a job tracker, else on a name node, else anywhere."""
        nodes = (
            cluster.running(about.JOBTRACKER) or cluster.running(about.NAMENODE) or cluster.staying
        )
        if not nodes:
            raise InvalidArgument(f"the cluster {cluster.name} has no node that could run a job")
        text = _job_text(nodes[0], job)
        steps.run_job("run", on=nodes[0], title="Run the job", text=text)


def _configure(steps: Steps, instance: InstanceView) -> None:
    group = instance.group
    steps.run_script(
        f"configure/{instance.name}",
        on=instance,
        title="Configure instances",
        text=_text(about.CONFIGURE, instance),
        reaches=CONFIGURED,
        tries=group.get(about.TRIES),
        timeout=group.get(about.TIMEOUT),
        patience=group.get(about.PATIENCE),
    )


def _start(steps: Steps, instance: InstanceView, masters: Iterable[InstanceView]) -> None:
    group = instance.group
    keys = [f"configure/{instance.name}", *(f"start/{each.name}" for each in masters)]
    steps.run_script(
        f"start/{instance.name}",
        on=instance,
        title="Start processes",
        text=_text(about.START, instance),
        environment={f"NAMENODE_{number}": address_of(each) for number, each in enumerate(masters)},
        needs=steps.among(*keys),
        reaches=READY,
        tries=group.get(about.TRIES),
        timeout=group.get(about.TIMEOUT),
        patience=group.get(about.PATIENCE),
    )


def _decommission(steps: Steps, instance: InstanceView) -> None:
    group = instance.group
    steps.run_script(
        f"decommission/{instance.name}",
        on=instance,
        title="Decommission instances",
        text=_text(about.DECOMMISSION, instance),
        tries=group.get(about.TRIES),
        timeout=group.get(about.TIMEOUT),
        patience=group.get(about.PATIENCE),
    )


def _text(phase: str, instance: InstanceView) -> str:
    group = instance.group
    lines = [f"echo {phase} {instance.name}", *_sleep(group.get(about.DELAYS[phase]))]
    if _is_to_fail(phase, instance):
        lines += _failure(group, group.get(about.FAIL_EXIT_CODE))
    else:
        lines.append("exit 0")
    return "\n".join(lines) + "\n"


def _job_text(instance: InstanceView, job: JobView) -> str:
    group = instance.group
    milliseconds = job.get(about.JOB_DELAY) or group.get(about.DELAYS[about.JOB])
    lines = [f"echo {job.type} job on {instance.name}"]
    lines += [f"echo argument {each}" for each in job.args if each and _PLAIN.fullmatch(each)]
    lines += _sleep(milliseconds)
    if message := job.get(about.JOB_MESSAGE):
        lines.append(f"echo {message}")
    exit_code = job.get(about.JOB_EXIT_CODE)
    if not exit_code and _is_to_fail(about.JOB, instance):
        lines += _failure(group, group.get(about.FAIL_EXIT_CODE))
    else:
        lines.append(f"exit {exit_code}")
    return "\n".join(lines) + "\n"


def _is_to_fail(phase: str, instance: InstanceView) -> bool:
    group = instance.group
    wanted = group.get(about.FAIL_INSTANCES)
    return group.get(about.FAIL_PHASE) == phase and fnmatchcase(instance.name, wanted)


def _failure(group: GroupView, exit_code: int) -> list[str]:
    return [f"echo {group.get(about.FAIL_MESSAGE)}", f"exit {exit_code}"]


def _sleep(milliseconds: int) -> list[str]:
    return [f"sleep {milliseconds / 1000:.3f}"] if milliseconds else []
