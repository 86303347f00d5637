"""The scripts of the Spark plugin, run by a real shell with a stand-in for Spark's own programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from savanna_plugin_spark import scripts

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORKER = "org.apache.spark.deploy.worker.Worker"

_SPARK_CLASS = f"""#!{sys.executable}
import os, signal, subprocess, sys, time

def leave(number, frame):
    global told
    told = True

told, fate = False, os.environ.get("FATE")
signal.signal(signal.SIGPWR, leave)
print("arguments", *sys.argv[2:], flush=True)
if fate == "dies":
    print("the port is taken", flush=True)
    sys.exit(3)
executor = subprocess.Popen(["sleep", "600"]) if fate == "works" else None
if fate == "forgets":
    forgotten = subprocess.Popen(["true"])
print("It serves", flush=True)
while True:
    time.sleep(0.02)
    if executor and told and os.path.exists(os.path.expanduser("~/finished")):
        executor.kill()
        executor.wait()
        executor = None
"""

_SPARK_SUBMIT = f"""#!{sys.executable}
import os, sys
print(os.getcwd(), *sys.argv[1:])
sys.exit(7)
"""


@dataclass
class Node:
    """A home folder, and a Spark beside it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        return self.folder / "home" / "spark"

    def make(self) -> None:
        for path, text in (("spark-class", _SPARK_CLASS), ("spark-submit", _SPARK_SUBMIT)):
            program = self.folder / "dist" / "bin" / path
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(text)
            program.chmod(0o755)
        run = self.folder / "run"
        (run / "program").mkdir(parents=True)
        (self.folder / "home").mkdir()
        (run / "spark-defaults.conf").write_text("spark.a 1\n")
        (run / "spark-env.sh").write_text("export WORD='a b'\n")

    def run(
        self, name: str, last: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        values = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "SAVANNA_SPARK_HOME": str(self.folder / "dist"),
            "OWN_ADDRESS": "127.0.0.1",
            "MASTER_ADDRESS": "127.0.0.9",
            "MASTER_PORT": "7077",
            **environment,
        }
        return subprocess.run(
            ["/bin/sh", "-c", f"set -eu\n{scripts.read(name)}{last}\n"],
            cwd=self.folder / "run",
            env=values,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def start_worker(self, fate: str = "") -> subprocess.CompletedProcess[str]:
        ports = {"PORT": "7078", "UI_PORT": "8081"}
        return self.run(
            "start", NAME="worker", CLASS=_WORKER, READY="It serves", FATE=fate, **ports
        )

    def pid(self) -> int:
        return int((self.base / "pids" / "worker").read_text())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    made.make()
    yield made
    for each in made.base.glob("pids/worker"):
        try:
            os.killpg(int(each.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            continue


def is_alive(pid: int) -> bool:
    """Tell a process from one that has ended and that nobody has asked about."""
    try:
        return bool(Path("/proc", str(pid), "cmdline").read_bytes())
    except FileNotFoundError:
        return False


def test_configuration_has_the_places_of_the_node_and_then_what_users_gave(node: Node) -> None:
    for _ in range(2):
        done = node.run("configure")
        assert done.returncode == 0, done.stderr
    defaults = (node.base / "conf" / "spark-defaults.conf").read_text().splitlines()
    assert defaults[0] == f"spark.eventLog.dir file:{node.base}/events"
    assert defaults[-1] == "spark.a 1"
    told = subprocess.run(
        ["/bin/sh", "-c", '. "$0"; echo "$SPARK_LOCAL_IP $WORD"', node.base / "conf/spark-env.sh"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert told.stdout == "127.0.0.1 a b\n"


def test_a_node_without_spark_is_told_apart(node: Node) -> None:
    done = node.run("configure", SAVANNA_SPARK_HOME="/nowhere")
    assert done.returncode == 1
    assert "There is no Spark in /nowhere" in done.stderr


def test_a_process_that_runs_is_not_started_again(node: Node) -> None:
    node.run("configure")
    done = node.start_worker()
    assert done.returncode == 0, done.stderr
    first = node.pid()
    assert node.start_worker().returncode == 0
    assert node.pid() == first
    log = (node.base / "logs" / "worker.log").read_text()
    assert "--host 127.0.0.1 --port 7078 --webui-port 8081 spark://127.0.0.9:7077" in log


def test_a_process_that_was_killed_is_started_again(node: Node) -> None:
    node.run("configure")
    node.start_worker()
    first = node.pid()
    os.kill(first, signal.SIGKILL)
    assert node.start_worker().returncode == 0
    assert node.pid() != first
    assert (node.base / "logs" / "worker.log.1").exists()


def test_a_process_that_dies_shows_the_end_of_its_log(node: Node) -> None:
    node.run("configure")
    done = node.start_worker(fate="dies")
    assert done.returncode == 1
    assert "The worker has ended; its log says:" in done.stderr
    assert "the port is taken" in done.stderr


def test_a_worker_ends_once_its_executors_have_ended(node: Node) -> None:
    node.run("configure")
    node.start_worker(fate="works")
    busy = node.run("decommission")
    assert (busy.returncode, busy.stdout) == (75, "1 executors still work.\n")
    (node.folder / "home" / "finished").touch()
    done = node.run("decommission")
    assert done.returncode == 0, done.stderr
    assert not is_alive(node.pid())
    assert node.run("decommission").stdout == "No worker runs here.\n"


def test_a_child_that_has_ended_and_was_forgotten_does_not_hold_a_worker(node: Node) -> None:
    node.run("configure")
    node.start_worker(fate="forgets")
    done = node.run("decommission")
    assert done.returncode == 0, done.stdout
    assert not is_alive(node.pid())


def test_a_program_ends_with_its_own_exit_code_in_its_own_folder(node: Node) -> None:
    node.run("configure")
    done = node.run("spark-job", "submit app.py 'a b'")
    assert done.returncode == 7
    folder = node.folder / "run" / "program"
    assert done.stdout == (
        f"{folder} --master spark://127.0.0.9:7077 --deploy-mode client app.py a b\n"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('echo "$1 $MASTER"; exit 4\n', "x y spark://127.0.0.9:7077\n"),
        (f"#!{sys.executable}\nimport sys\nprint(sys.argv[1])\nsys.exit(4)\n", "x y\n"),
    ],
    ids=["by the shell", "by the interpreter that it names"],
)
def test_a_shell_job_is_run(node: Node, text: str, told: str) -> None:
    node.run("configure")
    main = node.folder / "run" / "program" / "main"
    main.write_text(text)
    main.chmod(0o755)
    done = node.run("shell-job", "run 'x y'", MAIN="main")
    assert (done.returncode, done.stdout) == (4, told), done.stderr
