"""Descriptions of meshes that can not be meant: each mistake is named by its line, with the way
out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna_manage.documents import DocumentError
from savanna_manage.envoy.description import read
from tests.unit.manage.test_envoy import envoy

if TYPE_CHECKING:
    from pathlib import Path

TLS = "tls: {authority: /t/ca.pem, certificate: /t/envoy.pem, key: /t/envoy.key}\nfolder: /e\n"
GRPC = "services:\n  grpc:\n    listen: 127.0.0.1:18387\n    at: [127.0.0.1:8387]\n"
SCHEDULERS = "services:\n  schedulers:\n"
SECOND = "    b: {listen: '[::1]:2', at: '[::1]:9'}\n"

REFUSED = {
    "unknown field": (
        "services:\n  rest:\n    listen: 127.0.0.1:1\n    att: [127.0.0.1:2]\n",
        [
            "2: 'services.rest.at' is missing: give the addresses of the servers",
            "4: unknown field 'services.rest.att'; did you mean 'at'?",
        ],
    ),
    "unknown service": (
        "services:\n  conducter: {}\n",
        ["2: unknown field 'services.conducter'; did you mean 'conductor'?"],
    ),
    "nothing like it": (
        f"{GRPC}zebra: 1\n",
        [
            "5: unknown field 'zebra'; known are: services, tls, folder, access_log, admin, traces",
        ],
    ),
    "no services": ("admin: 127.0.0.1:1\n", ["1: 'services' is missing: list what Envoy shall"]),
    "none of them": ("services: {}\n", ["1: no service is described: give at least 'rest' or"]),
    "no address": (
        GRPC.replace("127.0.0.1:8387", "8387"),
        ["4: services.grpc.at.0: an address is text: give host:port or unix:/path"],
    ),
    "no port": (
        GRPC.replace("127.0.0.1:18387", "localhost"),
        ["3: services.grpc.listen: 'localhost' is no address: give host:port or unix:/path"],
    ),
    "listener at a name": (
        GRPC.replace("127.0.0.1:18387", "localhost:18387"),
        ["3: localhost:18387 is a name, and Envoy listens at addresses alone: give its"],
    ),
    "admin at a name": (
        f"{GRPC}admin: localhost:9901\n",
        ["5: localhost:9901 is a name, and Envoy listens at addresses alone: give its"],
    ),
    "impossible port": (
        GRPC.replace("18387", "98387"),
        ["3: services.grpc.listen: '127.0.0.1:98387' has a port that there is not: give one from"],
    ),
    "bare address of version 6": (
        GRPC.replace("127.0.0.1:18387", "'::1:18387'"),
        ["3: services.grpc.listen: '::1:18387' can be read in two ways: write [::1]:18387"],
    ),
    "relative socket": (
        GRPC.replace("127.0.0.1:8387", "'unix:api'"),
        ["4: services.grpc.at.0: 'unix:api' does not begin at the root: write unix:/path"],
    ),
    "long socket": (
        GRPC.replace("127.0.0.1:8387", f"'unix:/{'x' * 107}'"),
        [f"4: services.grpc.at.0: 'unix:/{'x' * 107}' is too long for a socket: 107 bytes at most"],
    ),
    "no servers": (
        GRPC.replace("[127.0.0.1:8387]", "[]"),
        ["4: 'services.grpc.at' is empty: give at least one address"],
    ),
    "no list": (
        GRPC.replace("[127.0.0.1:8387]", "127.0.0.1:8387"),
        ["4: 'services.grpc.at' must be a list"],
    ),
    "no switch": (f"{GRPC}    grpc_web: maybe\n", ["5: 'services.grpc.grpc_web' must be true or"]),
    "bad name": (
        "services:\n  plugins:\n    Spark_4:\n      listen: 127.0.0.1:1\n      at: [127.0.0.1:2]\n",
        ["3: 'Spark_4' is no name: use small letters, digits and '-' between them"],
    ),
    "relative file": (
        f"{GRPC}access_log: access.log\n",
        ["5: access_log: 'access.log' depends on where Envoy is started: write the whole path"],
    ),
    "two listeners at one address": (
        f"{GRPC}  conductor:\n    listen: '[::]:18387'\n    at: [10.0.0.1:2]\n{TLS}",
        ["6: [::]:18387 is taken by 'services.grpc.listen': give another port"],
    ),
    "admin at a listener": (
        f"{GRPC}admin: 127.0.0.1:18387\n",
        ["5: 127.0.0.1:18387 is taken by 'services.grpc.listen': give another port"],
    ),
    "one server twice": (
        f"{SCHEDULERS}    a: {{listen: '[::1]:1', at: '[::1]:9'}}\n{SECOND}",
        ["4: [::1]:9 is given twice, first under 'services.schedulers.a': each server has"],
    ),
    "a call of itself": (
        GRPC.replace(":8387", ":18387"),
        ["4: 127.0.0.1:18387 is where Envoy listens for 'services.grpc.listen', which would call"],
    ),
    "open front": (
        GRPC.replace("127.0.0.1:18387", "0.0.0.0:18387"),
        ["3: 0.0.0.0:18387 would carry tokens in clear: give 'services.grpc.tls' with certificate"],
    ),
    "open inside": (
        "services:\n  conductor:\n    listen: 10.0.0.1:18388\n    at: [127.0.0.1:8388]\n",
        ["3: 10.0.0.1:18388 would let everyone who reaches it be a part of the mesh: give 'tls'"],
    ),
    "clear over a network": (
        GRPC.replace("127.0.0.1:8387", "127.0.0.1:8387, node-2:8387"),
        ["4: node-2:8387 would be called in clear over a network: give 'tls' for the mesh"],
    ),
    "plain over a network": (
        GRPC.replace("127.0.0.1:8387", "10.0.0.2:8387") + f"    plain: true\n{TLS}",
        ["4: 10.0.0.2:8387 would be called in clear over a network: take 'plain' away"],
    ),
    "names and sockets": (
        GRPC.replace("127.0.0.1:8387", "'unix:/run/api', localhost:8387"),
        ["4: names and sockets can not be mixed: give the addresses of the names as numbers"],
    ),
    "open admin": (f"{GRPC}admin: 0.0.0.0:9901\n", ["5: 0.0.0.0:9901 would let others end Envoy"]),
    "traces in clear": (f"{GRPC}traces: otel:4317\n", ["5: traces would go to otel:4317 in clear"]),
    "no folder": (
        f"{GRPC}{TLS.replace('folder: /e', '')}",
        ["1: 'folder' is missing: say where the files that are made will lie"],
    ),
    "half an identity": (
        f"{GRPC}tls: {{authority: /t/ca.pem}}\n",
        [
            "5: 'tls.certificate' is missing: give the file of the certificate (savanna-manage",
            "5: 'tls.key' is missing: give the file of the certificate's key (savanna-manage certs",
        ],
    ),
    "written twice": (f"{GRPC}{GRPC}", ["5: 'services' is written twice, first in line 1: remove"]),
    "no mapping": ("- rest\n", ["1: 'the file' must be a mapping of names to values"]),
    "tag that means nothing": (
        GRPC.replace("127.0.0.1:18387", "!port 18387"),
        ["3: is not YAML: could not determine a constructor for the tag '!port'"],
    ),
    "no yaml": ("services: [\n", ["2: is not YAML:"]),
    "empty": ("", [" is empty; describe the services of the mesh"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_description_that_can_not_be_meant_is_refused(tmp_path: Path, case: str) -> None:
    text, expected = REFUSED[case]
    path = tmp_path / "mesh.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError) as refused:
        read(path)
    lines = str(refused.value).splitlines()
    assert len(lines) == len(expected), lines
    for line, part in zip(lines, expected, strict=True):
        assert line.startswith(f"{path}:{part}"), line


def test_the_command_shows_the_mistakes_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(REFUSED["unknown field"][0])
    code, text = envoy(tmp_path / "mesh.yaml", "-o", tmp_path / "envoy.yaml")
    assert code == 1
    assert text.startswith(f"Error: {tmp_path}/mesh.yaml:2: 'services.rest.at' is missing")
    assert not (tmp_path / "envoy.yaml").exists()
    code, text = envoy(tmp_path / "moon.yaml")
    assert (code, text) == (1, f"Error: {tmp_path}/moon.yaml: there is no such file\n")
