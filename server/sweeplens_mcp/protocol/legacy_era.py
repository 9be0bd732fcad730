"""Protocol versions up to 2025-11-25, with a handshake: the parts that the SDK does not do.

    add_legacy_era(server, feed)    `resources/subscribe`, `resources/unsubscribe`, `logging/setLevel`, and the correct
                                    capabilities in `initialize`: the same ones as in the newer protocol versions

Such a client gets changes as notifications on its connection. Pending notifications are a set, so a slow client cannot make
them grow without bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from mcp.server import MCPServer
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.types import (
    EmptyResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS

from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.protocol.fingerprints import is_ours
from sweeplens_mcp.protocol.subscriptions import ChangeFeed, check_addresses

__all__ = ["add_legacy_era"]

_STATE = "sweeplens.client"
_LISTS: Mapping[type[ServerEvent], str] = {
    ToolsListChanged: "notifications/tools/list_changed",
    PromptsListChanged: "notifications/prompts/list_changed",
    ResourcesListChanged: "notifications/resources/list_changed",
}
_Ctx = ServerRequestContext[ServerState, Any]


class _LegacyConnection:
    """One connection with its subscriptions and pending notifications. It ends with the connection."""

    def __init__(self, connection: Connection, feed: ChangeFeed) -> None:
        self._connection = connection
        self._feed = feed
        self._subscribed: set[str] = set()
        self._pending: dict[ServerEvent, None] = {}
        self._sending: asyncio.Task[None] | None = None
        self._listener = feed.listener(self._deliver)
        self._end = feed.add(self._listener)
        connection.exit_stack.callback(self._close)

    def subscribe(self, address: str) -> None:
        """Subscribes to an address."""
        check_addresses(self._subscribed | {address})
        self._subscribed.add(address)
        if is_ours(address):
            self._listener.want(address)
            self._feed.update_watch()

    def unsubscribe(self, address: str) -> None:
        """Ends the subscription to an address."""
        self._subscribed.discard(address)
        self._pending.pop(ResourceUpdated(address), None)
        self._listener.forget(address)
        self._feed.update_watch()

    def _deliver(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and event.uri not in self._subscribed:
            return
        self._pending[event] = None
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send(), name="sweeplens-notify")

    async def _send(self) -> None:
        try:
            while self._pending:
                event = next(iter(self._pending))
                del self._pending[event]
                await self._connection.notify(*_notification(event))
        finally:
            self._sending = None

    def _close(self) -> None:
        self._end()
        if self._sending is not None:
            self._sending.cancel()


def add_legacy_era(server: MCPServer[ServerState], feed: ChangeFeed) -> None:
    """Registers the handlers and the middleware."""
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # as the SDK advises for such methods

    async def subscribe(ctx: _Ctx, params: SubscribeRequestParams) -> EmptyResult:
        _client_of(ctx, feed).subscribe(str(params.uri))
        return EmptyResult()

    async def unsubscribe(ctx: _Ctx, params: UnsubscribeRequestParams) -> EmptyResult:
        _client_of(ctx, feed).unsubscribe(str(params.uri))
        return EmptyResult()

    async def set_level(ctx: _Ctx, params: SetLevelRequestParams) -> EmptyResult:
        """Accepts any level: logs go to stderr, never to clients."""
        return EmptyResult()

    async def handshake(ctx: _Ctx, call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "initialize":
            capabilities = lowlevel.get_capabilities(protocol_version=LATEST_MODERN_VERSION)
            return _with_real_capabilities(
                result, capabilities.model_dump(by_alias=True, mode="json", exclude_none=True)
            )
        if ctx.method == "notifications/initialized" and ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            _client_of(ctx, feed)
        return result

    lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
    lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    server.middleware.append(handshake)


def _client_of(ctx: _Ctx, feed: ChangeFeed) -> _LegacyConnection:
    """Returns the state of the connection that a message came on; creates it for a new connection."""
    connection = ctx.session._connection  # pyright: ignore[reportPrivateUsage]  # no public object has its lifetime
    held = connection.state.get(_STATE)
    if not isinstance(held, _LegacyConnection):
        held = connection.state[_STATE] = _LegacyConnection(connection, feed)
    return held


def _with_real_capabilities(result: HandlerResult, real: Mapping[str, Any]) -> HandlerResult:
    """Replaces the capabilities in the answer to `initialize` by those that this server has in every protocol version."""
    if not isinstance(result, dict):
        return result
    claimed = cast("dict[str, Any]", result["capabilities"])
    merged = {name: {**claim, **real.get(name, {})} for name, claim in claimed.items()}
    if real.get("extensions"):
        merged["extensions"] = real["extensions"]
    return {**result, "capabilities": merged}


def _notification(event: ServerEvent) -> tuple[str, dict[str, Any] | None]:
    if isinstance(event, ResourceUpdated):
        return "notifications/resources/updated", {"uri": event.uri}
    return _LISTS[type(event)], None
