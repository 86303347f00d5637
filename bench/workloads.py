"""Graphs of tasks that do nothing, by the name of the cluster that asks for them: "fan-10000",
"chain-1000", "launch-1000", "rollback-1000", "ticks-50"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.engine.v1.step_pb2 import StepBody
from savanna.operation.v1.operation_pb2 import Task, TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna.conductor.v1.facts_service_pb2 import GetPlanFactsResponse

NOTHING, TICK, FAILING = "noop", "tick", "failing"
TICK_SECONDS = 0.1
_STEPS = ("create", "await", "configure", "start")
_FAILS_EVERY = 50
"""One node in so many fails: 2 %."""


def shape(cluster_name: str) -> tuple[str, int]:
    """Read the kind and the size of a workload from the name of its cluster."""
    kind, size, *_ = cluster_name.split("-")
    return kind, int(size)


def graph(cluster_name: str) -> list[tuple[str, str, list[str]]]:
    """Give the tasks of a workload: key, kind of step, keys needed before."""
    kind, size = shape(cluster_name)
    if kind == "fan":
        return [(f"task/{n}", NOTHING, []) for n in range(size)]
    if kind in ("chain", "ticks"):
        step = TICK if kind == "ticks" else NOTHING
        return [(f"task/{n}", step, [f"task/{n - 1}"] if n else []) for n in range(size)]
    return [
        ("prepare", NOTHING, []),
        *(each for n in range(size) for each in _node(n, fails=kind == "rollback")),
    ]


def _node(number: int, *, fails: bool) -> list[tuple[str, str, list[str]]]:
    """Give the steps of a node of a launch; all but the first wait for the master's start."""
    tasks = []
    before = "prepare"
    for step in _STEPS:
        broken = fails and step == "configure" and number % _FAILS_EVERY == _FAILS_EVERY - 1
        needs = [before]
        if step == "start" and number:
            needs.append("start/0")
        before = f"{step}/{number}"
        tasks.append((before, FAILING if broken else NOTHING, needs))
    return tasks


def undo(facts: GetPlanFactsResponse) -> list[tuple[str, str, list[str]]]:
    """Give the way back of all that succeeded: each step after those that came after it."""
    done = {each.key: each for each in facts.tasks if each.state == Task.STATE_SUCCEEDED}
    after: dict[str, list[str]] = {key: [] for key in done}
    for key, each in done.items():
        for need in each.needs:
            after[need].append(f"undo/{key}")
    return [(f"undo/{key}", NOTHING, needs) for key, needs in after.items() if key[:5] != "plan/"]


def specs(tasks: Iterable[tuple[str, str, list[str]]], body: StepBody) -> list[TaskSpec]:
    """Give tasks as a planner asks for them."""
    told = StepBody(cluster_id=body.cluster_id, project_id=body.project_id).SerializeToString()
    return [
        TaskSpec(
            key=key,
            kind=kind,
            pool="ssh",
            title="Do nothing",
            instance=key.rpartition("/")[2],
            needs=needs,
            body=told,
        )
        for key, kind, needs in tasks
    ]
