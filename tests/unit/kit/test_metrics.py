"""What a service measures, as Prometheus reads it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from savanna_kit import errors, metrics, serving
from savanna_kit.channels import connect
from tests.scrapes import scrape
from tests.unit.kit.test_serving import ask, echo_parts

if TYPE_CHECKING:
    from pathlib import Path

CALLS = metrics.Counter("savanna_test_calls_total", "Calls.", labels=("method", "code"))
SIZES = metrics.Histogram("savanna_test_sizes", "Sizes.", bounds=(1.0, 10.0))
WAITING = metrics.Gauge("savanna_test_waiting", "What waits.", labels=("pool",))


async def test_what_is_measured_is_served_until_the_end_and_begins_anew() -> None:
    CALLS.add(7, "Get", "OK")
    for _ in range(2):
        async with metrics.endpoint("127.0.0.1:0", "test") as where:
            assert metrics.is_on()
            CALLS.add(2, "Get", "OK")
            CALLS.add(1, "Get", "OK")
            for size in (1, 5, 50):
                SIZES.record(size)
            found = await scrape(where)
            assert found['savanna_test_calls_total{code="OK",method="Get"}'] == 3
            assert found['savanna_test_sizes_bucket{le="1.0"}'] == 1
            assert found['savanna_test_sizes_bucket{le="10.0"}'] == 2
            assert (found["savanna_test_sizes_count"], found["savanna_test_sizes_sum"]) == (3, 56)
            assert found["process_resident_memory_bytes"] > 0
        assert not metrics.is_on()
        with pytest.raises(OSError, match="refused"):
            await scrape(where)


async def test_a_gauge_is_read_when_somebody_looks_and_only_while_it_has_a_reader() -> None:
    waiting: dict[tuple[str, ...], float] = {("ssh",): 2.0}
    async with metrics.endpoint("127.0.0.1:0", "test") as where:
        async with WAITING.read_by(lambda: waiting):
            assert (await scrape(where))['savanna_test_waiting{pool="ssh"}'] == 2
            waiting["cloud",] = 5.0
            assert (await scrape(where))['savanna_test_waiting{pool="cloud"}'] == 5
        assert not [name for name in await scrape(where) if "waiting" in name]


async def test_calls_are_measured_by_method_and_by_how_they_ended(tmp_path: Path) -> None:
    parts, _ = echo_parts(tmp_path)
    async with (
        metrics.endpoint("127.0.0.1:0", "test") as where,
        serving.running([parts]),
        connect(parts.addresses[0]) as channel,
    ):
        for name in ("", "", "missing", "broken"):
            with contextlib.suppress(errors.SavannaError):
                await ask(channel, name)
        with contextlib.suppress(errors.SavannaError):
            await ask(channel, "slow", timeout=0.1)
        found = await scrape(where)
    counted = {
        name.partition('code="')[2].partition('"')[0]: value
        for name, value in found.items()
        if name.startswith("savanna_rpc_seconds_count") and 'method="echo.Echo/Check"' in name
    }
    late = counted.pop("DEADLINE_EXCEEDED", 0) + counted.pop("CANCELLED", 0)
    assert (counted, late) == ({"OK": 2, "NOT_FOUND": 1, "INTERNAL": 1}, 1)


async def test_without_an_address_nothing_is_served() -> None:
    async with metrics.endpoint("", "test") as where:
        assert (where, metrics.is_on()) == ("", False)


@pytest.mark.parametrize(
    "address", ["{taken}", "127.0.0.1:many", "203.0.113.1:9100", ":9100", "9100"]
)
async def test_an_address_that_can_not_be_used_is_named(address: str) -> None:
    async with metrics.endpoint("127.0.0.1:0", "test") as taken:
        wanted = address.format(taken=taken)
        with pytest.raises(errors.FailedPrecondition, match="give another host:port") as caught:
            async with metrics.endpoint(wanted, "test"):
                raise AssertionError("it listens")
        assert wanted in str(caught.value)


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match="savanna_test_sizes is declared twice"):
        metrics.Counter("savanna_test_sizes", "Again.")
