"""How clusters look to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna_cli import output, watching, words

if TYPE_CHECKING:
    from datetime import datetime

    from savanna.cluster.v1.cluster_pb2 import NodeGroup
    from savanna.operation.v1.operation_pb2 import Operation
    from savanna_cli.session import Session

_ACTIVE, _ERROR = Cluster.STATE_ACTIVE, Cluster.STATE_ERROR


def row(each: Cluster, now: datetime) -> tuple[str | Text, ...]:
    """Give a line of the list."""
    state = words.cluster_state(each.state)
    return (
        each.name,
        Text(state, style=words.style_of(state)),
        str(sum(group.count for group in each.node_groups)),
        f"{each.plugin_name} {each.plugin_version}",
        words.ago(each.create_time, now),
        each.id,
    )


def tell(session: Session, found: Cluster, changing: Operation | None = None) -> None:
    """Show one, with the operation that changes it now."""
    state = words.cluster_state(found.state)
    since = words.ago(found.update_time, session.now()) or words.ago(
        found.create_time, session.now()
    )
    head = Text.assemble(
        (found.name, "bold"),
        "  ",
        (state, words.style_of(state)),
        (f"  changed {since}" if since else "", "dim"),
    )
    session.out.print(head)
    for line in found.status_description.splitlines():
        session.out.print(f"  {line}")
    pairs = [
        ("id", found.id),
        ("plugin", f"{found.plugin_name} {found.plugin_version}"),
        ("description", found.description),
        ("made", words.ago(found.create_time, session.now())),
        ("under way", _under_way(changing, session.now())),
        *watching.pages(found),
    ]
    output.show(session.out, output.facts(pairs, indent=2))
    session.out.print()
    _tell_hosts(session, found)
    session.out.print()
    output.show(session.out, output.facts([("next", each) for each in _next(found)], indent=2))


def _under_way(changing: Operation | None, now: datetime) -> str:
    if changing is None:
        return ""
    deadline = words.until(changing.deadline, now)
    parts = [
        words.goal(changing),
        f"begun {words.ago(changing.create_time, now)}",
        f"deadline {deadline}" if deadline else "",
    ]
    return ", ".join(each for each in parts if each)


def tell_plan(session: Session, found: Cluster) -> None:
    """Show a cluster that was only checked."""
    plugin = f"{found.plugin_name} {found.plugin_version}"
    session.out.print(Text.assemble((found.name, "bold"), f"  {plugin}  can be launched"))
    rows = [
        (each.name, str(each.count), each.spec.flavor_id, ", ".join(each.spec.node_processes))
        for each in found.node_groups
    ]
    output.show_table(session.out, ("group", "hosts", "flavor", "processes"), rows)
    session.out.print("nothing was stored; without --dry-run it is launched")


def _tell_hosts(session: Session, found: Cluster) -> None:
    rows = [_host(group, each) for group in found.node_groups for each in group.instances]
    if rows:
        output.show_table(session.out, ("host", "state", "address", "processes"), rows)
        return
    groups = [
        (each.name, str(each.count), ", ".join(each.spec.node_processes))
        for each in found.node_groups
    ]
    output.show_table(session.out, ("group", "hosts", "processes"), groups)


def _host(group: NodeGroup, each: Instance) -> tuple[str | Text, ...]:
    state = words.instance_state(each.state)
    shown = Text(state, style=words.style_of(state))
    if each.failure_message:
        shown.append(f": {each.failure_message}")
    address = each.management_ip or each.internal_ip
    return each.name, shown, address, ", ".join(group.spec.node_processes)


def _next(found: Cluster) -> list[str]:
    if found.operation_id and found.state != _ACTIVE:
        return [f"savanna operation watch {found.operation_id}"]
    if found.state == _ERROR:
        return [
            f"savanna operation list --cluster {found.name}",
            f"savanna cluster delete {found.name}",
        ]
    largest = max(found.node_groups, key=lambda each: each.count, default=None)
    scale = f"{largest.name}={largest.count + 1}" if largest is not None else "GROUP=COUNT"
    return [
        f"savanna job run --cluster {found.name} --main PROGRAM.py --logs",
        f"savanna cluster scale {found.name} {scale} --watch",
        f"savanna cluster ssh {found.name}",
    ]
