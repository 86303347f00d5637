"""Kinds of items of the catalog, and what differs between them, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from savanna.conductor.v1 import catalog_service_pb2 as messages
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from google.protobuf.field_mask_pb2 import FieldMask

Item = messages.Item
Inner: TypeAlias = Any
"""The message inside an item: one of five, with most fields in common."""

INTERNAL_URL = "internal-db://"

_OUTPUT_ONLY = frozenset(
    ("project_id", "is_default", "size", "sha256", "create_time", "update_time", "revision")
)


@dataclass(frozen=True)
class Kind:
    """A kind of items."""

    number: messages.ItemKind.ValueType
    field: str
    """Its field in ``Item``."""

    noun: str
    """What users call it."""

    specification: frozenset[str] = frozenset()
    """Fields that can not be changed while something lives that was made from the item; empty for
    all."""

    def inner(self, item: Item) -> Inner:
        """Give the message inside an item."""
        return getattr(item, self.field)

    def used(self, inner: Inner) -> set[tuple[int, str]]:
        """Say what an item refers to: kinds and ids."""
        if self.number == messages.ITEM_KIND_CLUSTER_TEMPLATE:
            groups = inner.node_groups
            kind, ids = NODE_GROUP_TEMPLATE, {each.node_group_template_id for each in groups}
        elif self.number == messages.ITEM_KIND_JOB_TEMPLATE:
            kind, ids = JOB_BINARY, {*inner.mains, *inner.libs}
        else:
            return set()
        return {(kind.number, each) for each in ids if each}

    def clear_output(self, inner: Inner) -> None:
        """Clear what only the conductor says; the id stays."""
        for name in _OUTPUT_ONLY & set(inner.DESCRIPTOR.fields_by_name):
            inner.ClearField(name)

    def check_paths(self, inner: Inner, mask: FieldMask) -> set[str]:
        """Give the top fields of a field mask.

        Raises ``InvalidArgument`` for those that can not be changed.
        """
        tops = {path.partition(".")[0] for path in mask.paths}
        fixed = tops & (_OUTPUT_ONLY | {"id"})
        if fixed or not mask.IsValidForDescriptor(inner.DESCRIPTOR):
            known = set(inner.DESCRIPTOR.fields_by_name) - _OUTPUT_ONLY - {"id"}
            raise InvalidArgument(
                f"'{', '.join(mask.paths)}' can not be changed in a {self.noun}; "
                f"{', '.join(sorted(known))} can",
                reason="FIELD_IMMUTABLE",
            )
        return tops


NODE_GROUP_TEMPLATE = Kind(
    messages.ITEM_KIND_NODE_GROUP_TEMPLATE, "node_group_template", "node group template"
)
CLUSTER_TEMPLATE = Kind(messages.ITEM_KIND_CLUSTER_TEMPLATE, "cluster_template", "cluster template")
JOB_BINARY = Kind(messages.ITEM_KIND_JOB_BINARY, "job_binary", "job binary")
JOB_TEMPLATE = Kind(
    messages.ITEM_KIND_JOB_TEMPLATE,
    "job_template",
    "job template",
    specification=frozenset(("type", "mains", "libs", "interface")),
)
IMAGE = Kind(messages.ITEM_KIND_IMAGE, "image", "image registration")

_BY_FIELD = {
    each.field: each
    for each in (NODE_GROUP_TEMPLATE, CLUSTER_TEMPLATE, JOB_BINARY, JOB_TEMPLATE, IMAGE)
}
_BY_NUMBER = {each.number: each for each in _BY_FIELD.values()}


def of_item(item: Item) -> Kind:
    """Give the kind of an item.

    Raises ``InvalidArgument`` for an empty one.
    """
    field = item.WhichOneof("item")
    if field is None:
        raise InvalidArgument("the item is empty: fill in one kind", reason="ITEM_EMPTY")
    return _BY_FIELD[field]


def of_number(number: int) -> Kind:
    """Give the kind with a number.

    Raises ``InvalidArgument``.
    """
    kind = _BY_NUMBER.get(messages.ItemKind.ValueType(number))
    if kind is None:
        raise InvalidArgument(f"{number} is no kind of items", reason="KIND_UNKNOWN")
    return kind


def row_id(kind: Kind, project_id: str, item_id: str) -> str:
    """Give the id of an item's row: image registrations are a project's own."""
    return f"{project_id}/{item_id}" if kind is IMAGE else item_id
