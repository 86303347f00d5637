"""What is written in few statements comes back as it was given, whatever is in it."""

from __future__ import annotations

import traceback
import uuid
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_conductor.store import dialect
from savanna_conductor.store.transaction import Store, Transaction
from savanna_kit.errors import Internal
from tests.unit.conductor.changes import assign, claimed, codes, end, spawn
from tests.unit.conductor.conftest import PROJECT

if TYPE_CHECKING:
    from savanna_conductor.settings import ConductorSettings
    from tests.unit.conductor.conftest import Conductor

Attempt = operation_pb2.Attempt
Failure = operation_pb2.Failure
Operation = operation_pb2.Operation
Task = operation_pb2.Task
APPLIED = execution.Verdict.CODE_APPLIED

KEYS = ['say "no"', "a\\b", "{a,b}", "NULL", "100 %s", "it's", "ключ", ";"]


async def test_tasks_are_stored_whatever_their_keys_are_made_of(conductor: Conductor) -> None:
    owner, graph, _ = await claimed(conductor)
    specs = [
        operation_pb2.TaskSpec(key=key, kind="work", title=key, body=bytes(range(256)))
        for key in KEYS
    ]
    asked = spawn(graph.operation.id, *specs)
    first, again = await owner.commit(asked, asked)
    assert [each.spec for each in first.spawned] == specs
    assert not again.spawned
    # Keys that are stored are known, also to the next commit.
    assert [len(each.spawned) for each in await owner.commit(asked)] == [0]
    name = pb.OwnedName(project_id=PROJECT, id=graph.operation.id)
    found = await conductor.operations.GetOperation(pb.GetOperationRequest(name=name))
    assert {each.task.spec.key for each in found.tasks} == {"plan/1", *KEYS}
    assert sorted(each.task.position for each in found.tasks) == list(range(1, len(KEYS) + 2))


@pytest.mark.parametrize("size", [1, 100, 20_000])
async def test_an_entry_of_any_size_is_read_as_it_was_told(conductor: Conductor, size: int) -> None:
    owner, graph, session = await claimed(conductor)
    plan = graph.tasks[0]
    failure = Failure(reason="BROKEN", output_tail="x" * size)
    failed = execution.Finish(
        task_id=plan.id,
        epoch=1,
        session_id=session,
        state=Task.STATE_FAILED,
        outcome=Attempt.OUTCOME_FAILED,
        failure=failure,
    )
    await owner.commit(assign(plan, 1, session))
    ending = end(graph.operation.id, Operation.STATE_FAILED)
    verdicts = await owner.commit(execution.Change(finish=failed), ending)
    assert codes(verdicts) == [APPLIED, APPLIED]
    watch = pb.WatchJournalRequest(
        project_id=PROJECT, operation_id=graph.operation.id, until_operation_ends=True
    )
    entries = [
        each async for page in conductor.operations.WatchJournal(watch) for each in page.entries
    ]
    assert [each.failure for each in entries if each.HasField("failure")] == [failure]
    assert [each.task_key for each in entries if each.task_id == plan.id] == ["plan/1"] * 3
    numbers = [each.sequence for each in entries]
    assert numbers == sorted(set(numbers))


async def test_a_failure_is_stored_whatever_its_text_is_made_of(conductor: Conductor) -> None:
    owner, graph, _ = await claimed(conductor)
    ending = end(graph.operation.id, Operation.STATE_FAILED)
    ending.end_operation.failure.CopyFrom(Failure(reason="BROKEN", message="a\0b 'c' \\ ü"))
    assert codes(await owner.commit(ending)) == [APPLIED]
    cluster = await conductor.read(graph.operation.cluster_id)
    assert cluster.status_description.endswith("a\N{REPLACEMENT CHARACTER}b 'c' \\ ü")


async def test_a_statement_that_is_refused_is_a_fault_and_what_was_in_it_is_in_no_log(
    settings: ConductorSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(dialect.open_engine(settings.database_url, readers=1))
    secret = uuid.uuid4().hex
    # PostgreSQL quotes the whole row when a value is missing.
    statement = text("INSERT INTO counter (name, value) VALUES (:name, NULL)")

    def write(transaction: Transaction) -> None:
        transaction.connection.execute(statement, {"name": secret})

    with pytest.raises(Internal, match="refused a statement") as refused:
        await store.write(write)
    told = capsys.readouterr().out
    assert "statement_refused" in told
    assert secret not in told + "".join(traceback.format_exception(refused.value))
    store.close()
