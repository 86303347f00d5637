"""Schemas of request bodies as data, and what checks them.

JSON Schema Draft 4 with Sahara's types and formats.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from jsonschema import Draft4Validator, FormatChecker, validators

from savanna_api_gateway.core.checks import HOST_NAME, NAME
from savanna_api_gateway.core.job_binaries import INTERNAL
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jsonschema import TypeChecker, ValidationError
    from jsonschema.protocols import Validator

Json = Any
"""What JSON can say; its parts are looked at only after a schema has passed them."""

Schema = dict[str, Any]

_LARGEST = 2**31 - 1
_SMALLEST_VALUE, _LARGEST_VALUE = -(2**63), 2**63 - 1

TEXT: Schema = {"type": "string"}
FILLED: Schema = {"type": "string", "minLength": 1}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
FLAG: Schema = {"type": "boolean"}
FLAG_OR_NULL: Schema = {"type": ["boolean", "null"]}
UUID: Schema = {"type": "string", "format": "uuid"}
UUID_OR_NULL: Schema = {"type": ["string", "null"], "format": "uuid"}
FLAVOR: Schema = {"type": "flavor"}
CONFIGS: Schema = {"type": ["configs", "null"]}
SIMPLE_CONFIG: Schema = {"type": "simple_config"}
TEXTS: Schema = {"type": "array", "items": TEXT}
TEXTS_OR_NULL: Schema = {"type": ["array", "null"], "items": TEXT}
PROCESSES: Schema = {"type": "array", "items": TEXT, "minItems": 1}
COUNT: Schema = {"type": "integer", "minimum": -(2**31), "maximum": _LARGEST}
"""A number of nodes; that it is not negative is for the core to say, in Sahara's words."""

HOST_NAME_TEXT: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 50,
    "format": "valid_name_hostname",
}
NAME_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 50, "format": "valid_name"}
POSIX_PATH: Schema = {"type": ["string", "null"], "format": "posix_path"}
LOCATION: Schema = {"type": "string", "format": "valid_job_location"}
KEYPAIR: Schema = {"type": "string", "format": "valid_keypair_name"}
TAGS: Schema = {"type": "array", "items": {"type": "string", "format": "valid_tag"}}


def size(least: int, *, nullable: bool = False) -> Schema:
    """Give the schema of a number of things that is at least this."""
    kind = ["integer", "null"] if nullable else "integer"
    return {"type": kind, "minimum": least, "maximum": _LARGEST}


def mapping(properties: Mapping[str, Schema], *required: str) -> Schema:
    """Give the schema of an object with exactly these properties."""
    schema: Schema = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    if required:
        schema["required"] = list(required)
    return schema


SHARES: Schema = {
    "type": ["array", "null"],
    "items": mapping(
        {
            "id": UUID,
            "path": TEXT_OR_NULL,
            "access_level": {"type": ["string", "null"], "enum": ["rw", "ro"]},
        },
        "id",
    ),
}

_KEYPAIR_NAME = re.compile(r"^[a-zA-Z0-9\-_ ]+\Z")
_TAG = re.compile(
    r"^(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-_]*[a-zA-Z0-9])\.)*"
    r"([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-_]*[A-Za-z0-9])\Z"
)
_PATH = re.compile(r"^(/([A-Z]|[a-z]|[0-9]|\-|_)+)+\Z")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)).replace("-", "") == text.lower().replace("-", "")
    except ValueError:
        return False


def _is_location(text: str) -> bool:
    rest = text.removeprefix(f"{INTERNAL}://")
    return rest != text and (not rest or _is_uuid(rest))


_FORMATS: dict[str, Callable[[str], bool]] = {
    "uuid": _is_uuid,
    "valid_name_hostname": lambda text: HOST_NAME.match(text) is not None,
    "valid_name": lambda text: NAME.match(text) is not None,
    "valid_keypair_name": lambda text: _KEYPAIR_NAME.match(text) is not None,
    "valid_tag": lambda text: _TAG.match(text) is not None,
    "posix_path": lambda text: _PATH.match(text) is not None,
    "valid_job_location": _is_location,
}


def _checks(check: Callable[[str], bool]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or check(value)


def _format_checker() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, check in _FORMATS.items():
        checker.checks(name)(_checks(check))
    return checker


def _is_flavor(checker: TypeChecker, value: object) -> bool:
    del checker
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (
        isinstance(value, str) and (value.isdecimal() or _is_uuid(value))
    )


def _is_simple_config(checker: TypeChecker, value: object) -> bool:
    del checker
    return isinstance(value, dict) and all(map(_is_value, value.values()))


def _is_value(value: object) -> bool:
    if isinstance(value, int):
        return _SMALLEST_VALUE <= value <= _LARGEST_VALUE
    return isinstance(value, str)


def _is_configs(checker: TypeChecker, value: object) -> bool:
    return isinstance(value, dict) and all(
        _is_simple_config(checker, each) for each in value.values()
    )


_Validator = validators.create(
    meta_schema=Draft4Validator.META_SCHEMA,
    validators=Draft4Validator.VALIDATORS,
    type_checker=Draft4Validator.TYPE_CHECKER.redefine_many(
        {"flavor": _is_flavor, "simple_config": _is_simple_config, "configs": _is_configs}
    ),
)
_FORMAT_CHECKER = _format_checker()


class BodySchema:
    """A schema that is ready to check bodies."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._validator: Validator = _Validator(schema, format_checker=_FORMAT_CHECKER)

    def check(self, body: Json) -> None:
        """Raise ``InvalidArgument`` with one line for each thing that is wrong."""
        lines = [line for each in self._validator.iter_errors(body) for line in _lines(each)]
        if lines:
            raise errors.InvalidArgument("\n".join(lines), reason="VALIDATION_ERROR")


def _lines(error: ValidationError) -> Iterator[str]:
    """Say what is wrong; where one of several forms was wanted, also what the nearest lacks."""
    yield f"{_where(error.absolute_path)}{error.message}"
    forms: dict[str | int, list[ValidationError]] = {}
    for each in error.context or ():
        forms.setdefault(each.relative_schema_path[0], []).append(each)
    for each in min(forms.values(), key=len, default=[]):
        yield from _lines(each)


def _where(path: Iterable[str | int]) -> str:
    first, *rest = [*path] or [""]
    if first == "":
        return ""
    return f"{first}{''.join(f'[{each!r}]' for each in rest)}: "
