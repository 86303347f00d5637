"""Job binaries, job templates and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.job.v1 import job_pb2
from savanna_api_gateway.core.words import JOB_STATUS
from savanna_api_gateway.rest import codecs, schemas
from savanna_api_gateway.rest.fields import Field, Resource, Shown
from savanna_api_gateway.rest.resources.basics import (
    CREATED,
    ID,
    PROJECT,
    PROTECTED,
    PUBLIC,
    UPDATED,
    description,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna_api_gateway.rest.schemas import Json, Schema

_EDP_NAME = Field("name", codecs.plain("name"), schemas.NAME_TEXT)

JOB_BINARY = Resource(
    job_pb2.JobBinary,
    (
        CREATED,
        UPDATED,
        ID,
        _EDP_NAME,
        description(schemas.TEXT, Shown.WRITTEN),
        Field("url", codecs.plain("url"), schemas.LOCATION),
        Field(
            "extra",
            codecs.Codec(
                "extra",
                lambda _: None,
                lambda it, value: it.extra.update(
                    {name: str(each) for name, each in value.items()}
                ),
            ),
            schemas.SIMPLE_CONFIG,
            shown=Shown.NEVER,
        ),
        PUBLIC,
        PROTECTED,
        PROJECT,
    ),
    required=("name", "url"),
)


def _store_interface(it: codecs.Message, value: Json) -> None:
    for each in value or []:
        argument = it.interface.add(
            name=each["name"],
            description=each.get("description") or "",
            mapping_type=each["mapping_type"],
            location=each["location"],
            value_type=each.get("value_type", "string"),
            required=each["required"],
        )
        if each.get("default") is not None:
            argument.default = each["default"]


def _interface(template: job_pb2.JobTemplate) -> list[dict[str, Json]]:
    made = codecs.shown_time(template.create_time)
    return [
        {
            "created_at": made,
            "updated_at": None,
            "id": each.id,
            "job_id": template.id,
            "tenant_id": template.project_id,
            "name": each.name,
            "description": each.description or None,
            "mapping_type": each.mapping_type,
            "location": each.location,
            "value_type": each.value_type,
            "required": each.required,
            "order": order,
            "default": each.default if each.HasField("default") else None,
        }
        for order, each in enumerate(template.interface)
    ]


_INTERFACE_SCHEMA: Schema = {
    "type": ["array", "null"],
    "uniqueItems": True,
    "items": schemas.mapping(
        {
            "name": {"type": "string", "minLength": 1},
            "description": schemas.TEXT_OR_NULL,
            "mapping_type": {"type": "string", "enum": ["args", "configs", "params"]},
            "location": {"type": "string", "minLength": 1},
            "value_type": {
                "type": "string",
                "enum": ["string", "number", "data_source"],
                "default": "string",
            },
            "required": schemas.FLAG,
            "default": schemas.TEXT_OR_NULL,
        },
        "name",
        "mapping_type",
        "location",
        "required",
    ),
}
_BINARY_IDS: Schema = {
    "type": "array",
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1},
}
JOB_TYPES_2_0 = (
    "Hive",
    "Java",
    "MapReduce",
    "MapReduce.Streaming",
    "Pig",
    "Shell",
    "Spark",
    "Storm",
    "Storm.Pyleus",
)
JOB_TYPES_2_1 = (*JOB_TYPES_2_0, "PySpark")


def job_type_schema(types: Iterable[str]) -> Schema:
    """Give the schema of a job type that is one of these."""
    return {"type": "string", "enum": list(types)}


JOB_TEMPLATE = Resource(
    job_pb2.JobTemplate,
    (
        CREATED,
        UPDATED,
        ID,
        _EDP_NAME,
        description(schemas.TEXT_OR_NULL, Shown.WRITTEN),
        Field("type", codecs.plain("type"), job_type_schema(JOB_TYPES_2_0), fixed=True),
        PUBLIC,
        PROTECTED,
        # Shown as whole job binaries, by who has read them.
        Field("mains", codecs.texts("mains"), _BINARY_IDS, fixed=True),
        Field("libs", codecs.texts("libs"), _BINARY_IDS, fixed=True),
        Field(
            "interface",
            codecs.Codec("interface", _interface, _store_interface),
            _INTERFACE_SCHEMA,
            fixed=True,
        ),
        PROJECT,
    ),
    required=("name", "type"),
)

_SECRETS = frozenset(
    (
        "fs.swift.service.sahara.username",
        "fs.swift.service.sahara.password",
        "fs.s3a.access.key",
        "fs.s3a.secret.key",
    )
)


def _job_info(job: job_pb2.Job) -> dict[str, Json]:
    info: dict[str, Json] = {"status": JOB_STATUS[job.state]}
    if job.status_description:
        info["status_description"] = job.status_description
    return info


def _job_configs(job: job_pb2.Job) -> dict[str, Json]:
    shown: dict[str, Json] = {}
    for name in ("configs", "params"):
        section = codecs.shown_values(getattr(job.configs, name))
        if section:
            shown[name] = {key: "" if key in _SECRETS else value for key, value in section.items()}
    if job.configs.args:
        shown["args"] = list(job.configs.args)
    shown["job_execution_info"] = codecs.shown_values(job.configs.job_execution_info)
    return shown


def _store_job_configs(it: codecs.Message, value: Json) -> None:
    for name in ("configs", "params", "job_execution_info"):
        codecs.store_values(getattr(it.configs, name), value.get(name, {}))
    it.configs.args.extend(value.get("args", []))


def _return_code(job: job_pb2.Job) -> int | None:
    return job.exit_code if job.HasField("exit_code") else None


_JOB_CONFIGS_SCHEMA = schemas.mapping(
    {
        "configs": schemas.SIMPLE_CONFIG,
        "params": schemas.SIMPLE_CONFIG,
        "args": schemas.TEXTS,
        "job_execution_info": schemas.SIMPLE_CONFIG,
    }
)

JOB = Resource(
    job_pb2.Job,
    (
        CREATED,
        Field("updated_at", codecs.time("update_time"), shown=Shown.LATER),
        ID,
        Field("input_id", codecs.text("input_id"), schemas.UUID, fixed=True),
        Field("output_id", codecs.text("output_id"), schemas.UUID, fixed=True),
        Field("start_time", codecs.time("start_time"), shown=Shown.LATER),
        Field("end_time", codecs.time("end_time"), shown=Shown.LATER),
        Field("cluster_id", codecs.text("cluster_id"), schemas.UUID, fixed=True),
        Field("info", codecs.computed(_job_info)),
        Field("return_code", codecs.computed(_return_code), shown=Shown.LATER),
        Field(
            "job_configs",
            codecs.Codec("configs", _job_configs, _store_job_configs),
            _JOB_CONFIGS_SCHEMA,
            fixed=True,
        ),
        Field("extra", codecs.fixed({}), shown=Shown.ALONE),
        Field("data_source_urls", codecs.fixed(None), shown=Shown.LATER),
        PUBLIC,
        PROTECTED,
        Field("engine_job_id", codecs.text("engine_job_id")),
        PROJECT,
        Field(
            "job_template_id",
            codecs.text("job_template_id"),
            schemas.UUID,
            v1="job_id",
            fixed=True,
        ),
        Field(
            "interface",
            codecs.values("interface"),
            schemas.SIMPLE_CONFIG,
            shown=Shown.NEVER,
            fixed=True,
        ),
    ),
    required=("cluster_id", "job_template_id"),
)
