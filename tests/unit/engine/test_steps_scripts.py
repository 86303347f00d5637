from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from savanna.cluster.v1.cluster_pb2 import Facts, Instance
from savanna.engine.v1.step_pb2 import StepBody
from savanna.job.v1.job_pb2 import Job, JobFacts, OutputChunk
from savanna_engine.remote.base import RunState
from savanna_engine.remote.errors import RunTimeout
from savanna_kit import telemetry

if TYPE_CHECKING:
    from savanna.plugin.v1.plugin_service_pb2 import Script
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream
    from tests.unit.engine.conftest import Engine

NAME = "c1-worker-0"


@pytest.fixture(autouse=True)
def known_hosts(engine: Engine) -> None:
    engine.conductor.know(NAME, 7)
    engine.conductor.know("c1-master-0", 1)
    engine.conductor.plan_facts.operation.id = "op1"


def script(text: str = "echo hello\n") -> StepBody:
    body = StepBody(cluster_id="c1", reaches=Instance.STATE_CONFIGURED)
    body.run_script.instance_name = NAME
    body.run_script.script.text = text
    return body


def start_job(text: str = "exec sh main.sh\n") -> StepBody:
    body = StepBody(cluster_id="c1")
    body.start_job.instance_name = NAME
    body.start_job.script.text = text
    body.start_job.run_key, body.start_job.operation_id = "run", "op1"
    return body


def await_job() -> StepBody:
    body = StepBody(cluster_id="c1")
    body.await_job.instance_name = NAME
    body.await_job.run_key, body.await_job.operation_id = "run", "op1"
    return body


def stop_job() -> StepBody:
    body = StepBody(cluster_id="c1")
    body.stop_job.instance_name = NAME
    body.stop_job.run_key, body.stop_job.operation_id = "run", "op1"
    return body


def job_facts(data: bytes) -> JobFacts:
    return JobFacts.FromString(Facts.FromString(data).job)


def outcome(result: stream.Result) -> str:
    return result.WhichOneof("outcome") or ""


async def test_a_script_runs_on_its_host_with_all_it_needs(engine: Engine) -> None:
    engine.conductor.binaries["b1"] = b"many bytes"
    body = script("start-worker\n")
    given: Script = body.run_script.script
    given.environment["MASTER"].address_of = "c1-master-0"
    given.environment["PORT"].literal = "7077"
    given.files.add(path="conf", content=b"x=1", mode=0o644)
    given.files.add(path="main.jar", job_binary_id="b1")

    result = await engine.do(body)

    run = engine.remote.runs["op1", "key-of-t1"]
    assert (run.host.address, run.host.user, run.host.host_key) == (
        "198.51.100.7",
        "hadoop",
        "ssh-ed25519 HOST",
    )
    assert run.command.script == "set -eu\nstart-worker\n"
    assert run.command.environment["MASTER"] == "10.0.0.1"
    assert run.command.environment["PORT"] == "7077"
    assert [(e.path, e.content, e.mode) for e in run.command.files] == [
        ("conf", b"x=1", 0o644),
        ("main.jar", b"many bytes", 0o600),
    ]
    instance = Facts.FromString(result.succeeded.facts).instances[0]
    assert (instance.name, instance.state) == (NAME, Instance.STATE_CONFIGURED)


async def test_a_script_that_fails_gives_host_command_exit_code_and_last_lines(
    engine: Engine,
) -> None:
    engine.remote.result = RunState(output=b"one\nno space left\n", exit_code=7)

    failure = (await engine.do(script("# a word\nset -x\ncp big /\n"))).failed

    assert (failure.reason, failure.instance, failure.retryable) == ("COMMAND_FAILED", NAME, True)
    assert (failure.command, failure.exit_code) == ("cp big /", 7)
    assert failure.output_tail == "one\nno space left"


async def test_exit_code_75_means_not_yet_and_waits_longer_each_time(engine: Engine) -> None:
    engine.remote.result = RunState(exit_code=75)

    waits = [
        (await engine.do(script(), epoch=epoch)).not_yet.retry_after.ToMilliseconds()
        for epoch in (1, 2, 3)
    ]

    assert waits == [500, 1000, 2000]


async def test_a_script_that_took_too_long_gives_its_last_lines(engine: Engine) -> None:
    engine.remote.error = RunTimeout("it did not end in 600 s", b"still copying")

    failure = (await engine.do(script())).failed

    assert (failure.reason, failure.output_tail) == ("COMMAND_TIMED_OUT", "still copying")
    assert failure.retryable


async def test_a_host_that_does_not_answer_can_be_tried_again(engine: Engine) -> None:
    engine.remote.is_up = False

    failure = (await engine.do(script())).failed

    assert (failure.reason, failure.retryable) == ("HOST_UNREACHABLE", True)
    assert f"on {NAME}" in failure.message


async def test_a_host_without_address_can_be_tried_again(engine: Engine) -> None:
    body = script()
    body.run_script.instance_name = "c1-worker-9"

    failure = (await engine.do(body)).failed

    assert (failure.reason, failure.retryable) == ("NO_ADDRESS", True)


async def test_a_cancelled_script_is_stopped_on_its_host(engine: Engine) -> None:
    engine.remote.may_end.clear()
    attempt = asyncio.create_task(engine.do(script(), epoch=4))
    await asyncio.to_thread(engine.remote.begun.wait, 2)

    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt

    assert [(each.key, each.epoch) for each in engine.remote.stops] == [("key-of-t1", 4)]
    assert not engine.remote.runs


async def test_a_stop_wins_over_a_start_that_is_still_on_its_way(engine: Engine) -> None:
    engine.remote.may_begin.clear()
    attempt = asyncio.create_task(engine.do(script()))
    await asyncio.to_thread(engine.remote.connecting.wait, 2)

    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    engine.remote.may_begin.set()
    await asyncio.to_thread(engine.threads[1].close)

    assert not engine.remote.runs
    assert not engine.remote.begun.is_set()


async def test_a_script_that_is_cancelled_while_it_waits_for_a_thread_never_begins(
    engine: Engine,
) -> None:
    engine.remote.may_begin.clear()
    attempts = [
        asyncio.create_task(engine.runner.attempt(engine.offer(script(), task_id=f"t{number}")))
        for number in range(3)
    ]
    await asyncio.to_thread(engine.remote.connecting.wait, 2)
    await asyncio.sleep(0.05)

    attempts[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempts[2]
    engine.remote.may_begin.set()
    await asyncio.gather(*attempts[:2])

    assert ("op1", "key-of-t2") not in engine.remote.runs
    assert [each.key for each in engine.remote.stops] == ["key-of-t2"]


async def test_scripts_are_stopped_also_when_they_hold_all_threads(engine: Engine) -> None:
    engine.remote.may_end.clear()
    attempts = [
        asyncio.create_task(engine.runner.attempt(engine.offer(script(), task_id=f"t{number}")))
        for number in range(2)
    ]
    while len(engine.remote.runs) < 2:
        await asyncio.sleep(0.01)

    for each in attempts:
        each.cancel()
    done, waiting = await asyncio.wait(attempts, timeout=1)

    assert (len(done), len(waiting)) == (2, 0)
    assert len(engine.remote.stops) == 2


async def test_a_job_is_started_with_its_streams_apart_and_adopted_by_later_attempts(
    engine: Engine,
) -> None:
    result = await engine.do(start_job())
    again = await engine.do(start_job(), epoch=2)

    run = engine.remote.runs["op1", "run"]
    assert run.command.adopt
    assert run.command.split_streams
    assert job_facts(result.succeeded.facts).state == Job.STATE_RUNNING
    assert outcome(again) == "succeeded"


async def test_a_look_at_a_job_brings_what_is_new_and_says_nothing_when_nothing_is(
    engine: Engine,
) -> None:
    await engine.do(start_job())
    run = engine.remote.runs["op1", "run"]
    run.state = RunState(output=b"0123456789", errors=b"warn")
    engine.conductor.plan_facts.job.output_size = 4

    news = await engine.do(await_job())
    engine.conductor.plan_facts.job.output_size = 10
    engine.conductor.plan_facts.job.error_size = 4
    silence = await engine.do(await_job())

    chunks = job_facts(news.not_yet.facts).chunks
    assert [(each.stream, each.offset, each.data) for each in chunks] == [
        (OutputChunk.STREAM_STDOUT, 4, b"456789"),
        (OutputChunk.STREAM_STDERR, 0, b"warn"),
    ]
    assert silence.not_yet.facts == b""
    assert silence.not_yet.retry_after.ToMilliseconds() == 600


@pytest.mark.parametrize(
    ("kept", "chunks"),
    [
        ((9, 1), [(OutputChunk.STREAM_STDERR, 1, b"arn")]),
        ((1, 3), [(OutputChunk.STREAM_STDOUT, 1, b"123456789")]),
        ((3, 3), []),
    ],
)
async def test_of_a_stream_that_is_kept_no_further_nothing_more_is_brought_and_the_job_ends(
    engine: Engine, kept: tuple[int, int], chunks: list[tuple[int, int, bytes]]
) -> None:
    await engine.do(start_job())
    engine.remote.runs["op1", "run"].state = RunState(b"0123456789", b"warn", 0)
    job = engine.conductor.plan_facts.job
    job.output_size, job.error_size = kept
    job.output_truncated = True

    facts = job_facts((await engine.do(await_job())).succeeded.facts)

    assert [(each.stream, each.offset, each.data) for each in facts.chunks] == chunks
    assert facts.state == Job.STATE_SUCCEEDED


@pytest.mark.parametrize(
    ("exit_code", "state"), [(0, Job.STATE_SUCCEEDED), (3, Job.STATE_DONE_WITH_ERROR)]
)
async def test_a_job_ends_as_its_program_does(
    engine: Engine, exit_code: int, state: Job.State.ValueType
) -> None:
    await engine.do(start_job())
    engine.remote.runs["op1", "run"].state = RunState(b"out", b"bad input\n", exit_code)

    facts = job_facts((await engine.do(await_job())).succeeded.facts)

    assert (facts.state, facts.exit_code) == (state, exit_code)
    assert ("bad input" in facts.status_description) == bool(exit_code)


async def test_the_last_words_of_a_program_are_told_also_when_they_were_brought_before_its_end(
    engine: Engine,
) -> None:
    await engine.do(start_job())
    engine.remote.runs["op1", "run"].state = RunState(b"out", b"bad input\n", 3)
    engine.conductor.plan_facts.job.output_size = 3
    engine.conductor.plan_facts.job.error_size = 10

    facts = job_facts((await engine.do(await_job())).succeeded.facts)

    assert list(facts.chunks) == []
    assert "its error output ends with:\nbad input; its output ends with:\nout" in (
        facts.status_description
    )


async def test_a_job_is_stopped_once_for_all_epochs_and_a_start_after_it_begins_nothing(
    engine: Engine,
) -> None:
    await engine.do(start_job())

    first = await engine.do(stop_job())
    second = await engine.do(stop_job(), epoch=2)
    late = await engine.do(start_job(), epoch=3)

    assert (outcome(first), outcome(second)) == ("succeeded", "succeeded")
    assert late.failed.reason == "STALE_EPOCH"
    assert not engine.remote.runs


async def test_the_trace_goes_from_the_assignment_through_the_step_to_the_script(
    engine: Engine,
) -> None:
    spans = InMemorySpanExporter()
    telemetry.configure("engine", exporter=spans)
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    await engine.do(script(), traceparent=f"00-{trace_id}-{parent}-01")

    span = next(each for each in spans.get_finished_spans() if each.name == "step run_script")
    assert format(span.context.trace_id, "032x") == trace_id
    assert span.parent is not None
    assert format(span.parent.span_id, "016x") == parent
    assert span.attributes is not None
    assert span.attributes["outcome"] == "succeeded"
    environment = engine.remote.runs["op1", "key-of-t1"].command.environment
    remote = next(each for each in spans.get_finished_spans() if each.name == "remote command")
    assert remote.parent is not None
    assert remote.parent.span_id == span.context.span_id
    assert remote.attributes is not None
    assert remote.attributes["step"] == "key-of-t1"
    assert remote.attributes["host"]
    own = format(remote.context.span_id, "016x")
    assert environment["TRACEPARENT"] == f"00-{trace_id}-{own}-01"
