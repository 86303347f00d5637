"""The description of a mesh, as an operator writes it; ``read`` gives one that holds together."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
)

from savanna_manage import documents
from savanna_manage.documents import Mistake
from savanna_manage.envoy.addresses import Address
from savanna_manage.envoy.rules import mistakes_of

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from savanna_manage.documents import Place


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("an address is text: give host:port or unix:/path")
    return Address.parse(value)


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(
            f"'{value}' depends on where Envoy is started: write the whole path, from / on"
        )
    return value


Where = Annotated[InstanceOf[Address], BeforeValidator(_address)]
File = Annotated[str, AfterValidator(_absolute)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MeshTls(_Part):
    """How Envoy shows to services that it is Envoy, and whom it believes to be one."""

    authority: File
    """Certificate of the authority that the whole mesh trusts."""

    certificate: File
    key: File


class FrontTls(_Part):
    """What users see of Envoy."""

    certificate: File
    key: File
    clients: File | None = None
    """An authority; with one, only users whose certificate it signed come in."""


class Service(_Part):
    """Servers that are alike, and where Envoy listens for them."""

    listen: Where
    at: list[Where] = Field(min_length=1)
    plain: bool = False
    """Whether these are reached without TLS though the mesh has it; on this machine alone."""


class Rest(Service):
    """The REST of the gateways."""

    tls: FrontTls | None = None


class Grpc(Rest):
    """The public gRPC API of the gateways."""

    grpc_web: bool = False
    """Whether browsers may call it, by gRPC-Web."""


class Scheduler(_Part):
    """One scheduler: an engine's stream belongs to the one that it was opened to."""

    listen: Where
    at: Where
    plain: bool = False


class Services(_Part):
    """What Envoy stands in front of; each may be left out."""

    rest: Rest | None = None
    grpc: Grpc | None = None
    conductor: Service | None = None
    schedulers: dict[Name, Scheduler] = Field(default_factory=dict)
    engines: Service | None = None
    plugins: dict[Name, Service] = Field(default_factory=dict)


class Mesh(_Part):
    """A mesh, described."""

    services: Services
    tls: MeshTls | None = None
    """For all connections inside of the mesh; may be left out while nobody else can reach them."""

    folder: File | None = None
    """Where the files that are made will lie on the machine of Envoy; needed with TLS."""

    access_log: File = "/dev/stdout"
    admin: Where | None = None
    traces: Where | None = None
    """A collector of traces (OTLP over gRPC) on this machine, to which Envoy tells its part."""


def read(path: Path) -> Mesh:
    """Read a description.

    Raises ``DocumentError`` that names everything that is wrong, with lines.
    """
    document = documents.read(path)
    try:
        mesh = Mesh.model_validate(document.content)
    except ValidationError as error:
        raise document.error([_mistake(each) for each in error.errors()]) from error
    found = mistakes_of(mesh)
    if found:
        raise document.error(found)
    return mesh


def _mistake(error: ErrorDetails) -> Mistake:
    place = tuple(each for each in error["loc"] if each != "[key]")
    written = ".".join(map(str, place)) or "the file"
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return Mistake(place, f"unknown field '{written}'; {_meant(place)}")
    if kind == "missing":
        return Mistake(place, f"'{written}' is missing: {_REMEDIES[str(place[-1])]}")
    if kind == "value_error":
        return Mistake(place, f"{written}: {context['error']}")
    if kind == "string_pattern_mismatch":
        return Mistake(
            place, f"'{place[-1]}' is no name: use small letters, digits and '-' between them"
        )
    if kind == "too_short":
        return Mistake(place, f"'{written}' is empty: give at least one address")
    wanted = _KINDS.get(kind, error["msg"])
    return Mistake(place, f"'{written}' must be {wanted}")


_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a mapping of names to values",
    "list_type": "a list",
    "model_type": "a mapping of names to values",
    "string_type": "text",
}

_REMEDIES = {
    "at": "give the addresses of the servers",
    "authority": "give the certificate that the whole mesh trusts (savanna-manage certs: ca.pem)",
    "certificate": "give the file of the certificate (savanna-manage certs: envoy.pem)",
    "key": "give the file of the certificate's key (savanna-manage certs: envoy.key)",
    "listen": "give the address at which Envoy shall listen",
    "services": "list what Envoy shall stand in front of",
}


def _meant(place: Place) -> str:
    known = list(_part_at(place[:-1]).model_fields)
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(known)}"


def _part_at(place: Place) -> type[_Part]:
    """Say which part of a description stands at a place."""
    match place:
        case ():
            return Mesh
        case ("services",):
            return Services
        case ("services", "rest"):
            return Rest
        case ("services", "grpc"):
            return Grpc
        case ("services", "schedulers", _):
            return Scheduler
        case ("services", "plugins", _) | ("services", _):
            return Service
        case ("tls",):
            return MeshTls
        case _:
            return FrontTls
