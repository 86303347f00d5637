"""``make demo``: a real Spark cluster on this machine, from nothing to nothing.

Ctrl-C at any moment removes what was made, through the API; a second one removes it by force.
SIGTERM and a terminal that is closed do the same. KEEP=1 leaves the cluster up until Ctrl-C.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from text import count_words, write_text

from savanna_all_in_one.mesh import Mesh, MeshPlan
from savanna_engine.cloud.local.driver import purge
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = Path(sys.executable).parent
FAILED = 1
INTERRUPTED = 130
"""What shells say of a command that Ctrl-C ended."""

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NEXT = """\
Three things to try next:
  savanna-all                                      the same in one process, for your own clusters
  savanna cluster create -f tools/demo/cluster.yaml --watch       (add a group, change a count)
  docs/howto/add-a-plugin.md                       teach Savanna another framework
"""


class DemoError(Exception):
    """The demo can not go on; the text says why."""


class Demo:
    """One run of the demo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.console = Console(highlight=False)
        self.times: list[tuple[str, float]] = []
        self.begun = time.monotonic()
        self.is_up = False
        rest, grpc = _free_ports(8386, 8387)
        self.mesh = Mesh(
            MeshPlan(
                folder=folder / "data",
                sockets=folder / "sockets",
                database_url=f"sqlite:///{folder / 'data' / 'savanna.db'}",
                rest=f"127.0.0.1:{rest}",
                grpc=f"127.0.0.1:{grpc}",
            )
        )

    def run(self) -> None:
        """Show everything, in order."""
        with self.step("Start Savanna: gateway, conductor, scheduler, two engines, Spark plugin"):
            (self.folder / "sockets").mkdir(mode=0o700)
            self.mesh.__enter__()
            self.is_up = True
        self.console.print(f"  logs in {self.mesh.plan.folder}", style="dim")
        self.show_rest()
        with self.step("Launch a Spark cluster of three hosts"):
            self.savanna("cluster", "create", "-f", str(HERE / "cluster.yaml"), "--watch")
        self.count_words()
        with self.step("Compute Pi with a program in a jar"):
            jar = ROOT / ".savanna" / "spark-pi.jar"
            _compile(HERE / "SparkPi.scala", jar)
            self.savanna(
                "job", "run", "--cluster", "demo", "--main", str(jar),
                "--class", "savanna.demo.SparkPi", "--logs", "--", "20",
            )  # fmt: skip
        self.show_times()
        with self.step("Scale out to four hosts"):
            self.savanna("cluster", "scale", "demo", "worker=3", "--watch")
        if os.environ.get("KEEP", "0") not in ("", "0"):
            self.keep()

    def attempt(self, part: Callable[[], None]) -> int:
        """Do one part; gives the exit code for it, and says in a line what went wrong."""
        try:
            part()
        except KeyboardInterrupt:
            self.console.print("\nCleaning up; Ctrl-C again removes everything by force.")
            return INTERRUPTED
        except (DemoError, SavannaError, OSError) as error:
            self.console.print(f"\nThe demo stopped: {error}", style="red", markup=False)
            return FAILED
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            self.console.print(f"\nThe demo stopped: {told}", style="red", markup=False)
            return FAILED
        return 0

    def end(self) -> None:
        """Remove the cluster through the API, then end the services."""
        if self.is_up and json.loads(self.asked("cluster", "list", "-o", "json"))["clusters"]:
            with self.step("Clean up"):
                self.savanna("cluster", "delete", "demo", "--yes", "--watch")
        self.mesh.close()
        left = purge(self.folder / "data" / "hosts")
        if left:
            raise DemoError(f"{left} hosts were left behind and had to be removed by force")

    def tell(self) -> None:
        """Say how long everything took, and what to try next."""
        self.console.print()
        for title, seconds in self.times:
            self.console.print(f"  {seconds:6.1f} s  {title}")
        total = time.monotonic() - self.begun
        self.console.print(f"  {total:6.1f} s  in all; nothing is left behind\n")
        self.console.print(NEXT, end="", markup=False, soft_wrap=True)

    def end_by_force(self) -> None:
        """Kill the services and remove every host."""
        for name in self.mesh.plan.names():
            self.mesh.kill_if_running(name)
        purge(self.folder / "data" / "hosts")

    def show_rest(self) -> None:
        """Show one call of the REST API."""
        url = f"http://{self.mesh.plan.rest}/v2/plugins"
        self.console.print(f"\n$ curl -s {url}", style="bold", markup=False)
        with urllib.request.urlopen(url, timeout=10) as answer:
            plugins = json.load(answer)["plugins"]
        for each in plugins:
            shown = {key: each[key] for key in ("name", "title", "versions")}
            self.console.print(f"  {json.dumps(shown)}", markup=False, soft_wrap=True)

    def count_words(self) -> None:
        """Count words with Spark, and check the result without it."""
        text = self.folder / "text.txt"
        size = write_text(text)
        with self.step(f"Count the words of {size / 1e6:.1f} MB of text with PySpark"):
            self.savanna(
                "job", "run", "--cluster", "demo", "--main", str(HERE / "word_count.py"),
                "--logs", "--", str(text),
            )  # fmt: skip
        jobs = json.loads(self.asked("job", "list", "-o", "json"))
        output = self.asked("job", "output", jobs["jobs"][-1]["id"])
        counted = [line.split() for line in output.splitlines() if line.strip()]
        if [(int(count), word) for count, word in counted[-10:]] != count_words(text):
            raise DemoError("Spark's counts differ from those made without it")
        self.console.print("  the same as counted without Spark", style="green")

    def show_times(self) -> None:
        """Show where the time of the launch went."""
        operations = json.loads(self.asked("operation", "list", "-o", "json"))["operations"]
        launch = next(each for each in operations if each["goal"] == "GOAL_LAUNCH")
        self.console.print("\nWhere the time of the launch went", style="bold")
        self.savanna("operation", "show", launch["id"])

    def keep(self) -> None:
        """Leave everything up until Ctrl-C."""
        self.console.print("\nThe cluster stays up until Ctrl-C.", style="bold")
        self.savanna("cluster", "show", "demo")
        self.console.print(f"  REST   http://{self.mesh.plan.rest}/v2")
        self.console.print(
            f"  gRPC   {self.mesh.plan.grpc}: savanna --address {self.mesh.plan.grpc}"
        )
        self.console.print(f"  logs   {self.mesh.plan.folder}")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Say what comes, and note how long it took."""
        self.console.print(f"\n{title}", style="bold")
        begun = time.monotonic()
        yield
        self.times.append((title, time.monotonic() - begun))

    def savanna(self, *words: str) -> None:
        """Run the command of users, its output shown."""
        shown = [each.replace(f"{ROOT}/", "") for each in words]
        self.console.print(
            f"$ savanna {' '.join(shown)}", style="dim", markup=False, soft_wrap=True
        )
        sys.stdout.flush()
        done = subprocess.run([str(BIN / "savanna"), *words], env=self.environment(), check=False)
        if done.returncode:
            raise DemoError(f"savanna {words[0]} {words[1]} ended with {done.returncode}")

    def asked(self, *words: str) -> str:
        """Run the command of users and give its output."""
        done = subprocess.run(
            [str(BIN / "savanna"), *words],
            env=self.environment(),
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise DemoError(f"savanna {words[0]} {words[1]} ended with {done.returncode}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Say where the demo's own Savanna is."""
        return {**os.environ, "SAVANNA_ADDRESS": self.mesh.plan.grpc}


def main() -> int:
    """Run the demo; what was made is removed however it ends."""
    _heed_endings()
    # Hosts have users of their own: the text must be readable to them, the data need not be.
    folder = Path(tempfile.mkdtemp(prefix="savanna-demo-", dir="/var/tmp"))
    folder.chmod(0o711)
    demo = Demo(folder)
    codes = []
    try:
        codes.append(demo.attempt(demo.run))
        codes.append(demo.attempt(demo.end))
    except KeyboardInterrupt:
        codes.append(INTERRUPTED)
    finally:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        codes.append(demo.attempt(demo.end_by_force))
    if FAILED in codes:
        demo.console.print(f"Logs are kept in {demo.mesh.plan.folder}")
        return FAILED
    shutil.rmtree(folder, ignore_errors=True)
    if not any(codes):
        demo.tell()
    return max(codes)


def _heed_endings() -> None:
    """Let every signal that asks for the end be a Ctrl-C: services have sessions of their own and
    would stay."""

    def hang_up(number: int, frame: FrameType | None) -> None:
        # Nobody reads any more, and what can not be said must not stop the clean-up.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        signal.default_int_handler(number, frame)

    # Also the first: whoever runs in the background of a script begins with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # Whoever started it with nohup wants it to stay.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, hang_up)


def _compile(source: Path, jar: Path) -> None:
    """Compile a program; the first time takes some seconds."""
    command = [sys.executable, str(ROOT / "tools" / "spark_jar"), str(source), str(jar)]
    if subprocess.run(command, check=False).returncode:
        raise DemoError(f"{source.name} could not be compiled")


def _free_ports(*wanted: int) -> tuple[int, ...]:
    """Take the usual ports, or any others when those are in use."""
    found = []
    for port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
    return tuple(found)


if __name__ == "__main__":
    sys.exit(main())
