"""Operations: Savanna's own, from microversion 2.1 on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.rest import paging, schemas
from savanna_api_gateway.rest.handlers.items import item_id
from savanna_api_gateway.rest.microversion import V2_1
from savanna_api_gateway.rest.resources.operations import OPERATION
from savanna_api_gateway.rest.routing import Route
from savanna_api_gateway.rest.schemas import BodySchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna.operation.v1.operation_pb2 import Operation
    from savanna_api_gateway.core.operations import Operations
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json
    from savanna_kit.context import RequestContext

_PATH = "/operations"
_ONE = f"{_PATH}/{{id}}"
_NOTHING = BodySchema(schemas.mapping({}))
_SORTABLE = ("id", "goal", "state", "cluster_id", "cluster_name", "created_at")


class OperationRoutes:
    """The routes of operations."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def routes(self) -> list[Route]:
        """Give the routes."""
        actions = {"cancel": self.cancel, "retry": self.retry, "rollback": self.roll_back}
        return [
            Route("GET", _PATH, self.index, query=("cluster_id",), since=V2_1),
            Route("GET", _ONE, self.show, find=self.find, since=V2_1),
            *(
                Route("POST", f"{_ONE}/{name}", handle, find=self.find, body=_NOTHING, since=V2_1)
                for name, handle in actions.items()
            ),
        ]

    async def find(self, caller: RequestContext, path: Mapping[str, str]) -> Operation:
        """Read the one that a path names."""
        return (await self._operations.get(caller, item_id(path))).operation

    async def index(self, call: Call) -> Json:
        """List them, newest first."""
        wish = paging.wish({"sort_by": "-created_at", **call.query}, _SORTABLE)
        found = await self._operations.all(call.caller, call.query.get("cluster_id", ""))
        page = paging.page(found, wish, OPERATION.show_field)
        return page.wrapped("operations", [OPERATION.show(each) for each in page.things])

    async def show(self, call: Call) -> Json:
        """Show one."""
        return _wrapped(call.subject)

    async def cancel(self, call: Call) -> Json:
        """Ask for the end of one."""
        return _wrapped(await self._operations.cancel(call.caller, call.subject.id))

    async def retry(self, call: Call) -> Json:
        """Begin another try of one that went wrong."""
        return _wrapped(await self._operations.retry(call.caller, call.subject.id, call.key))

    async def roll_back(self, call: Call) -> Json:
        """Lead one back."""
        return _wrapped(await self._operations.roll_back(call.caller, call.subject.id, call.key))


def _wrapped(operation: Operation) -> Json:
    return {"operation": OPERATION.show(operation)}
