"""``savanna cluster`` and ``savanna operation``, before a real gateway."""

from __future__ import annotations

import asyncio
import io
import re
import time
from typing import TYPE_CHECKING

import pytest
import yaml
from rich.console import Console

from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.operation.v1.operation_pb2 import ON_FAILURE_CONTINUE, ON_FAILURE_KEEP
from savanna_cli import live
from savanna_cli.main import run
from savanna_cli.progress import Progress
from tests.unit.cli.conftest import CLUSTER_FILE
from tests.unit.cli.story import FAILURE, PAGE, Story, serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Result, Shell
    from tests.unit.client.stage import Stage


async def watched(stage: Stage, shell: Shell, *more: str, fails: bool = False) -> Result:
    path = shell.file("cluster.yaml", CLUSTER_FILE)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(Story(stage, fails=fails).play())
        command = group.create_task(shell("cluster", "create", "-f", path, "--watch", *more))
    return command.result()


async def active(stage: Stage, shell: Shell) -> Cluster:
    assert (await shell.launch()).code == 0
    [cluster] = stage.memory.clusters.values()
    serve(cluster)
    return cluster


async def test_a_launch_is_stored_and_the_next_command_named(stage: Stage, shell: Shell) -> None:
    result = await shell.launch()
    [operation] = stage.memory.operations
    assert result.code == 0
    assert result.out.splitlines() == [
        "launch of demo has begun",
        f"  savanna operation watch {operation}",
    ]


async def test_watching_writes_a_plain_line_for_each_host_and_step(
    stage: Stage, shell: Shell
) -> None:
    result = await watched(stage, shell)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "Launching demo"
    assert "    0.4 s  demo-w-1  Create servers" + " " * 32 + "0.2 s" in lines
    assert sum("demo-w-1" in each for each in lines) == 5
    assert any("Push configs to nodes: failed, trying again" in each for each in lines)
    assert lines[-1] == f"cluster demo is Active after 3.5 s: HDFS Web UI {PAGE}"
    assert not any(each < " " for each in result.out if each != "\n")


async def test_a_failed_launch_shows_evidence_and_exits_with_1(stage: Stage, shell: Shell) -> None:
    result = await watched(stage, shell, fails=True)
    assert result.code == 1
    [operation] = stage.memory.operations
    for expected in (
        "launch of demo failed after 2.1 s",
        "COMMAND_FAILED  the script",
        FAILURE.instance,
        FAILURE.command,
        "exit code   3",
        "Read-only file system",
        f"next        savanna operation show {operation}",
    ):
        assert expected in result.out


async def test_json_is_not_mixed_with_progress(stage: Stage, shell: Shell) -> None:
    result = await watched(stage, shell, "-o", "json")
    assert result.data["cluster"]["name"] == "demo"
    assert result.data["operation"]["goal"] == "GOAL_LAUNCH"
    assert "is Active after" in result.err


async def test_watching_survives_a_restart_of_the_gateway(stage: Stage, shell: Shell) -> None:
    path = shell.file("cluster.yaml", CLUSTER_FILE)

    async def restart() -> None:
        while not stage.operations.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await stage.stop_gateway()
        await stage.start_gateway()

    async with asyncio.timeout(15), asyncio.TaskGroup() as group:
        group.create_task(Story(stage, pace=4).play())
        group.create_task(restart())
        command = group.create_task(shell("cluster", "create", "-f", path, "--watch"))
    result = command.result()
    assert result.code == 0
    assert len(stage.operations.asked) == 2
    assert "connection lost, trying again" in result.out
    assert result.out.count("Create servers ") == 3


async def test_a_dry_run_shows_what_was_chosen_and_stores_nothing(
    stage: Stage, shell: Shell
) -> None:
    short = "\n".join(
        line
        for line in CLUSTER_FILE.splitlines()
        if not line.startswith(("version", "image", "network"))
    )
    path = shell.file("short.yaml", short)
    result = await shell("cluster", "create", "-f", path, "--name", "other", "--dry-run")
    assert result.code == 0
    assert "other  fake 0.1  can be launched" in result.out
    assert result.err.splitlines() == [
        "chosen: version 0.1, the newest of fake",
        "chosen: image fake-0.1",
        "chosen: network net",
    ]
    assert not stage.memory.clusters


async def test_a_bad_field_is_named_with_its_line_and_nothing_is_sent(
    stage: Stage, shell: Shell
) -> None:
    path = shell.file("bad.yaml", CLUSTER_FILE.replace("flavor: tiny", "flavour: tiny"))
    result = await shell("cluster", "create", "-f", path, "--watch")
    assert result.code == 2
    assert result.err == (
        f"savanna: {path}:13: unknown field 'node_groups[1].flavour'; did you mean 'flavor'?\n"
    )
    assert not stage.plugin.asked
    assert not stage.memory.clusters


async def test_what_savanna_refuses_is_named_with_its_line_too(stage: Stage, shell: Shell) -> None:
    text = CLUSTER_FILE.replace("tiny", "huge").replace("[namenode]", "[namenod]")
    path = shell.file("bad.yaml", text)
    result = await shell("cluster", "create", "-f", path)
    assert result.code == 2
    assert f"{path}:13: node_groups[1].flavor: Requested flavor 'huge' not found" in result.err
    assert f"{path}:10: node_groups[0].processes: Plugin doesn't support" in result.err
    assert not stage.memory.clusters


async def test_a_shown_cluster_has_hosts_pages_and_next_commands(
    stage: Stage, shell: Shell
) -> None:
    await active(stage, shell)
    result = await shell("cluster", "show", "demo")
    assert result.out.startswith("demo  Active  changed ")
    for expected in (
        f"HDFS Web UI  {PAGE}",
        "demo-w-1   ready   198.18.0.4   datanode",
        "savanna cluster scale demo w=3 --watch",
    ):
        assert expected in result.out
    shown = await shell("cluster", "show", "demo", "-o", "yaml")
    assert yaml.safe_load(shown.out)["node_groups"][1]["instances"][0]["management_ip"]


async def test_clusters_are_listed(stage: Stage, shell: Shell) -> None:
    empty = await shell("cluster", "list")
    assert (empty.code, empty.out) == (0, "")
    assert "there is no cluster yet" in empty.err
    await active(stage, shell)
    assert "demo   Active   3       fake 0.1" in (await shell("cluster", "list")).out
    listed = await shell("cluster", "list", "-o", "json")
    assert [each["name"] for each in listed.data["clusters"]] == ["demo"]


async def test_a_scale_names_groups_and_counts(stage: Stage, shell: Shell) -> None:
    await active(stage, shell)
    result = await shell("cluster", "scale", "demo", "w=4")
    assert result.out.startswith("scale of demo has begun")
    [scale] = stage.memory.scales
    assert [(each.name, each.count) for each in scale.node_groups] == [("w", 4)]
    wrong = await shell("cluster", "scale", "demo", "w")
    assert wrong.code == 2
    assert "GROUP=COUNT" in wrong.err


async def test_a_delete_without_yes_is_refused_when_nobody_can_be_asked(
    stage: Stage, shell: Shell
) -> None:
    cluster = await active(stage, shell)
    result = await shell("cluster", "delete", "demo")
    assert (result.code, cluster.state) == (2, Cluster.STATE_ACTIVE)
    assert "add --yes" in result.err
    result = await shell("cluster", "delete", "demo", "--yes", "-o", "json")
    assert result.code == 0
    assert result.data["operation"]["goal"] == "GOAL_DELETE"


async def test_an_operation_is_shown_as_a_tree(stage: Stage, shell: Shell) -> None:
    await watched(stage, shell)
    [operation] = stage.memory.operations
    result = await shell("operation", "show", operation)
    lines = result.out.splitlines()
    assert lines[0] == "launch of demo  succeeded  3.5 s  14 steps on 2 engines"
    assert "├── ✓ Create servers  3/3  0.2 s" in lines
    assert "│   └── ✓ demo-w-1     1.3 s  engine-2  2 tries" in lines
    assert any("failed  engine-1  0.1 s  COMMAND_FAILED" in each for each in lines)
    assert len((await shell("operation", "show", operation, "-o", "json")).data["tasks"]) == 14


async def test_an_operation_whose_steps_were_removed_says_until_when_they_were_kept(
    stage: Stage, shell: Shell
) -> None:
    await watched(stage, shell)
    [operation] = stage.memory.operations.values()
    stage.operations.tasks[operation.id] = []
    stage.memory.journal.clear()
    operation.purge_time.FromJsonString("2026-03-31T23:59:00Z")
    result = await shell("operation", "show", operation.id)
    lines = result.out.splitlines()
    assert lines[0].startswith("launch of demo  succeeded  3.5 s")
    assert lines[1] == "└── it had 13 steps; they were kept until 2026-03-31 23:59 UTC"
    again = await shell("operation", "watch", operation.id)
    assert (again.code, "is Active after 3.5 s" in again.out) == (0, True)


async def test_operations_are_listed_watched_and_cancelled(stage: Stage, shell: Shell) -> None:
    await watched(stage, shell, fails=True)
    [operation] = stage.memory.operations
    listed = await shell("operation", "list", "--cluster", "demo")
    assert f"{operation}   launch   demo      failed" in listed.out
    again = await shell("operation", "watch", operation)
    assert again.code == 1
    assert "launch of demo failed after 2.1 s" in again.out
    cancelled = await shell("operation", "cancel", operation)
    assert "launch of demo is asked to end" in cancelled.out
    assert stage.memory.operations[operation].cancel_requested


async def test_a_failed_launch_is_tried_again_and_rolled_back(stage: Stage, shell: Shell) -> None:
    await watched(stage, shell, fails=True)
    [operation] = stage.memory.operations
    again = await shell("operation", "retry", operation)
    assert "launch of demo has begun" in again.out
    second = list(stage.memory.operations)[-1]
    assert f"savanna operation watch {second}" in again.out
    refused = await shell("operation", "retry", second)
    assert (refused.code, "has not ended" in refused.err) == (2, True)
    back = await shell("operation", "rollback", operation)
    assert "way back of the launch of demo has begun" in back.out


async def test_users_choose_what_becomes_of_a_failure(stage: Stage, shell: Shell) -> None:
    path = shell.file("cluster.yaml", CLUSTER_FILE)
    begun = await shell("cluster", "create", "-f", path, "--on-failure", "keep")
    assert begun.code == 0, begun.err
    [operation] = stage.memory.operations.values()
    assert operation.on_failure == ON_FAILURE_KEEP
    serve(stage.memory.clusters[operation.cluster_id])
    scaled = await shell("cluster", "scale", "demo", "w=3", "--on-failure", "continue")
    assert scaled.code == 0, scaled.err
    assert list(stage.memory.operations.values())[-1].on_failure == ON_FAILURE_CONTINUE
    wrong = await shell("cluster", "scale", "demo", "w=3", "--on-failure", "pray")
    assert "'rollback', 'keep', 'continue'" in wrong.err


async def test_what_is_under_way_and_until_when_is_shown(stage: Stage, shell: Shell) -> None:
    await shell.launch()
    [operation] = stage.memory.operations.values()
    stage.memory.clusters[operation.cluster_id].operation_id = operation.id
    operation.deadline.FromSeconds(int(time.time()) + 7260)
    shown = await shell("cluster", "show", "demo")
    assert re.search(r"launch of demo, begun \d+ s ago, deadline in 2 h 0\d min", shown.out)
    assert "in 2 h 0" in (await shell("operation", "show", operation.id)).out
    operation.deadline.FromSeconds(1)
    assert "deadline passed" in (await shell("cluster", "show", "demo")).out


async def test_what_is_not_there_exits_with_3(shell: Shell) -> None:
    for words in (
        ("cluster", "show", "nope"),
        ("cluster", "delete", "nope", "--yes"),
        ("cluster", "ssh", "nope"),
        ("operation", "show", "nope"),
        ("operation", "watch", "nope"),
        ("job", "show", "nope"),
        ("plugin", "show", "nope"),
        ("template", "show", "nope"),
    ):
        result = await shell(*words)
        assert result.code == 3, words
        assert result.err.startswith("savanna: "), words


SSH = """\
#!/bin/sh
key=$2
stat -c %a "$key" >"$OUT/mode"
cat "$key" >"$OUT/key"
for word in "$@"; do
    case $word in UserKnownHostsFile=*) cat "${word#*=}" >"$OUT/known_hosts" ;; esac
done
echo "$@" >"$OUT/words"
exit 7
"""


async def test_ssh_has_key_and_pinned_host_key_only_while_it_runs(
    stage: Stage, shell: Shell, tmp_path: Path
) -> None:
    await active(stage, shell)
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    shell.environ |= {"PATH": f"{program.parent}:/usr/bin:/bin", "OUT": str(tmp_path)}
    result = await shell("cluster", "ssh", "demo", "w-1", "--", "uptime", "-p")
    assert result.code == 7
    assert (tmp_path / "mode").read_text() == "600\n"
    assert (tmp_path / "key").read_text() == "PRIVATE\n"
    assert (tmp_path / "known_hosts").read_text() == "198.18.0.4 ssh-ed25519 AAAAC3host\n"
    words = (tmp_path / "words").read_text().split()
    assert words[-3:] == ["savanna@198.18.0.4", "uptime", "-p"]
    assert "StrictHostKeyChecking=yes" in words
    assert not (tmp_path / words[1]).exists()
    assert (await shell("cluster", "ssh", "demo", "--", "ls", "--", "-x")).code == 7
    words = (tmp_path / "words").read_text().split()
    assert words[-4:] == ["savanna@198.18.0.2", "ls", "--", "-x"]
    without = await shell("cluster", "ssh", "demo", "w-1", "uptime")
    assert without.code == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x-9", "demo-m-0, demo-w-0, demo-w-1"), ("0", "the end of several names")],
)
async def test_ssh_says_which_hosts_there_are(
    stage: Stage, shell: Shell, name: str, expected: str
) -> None:
    await active(stage, shell)
    result = await shell("cluster", "ssh", "demo", name)
    assert result.code == 2
    assert expected in result.err


async def test_a_terminal_gets_a_picture_that_fits(stage: Stage, shell: Shell) -> None:
    await watched(stage, shell)
    progress = Progress("demo")
    stream = io.StringIO()
    to = Console(file=stream, force_terminal=True, width=100, height=30, highlight=False)
    async with live.screen(to, progress, "Launching demo") as screen:
        for entry in stage.memory.journal:
            happening = progress.feed(entry)
            if happening is not None:
                screen.happened(happening)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    lines = [each for each in re.split(r"[\r\n]+", plain) if each.strip()]
    assert max(map(len, lines)) <= 100
    last = lines[lines.index(next(each for each in reversed(lines) if "Launching" in each)) :]
    assert last[0].rstrip().endswith("Active   3.5 s")
    assert "✓  Create servers" in plain
    assert "3/3     0.2 s" in plain
    assert lines[-1].startswith("✓  demo-w-1  Start the following process(es): datanode")


async def test_interrupting_a_watch_says_that_the_operation_goes_on(
    stage: Stage, shell: Shell
) -> None:
    out, err = io.StringIO(), io.StringIO()
    path = shell.file("cluster.yaml", CLUSTER_FILE)
    words = ("cluster", "create", "-f", path, "--watch")
    command = asyncio.create_task(run(words, out=out, err=err, environ=shell.environ))
    async with asyncio.timeout(5):
        while not stage.operations.asked:
            await asyncio.sleep(0.01)
        command.cancel()
        with pytest.raises(asyncio.CancelledError):
            await command
    [operation] = stage.memory.operations
    assert "the launch of demo goes on" in err.getvalue()
    assert f"savanna operation watch {operation}" in err.getvalue()
