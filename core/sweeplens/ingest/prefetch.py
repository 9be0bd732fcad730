"""`OrderedExecutor` runs jobs in a small thread pool and passes on their results in order of submission.

Polars and file reads release the interpreter lock, so a few threads keep every core busy. Only a few jobs are in flight or
waiting to be passed on at any time, which bounds memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["OrderedExecutor"]

T = TypeVar("T")
_THREADS = max(2, min(4, os.cpu_count() or 2))


class OrderedExecutor(Generic[T]):
    """Calls ``take`` with each result in the submitting thread; a job's exception is raised there too."""

    def __init__(self, on_result: Callable[[T], None]) -> None:
        self._on_result = on_result
        self._pool: ThreadPoolExecutor | None = None
        self._futures: deque[Future[T]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Callable[[], T]) -> None:
        """Submits a job. Passes on finished results, and waits if too many jobs are in flight."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "prefetch")
        while self._futures and (self._futures[0].done() or len(self._futures) > _THREADS):
            self._on_result(self._futures.popleft().result())
        self._futures.append(self._pool.submit(work))

    def finish(self) -> None:
        """Waits for all remaining results and passes them on."""
        while self._futures:
            self._on_result(self._futures.popleft().result())
