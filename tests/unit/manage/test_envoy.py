"""The command that makes the configuration of Envoy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bench.envoy import COMMAND
from savanna.api.v1 import (
    catalog_service_pb2 as api_catalog,
)
from savanna.api.v1 import (
    cluster_service_pb2 as api_clusters,
)
from savanna.api.v1 import (
    job_service_pb2,
    orphan_service_pb2,
)
from savanna.api.v1 import (
    mesh_service_pb2 as api_mesh,
)
from savanna.conductor.v1 import (
    catalog_service_pb2,
    cluster_service_pb2,
    execution_service_pb2,
    facts_service_pb2,
    mesh_service_pb2,
)
from savanna.engine.v1 import cloud_service_pb2
from savanna.plugin.v1 import plugin_service_pb2
from savanna.scheduler.v1 import scheduler_service_pb2
from savanna_client.repeats import is_repeatable

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

EXAMPLES = Path(__file__).parents[3] / "deploy" / "envoy"
SERVED = {
    "grpc": (api_catalog, api_clusters, job_service_pb2, api_mesh, orphan_service_pb2),
    "conductor": (
        catalog_service_pb2,
        cluster_service_pb2,
        execution_service_pb2,
        facts_service_pb2,
        mesh_service_pb2,
    ),
    "schedulers-scheduler-1": (scheduler_service_pb2,),
    "engines": (cloud_service_pb2,),
    "plugins-spark": (plugin_service_pb2,),
}
"""The contract behind each listener of gRPC."""


def envoy(*words: str | Path) -> tuple[int, str]:
    """Run the command: exit code, and what it said."""
    done = subprocess.run(
        [COMMAND, "envoy", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def calls() -> list[tuple[str, MethodDescriptor]]:
    """List every method of the contract, with its listener."""
    return [
        (listener, method)
        for listener, files in SERVED.items()
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


@pytest.fixture(scope="module")
def listeners() -> dict[str, Any]:
    """Give the listeners of the example of one machine, by name, as their routes."""
    bootstrap = yaml.safe_load((EXAMPLES / "one-machine" / "envoy.yaml").read_text())
    return {
        each["name"]: each["filter_chains"][0]["filters"][0]["typed_config"]
        for each in bootstrap["static_resources"]["listeners"]
    }


def route_of(manager: dict[str, Any], path: str, **headers: str) -> dict[str, Any]:
    """Find the route of a call as Envoy does: the first that fits. With its host's retries."""
    (host,) = manager["route_config"]["virtual_hosts"]
    for route in host["routes"]:
        match = route["match"]
        fits = (
            re.fullmatch(match["safe_regex"]["regex"], path)
            if "safe_regex" in match
            else path.startswith(match["prefix"])
        )
        if fits and all(carries(headers, each) for each in match.get("headers", [])):
            return {"name": route["name"], "retry_policy": host["retry_policy"], **route["route"]}
    raise AssertionError(f"{path} leads nowhere")


def carries(headers: dict[str, str], wanted: dict[str, Any]) -> bool:
    value = headers.get(wanted["name"].strip(":").replace("-", "_"))
    if "present_match" in wanted:
        return value is not None
    return re.fullmatch(wanted["string_match"]["safe_regex"]["regex"], value or "") is not None


def is_sent_again_when_its_answer_is_lost(route: dict[str, Any]) -> bool:
    return "reset" in route["retry_policy"].get("retry_on", "").split(",")


@pytest.mark.parametrize("example", ["one-machine", "three-machines"])
def test_the_examples_are_what_their_descriptions_give(example: str) -> None:
    folder = EXAMPLES / example
    code, text = envoy(folder / "mesh.yaml", "-o", folder / "envoy.yaml", "--check")
    assert (code, text) == (0, f"{folder}/envoy.yaml is what {folder}/mesh.yaml gives\n")
    made = {each for each in folder.iterdir() if each.name != "mesh.yaml"}
    assert made == {folder / "envoy.yaml", *folder.glob("*-certificate.yaml"), *folder.glob("*-a*")}


def test_the_same_services_in_another_order_give_the_same_bytes(tmp_path: Path) -> None:
    source = EXAMPLES / "three-machines" / "mesh.yaml"
    turned = turn(yaml.safe_load(source.read_text()))
    (tmp_path / "mesh.yaml").write_text(yaml.safe_dump(turned, sort_keys=False))
    assert envoy(tmp_path / "mesh.yaml") == envoy(source)


def turn(content: Any) -> Any:
    """Write every mapping from its end."""
    if isinstance(content, dict):
        return {name: turn(content[name]) for name in reversed(content)}
    return content


def test_the_real_envoy_takes_the_examples(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "one-machine", tmp_path / "one")
    assert envoy(tmp_path / "one" / "mesh.yaml", "-o", tmp_path / "1.yaml", "--validate")[0] == 0

    three = (EXAMPLES / "three-machines" / "mesh.yaml").read_text()
    for folder in ("/etc/savanna/tls", "/var/log/savanna", "/run/savanna"):
        three = three.replace(folder, str(tmp_path))
    (tmp_path / "mesh.yaml").write_text(three)
    output = tmp_path / "made" / "envoy.yaml"
    code, text = envoy(tmp_path / "mesh.yaml", "-o", output, "--validate")
    assert (code, "ca.pem" in text, output.exists()) == (1, True, False), "without certificates"

    subprocess.run([COMMAND, "certs", str(tmp_path), "envoy"], check=True, capture_output=True)
    for end in ("pem", "key"):
        shutil.copy(tmp_path / f"envoy.{end}", tmp_path / f"front.{end}")
    code, text = envoy(tmp_path / "mesh.yaml", "-o", output, "--validate")
    assert (code, output.exists()) == (0, True), text
    secret = yaml.safe_load((output.parent / "mesh-certificate.yaml").read_text())
    told = secret["resources"][0]["tls_certificate"]["private_key"]["filename"]
    assert told == f"{tmp_path}/envoy.key"


def test_a_file_that_was_changed_or_is_missing_is_noticed(tmp_path: Path) -> None:
    mesh, output = EXAMPLES / "one-machine" / "mesh.yaml", tmp_path / "envoy.yaml"
    code, text = envoy(mesh, "-o", output, "--check")
    assert (code, "is missing: run savanna-manage envoy" in text) == (1, True)
    assert envoy(mesh, "-o", output)[0] == 0
    output.write_text(output.read_text().replace("max_requests: 8192", "max_requests: 1"))
    code, text = envoy(mesh, "-o", output, "--check")
    assert code == 1
    assert re.search(r"^- +max_requests: 1$", text, re.M), text
    assert envoy(mesh, "--check")[0] == 2


@pytest.mark.parametrize("call", calls(), ids=lambda each: getattr(each, "full_name", each))
def test_every_call_of_the_contract_has_its_route(
    listeners: dict[str, Any], call: tuple[str, MethodDescriptor]
) -> None:
    listener, method = call
    path = f"/{method.containing_service.full_name}/{method.name}"
    route = route_of(listeners[listener], path)
    lasting = method.name.startswith(("Watch", "Connect"))
    longest = route["max_stream_duration"]["max_stream_duration"]
    if lasting:
        assert (route["timeout"], route["idle_timeout"], longest) == ("0s", "0s", "0s")
    elif method.client_streaming or method.server_streaming:
        assert longest == "600s"
    else:
        assert longest == "60s"
        # A deadline that the caller names counts, however long.
        assert route["max_stream_duration"]["grpc_timeout_header_max"] == "0s"
    again = is_sent_again_when_its_answer_is_lost(route)
    if method.client_streaming:
        assert not again
    elif listener == "grpc":
        keyed = route_of(listeners[listener], path, idempotency_key="k")
        assert again is method.name.startswith(("Get", "List", "Read", "Watch"))
        assert not is_repeatable(method) or is_sent_again_when_its_answer_is_lost(keyed)
    elif listener == "conductor":
        # Here only services call, which give every request its id.
        reads = method.name.startswith(("Get", "List", "Read", "Watch", "Commit"))
        assert again is (reads or "request_id" in method.input_type.fields_by_name)


def test_the_stream_of_an_engine_is_never_opened_again_behind_its_back(
    listeners: dict[str, Any],
) -> None:
    path = "/savanna.scheduler.v1.SchedulerService/Connect"
    for name in ("schedulers-scheduler-1", "schedulers-scheduler-2"):
        assert route_of(listeners[name], path)["retry_policy"] == {"num_retries": 0}
        assert route_of(listeners[name], path)["cluster"] == name


@pytest.mark.parametrize(
    ("method", "path", "headers", "seconds", "again"),
    [
        ("GET", "/v2/clusters/1", {}, "65s", True),
        ("GET", "/v2/job-binaries/1/data", {}, "605s", True),
        ("POST", "/v2/clusters", {}, "65s", False),
        ("POST", "/v2/clusters", {"idempotency_key": "k"}, "65s", True),
        ("DELETE", "/v2/clusters/1", {"idempotency_key": "k"}, "65s", False),
        ("PUT", "/v2/job-binaries/1/data", {"idempotency_key": "k"}, "605s", False),
    ],
)
def test_rest_is_asked_again_where_asking_twice_is_asking_once(
    listeners: dict[str, Any],
    method: str,
    path: str,
    headers: dict[str, str],
    seconds: str,
    again: bool,
) -> None:
    route = route_of(listeners["rest"], path, method=method, **headers)
    assert route["timeout"] == seconds
    assert is_sent_again_when_its_answer_is_lost(route) is again


def test_a_read_whose_server_hangs_is_asked_of_another_one(listeners: dict[str, Any]) -> None:
    reads: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("rest", "/v2/clusters", {"method": "GET"}),
        ("grpc", "/savanna.api.v1.ClusterService/GetCluster", {}),
        ("conductor", "/savanna.conductor.v1.ClusterService/GetClusters", {}),
    )
    for listener, path, headers in reads:
        route = route_of(listeners[listener], path, **headers)
        assert route["retry_policy"]["per_try_timeout"] == "20s"


def test_grpc_web_is_off_unless_it_is_wanted(tmp_path: Path) -> None:
    example = (EXAMPLES / "one-machine" / "mesh.yaml").read_text()
    (tmp_path / "mesh.yaml").write_text(example.replace("grpc_web: false", "grpc_web: true"))
    without, with_it = envoy(EXAMPLES / "one-machine" / "mesh.yaml"), envoy(tmp_path / "mesh.yaml")
    assert ("grpc_web" in without[1], "grpc_web" in with_it[1]) == (False, True)
