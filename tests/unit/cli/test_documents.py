"""Files: what users write, and how mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from savanna.cluster.v1.template_pb2 import ClusterTemplate, NodeGroupTemplate
from savanna_cli import forms
from savanna_cli.documents import DocumentError
from tests.unit.cli.conftest import CLUSTER_FILE

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def write(where: Path, text: str) -> Path:
    path = where / "cluster.yaml"
    path.write_text(text)
    return path


def test_short_names_reach_the_fields_of_the_contract(tmp_path: Path) -> None:
    cluster, _ = forms.read_cluster(write(tmp_path, CLUSTER_FILE))
    assert (cluster.plugin_name, cluster.plugin_version) == ("fake", "0.1")
    worker = cluster.node_groups[1]
    assert (worker.count, worker.spec.flavor_id) == (2, "tiny")
    assert list(worker.spec.node_processes) == ["datanode"]
    assert worker.spec.node_configs.sections["HDFS"].values["dfs.replication"].number == 2


def test_the_names_of_the_contract_may_be_written_too(tmp_path: Path) -> None:
    text = "plugin_name: fake\nnode_groups: [{name: a, volumes_per_node: 2, flavor_id: x}]\n"
    cluster, _ = forms.read_cluster(write(tmp_path, text))
    assert cluster.plugin_name == "fake"
    assert cluster.node_groups[0].spec.volumes_per_node == 2


def test_times_are_numbers_of_seconds(tmp_path: Path) -> None:
    text = "node_groups: [{name: a, node_policy: {min_ready: 2, grace: %s}}]\n"
    cluster, _ = forms.read_cluster(write(tmp_path, text % "1.5"))
    policy = cluster.node_groups[0].spec.node_policy
    assert (policy.min_ready, policy.grace.ToMilliseconds()) == (2, 1500)
    with pytest.raises(DocumentError, match="must be a number of seconds"):
        forms.read_cluster(write(tmp_path, text % "soon"))


@pytest.mark.parametrize("written", ["4.10", '"4.10"', "'4.10'"])
def test_a_version_counts_as_it_is_written(tmp_path: Path, written: str) -> None:
    cluster, _ = forms.read_cluster(write(tmp_path, f"version: {written}\n"))
    assert cluster.plugin_version == "4.10"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nflavour: b\n", ":2: unknown field 'flavour'"),
        ("node_groups:\n  - nmae: a\n", ":2: unknown field 'node_groups[0].nmae'; did you mean"),
        ("node_groups:\n  - name: a\n    count: two\n", ":3: 'node_groups[0].count' must be a"),
        ("node_groups: 3\n", ":1: 'node_groups' must be a list"),
        ("name: a\nname: b\n", ":2: 'name' is written twice"),
        ("name: a\nid: b\n", ":2: unknown field 'id'"),
        ("name: [a]\n", ":1: 'name' must be a single value"),
        ("configs:\n  Spark: 3\n", ":2: 'configs.Spark' must be a mapping"),
        ("configs: {Spark: {a: null}}\n", ":1: 'configs.Spark.a' must be text, a number"),
        ("name: 'a\n", ":2: is not YAML"),
        ("- a\n", ":1: the file must be a mapping"),
        ("", "is empty; write the fields of the Cluster"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DocumentError) as caught:
        forms.read_cluster(path)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="there is no such file"):
        forms.read_cluster(tmp_path / "nope.yaml")


def test_the_line_of_a_field_is_known_afterwards(tmp_path: Path) -> None:
    path = write(tmp_path, CLUSTER_FILE)
    _, document = forms.read_cluster(path)
    places = {
        "node_groups[1].spec.flavor_id": (13, "node_groups[1].flavor"),
        "node_groups[1].node_configs.HDFS.dfs.replication": (
            17,
            "node_groups[1].configs.HDFS.dfs.replication",
        ),
        "node_groups[0].spec.volumes_size": (7, "node_groups[0].spec.volumes_size"),
        "default_image_id": (4, "image"),
    }
    for field, (line, written) in places.items():
        assert document.place_of(field) == (f"{path}:{line}", written)
    assert document.place_of("domain_name") == (str(path), "domain_name")


def test_a_template_with_node_groups_is_of_a_cluster() -> None:
    whole, _ = forms.read_template(EXAMPLES / "spark-template.yaml")
    assert isinstance(whole, ClusterTemplate)
    assert whole.node_groups[1].node_group_template_id == "spark-worker"
    part, _ = forms.read_template(EXAMPLES / "spark-worker.yaml")
    assert isinstance(part, NodeGroupTemplate)
    assert part.spec.node_configs.sections["Spark"].values["Worker memory"].text == "1g"


def test_the_example_of_the_help_can_be_read(tmp_path: Path) -> None:
    lines = forms.CLUSTER_HELP.splitlines()
    body = [line[2:] for line in lines if line.startswith("  ")]
    shown, _ = forms.read_cluster(write(tmp_path, "\n".join(body)))
    assert [each.name for each in shown.node_groups] == ["master", "worker"]
    shipped, _ = forms.read_cluster(EXAMPLES / "spark.yaml")
    assert [each.spec for each in shipped.node_groups] == [each.spec for each in shown.node_groups]
