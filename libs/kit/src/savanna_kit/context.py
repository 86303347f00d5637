"""Who asks, for which request, and by when: carried through every call of the mesh."""

from __future__ import annotations

import hashlib
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

KEY_HEADER = "idempotency-key"
"""Carries, beside a write, what makes it the same one when it is sent again: proxies may then send
it again themselves. In a message the same key is the ``request_id``."""

LONGEST_KEY = 64
"""Characters of a key; a UUID has 36."""

_PREFIX = "x-savanna-"
_DIGEST = 1
"""How digests are made. One that is made in another way says nothing of this one, so a release that
makes them in another way counts on."""


def new_request_id() -> str:
    """Make an id by which a request is found in every log."""
    return f"req-{uuid.uuid4()}"


@dataclass(frozen=True)
class RequestContext:
    """The request on whose behalf something is done."""

    request_id: str = field(default_factory=new_request_id)
    project_id: str = ""
    user_id: str = ""
    user_name: str = ""
    roles: tuple[str, ...] = ()
    digest: str = ""
    """Of what is asked for with a key, so that another request with the same key is noticed."""


_request: ContextVar[RequestContext | None] = ContextVar("savanna_request", default=None)
_deadline: ContextVar[float | None] = ContextVar("savanna_deadline", default=None)


def current() -> RequestContext:
    """Give the request under way; a new, empty one outside of any."""
    return _request.get() or RequestContext()


def enter(request: RequestContext) -> None:
    """Make this the request of the running task and all it calls."""
    _request.set(request)


def enter_digest(*parts: bytes) -> None:
    """Note of what the request under way consists, beside who asks and its key."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    _request.set(replace(current(), digest=f"{_DIGEST}:{digest.hexdigest()}"))


def enter_deadline(seconds: float | None) -> None:
    """Make this the time that is left for the running task and all it calls."""
    _deadline.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Give the seconds that are left for the request; None when nobody set a limit."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def to_metadata(request: RequestContext) -> list[tuple[str, str]]:
    """Give the call metadata that carries a request."""
    values = {
        "request-id": request.request_id,
        "project": request.project_id,
        "user-id": request.user_id,
        "user-name": request.user_name,
        "roles": ",".join(request.roles),
        "request-digest": request.digest,
    }
    return [(_PREFIX + name, value) for name, value in values.items() if value]


def from_metadata(metadata: dict[str, str]) -> RequestContext:
    """Read a request from call metadata; what is missing stays empty, an id is made."""
    roles = metadata.get(_PREFIX + "roles", "")
    return RequestContext(
        request_id=metadata.get(_PREFIX + "request-id") or new_request_id(),
        project_id=metadata.get(_PREFIX + "project", ""),
        user_id=metadata.get(_PREFIX + "user-id", ""),
        user_name=metadata.get(_PREFIX + "user-name", ""),
        roles=tuple(roles.split(",")) if roles else (),
        digest=metadata.get(_PREFIX + "request-digest", ""),
    )
