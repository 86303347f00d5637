"""How users write clusters and templates: short names of fields, and what a file may not set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.cluster.v1.template_pb2 import ClusterTemplate, NodeGroupTemplate
from savanna_cli.documents import Form, compose, read_document

if TYPE_CHECKING:
    from pathlib import Path

    from savanna_cli.documents import Document

_STORED = frozenset(("id", "project_id", "create_time", "update_time", "revision"))
_KIND = {"plugin": "plugin_name", "version": "plugin_version"}
_WHOLE = {
    **_KIND,
    "image": "default_image_id",
    "network": "neutron_management_network",
    "configs": "cluster_configs",
}
_PACKAGE = "savanna.cluster.v1"

FORMS = {
    f"{_PACKAGE}.Cluster": Form(
        names={**_WHOLE, "template": "cluster_template_id"},
        hidden=_STORED
        | {"state", "status_description", "info", "management_public_key", "operation_id"},
    ),
    f"{_PACKAGE}.NodeGroup": Form(
        names={"template": "node_group_template_id"},
        inside="spec",
        hidden=_STORED | {"instances", "leaving"},
    ),
    f"{_PACKAGE}.ClusterTemplate": Form(names=_WHOLE, hidden=_STORED | {"is_default"}),
    f"{_PACKAGE}.TemplateNodeGroup": Form(
        names={"template": "node_group_template_id"}, inside="spec"
    ),
    f"{_PACKAGE}.NodeGroupTemplate": Form(
        names=_KIND, inside="spec", hidden=_STORED | {"is_default"}
    ),
    f"{_PACKAGE}.NodeGroupSpec": Form(
        names={
            "flavor": "flavor_id",
            "image": "image_id",
            "processes": "node_processes",
            "configs": "node_configs",
        }
    ),
}

CLUSTER_HELP = """\
\b
The file says what the cluster is made of:

\b
  name: demo
  plugin: spark            # savanna plugin list
  version: "4.3"           # the plugin's newest when left out
  image: spark-4           # one with the plugin's tags when left out
  network: private         # the only one when left out
  configs:                 # {section: {name: value}}; savanna plugin show spark
    Spark:
      Master webui port: 8080
  node_groups:
    - name: master
      count: 1
      flavor: host.medium  # savanna flavor list
      processes: [master, history server]
    - name: worker
      count: 2
      flavor: host.medium
      processes: [worker]
      configs:
        Spark:
          Worker memory: 1g

\b
'template: NAME' takes what is left out from a template: a cluster template at the top, a
node group template in a group. Every other field of the contract can be written too, for
example 'node_policy: {min_ready: 1, grace: 30, replace: 2}' in a group: active with one host,
30 seconds after it, while the rest is made; at most two bad hosts are replaced.
"""


def read_cluster(path: Path) -> tuple[Cluster, Document]:
    """Read the file of a cluster.

    Raises ``DocumentError``.
    """
    cluster = Cluster()
    return cluster, read_document(path, cluster, FORMS)


def read_template(path: Path) -> tuple[ClusterTemplate | NodeGroupTemplate, Document]:
    """Read the file of a template: one that has node groups is of a cluster, else of a node group.

    Raises ``DocumentError``.
    """
    root = compose(path)
    names = (
        {key.value for key, _ in root.value if isinstance(key, yaml.ScalarNode)}
        if isinstance(root, yaml.MappingNode)
        else set()
    )
    template = ClusterTemplate() if "node_groups" in names else NodeGroupTemplate()
    return template, read_document(path, template, FORMS)
