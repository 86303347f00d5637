"""Errors that come back from a call."""

from __future__ import annotations

import grpc

from savanna_kit import errors, status


def failed(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    """Make what gRPC raises for a call that no server of ours has ended."""
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, details=details)


def test_a_stream_that_a_proxy_cuts_is_a_lost_connection() -> None:
    # As gRPC says it when Envoy cuts a stream whose server has died.
    details = "Stream removed (RST_STREAM (Received RST_STREAM with error code 2))"
    error = status.from_rpc_error(failed(grpc.StatusCode.INTERNAL, details))
    assert type(error) is errors.Unavailable
    assert error.message == details


def test_a_fault_of_a_server_stays_one() -> None:
    error = status.from_rpc_error(failed(grpc.StatusCode.INTERNAL, "Failed to serialize response!"))
    assert type(error) is errors.Internal


def test_a_server_that_ended_while_it_was_called_is_away() -> None:
    error = status.from_rpc_error(failed(grpc.StatusCode.CANCELLED, "CANCELLED"))
    assert type(error) is errors.Unavailable
    assert error.message == "the service ended while it was called: ask again"
