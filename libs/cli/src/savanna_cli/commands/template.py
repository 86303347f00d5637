"""``savanna template``: descriptions that clusters are made from again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from savanna.api.v1 import catalog_service_pb2 as pb
from savanna.cluster.v1.template_pb2 import ClusterTemplate, NodeGroupTemplate
from savanna_cli import forms, output
from savanna_cli.commands.files import ReadableFile, reading
from savanna_cli.commands.style import CONTEXT, shown
from savanna_cli.failures import Refusal
from savanna_cli.output import Form
from savanna_kit import errors

if TYPE_CHECKING:
    from pathlib import Path

    from savanna.cluster.v1.template_pb2 import NodeGroupSpec
    from savanna_cli.session import Session
    from savanna_client import Client

Template = ClusterTemplate | NodeGroupTemplate
_KINDS = {"cluster": ClusterTemplate, "node-group": NodeGroupTemplate}


@click.group(context_settings=CONTEXT)
def template() -> None:
    """Templates of clusters and of node groups."""


@template.command("list")
@shown
@click.pass_obj
async def list_templates(session: Session, form: Form) -> None:
    """List the templates of clusters and of node groups."""
    async with session.connect() as client:
        clusters = await client.whole(
            client.catalog.ListClusterTemplates, pb.ListClusterTemplatesRequest()
        )
        groups = await client.whole(
            client.catalog.ListNodeGroupTemplates, pb.ListNodeGroupTemplatesRequest()
        )
    if form is not Form.TABLE:
        data = {
            "cluster_templates": [output.as_data(each) for each in clusters.templates],
            "node_group_templates": [output.as_data(each) for each in groups.templates],
        }
        output.show_data(session.out, form, data)
        return
    found: list[Template] = [*clusters.templates, *groups.templates]
    heads = ("name", "kind", "plugin", "version", "holds", "id")
    output.show_table(session.out, heads, [_row(each) for each in found])


@template.command("show")
@click.argument("name")
@click.option("--kind", type=click.Choice([*_KINDS]), help="When both kinds have the name.")
@shown
@click.pass_obj
async def show_template(session: Session, name: str, kind: str | None, form: Form) -> None:
    """Show a template by name or id."""
    async with session.connect() as client:
        found = await _find(client, name, kind)
    if form is not Form.TABLE:
        session.show_message(form, found)
        return
    _tell(session, found)


@template.command("create", short_help="Store a template from a file.")
@click.option("-f", "--file", "path", type=ReadableFile(), required=True, help="The template.")
@shown
@click.pass_obj
async def create_template(session: Session, path: Path, form: Form) -> None:
    """Store a template from a file.

    A file with node_groups is the template of a cluster, and is written like the file of one (see
    savanna cluster create --help). Any other is the template of a node group:

    \b
      name: spark-worker
      plugin: spark
      version: "4.3"
      flavor: host.small
      processes: [worker]
    """
    wanted, document = forms.read_template(path)
    async with session.connect() as client:
        with reading(document):
            stored = await _create(client, wanted)
    if form is not Form.TABLE:
        session.show_message(form, stored)
        return
    session.out.print(f"{_kind(stored)} template {stored.name} is stored as {stored.id}")


@template.command("delete")
@click.argument("names", nargs=-1, required=True)
@click.option("--kind", type=click.Choice([*_KINDS]), help="When both kinds have the name.")
@click.pass_obj
async def delete_templates(session: Session, names: tuple[str, ...], kind: str | None) -> None:
    """Remove templates by name or id."""
    async with session.connect() as client:
        for name in names:
            found = await _find(client, name, kind)
            if isinstance(found, ClusterTemplate):
                request = pb.DeleteClusterTemplateRequest(id=found.id)
                await client.catalog.DeleteClusterTemplate(request)
            else:
                await client.catalog.DeleteNodeGroupTemplate(
                    pb.DeleteNodeGroupTemplateRequest(id=found.id)
                )
            session.out.print(f"{_kind(found)} template {found.name} is removed")


async def _create(client: Client, wanted: Template) -> Template:
    if isinstance(wanted, ClusterTemplate):
        request = pb.CreateClusterTemplateRequest(template=wanted)
        return (await client.catalog.CreateClusterTemplate(request)).template
    answer = await client.catalog.CreateNodeGroupTemplate(
        pb.CreateNodeGroupTemplateRequest(template=wanted)
    )
    return answer.template


async def _find(client: Client, name: str, kind: str | None) -> Template:
    found: list[Template] = []
    if kind != "node-group":
        try:
            request = pb.GetClusterTemplateRequest(id=name)
            found.append((await client.catalog.GetClusterTemplate(request)).template)
        except errors.NotFound:
            pass
    if kind != "cluster":
        try:
            asked = pb.GetNodeGroupTemplateRequest(id=name)
            found.append((await client.catalog.GetNodeGroupTemplate(asked)).template)
        except errors.NotFound:
            pass
    if not found:
        raise errors.NotFound(f"there is no template {name!r}")
    if len(found) > 1:
        raise Refusal(
            f"a cluster template and a node group template are called {name!r}: add --kind"
        )
    return found[0]


def _kind(each: Template) -> str:
    return "cluster" if isinstance(each, ClusterTemplate) else "node group"


def _row(each: Template) -> tuple[str, ...]:
    if isinstance(each, ClusterTemplate):
        holds = ", ".join(f"{group.count} {group.name}" for group in each.node_groups)
    else:
        holds = ", ".join(each.spec.node_processes)
    return each.name, _kind(each), each.plugin_name, each.plugin_version, holds, each.id


def _tell(session: Session, found: Template) -> None:
    head = Text.assemble((found.name, "bold"), f"  {_kind(found)} template")
    session.out.print(head)
    pairs = [
        ("id", found.id),
        ("description", found.description),
        ("plugin", f"{found.plugin_name} {found.plugin_version}"),
    ]
    if isinstance(found, ClusterTemplate):
        pairs += [("image", found.default_image_id), ("network", found.neutron_management_network)]
    else:
        pairs += _spec(found.spec)
    output.show(session.out, output.facts(pairs, indent=2))
    if isinstance(found, ClusterTemplate) and found.node_groups:
        session.out.print()
        rows = [
            (each.name, str(each.count), each.spec.flavor_id, ", ".join(each.spec.node_processes))
            for each in found.node_groups
        ]
        output.show_table(session.out, ("group", "count", "flavor", "processes"), rows)


def _spec(spec: NodeGroupSpec) -> list[tuple[str, str]]:
    return [
        ("flavor", spec.flavor_id),
        ("image", spec.image_id),
        ("processes", ", ".join(spec.node_processes)),
    ]
