"""Static tokens from a YAML file: a list of entries with token, user, project and roles."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import yaml

from savanna_api_gateway.auth.base import Identity
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TEXTS = ("token", "user_id", "user_name", "project_id", "project_name")


class TokensFileError(Exception):
    """A file of tokens that can not be used; the text names file, entry and field."""


class StaticTokens:
    """Knows the tokens of one file, read once."""

    any_project = False

    def __init__(self, identities: Mapping[str, Identity]) -> None:
        self._identities = {token.encode(): identity for token, identity in identities.items()}

    async def authenticate(self, token: str) -> Identity:
        """Give the identity of a token.

        Raises ``Unauthenticated``.
        """
        given = token.encode()
        found: Identity | None = None
        for known, identity in self._identities.items():
            # In constant time, and always all of them: how long it takes tells nothing of tokens.
            if hmac.compare_digest(known, given):
                found = identity
        if found is None:
            raise errors.Unauthenticated(
                "the token is missing or not known; send a valid one as X-Auth-Token "
                "(REST) or as metadata authorization: Bearer TOKEN (gRPC)",
                reason="UNAUTHENTICATED",
            )
        return found


def read(path: Path) -> StaticTokens:
    """Read a file of tokens.

    Raises ``TokensFileError``.
    """
    try:
        entries = yaml.safe_load(path.read_text())
    except OSError as error:
        raise TokensFileError(f"{path}: can not be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise TokensFileError(f"{path}: is not YAML: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise TokensFileError(f"{path}: must be a list of entries with {', '.join(_TEXTS)}, roles")
    identities: dict[str, Identity] = {}
    for number, entry in enumerate(entries):
        token, identity = _entry(f"{path}: entry {number + 1}", entry)
        if token in identities:
            raise TokensFileError(f"{path}: entry {number + 1}: its token appears twice")
        identities[token] = identity
    return StaticTokens(identities)


def _entry(where: str, entry: object) -> tuple[str, Identity]:
    if not isinstance(entry, dict):
        raise TokensFileError(f"{where}: must be a mapping with {', '.join(_TEXTS)}, roles")
    unknown = sorted(set(map(str, entry)) - {*_TEXTS, "roles"})
    if unknown:
        raise TokensFileError(f"{where}: does not know {', '.join(unknown)}")
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = entry.get(name)
        if not isinstance(value, str) or not value:
            raise TokensFileError(f"{where}: {name} must be a text that is not empty")
        texts[name] = value
    roles = entry.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(each, str) for each in roles):
        raise TokensFileError(f"{where}: roles must be a list of texts")
    identity = Identity(
        texts["user_id"],
        texts["user_name"],
        texts["project_id"],
        texts["project_name"],
        tuple(roles),
    )
    return texts["token"], identity
