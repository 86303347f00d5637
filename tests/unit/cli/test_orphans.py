"""``savanna orphans``: listed for people and programs, removed with a word for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.orphan_pb2 import Orphan
from tests.unit.cli.conftest import Shell
from tests.unit.client.stage import staged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.client.stage import Stage

TOKENS = """\
- {token: sesame, user_id: u, user_name: ann, project_id: p, project_name: p, roles: [member]}
"""


def leave(stage: Stage, *names: str) -> None:
    for name in names:
        stage.cloud.leave(
            name,
            name=f"demo-{name}",
            cluster_id="c1",
            project_id="p1",
            reason=Orphan.REASON_CLUSTER_UNKNOWN,
        )


async def test_orphans_are_listed(stage: Stage, shell: Shell) -> None:
    leave(stage, "s1", "s2")
    listed = await shell("orphans", "list")
    head, first, second = listed.out.splitlines()
    assert head.split() == ["ID", "NAME", "CLUSTER", "PROJECT", "MADE", "WHY"]
    assert first.startswith("s1   demo-s1   c1        p1        ")
    assert first.endswith(" d ago   its cluster is gone")
    assert second.startswith("s2   demo-s2")
    assert "savanna orphans clean" in listed.err
    data = (await shell("orphans", "list", "-o", "json")).data
    assert [each["id"] for each in data["orphans"]] == ["s1", "s2"]
    assert data["orphans"][0]["reason"] == "REASON_CLUSTER_UNKNOWN"


async def test_where_nothing_was_left_nothing_is_to_be_done(stage: Stage, shell: Shell) -> None:
    nothing = "the cloud holds nothing of Savanna's that nobody owns\n"
    stage.cloud.foreign_servers = 2
    listed = await shell("orphans", "list")
    assert listed.out == nothing
    assert listed.err == "not counting 2 that other deployments of Savanna made\n"
    cleaned = await shell("orphans", "clean", "--all")
    assert (cleaned.code, cleaned.out) == (0, nothing)


async def test_orphans_are_removed_by_id(stage: Stage, shell: Shell) -> None:
    leave(stage, "s1", "s2", "s3")
    stage.cloud.slow = {"s2"}
    cleaned = await shell("orphans", "clean", "s1", "s2", "gone", "--yes")
    assert cleaned.code == 0
    assert cleaned.out.splitlines() == [
        "s1 (demo-s1) is removed",
        "s2 (demo-s2) is being removed; ask again: savanna orphans list",
        "gone is not in the cloud, or not any more",
        "1 removed, 1 being removed, 1 not there",
    ]
    assert [each.id for each in stage.cloud.orphans] == ["s2", "s3"]


async def test_all_orphans_are_removed_but_those_that_can_not_be(
    stage: Stage, shell: Shell
) -> None:
    leave(stage, "s1", "s2", "s3")
    stage.cloud.stuck, stage.cloud.alive = {"s1"}, {"s2"}
    cleaned = await shell("orphans", "clean", "--all", "--yes")
    assert cleaned.code == 1
    assert cleaned.out == "s3 (demo-s3) is removed\n1 removed, 2 not removed\n"
    assert "savanna: s1 (demo-s1) was not removed: no engine removes it" in cleaned.err
    assert "the cloud does not let go of s1" in cleaned.err
    assert "savanna: s2 (demo-s2) was not removed: server s2 is no orphan" in cleaned.err


async def test_programs_are_told_what_became_of_each(stage: Stage, shell: Shell) -> None:
    leave(stage, "s1", "s2")
    stage.cloud.alive = {"s2"}
    cleaned = await shell("orphans", "clean", "--all", "--yes", "-o", "json")
    assert cleaned.code == 1
    assert cleaned.data["orphans"] == [
        {"id": "s1", "outcome": "CLEAN_OUTCOME_REMOVED", "error": ""},
        {
            "id": "s2",
            "outcome": "CLEAN_OUTCOME_UNSPECIFIED",
            "error": "server s2 is no orphan",
        },
    ]


async def test_nothing_is_removed_unasked(stage: Stage, shell: Shell) -> None:
    leave(stage, "s1")
    for words in (["--all"], ["s1"], [], ["s1", "--all", "--yes"]):
        refused = await shell("orphans", "clean", *words)
        assert refused.code == 2, refused.err
        assert "--all" in refused.err or "add --yes" in refused.err
    assert [each.id for each in stage.cloud.orphans] == ["s1"]


async def test_only_operators_are_let_in(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with staged(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as stage:
        shell = Shell(tmp_path, stage.address)
        for words in (["list"], ["clean", "--all"], ["clean", "s1", "--yes"]):
            refused = await shell("--token", "sesame", "orphans", *words)
            assert refused.code == 4
            assert "needs the role admin" in refused.err
