"""Certificates for tests: an authority in a folder, and leaves of it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from savanna_kit.identity import Identity
from savanna_manage.certificates import ROLES, make_authority, make_leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class Certificates:
    """An authority in a folder, and whoever needs a leaf of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._now = datetime.datetime.now(datetime.UTC)
        self._authority = make_authority(folder, days=10, now=self._now)

    def make(
        self,
        role: str,
        *,
        days_ago: int = 0,
        hosts: Sequence[str] = (),
        into: Path | None = None,
    ) -> None:
        """Make or renew a leaf, valid for a day from then on, beside the authority or elsewhere."""
        made = self._now - datetime.timedelta(days=days_ago)
        folder = into or self.folder
        make_leaf(folder, self._authority, role, days=1, now=made, hosts=hosts)

    def make_all(self, hosts: Mapping[str, Sequence[str]] | None = None) -> Path:
        """Make a leaf for each role, some with further names; gives the folder."""
        for role in ROLES:
            self.make(role, hosts=(hosts or {}).get(role, ()))
        return self.folder

    def identity(self, role: str, monotonic: Callable[[], float] = lambda: 0.0) -> Identity:
        """Read the leaf of a role, made when there is none; by a clock that stands still, unless
        another is given, it is read once."""
        if not (self.folder / f"{role}.pem").exists():
            self.make(role)
        return Identity(
            authority=self.folder / "ca.pem",
            certificate=self.folder / f"{role}.pem",
            key=self.folder / f"{role}.key",
            monotonic=monotonic,
        )
