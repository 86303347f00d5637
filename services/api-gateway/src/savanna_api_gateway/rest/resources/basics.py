"""Fields that many resources have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.rest import codecs, schemas
from savanna_api_gateway.rest.fields import Field, Shown

if TYPE_CHECKING:
    from savanna_api_gateway.rest.schemas import Schema

CREATED = Field("created_at", codecs.time("create_time"))
UPDATED = Field("updated_at", codecs.time("update_time"), shown=Shown.WRITTEN)
ID = Field("id", codecs.plain("id"))
PUBLIC = Field("is_public", codecs.flag("is_public"), schemas.FLAG_OR_NULL)
PROTECTED = Field("is_protected", codecs.flag("is_protected"), schemas.FLAG_OR_NULL)
UPDATED_ALWAYS = Field("updated_at", codecs.time("update_time"))
PLUGIN = Field("plugin_name", codecs.plain("plugin_name"), schemas.TEXT)
# Names that v2 changed come last, in v2's answers and in this list.
VERSION = Field("plugin_version", codecs.plain("plugin_version"), schemas.TEXT, v1="hadoop_version")
PROJECT = Field("project_id", codecs.plain("project_id"), v1="tenant_id")


def description(schema: Schema, shown: Shown) -> Field:
    """Give the field of the free text."""
    return Field("description", codecs.text("description"), schema, shown=shown)
