"""A process that has a database to itself, started anew after its death."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_conductor.alone import end_former_life
from savanna_conductor.store import dialect
from savanna_kit.errors import Aborted
from tests.unit.conductor.changes import assign, claimed, codes, defer, finish
from tests.unit.conductor.conftest import Conductor, new_owner
from tests.unit.conductor.test_journal import Replay, history, name_of, watched

if TYPE_CHECKING:
    from savanna_conductor.settings import ConductorSettings

Attempt = operation_pb2.Attempt
Verdict = execution.Verdict
Task = operation_pb2.Task


def begin_anew(settings: ConductorSettings) -> None:
    """Do what ``savanna-all`` does when it starts."""
    engine = dialect.open_engine(settings.database_url, readers=1)
    end_former_life(engine)
    engine.dispose()


async def test_whoever_starts_anew_need_not_wait_for_the_leases_of_its_former_life(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    former, graph, session = await claimed(conductor)
    plan = graph.tasks[0]
    await former.commit(assign(plan, 1, session))
    begin_anew(settings)
    with pytest.raises(Aborted, match="has lost its lease"):
        await former.commit(finish(plan, 1, session))
    owner = await new_owner(conductor)
    again = (await owner.claim()).graphs[0].tasks[0]
    assert (again.state, again.epoch) == (Task.STATE_PENDING, 1)
    late, new = finish(plan, 1, session), assign(again, 2, await conductor.session())
    assert codes(await owner.commit(late, new)) == [Verdict.CODE_STALE, Verdict.CODE_APPLIED]


async def test_the_death_of_all_is_held_against_no_step_but_told_of_each(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    operation_id = ""
    for number in range(1, 5):
        if not operation_id:
            owner, graph, session = await claimed(conductor)
            operation_id = graph.operation.id
        else:
            owner, session = await new_owner(conductor), await conductor.session()
            graph = (await owner.claim()).graphs[0]
        task = graph.tasks[0]
        assert (task.lost_attempts, task.interruptions) == (0, number - 1)
        await owner.commit(assign(task, number, session))
        begin_anew(settings)
    answer = await history(conductor, operation_id)
    attempts = answer.tasks[0].attempts
    assert [each.outcome for each in attempts] == [Attempt.OUTCOME_INTERRUPTED] * 4
    assert {each.engine_id for each in attempts} == {"engine-1"}
    assert not answer.tasks[0].task.HasField("failure")


async def test_the_journal_replays_to_the_rows_after_the_death_of_all(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    owner, graph, session = await claimed(conductor)
    plan = graph.tasks[0]
    await owner.commit(assign(plan, 1, session))
    before = await watched(conductor, until=4)
    begin_anew(settings)
    seen = Replay(await watched(conductor, until=before[-1].sequence + 1))
    answer = await history(conductor, graph.operation.id)
    state = name_of(Task.State.Name(answer.tasks[0].task.state))
    assert seen.tasks == {plan.id: (state, 1)} == {plan.id: ("PENDING", 1)}


async def test_a_step_that_is_asked_again_and_again_is_told_right_after_the_death_of_all(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    owner, graph, session = await claimed(conductor)
    plan, operation_id = graph.tasks[0], graph.operation.id
    await owner.commit(assign(plan, 1, session))
    await owner.commit(defer(plan, 1, session))
    # The next look at it is told to nobody.
    await owner.commit(assign(plan, 2, session))
    begin_anew(settings)
    owner, session = await new_owner(conductor), await conductor.session("engine-2")
    await owner.claim()
    await owner.commit(assign(plan, 3, session))
    [stored] = (await history(conductor, operation_id)).tasks
    last = (await watched(conductor, until=1))[-1].sequence
    replay = Replay(await watched(conductor, until=last))
    assert replay.tasks == {plan.id: (name_of(Task.State.Name(stored.task.state)), 3)}
    told = [(each.epoch, each.engine_id, each.outcome) for each in stored.attempts]
    assert told == [
        # Looks that changed nothing are one attempt to readers.
        (2, "engine-1", Attempt.OUTCOME_INTERRUPTED),
        (3, "engine-2", Attempt.OUTCOME_UNSPECIFIED),
    ]
