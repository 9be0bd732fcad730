"""Where calls become work: a bounded number of workers, a bounded queue, identical concurrent work done once.

    answer = await desk.run(key, work, heavy=True)

Light work (lists, single runs, what is cached) and heavy work (statistics, triage, SQL) have workers of their own, so that
a queue of heavy calls never stands before a light one. Callers with equal keys share one piece of work. When the last of
them is cancelled, work that has not begun leaves the queue, and work that has begun stops at its next checkpoint.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Generic, TypeVar

import anyio
from msgspec import Struct, field

from sweeplens.cancellation import cancellable
from sweeplens.errors import LimitError

__all__ = ["CallAbandonedError", "WorkerPool", "processors"]

T = TypeVar("T")
_LIGHT_WORKERS = 8
_QUEUE = 32
_SECONDS_EACH = 2


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


class CallAbandonedError(LimitError):
    """Nobody waits for this answer any more."""


class _InFlightCall(Struct, Generic[T], eq=False):
    """One piece of work and those who wait for it."""

    heavy: bool
    waiting: int = 0
    future: Future[T] | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    def check(self) -> None:
        """What a checkpoint of the work looks at."""
        if self.waiting == 0:
            raise CallAbandonedError("Nobody waits for this answer any more.")

    def attend(self, work: Callable[[], T]) -> T:
        """Do the work; its checkpoints look whether somebody still waits."""
        with cancellable(self.check):
            return work()


class WorkerPool:
    """Workers of one server. `close` ends them."""

    def __init__(self, *, heavy_workers: int = 0, queue: int = _QUEUE) -> None:
        self._heavy_workers = max(1, heavy_workers or processors() - 1)
        self._pools: dict[bool, ThreadPoolExecutor] = {}
        self._room = self._heavy_workers + queue
        self._admitted = 0
        self._pieces: dict[Hashable, _InFlightCall[Any]] = {}

    async def run(self, key: Hashable, work: Callable[[], T], *, heavy: bool) -> T:
        """The result of ``work``, or of equal work that is under way. Raises what it raised, LimitError when full."""
        piece: _InFlightCall[T] = self._pieces.get(key) or self._admit(key, heavy=heavy)
        piece.waiting += 1
        future = piece.future = piece.future or self._begin(key, piece, work)
        try:
            await piece.done.wait()
        finally:
            piece.waiting -= 1
            if piece.waiting == 0:
                self._leave(key, piece)
        return future.result()

    def close(self) -> None:
        """Let nobody in any more: what waits is dropped, what is under way stops at its next checkpoint."""
        while self._pools:
            self._pools.popitem()[1].shutdown(wait=False, cancel_futures=True)

    def _admit(self, key: Hashable, *, heavy: bool) -> _InFlightCall[Any]:
        if heavy and self._admitted >= self._room:
            seconds = _SECONDS_EACH * self._admitted // self._heavy_workers
            raise LimitError(f"Busy: {self._admitted} long calls are at work or wait. Ask again in about {seconds} s.")
        self._admitted += heavy
        piece = self._pieces[key] = _InFlightCall[Any](heavy)
        return piece

    def _begin(self, key: Hashable, piece: _InFlightCall[T], work: Callable[[], T]) -> Future[T]:
        loop = asyncio.get_running_loop()

        def settled(future: Future[T]) -> None:
            if not future.cancelled() and not loop.is_closed():
                loop.call_soon_threadsafe(self._settle, key, piece)

        future = self._pool(heavy=piece.heavy).submit(copy_context().run, piece.attend, work)
        future.add_done_callback(settled)
        return future

    def _pool(self, *, heavy: bool) -> ThreadPoolExecutor:
        if heavy not in self._pools:
            workers, name = (self._heavy_workers, "heavy") if heavy else (_LIGHT_WORKERS, "light")
            self._pools[heavy] = ThreadPoolExecutor(workers, thread_name_prefix=f"sweeplens-{name}")
        return self._pools[heavy]

    def _settle(self, key: Hashable, piece: _InFlightCall[Any]) -> None:
        """The work has ended, one way or another."""
        self._admitted -= piece.heavy
        self._forget(key, piece)
        piece.done.set()

    def _leave(self, key: Hashable, piece: _InFlightCall[Any]) -> None:
        """The last caller is gone: nobody may join any more, and work that has not begun is not begun."""
        self._forget(key, piece)
        if not piece.done.is_set() and piece.future is not None and piece.future.cancel():
            self._admitted -= piece.heavy

    def _forget(self, key: Hashable, piece: _InFlightCall[Any]) -> None:
        if self._pieces.get(key) is piece:
            del self._pieces[key]
