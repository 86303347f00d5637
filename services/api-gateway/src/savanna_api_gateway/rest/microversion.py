"""Microversions of v2: which one a request asks for.

Pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from savanna_api_gateway.rest.failures import Failure, refused_version

HEADER = "OpenStack-API-Version"
SERVICE = "data-processing"


class Version(NamedTuple):
    """A microversion; later ones are greater."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


LEAST = Version(2, 0)
"""What Sahara 19 speaks, and what is spoken when nothing is asked for."""

V2_1 = Version(2, 1)
"""Bytes of job binaries are uploaded; jobs may be of type PySpark; operations are shown, cancelled,
tried again and rolled back; launches and scales say what becomes of them on failure."""

MOST = V2_1

_FORM = re.compile(r"([1-9]\d*)\.([1-9]\d*|0)")
_LATEST = "latest"


@dataclass(frozen=True)
class Asked:
    """What a request asks for: as it was said, and a version or why it can not be served."""

    said: str
    version: Version = LEAST
    failure: Failure | None = None


def asked(header: str | None) -> Asked:
    """Read the header; other services' versions in it are passed over."""
    said = str(LEAST)
    for each in (header or "").split(","):
        service, _, wanted = each.strip().partition(" ")
        if service.lower() == SERVICE and wanted.strip():
            said = wanted.strip()
    if said.lower() == _LATEST:
        return Asked(str(MOST), MOST)
    match = _FORM.fullmatch(said)
    if match is None:
        text = (
            f"API Version String {said} is of invalid format. Must be of format MajorNum.MinorNum."
        )
        return Asked(said, failure=_refused(400, "BAD_REQUEST", text))
    version = Version(int(match[1]), int(match[2]))
    if not LEAST <= version <= MOST:
        text = (
            f"Version {said} is not supported by the API. Minimum is {LEAST} and maximum is {MOST}."
        )
        return Asked(said, failure=_refused(406, "NOT_ACCEPTABLE", text))
    return Asked(said, version)


def _refused(status: int, name: str, text: str) -> Failure:
    return refused_version(status, name, text, str(LEAST), str(MOST))
