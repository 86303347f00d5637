"""Following what a job writes, until it has ended and all of it was read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.api.v1 import job_service_pb2 as pb
from savanna.job.v1.job_pb2 import Job
from savanna_kit import errors
from savanna_kit.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna.api.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from savanna_client.outage import Outage

JOB_ENDED = frozenset(
    (Job.STATE_SUCCEEDED, Job.STATE_DONE_WITH_ERROR, Job.STATE_FAILED, Job.STATE_KILLED)
)
"""States that a job never leaves."""

# A job that writes is read often; one that is silent, once a second.
_LOOKS = Backoff(initial=0.2, factor=1.5, cap=1.0, jitter=0.0)


async def follow(
    jobs: JobServiceAsyncStub, request: pb.ReadJobOutputRequest, outage: Outage
) -> AsyncIterator[pb.ReadJobOutputResponse]:
    """Give piece after piece, also empty ones, with the job as it stood; the last one is empty."""
    position = pb.ReadJobOutputRequest()
    position.CopyFrom(request)
    silent = 0
    while True:
        try:
            response = await jobs.ReadJobOutput(position)
        except errors.SavannaError as lost:
            await outage.endure(lost)
            continue
        outage.over()
        yield response
        position.offset += len(response.data)
        if response.data:
            silent = 0
            continue
        if response.job.state in JOB_ENDED:
            return
        silent += 1
        await asyncio.sleep(_LOOKS.delay(silent, 0.0))
