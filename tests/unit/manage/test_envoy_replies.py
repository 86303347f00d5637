"""What users are told by the real Envoy when no gateway answers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import httpx

from bench.envoy import running
from tests.e2e.meshes import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_gateway_rest_says_so_in_its_own_form(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "access.log"
    rest = {"listen": f"127.0.0.1:{port}", "at": [f"127.0.0.1:{free_port()}"]}
    with running(tmp_path, {"services": {"rest": rest}, "access_log": str(log)}):
        answer = httpx.get(f"http://127.0.0.1:{port}/v2/clusters")
        assert answer.status_code == 503
        told = answer.json()
        assert (told["error_code"], told["error_name"]) == (503, "UNAVAILABLE")
        what, remedy, error_id = told["error_message"].split("\n")
        assert what == "No gateway has answered: no healthy upstream"
        assert remedy.startswith("Try again in a moment.")
        while not log.read_text():
            time.sleep(0.02)
    (line,) = map(json.loads, log.read_text().splitlines())
    assert error_id == f"Error ID: {line['error_id']}"
    assert (line["flags"], line["route"]) == ("UH", "read")
