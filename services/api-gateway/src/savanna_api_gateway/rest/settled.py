"""The steps of clusters that nothing changes now: read once, for they stay as they are."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna_api_gateway.rest.schemas import Json

    Key = tuple[str, str, int, int]
    Steps = list[dict[str, Json]]

_CLUSTERS = 2048


class SettledSteps:
    """Steps as they are shown without events, by what the cluster was when they were read.

    The tasks behind them can be thousands, and reading them for each look at a cluster would cost
    more than all else. Nothing can be stale: a new operation is named in the cluster while it goes
    on, and its end is a later change of the cluster.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Steps] = OrderedDict()

    def look(self, project_id: str, cluster: Cluster) -> Steps | None:
        """Give the steps that a project sees; None while an operation goes on, or when they were
        never read."""
        if cluster.operation_id:
            return None
        key = _key(project_id, cluster)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, project_id: str, cluster: Cluster, steps: Steps) -> None:
        """Keep steps that were read after the cluster; those in progress are not kept."""
        if cluster.operation_id:
            return
        self._kept[_key(project_id, cluster)] = steps
        if len(self._kept) > _CLUSTERS:
            self._kept.popitem(last=False)


def _key(project_id: str, cluster: Cluster) -> Key:
    return project_id, cluster.id, cluster.revision, cluster.update_time.ToNanoseconds()
