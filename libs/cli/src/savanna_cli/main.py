"""``savanna``: putting the command together, and turning its end into an exit code."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from typing import TYPE_CHECKING

import click

from savanna_cli import failures, output
from savanna_cli.commands.cloud import flavor, image, network
from savanna_cli.commands.cluster import cluster
from savanna_cli.commands.job import job
from savanna_cli.commands.operation import operation
from savanna_cli.commands.orphans import orphans
from savanna_cli.commands.plugin import plugin
from savanna_cli.commands.status import status
from savanna_cli.commands.style import CONTEXT
from savanna_cli.commands.template import template
from savanna_cli.documents import DocumentError
from savanna_cli.session import Session
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

_COMMANDS = (cluster, job, operation, template, plugin, image, flavor, network, status, orphans)


class _InOrder(click.Group):
    """Lists its commands in the order in which one meets them, not by letter."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(cls=_InOrder, context_settings=CONTEXT)
@click.version_option(
    package_name="savanna-cli", prog_name="savanna", message="%(prog)s %(version)s"
)
@click.option("--address", help="HOST:PORT or unix:/path.  [default: 127.0.0.1:8387]")
@click.option("--token", help="The token that says who you are.")
@click.option("--project", help="The project to work in.")
@click.pass_context
def root(
    context: click.Context, address: str | None, token: str | None, project: str | None
) -> None:
    """Savanna: data-processing clusters in one command.

    \b
    Begin here:
      savanna plugin list                          what can be built
      savanna cluster create --help                the file of a cluster, explained
      savanna cluster create -f spark.yaml --watch
      savanna job run --cluster demo --main count.py --logs -- /etc/services
      savanna cluster scale demo worker=4 --watch
      savanna cluster delete demo --watch

    \b
    Where Savanna is and who you are comes from the flags below, else from SAVANNA_ADDRESS,
    SAVANNA_TOKEN and SAVANNA_PROJECT, else from 'address', 'token' and 'project' in
    ~/.config/savanna/config.yaml (or the file that SAVANNA_CONFIG names). Over TLS also 'authority'
    (SAVANNA_AUTHORITY): the file of the authority that Savanna must have a certificate of; and
    'certificate' and 'key', where it asks for yours.

    \b
    Exit codes:
      0  done
      1  the operation or job failed
      2  wrong usage or input; nothing was changed
      3  there is no such thing
      4  Savanna can not be reached, or does not let you in
    """
    context.obj = context.obj.with_flags(address=address, token=token, project=project)


for _command in _COMMANDS:
    root.add_command(_command)


async def run(
    words: Sequence[str],
    *,
    out: TextIO,
    err: TextIO,
    environ: Mapping[str, str],
    asks: bool = False,
) -> int:
    """Run one command and give its exit code; ``asks`` says whether somebody can answer."""
    session = Session(output.console(out), output.console(err), environ, asks=asks)
    try:
        result = root.main(
            args=list(words), prog_name="savanna", standalone_mode=False, obj=session
        )
        if inspect.isawaitable(result):
            result = await result
        return result if isinstance(result, int) else 0
    except click.Abort:
        return failures.INTERRUPTED
    except click.ClickException as error:
        error.show(file=err)
        return failures.USAGE
    except (DocumentError, failures.Refusal) as error:
        failures.tell(session.err, str(error))
        return failures.USAGE
    except failures.FileRefused as refused:
        failures.tell_error(session.err, refused.error, refused.document)
        return failures.USAGE
    except errors.SavannaError as error:
        failures.tell_error(session.err, error)
        return failures.exit_code(error)


def main() -> None:
    """Run the command on this process's own terminal."""
    try:
        code = asyncio.run(
            run(
                sys.argv[1:],
                out=sys.stdout,
                err=sys.stderr,
                environ=os.environ,
                asks=sys.stdin.isatty(),
            )
        )
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = failures.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has had enough, for example 'head'; nothing may be flushed on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
