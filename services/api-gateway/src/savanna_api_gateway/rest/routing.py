"""Routes as data, and finding the one that a request means.

Knows nothing of HTTP servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from savanna_api_gateway.rest.microversion import LEAST, Version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response

    from savanna_api_gateway.rest.schemas import BodySchema, Json
    from savanna_kit.context import RequestContext


@dataclass(frozen=True)
class Call:
    """A request that has come through the door: everything that it gives has been checked."""

    caller: RequestContext
    version: Version
    path: Mapping[str, str]
    query: QueryParams
    body: Json
    subject: Any
    """What the path names, as the route's ``find`` found it; None for routes without one."""

    request: Request
    """For bodies that are not JSON."""

    key: str = ""
    """Makes a request that is sent again the same one; "" for none."""


Handler: TypeAlias = "Callable[[Call], Awaitable[Json | Response]]"
Find: TypeAlias = "Callable[[RequestContext, Mapping[str, str]], Awaitable[object]]"

_CODES = {"GET": 200, "POST": 202, "PUT": 202, "PATCH": 202, "DELETE": 204}


@dataclass(frozen=True)
class Route:
    """What can be done at a path."""

    method: str
    path: str
    """Below the mount, with its parameters in braces: "/clusters/{id}"."""

    handle: Handler
    find: Find | None = None
    """Reads what the path names, before the body is judged.

    Raises ``NotFound``.
    """

    body: BodySchema | None = None
    """What the body must be; without one, no body is read."""

    raw: bool = False
    """Whether the body is bytes that the handler reads."""

    query: tuple[str, ...] = ()
    """Names of parameters beside those of paging."""
    role: str = ""
    """The role that the caller must have; "" for none."""

    since: Version = LEAST
    """The first microversion that has it; of two routes alike the later one serves."""

    code: int = 0
    """Status of the answer; 0 for what is usual for the method."""

    @property
    def status(self) -> int:
        """Status of the answer."""
        return self.code or _CODES[self.method]


@dataclass(frozen=True)
class Match:
    """What a path means: the methods that it has, and its parameters."""

    routes: Sequence[Route]
    parameters: Mapping[str, str]

    def route(self, method: str, version: Version) -> Route | None:
        """Give the route of a method in a microversion."""
        wanted = "GET" if method == "HEAD" else method
        fitting = [each for each in self.routes if each.method == wanted and each.since <= version]
        return max(fitting, key=lambda each: each.since, default=None)

    def methods(self, version: Version) -> list[str]:
        """List the methods that the path has in a microversion."""
        return sorted({each.method for each in self.routes if each.since <= version})


class Table:
    """All routes of one mount."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._places: dict[tuple[str, int], dict[tuple[str, ...], list[Route]]] = {}
        for each in routes:
            segments = tuple(each.path.strip("/").split("/"))
            places = self._places.setdefault((segments[0], len(segments)), {})
            places.setdefault(segments, []).append(each)
        # What is written out comes before what stands for anything.
        for key, places in self._places.items():
            self._places[key] = dict(sorted(places.items(), key=lambda it: _openness(it[0])))
        self._collections = {first for first, _ in self._places}

    def split(self, path: str) -> tuple[str, str]:
        """Tell the project in a path, "" when there is none, from the rest of it."""
        first, _, rest = path.strip("/").partition("/")
        if first not in self._collections and _stem(rest) in self._collections:
            return first, rest
        return "", path.strip("/")

    def match(self, rest: str) -> Match | None:
        """Find what the rest of a path means; None when it means nothing."""
        segments = rest.removesuffix(".json").split("/")
        places = self._places.get((segments[0], len(segments)), {})
        for pattern, routes in places.items():
            if _fits(pattern, segments):
                return Match(routes, _parameters(pattern, segments))
        return None


def _stem(rest: str) -> str:
    return rest.partition("/")[0].removesuffix(".json")


def _is_open(segment: str) -> bool:
    return segment.startswith("{")


def _openness(pattern: tuple[str, ...]) -> list[bool]:
    return [_is_open(each) for each in pattern]


def _fits(pattern: tuple[str, ...], segments: Sequence[str]) -> bool:
    return all(
        segment if _is_open(wanted) else wanted == segment
        for wanted, segment in zip(pattern, segments, strict=True)
    )


def _parameters(pattern: tuple[str, ...], segments: Sequence[str]) -> dict[str, str]:
    return {
        wanted.strip("{}"): value
        for wanted, value in zip(pattern, segments, strict=True)
        if _is_open(wanted)
    }
