"""Runs tool calls on a bounded worker pool with one bounded queue per grant. Identical concurrent calls share one computation.

    answer = await worker_pool.run(key, work, heavy=True, grant=current_grant_key())

Light calls (lists, single runs, cached results) and heavy calls (statistics, triage, SQL) have separate workers, so light calls
never wait behind heavy ones. The next call to start is of the grant that used the workers least. No grant holds all workers, so
another grant finds one free; the processes of one that used much more than others have the lowest priority. Callers with equal
keys share one computation, which starts as soon as one of them may start. When the last caller is cancelled, a computation that
has not started leaves the queue; a running one stops at its next checkpoint.

A long call may have ended a process that the next one needs. ``tidy`` starts another one, in the call's context, after the call is
answered and before its worker is free. So a grant that leaves in the middle of its calls waits for new processes itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

import anyio
from msgspec import Struct, field

from sweeplens.cancellation import cancellable
from sweeplens.errors import LimitError
from sweeplens.panics import panics_as_errors
from sweeplens.priority import in_background
from sweeplens_mcp.execution.fair_queue import FairQueue, StartedCall

__all__ = ["CallAbandonedError", "WorkerPool", "processors"]

T = TypeVar("T")
_LIGHT_WORKERS = 8
_LIGHT_SHARE = 2  # of one grant: more would not be faster, because short calls compete for one interpreter
_QUEUE = 32  # waiting long calls of one grant
_LIGHT_QUEUE = 1000  # waiting short calls of one grant
_SECONDS_EACH = 2


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


class CallAbandonedError(LimitError):
    """The call was cancelled: no caller waits for its answer."""


class _InFlightCall(Struct, Generic[T], eq=False):
    """One computation and the number of callers that wait for it."""

    key: Hashable
    work: Callable[[], T]
    context: Context
    waiting: int = 0
    grants: set[str] = field(default_factory=set[str])
    future: Future[T] | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    def check(self) -> None:
        """Raises CallAbandonedError if no caller waits; checkpoints of the work call it."""
        if self.waiting == 0:
            raise CallAbandonedError("The call was cancelled: no caller waits for its answer.")

    def perform(self) -> T:
        """Runs the work; it stops at a checkpoint if no caller waits any more."""
        with panics_as_errors(), cancellable(self.check):
            return self.work()

    def result(self) -> T:
        """Returns the result. Raises the work's own error, or LimitError if it never started."""
        if self.future is None or self.future.cancelled():
            raise LimitError("The server is shutting down: repeat the call when it is back.")
        return self.future.result()


class _CallWorkers:
    """The workers for long or for short calls, and the queue before them."""

    def __init__(
        self,
        name: str,
        workers: int,
        new_queue: Callable[[], FairQueue[_InFlightCall[Any]]],
        queue: int,
        tidy: Callable[[], None] | None,
    ) -> None:
        self._name, self._workers, self._queue, self._tidy = name, workers, queue, tidy
        self._new_queue = new_queue
        self._free = workers
        self._waiting = new_queue()
        self._pool: ThreadPoolExecutor | None = None

    def admit(self, call: _InFlightCall[Any], grant: str) -> None:
        """Adds a call to a grant's queue, if it is not there yet. Raises LimitError if the queue is full."""
        if call.future is not None or grant in call.grants:
            return
        held = self._waiting.held(grant)
        workers = self._waiting.share if grant else self._workers
        if held >= workers + self._queue:
            seconds = max(1, _SECONDS_EACH * held // workers)
            whose = "of yours " if grant else ""
            raise LimitError(
                f"Busy: {held} {self._name} calls {whose}are running or waiting. Try again in about {seconds} s."
            )
        call.grants.add(grant)
        self._waiting.add(grant, call)

    def begin(self) -> None:
        """Starts waiting calls on free workers."""
        while self._free and (started := self._waiting.begin()):
            self._submit(started)

    def drop(self, call: _InFlightCall[Any]) -> None:
        """Removes a call that has not started."""
        self._waiting.drop(call)

    def close(self) -> None:
        """Drops all waiting calls. The workers can be used again afterwards."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, self._free, self._waiting = None, self._workers, self._new_queue()

    def _submit(self, started: StartedCall[_InFlightCall[Any]]) -> None:
        pool = self._pool = self._pool or ThreadPoolExecutor(self._workers, f"sweeplens-{self._name}")
        call = started.call
        self._free -= 1
        if started.background:
            call.context.run(in_background)
        call.future = pool.submit(call.context.run, call.perform)
        _afterwards(call.future, self._ended, pool, started)

    def _ended(self, pool: ThreadPoolExecutor, started: StartedCall[_InFlightCall[Any]]) -> None:
        """Answers a call, successful or not; its worker may have to tidy up first."""
        call = started.call
        call.done.set()
        if started.grant and self._tidy is not None and pool is self._pool:
            _afterwards(pool.submit(call.context.run, self._tidy), self._free_worker, pool, started)
        else:
            self._free_worker(pool, started)

    def _free_worker(self, pool: ThreadPoolExecutor, started: StartedCall[_InFlightCall[Any]]) -> None:
        if pool is self._pool:  # else `close` was called meanwhile
            self._waiting.end(started)
            self._free += 1
            self.begin()


class WorkerPool:
    """The workers of one server. ``queue``: how many long calls of one grant may wait. `close` stops them."""

    def __init__(
        self,
        *,
        heavy_workers: int = 0,
        queue: int = _QUEUE,
        tidy: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        heavy = max(1, heavy_workers or processors() - 1)
        self._workers_by_length = {
            True: _CallWorkers("long", heavy, _queue_maker(_share(heavy), clock), queue, tidy),
            False: _CallWorkers("short", _LIGHT_WORKERS, _queue_maker(_LIGHT_SHARE, clock), _LIGHT_QUEUE, None),
        }
        self._in_flight: dict[Hashable, _InFlightCall[Any]] = {}

    async def run(self, key: Hashable, work: Callable[[], T], *, heavy: bool, grant: str = "") -> T:
        """Returns the result of ``work`` or of a running equal call. Raises its error, or LimitError if the queue is full."""
        workers = self._workers_by_length[heavy]
        found = self._in_flight.get(key)
        call: _InFlightCall[T] = (
            found if found and not found.done.is_set() else _InFlightCall(key, work, copy_context())
        )
        workers.admit(call, grant)
        self._in_flight[key] = call
        call.waiting += 1
        try:
            workers.begin()
            await call.done.wait()
        finally:
            call.waiting -= 1
            if call.waiting == 0 or call.done.is_set():
                self._remove(workers, call)
        return call.result()

    def close(self) -> None:
        """Drops waiting calls; running ones stop at their next checkpoint."""
        for workers in self._workers_by_length.values():
            workers.close()
        for call in self._in_flight.values():
            if call.future is None:
                call.done.set()
        self._in_flight.clear()

    def _remove(self, workers: _CallWorkers, call: _InFlightCall[Any]) -> None:
        """Removes a call that has ended or has no caller left, so no new caller joins it."""
        if self._in_flight.get(call.key) is call:
            del self._in_flight[call.key]
        if call.future is None:
            workers.drop(call)


def _afterwards(future: Future[Any], function: Callable[..., object], *given: Any) -> None:
    """Calls a function in this event loop when a future has ended, unless the loop is closed by then."""
    loop = asyncio.get_running_loop()

    def ended(_: Future[Any]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(function, *given)

    future.add_done_callback(ended)


def _queue_maker(share: int, clock: Callable[[], float]) -> Callable[[], FairQueue[_InFlightCall[Any]]]:
    """Returns a function that makes an empty queue, for workers that are new or were closed."""
    return lambda: FairQueue(share, clock)


def _share(workers: int) -> int:
    """Maximum workers of one grant: more than half of all stay free for other grants."""
    return max(1, (workers - 1) // 2)
