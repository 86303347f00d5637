"""``savanna job``, before a real gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.job.v1.job_pb2 import Job
from tests.unit.cli.story import serve

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Result, Shell
    from tests.unit.client.stage import Stage


@pytest.fixture
async def active(stage: Stage, shell: Shell) -> None:
    assert (await shell.launch()).code == 0
    [cluster] = stage.memory.clusters.values()
    serve(cluster)


async def play(stage: Stage, output: bytes, state: Job.State.ValueType, **values: object) -> None:
    """Be the cluster that runs the job."""
    while not stage.memory.jobs:
        await asyncio.sleep(0.005)
    [job] = stage.memory.jobs.values()
    stage.memory.output = output
    job.MergeFrom(Job(state=state, **values))  # type: ignore[arg-type]  # whatever the test says


async def followed(stage: Stage, shell: Shell, *words: str, **played: object) -> Result:
    state = played.pop("state")
    output = played.pop("output")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(play(stage, output, state, **played))  # type: ignore[arg-type]  # as given
        command = group.create_task(shell("job", "run", "--cluster", "demo", "--logs", *words))
    return command.result()


@pytest.mark.usefixtures("active")
async def test_a_program_is_sent_and_what_it_writes_is_printed(stage: Stage, shell: Shell) -> None:
    main = shell.file("count.sh", "wc -w $1\n")
    result = await followed(
        stage,
        shell,
        *("--main", main, "--conf", "a.b=c=d", "--", "-x", "/etc/services"),
        state=Job.STATE_SUCCEEDED,
        output=b"42 words\n",
    )
    assert (result.code, result.out) == (0, "42 words\n")
    [job] = stage.memory.jobs.values()
    assert f"job {job.id} succeeded" in result.err
    assert list(job.configs.args) == ["-x", "/etc/services"]
    assert job.configs.configs["a.b"].text == "c=d"
    [data] = stage.memory.data.values()
    assert data == b"wc -w $1\n"


@pytest.mark.usefixtures("active")
async def test_json_is_not_mixed_with_what_the_program_writes(stage: Stage, shell: Shell) -> None:
    main = shell.file("count.sh", "wc\n")
    played = {"state": Job.STATE_SUCCEEDED, "output": b"42 words\n"}
    result = await followed(stage, shell, "--main", main, "-o", "json", **played)
    assert result.data["job"]["state"] == "STATE_PENDING"
    assert "42 words" in result.err


@pytest.mark.usefixtures("active")
async def test_the_same_file_is_sent_once_and_a_changed_one_beside_it(
    stage: Stage, shell: Shell
) -> None:
    main, lib = shell.file("count.sh", "one\n"), shell.file("tools.py", "x = 1\n")
    run = ("job", "run", "--cluster", "demo", "--main", main, "--lib", lib)
    for _ in range(2):
        assert (await shell(*run)).code == 0
    names = sorted(item.name for (kind, _), item in stage.memory.items.items() if kind != "image")
    assert len(names) == 3
    assert names[-1] == "tools.py"
    shell.file("count.sh", "two\n")
    shell.file("tools.py", "x = 2\n")
    changed = await shell(*run)
    assert "tools.py was sent before with other bytes; they are replaced" in changed.err
    assert len({each.job_template_id for each in stage.memory.jobs.values()}) == 2
    assert sorted(stage.memory.data.values()) == [b"one\n", b"two\n", b"x = 2\n"]


@pytest.mark.usefixtures("active")
async def test_a_failed_program_exits_with_1_and_shows_its_last_errors(
    stage: Stage, shell: Shell
) -> None:
    result = await followed(
        stage,
        shell,
        *("--main", shell.file("count.sh", "exit 3\n")),
        state=Job.STATE_DONE_WITH_ERROR,
        output=b"no such word\n",
        exit_code=3,
        status_description="the program ended with exit code 3",
    )
    assert result.code == 1
    [job] = stage.memory.jobs
    assert "DONE_WITH_ERROR  the program ended with exit code 3" in result.err
    assert "last lines  no such word" in result.err
    assert f"savanna job output {job} --stderr" in result.err


@pytest.mark.usefixtures("active")
async def test_jobs_are_listed_shown_read_cancelled_and_deleted(stage: Stage, shell: Shell) -> None:
    main = shell.file("count.sh", "wc\n")
    sent = await shell("job", "run", "--cluster", "demo", "--main", main, "-o", "json")
    job = sent.data["job"]["id"]
    stage.memory.output = b"words\n"
    listed = await shell("job", "list", "--cluster", "demo")
    assert job in listed.out
    assert "count-" in listed.out
    assert "pending" in listed.out
    assert (await shell("job", "show", job)).out.startswith(f"job {job}  pending")
    assert (await shell("job", "output", job)).out == "words\n"
    assert (await shell("job", "cancel", job)).out == f"job {job} is to be killed\n"
    assert (await shell("job", "delete", job)).out == f"job {job} is removed\n"
    assert not stage.memory.jobs


@pytest.mark.usefixtures("active")
async def test_a_stored_template_is_run_by_name(stage: Stage, shell: Shell) -> None:
    main = shell.file("count.sh", "wc\n")
    await shell("job", "run", "--cluster", "demo", "--main", main)
    [name] = [item.name for (kind, _), item in stage.memory.items.items() if kind == "job_template"]
    assert (await shell("job", "run", "--cluster", "demo", "--template", name)).code == 0
    assert len(stage.memory.jobs) == 2


@pytest.mark.usefixtures("active")
async def test_wrong_words_are_refused_before_anything_is_sent(stage: Stage, shell: Shell) -> None:
    odd, main = shell.file("count.txt", "x"), shell.file("count.sh", "x")
    for words, expected in (
        ((), "either --main FILE or --template NAME"),
        (("--main", odd), "add --type"),
        (("--main", main, "--conf", "x"), "KEY=VALUE"),
        (("--main", f"{main}.gone"), "does not exist"),
        (("--main", main, "--type", "PySpark"), "doesn't support job type 'PySpark'"),
    ):
        result = await shell("job", "run", "--cluster", "demo", *words)
        assert result.code == 2, words
        assert expected in result.err, words
    gone = await shell("job", "run", "--cluster", "nope", "--main", main)
    assert gone.code == 3
    assert not stage.memory.jobs
