"""A channel whose certificate may be renewed: gRPC's own keeps the one that it was made with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna_kit.identity import Identity, Pems

_LINGER_SECONDS = 30 * 86_400.0
"""How long calls of a former channel may go on: a stream lives as long as its connection."""


class RenewedChannel(grpc.aio.Channel):
    """Calls go out over a channel with the newest certificate; those under way end on theirs."""

    def __init__(self, identity: Identity, make: Callable[[], grpc.aio.Channel]) -> None:
        self._identity = identity
        self._make = make
        self._pems: Pems | None = None
        self._channel = self._made()
        self._former: set[asyncio.Task[None]] = set()

    def current(self) -> grpc.aio.Channel:
        """Give the channel to use now."""
        if self._identity.current() is not self._pems:
            old, self._channel = self._channel, self._made()
            leaving = asyncio.ensure_future(old.close(_LINGER_SECONDS))
            self._former.add(leaving)
            leaving.add_done_callback(self._former.discard)
        return self._channel

    def _made(self) -> grpc.aio.Channel:
        self._pems = self._identity.current()
        return self._make()

    async def __aenter__(self) -> RenewedChannel:
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close it, and what is left of former ones."""
        for each in self._former:
            each.cancel()
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Give the state of the channel that is used now."""
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the channel that is used now has another state."""
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the channel that is used now is connected."""
        await self.current().channel_ready()

    def unary_unary(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - gRPC's own types
        """Give a method: one request, one response."""
        return self._method("unary_unary", words, named)

    def unary_stream(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - gRPC's own types
        """Give a method: one request, a stream of responses."""
        return self._method("unary_stream", words, named)

    def stream_unary(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - gRPC's own types
        """Give a method: a stream of requests, one response."""
        return self._method("stream_unary", words, named)

    def stream_stream(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - gRPC's own types
        """Give a method: streams both ways."""
        return self._method("stream_stream", words, named)

    def _method(
        self, kind: str, words: tuple[Any, ...], named: dict[str, Any]
    ) -> Callable[..., Any]:
        made_for: grpc.aio.Channel | None = None
        method: Any = None

        def call(*request: Any, **details: Any) -> Any:  # noqa: ANN401 - gRPC's own types
            nonlocal made_for, method
            channel = self.current()
            if channel is not made_for:
                made_for, method = channel, getattr(channel, kind)(*words, **named)
            return method(*request, **details)

        return call
