"""``savanna-health`` says whether a service serves, as whoever started it sees it."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING

import pytest

from savanna_kit import serving
from savanna_kit.health import main
from savanna_kit.identity import Identity
from savanna_manage.certificates import make_authority, make_leaf

if TYPE_CHECKING:
    from pathlib import Path


def health(*words: str) -> int:
    """Run the command: its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int)
    return ended.value.code


async def test_it_asks_the_service_whose_settings_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"unix:{tmp_path}/one.sock"
    monkeypatch.setenv("SAVANNA_CONDUCTOR_LISTEN", address)
    # Further settings of the service are none of its business.
    monkeypatch.setenv("SAVANNA_CONDUCTOR_READERS", "4")
    async with serving.running([serving.Parts(name="conductor", listen=address)]):
        assert await asyncio.to_thread(health, "conductor") == 0
    assert capsys.readouterr().out == f"conductor at {address}: SERVING\n"
    assert health("conductor") == 1
    assert "no answer" in capsys.readouterr().out


async def test_a_service_that_drains_does_not_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"unix:{tmp_path}/one.sock"
    monkeypatch.setenv("SAVANNA_ENGINE_LISTEN", address)
    codes: list[int] = []

    async def drain() -> None:
        codes.append(await asyncio.to_thread(health, "engine"))

    async with serving.running([serving.Parts(name="engine", listen=address, drains=[drain])]):
        pass
    assert codes == [1]
    assert capsys.readouterr().out == f"engine at {address}: NOT_SERVING\n"


async def test_a_service_that_can_not_work_now_is_alive_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = serving.Parts(name="conductor", listen=f"unix:{tmp_path}/one.sock")
    monkeypatch.setenv("SAVANNA_CONDUCTOR_LISTEN", parts.listen)
    async with serving.running([parts]):
        assert await asyncio.to_thread(health, "--alive", "conductor") == 0
        await parts.say_well(False)
        assert await asyncio.to_thread(health, "conductor") == 1
        assert await asyncio.to_thread(health, "--alive", "conductor") == 0
    assert health("--alive", "conductor") == 1


async def test_it_shows_the_certificate_of_the_service_and_finds_one_that_listens_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    make_leaf(tmp_path, make_authority(tmp_path, days=1, now=now), "plugin", days=1, now=now)
    files = [tmp_path / name for name in ("ca.pem", "plugin.pem", "plugin.key")]
    for name, file in zip(("AUTHORITY", "CERTIFICATE", "KEY"), files, strict=True):
        monkeypatch.setenv(f"SAVANNA_PLUGIN_SPARK_TLS_{name}", str(file))
    identity = Identity(authority=files[0], certificate=files[1], key=files[2])
    parts = serving.Parts(name="plugin-spark", listen="0.0.0.0:0", identity=identity)
    async with serving.running([parts]):
        assert parts.addresses[0].startswith("0.0.0.0:")
        monkeypatch.setenv("SAVANNA_PLUGIN_SPARK_LISTEN", parts.addresses[0])
        code = await asyncio.to_thread(health, "plugin-spark")
    assert (code, capsys.readouterr().out.rpartition(": ")[2]) == (0, "SERVING\n")


@pytest.mark.parametrize(
    ("words", "settings", "says"),
    [
        ((), {}, "usage: savanna-health SERVICE"),
        (("--alive",), {}, "usage: savanna-health SERVICE"),
        (("engine",), {}, "SAVANNA_ENGINE_LISTEN is not set"),
        (("engine",), {"DRAIN_SECONDS": "long"}, "SAVANNA_ENGINE_DRAIN_SECONDS: "),
        (
            ("engine",),
            {"LISTEN": "0.0.0.0:1", "TLS_KEY": "/no/file"},
            "SAVANNA_ENGINE_TLS_AUTHORITY and SAVANNA_ENGINE_TLS_CERTIFICATE must be set too",
        ),
    ],
)
def test_what_can_not_be_asked_is_said_with_what_to_do(
    words: tuple[str, ...],
    settings: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"SAVANNA_ENGINE_{name}", value)
    assert health(*words) == 2
    assert says in capsys.readouterr().err
