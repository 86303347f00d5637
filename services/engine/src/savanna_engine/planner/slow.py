"""Servers that are slow beyond their peers: given up while they still boot, and replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna_engine.planner.nodes import may_replace

if TYPE_CHECKING:
    from savanna.cluster.v1.cluster_pb2 import NodeGroup
    from savanna_engine.planner.answer import Limits
    from savanna_engine.planner.situation import Situation

_LOOK_AGAIN = 10.0
"""Seconds until it is looked again whether enough of a group answer to compare the rest with."""


@dataclass
class Slowness:
    """Who is slow, and when the next may be."""

    slow: dict[str, str] = field(default_factory=dict)
    """A sentence for each instance that is to be given up."""

    look_after: float | None = None
    """Seconds until somebody else may be slow; None while nobody boots."""


def look(situation: Situation, limits: Limits) -> Slowness:
    """Compare every booting server with those of its group that answer already."""
    found = Slowness()
    for group in situation.cluster.node_groups:
        under_way = [
            each.name
            for each in group.instances
            if each.state < Instance.STATE_REACHABLE and situation.made_here(each.name)
        ]
        since = {name: situation.booting_since(name) for name in under_way}
        booting = {name: begun for name, begun in since.items() if begun is not None}
        if len(booting) < len(under_way):
            _look_after(found, limits.slow_least)
        if booting:
            _compare(group, booting, situation, limits=limits, found=found)
    return found


def _compare(
    group: NodeGroup,
    booting: dict[str, float],
    situation: Situation,
    *,
    limits: Limits,
    found: Slowness,
) -> None:
    took = [
        seconds
        for each in group.instances
        if (seconds := situation.boot_seconds(each.name)) is not None
    ]
    # Too few to compare with, or nothing new to be tried: its own patience ends it.
    enough = 2 * len(took) >= group.count and len(took) >= 2
    usual = median(took) if took else 0.0
    bound = max(limits.slow_least, limits.slow_factor * usual)
    for name, since in booting.items():
        passed = situation.now - since
        if passed <= limits.slow_least or not enough:
            _look_after(found, max(_LOOK_AGAIN, limits.slow_least - passed))
        elif passed <= bound:
            _look_after(found, bound - passed)
        elif may_replace(group, situation, name):
            found.slow[name] = (
                f"it did not answer after {passed:.0f} s, while others of its group took "
                f"{usual:.0f} s"
            )


def _look_after(found: Slowness, seconds: float) -> None:
    known = found.look_after
    found.look_after = seconds if known is None else min(known, seconds)
