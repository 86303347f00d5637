"""Measures a peer: makes its environment, runs its script, and times what all of it spends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import clocks, meshes
from bench.peers import script

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peers.known import Peer

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".savanna" / "peers"
"""Where the environments are."""

INSTALL_SECONDS = 300.0
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.2


class Problem(Exception):
    """A peer can not be installed or measured; says why."""


@dataclass(frozen=True)
class Outcome:
    """What a workload came to at a peer, or why it came to nothing."""

    peer: Peer
    workload: str
    tasks: int
    seconds: float = 0.0
    cpu: float = 0.0
    """CPU seconds of all its processes and of its database."""

    problem: str = ""

    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """How busy the machine was when it had ended, in processes."""

    @property
    def rate(self) -> float:
        """Tasks a second, end to end."""
        return self.tasks / self.seconds


def measure(
    peer: Peer, wanted: Sequence[str], *, scale: float = 1.0, home: Path = HOME
) -> list[Outcome]:
    """Do workloads at a peer; what can not be done is an outcome too."""
    left = {key: max(2, int(peer.sizes[key] * scale)) for key in wanted if key in peer.sizes}
    done = []
    try:
        python = installed(peer, home)
        with _running(peer, python, home / f"{peer.name}.log") as conversation:
            for workload in list(left):
                seconds, cpu = conversation.ask(workload, left[workload])
                done.append(Outcome(peer, workload, left.pop(workload), seconds, cpu))
    except Problem as problem:
        done += [Outcome(peer, key, number, problem=str(problem)) for key, number in left.items()]
    return done


def installed(peer: Peer, home: Path) -> Path:
    """Bring the environment of a peer to what it requires; gives its interpreter.

    Raises ``Problem``.
    """
    python = home / peer.name / "bin" / "python"
    if not python.exists():
        _uv("venv", "--python", sys.executable, str(home / peer.name))
    _uv("pip", "sync", "--python", str(python), str(peer.requirements))
    return python


def _uv(*arguments: str) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    try:
        done = subprocess.run(
            [uv, "--quiet", *arguments],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Problem(f"not installed after {INSTALL_SECONDS:.0f} s") from error
    if done.returncode:
        raise Problem(f"can not be installed: {' '.join(done.stderr.split())}")


class _Conversation:
    """A running script of a peer."""

    def __init__(self, process: subprocess.Popen[str], database_pid: int | None, log: Path) -> None:
        self._process = process
        self._pids = [process.pid, *([database_pid] if database_pid is not None else [])]
        self._log = log

    def ask(self, workload: str, number: int) -> tuple[float, float]:
        """Let it do a workload; gives the seconds that it took, and the CPU seconds."""
        before = clocks.spent_below(self._pids)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{workload} {number}\n")
            self._process.stdin.flush()
        seconds = float(self.hear(script.PATIENCE))
        return seconds, clocks.spent_below(self._pids) - before

    def hear(self, patience: float) -> str:
        """Wait for its next line."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + patience
        while True:
            # What it started may hold its end of the pipe: that it has ended is asked apart.
            has_ended = self._process.poll() is not None
            if select.select([self._process.stdout], [], [], _LOOK_SECONDS)[0]:
                break
            if has_ended:
                raise Problem(f"it ended; {self._evidence()}")
            if time.monotonic() > deadline:
                raise Problem(f"no answer after {patience:.0f} s; {self._evidence()}")
        line = self._process.stdout.readline()
        if not line:
            raise Problem(f"it ended; {self._evidence()}")
        return line

    def _evidence(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        last = next((each.strip() for each in reversed(lines) if each.strip()), "")
        return f"{self._log} ends so: {last}"


@contextmanager
def _running(peer: Peer, python: Path, log: Path) -> Iterator[_Conversation]:
    """Run the script of a peer, with a database if it needs one; ends all that it started."""
    with ExitStack() as stack:
        folder = stack.enter_context(meshes.scratch_folder())
        environment = {**os.environ, script.FOLDER: str(folder)}
        database_pid = None
        if peer.needs_database:
            url, database_pid = stack.enter_context(meshes.database_of("postgresql", folder))
            environment[script.DATABASE] = url.replace("+psycopg2", "")
        process = subprocess.Popen(
            [python, "-m", peer.script],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stack.enter_context(log.open("w")),
            text=True,
            # All that it starts is in its group, so that nothing outlives it.
            start_new_session=True,
        )
        stack.callback(_end, process)
        conversation = _Conversation(process, database_pid, log)
        conversation.hear(READY_SECONDS)
        yield conversation


def _end(process: subprocess.Popen[str]) -> None:
    """Ask no more, which lets a script end what it started; whoever stays is killed."""
    # Leaving the block closes what is open and waits.
    with process:
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            assert process.stdin is not None
            process.stdin.close()
            process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
