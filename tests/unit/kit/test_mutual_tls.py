"""Services that show certificates, and callers who do or do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from savanna_kit import errors, serving
from savanna_kit.channels import Peer, connect
from savanna_kit.identity import Identity
from savanna_kit.settings import ServiceSettings, SettingsError, load, prefixed
from savanna_kit.validity import IdentityError, Watch
from tests.certificates import Certificates

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400.0


@pytest.fixture
def ours(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "ours")


def conductor(identity: Identity) -> serving.Parts:
    """A service for schedulers and engines alone."""
    parts = serving.Parts(name="conductor", listen="127.0.0.1:0", identity=identity)

    async def check(
        request: health_pb2.HealthCheckRequest, context: object
    ) -> health_pb2.HealthCheckResponse:
        del request, context
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    def add(_: object, server: grpc.aio.Server) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            check,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inner.Inner", {"Check": handler}),)
        )

    parts.served.append(
        serving.Served("inner.Inner", add, None, callers=frozenset({"scheduler", "engine"}))
    )
    return parts


async def ask(
    channel: grpc.aio.Channel, *metadata: tuple[str, str]
) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    call = channel.unary_unary(
        "/inner.Inner/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    answer: health_pb2.HealthCheckResponse = await call(
        health_pb2.HealthCheckRequest(), timeout=5.0, metadata=metadata
    )
    return answer.status


async def test_a_caller_of_the_right_role_is_served(ours: Certificates) -> None:
    parts = conductor(ours.identity("conductor"))
    async with serving.running([parts]):
        caller = Peer(ours.identity("engine"), "conductor")
        async with connect(parts.addresses[0], peer=caller) as channel:
            assert await ask(channel) == health_pb2.HealthCheckResponse.SERVING


async def test_a_caller_of_another_role_is_refused_by_name(ours: Certificates) -> None:
    parts = conductor(ours.identity("conductor"))
    async with serving.running([parts]):
        caller = Peer(ours.identity("plugin"), "conductor")
        async with connect(parts.addresses[0], peer=caller) as channel:
            with pytest.raises(errors.PermissionDenied, match=r"is for engine, scheduler.*plugin"):
                await ask(channel)
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_who_comes_through_envoy_is_known_by_what_envoy_saw(ours: Certificates) -> None:
    def seen(role: str) -> tuple[str, str]:
        return (
            "x-forwarded-client-cert",
            f"Hash=0ab;URI=spiffe://savanna/{role}",
        )

    parts = conductor(ours.identity("conductor"))
    async with serving.running([parts]):
        envoy = Peer(ours.identity("envoy"), "conductor")
        async with connect(parts.addresses[0], peer=envoy) as channel:
            assert await ask(channel, seen("engine")) == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(errors.PermissionDenied, match=r"certificate says plugin"):
                await ask(channel, seen("plugin"))
            with pytest.raises(errors.PermissionDenied, match=r"certificate says envoy"):
                await ask(channel)
        liar = Peer(ours.identity("plugin"), "conductor")
        async with connect(parts.addresses[0], peer=liar) as channel:
            with pytest.raises(errors.PermissionDenied, match=r"certificate says plugin"):
                await ask(channel, seen("engine"))


async def test_a_service_of_another_role_is_not_taken_for_the_one_that_was_meant(
    ours: Certificates,
) -> None:
    parts = conductor(ours.identity("plugin"))
    async with serving.running([parts]):
        caller = Peer(ours.identity("engine"), "conductor")
        async with connect(parts.addresses[0], peer=caller) as channel:
            with pytest.raises(errors.Unavailable):
                await ask(channel)


async def test_strangers_the_expired_and_plain_text_are_not_served(
    ours: Certificates, tmp_path: Path
) -> None:
    parts = conductor(ours.identity("conductor"))
    strangers = Certificates(tmp_path / "theirs")
    stranger = strangers.identity("engine")
    trusting = Identity(
        authority=ours.folder / "ca.pem",
        certificate=strangers.folder / "engine.pem",
        key=strangers.folder / "engine.key",
    )
    ours.make("scheduler", days_ago=3)
    async with serving.running([parts]):
        address = parts.addresses[0]
        for identity in (stranger, trusting, ours.identity("scheduler")):
            async with connect(address, peer=Peer(identity, "conductor")) as channel:
                with pytest.raises(errors.Unavailable):
                    await ask(channel)
        async with connect(address) as channel:
            with pytest.raises(errors.Unavailable):
                await ask(channel)


async def test_renewed_certificates_are_used_without_a_restart(ours: Certificates) -> None:
    now = [0.0]
    server, client = (ours.identity(role, lambda: now[0]) for role in ("conductor", "engine"))
    parts = conductor(server)
    async with serving.running([parts]):
        async with connect(parts.addresses[0], peer=Peer(client, "conductor")) as channel:
            call = channel.unary_unary(
                "/inner.Inner/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            await call(health_pb2.HealthCheckRequest())
            before = server.current(), client.current()
            # An expired one shows that it is the new one that is used.
            ours.make("engine", days_ago=3)
            now[0] += 2
            with pytest.raises(errors.Unavailable):
                await call(health_pb2.HealthCheckRequest(), timeout=5.0)
            ours.make("engine")
            ours.make("conductor")
            now[0] += 2
            await call(health_pb2.HealthCheckRequest(), timeout=5.0)
        assert before[0] is not server.current()
        assert before[1] is not client.current()


def test_a_renewal_that_is_half_done_leaves_the_former_certificate(ours: Certificates) -> None:
    now = [0.0]
    identity = ours.identity("engine", lambda: now[0])
    former = identity.current()
    key = (ours.folder / "engine.key").read_bytes()
    ours.make("engine")
    renewed = (ours.folder / "engine.key").read_bytes()
    (ours.folder / "engine.key").write_bytes(key)
    now[0] += 2
    assert identity.current() is former
    (ours.folder / "engine.key").write_bytes(renewed)
    now[0] += 2
    assert identity.current().key == renewed


async def test_without_certificates_only_this_machine_is_served() -> None:
    parts = serving.Parts(name="conductor", listen="0.0.0.0:0")
    with pytest.raises(errors.FailedPrecondition, match=r"0\.0\.0\.0:0 can be reached by others"):
        async with serving.running([parts]):
            pass


class SomeSettings(ServiceSettings):
    """Of a service of this test."""

    model_config = prefixed("SOME")


def test_settings_name_the_file_that_is_missing_or_useless(ours: Certificates) -> None:
    ours.make("engine")
    ours.make("api")
    files = {
        "tls_authority": ours.folder / "ca.pem",
        "tls_certificate": ours.folder / "engine.pem",
        "tls_key": ours.folder / "engine.key",
    }
    assert load(SomeSettings).identity() is None
    assert load(SomeSettings, **files).identity() is not None
    with pytest.raises(SettingsError, match="SAVANNA_SOME_TLS_KEY must be set too"):
        load(SomeSettings, **{**files, "tls_key": None}).identity()
    with pytest.raises(SettingsError, match=r"can not be used together"):
        load(SomeSettings, **{**files, "tls_key": ours.folder / "api.key"}).identity()
    with pytest.raises(IdentityError, match=r"nowhere\.pem can not be read"):
        Identity(
            authority=files["tls_authority"],
            certificate=ours.folder / "nowhere.pem",
            key=files["tls_key"],
        )


def test_what_others_would_refuse_is_refused_at_the_start(
    ours: Certificates, tmp_path: Path
) -> None:
    ours.make("engine", days_ago=3)
    files = {
        "tls_authority": ours.folder / "ca.pem",
        "tls_certificate": ours.folder / "engine.pem",
        "tls_key": ours.folder / "engine.key",
    }
    with pytest.raises(SettingsError, match=r"engine\.pem would be refused.*has expired"):
        load(SomeSettings, **files).identity()
    ours.make("engine", days_ago=-3)
    with pytest.raises(SettingsError, match=r"not yet valid.*make a new one"):
        load(SomeSettings, **files).identity()
    Certificates(tmp_path / "theirs").make("engine", into=ours.folder)
    with pytest.raises(SettingsError, match=r"issuer certificate.*give the authority"):
        load(SomeSettings, **files).identity()


def test_a_certificate_that_ends_is_told_of_once_a_day(
    ours: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = ours.identity("engine")
    ends = identity.validity().ends
    now = [ends - 0.9 * DAY]
    watch = Watch("engine", identity, lambda: now[0])
    told = 0
    counts = []
    for seconds in (0.0, 0.75 * DAY, 0.01 * DAY, 1.1 * DAY):
        now[0] += seconds
        watch.look()
        told += capsys.readouterr().out.count("certificate_ends")
        counts.append(told)
    assert counts == [0, 1, 1, 2]


def test_a_renewed_certificate_that_others_refuse_is_told_of(
    ours: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    identity = ours.identity("engine", lambda: now[0])
    watch = Watch("engine", identity)
    watch.look()
    assert "certificate_refused" not in capsys.readouterr().out
    ours.make("engine", days_ago=3)
    now[0] += 2
    for _ in range(2):
        watch.look()
    said = capsys.readouterr().out
    assert said.count("certificate_refused") == 1
    assert "has expired" in said
