"""``savanna orphans``: what was left in the cloud and belongs to nobody, for operators."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from savanna.api.v1.orphan_service_pb2 import CleanOrphanRequest, ListOrphansRequest
from savanna.cluster.v1.orphan_pb2 import (
    CLEAN_OUTCOME_ABSENT,
    CLEAN_OUTCOME_REMOVED,
    CLEAN_OUTCOME_REMOVING,
    CLEAN_OUTCOME_UNSPECIFIED,
    CleanOutcome,
    Orphan,
)
from savanna_cli import failures, output, words
from savanna_cli.commands.style import CONTEXT, shown
from savanna_cli.failures import FAILED, Refusal
from savanna_cli.output import Form
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from savanna_cli.session import Session
    from savanna_client import Client

_AT_ONCE = 8
_NONE = "the cloud holds nothing of Savanna's that nobody owns"
_REASONS = {
    Orphan.REASON_INSTANCE_UNKNOWN: "its instance is gone",
    Orphan.REASON_CLUSTER_UNKNOWN: "its cluster is gone",
    Orphan.REASON_DUPLICATE: "its instance uses another",
}
_OUTCOMES = {
    CLEAN_OUTCOME_REMOVED: "is removed",
    CLEAN_OUTCOME_REMOVING: "is being removed; ask again: savanna orphans list",
    CLEAN_OUTCOME_ABSENT: "is not in the cloud, or not any more",
}


@click.group(context_settings=CONTEXT)
def orphans() -> None:
    """Servers that were left in the cloud and belong to nobody; for operators.

    They are looked for over all projects, so that it needs the role admin.
    """


@orphans.command("list")
@shown
@click.pass_obj
async def list_orphans(session: Session, form: Form) -> None:
    """List the servers that Savanna made and does not know any more, oldest first.

    What was made a moment ago is left out, as are servers of other deployments of Savanna.
    """
    async with session.connect() as client:
        answer = await client.orphans.ListOrphans(ListOrphansRequest())
    if form is not Form.TABLE:
        session.show_message(form, answer)
        return
    if answer.orphans:
        _show(session, answer.orphans)
        session.say("remove them: savanna orphans clean ID..., or --all", style="dim")
    else:
        session.out.print(_NONE)
    if answer.foreign_servers:
        session.say(
            f"not counting {answer.foreign_servers} that other deployments of Savanna made",
            style="dim",
        )


@orphans.command("clean")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="All that there are.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shown
@click.pass_obj
async def clean_orphans(
    session: Session, ids: tuple[str, ...], every: bool, yes: bool, form: Form
) -> int:
    """Remove orphans from the cloud with all that they hold; it can not be undone.

    Each is looked at again before it is removed: what is no orphan (any more) is left alone. Exits
    with 1 when one could not be removed; the others are removed all the same.
    """
    if bool(ids) == every:
        raise Refusal("say which orphans to remove: their ids (savanna orphans list), or --all")
    async with session.connect() as client:
        found = (await client.orphans.ListOrphans(ListOrphansRequest())).orphans
        names = {each.id: each.name for each in found}
        chosen = list(dict.fromkeys(ids or names))
        if not yes and chosen:
            _show(session, [each for each in found if each.id in chosen], on_error=True)
            _ask(session, chosen)
        done = []
        async for each in _clean(client, chosen):
            done.append(each)
            if form is Form.TABLE:
                _tell(session, each, names.get(each.id, ""))
    if form is Form.TABLE:
        session.out.print(_summary(done) if done else _NONE)
    else:
        output.show_data(session.out, form, {"orphans": [each.as_data() for each in done]})
    return FAILED if any(each.error for each in done) else 0


@dataclass(frozen=True)
class _Cleaned:
    """What became of one that was to be removed."""

    id: str
    outcome: CleanOutcome.ValueType = CLEAN_OUTCOME_UNSPECIFIED
    error: str = ""

    def as_data(self) -> dict[str, Any]:
        """Give it in the contract's words."""
        return {
            "id": self.id,
            "outcome": CleanOutcome.Name(self.outcome),
            "error": self.error,
        }


async def _clean(client: Client, ids: Sequence[str]) -> AsyncIterator[_Cleaned]:
    """Remove several at once, and tell of each in their order."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def clean(each: str) -> _Cleaned:
        async with gate:
            return await _clean_one(client, each)

    tasks = [asyncio.create_task(clean(each)) for each in ids]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


async def _clean_one(client: Client, server_id: str) -> _Cleaned:
    try:
        answer = await client.orphans.CleanOrphan(CleanOrphanRequest(id=server_id))
    except (errors.PermissionDenied, errors.Unauthenticated):
        raise
    except errors.SavannaError as error:
        if error.reason == failures.UNREACHABLE:
            raise
        return _Cleaned(server_id, error=error.message)
    return _Cleaned(server_id, answer.outcome)


def _show(session: Session, found: Sequence[Orphan], *, on_error: bool = False) -> None:
    heads = ("id", "name", "cluster", "project", "made", "why")
    rows = [
        (
            each.id,
            each.name,
            each.cluster_id,
            each.project_id,
            words.ago(each.create_time, session.now()),
            _REASONS.get(each.reason, ""),
        )
        for each in found
    ]
    if rows:
        output.show_table(session.err if on_error else session.out, heads, rows)


def _ask(session: Session, ids: Sequence[str]) -> None:
    if not session.asks:
        raise Refusal("nobody is there to be asked whether to remove: add --yes")
    which = f"server {ids[0]}" if len(ids) == 1 else f"{len(ids)} servers"
    click.confirm(f"Remove {which} from the cloud for good?", abort=True, err=True)


def _tell(session: Session, each: _Cleaned, name: str) -> None:
    which = f"{each.id} ({name})" if name else each.id
    if each.error:
        failures.tell(session.err, f"{which} was not removed: {each.error}")
    else:
        session.out.print(f"{which} {_OUTCOMES.get(each.outcome, 'is left to the cloud')}")


def _summary(done: Sequence[_Cleaned]) -> str:
    counts = Counter(each.outcome for each in done)
    failed = sum(bool(each.error) for each in done)
    parts = (
        (counts[CLEAN_OUTCOME_REMOVED], "removed"),
        (counts[CLEAN_OUTCOME_REMOVING], "being removed"),
        (counts[CLEAN_OUTCOME_ABSENT], "not there"),
        (failed, "not removed"),
    )
    return ", ".join(f"{number} {word}" for number, word in parts if number)
