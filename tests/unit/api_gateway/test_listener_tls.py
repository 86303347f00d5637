"""REST under certificates that are renewed while it serves."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import PlainTextResponse

from savanna_api_gateway.auth.none import NoAuthentication
from savanna_api_gateway.main import build
from savanna_api_gateway.rest.app import App
from savanna_api_gateway.rest.listener import listening
from savanna_api_gateway.settings import ApiSettings
from savanna_kit.identity import FORWARDED, Identity
from savanna_kit.settings import SettingsError, load
from tests.certificates import Certificates

if TYPE_CHECKING:
    from pathlib import Path


def context_of(folder: Path, trusted: Path, role: str = "user") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trusted)
    context.load_cert_chain(folder / f"{role}.pem", folder / f"{role}.key")
    return context


async def status(address: str, context: ssl.SSLContext) -> int:
    async with httpx.AsyncClient(verify=context) as client:
        return (await client.get(f"https://{address}/", timeout=5)).status_code


async def test_a_renewed_certificate_and_authority_are_used_without_a_restart(
    tmp_path: Path,
) -> None:
    old, new, ours = tmp_path / "old", tmp_path / "new", tmp_path / "ours"
    for folder in (old, new):
        Certificates(folder).make_all({"api": ["127.0.0.1"]})
    ours.mkdir()
    for name in ("ca.pem", "api.pem", "api.key"):
        (ours / name).write_bytes((old / name).read_bytes())
    now = [0.0]
    identity = Identity(
        authority=ours / "ca.pem",
        certificate=ours / "api.pem",
        key=ours / "api.key",
        monotonic=lambda: now[0],
    )
    app = PlainTextResponse("well")
    async with listening(app, "127.0.0.1:0", drain_seconds=1, identity=identity) as address:
        assert await status(address, context_of(old, old / "ca.pem")) == 200
        with pytest.raises(httpx.TransportError):
            await status(address, context_of(new, old / "ca.pem"))

        both = (old / "ca.pem").read_bytes() + (new / "ca.pem").read_bytes()
        (ours / "ca.pem").write_bytes(both)
        for name in ("api.pem", "api.key"):
            (ours / name).write_bytes((new / name).read_bytes())
        now[0] += 2
        await until_shown(address, context_of(new, new / "ca.pem"))
        # Who has the former certificate may come as long as the former authority is trusted.
        assert await status(address, context_of(old, new / "ca.pem")) == 200


async def test_rest_is_for_users_and_proxies_and_who_stands_behind_a_proxy_is_asked(
    tmp_path: Path,
) -> None:
    certificates = Certificates(tmp_path)
    certificates.make_all({"api": ["127.0.0.1"]})
    app = App({}, NoAuthentication(), callers=frozenset({"envoy", "user"}))
    behind = {FORWARDED: "Hash=1;URI=spiffe://savanna/plugin"}
    identity = certificates.identity("api")
    async with listening(app, "127.0.0.1:0", drain_seconds=1, identity=identity) as address:
        for role, headers, expected in (
            ("user", {}, 300),
            ("envoy", {}, 300),
            ("plugin", {}, 403),
            ("engine", {}, 403),
            ("envoy", behind, 403),
            # Who is no proxy may claim what it likes.
            ("plugin", {FORWARDED: "URI=spiffe://savanna/user"}, 403),
        ):
            async with httpx.AsyncClient(
                verify=context_of(tmp_path, tmp_path / "ca.pem", role)
            ) as client:
                answer = await client.get(f"https://{address}/", headers=headers)
            assert answer.status_code == expected, (role, headers, answer.text)
    assert "REST is for envoy, user, and the caller's certificate says plugin" in answer.text


async def until_shown(address: str, context: ssl.SSLContext) -> None:
    """Wait until a new connection is shown what this context trusts: a tick of the server."""
    for _ in range(100):
        try:
            assert await status(address, context) == 200
        except httpx.TransportError:
            continue
        return
    raise AssertionError("the renewed certificate is not shown")


@pytest.mark.parametrize("name", ["listen", "rest_listen"])
def test_others_are_not_served_in_clear_unless_that_is_wished(tmp_path: Path, name: str) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(
        "- {token: t, user_id: u, user_name: u, project_id: p, project_name: p, roles: []}\n"
    )
    open_to_all = {"auth": f"tokens={tokens}", name: "0.0.0.0:0"}
    with pytest.raises(SettingsError, match=r"tokens would travel in clear: set SAVANNA_API_TLS"):
        build(load(ApiSettings, **open_to_all))
    build(load(ApiSettings, **open_to_all, clear_text=True))
