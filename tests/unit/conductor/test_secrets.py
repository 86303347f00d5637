"""Secrets: never in clear in the database, never shown, and lost with their key alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from savanna.conductor.v1 import catalog_service_pb2 as catalog_pb2
from savanna.conductor.v1 import facts_service_pb2
from savanna.job.v1 import job_pb2
from savanna_conductor.keys import Secrets
from savanna_conductor.store import dialect, schema
from savanna_kit.errors import FailedPrecondition
from tests.unit.conductor.conftest import PROJECT, Conductor

if TYPE_CHECKING:
    from pathlib import Path

    from savanna_conductor.settings import ConductorSettings


def everything(settings: ConductorSettings) -> bytes:
    """Read all that the database holds, as one text."""
    engine = dialect.open_engine(settings.database_url, readers=1)
    values: list[object] = []
    with engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                values.extend(row)
    engine.dispose()
    return b"\n".join(
        bytes(each) if isinstance(each, bytes | memoryview) else str(each).encode()
        for each in values
    )


async def test_private_keys_and_credentials_are_stored_encrypted(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    created = await conductor.create()
    binary = job_pb2.JobBinary(name="far", url="s3://b/a.jar", extra={"password": "open sesame"})
    stored = (await conductor.item(catalog_pb2.Item(job_binary=binary))).job_binary
    assert dict(stored.extra) == {}
    stored.extra["password"] = "shazam"
    request = catalog_pb2.UpdateItemRequest(
        project_id=PROJECT, item=catalog_pb2.Item(job_binary=stored)
    )
    request.update_mask.paths.append("extra")
    assert dict((await conductor.catalog.UpdateItem(request)).item.job_binary.extra) == {}
    access = facts_service_pb2.GetAccessRequest(
        cluster_id=created.cluster.id, with_private_key=True
    )
    private_key = (await conductor.facts.GetAccess(access)).private_key
    held = everything(settings)
    assert b"s3://b/a.jar" in held
    for secret in ("open sesame", "shazam", "PRIVATE KEY", private_key.splitlines()[2]):
        assert secret.encode() not in held


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "savanna.key"
    secret = Secrets.from_file(path).encrypt(b"secret")
    assert Secrets.from_file(path).decrypt(secret) == b"secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["savanna.key"]


def test_another_key_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    secret = Secrets.from_file(tmp_path / "one.key").encrypt(b"secret")
    with pytest.raises(FailedPrecondition, match="put that file back"):
        Secrets.from_file(tmp_path / "two.key").decrypt(secret)
    (tmp_path / "none.key").write_text("no key")
    with pytest.raises(FailedPrecondition, match="is no key file"):
        Secrets.from_file(tmp_path / "none.key")
