"""``savanna plugin``, ``template``, ``image``, ``flavor``, and how the command finds Savanna."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import CLUSTER_FILE, Shell
from tests.unit.client.stage import staged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.client.stage import Stage

WORKER = "name: worker\nplugin: fake\nversion: 0.1\nflavor: tiny\nprocesses: [datanode]\n"
TOKENS = """\
- {token: sesame, user_id: u, user_name: ann, project_id: p, project_name: p, roles: [member]}
"""


async def test_plugins_are_listed_and_shown(shell: Shell) -> None:
    listed = await shell("plugin", "list")
    assert listed.out == "NAME   TITLE         VERSIONS\nfake   Fake Plugin   0.1\n"
    shown = await shell("plugin", "show", "fake")
    assert "HDFS processes       namenode, datanode" in shown.out
    assert "dfs.replication" not in shown.out
    assert "dfs.replication" in (await shell("plugin", "show", "fake", "--all")).out
    data = (await shell("plugin", "show", "fake", "-o", "json")).data
    assert data["versions"][0]["required_image_tags"] == ["fake", "0.1"]


async def test_the_cloud_is_shown_by_its_parts(shell: Shell) -> None:
    assert "fake-0.1   0.1, fake   ubuntu" in (await shell("image", "list")).out
    assert "plain" in (await shell("image", "list", "--all")).out
    assert "small   1      1024 MiB   10 GiB" in (await shell("flavor", "list")).out
    data = (await shell("network", "list", "-o", "json")).data
    assert [each["name"] for each in data["networks"]] == ["net"]


async def test_templates_are_stored_used_and_removed(stage: Stage, shell: Shell) -> None:
    created = await shell("template", "create", "-f", shell.file("worker.yaml", WORKER))
    assert created.out.startswith("node group template worker is stored as ")
    text = CLUSTER_FILE.replace(
        "    flavor: tiny\n    processes: [datanode]\n", "    template: worker\n"
    )
    path = shell.file("template.yaml", text.replace("name: demo", "name: small"))
    assert (await shell("template", "create", "-f", path)).code == 0
    listed = await shell("template", "list")
    assert "small    cluster      fake     0.1       1 m, 2 w" in listed.out
    assert "worker   node group   fake     0.1       datanode" in listed.out
    assert "w       2       1        datanode" in (await shell("template", "show", "small")).out
    used = shell.file("cluster.yaml", "name: demo\ntemplate: small\n")
    assert (await shell("cluster", "create", "-f", used)).code == 0
    [cluster] = stage.memory.clusters.values()
    assert [each.count for each in cluster.node_groups] == [1, 2]
    refused = await shell("template", "delete", "small")
    assert (refused.code, "in use" in refused.err or "used" in refused.err) == (2, True)


async def test_a_template_is_removed_by_name_and_kind(shell: Shell) -> None:
    for text in (WORKER, CLUSTER_FILE.replace("name: demo", "name: worker", 1)):
        assert (await shell("template", "create", "-f", shell.file("t.yaml", text))).code == 0
    both = await shell("template", "delete", "worker")
    assert both.code == 2
    assert "add --kind" in both.err
    for kind in ("cluster", "node-group"):
        assert (await shell("template", "delete", "worker", "--kind", kind)).code == 0
    assert (await shell("template", "delete", "worker")).code == 3


async def test_a_bad_template_is_named_with_its_line(shell: Shell) -> None:
    path = shell.file("worker.yaml", WORKER.replace("datanode", "dataknot"))
    result = await shell("template", "create", "-f", path)
    assert result.code == 2
    assert f"{path}:5: processes: Plugin doesn't support" in result.err


async def test_a_name_that_is_taken_is_refused(shell: Shell) -> None:
    path = shell.file("worker.yaml", WORKER)
    await shell("template", "create", "-f", path)
    result = await shell("template", "create", "-f", path)
    assert result.code == 2
    assert "worker" in result.err


async def test_nobody_at_the_address_exits_with_4_and_says_what_to_do(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "")
    result = await shell("--address", f"unix:{tmp_path}/nobody.sock", "cluster", "list")
    assert result.code == 4
    assert f"savanna: Savanna does not answer at unix:{tmp_path}/nobody.sock" in result.err
    assert "savanna-all" in result.err
    assert "SAVANNA_ADDRESS" in result.err


async def test_a_missing_token_exits_with_4_and_says_how_to_give_one(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(TOKENS)
    async with staged(tmp_path, auth=f"tokens={tokens}") as stage:
        shell = Shell(tmp_path, stage.address)
        refused = await shell("cluster", "list")
        assert refused.code == 4
        assert "SAVANNA_TOKEN" in refused.err
        assert (await shell("--token", "sesame", "cluster", "list")).code == 0
        shell.environ["SAVANNA_TOKEN"] = "sesame"
        assert (await shell("cluster", "list")).code == 0
        assert (await shell("--token", "wrong", "cluster", "list")).code == 4


async def test_the_configuration_file_is_read_and_the_environment_wins(
    stage: Stage, shell: Shell
) -> None:
    del shell.environ["SAVANNA_ADDRESS"]
    path = shell.where / ".config" / "savanna" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"address: {stage.address}\ntoken: t\n")
    assert (await shell("plugin", "list")).code == 0
    shell.environ["SAVANNA_ADDRESS"] = f"unix:{shell.where}/nobody.sock"
    assert (await shell("plugin", "list")).code == 4
    assert (await shell("--address", stage.address, "plugin", "list")).code == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("address: x\nadress: y\n", ":2: unknown field 'adress'; did you mean 'address'?"),
        ("token: [a]\n", ":1: 'token' must be text"),
        ("a: b: c\n", ":1: is not YAML"),
    ],
)
async def test_a_bad_configuration_file_is_named_with_its_line(
    shell: Shell, text: str, expected: str
) -> None:
    shell.environ["SAVANNA_CONFIG"] = path = shell.file("config.yaml", text)
    result = await shell("plugin", "list")
    assert result.code == 2
    assert f"{path}{expected}" in result.err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SAVANNA_CERTIFICATE": "me.pem"}, "name the file of the authority too"),
        ({"SAVANNA_AUTHORITY": "/nowhere/ca.pem"}, "/nowhere/ca.pem can not be read"),
        ({"SAVANNA_AUTHORITY": "ca.pem", "SAVANNA_KEY": "me.key"}, "are given together"),
    ],
)
async def test_files_for_tls_that_can_not_be_meant_are_named(
    shell: Shell, variables: dict[str, str], expected: str
) -> None:
    shell.environ.update(variables)
    result = await shell("plugin", "list")
    assert result.code == 2
    assert expected in " ".join(result.err.split())


async def test_help_teaches(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--help",), ("cluster", "create", "--help"), ("job", "run", "-h")):
        assert (await shell(*words)).code == 0
    shown = capsys.readouterr().out
    for expected in ("Exit codes:", "node_groups:", "savanna job run --cluster demo"):
        assert expected in shown


async def test_an_unknown_word_is_a_usage_error(shell: Shell) -> None:
    result = await shell("cluster", "lst")
    assert result.code == 2
    assert "No such command 'lst'" in result.err
