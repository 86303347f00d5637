"""How operations look to people: a line of a list, a tree of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from savanna.operation.v1.operation_pb2 import Attempt, Operation, Task
from savanna_cli import failures, output, words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from savanna.api.v1.cluster_service_pb2 import GetOperationResponse
    from savanna.operation.v1.operation_pb2 import Failure, TaskHistory
    from savanna_cli.session import Session

_SYMBOLS = {
    Task.STATE_PENDING: "·",
    Task.STATE_ASSIGNED: "▸",
    Task.STATE_SUCCEEDED: "✓",
    Task.STATE_FAILED: "✗",
    Task.STATE_SKIPPED: "-",
}
_STYLES = {
    Task.STATE_ASSIGNED: "cyan",
    Task.STATE_SUCCEEDED: "green",
    Task.STATE_FAILED: "red",
}
_CUT_SHORT = (Attempt.OUTCOME_LOST, Attempt.OUTCOME_INTERRUPTED)
_MANY = 12
"""Hosts of one title that are all listed when nothing is special about them."""


def row(each: Operation, now: datetime) -> tuple[str | Text, ...]:
    """Give a line of the list."""
    state = words.operation_state(each.state)
    begun = words.ago(each.create_time, now)
    return (
        each.id,
        words.GOALS.get(each.goal, "?"),
        each.cluster_name,
        Text(state, style=words.style_of(state)),
        f"{each.tasks.succeeded}/{each.tasks.total}" if each.tasks.total else "",
        begun,
        words.between(each.create_time, each.end_time, now),
    )


def tell(session: Session, answer: GetOperationResponse, *, every: bool) -> None:
    """Show one with its steps."""
    found, now = answer.operation, session.now()
    output.show(session.out, _tree(answer, now, every=every))
    session.out.print()
    if found.HasField("failure"):
        failures.tell_failure(session.out, found.failure, _next(found))
        return
    pairs = [
        ("id", found.id),
        ("job", found.job_id),
        ("tries again", found.retry_of),
        ("takes back", found.rollback_of),
        ("held", found.held_reason),
        ("cancel", "asked for" if found.cancel_requested else ""),
        ("begun", words.ago(found.create_time, now)),
        ("deadline", "" if found.HasField("end_time") else words.until(found.deadline, now)),
        ("next", Text(_next(found), style="bold")),
    ]
    output.show(session.out, output.facts(pairs, indent=2))


def _next(found: Operation) -> str:
    if found.state in (Operation.STATE_HELD, Operation.STATE_PENDING, Operation.STATE_RUNNING):
        return f"savanna operation watch {found.id}"
    if found.job_id:
        return f"savanna job output {found.job_id} --stderr"
    if found.state != Operation.STATE_SUCCEEDED:
        return f"savanna operation retry {found.id}"
    if found.goal == Operation.GOAL_DELETE:
        return "savanna cluster list"
    return f"savanna cluster show {found.cluster_name}"


def _tree(answer: GetOperationResponse, now: datetime, *, every: bool) -> Tree:
    found = answer.operation
    state = words.operation_state(found.state)
    took = words.between(found.create_time, found.end_time, now)
    engines = {each.engine_id for task in answer.tasks for each in task.attempts if each.engine_id}
    steps = len(answer.tasks)
    head = Text.assemble(
        (words.goal(found), "bold"),
        "  ",
        (state, words.style_of(state)),
        f"  {took}",
        (f"  {steps} steps on {_counted(len(engines), 'engine')}" if engines else "", "dim"),
    )
    tree = Tree(head, guide_style="dim")
    for title, tasks in _by_title(answer.tasks).items():
        _add_title(tree, title, tasks, now, every=every)
    if found.HasField("purge_time"):
        tree.add(Text(_purged(found), style="dim"))
    return tree


def _purged(found: Operation) -> str:
    steps = _counted(found.tasks.total, "step")
    return f"it had {steps}; they were kept until {words.date(found.purge_time)}"


def _by_title(tasks: Sequence[TaskHistory]) -> dict[str, list[TaskHistory]]:
    """Group steps by title in the order of their plan; planning itself comes last."""
    ordered = sorted(tasks, key=lambda each: each.task.spec.is_plan)
    groups: dict[str, list[TaskHistory]] = {}
    for each in ordered:
        groups.setdefault(each.task.spec.title, []).append(each)
    return groups


def _add_title(
    tree: Tree, title: str, tasks: Sequence[TaskHistory], now: datetime, *, every: bool
) -> None:
    done = sum(each.task.state == Task.STATE_SUCCEEDED for each in tasks)
    line = Text.assemble(
        _mark(_state(tasks)),
        f" {title}",
        (f"  {done}/{len(tasks)}  {_span(tasks, now)}".rstrip(), "dim"),
    )
    branch = tree.add(line)
    listed = [each for each in tasks if every or len(tasks) <= _MANY or _is_special(each)]
    names = {each.task.id: _host(each) for each in listed}
    if len(set(names.values())) < len(names):
        # Several steps of one host: what kind they are tells them apart.
        names = {each.task.id: f"{_host(each)}  {_kind(each)}" for each in listed}
    width = max(map(len, names.values()), default=0)
    for each in listed:
        leaf = branch.add(_step(each, now, f"{names[each.task.id]:<{width}}"))
        for attempt in each.attempts:
            if attempt.HasField("failure") or attempt.outcome in _CUT_SHORT:
                leaf.add(_attempt(attempt, now))
    if len(listed) < len(tasks):
        branch.add(Text(f"{len(tasks) - len(listed)} more without trouble: --all", style="dim"))


def _step(each: TaskHistory, now: datetime, name: str) -> Text:
    task = each.task
    engine = each.attempts[-1].engine_id if each.attempts else ""
    parts = [
        name,
        f"{words.between(_start(each), task.end_time, now) or '':>8}",
        engine,
    ]
    line = Text.assemble(_mark(task.state), f" {'  '.join(parts)}".rstrip())
    if _is_troubled(each):
        line.append(f"  {_counted(len(each.attempts), 'try')}", style="yellow")
    if task.state == Task.STATE_PENDING and task.HasField("waiting_since_time"):
        line.append("  not yet; it is asked again and again", style="dim")
    elif task.state in (Task.STATE_PENDING, Task.STATE_SKIPPED):
        line.append(f"  {words.task_state(task.state)}", style="dim")
    return line


def _attempt(attempt: Attempt, now: datetime) -> Text:
    took = words.between(attempt.start_time, attempt.end_time, now)
    line = Text.assemble(
        (words.outcome(attempt.outcome), "red"), f"  {attempt.engine_id}  {took}".rstrip()
    )
    if attempt.HasField("failure"):
        line.append(f"  {_sentence(attempt.failure)}")
    return line


def _sentence(failure: Failure) -> str:
    code = f" (exit code {failure.exit_code})" if failure.HasField("exit_code") else ""
    return f"{failure.reason}: {failure.message}{code}"


def _start(each: TaskHistory) -> Timestamp:
    # A step that waits is handed out again and again: it began with the first time.
    return each.attempts[0].start_time if each.attempts else each.task.start_time


def _host(each: TaskHistory) -> str:
    spec = each.task.spec
    return spec.instance or ("the cluster" if not spec.is_plan else spec.key)


def _kind(each: TaskHistory) -> str:
    return each.task.spec.kind.replace("_", " ")


def _is_special(each: TaskHistory) -> bool:
    return each.task.state != Task.STATE_SUCCEEDED or _is_troubled(each)


def _is_troubled(each: TaskHistory) -> bool:
    task = each.task
    return bool(task.failed_attempts + task.lost_attempts + task.interruptions)


def _state(tasks: Sequence[TaskHistory]) -> Task.State.ValueType:
    states = {each.task.state for each in tasks}
    for state in (Task.STATE_FAILED, Task.STATE_ASSIGNED, Task.STATE_PENDING, Task.STATE_SKIPPED):
        if state in states:
            return state
    return max(states)


def _mark(state: Task.State.ValueType) -> Text:
    return Text(_SYMBOLS.get(state, "·"), style=_STYLES.get(state, "dim"))


def _span(tasks: Sequence[TaskHistory], now: datetime) -> str:
    starts = [words.moment(_start(each)) for each in tasks if words.moment(_start(each))]
    if not starts:
        return ""
    ends = [words.moment(each.task.end_time) for each in tasks]
    end = max(ends) if all(ends) else now.timestamp()
    return words.seconds(end - min(starts))


def _counted(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
