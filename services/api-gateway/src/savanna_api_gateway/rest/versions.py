"""The document that says which versions there are, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.rest.microversion import LEAST, MOST

if TYPE_CHECKING:
    from savanna_api_gateway.rest.schemas import Json


def document(base: str) -> Json:
    """Give it; ``base`` is the URL that the caller used, with a slash at its end."""
    return {
        "versions": [
            {
                "id": "v2",
                "status": "CURRENT",
                "links": [{"rel": "self", "href": f"{base}v2/"}],
                "min_version": str(LEAST),
                "max_version": str(MOST),
            }
        ]
    }
