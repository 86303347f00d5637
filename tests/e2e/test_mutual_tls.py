"""A mesh in which everything speaks mutual TLS, and those who should not be in it."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from savanna.api.v1.cluster_service_pb2 import ListOperationsRequest
from savanna.operation.v1.operation_pb2 import Operation
from savanna_all_in_one.mesh import Mesh, MeshPlan
from savanna_client import Client, Tls
from savanna_kit.errors import InvalidArgument, Unavailable
from tests.certificates import Certificates
from tests.e2e.meshes import QUICK, free_port
from tests.e2e.user import User

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class SecuredPlan(MeshPlan):
    """Services at ports of loopback, as on machines of their own."""

    def address(self, name: str) -> str:
        """Say where a service is reached inside the mesh."""
        return f"127.0.0.1:{int((self.sockets / name).read_text())}"


@contextmanager
def secured_mesh(folder: Path) -> Iterator[Mesh]:
    """Run a mesh with certificates on the simulated cloud."""
    certificates = Certificates(folder / "certificates").make_all({"api": ["127.0.0.1"]})
    with tempfile.TemporaryDirectory(prefix="savanna-") as ports:
        plan = SecuredPlan(
            folder=folder,
            sockets=Path(ports),
            database_url=f"sqlite:///{folder}/savanna.db",
            rest=f"127.0.0.1:{free_port()}",
            grpc=f"127.0.0.1:{free_port()}",
            cloud="simulated",
            plugins=("fake",),
            engines=1,
            settings=QUICK,
            certificates=certificates,
        )
        for name in (*plan.names(), "engine-2"):
            (plan.sockets / name).write_text(str(free_port()))
        with Mesh(plan) as mesh:
            yield mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with secured_mesh(tmp_path_factory.mktemp("secured")) as mesh:
        yield mesh


def tls(mesh: Mesh, role: str = "user") -> Tls:
    folder = mesh.plan.certificates
    assert folder is not None
    return Tls(folder / "ca.pem", folder / f"{role}.pem", folder / f"{role}.key")


def https(mesh: Mesh, role: str = "user") -> ssl.SSLContext:
    """Trust the authority, and show the certificate of a role, "" for none."""
    files = tls(mesh, role)
    context = ssl.create_default_context(cafile=files.authority)
    if role:
        assert files.certificate is not None
        context.load_cert_chain(files.certificate, files.key)
    return context


async def operations(client: Client) -> int:
    return len((await client.operations.ListOperations(ListOperationsRequest())).operations)


async def test_a_cluster_is_launched_and_removed_under_certificates(mesh: Mesh) -> None:
    async with Client(mesh.plan.grpc, tls=tls(mesh)) as client:
        user = User(client)
        begun = await user.launch("secured", 2)
        await client.wait(begun.operation.id)
        url = f"https://{mesh.plan.rest}/v2/clusters/{begun.cluster.id}"
        async with httpx.AsyncClient(verify=https(mesh)) as rest:
            shown = (await rest.get(url)).json()["cluster"]
        assert (shown["name"], shown["status"]) == ("secured", "Active")
        assert (await user.delete("secured")).state == Operation.STATE_SUCCEEDED


async def test_plain_text_and_strangers_do_not_get_in(mesh: Mesh, tmp_path: Path) -> None:
    Certificates(tmp_path).make("user")
    theirs = Tls(tls(mesh).authority, tmp_path / "user.pem", tmp_path / "user.key")
    none_at_all = replace(theirs, certificate=None, key=None)
    for given in (None, theirs, none_at_all):
        async with Client(mesh.plan.grpc, tls=given) as client:
            with pytest.raises(Unavailable):
                await client.operations.ListOperations(ListOperationsRequest(), timeout=20)
    async with httpx.AsyncClient(verify=https(mesh, "")) as rest:
        for scheme in ("http", "https"):
            with pytest.raises(httpx.TransportError):
                await rest.get(f"{scheme}://{mesh.plan.rest}/v2/clusters", timeout=3)


async def test_an_engine_with_the_certificate_of_a_plugin_gets_no_work(mesh: Mesh) -> None:
    folder = mesh.plan.certificates
    wrong = {
        "SAVANNA_ENGINE_TLS_CERTIFICATE": f"{folder}/plugin.pem",
        "SAVANNA_ENGINE_TLS_KEY": f"{folder}/plugin.key",
    }
    async with Client(mesh.plan.grpc, tls=tls(mesh)) as client:
        before = await operations(client)
        mesh.start("engine-2", wrong)
        try:
            refused = "is for engine, scheduler, and the caller's certificate says plugin"
            await said(mesh, "engine-2", refused)
            await said(mesh, "conductor", "caller_refused")
        finally:
            mesh.kill("engine-2")
        assert await operations(client) == before


async def said(mesh: Mesh, name: str, words: str) -> None:
    """Wait until the log of a process has some words."""
    async with asyncio.timeout(20):
        while words not in mesh.log(name).read_text():
            await asyncio.sleep(0.05)


def test_a_certificate_without_its_key_is_refused_in_a_sentence(mesh: Mesh) -> None:
    with pytest.raises(InvalidArgument, match="are given together"):
        replace(tls(mesh), key=None).credentials()
