"""What is wrong with a request, gathered field by field."""

from __future__ import annotations

from enum import StrEnum

from savanna.common.v1.violation_pb2 import Violation


class Reason(StrEnum):
    """Classes of problems that users of the REST API know."""

    INVALID_DATA = "INVALID_DATA"
    INVALID_REFERENCE = "INVALID_REFERENCE"
    INVALID_COMPONENT_COUNT = "INVALID_COMPONENT_COUNT"
    INVALID_TOPOLOGY = "INVALID_TOPOLOGY"
    MISSING_SERVICE = "MISSING_SERVICE"
    NODE_GROUP_CANNOT_BE_SCALED = "NODE_GROUP_CANNOT_BE_SCALED"
    CLUSTER_CANNOT_BE_SCALED = "CLUSTER_CANNOT_BE_SCALED"


class Problems:
    """Gathers problems; the user is told all of them at once."""

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def add(self, field: str, message: str, *, reason: Reason = Reason.INVALID_DATA) -> None:
        """Note one: the path of a field in the request, what is wrong there and what to do."""
        self.found.append(Violation(field=field, message=message, reason=reason))

    def __bool__(self) -> bool:
        return bool(self.found)
