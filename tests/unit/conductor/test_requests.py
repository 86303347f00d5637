"""Requests with keys: the same one is done once, another one is refused."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from savanna_conductor.store import dialect
from savanna_kit import context
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from savanna_conductor.settings import ConductorSettings
    from tests.unit.conductor.conftest import Conductor


async def test_another_request_with_the_same_key_is_refused(conductor: Conductor) -> None:
    key = str(uuid.uuid4())
    context.enter_digest(b"one")
    first = await conductor.create(request_id=key)
    assert (await conductor.create(request_id=key)).cluster.id == first.cluster.id
    context.enter_digest(b"another")
    with pytest.raises(InvalidArgument, match="used for another request: give each request"):
        await conductor.create("c2", request_id=key)
    await conductor.create("c2", request_id=str(uuid.uuid4()))


async def test_digests_that_can_not_be_compared_are_believed(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    key = str(uuid.uuid4())
    context.enter_digest(b"one")
    first = await conductor.create(request_id=key)
    engine = dialect.open_engine(settings.database_url, readers=1)
    context.enter_digest(b"another")
    # As those are that were stored before digests were, and by a release that made others.
    for stored in ("", "0:1234"):
        with dialect.for_writing(engine.connect()) as connection, connection.begin():
            connection.execute(text("UPDATE request SET digest = :stored"), {"stored": stored})
        assert (await conductor.create(request_id=key)).cluster.id == first.cluster.id
    engine.dispose()
