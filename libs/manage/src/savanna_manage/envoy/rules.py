"""What a description must hold to beyond its form: nobody else gets in, nothing clashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna_manage.documents import Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_manage.envoy.addresses import Address
    from savanna_manage.envoy.description import Mesh, Scheduler, Service


@dataclass(frozen=True)
class Entry:
    """A service of a description, with what is known of it by its place."""

    place: Place
    service: Service | Scheduler
    is_front: bool

    @property
    def name(self) -> str:
        """Name it as Envoy's listener and cluster are named."""
        return "-".join(str(each) for each in self.place[1:])

    @property
    def at(self) -> list[Address]:
        """List where its servers are."""
        at = self.service.at
        return at if isinstance(at, list) else [at]

    def place_of(self, number: int) -> Place:
        """Say where an address of ``at`` is written."""
        many = isinstance(self.service.at, list)
        return (*self.place, "at", number) if many else (*self.place, "at")


def entries(mesh: Mesh) -> list[Entry]:
    """List all services: the front first, then inwards, those of one kind by name."""
    services = mesh.services
    found = [
        Entry(("services", "rest"), services.rest, True) if services.rest else None,
        Entry(("services", "grpc"), services.grpc, True) if services.grpc else None,
        Entry(("services", "conductor"), services.conductor, False) if services.conductor else None,
        *(
            Entry(("services", "schedulers", name), each, False)
            for name, each in sorted(services.schedulers.items())
        ),
        Entry(("services", "engines"), services.engines, False) if services.engines else None,
        *(
            Entry(("services", "plugins", name), each, False)
            for name, each in sorted(services.plugins.items())
        ),
    ]
    return [each for each in found if each is not None]


def mistakes_of(mesh: Mesh) -> list[Mistake]:
    """List everything that is wrong with a description whose form is right."""
    found = entries(mesh)
    if not found:
        return [Mistake(("services",), "no service is described: give at least 'rest' or 'grpc'")]
    return [
        *_named_listeners(mesh, found),
        *_clashes(mesh, found),
        *(each for entry in found for each in _open_listener(mesh, entry)),
        *(each for entry in found for each in _open_servers(mesh, entry)),
        *(each for entry in found for each in _mixed(entry)),
        *_own_doors(mesh),
        *_folder(mesh),
    ]


def _listeners(mesh: Mesh, found: list[Entry]) -> list[tuple[Place, Address]]:
    """List where Envoy shall listen, each with the place where that is written."""
    wanted: list[tuple[Place, Address]] = [
        ((*each.place, "listen"), each.service.listen) for each in found
    ]
    if mesh.admin is not None:
        wanted.append((("admin",), mesh.admin))
    return wanted


def _named_listeners(mesh: Mesh, found: list[Entry]) -> Iterator[Mistake]:
    """Find listeners at names: Envoy looks names of servers up, but listens at addresses alone."""
    for place, address in _listeners(mesh, found):
        if address.is_name:
            yield Mistake(
                place,
                f"{address} is a name, and Envoy listens at addresses alone: give its address, "
                "such as 127.0.0.1 for localhost",
            )


def _clashes(mesh: Mesh, found: list[Entry]) -> Iterator[Mistake]:
    """Find addresses that two want to have."""
    listening: list[tuple[Address, str]] = []
    serving: dict[Address, str] = {}
    for place, address in _listeners(mesh, found):
        for other, name in listening:
            if address.clashes(other):
                yield Mistake(place, f"{address} is taken by '{name}': give another port")
                break
        listening.append((address, _written(place)))
    for entry in found:
        for number, address in enumerate(entry.at):
            place, name = entry.place_of(number), _written(entry.place)
            if address in serving:
                yield Mistake(
                    place,
                    f"{address} is given twice, first under '{serving[address]}': each server has "
                    "an address of its own",
                )
            serving.setdefault(address, name)
            taken = [other for there, other in listening if there == address]
            if taken:
                yield Mistake(
                    place,
                    f"{address} is where Envoy listens for '{taken[0]}', which would call itself: "
                    "give the address of the server",
                )


def _open_listener(mesh: Mesh, entry: Entry) -> Iterator[Mistake]:
    """Find what others could reach in clear."""
    listen, name = entry.service.listen, _written(entry.place)
    place = (*entry.place, "listen")
    if listen.is_local:
        return
    if not entry.is_front:
        if mesh.tls is None:
            yield Mistake(
                place,
                f"{listen} would let everyone who reaches it be a part of the mesh: give 'tls', or "
                "listen on 127.0.0.1 or at unix:/path",
            )
    elif getattr(entry.service, "tls", None) is None:
        yield Mistake(
            place,
            f"{listen} would carry tokens in clear: give '{name}.tls' with certificate and key, or "
            "listen on 127.0.0.1 or at unix:/path",
        )


def _open_servers(mesh: Mesh, entry: Entry) -> Iterator[Mistake]:
    """Find servers that would be called in clear over a network."""
    if mesh.tls is not None and not entry.service.plain:
        return
    remedy = "take 'plain' away" if entry.service.plain else "give 'tls' for the mesh"
    for number, address in enumerate(entry.at):
        if not address.is_local:
            yield Mistake(
                entry.place_of(number),
                f"{address} would be called in clear over a network: {remedy}, or give an address "
                "on this machine",
            )


def _mixed(entry: Entry) -> Iterator[Mistake]:
    if any(each.path for each in entry.at) and any(each.is_name for each in entry.at):
        yield Mistake(
            (*entry.place, "at"),
            "names and sockets can not be mixed: give the addresses of the names as numbers",
        )


def _own_doors(mesh: Mesh) -> Iterator[Mistake]:
    """Find what must stay on this machine and would not."""
    if mesh.admin is not None and not mesh.admin.is_local:
        yield Mistake(
            ("admin",),
            f"{mesh.admin} would let others end Envoy and read its secrets: give 127.0.0.1 or "
            "unix:/path",
        )
    if mesh.traces is not None and not mesh.traces.is_local:
        yield Mistake(
            ("traces",),
            f"traces would go to {mesh.traces} in clear: run a collector on this machine, which "
            "passes them on, and give its address",
        )


def _folder(mesh: Mesh) -> Iterator[Mistake]:
    """Certificates are told in files of their own, of which Envoy must know where they lie."""
    if mesh.folder is not None:
        return
    fronts = (mesh.services.rest, mesh.services.grpc)
    if mesh.tls is not None or any(each is not None and each.tls is not None for each in fronts):
        yield Mistake(
            (),
            "'folder' is missing: say where the files that are made will lie on the machine of "
            "Envoy, for example /etc/savanna/envoy",
        )


def _written(place: Place) -> str:
    return ".".join(map(str, place))
