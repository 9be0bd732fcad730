"""Subscriptions to resources, and a task for each grant's data that looks for changes while there are any.

    ChangeFeed                  the event bus behind `subscriptions/listen`, and behind subscriptions of the older protocol
    ChangeFeed.note_addresses   middleware: remembers the addresses of a `subscriptions/listen`, so only these are checked

While an address of ours has a subscriber, a task reads new data at least every two seconds. It notifies each listener of its
changed addresses, at most once per round however fast a run logs. A listener with a limited grant gets changes from the database
of its own roots only, by a task of its own: slow folders or an error of one grant delay no other. Without subscribers there is no
task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Mapping
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import anyio.lowlevel
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import ResourceUpdated, ServerEvent
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS
from msgspec import Struct, field

from sweeplens.errors import SweeplensError
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.protocol.fingerprints import Fingerprints, is_ours, read_fingerprints

__all__ = ["ChangeFeed", "ChangeListener", "check_addresses"]

_ROUND_SECONDS = 1.1  # over a second, so that no listener sees two changes within one second
_SLOWEST_SECONDS = 2.0
_MOST_ADDRESSES = 500
_LONGEST_ADDRESS = 2000
_CLOCK = timedelta(milliseconds=50)  # file systems have coarser clocks
_log = logging.getLogger(__name__)
_asked: ContextVar[tuple[str, ...]] = ContextVar("asked", default=())


def check_addresses(addresses: Collection[str]) -> None:
    """Raises MCPError if a client asks for too many or too long addresses."""
    if len(addresses) > _MOST_ADDRESSES or any(len(a) > _LONGEST_ADDRESS for a in addresses):
        raise MCPError(
            INVALID_PARAMS,
            f"A client may subscribe to {_MOST_ADDRESSES} addresses of {_LONGEST_ADDRESS} characters each: "
            "subscribe to experiments://runs instead, which changes when any run changes.",
        )


class ChangeListener(Struct, eq=False):
    """A subscriber: its callback, the state for this caller, and when it subscribed to each address."""

    deliver: Callable[[ServerEvent], None]
    state: ServerState
    wanted: dict[str, datetime] = field(default_factory=dict[str, datetime])
    known: dict[str, Hashable] = field(default_factory=dict[str, Hashable])

    def want(self, address: str) -> None:
        """Subscribes to an address from now on."""
        self.wanted.setdefault(address, datetime.now(UTC) - _CLOCK)

    def forget(self, address: str) -> None:
        """Ends the subscription to an address."""
        self.wanted.pop(address, None)
        self.known.pop(address, None)

    def compare(self, now: Fingerprints, asked: Collection[str]) -> None:
        """Reports changes since the last round, or since the subscription in the first round."""
        for address, since in [(a, s) for a, s in self.wanted.items() if a in asked]:
            facts = now.facts(address)
            first = address not in self.known
            changed = now.changed_at(address) >= since if first else facts != self.known[address]
            self.known[address] = facts
            if changed:
                self.deliver(ResourceUpdated(address))


class ChangeFeed:
    """The subscription bus of one server."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._listeners: dict[ChangeListener, None] = {}
        self._tasks: dict[ServerState, asyncio.Task[None]] = {}

    # ------------------------------------------------ the SDK's view of a bus

    async def publish(self, event: ServerEvent) -> None:
        """Sends an event to every listener; each one filters by itself."""
        for listener in list(self._listeners):
            listener.deliver(event)
        await anyio.lowlevel.checkpoint()

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Adds the stream of a `subscriptions/listen`; called within its request."""
        return self.add(self.listener(listener, _asked.get()))

    async def note_addresses(self, ctx: ServerRequestContext[ServerState, Any], call_next: CallNext) -> HandlerResult:
        """Middleware: remembers the addresses of a `subscriptions/listen`."""
        if ctx.method != "subscriptions/listen":
            return await call_next(ctx)
        given = _addresses(ctx.params or {})
        check_addresses(given)
        token = _asked.set(given)
        try:
            return await call_next(ctx)
        finally:
            _asked.reset(token)

    # ------------------------------------------------------------- listeners

    def listener(self, deliver: Callable[[ServerEvent], None], addresses: Collection[str] = ()) -> ChangeListener:
        """Makes a listener with the rights of the current caller."""
        made = ChangeListener(deliver, self._state.for_caller())
        for address in filter(is_ours, addresses):
            made.want(address)
        return made

    def add(self, listener: ChangeListener) -> Callable[[], None]:
        """Adds a listener. Returns a function that removes it, and may be called more than once."""
        self._listeners[listener] = None
        self.update_watch()

        def end() -> None:
            self._listeners.pop(listener, None)
            self.update_watch()

        return end

    def update_watch(self) -> None:
        """Has one task for each state with a subscriber to an address of ours. Call it after every change."""
        wanted = {listener.state for listener in self._listeners if listener.wanted}
        for state in self._tasks.keys() - wanted:
            self._tasks.pop(state).cancel()
        for state in wanted - self._tasks.keys():
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._watch(state), name="sweeplens-watch", context=Context())
            self._tasks[state] = task
            task.add_done_callback(partial(self._ended, state))

    # ------------------------------------------------------------- the tasks

    async def _watch(self, state: ServerState) -> None:
        loop = asyncio.get_running_loop()
        current = Fingerprints()
        while True:
            began = loop.time()
            asked = {address for listener in self._listeners if listener.state is state for address in listener.wanted}
            current = await _read_changes(state, asked, current)
            for listener in [listener for listener in self._listeners if listener.state is state]:
                listener.compare(current, asked)
            took = loop.time() - began
            await asyncio.sleep(min(max(_ROUND_SECONDS, 4 * took), _SLOWEST_SECONDS))

    def _ended(self, state: ServerState, task: asyncio.Task[None]) -> None:
        """Logs the error of a failed task, and starts a new task after a while."""
        if self._tasks.get(state) is task:
            del self._tasks[state]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("looking for changes failed", exc_info=error)
            task.get_loop().call_later(_SLOWEST_SECONDS, self.update_watch)


async def _read_changes(state: ServerState, addresses: set[str], before: Fingerprints) -> Fingerprints:
    try:
        database = await state.database()
        return await anyio.to_thread.run_sync(
            partial(read_fingerprints, database, addresses, before), abandon_on_cancel=True
        )
    except SweeplensError as error:
        _log.info("no changes can be read: %s", error)
        return Fingerprints()


def _addresses(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The addresses in the raw parameters; malformed parameters are refused later."""
    asked: object = params.get("notifications")
    listed = cast("Mapping[str, object]", asked).get("resourceSubscriptions") if isinstance(asked, dict) else None
    return tuple(a for a in cast("list[object]", listed) if isinstance(a, str)) if isinstance(listed, list) else ()
