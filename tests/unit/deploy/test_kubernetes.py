"""The manifests, as Kubernetes, the services and Envoy read them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from savanna_manage.certificates import ROLES as CERTIFICATES
from savanna_manage.envoy.command import envoy
from tests.unit.deploy.told import KINDS, ROLES, no_ones, port_of, prefix_of, read_by

HERE = Path(__file__).parents[3] / "deploy" / "kubernetes"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""The oldest that knows all that is used, and the newest whose schemas are here."""

ADDRESS = re.compile(r"(?<![\w/])((?:\$\(POD_NAME\)\.)?savanna[a-z-]*):(\d+)")
OF_ITS_OWN = {"POD_NAME": "savanna-scheduler-0", "SAVANNA_ENGINE_ENGINE_ID": "savanna-engine-0"}
"""What a pod is told of itself."""


@cache
def kustomization(folder: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((HERE / folder / "kustomization.yaml").read_text())
    return document


@cache
def documents() -> list[dict[str, Any]]:
    """List all that the base makes."""
    files = [HERE / "base" / name for name in kustomization("base")["resources"]]
    return [each for file in files for each in yaml.safe_load_all(file.read_text())]


def named(each: dict[str, Any]) -> str:
    return f"{each['kind']}-{each['metadata']['name']}"


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents() if each["kind"] in kinds}


def pods() -> dict[str, dict[str, Any]]:
    """List what pods are made of, by name of what makes them."""
    found = of_kind("Deployment", "StatefulSet", "Job")
    return {name: each["spec"]["template"] for name, each in found.items()}


def container_of(name: str) -> dict[str, Any]:
    (container,) = pods()[name]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def environment_of(name: str) -> dict[str, str]:
    """Give what a container is told, with something in place of secrets."""
    found: dict[str, str] = {}
    for each in container_of(name).get("env", []):
        value = each.get("value") or OF_ITS_OWN.get(each["name"], "something")
        found[each["name"]] = value.replace("$(POD_NAME)", OF_ITS_OWN["POD_NAME"])
    return found


SERVICES = sorted(name for name in pods() if container_of(name)["command"][0] in KINDS)
SERVING = [name for name in SERVICES if name != "savanna-migrate"]


@pytest.mark.parametrize("document", documents(), ids=named)
def test_it_is_what_kubernetes_takes(document: dict[str, Any]) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_word_that_kubernetes_does_not_know_is_seen() -> None:
    document = {"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError, match="prots"):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


def test_every_file_of_the_base_is_used() -> None:
    used = {*kustomization("base")["resources"], "kustomization.yaml", "mesh.yaml"}
    assert used == {path.name for path in (HERE / "base").iterdir()}


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_takes_its_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, told = container_of(name)["command"][0], environment_of(name)
    assert no_ones(told) == set()
    assert all(each.startswith(prefix_of(command)) for each in told if each.startswith("SAVANNA_"))
    read_by(command, told, monkeypatch)
    # The cluster would tell SAVANNA_API_PORT and the like, which are no settings, and refused.
    assert pods()[name]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", SERVING)
def test_the_service_shows_its_own_certificate_and_asks_itself_for_its_health(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, spec = container_of(name), pods()[name]["spec"]
    command = container["command"][0]
    given = read_by(command, environment_of(name), monkeypatch)
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert given.tls_key is not None
    assert str(given.tls_key.parent) == mounts["tls"]
    (secret,) = [each["secret"]["secretName"] for each in spec["volumes"] if each["name"] == "tls"]
    assert secret == f"savanna-tls-{ROLES[command]}"
    asked = [container[f"{each}Probe"]["exec"] for each in ("startup", "readiness", "liveness")]
    service = command.removeprefix("savanna-")
    serves = {"command": ["savanna-health", service]}
    assert asked == [serves, serves, {"command": ["savanna-health", "--alive", service]}]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before + 3 * given.drain_seconds < spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_needs_no_root_and_writes_only_where_it_is_said(name: str) -> None:
    spec = pods()[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    volumes = {each["name"] for each in spec["volumes"]}
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        assert {each["name"] for each in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("name", SERVICES)
def test_every_address_is_that_of_a_service_and_the_network_lets_the_caller_in(name: str) -> None:
    told = " ".join(str(each.get("value", "")) for each in container_of(name)["env"])
    for host, port in ADDRESS.findall(told):
        service = of_kind("Service")[host.removeprefix("$(POD_NAME).")]
        (named_port,) = [each for each in service["spec"]["ports"] if each["port"] == int(port)]
        target = service["spec"]["selector"]["app.kubernetes.io/name"]
        ports = {each["name"]: each["containerPort"] for each in container_of(target)["ports"]}
        assert ports[named_port["targetPort"]] == int(port)
        if target != name:
            assert name in callers_of(target, named_port["targetPort"])


def callers_of(name: str, port: str) -> set[str]:
    """Name the pods that the network lets in."""
    (rule,) = of_kind("NetworkPolicy")[name]["spec"]["ingress"]
    assert port in {each["port"] for each in rule["ports"]}
    selectors = [each["podSelector"]["matchLabels"] for each in rule["from"]]
    return {each["app.kubernetes.io/name"] for each in selectors}


@pytest.mark.parametrize("name", SERVING)
def test_it_listens_at_the_ports_that_it_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment_of(name)
    given = read_by(container_of(name)["command"][0], told, monkeypatch)
    ports = {each["name"]: each["containerPort"] for each in container_of(name)["ports"]}
    annotations = pods()[name]["metadata"]["annotations"]
    assert ports["grpc"] == port_of(given.listen)
    assert ports["metrics"] == port_of(given.metrics_address)
    assert int(annotations["prometheus.io/port"]) == ports["metrics"]
    if "rest" in ports:
        assert ports["rest"] == port_of(told["SAVANNA_API_REST_LISTEN"])


def test_whatever_selects_pods_selects_some() -> None:
    labels = [each["metadata"]["labels"] for each in pods().values()]
    for each in documents():
        spec = each.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        wanted = selector.get("matchLabels", {} if "matchLabels" in selector else selector)
        assert any(wanted.items() <= one.items() for one in labels), named(each)


def test_what_there_are_several_of_loses_one_at_a_time() -> None:
    several = {
        name
        for name, each in of_kind("Deployment", "StatefulSet").items()
        if each["spec"]["replicas"] > 1
    }
    budgets = of_kind("PodDisruptionBudget")
    assert set(budgets) == several
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}
    # Its servers live in its memory, and no second one knows them.
    assert set(of_kind("Deployment", "StatefulSet")) - several == {"savanna-simulator"}


def test_the_example_has_every_secret_that_is_named() -> None:
    made = {each["name"] for each in kustomization("example")["secretGenerator"]}
    volumes = [each for pod in pods().values() for each in pod["spec"]["volumes"]]
    mounted = {each["secret"]["secretName"] for each in volumes if "secret" in each}
    told = {
        each["valueFrom"]["secretKeyRef"]["name"]
        for name in SERVICES
        for each in container_of(name)["env"]
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    assert made == mounted | told
    files = [each for one in kustomization("example")["secretGenerator"] for each in one["files"]]
    certificates = re.findall(r"certs/(\w+)\.pem", " ".join(files))
    assert set(certificates) - {"ca"} <= set(CERTIFICATES)


def test_envoy_takes_what_is_made_of_its_description(tmp_path: Path) -> None:
    file = HERE / "base" / "mesh.yaml"
    words = [str(file), "-o", str(tmp_path / "envoy.yaml"), "--validate"]
    envoy.main(words, standalone_mode=False)
    mesh = yaml.safe_load(file.read_text())
    doors = mesh["services"]
    ports = {each["name"]: each["containerPort"] for each in container_of("savanna-envoy")["ports"]}
    assert ports == {name: port_of(doors[name]["listen"]) for name in ("rest", "grpc")}
    api = of_kind("Service")["savanna-api"]["spec"]
    at = {f"savanna-api:{each['port']}" for each in api["ports"]}
    assert {each for name in ("rest", "grpc") for each in doors[name]["at"]} == at
    # One record for each pod: Envoy asks each of them for its health.
    assert api["clusterIP"] == "None"
    mounts = {each["mountPath"] for each in container_of("savanna-envoy")["volumeMounts"]}
    named = [mesh["tls"]["authority"], doors["rest"]["tls"]["key"], f"{mesh['folder']}/envoy.yaml"]
    assert {str(Path(each).parent) for each in named} <= mounts
