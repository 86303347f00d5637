"""What users see of a small load, measured."""

from __future__ import annotations

from bench import watch


async def test_each_user_sees_the_end_of_each_step_after_it_ended() -> None:
    found = await watch.measure("sqlite", users=2, loads=[watch.Load("small", "fan-10", 2)])

    (seen,) = found
    assert (seen.users, seen.ends) == (2, 20)
    assert len(seen.delays) == 40
    assert min(seen.delays) > 0
    assert "small" in watch.report({"sqlite": found})
