"""Other systems beside Savanna, played by one that needs nothing to be installed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.peers import known, ratios
from bench.peers.known import Peer
from bench.peers.measure import measure
from tests.e2e.leftovers import command_of

if TYPE_CHECKING:
    from collections.abc import Callable

SAVANNA = ratios.Reference(rate=1000.0, cpu=0.5)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Peer]:
    def make_peer(requires: str) -> Peer:
        requirements = tmp_path / "requirements.txt"
        requirements.write_text(requires)
        sizes = {"W1": 10, "W3": 1000}
        return Peer("Stand-in", requirements, "tests.unit.bench.stand_in_peer", "alone", sizes)

    return make_peer


def test_what_a_peer_did_is_told_and_also_why_it_did_not_the_rest(
    make: Callable[[str], Peer], tmp_path: Path
) -> None:
    done, died = measure(make("# Nothing."), ["W1", "W2", "W3"], home=tmp_path)

    assert (done.workload, done.tasks, done.problem) == ("W1", 10, "")
    assert done.seconds > 0
    assert (died.workload, died.tasks) == ("W3", 1000)
    assert died.problem.endswith("RuntimeError: a chain of 1000 is too long")
    table = str(ratios.table([(done, SAVANNA), (died, SAVANNA)], "sqlite"))
    assert f"Stand-in  W3: {died.problem}" in table
    assert sum(line.split()[:1] == ["Stand-in"] for line in table.splitlines()) == 3


def test_a_peer_that_can_not_be_installed_is_told_with_the_reason(
    make: Callable[[str], Peer], tmp_path: Path
) -> None:
    (outcome,) = measure(make("./not-there.whl"), ["W1"], home=tmp_path)

    assert outcome.problem.startswith("can not be installed: ")
    assert "not-there.whl" in outcome.problem


def test_nothing_that_a_peer_started_outlives_it(
    make: Callable[[str], Peer], tmp_path: Path
) -> None:
    measure(make("# Nothing."), ["W3"], home=tmp_path)

    pid, *_ = (tmp_path / "stand_in_peer.log").read_text().split()
    # It was killed; a busy machine takes its time, and whoever adopted it too.
    deadline = time.monotonic() + 10
    while command_of(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_known_peer_has_its_script_and_pinned_requirements() -> None:
    folder = Path(known.__file__).parent
    for peer in known.PEERS:
        assert (folder / f"{peer.name}.py").exists()
        lines = peer.requirements.read_text().splitlines()
        assert all(not line or line[0] == "#" or "==" in line for line in lines)
        assert peer.version


def test_a_peer_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="airflow is not known"):
        known.chosen(["celery", "airflow"])
