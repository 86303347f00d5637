"""``savanna cluster``: launching, looking at, scaling, entering and removing clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from savanna.api.v1 import cluster_service_pb2 as pb
from savanna.cluster.v1.cluster_pb2 import NodeGroup
from savanna_cli import choices, forms, output, ssh, watching
from savanna_cli.commands import cluster_views as views
from savanna_cli.commands.files import ReadableFile, reading
from savanna_cli.commands.style import CONTEXT, WithCommandBehind, on_failure, shown, watched
from savanna_cli.failures import Refusal
from savanna_cli.output import Form

if TYPE_CHECKING:
    from pathlib import Path

    from savanna.operation.v1.operation_pb2 import OnFailure
    from savanna_cli.session import Session


@click.group(context_settings=CONTEXT)
def cluster() -> None:
    """Clusters: launch, look, scale, log in, remove."""


@cluster.command(
    "create",
    short_help="Launch a cluster from a file.",
    help=f"""Launch a cluster from a file.

\b
  savanna cluster create -f cluster.yaml --watch

{forms.CLUSTER_HELP}""",
)
@click.option("-f", "--file", "path", type=ReadableFile(), required=True, help="The cluster.")
@click.option("--name", help="Name of the cluster, instead of the file's.")
@click.option("--dry-run", is_flag=True, help="Check and show it; store nothing.")
@on_failure
@watched
@shown
@click.pass_obj
async def create_cluster(
    session: Session,
    path: Path,
    name: str | None,
    dry_run: bool,
    on_failure: OnFailure.ValueType,
    watch: bool,
    form: Form,
) -> int:
    """Launch a cluster; its help is given above."""
    wanted, document = forms.read_cluster(path)
    wanted.name = name or wanted.name
    async with session.connect() as client:
        with reading(document):
            chosen = await choices.complete(client, wanted)
            request = pb.CreateClusterRequest(
                cluster=wanted, validate_only=dry_run, on_failure=on_failure
            )
            answer = await client.clusters.CreateCluster(request)
        for each in chosen:
            session.say(f"chosen: {each}", style="dim")
        if dry_run:
            if form is Form.TABLE:
                views.tell_plan(session, answer.cluster)
            else:
                session.show_message(form, answer)
            return 0
        return await watching.begun(
            session, client, answer, answer.operation, watch=watch, form=form
        )


@cluster.command("list")
@shown
@click.pass_obj
async def list_clusters(session: Session, form: Form) -> None:
    """List the clusters, oldest first."""
    async with session.connect() as client:
        answer = await client.whole(client.clusters.ListClusters, pb.ListClustersRequest())
    if form is not Form.TABLE:
        session.show_message(form, answer)
        return
    if not answer.clusters:
        session.say("there is no cluster yet; savanna cluster create --help")
        return
    heads = ("name", "state", "hosts", "plugin", "made", "id")
    rows = [views.row(each, session.now()) for each in answer.clusters]
    output.show_table(session.out, heads, rows)


@cluster.command("show")
@click.argument("name")
@shown
@click.pass_obj
async def show_cluster(session: Session, name: str, form: Form) -> None:
    """Show a cluster by name or id: state, hosts, its own web pages, what to do next."""
    async with session.connect() as client:
        found = (await client.clusters.GetCluster(pb.GetClusterRequest(id=name))).cluster
        changing = await client.operation(found.operation_id) if found.operation_id else None
    if form is not Form.TABLE:
        session.show_message(form, found)
        return
    views.tell(session, found, changing)


@cluster.command("scale")
@click.argument("name")
@click.argument("counts", nargs=-1, required=True, metavar="GROUP=COUNT...")
@on_failure
@watched
@shown
@click.pass_obj
async def scale_cluster(
    session: Session,
    name: str,
    counts: tuple[str, ...],
    on_failure: OnFailure.ValueType,
    watch: bool,
    form: Form,
) -> int:
    """Bring node groups of a cluster to other sizes.

    \b
      savanna cluster scale demo worker=4 --watch

    Hosts that leave hand over their work first.
    """
    groups = [_group(each) for each in counts]
    async with session.connect() as client:
        request = pb.ScaleClusterRequest(id=name, node_groups=groups, on_failure=on_failure)
        answer = await client.clusters.ScaleCluster(request)
        return await watching.begun(
            session, client, answer, answer.operation, watch=watch, form=form
        )


@cluster.command("delete")
@click.argument("names", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Do not ask the hosts to hand over anything.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@watched
@shown
@click.pass_obj
async def delete_clusters(
    session: Session, names: tuple[str, ...], force: bool, yes: bool, watch: bool, form: Form
) -> int:
    """Remove clusters with all that they have; whatever is under way on them is ended."""
    if not yes:
        _ask(session, names)
    code = 0
    async with session.connect() as client:
        begun = []
        for name in names:
            request = pb.DeleteClusterRequest(id=name, force=force)
            begun.append(await client.clusters.DeleteCluster(request))
        for each in begun:
            code |= await watching.begun(
                session, client, each, each.operation, watch=watch, form=form
            )
    return code


@cluster.command("ssh", cls=WithCommandBehind)
@click.argument("name")
@click.argument("instance", required=False, default="", metavar="[HOST] [-- COMMAND...]")
@click.pass_obj
async def ssh_cluster(session: Session, name: str, instance: str, command: tuple[str, ...]) -> int:
    """Log in to a host of a cluster, or run a command on it.

    \b
      savanna cluster ssh demo                     the first host
      savanna cluster ssh demo worker-1            a host, by the end of its name
      savanna cluster ssh demo worker-1 -- uptime  a command on it
      savanna cluster ssh demo -- uptime           a command on the first host

    The exit code is that of the command, or 255 when the host did not answer. The key is kept for
    as long as ssh runs; the host's own key is known, so nothing is ever asked.
    """
    async with session.connect() as client:
        access = await client.clusters.GetClusterAccess(pb.GetClusterAccessRequest(id=name))
    chosen = ssh.choose(access, instance)
    return await ssh.log_in(chosen, access.private_key, command, session.environ)


def _group(text: str) -> NodeGroup:
    name, separator, count = text.partition("=")
    if not (name and separator and count.isdecimal()):
        raise Refusal(f"{text!r} is not of the form GROUP=COUNT, for example worker=4")
    return NodeGroup(name=name, count=int(count))


def _ask(session: Session, names: tuple[str, ...]) -> None:
    if not session.asks:
        raise Refusal("nobody is there to be asked whether to remove: add --yes")
    click.confirm(f"Remove {', '.join(names)} and everything on it?", abort=True, err=True)
