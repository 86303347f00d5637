"""How servers behave: globs on names, and chances that the seed has drawn before anyone asked."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from google.protobuf import json_format

from savanna.simulator.v1.simulator_service_pb2 import Behavior
from savanna_kit.errors import FieldViolation, InvalidArgument

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator


@dataclass
class Traits:
    """What all behaviours together make of one server."""

    boot_seconds: float
    boot_fails: bool = False
    slowness: float = 1.0
    ssh_dead: bool = False
    ssh_dies_after: int = 0
    create_reply_lost: bool = False
    create_seconds: float = 0.0
    login_seconds: float = 0.0


class Behaviors:
    """All behaviours, oldest first; later ones win, field by field.

    Whether a server is among those that a behaviour strikes follows from the seed, the place of the
    behaviour and the server's name, so it does not depend on what else happens, or when.
    """

    def __init__(self, *, seed: int, boot_seconds: float) -> None:
        self._seed = seed
        self._boot_seconds = boot_seconds
        self._all: list[Behavior] = []

    def add(self, behaviors: Iterable[Behavior]) -> None:
        """Add behaviours, all or, when one makes no sense, none; raises ``InvalidArgument``."""
        new = list(behaviors)
        violations = _problems(new)
        if violations:
            raise InvalidArgument(violations[0].message, violations=violations)
        self._all += new

    def traits(self, name: str) -> Traits:
        """Say how the server of this name behaves."""
        traits = Traits(self._boot_seconds)
        for _, each in self._striking(name):
            if each.HasField("boot_time"):
                traits.boot_seconds = each.boot_time.ToNanoseconds() / 1e9
            traits.boot_fails |= each.boot_fails
            traits.slowness = each.slowness or traits.slowness
            traits.ssh_dead |= each.ssh_dead
            traits.ssh_dies_after = each.ssh_dies_after or traits.ssh_dies_after
            traits.create_reply_lost |= each.create_reply_lost
            if each.HasField("create_time"):
                traits.create_seconds = each.create_time.ToNanoseconds() / 1e9
            if each.HasField("login_time"):
                traits.login_seconds = each.login_time.ToNanoseconds() / 1e9
        return traits

    def scripted_exit_code(self, name: str, key: str, used: Counter[int]) -> int | None:
        """Say how a command about to begin shall end; None leaves that to its script.

        ``used`` counts, for this server, how often each behaviour has struck; it is counted on.
        """
        for index, each in reversed(list(self._striking(name))):
            if not each.HasField("command_exit_code"):
                continue
            is_left = not each.command_failures or used[index] < each.command_failures
            if is_left and fnmatchcase(key, each.command_glob or "*"):
                used[index] += 1
                return each.command_exit_code
        return None

    def _striking(self, name: str) -> Iterator[tuple[int, Behavior]]:
        for index, each in enumerate(self._all):
            if fnmatchcase(name, each.name_glob or "*") and self._is_drawn(name, index):
                yield index, each

    def _is_drawn(self, name: str, index: int) -> bool:
        probability = self._all[index].probability or 1.0
        drawn = hashlib.blake2b(f"{self._seed}/{index}/{name}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn) < probability * 2**64


def from_json(text: str) -> list[Behavior]:
    """Read a list of behaviours.

    Raises ``ValueError``, saying what is wrong, also when one makes no sense.
    """
    documents = json.loads(text)
    if not isinstance(documents, list):
        raise ValueError("this is no JSON list")
    try:
        behaviors = [json_format.ParseDict(each, Behavior()) for each in documents]
    except json_format.ParseError as error:
        raise ValueError(str(error)) from error
    for each in _problems(behaviors):
        raise ValueError(f"{each.field}: {each.message}")
    return behaviors


def _problems(behaviors: list[Behavior]) -> list[FieldViolation]:
    return [
        problem for number, each in enumerate(behaviors) for problem in _problems_of(number, each)
    ]


def _problems_of(number: int, behavior: Behavior) -> Iterator[FieldViolation]:
    place = f"behaviors[{number}]"
    if not 0 <= behavior.probability <= 1:
        yield FieldViolation(f"{place}.probability", "a probability lies between 0 and 1")
    for field in ("boot_time", "create_time", "login_time"):
        if getattr(behavior, field).ToNanoseconds() < 0:
            yield FieldViolation(f"{place}.{field}", f"{field} is 0 seconds or more")
    if not (math.isfinite(behavior.slowness) and behavior.slowness >= 0):
        yield FieldViolation(f"{place}.slowness", "slowness is a factor of 0 or more")
    for field in ("ssh_dies_after", "command_failures"):
        if getattr(behavior, field) < 0:
            yield FieldViolation(f"{place}.{field}", f"{field} is a count of 0 or more")
