"""Where calls become work: a bounded number of workers, a bounded queue for each tenant, identical concurrent work done once.

    answer = await desk.run(key, work, heavy=True, tenant=current_tenant())

Light work (lists, single runs, what is cached) and heavy work (statistics, triage, SQL) have workers of their own, so that
a queue of heavy calls never stands before a light one. Tenants take turns, each with a queue of its own; one that says who it
is never has all workers, so that the next tenant finds one. Callers with equal keys share one piece of work, which begins at
the first of their turns. When the last of them is cancelled, work that has not begun leaves the queue, and work that has begun
stops at its next checkpoint.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

import anyio
from msgspec import Struct, field

from sweeplens.cancellation import cancellable
from sweeplens.errors import LimitError
from sweeplens_mcp.execution.turns import Turns

__all__ = ["CallAbandonedError", "WorkerPool", "processors"]

T = TypeVar("T")
_LIGHT_WORKERS = 8
_QUEUE = 32  # long calls of one tenant that wait
_LIGHT_QUEUE = 1000  # short ones
_SECONDS_EACH = 2


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


class CallAbandonedError(LimitError):
    """Nobody waits for this answer any more."""


class _InFlightCall(Struct, Generic[T], eq=False):
    """One piece of work and those who wait for it."""

    key: Hashable
    work: Callable[[], T]
    context: Context
    waiting: int = 0
    tenants: set[str] = field(default_factory=set[str])
    future: Future[T] | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    def check(self) -> None:
        """What a checkpoint of the work looks at."""
        if self.waiting == 0:
            raise CallAbandonedError("Nobody waits for this answer any more.")

    def attend(self) -> T:
        """Do the work; its checkpoints look whether somebody still waits."""
        with cancellable(self.check):
            return self.work()

    def result(self) -> T:
        """What became of it. Raises what the work raised, LimitError when it was never begun."""
        if self.future is None or self.future.cancelled():
            raise LimitError("The server is going down: ask again when it is back.")
        return self.future.result()


class _Lane:
    """The workers for one kind of work, and what waits for them."""

    def __init__(self, name: str, workers: int, queue: int) -> None:
        self._name, self._workers, self._queue = name, workers, queue
        self._free = workers
        self._turns: Turns[_InFlightCall[Any]] = Turns(_share(workers))
        self._pool: ThreadPoolExecutor | None = None

    def admit(self, piece: _InFlightCall[Any], tenant: str) -> None:
        """Let a piece wait in the queue of a tenant too. Raises LimitError when that is full."""
        if piece.future is not None or tenant in piece.tenants:
            return
        held = self._turns.held(tenant)
        workers = _share(self._workers) if tenant else self._workers
        if held >= workers + self._queue:
            seconds = max(1, _SECONDS_EACH * held // workers)
            whose = "of yours " if tenant else ""
            raise LimitError(
                f"Busy: {held} {self._name} calls {whose}are at work or wait. Ask again in about {seconds} s."
            )
        piece.tenants.add(tenant)
        self._turns.add(tenant, piece)

    def begin(self) -> None:
        """Give work to the workers that are free."""
        while self._free and (found := self._turns.begin()):
            self._submit(*found)

    def drop(self, piece: _InFlightCall[Any]) -> None:
        """A piece that has not begun is not begun."""
        self._turns.drop(piece)

    def close(self) -> None:
        """What waits is dropped. Whoever comes later finds the lane empty."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, self._free, self._turns = None, self._workers, Turns(_share(self._workers))

    def _submit(self, tenant: str, piece: _InFlightCall[Any]) -> None:
        loop = asyncio.get_running_loop()
        pool = self._pool = self._pool or ThreadPoolExecutor(self._workers, f"sweeplens-{self._name}")

        def ended(_: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._ended, pool, tenant, piece)

        self._free -= 1
        piece.future = pool.submit(piece.context.run, piece.attend)
        piece.future.add_done_callback(ended)

    def _ended(self, pool: ThreadPoolExecutor, tenant: str, piece: _InFlightCall[Any]) -> None:
        """The work has ended, one way or another."""
        piece.done.set()
        if pool is self._pool:  # else the lane was closed meanwhile
            self._turns.end(tenant)
            self._free += 1
            self.begin()


class WorkerPool:
    """Workers of one server. ``queue``: how many long calls of one tenant may wait. `close` ends them."""

    def __init__(self, *, heavy_workers: int = 0, queue: int = _QUEUE) -> None:
        heavy = max(1, heavy_workers or processors() - 1)
        self._lanes = {True: _Lane("long", heavy, queue), False: _Lane("short", _LIGHT_WORKERS, _LIGHT_QUEUE)}
        self._pieces: dict[Hashable, _InFlightCall[Any]] = {}

    async def run(self, key: Hashable, work: Callable[[], T], *, heavy: bool, tenant: str = "") -> T:
        """The result of ``work``, or of equal work that is under way. Raises what it raised, LimitError when full."""
        lane = self._lanes[heavy]
        found = self._pieces.get(key)
        piece: _InFlightCall[T] = (
            found if found and not found.done.is_set() else _InFlightCall(key, work, copy_context())
        )
        lane.admit(piece, tenant)
        self._pieces[key] = piece
        piece.waiting += 1
        try:
            lane.begin()
            await piece.done.wait()
        finally:
            piece.waiting -= 1
            if piece.waiting == 0 or piece.done.is_set():
                self._leave(lane, piece)
        return piece.result()

    def close(self) -> None:
        """Let nobody in any more: what waits is dropped, what is under way stops at its next checkpoint."""
        for lane in self._lanes.values():
            lane.close()
        for piece in self._pieces.values():
            if piece.future is None:
                piece.done.set()
        self._pieces.clear()

    def _leave(self, lane: _Lane, piece: _InFlightCall[Any]) -> None:
        """The last caller is gone, or the work has ended: nobody may join any more."""
        if self._pieces.get(piece.key) is piece:
            del self._pieces[piece.key]
        if piece.future is None:
            lane.drop(piece)


def _share(workers: int) -> int:
    """How many workers a tenant may have at most: a quarter of them, and one at least, is left to the others."""
    return max(1, workers - max(1, workers // 4))
