"""Which calls there are, how long each may take, and which may be sent again: routes as data.

A call that names its own deadline has that one; the seconds here are for those that name none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KEY_HEADER = "idempotency-key"
"""Carried by a write that is done once however often it arrives with the same one."""


class Again(StrEnum):
    """When a call that failed is sent again, to another server where there is one."""

    NEVER = "never"
    UNSENT = "unsent"
    """When nothing of it has reached a server: true of every call."""

    ALWAYS = "always"
    """Also when its answer is lost before it began: asking twice is asking once."""


@dataclass(frozen=True)
class Route:
    """A kind of call; the first that fits counts."""

    name: str
    pattern: str
    """What the path begins with; with ``methods``, between them "|", one of those follows."""

    again: Again = Again.UNSENT
    methods: tuple[str, ...] = ()
    """Names of gRPC methods, or beginnings of such names that end with "*"."""

    verbs: tuple[str, ...] = ()
    """Methods of HTTP; empty for all."""

    suffix: str = ""
    """What the path ends with."""

    keyed: bool = False
    """Whether it is for calls that carry a key."""

    seconds: float | None = 60.0
    """None: as long as both sides want, however long nothing is said."""

    try_seconds: float | None = None
    """A server that has not begun to answer by then hangs, and another one is asked."""


@dataclass(frozen=True)
class Kind:
    """A kind of service: its calls, and who may make them."""

    role: str
    """Of the servers, in their certificates."""

    health: str
    """The gRPC service whose health is asked for: of a server of another kind it is unknown, so
    that an address under the wrong name gets no calls. "" where health is a page of HTTP."""

    routes: tuple[Route, ...]
    callers: tuple[str, ...] = ()
    """Roles that are let in; empty for the front, where tokens say who it is."""

    is_http: bool = False


_GATEWAY_SECONDS = 65.0
"""A little more than the 60 seconds that the gateway gives a request: its own words say more."""

_TRY_SECONDS = 20.0
_BYTES_SECONDS = 605.0
_TRANSFER_SECONDS = 600.0


def _reads(beginning: str) -> Route:
    names = ("Get*", "List*", "Read*")
    return Route("read", beginning, Again.ALWAYS, methods=names, try_seconds=_TRY_SECONDS)


# Health and reflection: of any server, and a watch of health lasts.
_ABOUT = Route("about", "/grpc.", seconds=None)

REST = Kind(
    role="api",
    health="",
    is_http=True,
    routes=(
        Route("upload", "/", verbs=("PUT",), suffix="/data", seconds=_BYTES_SECONDS),
        Route(
            "download", "/", Again.ALWAYS, verbs=("GET",), suffix="/data", seconds=_BYTES_SECONDS
        ),
        Route(
            "read",
            "/",
            Again.ALWAYS,
            verbs=("GET", "HEAD"),
            seconds=_GATEWAY_SECONDS,
            try_seconds=_TRY_SECONDS,
        ),
        # Creations, runs and the ways on of an operation: other verbs know no key.
        Route(
            "keyed-write",
            "/",
            Again.ALWAYS,
            verbs=("POST",),
            keyed=True,
            seconds=_GATEWAY_SECONDS,
        ),
        Route("write", "/", seconds=_GATEWAY_SECONDS),
    ),
)

_API = "/savanna.api.v1."
GRPC = Kind(
    role="api",
    health="savanna.api.v1.ClusterService",
    routes=(
        Route(
            "watch",
            f"{_API}OperationService/",
            Again.ALWAYS,
            methods=("WatchOperations",),
            seconds=None,
        ),
        Route(
            "upload", f"{_API}JobService/", methods=("UploadJobBinary",), seconds=_TRANSFER_SECONDS
        ),
        _reads(_API),
        Route("keyed-write", _API, Again.ALWAYS, keyed=True),
        Route("write", _API),
        _ABOUT,
    ),
)

_CONDUCTOR = "/savanna.conductor.v1."
CONDUCTOR = Kind(
    role="conductor",
    health="savanna.conductor.v1.ExecutionService",
    callers=("api", "engine", "scheduler"),
    routes=(
        Route(
            "watch",
            f"{_CONDUCTOR}OperationService/",
            Again.ALWAYS,
            methods=("WatchJournal",),
            seconds=None,
        ),
        Route(
            "download",
            f"{_CONDUCTOR}FactsService/",
            Again.ALWAYS,
            methods=("ReadJobBinary",),
            seconds=_TRANSFER_SECONDS,
        ),
        Route(
            "upload",
            f"{_CONDUCTOR}CatalogService/",
            methods=("WriteJobBinary",),
            seconds=_TRANSFER_SECONDS,
        ),
        _reads(_CONDUCTOR),
        # Savanna's own services are the only callers, and give each of these an id or a number.
        Route(
            "keyed-write",
            _CONDUCTOR,
            Again.ALWAYS,
            methods=(
                "Commit",
                "CreateCluster",
                "CreateItem",
                "CreateJob",
                "RetryOperation",
                "RollbackOperation",
                "ScaleCluster",
            ),
        ),
        Route("write", _CONDUCTOR),
        _ABOUT,
    ),
)

SCHEDULER = Kind(
    role="scheduler",
    health="savanna.scheduler.v1.SchedulerService",
    callers=("engine",),
    routes=(
        # The engine must know at once that its stream is broken, and opens the next one itself.
        Route("stream", "/savanna.scheduler.v1.SchedulerService/", Again.NEVER, seconds=None),
        _ABOUT,
    ),
)

ENGINES = Kind(
    role="engine",
    health="savanna.engine.v1.CloudService",
    callers=("api",),
    routes=(
        # The cloud may take its time.
        Route("read", "/savanna.engine.v1.", Again.ALWAYS, methods=("Get*", "List*")),
        Route("write", "/savanna.engine.v1."),
        _ABOUT,
    ),
)

PLUGIN = Kind(
    role="plugin",
    health="savanna.plugin.v1.PluginService",
    callers=("api", "engine"),
    routes=(
        # Facts in, answer out: a plugin changes nothing, whatever it is asked.
        Route("ask", "/savanna.plugin.v1.PluginService/", Again.ALWAYS),
        _ABOUT,
    ),
)

KINDS = {
    "rest": REST,
    "grpc": GRPC,
    "conductor": CONDUCTOR,
    "schedulers": SCHEDULER,
    "engines": ENGINES,
    "plugins": PLUGIN,
}
"""By the name in the description."""
