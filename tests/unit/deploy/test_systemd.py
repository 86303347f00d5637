"""The units of systemd, as systemd and the services read them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.deploy.told import KINDS, ROLES, no_ones, port_of, prefix_of, read_by

if TYPE_CHECKING:
    from savanna_kit.settings import ServiceSettings

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = DEPLOY / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("savanna-*.service"))
OURS = [name for name in SERVICES if name != "savanna-envoy.service"]
INSTANCES = {"savanna-plugin@.service": "spark"}
BUILT_IN = ("sysinit.target", "basic.target", "shutdown.target", "network-online.target")


def unit(name: str) -> RawConfigParser:
    """Read a unit in which nothing is said twice but environments."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's page says
    parser.read(UNITS / name)
    return parser


def instance_of(name: str) -> str:
    return name.replace("@.", f"@{INSTANCES.get(name, '1')}.")


def command_of(name: str) -> str:
    """Name the command that a unit runs."""
    start = unit(name)["Service"]["ExecStart"].split()[0]
    return Path(start.replace("%i", INSTANCES.get(name, "1"))).name


def settings_of(name: str) -> dict[str, str]:
    """Give the settings of a unit: its own, then those of the file, which win."""
    own = [
        line.removeprefix("Environment=")
        for line in (UNITS / name).read_text().splitlines()
        if line.startswith("Environment=")
    ]
    lines = [*own, *(UNITS / "savanna.env").read_text().splitlines()]
    words = [word for line in lines for word in shlex.split(line, comments=True)]
    return dict(word.split("=", 1) for word in words)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Make the part of a machine's root that units name."""
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    for path in UNITS.glob("savanna*.[st]*"):
        if path.suffix in {".service", ".target"}:
            shutil.copy(path, folder)
    for name in BUILT_IN:
        (folder / name).write_text("[Unit]\nDescription=comes with systemd\n")
    for command in (*(f"opt/savanna/bin/{each}" for each in KINDS), "usr/local/bin/envoy"):
        path = tmp_path / command
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return tmp_path


def verify(machine: Path, *units: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={machine}", "--man=no", *units],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def test_systemd_takes_every_unit(machine: Path) -> None:
    assert verify(machine, "savanna.target", *map(instance_of, SERVICES)) == ""
    folder = machine / "etc" / "systemd" / "system"
    (folder / "savanna-api.service").write_text("[Service]\nExecStart=/bin/no\nRestrat=always\n")
    said = verify(machine, "savanna-api.service")
    assert "Restrat" in said
    assert "/bin/no" in said


@pytest.mark.parametrize("name", OURS)
def test_the_service_takes_its_settings_and_shows_its_own_certificate(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, told = command_of(name), settings_of(name)
    if not any(each.startswith(prefix_of(command)) for each in told):
        # The simulated cloud is for trials: the file of a real deployment does not speak of it.
        assert command == "savanna-simulator"
        return
    given = read_by(command, told, monkeypatch)
    assert given.tls_key == Path(f"/etc/savanna/tls/{ROLES[command]}.key")
    assert given.tls_certificate == given.tls_key.with_suffix(".pem")
    # Drain, the end of calls and the end of REST may take that long each.
    assert 3 * given.drain_seconds < float(unit(name)["Service"]["TimeoutStopSec"])


def test_the_file_of_settings_names_no_setting_that_no_service_has() -> None:
    assert no_ones(settings_of("savanna-api.service")) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_restarts_for_ever_drains_and_belongs_to_the_target(name: str) -> None:
    service = unit(name)["Service"]
    assert service["Type"] == "exec"
    assert (service["Restart"], service["KillSignal"]) == ("always", "SIGTERM")
    assert unit(name)["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit(name)["Unit"]["PartOf"] == "savanna.target"
    assert unit(name)["Install"]["WantedBy"] == "savanna.target"


def test_only_the_engine_with_hosts_of_this_machine_is_root() -> None:
    users = {name: unit(name)["Service"]["User"] for name in SERVICES}
    assert [name for name, user in users.items() if user == "root"] == [
        "savanna-engine-local@.service"
    ]
    made = [
        line.split()[1]
        for line in (UNITS / "sysusers.conf").read_text().splitlines()
        if line.startswith("u ")
    ]
    assert sorted(made) == sorted(set(users.values()) - {"root"})


def test_the_settings_are_those_of_the_first_machine_behind_the_example_of_envoy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mesh = yaml.safe_load((DEPLOY / "envoy" / "three-machines" / "mesh.yaml").read_text())
    doors = mesh["services"]
    told = settings_of("savanna-api.service")
    given: dict[str, ServiceSettings] = {
        command: read_by(command, told, monkeypatch)
        for command in KINDS
        if command not in {"savanna-simulator", "savanna-plugin-fake"}
    }

    def word(command: str, name: str) -> object:
        return getattr(given[command], name)

    assert word("savanna-api", "listen") in doors["grpc"]["at"]
    assert word("savanna-api", "rest_listen") in doors["rest"]["at"]
    assert word("savanna-conductor", "listen") in doors["conductor"]["at"]
    assert word("savanna-engine", "listen") in doors["engines"]["at"]
    assert word("savanna-plugin-spark", "listen") in doors["plugins"]["spark"]["at"]
    first = doors["schedulers"]["scheduler-1"]
    assert word("savanna-scheduler", "listen") == first["at"]
    assert word("savanna-scheduler", "advertise") == first["listen"]
    for command in ("savanna-api", "savanna-scheduler", "savanna-engine"):
        assert word(command, "conductor") == doors["conductor"]["listen"]
    assert word("savanna-api", "engines") == [doors["engines"]["listen"]]
    assert word("savanna-api", "plugins") == [doors["plugins"]["spark"]["listen"]]
    ports = [port_of(each.metrics_address) for each in given.values()]
    assert len(set(ports)) == len(ports)
