"""Secrets: key pairs of clusters, and the key file that encrypts everything secret in the
database."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from savanna_kit.errors import FailedPrecondition

if TYPE_CHECKING:
    from pathlib import Path

COMMENT = "Generated-by-Savanna"


class Secrets:
    """Encrypts and decrypts with the key of a file (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    @classmethod
    def from_file(cls, path: Path) -> Secrets:
        """Read the key file, or make it, readable by its owner alone.

        Raises ``FailedPrecondition``.
        """
        if not path.exists():
            _make_key_file(path)
        try:
            return cls(path.read_bytes().strip())
        except ValueError as error:
            raise FailedPrecondition(
                f"{path} is no key file: put the right one back, or remove it to begin anew "
                "(what it encrypted is lost then)",
                reason="KEY_FILE_INVALID",
            ) from error

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt."""
        return self._fernet.encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt.

        Raises ``FailedPrecondition`` when it was encrypted with another key.
        """
        try:
            return self._fernet.decrypt(data)
        except InvalidToken as error:
            raise FailedPrecondition(
                "a secret in the database was encrypted with another key file: put that file back",
                reason="KEY_FILE_WRONG",
            ) from error


def _make_key_file(path: Path) -> None:
    """Put a whole key file in place, on disk before anything is encrypted with it; if another
    process was faster, its file stays."""
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(Fernet.generate_key())
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_key_pair() -> tuple[str, str]:
    """Make an ed25519 key pair in OpenSSH form: private, public."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), f"{public.decode()} {COMMENT}"
