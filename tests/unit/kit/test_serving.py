"""A service starts, answers, and ends as it should."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import textwrap
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from savanna_kit import context, errors, serving
from savanna_kit.channels import connect

if TYPE_CHECKING:
    from pathlib import Path


class Echo(health_pb2_grpc.HealthServicer):
    """Answers by the name it is asked for: a stand-in for any servicer."""

    def __init__(self) -> None:
        self.seen: list[tuple[context.RequestContext, float | None]] = []

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context_: object
    ) -> health_pb2.HealthCheckResponse:
        self.seen.append((context.current(), context.remaining()))
        if request.service == "missing":
            raise errors.NotFound(
                "there is no such thing",
                reason="THING_NOT_FOUND",
                violations=[errors.FieldViolation("service", "choose another", "UNKNOWN")],
                retry_after=1.5,
            )
        if request.service == "broken":
            raise ZeroDivisionError("secret text")
        if request.service == "cut off":
            inner = asyncio.ensure_future(asyncio.sleep(30))
            inner.cancel()
            await inner
        if request.service == "slow":
            await asyncio.sleep(30)
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


async def test_a_service_that_can_not_do_its_work_is_taken_for_one_that_does_not_serve(
    tmp_path: Path,
) -> None:
    states = health_pb2.HealthCheckResponse
    parts, _ = echo_parts(tmp_path)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def state() -> int:
            return int((await stub.Check(health_pb2.HealthCheckRequest())).status)

        assert await state() == states.SERVING
        await parts.say_well(False)
        assert await state() == states.NOT_SERVING
        await parts.say_well(True)
        assert await state() == states.SERVING


def echo_parts(tmp_path: Path) -> tuple[serving.Parts, Echo]:
    echo = Echo()
    parts = serving.Parts(name="echo", listen=f"unix:{tmp_path}/echo.sock")

    def add(servicer: Echo, server: grpc.aio.Server) -> None:
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(
                servicer.Check,
                request_deserializer=health_pb2.HealthCheckRequest.FromString,
                response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
            )
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("echo.Echo", handlers),)
        )

    parts.served.append(serving.Served("echo.Echo", add, echo))
    return parts, echo


async def ask(channel: grpc.aio.Channel, name: str, timeout: float | None = None) -> object:
    call = channel.unary_unary(
        "/echo.Echo/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return await call(health_pb2.HealthCheckRequest(service=name), timeout=timeout)


async def test_health_and_reflection_are_served_beside_the_servicers(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "echo.Echo"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_call_whose_own_call_was_cut_off_is_told_so_and_does_not_hang(
    tmp_path: Path,
) -> None:
    parts, _ = echo_parts(tmp_path)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        with pytest.raises(errors.Unavailable, match="cut off from what it asks"):
            await ask(channel, "cut off", timeout=5)


async def test_an_error_comes_back_as_the_same_error_with_all_its_details(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        with pytest.raises(errors.NotFound) as caught:
            await ask(channel, "missing")
    assert caught.value.reason == "THING_NOT_FOUND"
    assert caught.value.violations == [
        errors.FieldViolation("service", "choose another", "UNKNOWN")
    ]
    assert caught.value.retry_after == 1.5


async def test_the_text_of_an_unforeseen_fault_does_not_reach_the_caller(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        with pytest.raises(errors.Internal) as caught:
            await ask(channel, "broken")
    assert "secret" not in caught.value.message
    assert caught.value.metadata["request_id"].startswith("req-")


async def test_the_request_and_what_is_left_of_its_time_travel_with_the_call(
    tmp_path: Path,
) -> None:
    parts, echo = echo_parts(tmp_path)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        context.enter(context.RequestContext("req-1", "p1", "u1", "Ann", ("member", "admin")))
        context.enter_deadline(5.0)
        await ask(channel, "fine")
    request, left = echo.seen[0]
    assert request == context.RequestContext("req-1", "p1", "u1", "Ann", ("member", "admin"))
    assert left is not None
    # gRPC rounds time-outs up on their way.
    assert 0 < left <= 5.1


async def test_a_call_that_takes_too_long_ends_with_its_deadline(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        with pytest.raises(errors.DeadlineExceeded):
            await ask(channel, "slow", timeout=0.1)


async def test_a_socket_is_not_taken_from_a_service_that_lives(tmp_path: Path) -> None:
    first, _ = echo_parts(tmp_path)
    second, _ = echo_parts(tmp_path)
    async with serving.running([first]), connect(first.addresses[0]) as channel:
        with pytest.raises(errors.FailedPrecondition, match="it is in use") as caught:
            async with serving.running([second]):
                pass
        assert caught.value.reason == "ADDRESS_NOT_FREE"
        await ask(channel, "fine")


async def test_the_socket_of_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(parts.listen.removeprefix("unix:"))
        killed.listen()
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        await ask(channel, "fine")


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)
    file = tmp_path / "echo.sock"
    file.write_text("mine")
    with pytest.raises(errors.FailedPrecondition, match="it is in use"):
        async with serving.running([parts]):
            pass
    assert file.read_text() == "mine"


async def test_a_loop_that_fails_ends_the_service(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)

    async def fail() -> None:
        raise RuntimeError("broken loop")

    parts.loops.append(fail)
    with pytest.raises(ExceptionGroup):
        async with serving.running([parts]):
            await asyncio.sleep(30)


async def test_sigterm_drains_and_closes_in_reverse(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import asyncio, contextlib
            from savanna_kit import logs, serving

            @contextlib.asynccontextmanager
            async def resource():
                print("opened", flush=True)
                yield
                print("closed", flush=True)

            async def loop():
                await asyncio.sleep(3600)

            async def drain():
                print("drained", flush=True)

            parts = serving.Parts("one", "unix:{tmp_path}/one.sock", resources=[resource()],
                                  loops=[loop], drains=[drain])
            logs.configure(level="error")
            said = lambda: print("ready", flush=True)
            serving.run(serving.serve([parts], ready=said))
            """
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline(), await process.stdout.readline()]
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        rest = await process.stdout.read()
        code = await process.wait()
    assert [*lines, rest] == [b"opened\n", b"ready\n", b"drained\nclosed\n"]
    assert code == 0
