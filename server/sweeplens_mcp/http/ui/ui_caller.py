"""Questions of a page to the tools: the same functions, queues, shares of grants and worker processes as for an MCP client.

A question whose browser has left is cancelled. What cannot be answered is a value, not an exception, so that the other
sections of a page stay.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from msgspec import Struct
from starlette.requests import Request

from sweeplens.errors import SweeplensError
from sweeplens_mcp.execution.arguments import checked_arguments
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.execution.worker_pool import CallAbandonedError
from sweeplens_mcp.grants import current_grant_key
from sweeplens_mcp.tools import TOOLS
from sweeplens_mcp.tools.spec import ToolResult

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["RecentAnswers", "UiCaller", "ui_caller_of", "while_connected"]

T = TypeVar("T")
_TOOLS = {spec.name: spec for spec in TOOLS}
_PAGING = ("limit", "cursor")
_MOST_HELD = 64
_HELD_SECONDS = 60.0


class RecentAnswers:
    """The last answers of a server, each for one version of the data and a minute: a run that falls silent changes no data."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, tuple[str, float, Any]] = OrderedDict()

    def get(self, key: Hashable, database: ExperimentDB, work: Callable[[ExperimentDB], T]) -> T:
        """The answer that is held for these data, else that of ``work``."""
        version = database.refresh().version
        with self._lock:
            held = self._held.get(key)
        if held is not None and held[0] == version and self._clock() - held[1] < _HELD_SECONDS:
            return held[2]
        made = work(database)
        with self._lock:
            self._held[key] = (version, self._clock(), made)
            self._held.move_to_end(key)
            while len(self._held) > _MOST_HELD:
                self._held.popitem(last=False)
        return made


class UiCaller(Struct, frozen=True):
    """One caller: the state that its grant allows, the database of it, and whose share its questions count for."""

    state: ServerState
    database: ExperimentDB
    grant: str
    recent: RecentAnswers

    async def tool(self, name: str, **arguments: object) -> ToolResult | SweeplensError:
        """The whole answer of a tool."""
        spec = _TOOLS[name]
        try:
            given = {k: v for k, v in checked_arguments(spec, arguments).items() if k not in _PAGING}
        except SweeplensError as error:
            return error
        compute = self.state.answer_function(spec)
        return await self.question(name, given, lambda db: compute(spec, db, given), heavy=spec.heavy)

    async def question(
        self, name: str, given: object, work: Callable[[ExperimentDB], T], *, heavy: bool = False
    ) -> T | SweeplensError:
        """What ``work`` returns; ``name`` and ``given`` say which questions are the same."""
        key = (self.state, "ui", name, json.dumps(given, sort_keys=True, default=str))
        try:
            return await self.state.worker_pool.run(key, lambda: self._answer(key, work), heavy=heavy, grant=self.grant)
        except SweeplensError as error:
            return error

    def _answer(self, key: Hashable, work: Callable[[ExperimentDB], T]) -> T:
        """A store may be deleted at any time; what it lost is then read from the folders."""
        try:
            return self.recent.get(key, self.database, work)
        except OSError as error:
            if isinstance(error, SweeplensError):
                raise
            self.database.load_experiments()
            return work(self.database)


async def ui_caller_of(state: ServerState, recent: RecentAnswers) -> UiCaller:
    """The UiCaller of the current request, once the experiments are read. Raises SweeplensError."""
    mine = state.for_caller()
    return UiCaller(mine, await mine.database(), current_grant_key(), recent)


async def while_connected(request: Request, work: Callable[[], Awaitable[T]]) -> T | SweeplensError:
    """The result of the work, or its SweeplensError; the work is cancelled if the browser disconnects."""
    found: T | SweeplensError = CallAbandonedError("The browser left before this page was made.")

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        try:
            found = await work()
        except SweeplensError as error:
            found = error
        group.cancel_scope.cancel()
    return found
