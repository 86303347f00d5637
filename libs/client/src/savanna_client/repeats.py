"""Which calls may be made twice, as data read from the contract itself.

A read changes nothing, and a write that carries the id of its request is done once however often
it arrives. Deletes and cancels are neither: they are not repeated behind the caller's back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.api.v1 import (
    catalog_service_pb2,
    cluster_service_pb2,
    job_service_pb2,
    mesh_service_pb2,
    orphan_service_pb2,
)
from savanna_kit.channels import RetryPolicy

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

_READS = ("Get", "List", "Read")
_FILES = (
    catalog_service_pb2,
    cluster_service_pb2,
    job_service_pb2,
    mesh_service_pb2,
    orphan_service_pb2,
)


def is_repeatable(method: MethodDescriptor) -> bool:
    """Whether asking twice is asking once."""
    if method.client_streaming or method.server_streaming:
        return False
    return method.name.startswith(_READS) or "request_id" in method.input_type.fields_by_name


RETRIES = RetryPolicy(
    methods=[
        f"{service.full_name}/{method.name}"
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if is_repeatable(method)
    ]
)
