"""How a user knows the gateway, and is known to it, when it is reached over TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """Files in PEM form."""

    authority: Path
    """Certificates of the authority that the gateway, or the proxy before it, must have one of."""

    certificate: Path | None = None
    """The user's own, where it is asked for: by a gateway that has no proxy before it."""

    key: Path | None = None
    """The key of that certificate."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises ``InvalidArgument`` that names what can not be read, or is missing beside another.
        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidArgument(
                "a certificate and its key are given together: name both files, or neither"
            )
        try:
            return grpc.ssl_channel_credentials(
                self.authority.read_bytes(),
                self.key.read_bytes() if self.key else None,
                self.certificate.read_bytes() if self.certificate else None,
            )
        except OSError as error:
            raise InvalidArgument(f"{error.filename} can not be read: {error.strerror}") from error
