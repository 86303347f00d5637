"""Large graphs: the work for an event does not grow with what is known."""

from __future__ import annotations

import time
from random import Random

import pytest

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from savanna_scheduler.core.scheduler import SchedulerCore

Task = operation_pb2.Task
Verdict = execution.Verdict
COUNT = 10_000


def drive(tasks: list[Task], *, engines: int) -> float:
    """Let tasks go through a core with engines that succeed at once; gives CPU seconds."""
    core = SchedulerCore("s1", Policy(), Random(1))
    graph = execution.Graph(operation=operation_pb2.Operation(id="op", project_id="p"), tasks=tasks)
    pending: list[events.Event] = [
        events.Hello(f"e{n}", {"ssh": 64}, {}, 6.0) for n in range(engines)
    ]
    pending.append(events.Claimed(graph, 0.0))
    done, begin = 0, time.process_time()
    while pending and done < len(tasks):
        for command in core.handle(pending.pop(0), 0.0):
            if isinstance(command, events.Commit):
                verdicts = [Verdict(code=Verdict.CODE_APPLIED) for _ in command.changes]
                pending.append(events.Committed(command.number, verdicts))
            elif isinstance(command, events.Send) and command.message.HasField("run"):
                refs = [each.attempt for each in command.message.run.assignments]
                results = [stream.Result(attempt=ref, succeeded=stream.Succeeded()) for ref in refs]
                pending.append(events.Done(command.session_id, results))
            elif isinstance(command, events.Send) and command.message.HasField("done_ack"):
                done += len(command.message.done_ack.attempts)
    assert done == len(tasks)
    return time.process_time() - begin


def task(number: int, *needs: int) -> Task:
    spec = operation_pb2.TaskSpec(
        key=f"t{number}", kind="run", pool="ssh", needs=[f"t{each}" for each in needs]
    )
    return Task(id=f"id{number}", operation_id="op", spec=spec, state=Task.STATE_PENDING)


@pytest.mark.parametrize("shape", ["fan", "chain", "join"])
def test_ten_thousand_tasks_take_the_core_less_than_a_second(shape: str) -> None:
    tasks = {
        "fan": lambda: [task(n) for n in range(COUNT)],
        "chain": lambda: [task(n, *([n - 1] if n else [])) for n in range(COUNT)],
        "join": lambda: [
            *(task(n) for n in range(COUNT - 1)),
            task(COUNT - 1, *range(COUNT - 1)),
        ],
    }[shape]()
    # Twice the promise: this machine may be busy.
    assert drive(tasks, engines=4) < 2.0


def test_the_time_for_each_task_does_not_grow_with_their_number() -> None:
    small = min(drive([task(n) for n in range(1000)], engines=4) for _ in range(3)) / 1000
    large = drive([task(n) for n in range(COUNT)], engines=4) / COUNT
    assert large < 4 * small


def test_an_engine_that_reconnects_costs_no_scan_of_all_tasks() -> None:
    core = SchedulerCore("s1", Policy(), Random(1))
    graph = execution.Graph(
        operation=operation_pb2.Operation(id="op", project_id="p"),
        tasks=[task(n) for n in range(COUNT)],
    )
    core.handle(events.Claimed(graph, 0.0), 0.0)
    begin = time.process_time()
    for _ in range(500):
        core.handle(events.Hello("e1", {}, {}, 6.0), 0.0)
    assert time.process_time() - begin < 0.5
