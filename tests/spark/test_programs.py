"""Real programs on a real cluster of three hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.user import instances
from tests.spark import programs
from tests.spark.hosts import programs_on, said, until_none
from tests.spark.user import BUSY, named

if TYPE_CHECKING:
    from collections import Counter

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from tests.spark.user import SparkUser

pytestmark = pytest.mark.timeout(BUSY)

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN_CLASS = "edp.java.main_class"


@pytest.fixture(scope="module")
def jar() -> bytes:
    """Compile the program of the demo, once for each clone."""
    target = ROOT / ".savanna" / "spark-pi.jar"
    source = ROOT / "tools" / "demo" / "SparkPi.scala"
    tool = ROOT / "tools" / "spark_jar"
    subprocess.run([sys.executable, str(tool), str(source), str(target)], check=True)
    return target.read_bytes()


async def test_the_words_of_a_text_are_counted_as_they_are_without_spark(
    user: SparkUser, cluster: Cluster, text: Path, counts: Counter[str]
) -> None:
    job = await user.run(cluster, "PySpark", programs.COUNT_WORDS, args=[str(text)])
    ended = await user.ended(job)
    assert ended.state == "STATE_SUCCEEDED", ended.evidence
    assert ended.job.exit_code == 0
    assert ended.output == "".join(f"{word} {counts[word]}\n" for word in sorted(counts))
    assert "SparkContext: Successfully stopped SparkContext" in ended.errors
    executors = {f"({each.internal_ip},executor" for each in instances(cluster)[1:]}
    assert [each for each in executors if each not in ended.errors] == []


async def test_a_jar_runs_by_its_main_class(user: SparkUser, cluster: Cluster, jar: bytes) -> None:
    configs = {MAIN_CLASS: "savanna.demo.SparkPi", "spark.app.name": "round"}
    job = await user.run(cluster, "Spark", jar, name="pi.jar", args=["4"], configs={**configs})
    ended = await user.ended(job)
    assert ended.state == "STATE_SUCCEEDED", ended.evidence
    assert ended.output.startswith("Pi is roughly 3.1")


async def test_a_program_that_fails_shows_its_own_exit_code_and_last_words(
    user: SparkUser, cluster: Cluster
) -> None:
    ended = await user.ended(await user.run(cluster, "PySpark", programs.FAIL))
    assert ended.state == "STATE_DONE_WITH_ERROR"
    assert ended.job.exit_code == 7
    assert "ended with exit code 7" in ended.job.status_description
    # Spark joins both streams of Python.
    for line in ("all went well until 0.14285714285714285\n", "there was no more\n"):
        assert line in ended.output
        assert line.strip() in ended.job.status_description


async def test_a_shell_script_gets_all_it_was_given_and_its_whole_output_is_kept(
    user: SparkUser, cluster: Cluster
) -> None:
    job = await user.run(
        cluster,
        "Shell",
        programs.SHELL,
        name="script.sh",
        libs={"data.txt": b"some data\n"},
        args=["a b", "$HOME"],
        params={"GREETING": "it's me"},
    )
    ended = await user.ended(job)
    assert ended.state == "STATE_SUCCEEDED", ended.evidence
    master = named(cluster, "master-0").internal_ip
    told = "a b and $HOME meet it's me\nsome data\n"
    told += f"/run/spark/bin/spark-submit\nspark://{master}:7077\n"
    assert ended.output == told + "".join(f"{number}\n" for number in range(1, 60001))
    assert ended.errors == "this goes to the other stream\n"
    assert ended.job.output_size == len(ended.output)
    assert not ended.job.output_truncated


async def test_a_program_that_writes_more_than_is_kept_ends_and_says_that_its_output_is_cut(
    user: SparkUser, cluster: Cluster
) -> None:
    ended = await user.ended(await user.run(cluster, "Shell", programs.MUCH))
    assert ended.state == "STATE_SUCCEEDED", ended.evidence
    assert ended.job.output_truncated
    assert ended.job.output_size == len(ended.output) == 16 * 2**20
    assert set(ended.output) == {"x"}
    assert ended.errors == "all is written\n"


async def test_what_users_configure_stands_in_the_files_of_their_hosts(
    user: SparkUser, cluster: Cluster
) -> None:
    read = "cat ~/spark/conf/spark-defaults.conf ~/spark/conf/spark-env.sh"
    for_all = (
        "spark.sql.session.timeZone Europe/Rome\n",
        "spark.speculation false\n",
        "spark.savanna.one 1\n",
        "spark.savanna.two a b\n",
    )
    of_workers = (
        "spark.executor.memory 600m\n",
        "export SPARK_WORKER_CORES=3\n",
        "export SPARK_WORKER_MEMORY=1500m\n",
        "export COLOR='dark red'\n",
    )
    on_master = await said(user, cluster, named(cluster, "master-0"), read)
    on_worker = await said(user, cluster, named(cluster, "worker-0"), read)
    assert [each for each in for_all if each not in on_master] == []
    assert [each for each in (*for_all, *of_workers) if each not in on_worker] == []
    assert [each for each in of_workers if each in on_master] == []
    # Not only written: the worker runs with them.
    print_environment = "tr '\\0' '\\n' </proc/$(cat ~/spark/pids/worker)/environ"
    running = await said(user, cluster, named(cluster, "worker-0"), print_environment)
    assert "COLOR=dark red" in running.splitlines()
    log = await said(user, cluster, named(cluster, "worker-0"), "cat ~/spark/logs/worker.log")
    assert "with 3 cores, 1500.0 MiB RAM" in log


async def test_a_cancelled_program_is_gone_from_all_hosts_and_the_cluster_works_on(
    user: SparkUser, cluster: Cluster
) -> None:
    job = await user.run(cluster, "PySpark", programs.SLEEP)
    await user.until_it_says(job, "sum 45")
    master, workers = named(cluster, "master-0"), instances(cluster)[1:]
    assert programs_on(master)
    await user.cancel(job)
    ended = await user.ended(job)
    assert ended.state == "STATE_KILLED", ended.evidence
    assert not ended.job.HasField("exit_code")
    assert programs_on(master) == []
    # Executors belong to the workers, which end them once the driver is gone.
    for each in workers:
        assert await until_none(each) == []
    again = await user.ended(await user.run(cluster, "Shell", "echo it works"))
    assert again.output == "it works\n"
