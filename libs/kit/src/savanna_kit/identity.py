"""Who a process is to others: a certificate from files, which may be renewed while it runs.

A certificate names one role twice: as ``spiffe://savanna/<role>``, by which a server knows who
calls, and as the DNS name ``<role>.savanna``, by which a client knows what it reached, whatever the
address. ``savanna-manage certs`` makes such certificates; any authority can.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from savanna_kit import logs
from savanna_kit.validity import IdentityError, Validity, found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

log = logs.get_logger(__name__)

_SPIFFE = "spiffe://savanna/"
_PROXY = "envoy"
FORWARDED = "x-forwarded-client-cert"
"""In it a proxy tells of the certificate that it was shown, and drops what its callers claim."""

_LOOK_SECONDS = 1.0
"""How often the files are looked at, at most."""


@dataclass(frozen=True)
class Pems:
    """What the files held when they were last read, and belonged together."""

    authority: bytes
    certificate: bytes
    key: bytes


class Identity:
    """A certificate, its key, and the authority whose certificates are trusted.

    Raises ``IdentityError`` when the files can not be used. Later, files that can not be used (a
    renewal may be half done) leave the last good ones in place and are named in the log.
    """

    def __init__(
        self,
        *,
        authority: Path,
        certificate: Path,
        key: Path,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authority, self._certificate, self._key = authority, certificate, key
        self._monotonic = monotonic
        self._looked = monotonic()
        self._seen = self._stamps()
        self._pems = self._read()
        self._validity: tuple[Pems, Validity] | None = None

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """Name the files: authority, certificate, key."""
        return self._authority, self._certificate, self._key

    def current(self) -> Pems:
        """Give the certificate to use now; the same object until it was renewed."""
        now = self._monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            stamps = self._stamps()
            if stamps != self._seen:
                self._renew(stamps)
        return self._pems

    def validity(self) -> Validity:
        """Say how long the certificate that is used now holds.

        Raises ``IdentityError`` when those who trust the authority would refuse it, or did when it
        was last asked.
        """
        pems = self.current()
        if self._validity is None or self._validity[0] is not pems:
            try:
                self._validity = pems, found(*self.files)
            except (ssl.SSLError, OSError) as error:
                why = getattr(error, "verify_message", "") or str(error)
                raise IdentityError(
                    f"{self._certificate} would be refused by all who trust {self._authority} "
                    f"({why}): make a new one with savanna-manage certs, or give the authority "
                    "that has signed it"
                ) from error
        return self._validity[1]

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Give what a client shows and trusts."""
        pems = self.current()
        return grpc.ssl_channel_credentials(pems.authority, pems.key, pems.certificate)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Give what a server shows and trusts, anew for each connection, and asks of callers."""
        used = self.current()
        configuration = _server_configuration(used)

        def renewed() -> grpc.ServerCertificateConfiguration:
            nonlocal used, configuration
            pems = self.current()
            if pems is not used:
                used, configuration = pems, _server_configuration(pems)
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            configuration, renewed, require_client_authentication=True
        )

    def _renew(self, stamps: tuple[tuple[int, int, int], ...]) -> None:
        try:
            self._pems = self._read()
        except IdentityError as error:
            log.warning("certificate_not_renewed", error=str(error))
        else:
            self._seen = stamps
            log.info("certificate_renewed", certificate=str(self._certificate))

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        stamps = []
        for each in self.files:
            try:
                status = each.stat()
                stamps.append((status.st_mtime_ns, status.st_ino, status.st_size))
            except OSError:
                stamps.append((0, 0, 0))
        return tuple(stamps)

    def _read(self) -> Pems:
        try:
            pems = Pems(*(each.read_bytes() for each in self.files))
        except OSError as error:
            raise IdentityError(f"{error.filename} can not be read: {error.strerror}") from error
        try:
            # Says whether key and certificate belong together; gRPC would refuse callers later.
            context = ssl.create_default_context(cafile=self._authority)
            context.load_cert_chain(self._certificate, self._key)
        except (ssl.SSLError, OSError) as error:
            raise IdentityError(
                f"{self._certificate}, its key {self._key} and the authority {self._authority} "
                f"can not be used together ({error}): give PEM files that belong together"
            ) from error
        return pems


def role_of(names: Iterable[str | bytes]) -> str:
    """Give the role in a peer's names, "" when there is none."""
    for each in names:
        name = each.decode(errors="replace") if isinstance(each, bytes) else each
        if name.startswith(_SPIFFE):
            return name.removeprefix(_SPIFFE)
    return ""


def caller_of(names: Iterable[str | bytes], forwarded: str) -> str:
    """Give the role of who calls, "" when there is none: that of the peer, and where the peer is
    Envoy, the one that it has seen in the certificate of its own caller.

    ``forwarded`` is the header, as Envoy writes it: "Hash=...;URI=spiffe://savanna/engine".
    """
    role = role_of(names)
    if role != _PROXY:
        return role
    seen = forwarded.rpartition(",")[2].split(";")
    uris = [each.removeprefix("URI=") for each in seen if each.startswith("URI=")]
    return role_of(uris) or role


def server_name(role: str) -> str:
    """Give the DNS name that the certificate of a role carries."""
    return f"{role}.savanna"


def _server_configuration(pems: Pems) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pems.key, pems.certificate)], root_certificates=pems.authority
    )
