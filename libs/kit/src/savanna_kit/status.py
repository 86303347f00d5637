"""The one map between errors and gRPC status, both ways (AIP-193: code, sentence, ErrorInfo,
BadRequest, RetryInfo)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

DOMAIN = "savanna"

_CUT = "RST_STREAM"
"""What gRPC says of a stream that a proxy cut because the server behind it has died: by the rules
an internal error (gRPC over HTTP/2, "Errors"), in truth a lost connection."""

_CODES: dict[type[errors.SavannaError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    errors.Internal: grpc.StatusCode.INTERNAL,
}
_CLASSES = {code: kind for kind, code in _CODES.items()}


def code_of(error: errors.SavannaError) -> grpc.StatusCode:
    """Give the status code of an error."""
    return _CODES.get(type(error), grpc.StatusCode.INTERNAL)


def to_status(error: errors.SavannaError) -> grpc.Status:
    """Give the whole gRPC status of an error, for ``context.abort_with_status``."""
    code: tuple[int, str] = code_of(error).value
    status = status_pb2.Status(code=code[0], message=error.message)
    _attach(
        status,
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)
        ),
    )
    if error.violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(
                field=each.field, description=each.message, reason=each.reason
            )
            for each in error.violations
        ]
        _attach(status, error_details_pb2.BadRequest(field_violations=fields))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    answer: grpc.Status = rpc_status.to_status(status)
    return answer


def from_rpc_error(failure: grpc.RpcError) -> errors.SavannaError:
    """Give the error that a failed call, awaited or not, stands for; unknown ones become
    ``Internal``.

    A call that the caller gives up fails in another way: one that is told as cancelled met a server
    that was ending.
    """
    code = failure.code()
    if code == grpc.StatusCode.CANCELLED:
        return errors.Unavailable("the service ended while it was called: ask again")
    kind = _CLASSES.get(code, errors.Internal)
    if kind is errors.Internal and _CUT in (failure.details() or ""):
        kind = errors.Unavailable
    error = kind(failure.details() or code.name)
    # rpc_status offers no public way for asynchronous calls on every version; the trailer is the
    # contract. Any: of pairs, whatever class grpc gives them.
    trailer: Iterable[Any] = failure.trailing_metadata() or ()
    for key, value in trailer:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            _read_details(error, status_pb2.Status.FromString(value))
    return error


def _read_details(error: errors.SavannaError, status: status_pb2.Status) -> None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            error.reason = info.reason
            error.metadata = dict(info.metadata)
        elif detail.Unpack(request):
            error.violations = [
                errors.FieldViolation(each.field, each.description, each.reason)
                for each in request.field_violations
            ]
        elif detail.Unpack(retry):
            error.retry_after = retry.retry_delay.ToMilliseconds() / 1000


def _attach(status: status_pb2.Status, message: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(message)
    status.details.append(packed)
