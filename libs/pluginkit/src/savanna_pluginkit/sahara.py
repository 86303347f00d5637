"""Options that every plugin of Sahara offers, so that templates written for it load unchanged.

Images of Savanna's clouds bring disks, clocks and names ready: these options are accepted, and do
nothing.
"""

from __future__ import annotations

from savanna_pluginkit.options import CLUSTER, AnyOption, BoolOption, IntOption, TextOption

_NOTE = "Accepted for templates written for Sahara; hosts come with this done."

GENERAL_OPTIONS: tuple[AnyOption, ...] = (
    IntOption(
        name="Timeout for disk preparing",
        default=300,
        scope=CLUSTER,
        priority=1,
        description=_NOTE,
    ),
    BoolOption(
        name="Enable NTP service",
        default=True,
        scope=CLUSTER,
        priority=1,
        is_optional=False,
        description=_NOTE,
    ),
    TextOption(name="URL of NTP server", default="", scope=CLUSTER, priority=1, description=_NOTE),
    IntOption(
        name="Heat Wait Condition timeout",
        default=3600,
        scope=CLUSTER,
        priority=1,
        description=_NOTE,
    ),
    BoolOption(name="Enable XFS", default=True, scope=CLUSTER, priority=1, description=_NOTE),
)
