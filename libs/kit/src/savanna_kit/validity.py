"""How long a certificate holds, found out as peers find out: it is shown to one who trusts the
authority, in memory."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna_kit import logs
from savanna_kit.measured import CERTIFICATE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from savanna_kit.identity import Identity

log = logs.get_logger(__name__)

_DAY = 86_400.0
_LOOK_SECONDS = 60.0
_MOST_WARNING = 7 * _DAY
_LAST_SHARE = 0.25
"""Somebody must act when less than this share of its life is left, or a week."""


class IdentityError(Exception):
    """Files that are no identity; the text names them and says what to do."""


@dataclass(frozen=True)
class Validity:
    """When a certificate begins and ends to hold, in seconds since 1970."""

    begins: float
    ends: float

    def is_ending(self, now: float) -> bool:
        """Say whether it is time to renew it."""
        return self.ends - now < min(_MOST_WARNING, _LAST_SHARE * (self.ends - self.begins))


def found(authority: Path, certificate: Path, key: Path) -> Validity:
    """Show a certificate to itself, each side asking for the other's.

    Raises ``ssl.SSLError`` with the reason for which others would refuse it.
    """
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    # Which role it names is asked elsewhere.
    client.check_hostname = False
    for each in (server, client):
        each.load_cert_chain(certificate, key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there)
    answering = server.wrap_bio(there, back, server_side=True)
    open_sides = [asking, answering]
    while open_sides:
        open_sides = [each for each in open_sides if not _goes_on(each)]
    shown = asking.getpeercert() or {}
    return Validity(
        ssl.cert_time_to_seconds(str(shown["notBefore"])),
        ssl.cert_time_to_seconds(str(shown["notAfter"])),
    )


def _goes_on(side: ssl.SSLObject) -> bool:
    """Go on with a handshake as far as it goes; True at its end."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


class Watch:
    """Tells in time that a certificate ends, or that a renewed one is of no use: by a metric, and
    once a day in the log."""

    def __init__(
        self, service: str, identity: Identity, now: Callable[[], float] = time.time
    ) -> None:
        self._service = service
        self._identity = identity
        self._now = now
        self._told_of: object = None
        self._told = 0.0

    async def keep(self) -> None:
        """Watch for ever."""
        async with CERTIFICATE_SECONDS.read_by(self._left):
            while True:
                self.look()
                await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Tell what is wrong, unless it was told within a day of the same certificate."""
        pems, now = self._identity.current(), self._now()
        if pems is self._told_of and now - self._told < _DAY:
            return
        certificate, renew = str(self._identity.files[1]), "renew it: savanna-manage certs"
        try:
            ends = self._identity.validity()
        except IdentityError as error:
            log.error("certificate_refused", certificate=certificate, error=str(error))
        else:
            if not ends.is_ending(now):
                return
            left = round((ends.ends - now) / 3_600, 1)
            log.warning("certificate_ends", certificate=certificate, hours_left=left, next=renew)
        self._told_of, self._told = pems, now

    def _left(self) -> dict[tuple[str, ...], float]:
        try:
            return {(self._service,): self._identity.validity().ends - self._now()}
        except IdentityError:
            return {(self._service,): 0.0}
