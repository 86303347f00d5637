"""Whether something may be changed: it is the caller's own and not protected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from savanna_api_gateway.core.problems import Reason
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Collection


class Owned(Protocol):
    """What carries an owner and a protection."""

    id: str
    project_id: str
    is_protected: bool


_RELEASING = {"is_protected", "is_public"}


def check_changeable(
    thing: Owned, project_id: str, noun: str, *, paths: Collection[str] = ()
) -> None:
    """Raise ``FailedPrecondition`` unless it may be changed.

    ``paths`` are the fields to change.     Protection does not stand in the way of lifting it or of
    showing the thing to others.
    """
    if thing.project_id != project_id:
        raise _refused(thing, noun, "updated", Reason.UPDATE_FAILED, _FOREIGN)
    if thing.is_protected and not (paths and set(paths) <= _RELEASING):
        raise _refused(thing, noun, "updated", Reason.UPDATE_FAILED, _PROTECTED)


def check_deletable(thing: Owned, project_id: str, noun: str) -> None:
    """Raise ``FailedPrecondition`` unless it may be removed."""
    if thing.project_id != project_id:
        raise _refused(thing, noun, "deleted", Reason.DELETION_FAILED, _FOREIGN)
    if thing.is_protected:
        raise _refused(thing, noun, "deleted", Reason.DELETION_FAILED, _PROTECTED)


def check_cancelable(thing: Owned, project_id: str, noun: str) -> None:
    """Raise ``FailedPrecondition`` unless it may be ended."""
    if thing.project_id != project_id:
        raise _refused(thing, noun, "canceled", Reason.CANCELING_FAILED, _FOREIGN)
    if thing.is_protected:
        raise _refused(thing, noun, "canceled", Reason.CANCELING_FAILED, _PROTECTED)


_FOREIGN = "it wasn't created in this tenant"
_PROTECTED = "it's marked as protected"


def _refused(
    thing: Owned, noun: str, verb: str, reason: Reason, because: str
) -> errors.FailedPrecondition:
    return errors.FailedPrecondition(
        f"{noun} with id '{thing.id}' could not be {verb} because {because}", reason=reason.value
    )
