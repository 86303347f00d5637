"""Dividing many new tasks, so that none is stored before those that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from savanna.operation.v1.operation_pb2 import TaskSpec


def sizes_of(specs: Sequence[TaskSpec]) -> dict[str, int]:
    """Give the bytes of tasks by their keys."""
    return {spec.key: spec.ByteSize() for spec in specs}


def in_parts(
    specs: Sequence[TaskSpec], sizes: Mapping[str, int], *, most: int, most_bytes: int
) -> Iterator[list[TaskSpec]]:
    """Give tasks in parts of at most so many, and of so many bytes unless one alone is larger;
    those that fit into one are given as they are."""
    if len(specs) <= most and sum(sizes.values()) <= most_bytes:
        if specs:
            yield list(specs)
        return
    part: list[TaskSpec] = []
    size = 0
    for spec in _needed_first(specs):
        if part and (len(part) == most or size + sizes[spec.key] > most_bytes):
            yield part
            part, size = [], 0
        part.append(spec)
        size += sizes[spec.key]
    yield part


def _needed_first(specs: Sequence[TaskSpec]) -> list[TaskSpec]:
    """Order tasks by their needs, else as they are; those in a circle come last: nothing can help
    them."""
    by_key = {spec.key: spec for spec in specs}
    missing: dict[str, int] = {}
    dependents: dict[str, list[str]] = {}
    for key, spec in by_key.items():
        needs = [need for need in set(spec.needs) if need in by_key]
        missing[key] = len(needs)
        for need in needs:
            dependents.setdefault(need, []).append(key)
    ordered = [key for key, number in missing.items() if not number]
    # It grows while it is read.
    for key in ordered:
        for dependent in dependents.get(key, ()):
            missing[dependent] -= 1
            if not missing[dependent]:
                ordered.append(dependent)
    circles = [key for key, number in missing.items() if number]
    return [by_key[key] for key in (*ordered, *circles)]
