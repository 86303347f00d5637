"""Orphans, as JSON: Savanna's own, so that the names are those of the gRPC API."""

from __future__ import annotations

from savanna.cluster.v1.orphan_pb2 import CleanOutcome, Orphan
from savanna_api_gateway.rest import codecs
from savanna_api_gateway.rest.fields import Field, Resource
from savanna_api_gateway.rest.resources.basics import CREATED, ID, PROJECT

_REASONS = {value: name.removeprefix("REASON_").lower() for name, value in Orphan.Reason.items()}
OUTCOMES = {
    value: name.removeprefix("CLEAN_OUTCOME_").lower() for name, value in CleanOutcome.items()
}

ORPHAN = Resource(
    Orphan,
    (
        CREATED,
        ID,
        Field("name", codecs.text("name")),
        Field("instance_id", codecs.text("instance_id")),
        Field("cluster_id", codecs.text("cluster_id")),
        Field("reason", codecs.words("reason", _REASONS)),
        PROJECT,
    ),
)
