"""Orphans: what was left in the cloud and belongs to nobody, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.orphan_pb2 import CleanOutcome
from savanna_api_gateway.core.operators import require_operator
from savanna_kit import errors, logs

if TYPE_CHECKING:
    from savanna.engine.v1 import cloud_service_pb2
    from savanna_api_gateway.cloud import Cloud
    from savanna_kit.context import RequestContext

log = logs.get_logger(__name__)


class Orphans:
    """Asks engines, which alone know the cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def all(self, caller: RequestContext) -> cloud_service_pb2.ListOrphansResponse:
        """List them, oldest first.

        Raises ``PermissionDenied`` and ``Unavailable``.
        """
        require_operator(caller, "looking for orphans")
        return await self._cloud.orphans()

    async def clean(self, caller: RequestContext, server_id: str) -> CleanOutcome.ValueType:
        """Remove one, if it still is one.

        Raises ``PermissionDenied``, ``InvalidArgument`` without an id, ``FailedPrecondition`` and
        ``Unavailable``.
        """
        require_operator(caller, "removing orphans")
        if not server_id:
            raise errors.InvalidArgument(
                "say which orphan is to be removed: its id, as the list of orphans has it",
                reason="INVALID_DATA",
            )
        outcome = await self._cloud.clean_orphan(server_id)
        log.info(
            "orphan_cleaned_by_wish",
            server_id=server_id,
            user_id=caller.user_id,
            outcome=CleanOutcome.Name(outcome),
        )
        return outcome
