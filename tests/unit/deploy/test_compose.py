"""The Compose file, as the specification, the services and Envoy read it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from savanna_manage.envoy.command import envoy
from tests.unit.deploy.told import KINDS, ROLES, no_ones, port_of, prefix_of, read_by

if TYPE_CHECKING:
    from savanna_api_gateway.settings import ApiSettings

HERE = Path(__file__).parents[3] / "deploy" / "compose"
SCHEMA = Path(__file__).parent / "compose-spec.json"
VARIABLE = re.compile(r"\$\{[^}]*\}")
ADDRESS = re.compile(r"(?<![\w/.-])([a-z][a-z0-9-]*):(\d+)\b")


@cache
def whole() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((HERE / "compose.yaml").read_text())
    return document


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = whole()["services"]
    return found


def environment_of(name: str) -> dict[str, str]:
    """Give what a service is told, with something in place of variables."""
    told = services()[name].get("environment", {})
    assert all(isinstance(value, str) for value in told.values())
    return {key: VARIABLE.sub("something", value) for key, value in told.items()}


OURS = sorted(name for name, each in services().items() if each.get("command", [""])[0] in KINDS)
SERVING = [name for name in OURS if name != "migrate"]


@cache
def mesh() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((HERE / "mesh.yaml").read_text())
    return document


def doors() -> list[dict[str, Any]]:
    """List what Envoy stands in front of."""
    plain = [mesh()["services"][name] for name in ("rest", "grpc", "conductor", "engines")]
    named = [
        each for kind in ("schedulers", "plugins") for each in mesh()["services"][kind].values()
    ]
    return [*plain, *named]


def servers_of(door: dict[str, Any]) -> list[str]:
    at: list[str] | str = door["at"]
    return at if isinstance(at, list) else [at]


def listened_at() -> set[str]:
    """List every address inside: "service:port"."""
    found = {f"envoy:{port_of(door['listen'])}" for door in doors()}
    for name in SERVING:
        told = environment_of(name)
        found |= {f"{name}:{port_of(told[key])}" for key in told if key.endswith("LISTEN")}
    return found


def test_it_is_what_the_specification_allows() -> None:
    schema = json.loads(SCHEMA.read_text())
    # The project's name came into the specification after this schema.
    document = {key: value for key, value in whole().items() if key != "name"}
    errors = jsonschema.Draft7Validator(schema).iter_errors(document)
    assert [f"{list(each.path)}: {each.message}" for each in errors] == []


def test_it_has_several_of_each_service() -> None:
    kinds = [re.sub(r"-\d$", "", name) for name in SERVING]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert {kind: count for kind, count in counts.items() if count > 1} == {
        "api": 2,
        "conductor": 2,
        "engine": 3,
        "scheduler": 2,
    }


@pytest.mark.parametrize("name", OURS)
def test_the_service_takes_its_settings_and_shows_its_own_certificate(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, told = services()[name]["command"][0], environment_of(name)
    assert no_ones(told) == set()
    assert {key for key in told if key.startswith("SAVANNA_")} == {
        key for key in told if key.startswith(prefix_of(command))
    }
    given = read_by(command, told, monkeypatch)
    role = ROLES[command]
    assert given.tls_key == Path(f"/etc/savanna/tls/{role}.key")
    assert given.tls_certificate == given.tls_key.with_suffix(".pem")
    assert f"tls-{role}:/etc/savanna/tls:ro" in services()[name]["volumes"]
    assert 3 * given.drain_seconds < float(services()[name]["stop_grace_period"].rstrip("s"))


@pytest.mark.parametrize("name", SERVING)
def test_its_health_is_asked_of_the_right_service(name: str) -> None:
    service = services()[name]
    command = service["command"][0]
    assert service["healthcheck"]["test"] == [
        "CMD", "savanna-health", command.removeprefix("savanna-"),
    ]  # fmt: skip


def test_whatever_is_referred_to_is_there() -> None:
    for name, service in services().items():
        assert set(service.get("networks", [])) <= set(whole()["networks"]), name
        assert set(service.get("depends_on", [])) <= set(services()), name
        configs = {each["source"] for each in service.get("configs", [])}
        assert configs <= set(whole()["configs"]), name
        sources = {each.partition(":")[0] for each in service.get("volumes", [])}
        assert {each for each in sources if not each.startswith(".")} <= set(whole()["volumes"])
        assert all((HERE / each).exists() for each in sources if each.startswith(".")), name
    used = {
        each.partition(":")[0]
        for service in services().values()
        for each in service.get("volumes", [])
    }
    assert set(whole()["volumes"]) <= used


@pytest.mark.parametrize("name", OURS)
def test_every_address_is_that_of_a_service_that_is_reached_there(name: str) -> None:
    named = ADDRESS.findall(" ".join(environment_of(name).values()))
    for host, port in named:
        assert f"{host}:{port}" in listened_at()
        assert set(services()[host]["networks"]) & set(services()[name]["networks"])
    if services()[name]["command"][0] == "savanna-conductor":
        database = environment_of(name)["SAVANNA_CONDUCTOR_DATABASE_URL"]
        assert database.endswith("@postgres/savanna")
        assert set(services()["postgres"]["networks"]) <= set(services()[name]["networks"])


def test_envoy_stands_in_front_of_all_of_them_and_users_come_in_there_alone() -> None:
    behind = {at for door in doors() for at in servers_of(door)}
    inside = {each for each in listened_at() if not each.startswith("envoy:")}
    assert behind == inside - {"simulator:8396"}
    assert [name for name, each in services().items() if "ports" in each] == ["envoy"]
    published = {each.rpartition(":")[2] for each in services()["envoy"]["ports"]}
    users = {str(port_of(mesh()["services"][each]["listen"])) for each in ("rest", "grpc")}
    assert published == users
    assert all(each.startswith("127.0.0.1:") for each in services()["envoy"]["ports"])


def test_each_scheduler_names_its_own_door() -> None:
    for name, door in mesh()["services"]["schedulers"].items():
        advertised = environment_of(name)["SAVANNA_SCHEDULER_ADVERTISE"]
        assert port_of(advertised) == port_of(door["listen"])
        assert door["at"].startswith(f"{name}:")


def test_gateways_and_engines_know_every_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {f"envoy:{port_of(each['listen'])}" for each in mesh()["services"]["plugins"].values()}
    for name in ("api-1", "engine-1"):
        given: ApiSettings = read_by(  # type: ignore[assignment]  # both have plugins
            services()[name]["command"][0], environment_of(name), monkeypatch
        )
        assert set(given.plugins) == wanted


def test_envoy_takes_what_is_made_of_its_description(tmp_path: Path) -> None:
    envoy.main(
        [str(HERE / "mesh.yaml"), "-o", str(tmp_path / "envoy.yaml"), "--validate"],
        standalone_mode=False,
    )
    mounts = services()["envoy"]["volumes"]
    assert f"envoy:{mesh()['folder']}:ro" in mounts
    assert services()["configuration"]["volumes"] == ["./mesh.yaml:/mesh.yaml:ro", "envoy:/envoy"]
