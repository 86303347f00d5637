"""What surrounds every call, in one list and one order.

Server, outermost first: trace -> metrics -> request -> errors -> caller -> deadline -> the
servicer. Client: request and trace go along, the time-out is what is left of the caller's, and
failures come back as errors of ``savanna_kit.errors``.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from grpc.aio import ServerInterceptor, UnaryUnaryClientInterceptor

from savanna_kit import context as request_context
from savanna_kit import errors, logs, measured, metrics, status, telemetry
from savanna_kit.identity import FORWARDED, caller_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    Context = grpc.aio.ServicerContext[Any, Any]
    GoOn = Callable[[], Awaitable[object]]

log = logs.get_logger(__name__)

DEFAULT_DEADLINE = 30.0
"""Seconds for a unary call whose caller set no limit of its own."""


class Call:
    """A call being served: what the layers around it need to know."""

    def __init__(
        self,
        method: str,
        metadata: dict[str, str],
        *,
        streaming: bool,
        callers: frozenset[str] = frozenset(),
    ) -> None:
        self.method = method
        self.metadata = metadata
        self.streaming = streaming
        self.callers = callers


async def _traced(call: Call, context: Context, go_on: GoOn) -> object:
    del context
    parent = call.metadata.get(telemetry.TRACEPARENT, "")
    with telemetry.span(call.method.lstrip("/"), parent):
        return await go_on()


async def _measured(call: Call, context: Context, go_on: GoOn) -> object:
    if call.streaming or not metrics.is_on():
        return await go_on()
    begin = time.perf_counter()
    # A call that its caller has given up ends without a code.
    code = grpc.StatusCode.CANCELLED
    try:
        response = await go_on()
        code = grpc.StatusCode.OK
    except grpc.aio.AbortError:
        code = grpc.StatusCode(context.code())
        raise
    finally:
        took = time.perf_counter() - begin
        measured.RPC_SECONDS.record(took, call.method.lstrip("/"), code.name)
    return response


async def _in_request(call: Call, context: Context, go_on: GoOn) -> object:
    del context
    request = request_context.from_metadata(call.metadata)
    request_context.enter(request)
    with structlog.contextvars.bound_contextvars(request_id=request.request_id):
        return await go_on()


async def _errors_mapped(call: Call, context: Context, go_on: GoOn) -> object:
    try:
        return await go_on()
    except errors.SavannaError as error:
        await context.abort_with_status(status.to_status(error))
    except TimeoutError:
        late = errors.DeadlineExceeded(f"{call.method} took longer than its caller would wait")
        await context.abort_with_status(status.to_status(late))
    except grpc.aio.AbortError:
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Not this call was given up, but one that it made: without an answer its caller would wait.
        broken = errors.Unavailable(f"{call.method} was cut off from what it asks; call it again")
        await context.abort_with_status(status.to_status(broken))
    except Exception:
        # The text of an unforeseen fault may hold anything: callers get the request id, the log has
        # the rest.
        request_id = request_context.current().request_id
        log.exception("call_failed", method=call.method)
        fault = errors.Internal(
            f"an unexpected fault; look for {request_id} in the log of the service",
            metadata={"request_id": request_id},
        )
        await context.abort_with_status(status.to_status(fault))
    raise AssertionError("an aborted call went on")


async def _allowed(call: Call, context: Context, go_on: GoOn) -> object:
    if call.callers:
        role = caller_of(context.peer_identities() or (), call.metadata.get(FORWARDED, ""))
        if role not in call.callers:
            log.warning("caller_refused", method=call.method, role=role, peer=context.peer())
            raise errors.PermissionDenied(
                f"{call.method} is for {', '.join(sorted(call.callers))}, and the caller's "
                f"certificate says {role or 'no role'}: give the caller a certificate of its role",
                reason="CALLER_NOT_ALLOWED",
                metadata={"role": role},
            )
    return await go_on()


async def _in_time(call: Call, context: Context, go_on: GoOn) -> object:
    left = context.time_remaining()
    if call.streaming:
        request_context.enter_deadline(left)
        return await go_on()
    limit = DEFAULT_DEADLINE if left is None else left
    request_context.enter_deadline(limit)
    async with asyncio.timeout(limit):
        return await go_on()


LAYERS = (_traced, _measured, _in_request, _errors_mapped, _allowed, _in_time)


async def _through_layers(call: Call, context: Context, serve: GoOn) -> object:
    """Serve a call inside of all layers."""
    for layer in reversed(LAYERS):
        serve = partial(layer, call, context, serve)
    return await serve()


class ServerLayers(ServerInterceptor):
    """Puts all layers around every method of a server.

    ``callers`` are the roles that may call a service, by its name; others take everyone.
    """

    def __init__(self, callers: Mapping[str, frozenset[str]] | None = None) -> None:
        self._callers = callers or {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - grpc's handler class exists in its stubs alone
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        metadata = {
            key: value if isinstance(value, str) else value.decode("latin-1")
            for key, value in handler_call_details.invocation_metadata
        }
        streaming = handler.request_streaming or handler.response_streaming
        method: str = handler_call_details.method
        callers = self._callers.get(method.split("/")[1], frozenset())
        call = Call(method, metadata, streaming=streaming, callers=callers)
        return _wrapped(handler, call)


def _wrapped(handler: Any, call: Call) -> Any:  # noqa: ANN401 - grpc's handler class exists in its stubs alone
    behavior = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )

    async def single(request: object, context: Context) -> object:
        return await _through_layers(call, context, partial(behavior, request, context))

    async def stream(request: object, context: Context) -> None:
        # No generator: one that its caller gives up is closed in another context than it ran in.
        async def respond() -> None:
            responses = behavior(request, context)
            if inspect.isawaitable(responses):
                await responses
                return
            async with aclosing(responses):
                async for response in responses:
                    await context.write(response)

        await _through_layers(call, context, respond)

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[(handler.request_streaming, handler.response_streaming)]
    return make(
        stream if handler.response_streaming else single,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def outgoing_metadata() -> list[tuple[str, str]]:
    """Give the metadata that every call to another service carries: the request and the trace."""
    metadata = request_context.to_metadata(request_context.current())
    traceparent = telemetry.current_traceparent()
    if traceparent:
        metadata.append((telemetry.TRACEPARENT, traceparent))
    return metadata


def with_metadata(
    details: grpc.aio.ClientCallDetails,
    further: Iterable[tuple[str, str]],
    *,
    timeout: float | None,
) -> grpc.aio.ClientCallDetails:
    """Give the details of a call with further metadata, and with this time-out in seconds."""
    return grpc.aio.ClientCallDetails(
        details.method,
        timeout,
        grpc.aio.Metadata(*(details.metadata or ()), *further),
        details.credentials,
        details.wait_for_ready,
    )


class ClientLayers(UnaryUnaryClientInterceptor):
    """Puts request, trace and deadline on every unary call, and turns its failure into an error of
    the tree."""

    def __init__(self, default_deadline: float = DEFAULT_DEADLINE) -> None:
        self._default = default_deadline

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: object,
    ) -> Any:  # noqa: ANN401 - the type of the response is the method's
        """Make the call."""
        asked = client_call_details.timeout
        left = request_context.remaining()
        limits = [each for each in (asked or self._default, left) if each is not None]
        details = with_metadata(client_call_details, outgoing_metadata(), timeout=min(limits))
        call = await continuation(details, request)
        try:
            await call
        except grpc.aio.AioRpcError as failure:
            raise status.from_rpc_error(failure) from failure
        return call
