"""Dividing many new tasks, so that none is stored before those that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from savanna.operation.v1.operation_pb2 import TaskSpec


def in_parts(
    specs: Sequence[TaskSpec], *, most: Callable[[], int], most_bytes: int, at_once: int
) -> Iterator[list[TaskSpec]]:
    """Give tasks in parts of at most so many, which is asked anew for each, and of so many bytes
    unless one alone is larger; those that fit into one are given as they are.

    Looking at thousands takes long: an empty part, after ``at_once`` of them, says that it is the
    turn of others.
    """
    if len(specs) <= most() and sum(spec.ByteSize() for spec in specs) <= most_bytes:
        if specs:
            yield list(specs)
        return
    part: list[TaskSpec] = []
    ordered = yield from _needed_first(specs, at_once)
    size, room = 0, most()
    for spec in ordered:
        more = spec.ByteSize()
        if part and (len(part) >= room or size + more > most_bytes):
            yield part
            part, size, room = [], 0, most()
        part.append(spec)
        size += more
    yield part


def _needed_first(
    specs: Sequence[TaskSpec], at_once: int
) -> Generator[list[TaskSpec], None, Iterator[TaskSpec]]:
    """Order tasks by their needs, else as they are; those in a circle come last: nothing can help
    them."""
    by_key: dict[str, TaskSpec] = {}
    for number, spec in enumerate(specs, 1):
        by_key[spec.key] = spec
        if number % at_once == 0:
            yield []
    missing: dict[str, int] = {}
    dependents: dict[str, list[str]] = {}
    for number, (key, spec) in enumerate(by_key.items(), 1):
        needs = [need for need in set(spec.needs) if need in by_key]
        missing[key] = len(needs)
        for need in needs:
            dependents.setdefault(need, []).append(key)
        if number % at_once == 0:
            yield []
    return (by_key[key] for key in _ordered(missing, dependents))


def _ordered(missing: dict[str, int], dependents: dict[str, list[str]]) -> Iterator[str]:
    ordered = [key for key, number in missing.items() if not number]
    # It grows while it is read.
    for key in ordered:
        yield key
        for dependent in dependents.get(key, ()):
            missing[dependent] -= 1
            if not missing[dependent]:
                ordered.append(dependent)
    yield from (key for key, number in missing.items() if number)
