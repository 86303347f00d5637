"""Envoy lets in whom the services let in: the roles are written on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import savanna_api_gateway.main as gateway
from savanna_all_in_one.compose import compose, prepare_database
from savanna_all_in_one.folder import DataFolder
from savanna_all_in_one.settings import AllSettings
from savanna_api_gateway.settings import ApiSettings
from savanna_kit import serving, settings
from savanna_manage.envoy import routes

if TYPE_CHECKING:
    from pathlib import Path


async def test_envoy_and_the_services_name_the_same_callers(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    prepare_database(folder)
    given = settings.load(AllSettings, data_dir=folder.path, cloud="simulated")
    let_in: dict[str, set[str]] = {}
    for part in compose(given, folder, tmp_path):
        role = "plugin" if part.name.startswith("plugin") else part.name
        for served in part.served:
            let_in.setdefault(role, set()).update(served.callers)
    expected = {
        each.role: set(each.callers)
        for each in (routes.CONDUCTOR, routes.SCHEDULER, routes.ENGINES, routes.PLUGIN)
    }
    # Nobody calls simulators through Envoy; gateways are asked below.
    assert {role: found for role, found in let_in.items() if role in expected} == expected


async def test_gateways_let_in_envoy_and_users_alone(tmp_path: Path) -> None:
    parts = gateway.build(settings.load(ApiSettings, listen=f"unix:{tmp_path}/api"))
    async with serving.running([parts]):
        callers = {served.callers for served in parts.served}
    assert callers == {frozenset({"envoy", "user"})}
