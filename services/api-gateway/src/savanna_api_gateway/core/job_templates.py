"""Reusable descriptions of programs to run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from savanna.job.v1 import job_pb2
from savanna_api_gateway.core import checks, masks
from savanna_api_gateway.core.interface import check_interface
from savanna_api_gateway.core.ownership import check_changeable, check_deletable
from savanna_api_gateway.core.problems import Problems, Reason
from savanna_api_gateway.core.repeats import item_made_once
from savanna_api_gateway.core.templates import in_use, taken
from savanna_api_gateway.shelf import new_id
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableSequence, Sequence

    from savanna_api_gateway.shelf import Shelf, Shelves
    from savanna_kit.context import RequestContext

JobTemplate = job_pb2.JobTemplate

JOB_TYPES = (
    "Hive",
    "Java",
    "MapReduce",
    "MapReduce.Streaming",
    "Pig",
    "PySpark",
    "Shell",
    "Spark",
    "Storm",
    "Storm.Pyleus",
)
_SETTABLE = frozenset(("name", "description", "is_public", "is_protected"))
_WITH_MAIN = {
    "Pig": "Pig flow requires main script",
    "Hive": "Hive flow requires main script",
    "Shell": "Shell job requires main script",
    "Spark": "Spark job requires main application jar",
    "PySpark": "PySpark job requires main application file",
    "Storm": "Storm job requires main application jar",
    "Storm.Pyleus": "Storm job requires main application jar",
}
_WITH_LIBS = ("Java", "MapReduce")


class JobTemplates:
    """Keeps job templates."""

    noun = "Job"

    def __init__(self, shelves: Shelves) -> None:
        self.shelf: Shelf[JobTemplate] = shelves.job_templates
        self._binaries = shelves.job_binaries

    async def create(
        self, caller: RequestContext, template: JobTemplate, *, request_id: str = ""
    ) -> JobTemplate:
        """Check and store.

        Job binaries may be named by id or name.
        """
        return await item_made_once(
            self.shelf,
            caller,
            lambda: self._create(caller, template, request_id),
            request_id=request_id,
        )

    async def _create(
        self, caller: RequestContext, template: JobTemplate, request_id: str
    ) -> JobTemplate:
        problems = Problems()
        wanted = JobTemplate()
        wanted.CopyFrom(template)
        checks.check_name(problems, "name", wanted.name)
        if wanted.type not in JOB_TYPES:
            problems.add(
                "type",
                Reason.INVALID_DATA,
                f"'{wanted.type}' is not a type of jobs",
                f"Known types: {', '.join(JOB_TYPES)}",
            )
        _check_programs(problems, wanted)
        await self._resolve(caller, problems, "mains", wanted.mains)
        await self._resolve(caller, problems, "libs", wanted.libs)
        check_interface(problems, wanted)
        problems.raise_any()
        for argument in wanted.interface:
            argument.id = new_id()
        try:
            return await self.shelf.create(caller.project_id, wanted, request_id)
        except errors.AlreadyExists as error:
            raise taken("Job template", wanted.name) from error

    async def update(
        self, caller: RequestContext, item_id: str, values: JobTemplate, paths: Sequence[str]
    ) -> JobTemplate:
        """Change name, description, is_public or is_protected."""

        async def write() -> JobTemplate:
            current = await self.shelf.get(caller.project_id, item_id)
            check_changeable(current, caller.project_id, self.noun, paths=paths)
            wanted = masks.changed(current, values, paths, _SETTABLE)
            problems = Problems()
            checks.check_name(problems, "name", wanted.name)
            problems.raise_any()
            return await self.shelf.update(caller.project_id, wanted, masks.tops(paths))

        try:
            return await masks.raced(write, again=True)
        except errors.AlreadyExists as error:
            raise taken("Job template", values.name) from error

    async def delete(self, caller: RequestContext, item_id: str) -> None:
        """Remove."""
        current = await self.shelf.get(caller.project_id, item_id)
        check_deletable(current, caller.project_id, self.noun)
        try:
            await self.shelf.delete(caller.project_id, current.id)
        except errors.FailedPrecondition as error:
            message = "Job deletion failed on foreign key constraint"
            raise in_use(error, Reason.DELETION_FAILED, message) from error

    async def programs(
        self, caller: RequestContext, templates: Iterable[JobTemplate]
    ) -> Mapping[str, job_pb2.JobBinary]:
        """Read the job binaries that templates name, by id; those that are gone are left out."""
        ids = sorted({each for one in templates for each in (*one.mains, *one.libs)})
        found = {}
        for each in ids:
            binary = await self._binaries.look(caller.project_id, each)
            if binary is not None:
                found[each] = binary
        return found

    async def _resolve(
        self, caller: RequestContext, problems: Problems, field: str, ids: MutableSequence[str]
    ) -> None:
        for index, named in enumerate(ids):
            try:
                found = await self._binaries.find(caller.project_id, named)
            except errors.NotFound:
                problems.add(
                    f"{field}[{index}]", Reason.NOT_FOUND, f"Job binary '{named}' does not exist"
                )
            else:
                ids[index] = found.id


def _check_programs(problems: Problems, template: JobTemplate) -> None:
    if template.type in _WITH_MAIN and not template.mains:
        problems.add("mains", Reason.INVALID_DATA, _WITH_MAIN[template.type])
    if template.type in _WITH_LIBS and template.mains:
        problems.add("mains", Reason.INVALID_DATA, f"{template.type} flow does not use mains")
    if template.type in _WITH_LIBS and not template.libs:
        problems.add("libs", Reason.INVALID_DATA, f"{template.type} flow requires libs")
    if set(template.mains) & set(template.libs):
        problems.add("libs", Reason.INVALID_DATA, "'mains' and 'libs' overlap")
    if any(count > 1 for count in Counter(template.mains).values()):
        problems.add("mains", Reason.INVALID_DATA, "A job binary is named more than once")
