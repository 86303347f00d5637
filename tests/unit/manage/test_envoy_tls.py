"""Mutual TLS at the doors of the real Envoy, towards callers and towards servers."""

from __future__ import annotations

import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bench.envoy import running
from tests.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "savanna.conductor.v1.ExecutionService"
SECONDS = 15.0
CALL_SECONDS = 3.0
Metadata = dict[str, str]


class Certified:
    """A folder of certificates: of our authority, of another, and one that has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ours = Certificates(folder)
        for each in (self.ours, Certificates(folder / "others")):
            for role in ("conductor", "engine", "plugin"):
                each.make(role)
        self.ours.make("envoy")
        self.ours.make("engine", days_ago=5, into=folder / "ended")

    def pems(self, name: str) -> tuple[bytes, bytes, bytes]:
        """Read authority, key and certificate."""
        files = (self.folder / "ca.pem", self.folder / f"{name}.key", self.folder / f"{name}.pem")
        authority, key, certificate = (each.read_bytes() for each in files)
        return authority, key, certificate


class Health(health.HealthServicer):
    """Answers that all is well, and remembers what came along with a question."""

    def __init__(self) -> None:
        super().__init__()
        self.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        self.heard: Metadata = {}

    def Check(self, request: Any, context: Any) -> Any:
        """Answer."""
        self.heard = {key: str(value) for key, value in context.invocation_metadata()}
        return super().Check(request, context)


@contextmanager
def served(certified: Certified, role: str) -> Iterator[tuple[str, Health]]:
    """Serve as a role, to whom our authority has certified; gives address and servicer."""
    authority, key, certificate = certified.pems(role)
    credentials = grpc.ssl_server_credentials([(key, certificate)], authority, True)
    with ThreadPoolExecutor(2) as pool:
        server, servicer = grpc.server(pool), Health()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield f"127.0.0.1:{port}", servicer
        finally:
            server.stop(None).wait(SECONDS)


class Door:
    """A listener of Envoy for the conductor."""

    def __init__(self, folder: Path, certified: Certified) -> None:
        self.folder, self.certified = folder, certified
        self.address = f"unix:{folder}/door"

    def description(self, at: str) -> dict[str, Any]:
        """Describe a mesh that is this door."""
        files = {"authority": "ca.pem", "certificate": "envoy.pem", "key": "envoy.key"}
        return {
            "services": {"conductor": {"listen": self.address, "at": [at]}},
            "tls": {name: str(self.certified.folder / file) for name, file in files.items()},
            "folder": str(self.folder),
            "access_log": str(self.folder / "access.log"),
        }

    def ask(self, name: str) -> str:
        """Call with a certificate: "SERVING", or why not."""
        authority, key, certificate = self.certified.pems(name)
        # Who asks trusts Envoy's authority whatever its own.
        authority = (self.certified.folder / "ca.pem").read_bytes()
        return self._answer(
            grpc.secure_channel(
                self.address,
                grpc.ssl_channel_credentials(authority, key, certificate),
                [("grpc.ssl_target_name_override", "conductor.savanna")],
            )
        )

    def ask_in_clear(self) -> str:
        """Call without TLS."""
        return self._answer(grpc.insecure_channel(self.address))

    def serial(self) -> int:
        """Read the number of the certificate that Envoy shows."""
        context = ssl.create_default_context(cafile=self.certified.folder / "ca.pem")
        context.load_cert_chain(
            self.certified.folder / "engine.pem", self.certified.folder / "engine.key"
        )
        with (
            socket.socket(socket.AF_UNIX) as plain,
            context.wrap_socket(
                plain, server_hostname="conductor.savanna", do_handshake_on_connect=False
            ) as wrapped,
        ):
            wrapped.connect(self.address.removeprefix("unix:"))
            wrapped.do_handshake()
            shown = wrapped.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number

    def logged(self) -> list[dict[str, Any]]:
        """Read what Envoy has logged."""
        return [json.loads(each) for each in (self.folder / "access.log").read_text().splitlines()]

    def _answer(self, channel: grpc.Channel) -> str:
        with channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=SERVICE), timeout=CALL_SECONDS
                )
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """Give a door with all certificates, not yet open."""
    return Door(tmp_path, Certified(tmp_path / "tls"))


def told_of(door: Door, text: str) -> bool:
    """Whether Envoy's log tells of a connection that failed so; waits for it."""
    deadline = time.monotonic() + SECONDS
    while not any(text in each.get("tls_failure", "") for each in door.logged()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def until(wanted: str, door: Door, name: str) -> str:
    """Ask until the answer is as wanted, or for long enough."""
    deadline = time.monotonic() + SECONDS
    while wanted not in (said := door.ask(name)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return said


def test_only_the_right_role_comes_in_and_the_server_learns_who_it_is(door: Door) -> None:
    with (
        served(door.certified, "conductor") as (at, servicer),
        running(door.folder, door.description(at)),
    ):
        assert until("SERVING", door, "engine") == "SERVING"
        told = servicer.heard["x-forwarded-client-cert"]
        assert "URI=spiffe://savanna/engine" in told.split(";")
        for stranger in ("plugin", "others/engine", "ended/engine"):
            assert door.ask(stranger).startswith("UNAVAILABLE"), stranger
        assert door.ask_in_clear().startswith("UNAVAILABLE")
        assert told_of(door, "SAN_matcher,_certificate_SANs_are_[spiffe://savanna/plugin")
        assert told_of(door, "unable_to_get_local_issuer_certificate")
        assert told_of(door, "certificate_has_expired")
        assert told_of(door, "WRONG_VERSION_NUMBER")


def test_a_renewed_certificate_is_shown_without_a_restart(door: Door) -> None:
    with (
        served(door.certified, "conductor") as (at, _),
        running(door.folder, door.description(at)),
    ):
        former = door.serial()
        door.certified.ours.make("envoy")
        deadline = time.monotonic() + SECONDS
        while door.serial() == former:
            assert time.monotonic() < deadline, "the renewed certificate is not shown"
            time.sleep(0.05)
        assert until("SERVING", door, "engine") == "SERVING"


def test_a_server_of_another_role_is_never_called(door: Door) -> None:
    with (
        served(door.certified, "plugin") as (at, servicer),
        running(door.folder, door.description(at)),
    ):
        assert door.ask("engine") == "UNAVAILABLE: no healthy upstream"
        assert servicer.heard == {}
