"""What all commands share: how help is laid out, and the choice of form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from savanna.operation.v1.operation_pb2 import OnFailure
from savanna_cli.output import Form

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _as_form(context: click.Context, parameter: click.Parameter, value: str) -> Form:
    del context, parameter
    return Form(value)


def shown(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option -o, passed as ``form``."""
    option = click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([each.value for each in Form]),
        default=Form.TABLE.value,
        callback=_as_form,
        help="Table for people, json or yaml for programs.  [default: table]",
    )
    return option(command)


class WithCommandBehind(click.Command):
    """Takes everything behind ``--`` as it is, and passes it as ``command``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split at the first ``--``; what is before it is the command's own."""
        own, behind = args, []
        if "--" in args:
            own, behind = args[: args.index("--")], args[args.index("--") + 1 :]
        rest = super().parse_args(ctx, own)
        ctx.params["command"] = tuple(behind)
        return rest


watched = click.option("--watch", is_flag=True, help="Show progress until it has ended.")


def _as_on_failure(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> OnFailure.ValueType:
    del context, parameter
    return OnFailure.Value(f"ON_FAILURE_{(value or 'unspecified').upper()}")


on_failure = click.option(
    "--on-failure",
    type=click.Choice(["rollback", "keep", "continue"]),
    callback=_as_on_failure,
    help="Lead back (the default), keep everything for a look, or go on with the hosts that work.",
)
