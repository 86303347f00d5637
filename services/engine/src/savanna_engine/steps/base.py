"""What a step gets, and the three ways in which it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Facts, Instance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.engine.v1.step_pb2 import StepBody
    from savanna.operation.v1.operation_pb2 import Failure, TaskSpec
    from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion

TAIL_BYTES = 2000
"""So much of a command's output is kept as evidence."""

_COMMAND_CHARACTERS = 200


@dataclass(frozen=True)
class Work:
    """One attempt of a step."""

    task_id: str
    epoch: int
    operation_id: str
    key: str
    kind: str
    pool: str
    body: StepBody
    number: int
    timeout: float
    """Seconds."""

    instance: str
    looks: int = 0
    """How often this engine has answered "not yet" for the task before."""


@dataclass(frozen=True)
class Done:
    """It did what it should."""

    facts: Facts | None = None
    spawn: Sequence[TaskSpec] = ()
    conclusion: Conclusion | None = None
    unwanted: Sequence[str] = field(default_factory=tuple)
    replan_after: float | None = None
    """Seconds until it is to be planned again in any case."""


@dataclass(frozen=True)
class Later:
    """Not yet: to be asked again after ``seconds``."""

    seconds: float
    facts: Facts | None = None


class StepFailed(Exception):
    """It went wrong; the failure is the evidence."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def reached(work: Work, **known: str | int) -> Facts | None:
    """Give the fact that an instance has reached the state of the step, and what else is known."""
    state = work.body.reaches
    if state == Instance.STATE_UNSPECIFIED and not known:
        return None
    facts = Facts()
    instance = facts.instances.add(name=work.instance, state=state)
    for name, value in known.items():
        setattr(instance, name, value)
    return facts


def growing(looks: int, *, first: float, most: float, factor: float = 2.0) -> float:
    """Give the wait before the next look, in seconds: ``factor`` times the last, up to ``most``."""
    return min(most, first * factor ** min(looks, 16))


def tail(output: bytes) -> str:
    """Give the last lines of an output as text."""
    return output[-TAIL_BYTES:].decode("utf-8", "replace").strip()


def shortened(script: str) -> str:
    """Give the line of a script that tells most of what it does."""
    for line in script.splitlines():
        text = line.strip()
        if text and not text.startswith(("#", "set -")):
            return text[:_COMMAND_CHARACTERS]
    return ""
