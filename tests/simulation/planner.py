"""What operations of the simulation are about: a graph of steps that depends on their name alone,
planned again and again from the facts."""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream

if TYPE_CHECKING:
    from tests.unit.scheduler.database import Database

Operation = operation_pb2.Operation
Task = operation_pb2.Task
TaskSpec = operation_pb2.TaskSpec

OPEN = (Task.STATE_PENDING, Task.STATE_ASSIGNED)


def plan(database: Database, operation_id: str) -> stream.Succeeded:
    """Plan like an engine: facts in, steps or an end out."""
    tasks = {
        each.spec.key: each for each in database.tasks_of(operation_id) if not each.spec.is_plan
    }
    done = stream.Succeeded()
    if database.operations[operation_id].message.cancel_requested:
        _plan_back(tasks, done)
    elif failed := _for_good(operation_id, tasks):
        _plan_after_failure(operation_id, tasks, failed, done)
    else:
        _plan_on(operation_id, tasks, done)
    return done


def _for_good(operation_id: str, tasks: dict[str, Task]) -> list[Task]:
    """List steps that failed and are not replaced."""
    most = _replacements(operation_id)
    return [
        each
        for each in tasks.values()
        if each.state == Task.STATE_FAILED and _number(each.spec.key) > most
    ]


def _plan_on(operation_id: str, tasks: dict[str, Task], done: stream.Succeeded) -> None:
    """Ask for what is missing, one stage after the other: the next is known when the last is done.

    Some planners ask for all of a stage each time; some replace what failed.
    """
    repeats = Random(operation_id).random() < 0.5
    for stage in stages(operation_id):
        names: dict[str, str] = {}
        for spec in stage:
            name = names[spec.key] = _newest(spec.key, tasks)
            if repeats or name not in tasks:
                done.spawn.append(spec)
                done.spawn[-1].key = name
                done.spawn[-1].needs[:] = [names[each] for each in spec.needs]
        if not all(is_done(spec.key, tasks) for spec in stage):
            return
        del done.spawn[:]
    done.conclusion.state = Operation.STATE_SUCCEEDED


def is_done(key: str, tasks: dict[str, Task]) -> bool:
    """Say whether a step or what replaced it succeeded."""
    name = _newest(key, tasks)
    return name in tasks and tasks[name].state == Task.STATE_SUCCEEDED


def _newest(key: str, tasks: dict[str, Task]) -> str:
    """Name the step, or what is to take its place."""
    name, number = key, 1
    while name in tasks and tasks[name].state in (Task.STATE_FAILED, Task.STATE_SKIPPED):
        number += 1
        name = f"{key}~{number}"
    return name


def _number(key: str) -> int:
    return int(key.partition("~")[2] or 1)


def _replacements(operation_id: str) -> int:
    return Random(f"{operation_id} replaces").choice((0, 0, 2))


def _plan_back(tasks: dict[str, Task], done: stream.Succeeded) -> None:
    number = 1
    while (key := f"undo~{number}") in tasks and tasks[key].state == Task.STATE_SKIPPED:
        number += 1
    if key not in tasks:
        done.spawn.add(key=key, kind="run", pool="ssh")
    elif tasks[key].state not in OPEN:
        done.conclusion.state = Operation.STATE_CANCELLED


def _plan_after_failure(
    operation_id: str, tasks: dict[str, Task], failed: list[Task], done: stream.Succeeded
) -> None:
    patient = Random(operation_id).random() < 0.5
    still_open = [key for key, each in tasks.items() if each.state in OPEN]
    if patient and still_open:
        done.unwanted.extend(still_open)
    else:
        done.conclusion.state = Operation.STATE_FAILED
        done.conclusion.failure.reason = failed[0].failure.reason


@lru_cache(maxsize=64)
def stages(operation_id: str) -> list[list[TaskSpec]]:
    """Give the steps of an operation: on hosts, and in the cloud."""
    chance = Random(operation_id)
    found = []
    for stage in range(chance.randint(1, 2)):
        specs = []
        for number in range(chance.randint(1, 8)):
            needs = chance.sample(range(number), chance.randint(0, min(2, number)))
            is_cloud = chance.random() < 0.4
            spec = TaskSpec(
                key=f"t{stage}.{number}",
                kind="make" if is_cloud else "run",
                pool="cloud" if is_cloud else "ssh",
                needs=[f"t{stage}.{each}" for each in needs],
            )
            if is_cloud:
                spec.limits["cloud"] = 2
            elif chance.random() < 0.5:
                spec.limits["host"] = chance.randint(1, 2)
            spec.retry.max_attempts = 5
            spec.retry.initial_backoff.FromMilliseconds(300)
            specs.append(spec)
        found.append(specs)
    return found
