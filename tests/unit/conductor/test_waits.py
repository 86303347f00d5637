"""Why something waits: decided from facts alone."""

from __future__ import annotations

import pytest

from savanna.mesh.v1.mesh_pb2 import Wait
from savanna.operation.v1.operation_pb2 import Operation, Task, TaskSpec
from savanna_conductor.waits import (
    MeshFacts,
    OperationFacts,
    SchedulerFacts,
    SessionFacts,
    TaskFacts,
    oldest,
    waits_of,
)

NOW = 1_000_000_000
SECOND = 1_000_000
OWNER = "s1"


def ago(seconds: float) -> int:
    return NOW - int(seconds * SECOND)


def task(
    key: str = "start/w-0",
    *needs: str,
    pool: str = "ssh",
    state: Task.State.ValueType = Task.STATE_PENDING,
    session: str = "",
    failed: int = 0,
    not_before: int = 0,
    waiting_since: int = 0,
    created: int = ago(60),
    started: int = 0,
    is_plan: bool = False,
    limits: dict[str, int] | None = None,
) -> TaskFacts:
    kind, _, instance = key.partition("/")
    spec = TaskSpec(
        key=key,
        pool=pool,
        title=kind.title(),
        instance=instance,
        needs=needs,
        is_plan=is_plan,
        limits=limits,
    )
    return TaskFacts(spec, state, session, failed, not_before, waiting_since, created, started)


def out(key: str, *, is_plan: bool = False) -> TaskFacts:
    return task(key, state=Task.STATE_ASSIGNED, session="e1", started=ago(10), is_plan=is_plan)


def operation(
    *tasks: TaskFacts,
    owner: str = OWNER,
    state: Operation.State.ValueType = Operation.STATE_RUNNING,
    cancelled: bool = False,
    succeeded: dict[str, int] | None = None,
    held: str = "",
) -> OperationFacts:
    stored = Operation(
        id="o1", cluster_name="demo", state=state, cancel_requested=cancelled, held_reason=held
    )
    stored.create_time.FromMicroseconds(ago(100))
    return OperationFacts(stored, owner, tasks, succeeded or {})


def mesh(
    *,
    slots: int = 4,
    taken: int = 0,
    schedulers: int = 1,
    owner_alive: bool = True,
    engines: int = 1,
    engine_alive: bool = True,
    pool: str = "ssh",
    scarce: dict[tuple[str, str], int] | None = None,
) -> MeshFacts:
    lease = NOW + SECOND
    others = {f"other-{n}": SchedulerFacts(lease, True) for n in range(1, schedulers)}
    owner = SchedulerFacts(lease if owner_alive else ago(3), owner_alive)
    session = SessionFacts(
        "engine-1", lease if engine_alive else ago(2), engine_alive, {pool: slots} if slots else {}
    )
    return MeshFacts(
        now=NOW,
        schedulers={OWNER: owner, **others},
        sessions={f"e{n}": session for n in range(1, engines + 1)},
        taken={(OWNER, "e1", pool): taken},
        scarce=scarce or {},
    )


def only(operation: OperationFacts, facts: MeshFacts) -> Wait:
    [wait] = waits_of(operation, facts)
    return wait


def since(wait: Wait) -> int:
    return wait.since_time.ToMicroseconds()


def test_an_operation_that_is_held_waits_as_a_whole() -> None:
    held = operation(state=Operation.STATE_HELD, owner="", held="waits until it is launched")
    wait = only(held, mesh())
    assert (wait.reason, wait.message) == (Wait.REASON_HELD, "waits until it is launched")
    assert (wait.tasks, since(wait), wait.cluster_name) == (0, ago(100), "demo")


def test_an_operation_without_an_owner_says_whether_anybody_could_take_it() -> None:
    wait = only(operation(task(), owner="", state=Operation.STATE_PENDING), mesh())
    assert (wait.reason, since(wait)) == (Wait.REASON_NO_SCHEDULER, ago(100))
    assert wait.message == "no scheduler has taken it yet"
    alone = only(operation(task(), owner=""), mesh(owner_alive=False))
    assert alone.message == "no scheduler is there: start one"
    assert since(alone) == ago(3), "it had an owner until its lease ended"


@pytest.mark.parametrize(("schedulers", "hint"), [(2, "another one takes over"), (1, "start one")])
def test_an_operation_of_a_silent_scheduler_waits_since_its_lease_ended(
    schedulers: int, hint: str
) -> None:
    wait = only(operation(task()), mesh(owner_alive=False, schedulers=schedulers))
    assert (wait.reason, since(wait)) == (Wait.REASON_SCHEDULER_SILENT, ago(3))
    assert hint in wait.message


def test_what_a_living_engine_has_does_not_wait() -> None:
    assert waits_of(operation(out("start/w-0")), mesh(taken=1)) == []


def test_what_a_silent_engine_has_is_taken_back() -> None:
    wait = only(operation(out("start/w-0")), mesh(engine_alive=False))
    assert (wait.reason, since(wait)) == (Wait.REASON_ENGINE_SILENT, ago(2))
    assert "engine-1 is silent" in wait.message


def test_a_task_that_needs_others_names_the_first() -> None:
    waiting = operation(
        task("start/w-0", "configure/w-0", "start/m-0"), out("configure/w-0"), succeeded={}
    )
    wait = only(waiting, mesh())
    assert wait.reason == Wait.REASON_NEEDS
    assert wait.message == "needs 'Configure' (w-0) and 1 more"


def test_a_task_that_failed_waits_for_its_time() -> None:
    later = task(failed=2, started=ago(5), not_before=NOW + 3 * SECOND)
    wait = only(operation(later), mesh())
    assert (wait.reason, wait.message) == (
        Wait.REASON_RETRY,
        "failed twice: it is tried again",
    )
    assert wait.until_time.ToMicroseconds() == NOW + 3 * SECOND


def test_a_task_that_answered_not_yet_waits_since_it_first_did() -> None:
    later = task(waiting_since=ago(40), started=ago(1), not_before=NOW + SECOND)
    wait = only(operation(later), mesh())
    assert (wait.reason, since(wait)) == (Wait.REASON_NOT_YET, ago(40))


def test_a_plan_waits_for_the_one_under_way_and_the_last_one_for_everything() -> None:
    plan = task("plan/2", pool="plan", is_plan=True)
    second = operation(plan, out("plan/1", is_plan=True))
    assert only(second, mesh()).message == "waits for the plan under way"
    last = operation(plan, out("start/w-0"), cancelled=True)
    wait = only(last, mesh())
    assert (wait.reason, wait.message) == (Wait.REASON_PLAN, "waits until what runs has stopped")


def test_a_ready_task_without_any_engine_says_what_to_start() -> None:
    for facts in (mesh(engine_alive=False), mesh(engines=0), mesh(pool="cloud")):
        wait = only(operation(task()), facts)
        assert (wait.reason, wait.pool) == (Wait.REASON_NO_ENGINE, "ssh")
        assert wait.message == "no engine has ssh slots: start one"


def test_ready_tasks_for_which_no_slot_is_left_are_counted_together() -> None:
    ended = {"configure/w-0": ago(2), "configure/w-1": ago(7)}
    waiting = operation(
        task("start/w-0", "configure/w-0"), task("start/w-1", "configure/w-1"), succeeded=ended
    )
    wait = only(waiting, mesh(slots=4, taken=4))
    assert (wait.reason, wait.tasks, wait.pool) == (Wait.REASON_NO_SLOT, 2, "ssh")
    assert (wait.task_key, since(wait)) == ("start/w-1", ago(7)), "ready with its last need"
    assert wait.message == "all 4 ssh slots are taken"


def test_a_scheduler_may_use_only_its_part_of_the_slots() -> None:
    ready = operation(task())
    assert only(ready, mesh(slots=4, taken=2)).reason == Wait.REASON_HAND_OUT
    assert only(ready, mesh(slots=4, taken=2, schedulers=2)).reason == Wait.REASON_NO_SLOT


def test_a_task_waits_for_what_is_scarce_and_used_up() -> None:
    ready = operation(task(created=ago(1), limits={"host/1": 2, "cloud/1": 64}))
    for key in ((OWNER, "host/1"), ("other", "cloud/1")):
        assert only(ready, mesh(scarce={key: 1})).reason == Wait.REASON_HAND_OUT
    wait = only(ready, mesh(scarce={(OWNER, "host/1"): 2}))
    assert (wait.reason, wait.message) == (Wait.REASON_LIMIT, "all 2 of host/1 are taken")
    shared = mesh(scarce={(OWNER, "host/1"): 1}, schedulers=2)
    assert only(ready, shared).reason == Wait.REASON_LIMIT


def test_what_lacks_nothing_is_about_to_be_handed_out_and_strange_if_it_is_not() -> None:
    soon = only(operation(task(created=ago(1))), mesh())
    assert (soon.reason, soon.message) == (Wait.REASON_HAND_OUT, "about to be handed out")
    strange = only(operation(task(created=ago(9))), mesh())
    assert "the log of its scheduler says why" in strange.message
    unknown = only(operation(task(created=ago(1))), mesh(slots=0))
    assert unknown.reason == Wait.REASON_HAND_OUT, "an engine that did not say what it takes"


def test_the_most_telling_reason_comes_first() -> None:
    mixed = operation(
        task("start/w-0", "configure/w-0"),
        task("await/w-1", waiting_since=ago(4), not_before=NOW + 1),
        task("create/w-2", pool="cloud"),
    )
    assert [each.reason for each in waits_of(mixed, mesh())] == [
        Wait.REASON_NO_ENGINE,
        Wait.REASON_NOT_YET,
        Wait.REASON_NEEDS,
    ]


def test_the_oldest_is_of_what_lacks_nothing_of_its_own_or_else_of_all() -> None:
    older = only(operation(task(waiting_since=ago(90), not_before=NOW + 1)), mesh())
    ready = only(operation(task(created=ago(1))), mesh())
    assert oldest([older, ready]) == ready
    assert oldest([older]) == older
    assert oldest([]) is None
