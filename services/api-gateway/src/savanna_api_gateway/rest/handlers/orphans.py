"""Orphans: Savanna's own, from microversion 2.1 on, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.core.operators import ROLE
from savanna_api_gateway.rest import paging
from savanna_api_gateway.rest.microversion import V2_1
from savanna_api_gateway.rest.resources.orphans import ORPHAN, OUTCOMES
from savanna_api_gateway.rest.routing import Route

if TYPE_CHECKING:
    from savanna_api_gateway.core.orphans import Orphans
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json

_PATH = "/orphans"
_SORTABLE = ("id", "name", "cluster_id", "reason", "created_at", "project_id")


class OrphanRoutes:
    """The routes of orphans."""

    def __init__(self, orphans: Orphans) -> None:
        self._orphans = orphans

    def routes(self) -> list[Route]:
        """Give the routes."""
        one = f"{_PATH}/{{id}}"
        return [
            Route("GET", _PATH, self.index, role=ROLE, since=V2_1),
            Route("DELETE", one, self.clean, role=ROLE, since=V2_1, code=200),
        ]

    async def index(self, call: Call) -> Json:
        """List them, oldest first."""
        wish = paging.wish({"sort_by": "created_at", **call.query}, _SORTABLE)
        found = await self._orphans.all(call.caller)
        page = paging.page(found.orphans, wish, ORPHAN.show_field)
        return page.wrapped("orphans", [ORPHAN.show(each) for each in page.things])

    async def clean(self, call: Call) -> Json:
        """Remove one, and say what became of it."""
        outcome = await self._orphans.clean(call.caller, call.path["id"])
        return {"orphan": {"id": call.path["id"], "outcome": OUTCOMES[outcome]}}
