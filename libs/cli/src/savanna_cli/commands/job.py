"""``savanna job``: running programs on clusters, and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from savanna.api.v1 import cluster_service_pb2, job_service_pb2
from savanna.job.v1.job_pb2 import Job, OutputChunk
from savanna_cli import output, programs
from savanna_cli.commands import job_views as views
from savanna_cli.commands.files import ReadableFile
from savanna_cli.commands.style import CONTEXT, shown
from savanna_cli.failures import FAILED, Refusal
from savanna_cli.output import Form

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from savanna_cli.session import Session
    from savanna_client import Client

pb = job_service_pb2
_TYPES = ("PySpark", "Spark", "Shell")
_MAIN_CLASS = "edp.java.main_class"


@click.group(context_settings=CONTEXT)
def job() -> None:
    """Jobs: run programs on clusters, read what they write."""


@job.command("run", short_help="Run a program on a cluster.")
@click.option("--cluster", required=True, help="Where to run it, by name or id.")
@click.option("--main", "main", type=ReadableFile(), help="The program: a .py, .jar or .sh file.")
@click.option("--lib", "libs", type=ReadableFile(), multiple=True, help="A file put beside it.")
@click.option("--type", "kind", type=click.Choice(_TYPES), help="When the name does not tell.")
@click.option("--class", "main_class", help="The class of a jar whose main method is run.")
@click.option("--conf", "confs", multiple=True, metavar="KEY=VALUE", help="A property of the run.")
@click.option("--template", help="A stored job template, by name or id, instead of --main.")
@click.option("--logs", is_flag=True, help="Print what it writes until it has ended.")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@shown
@click.pass_obj
async def run_job(
    session: Session,
    cluster: str,
    main: Path | None,
    libs: tuple[Path, ...],
    kind: str | None,
    main_class: str | None,
    confs: tuple[str, ...],
    template: str | None,
    logs: bool,
    args: tuple[str, ...],
    form: Form,
) -> int:
    """Run a program on a cluster.

    \b
      savanna job run --cluster demo --main count.py --logs -- /usr/share/dict/words
      savanna job run --cluster demo --main app.jar --class com.example.App
      savanna job run --cluster demo --main app.py --conf spark.executor.memory=1g

    The files are sent first, each only once. What stands behind -- is given to the program. With
    --logs its output is printed as it comes, and the exit code is 1 unless it succeeded.
    """
    if (main is None) == (template is None):
        raise Refusal("give either --main FILE or --template NAME")
    wanted = _wanted(confs, main_class, args)
    async with session.connect() as client:
        place = cluster_service_pb2.GetClusterRequest(id=cluster)
        wanted.cluster_id = (await client.clusters.GetCluster(place)).cluster.id
        wanted.job_template_id = template or await _bring(session, client, main, libs, kind)
        answer = await client.jobs.RunJob(pb.RunJobRequest(job=wanted))
        if form is not Form.TABLE:
            session.show_message(form, answer)
        if logs:
            return await _follow(session, client, answer.job, form)
    if form is Form.TABLE:
        session.out.print(f"job {answer.job.id} is sent to {cluster}")
        session.out.print(f"  savanna job output {answer.job.id} --follow")
    return 0


@job.command("list")
@click.option("--cluster", "name", help="Only those of this cluster, by name or id.")
@shown
@click.pass_obj
async def list_jobs(session: Session, name: str | None, form: Form) -> None:
    """List jobs, oldest first."""
    async with session.connect() as client:
        cluster_id = ""
        if name:
            place = cluster_service_pb2.GetClusterRequest(id=name)
            cluster_id = (await client.clusters.GetCluster(place)).cluster.id
        request = pb.ListJobsRequest(cluster_id=cluster_id)
        answer = await client.whole(client.jobs.ListJobs, request)
        if form is not Form.TABLE:
            session.show_message(form, answer)
            return
        names = await _names(client)
    heads = ("id", "program", "cluster", "state", "exit", "made", "took")
    output.show_table(
        session.out, heads, [views.row(each, names, session.now()) for each in answer.jobs]
    )


@job.command("show")
@click.argument("id")
@shown
@click.pass_obj
async def show_job(session: Session, id: str, form: Form) -> None:
    """Show a job: state, program, times, exit code."""
    async with session.connect() as client:
        found = (await client.jobs.GetJob(pb.GetJobRequest(id=id))).job
        if form is not Form.TABLE:
            session.show_message(form, found)
            return
        names = await _names(client)
    views.tell(session, found, names)


@job.command("output")
@click.argument("id")
@click.option("--stderr", is_flag=True, help="What it wrote to its standard error instead.")
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@click.pass_obj
async def job_output(session: Session, id: str, stderr: bool, follow: bool) -> None:
    """Print what a job wrote, byte by byte as it did."""
    stream = OutputChunk.STREAM_STDERR if stderr else OutputChunk.STREAM_STDOUT
    async with session.connect() as client:
        if follow:
            async for piece in client.follow_output(id, stream=stream):
                session.write_bytes(piece)
            return
        request = pb.ReadJobOutputRequest(id=id, stream=stream)
        while data := (await client.jobs.ReadJobOutput(request)).data:
            session.write_bytes(data)
            request.offset += len(data)


@job.command("cancel")
@click.argument("id")
@shown
@click.pass_obj
async def cancel_job(session: Session, id: str, form: Form) -> None:
    """Ask for the end of a job; one that has ended stays as it is."""
    async with session.connect() as client:
        answer = await client.jobs.CancelJob(pb.CancelJobRequest(id=id))
    if form is not Form.TABLE:
        session.show_message(form, answer.job)
        return
    session.out.print(f"job {id} is {views.state(answer.job)}")


@job.command("delete")
@click.argument("ids", nargs=-1, required=True)
@click.pass_obj
async def delete_jobs(session: Session, ids: tuple[str, ...]) -> None:
    """Remove jobs and what they wrote; those that run are ended first."""
    async with session.connect() as client:
        for each in ids:
            await client.jobs.DeleteJob(pb.DeleteJobRequest(id=each))
            session.out.print(f"job {each} is removed")


def _wanted(confs: Sequence[str], main_class: str | None, args: Sequence[str]) -> Job:
    wanted = Job()
    for each in confs:
        key, separator, value = each.partition("=")
        if not (key and separator):
            raise Refusal(f"--conf {each!r} is not of the form KEY=VALUE")
        wanted.configs.configs[key].text = value
    if main_class:
        wanted.configs.configs[_MAIN_CLASS].text = main_class
    wanted.configs.args.extend(args)
    return wanted


async def _bring(
    session: Session, client: Client, main: Path | None, libs: Sequence[Path], kind: str | None
) -> str:
    if main is None:
        raise Refusal("give --main FILE")
    program = programs.Program(main, libs, kind or programs.type_of(main))
    return (await programs.bring(client, program, session.say)).id


async def _follow(session: Session, client: Client, begun: Job, form: Form) -> int:
    """Print what a job writes until it has ended; say how it did."""
    session.say(f"job {begun.id} is sent", style="dim")
    async for piece in client.follow_output(begun.id):
        session.write_bytes(piece, form)
    ended = (await client.jobs.GetJob(pb.GetJobRequest(id=begun.id))).job
    if ended.state == Job.STATE_SUCCEEDED:
        session.say(f"job {ended.id} succeeded{views.after(ended, session.now())}")
        return 0
    tail = await _tail(client, ended)
    views.tell_failure(session, ended, tail)
    return FAILED


async def _tail(client: Client, ended: Job) -> str:
    request = pb.ReadJobOutputRequest(
        id=ended.id,
        stream=OutputChunk.STREAM_STDERR,
        offset=max(0, ended.error_size - views.TAIL_BYTES),
    )
    data = (await client.jobs.ReadJobOutput(request)).data
    return "\n".join(data.decode(errors="replace").splitlines()[-views.TAIL_LINES :])


async def _names(client: Client) -> dict[str, str]:
    """Give the names of job templates and clusters by id."""
    templates = await client.whole(client.jobs.ListJobTemplates, pb.ListJobTemplatesRequest())
    clusters = await client.whole(
        client.clusters.ListClusters, cluster_service_pb2.ListClustersRequest()
    )
    names = {each.id: each.name for each in templates.templates}
    return names | {each.id: each.name for each in clusters.clusters}
