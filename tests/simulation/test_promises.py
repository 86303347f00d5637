"""The real cores keep every promise, whatever happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.simulation.simulate import Report, simulate, tell

SEEDS = 100
ROOT = Path(__file__).parents[2]


def test_every_promise_holds_whatever_happens() -> None:
    total = Report()
    for seed in range(SEEDS):
        total.add(simulate(seed))

    assert total.violations == {}
    # Enough happened for that to mean something.
    assert {"succeeded", "failed", "cancelled"} <= total.ends.keys()
    assert total.attempts > 20 * SEEDS
    assert len(total.met) > 15


def test_a_seed_tells_the_same_story_in_another_process() -> None:
    code = "from tests.simulation.simulate import tell; print('\\n'.join(tell(7)))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.splitlines() == tell(7)


def test_a_simulation_says_how_to_replay_what_it_found() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "sim"), "--without", "keeps_keys"]
    many = subprocess.run(
        [*tool, "--seeds", "10"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (many.returncode, many.stderr) == (1, "")
    found = re.search(
        r"\nseed (\d+): (key .* was stored twice)\n.* begins .*"
        r"\n  again: make sim SEED=\1 WITHOUT=keeps_keys\n",
        many.stdout,
        re.DOTALL,
    )
    assert found is not None

    one = subprocess.run(
        [*tool, "--seed", found[1]], capture_output=True, text=True, timeout=60, check=False
    )
    assert one.returncode == 1
    assert one.stdout.endswith(f"\nseed {found[1]}: {found[2]}\n")
