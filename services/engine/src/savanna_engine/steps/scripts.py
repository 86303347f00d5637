"""Steps on hosts: scripts, and the programs of jobs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Facts
from savanna.conductor.v1 import facts_service_pb2 as facts_service
from savanna.job.v1.job_pb2 import Job, JobFacts, OutputChunk
from savanna.operation.v1.operation_pb2 import Failure
from savanna_engine.remote.base import Command, RemoteFile, RunId
from savanna_engine.remote.errors import RemoteError, RunNotFound, RunTimeout
from savanna_engine.steps.base import (
    TAIL_BYTES,
    Done,
    Later,
    StepFailed,
    Work,
    growing,
    reached,
    shortened,
    tail,
)
from savanna_kit import crashes, telemetry

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeVar

    from opentelemetry.trace import Span

    from savanna.conductor.v1 import facts_service_pb2_grpc
    from savanna.plugin.v1.plugin_service_pb2 import Script
    from savanna_engine.access import Access
    from savanna_engine.remote.base import Host, Remote, RunState
    from savanna_kit.executors import BoundedExecutor

    T = TypeVar("T")

NOT_YET = 75
"""EX_TEMPFAIL of sysexits.h: a script that exits with it is run again later."""

_LOOK_SECONDS = 20.0
_STOP_SECONDS = 5.0
_CHUNK = 256 * 1024
_BEYOND = 2**62
"""A position that no output reaches: a look from there brings nothing."""


class ScriptSteps:
    """Everything that hosts are told to do."""

    def __init__(
        self,
        remote: Remote,
        access: Access,
        facts: facts_service_pb2_grpc.FactsServiceAsyncStub,
        *,
        threads: BoundedExecutor,
        stop_threads: BoundedExecutor,
    ) -> None:
        self._remote = remote
        self._access = access
        self._facts = facts
        self._threads = threads
        # Those of their own: all others may be held by the very scripts that are to be stopped.
        self._stop_threads = stop_threads

    async def run_script(self, work: Work) -> Done | Later:
        """Run a plugin's script to its end."""
        step = work.body.run_script
        host = await self._access.host(work.body.cluster_id, step.instance_name)
        run = RunId(work.operation_id, work.key, work.epoch)
        with _traced(work, host):
            command = await self._command(work, step.script)
            crashes.here("engine.remote_start.before")
            state = await self._on(work, host, self._remote.run, host, run, command, work.timeout)
        crashes.here("engine.remote_start.after")
        if state.exit_code == 0:
            return Done(facts=reached(work))
        if state.exit_code == NOT_YET:
            return Later(growing(work.looks, first=0.5, most=10.0))
        raise StepFailed(_command_failed(work, step.script.text, state))

    async def start_job(self, work: Work) -> Done:
        """Start the program of a job; one that was started before is left running."""
        step = work.body.start_job
        host = await self._access.host(work.body.cluster_id, step.instance_name)
        run = RunId(step.operation_id, step.run_key, work.epoch)
        with _traced(work, host):
            command = await self._command(work, step.script, is_job=True)
            crashes.here("engine.remote_start.before")
            await self._on(work, host, self._remote.start, host, run, command, work.timeout)
        crashes.here("engine.remote_start.after")
        return Done(facts=_job(JobFacts(state=Job.STATE_RUNNING)))

    async def await_job(self, work: Work) -> Done | Later:
        """Look whether the program has ended, and bring what it wrote meanwhile."""
        step = work.body.await_job
        host = await self._access.host(work.body.cluster_id, step.instance_name)
        run = RunId(step.operation_id, step.run_key, work.epoch)
        output_offset, errors_offset = await self._wanted(work)
        state = await self._look(work, host, run, output_offset, errors_offset)
        facts = JobFacts()
        _add(facts, OutputChunk.STREAM_STDOUT, output_offset, state.output)
        _add(facts, OutputChunk.STREAM_STDERR, errors_offset, state.errors)
        if state.exit_code is None:
            # Waits grow slowly: the end of a short program is seen before long.
            wait = growing(work.looks, first=0.5, most=5.0, factor=1.2)
            return Later(wait, _job(facts) if facts.chunks else None)
        facts.exit_code = state.exit_code
        facts.state = Job.STATE_SUCCEEDED if state.exit_code == 0 else Job.STATE_DONE_WITH_ERROR
        if state.exit_code:
            # What tells why may have been brought by earlier looks.
            before = (max(0, each - TAIL_BYTES) for each in (output_offset, errors_offset))
            state = await self._look(work, host, run, *before)
            facts.status_description = (
                f"the program ended with exit code {state.exit_code}{_last_words(state)}"
            )
        return Done(facts=_job(facts))

    async def _look(
        self, work: Work, host: Host, run: RunId, output_offset: int, errors_offset: int
    ) -> RunState:
        """Look at a program, and at what it wrote behind these places."""
        return await self._on(
            work,
            host,
            lambda: self._remote.poll(
                host,
                run,
                output_offset=output_offset,
                errors_offset=errors_offset,
                timeout=_LOOK_SECONDS,
            ),
        )

    async def stop_job(self, work: Work) -> Done:
        """Stop the program of a job and wait until it is gone."""
        step = work.body.stop_job
        host = await self._access.host(work.body.cluster_id, step.instance_name)
        run = RunId(step.operation_id, step.run_key, 2**31)
        try:
            await self._threads.run(self._remote.stop, host, run, work.timeout)
        except RunNotFound:
            return Done()
        except RemoteError as error:
            raise StepFailed(_remote_failed(work, error)) from error
        return Done()

    async def interrupt(self, work: Work) -> None:
        """Stop what an attempt runs on its host, for an attempt that is to end before its time.

        Its start may still be on the way: the host then knows that it was stopped, and by the
        attempt's epoch refuses to begin it.
        """
        if work.kind != "run_script":
            return
        host = await self._access.host(work.body.cluster_id, work.body.run_script.instance_name)
        run = RunId(work.operation_id, work.key, work.epoch)
        with contextlib.suppress(RunNotFound):
            await self._stop_threads.run(self._remote.stop, host, run, _STOP_SECONDS)

    async def _wanted(self, work: Work) -> tuple[int, int]:
        """Say from where on output and error output are wanted."""
        request = facts_service.GetPlanFactsRequest(operation_id=work.operation_id)
        job = (await self._facts.GetPlanFacts(request, timeout=10)).job
        if not job.output_truncated:
            return job.output_size, job.error_size
        # Both streams have the same limit, and one has reached it: the longer one. Bytes that
        # nobody keeps would be brought again by every look, and the end not seen before the last.
        limit = max(job.output_size, job.error_size)
        output, errors = (
            _BEYOND if size == limit else size for size in (job.output_size, job.error_size)
        )
        return output, errors

    async def _command(self, work: Work, script: Script, *, is_job: bool = False) -> Command:
        traceparent = telemetry.current_traceparent()
        environment = {telemetry.TRACEPARENT.upper(): traceparent} if traceparent else {}
        for name, value in script.environment.items():
            if value.HasField("address_of"):
                environment[name] = await self._access.address(
                    work.body.cluster_id, value.address_of
                )
            else:
                environment[name] = value.literal
        files = []
        for each in script.files:
            content = each.content
            if each.HasField("job_binary_id"):
                content = await self._binary(each.job_binary_id)
            files.append(RemoteFile(each.path, content, each.mode or 0o600))
        text = f"set -eu\n{script.text}"
        return Command(text, environment, files, adopt=is_job, split_streams=is_job)

    async def _binary(self, binary_id: str) -> bytes:
        request = facts_service.ReadJobBinaryRequest(job_binary_id=binary_id)
        pieces = [piece.data async for piece in self._facts.ReadJobBinary(request, timeout=120)]
        return b"".join(pieces)

    async def _on(self, work: Work, host: Host, call: Callable[..., T], *arguments: object) -> T:
        try:
            return await self._threads.run(call, *arguments)
        except RemoteError as error:
            raise StepFailed(_remote_failed(work, error)) from error


def _traced(work: Work, host: Host) -> AbstractContextManager[Span]:
    """Make the span of a command, which is the parent of whatever the command tells."""
    return telemetry.span(
        "remote command", host=host.address, instance=work.instance, step=work.key
    )


def _job(facts: JobFacts) -> Facts:
    return Facts(job=facts.SerializeToString())


def _add(facts: JobFacts, stream: OutputChunk.Stream.ValueType, offset: int, data: bytes) -> None:
    for start in range(0, len(data), _CHUNK):
        piece = data[start : start + _CHUNK]
        facts.chunks.add(stream=stream, offset=offset + start, data=piece)


def _last_words(state: RunState) -> str:
    """Give the ends of both streams: what tells most is in either, Spark logs in the one and joins
    all that Python says in the other."""
    ends = (("error output", tail(state.errors)), ("output", tail(state.output)))
    return "".join(f"; its {name} ends with:\n{end}" for name, end in ends if end)


def _command_failed(work: Work, script: str, state: RunState) -> Failure:
    output = tail(state.output)
    return Failure(
        reason="COMMAND_FAILED",
        message=(
            f"'{work.key}' failed on {work.instance} with exit code {state.exit_code}; "
            "the last lines of its output say why"
        ),
        instance=work.instance,
        command=shortened(script),
        exit_code=state.exit_code,
        output_tail=output,
        retryable=True,
        task_key=work.key,
    )


def _remote_failed(work: Work, error: RemoteError) -> Failure:
    script = work.body.run_script.script.text or work.body.start_job.script.text
    output = error.output if isinstance(error, RunTimeout) else b""
    return Failure(
        reason=error.reason,
        message=f"'{work.key}' failed on {work.instance}: {error}",
        instance=work.instance,
        command=shortened(script),
        output_tail=tail(output),
        retryable=error.retryable,
        task_key=work.key,
    )
