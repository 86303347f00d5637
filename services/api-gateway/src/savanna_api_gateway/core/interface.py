"""Named arguments: what a job template offers and what a run gives for it.

Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.common.v1.config_pb2 import ConfigValue
from savanna.job.v1 import job_pb2
from savanna_api_gateway.core.problems import Problems, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAPPINGS = {
    "Hive": {"configs", "params"},
    "Pig": {"configs", "params", "args"},
    "MapReduce": {"configs"},
    "MapReduce.Streaming": {"configs"},
    "Java": {"configs", "args"},
    "Spark": {"configs", "args"},
    "PySpark": {"configs", "args"},
    "Shell": {"configs", "params", "args"},
    "Storm": {"args"},
    "Storm.Pyleus": set[str](),
}


def check_interface(problems: Problems, template: job_pb2.JobTemplate) -> None:
    """The arguments have distinct names and places, and places that jobs of this type have."""
    arguments = template.interface
    if len({each.name for each in arguments}) < len(arguments):
        problems.add("interface", Reason.INVALID_DATA, "Name must be unique within the interface")
    places = {(each.mapping_type, each.location) for each in arguments}
    if len(places) < len(arguments):
        problems.add(
            "interface",
            Reason.INVALID_DATA,
            "The combination of mapping type and location must be unique within the interface",
        )
    allowed = _MAPPINGS.get(template.type, set())
    for index, each in enumerate(arguments):
        if each.mapping_type not in allowed:
            problems.add(
                f"interface[{index}].mapping_type",
                Reason.INVALID_DATA,
                f"Only mapping types {sorted(allowed)} are allowed for job type {template.type}",
            )
        if each.HasField("default") and not _fits(each.value_type, each.default):
            problems.add(
                f"interface[{index}].default",
                Reason.INVALID_DATA,
                f"Value '{each.default}' is not a valid {each.value_type}",
            )
    _check_positions(problems, template)


def _check_positions(problems: Problems, template: job_pb2.JobTemplate) -> None:
    positional = [each for each in template.interface if each.mapping_type == "args"]
    locations = sorted(each.location for each in positional)
    if locations != sorted(str(number) for number in range(len(positional))):
        problems.add(
            "interface",
            Reason.INVALID_DATA,
            "Locations of positional arguments must be an unbroken integer sequence ascending "
            "from 0",
        )
    for each in positional:
        if not each.required and not each.HasField("default"):
            problems.add(
                "interface",
                Reason.INVALID_DATA,
                f"Positional arguments must be given default values if they are not required: "
                f"'{each.name}'",
            )


def with_interface(
    problems: Problems, template: job_pb2.JobTemplate, job: job_pb2.Job, *, given: bool
) -> job_pb2.JobConfigs:
    """Give a run's configuration with the values of the named arguments put in their places."""
    configs = job_pb2.JobConfigs()
    configs.CopyFrom(job.configs)
    if not template.interface:
        if job.interface:
            names = ", ".join(sorted(job.interface))
            problems.add(
                "interface",
                Reason.INVALID_DATA,
                f"Names {names} are not in the interface of the template",
            )
        return configs
    if not given:
        problems.add(
            "interface",
            Reason.INVALID_DATA,
            "An interface was specified with the template for this job. Please pass an interface "
            "map with this job (even if empty).",
        )
        return configs
    _check_values(problems, template, job.interface)
    positional: dict[int, str] = {}
    for each in template.interface:
        value = _value(each, job.interface)
        if value is None:
            continue
        if each.mapping_type == "args":
            positional[int(each.location)] = _text(value)
            continue
        section = configs.configs if each.mapping_type == "configs" else configs.params
        if each.name in job.interface or each.location not in section:
            section[each.location].CopyFrom(value)
    args = [positional[index] for index in sorted(positional)] + list(configs.args)
    del configs.args[:]
    configs.args.extend(args)
    return configs


def _check_values(
    problems: Problems, template: job_pb2.JobTemplate, values: Mapping[str, ConfigValue]
) -> None:
    arguments = {each.name: each for each in template.interface}
    unknown = sorted(set(values) - set(arguments))
    if unknown:
        problems.add(
            "interface",
            Reason.INVALID_DATA,
            f"Names {', '.join(unknown)} are not in the interface of the template",
            f"It has: {', '.join(arguments)}",
        )
    for name, argument in arguments.items():
        if name not in values:
            if argument.required and not argument.HasField("default"):
                problems.add(
                    f"interface.{name}",
                    Reason.INVALID_DATA,
                    f"Argument '{name}' is required for this job.",
                )
        elif not _fits(argument.value_type, _text(values[name])):
            problems.add(
                f"interface.{name}",
                Reason.INVALID_DATA,
                f"Value '{_text(values[name])}' is not a valid {argument.value_type}",
            )


def _value(
    argument: job_pb2.InterfaceArgument, values: Mapping[str, ConfigValue]
) -> ConfigValue | None:
    if argument.name in values:
        return values[argument.name]
    if argument.HasField("default"):
        return ConfigValue(text=argument.default)
    return None


def _fits(value_type: str, value: str) -> bool:
    return value_type != "number" or (value.isascii() and value.isdigit())


def _text(value: ConfigValue) -> str:
    match value.WhichOneof("value"):
        case "number":
            return str(value.number)
        case "flag":
            return str(value.flag)
        case _:
            return value.text
