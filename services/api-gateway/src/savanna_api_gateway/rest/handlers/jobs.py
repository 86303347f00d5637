"""Jobs: runs of programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.rest import paging, schemas
from savanna_api_gateway.rest.fields import Answer
from savanna_api_gateway.rest.handlers.items import given, item_id
from savanna_api_gateway.rest.resources.jobs import JOB
from savanna_api_gateway.rest.routing import Route
from savanna_api_gateway.rest.schemas import BodySchema
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna.job.v1 import job_pb2
    from savanna_api_gateway.core.jobs import JobWork
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json
    from savanna_kit.context import RequestContext

_PATH = "/jobs"
_ONE = f"{_PATH}/{{id}}"
_SORTABLE = (
    "id",
    "job_template_id",
    "cluster_id",
    "created_at",
    "updated_at",
    "start_time",
    "end_time",
)
_CANCEL = "cancel"
_CHANGE = schemas.mapping(
    {
        "is_public": schemas.FLAG_OR_NULL,
        "is_protected": schemas.FLAG_OR_NULL,
        "info": schemas.mapping(
            {"status": {"type": "string", "enum": ["suspend", _CANCEL]}}, "status"
        ),
    }
)


class JobRoutes:
    """The routes of jobs."""

    def __init__(self, core: JobWork) -> None:
        self._jobs = core

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            Route("GET", _PATH, self.index, query=("status",)),
            Route("POST", _PATH, self.execute, body=BodySchema(JOB.create_schema())),
            Route("GET", _ONE, self.show, find=self.find, query=("refresh_status",)),
            Route("PATCH", _ONE, self.change, find=self.find, body=BodySchema(_CHANGE)),
            Route("DELETE", _ONE, self.remove, find=self.find),
        ]

    async def find(self, caller: RequestContext, path: Mapping[str, str]) -> job_pb2.Job:
        """Read the one that a path names."""
        return await self._jobs.reads.get(caller.project_id, item_id(path))

    async def index(self, call: Call) -> Json:
        """List them."""
        wish = paging.wish(call.query, _SORTABLE)
        status = call.query.get("status")
        jobs = [
            each
            for each in await self._jobs.reads.all(call.caller.project_id)
            if status is None or _status(each) == status.upper()
        ]
        page = paging.page(jobs, wish, JOB.show_field)
        return page.wrapped("jobs", [JOB.show(each, Answer.LIST) for each in page.things])

    async def execute(self, call: Call) -> Json:
        """Run a job."""
        body = given(call.body)
        job, _ = JOB.read(body)
        run = await self._jobs.run(
            call.caller, job, interface_given="interface" in body, request_id=call.key
        )
        return {"job": JOB.show(run.job, Answer.CREATED)}

    async def show(self, call: Call) -> Json:
        """Show one; what is stored is always as fresh as engines know it."""
        return {"job": JOB.show(call.subject)}

    async def change(self, call: Call) -> Json:
        """Ask for its end, the one change that jobs know."""
        if "is_public" in call.body or "is_protected" in call.body:
            raise errors.Unimplemented(
                "is_public and is_protected of a job can not be changed\n"
                "Set them on its job template, or leave them out",
                reason="NOT_IMPLEMENTED",
            )
        status = call.body.get("info", {}).get("status")
        if status is None:
            return {"job": JOB.show(call.subject)}
        if status != _CANCEL:
            raise errors.Unimplemented(
                "Jobs can not be suspended\nCancel it and run it again later",
                reason="NOT_IMPLEMENTED",
            )
        return {"job": JOB.show(await self._jobs.cancel(call.caller, call.subject.id))}

    async def remove(self, call: Call) -> Json:
        """Remove one; one that runs is ended first."""
        await self._jobs.delete(call.caller, call.subject.id)


def _status(job: job_pb2.Job) -> str:
    info: dict[str, str] = JOB.show_field(job, "info")
    return info["status"]
