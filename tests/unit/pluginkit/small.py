"""The smallest plugin that keeps all promises, and ways to break them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_pluginkit import (
    CLUSTER,
    READY,
    About,
    BoolOption,
    ChoiceOption,
    IntOption,
    JobKind,
    Plugin,
    TextOption,
    Version,
)
from savanna_pluginkit.conformance import Example, cluster, job

if TYPE_CHECKING:
    from savanna_pluginkit import ClusterView, JobView, Problems, Steps

THREADS = IntOption(name="threads", target="Small", default=2, least=1, most=64)
FAST = BoolOption(name="fast", target="Small", default=False)
MODE = ChoiceOption(name="mode", target="Small", default="one", choices=("one", "two"))
SIZE = TextOption(
    name="size", target="Small", default="1g", pattern="[0-9]+g", expected="a size like 4g"
)
DOMAIN = TextOption(name="domain", default="", scope=CLUSTER)
TRIES = IntOption(name="tries", default=1, least=1)

ABOUT = About(
    name="small",
    title="Small",
    description="The smallest of all.",
    versions=(
        Version(
            version="1",
            services={"Small": ("server",)},
            options=(THREADS, FAST, MODE, SIZE, DOMAIN),
            job_kinds=(JobKind("Shell", required_configs=("who",), hints=(TRIES,)),),
        ),
    ),
)

EXAMPLE = Example(
    cluster=cluster("small", "1", {"all": (2, ["server"])}),
    elastic="all",
    decommissions=False,
    jobs=(job("Shell", mains=["main.sh"], configs={"who": "me"}),),
)


class SmallPlugin(Plugin):
    """Starts a server on each node."""

    @property
    def about(self) -> About:
        return ABOUT

    def validate(
        self, cluster: ClusterView, current: ClusterView | None, problems: Problems
    ) -> None:
        del current
        if cluster.count("server") > 9000:
            problems.add("node_groups", "Use 9000 servers at most.")

    def plan(self, cluster: ClusterView, steps: Steps) -> None:
        for each in cluster.staying:
            if each.needs_starting:
                steps.run_script(
                    f"start/{each.name}", on=each, title="Start", text="exit 0\n", reaches=READY
                )

    def plan_job(self, cluster: ClusterView, job: JobView, steps: Steps) -> None:
        del job
        steps.run_job("run", on=cluster.staying[0], title="Run", text="exit 0\n")
