"""Who listens to what, and one task that looks while somebody does.

    Feed                    the bus that the SDK's `subscriptions/listen` hears from, and clients of the older era too
    Feed.noting             middleware: remembers what a `subscriptions/listen` asks for, so that no look is wasted

While anybody wants an address of ours, a task reads what is new on disk, at least each two seconds, and tells each listener
which of its addresses changed, at most once in such a round however fast a run logs. A listener with a limited grant hears
from the database of its own roots alone. Nobody wants anything: no task.
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

_ROUND_SECONDS = 1.1  # a little more than a second, so that a listener's clock never counts two changes within one
_SLOWEST_SECONDS = 2.0
_MOST_ADDRESSES = 500
_LONGEST_ADDRESS = 2000
_CLOCK = timedelta(milliseconds=50)  # the clock of a file system ticks more slowly than ours
_log = logging.getLogger(__name__)
_asked: ContextVar[tuple[str, ...]] = ContextVar("asked", default=())


def check_addresses(addresses: Collection[str]) -> None:
    """Refuse what no client needs. Raises MCPError with a sentence."""
    if len(addresses) > _MOST_ADDRESSES or any(len(a) > _LONGEST_ADDRESS for a in addresses):
        raise MCPError(
            INVALID_PARAMS,
            f"A client may listen to {_MOST_ADDRESSES} addresses of {_LONGEST_ADDRESS} characters each: "
            "listen to experiments://runs instead, which changes when any run does.",
        )


class ChangeListener(Struct, eq=False):
    """One who listens: how to tell, the state that answers this caller, and since when each address is wanted."""

    deliver: Callable[[ServerEvent], None]
    state: ServerState
    wanted: dict[str, datetime] = field(default_factory=dict[str, datetime])
    known: dict[str, Hashable] = field(default_factory=dict[str, Hashable])

    def want(self, address: str) -> None:
        """Hear of an address from now on."""
        self.wanted.setdefault(address, datetime.now(UTC) - _CLOCK)

    def forget(self, address: str) -> None:
        """Hear of an address no more."""
        self.wanted.pop(address, None)
        self.known.pop(address, None)

    def compare(self, now: Fingerprints, asked: Collection[str]) -> None:
        """Tell what changed since the last look; at the first one, what changed since it is wanted."""
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
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------ the SDK's view of a bus

    async def publish(self, event: ServerEvent) -> None:
        """Tell everyone; each listener knows what it wants to hear."""
        for listener in list(self._listeners):
            listener.deliver(event)
        await anyio.lowlevel.checkpoint()

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """A stream of `subscriptions/listen` begins; called within its request."""
        return self.add(self.listener(listener, _asked.get()))

    async def noting(self, ctx: ServerRequestContext[ServerState, Any], call_next: CallNext) -> HandlerResult:
        """Middleware: what a `subscriptions/listen` asks for."""
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
        """A listener with the rights of whoever asks now."""
        made = ChangeListener(deliver, self._state.mine())
        for address in filter(is_ours, addresses):
            made.want(address)
        return made

    def add(self, listener: ChangeListener) -> Callable[[], None]:
        """Let a listener hear; what is returned ends that, once or more often."""
        self._listeners[listener] = None
        self.settle()

        def end() -> None:
            self._listeners.pop(listener, None)
            self.settle()

        return end

    def settle(self) -> None:
        """Look while anybody wants an address of ours, and only then. To be called when that may have changed."""
        wanted = any(listener.wanted for listener in self._listeners)
        if wanted and self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._watch(), name="sweeplens-watch", context=Context())
            self._task.add_done_callback(self._ended)
        elif not wanted and self._task is not None:
            self._task.cancel()
            self._task = None

    # -------------------------------------------------------------- the task

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        looks: dict[ServerState, Fingerprints] = {}
        while True:
            began = loop.time()
            wanted = self._wanted()
            looks = {
                state: await _look(state, asked, looks.get(state, Fingerprints())) for state, asked in wanted.items()
            }
            for listener in list(self._listeners):
                if listener.state in looks:
                    listener.compare(looks[listener.state], wanted[listener.state])
            took = loop.time() - began
            await asyncio.sleep(min(max(_ROUND_SECONDS, 4 * took), _SLOWEST_SECONDS))

    def _wanted(self) -> dict[ServerState, set[str]]:
        """The addresses that are wanted from each state."""
        wanted: dict[ServerState, set[str]] = {}
        for listener in self._listeners:
            if listener.wanted:
                wanted.setdefault(listener.state, set()).update(listener.wanted)
        return wanted

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A watch that failed is said so, and begun anew after a while."""
        if self._task is task:
            self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("looking for changes failed", exc_info=error)
            task.get_loop().call_later(_SLOWEST_SECONDS, self.settle)


async def _look(state: ServerState, addresses: set[str], before: Fingerprints) -> Fingerprints:
    try:
        database = await state.database()
        return await anyio.to_thread.run_sync(
            partial(read_fingerprints, database, addresses, before), abandon_on_cancel=True
        )
    except SweeplensError as error:
        _log.info("nothing to look at: %s", error)
        return Fingerprints()


def _addresses(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The addresses in the raw parameters; what is malformed is refused further on."""
    asked: object = params.get("notifications")
    listed = cast("Mapping[str, object]", asked).get("resourceSubscriptions") if isinstance(asked, dict) else None
    return tuple(a for a in cast("list[object]", listed) if isinstance(a, str)) if isinstance(listed, list) else ()
