"""`OrderedExecutor` runs jobs in a small thread pool and hands over their results in the order of submission.

Polars and file reads release the interpreter lock, so a few threads keep every core busy. Only a few jobs are in flight or
waiting to be handed over at any time, which bounds memory.
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
    """``take`` is called with each result, in the thread that gives the work; what a piece of work raises is raised there too."""

    def __init__(self, take: Callable[[T], None]) -> None:
        self._take = take
        self._pool: ThreadPoolExecutor | None = None
        self._coming: deque[Future[T]] = deque()

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

    def give(self, work: Callable[[], T]) -> None:
        """Have it done; takes what is done by now, and waits where too much is on its way."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "ahead")
        while self._coming and (self._coming[0].done() or len(self._coming) > _THREADS):
            self._take(self._coming.popleft().result())
        self._coming.append(self._pool.submit(work))

    def finish(self) -> None:
        """Take all that is still to come."""
        while self._coming:
            self._take(self._coming.popleft().result())
