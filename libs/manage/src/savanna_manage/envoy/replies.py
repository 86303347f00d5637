"""What Envoy answers itself when no gateway does, in the form in which REST tells of failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Reply:
    """A failure: its name on the wire, what happened, and what to do."""

    name: str
    what: str
    remedy: str


_AGAIN = "A write may have taken effect: send it with the same Idempotency-Key, or look first"
_REPLIES = {
    503: _Reply("UNAVAILABLE", "No gateway has answered", f"Try again in a moment. {_AGAIN}"),
    504: _Reply("TIMEOUT", "No gateway has answered in time", _AGAIN),
}
_OTHERS = _Reply("REFUSED", "The proxy before the gateways has refused it", "Its log says why")


def local_replies() -> dict[str, Any]:
    """Give ``local_reply_config``."""
    return {
        "mappers": [
            {"filter": _is(status), "body_format_override": _body(reply)}
            for status, reply in _REPLIES.items()
        ],
        "body_format": _body(_OTHERS),
    }


def _is(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"savanna.reply_{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _body(reply: _Reply) -> dict[str, Any]:
    text = f"{reply.what}: %LOCAL_REPLY_BODY%\n{reply.remedy}\nError ID: %REQ(X-REQUEST-ID)%"
    return {
        "json_format": {
            "error_code": "%RESPONSE_CODE%",
            "error_message": text,
            "error_name": reply.name,
        }
    }
