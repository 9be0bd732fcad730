"""A client that subscribes to resources, in either era, and records its notifications with their times."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp import Client
from mcp.server.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import ResourceUpdatedNotification

__all__ = ["Heard", "listening", "subscribe", "unsubscribe"]


@dataclass(slots=True)
class Heard:
    """What a client heard: (time, address)."""

    client: Client | None = None
    news: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def note(self, address: str) -> None:
        self.news.append((anyio.current_time(), address))

    def times(self, address: str) -> list[float]:
        """When it heard of an address."""
        return [at for at, what in self.news if what == address]

    async def within(self, seconds: float, address: str) -> bool:
        """Whether it hears of an address in time."""
        return await self.until(seconds, lambda: bool(self.times(address)))

    async def until(self, seconds: float, true: Callable[[], bool]) -> bool:
        with anyio.move_on_after(seconds):
            while not true():
                await anyio.sleep(0.02)
        return true()


async def subscribe(client: Client, address: str) -> None:
    """As the older era does it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await client.subscribe_resource(address)


async def unsubscribe(client: Client, address: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await client.unsubscribe_resource(address)


@asynccontextmanager
async def listening(source: Any, era: str, addresses: Sequence[str]) -> AsyncIterator[Heard]:
    """Connect, listen, and collect until the block ends."""
    heard = Heard()

    async def note(message: object) -> None:
        if era == "legacy" and isinstance(message, ResourceUpdatedNotification):
            heard.note(str(message.params.uri))

    async with Client(source, mode=era, message_handler=note) as heard.client:
        if era == "legacy":
            for address in addresses:
                await subscribe(heard.client, address)
            yield heard
            return
        async with heard.client.listen(resource_subscriptions=addresses) as stream, anyio.create_task_group() as group:

            async def collect() -> None:
                async for event in stream:
                    assert isinstance(event, ResourceUpdated)
                    heard.note(event.uri)

            group.start_soon(collect)
            yield heard
            group.cancel_scope.cancel()
